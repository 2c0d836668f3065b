//! What of a guide is run, and what it says that comes of it.

/// A block of shell after the mark, and the block right after it, if that is what was printed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) script: String,
    pub(crate) printed: Option<String>,
}

const MARK: &str = "<!-- run -->";

/// In order.
pub(crate) fn blocks(guide: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut rest = guide;
    while let Some((_, after)) = rest.split_once(MARK) {
        let (script, after) = fenced(after, &["sh"]).expect("a block of shell after the mark");
        let printed = fenced(after, &["text", "json"]).map(|(text, _)| text.to_owned());
        let script = script.to_owned();
        blocks.push(Block { script, printed });
        rest = after;
    }
    blocks
}

/// The scripts of the steps of workflows, in order.
pub(crate) fn steps(guide: &str) -> Vec<String> {
    let mut lines = guide.lines().peekable();
    let mut steps = Vec::new();
    while let Some(line) = lines.next() {
        let Some(indent) = line.find("run: |").map(|at| " ".repeat(at + 2)) else {
            continue;
        };
        let mut step = String::new();
        while let Some(line) = lines.next_if(|line| line.is_empty() || line.starts_with(&indent)) {
            step.push_str(line.strip_prefix(&indent).unwrap_or_default());
            step.push('\n');
        }
        steps.push(step);
    }
    steps
}

/// The text of a fenced block that comes first, and is in one of these languages; and what is after it.
pub(crate) fn fenced<'g>(guide: &'g str, languages: &[&str]) -> Option<(&'g str, &'g str)> {
    let (language, text) = guide.trim_start().strip_prefix("```")?.split_once('\n')?;
    languages
        .contains(&language)
        .then(|| text.split_once("\n```"))
        .flatten()
}

/// Whether a guide shows what was printed: the same words, but for ids, dates and beginnings of keys, which are others each time. A status is no such
/// thing.
pub(crate) fn shows(guide: &str, printed: &str) -> bool {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let differs_each_time = |word: &String| {
        word.contains('…') || (word.len() > 5 && word.bytes().any(|byte| byte.is_ascii_digit()))
    };
    let (shown, printed) = (words(guide), words(printed));
    let mut pairs = shown.iter().zip(&printed);
    shown.len() == printed.len() && pairs.all(|(shown, printed)| differs_each_time(shown) || shown == printed)
}

#[test]
fn a_block_is_what_follows_the_mark() {
    let guide = "a\n<!-- run -->\n```sh\none\ntwo\n```\n\n```text\n401\n```\n```sh\nnot this\n```\n<!-- run -->\n```sh\nthree\n```\n";
    let block = |script: &str, printed: Option<&str>| Block {
        script: script.to_owned(),
        printed: printed.map(str::to_owned),
    };
    assert_eq!(
        blocks(guide),
        [block("one\ntwo", Some("401")), block("three", None)]
    );
}

#[test]
fn a_step_is_what_stands_under_run() {
    let guide = "      - env:\n        run: |\n          one\n\n            two\n```\n          not this\n";
    assert_eq!(steps(guide), ["one\n\n  two\n"]);
}

#[test]
fn a_guide_must_show_statuses_and_words_but_not_ids() {
    assert!(shows("revoked 01a225ed…\n401", "revoked 01a225ed-45a8\n401\n"));
    assert!(!shows("revoked 01a225ed…\n401", "revoked 01a225ed-45a8\n200\n"));
    assert!(!shows("revoked 01a225ed…", "disabled 01a225ed-45a8"));
    assert!(!shows("401", "401\n401"));
}
