// What is nicer with a script. Everything else works without.
"use strict";

// Buttons to copy: hidden where there is nothing to do it with.
for (const button of document.querySelectorAll("[data-copy]")) {
  const label = button.querySelector("span:last-child");
  const text = label.textContent;
  button.hidden = false;
  button.addEventListener("click", async () => {
    const from = document.getElementById(button.dataset.copy);
    if (!(await copy(from))) return;
    label.textContent = button.dataset.done;
    label.setAttribute("role", "status");
    setTimeout(() => { label.textContent = text; }, 2000);
  });
}

async function copy(from) {
  const text = "value" in from ? from.value : from.textContent;
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without TLS, or forbidden: it is marked, to be copied by hand.
    if ("select" in from) from.select();
    else getSelection().selectAllChildren(from);
    return document.execCommand("copy");
  }
}

// A key in the clear: a reload or a way back leads to the key, and finds nothing of it.
const secret = document.getElementById("secret");
if (secret) {
  history.replaceState(null, "", secret.dataset.after);
  const wipe = () => {
    for (const place of document.querySelectorAll("[data-wipe]")) {
      if ("value" in place) {
        place.value = "";
        place.setAttribute("value", "");
      } else place.textContent = secret.dataset.gone;
    }
    getSelection().removeAllRanges();
  };
  addEventListener("pagehide", wipe);
  addEventListener("pageshow", (event) => { if (event.persisted) location.replace(secret.dataset.after); });
}

// Questions in a dialog rather than on a page of their own.
for (const opener of document.querySelectorAll("[data-dialog]")) {
  const dialog = document.getElementById(opener.dataset.dialog);
  if (!dialog) continue;
  opener.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    dialog.showModal();
  });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  for (const closer of dialog.querySelectorAll("[data-close]")) {
    closer.addEventListener("click", (event) => {
      event.preventDefault();
      dialog.close();
    });
  }
}

// A whole key that somebody looks for: no more of it than the list shows goes into the address.
for (const form of document.querySelectorAll(".search")) {
  form.addEventListener("submit", () => {
    const word = form.elements.q;
    word.value = word.value.trim().replace(/^([a-z][a-z0-9_]*_[A-Za-z0-9]{4})[A-Za-z0-9]{17,}$/, "$1");
  });
  addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea, select, dialog");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    form.elements.q.focus();
  });
}

// A form is sent once, however often its button is pressed.
for (const form of document.querySelectorAll("form[method=post]")) {
  let sent = false;
  form.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
  addEventListener("pageshow", () => { sent = false; });
}
