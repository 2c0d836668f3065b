use std::borrow::Cow;

/// Each text, in English: the same words are its documentation.
macro_rules! texts {
    ($($name:ident: $english:literal,)*) => {
        /// Every text of the page, for one in another language or in other words. The default is English.
        ///
        /// Each field is documented by what it is in English. `{}` stands for what is put in: a number, a name, a time. Texts are escaped: there is no markup in
        /// them.
        ///
        /// ```
        /// use tower_api_key::page::Texts;
        ///
        /// let mut texts = Texts::default();
        /// texts.language = "de".into();
        /// texts.create_key = "Schlüssel anlegen".into();
        /// texts.days = "{} Tagen".into();
        /// ```
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Texts {
            $(#[doc = concat!("`", $english, "`")] pub $name: Cow<'static, str>,)*
        }

        impl Default for Texts {
            fn default() -> Self {
                Self { $($name: Cow::Borrowed($english),)* }
            }
        }
    };
}

texts! {
    // The frame. The first two are of the document: its language (BCP 47), and `ltr` or `rtl`.
    language: "en",
    direction: "ltr",
    skip: "Skip to content",
    signed_in_as: "Signed in as {}",
    sign_in: "Sign in",
    sign_out: "Sign out",

    // The list.
    keys: "API keys",
    keys_intro: "A key lets a program act for you. Give each program its own, with no more access than it needs.",
    create_key: "Create key",
    search: "Search",
    search_hint: "Name, prefix or scope",
    searched: "Looked at {} keys.",
    search_on: "Search older keys",
    filter: "Show",
    filter_all: "All",
    column_name: "Name",
    column_access: "Access",
    column_created: "Created",
    column_last_used: "Last used",
    column_expires: "Expires",
    column_status: "Status",
    column_owner: "Owner",
    newest: "Newest",
    older: "Older",
    paging: "Pages",
    more: "{} more",
    empty_title: "No active keys",
    empty_text: "Create a key to call the API from a script, a server or a workflow.",
    nothing_title: "No key fits",
    nothing_text: "Try another word, or another status.",
    show_all: "Show all keys",

    // What is true of a key.
    active: "Active",
    expired: "Expired",
    disabled: "Disabled",
    revoked: "Revoked",
    expires_soon: "Expires {}",
    never: "Never",
    no_use: "None known",
    used_today: "today",
    no_access: "No scopes",
    every_scope: "Every scope",
    any_resource: "Any resource",
    anywhere: "Any address",
    no_limit: "No limit of its own",
    uses_left: "{} left",

    // Time.
    just_now: "just now",
    ago: "{} ago",
    ahead: "in {}",
    minute: "1 minute",
    minutes: "{} minutes",
    hour: "1 hour",
    hours: "{} hours",
    day: "1 day",
    days: "{} days",
    month: "1 month",
    months: "{} months",
    year: "1 year",
    years: "{} years",

    // The form for a new key.
    new_title: "Create a key",
    new_intro: "You will see the key once, right after this.",
    name: "Name",
    name_hint: "Where the key will be used, such as “deploy workflow”.",
    scopes: "Scopes",
    scopes_hint: "What the key may do. You can give no more than you may do yourself.",
    scopes_none: "You have no scopes that a key could be given.",
    scopes_text: "One to a line, such as issues:read.",
    other_scopes: "Other",
    resources: "Resources",
    resources_hint: "One to a line, such as agent:alpha. Leave it empty for a key that is not bound to any.",
    expires: "Expires",
    expires_in: "in {}",
    expires_on: "on a date",
    expires_never: "never",
    expires_date: "Last day, in UTC",
    limits: "Limits",
    optional: "optional",
    addresses: "Allowed addresses",
    addresses_hint: "Addresses and CIDR blocks, one to a line. Leave it empty for anywhere.",
    rate: "Rate limit",
    rate_hint: "Such as 100/1m for a hundred requests a minute.",
    create: "Create key",
    cancel: "Cancel",

    // What is wrong with a form.
    error_title: "The key was not created",
    error_name: "A name is 1 to 100 characters, without line breaks and invisible ones.",
    error_scopes: "A scope is 1 to 128 visible characters, without quotes and backslashes.",
    error_scopes_missing: "Pick at least one scope.",
    error_resources: "A resource is kind:name, with * only at its end.",
    error_expires: "The expiry must be in the future, and not later than keys may last here.",
    error_expires_missing: "Say when the key expires.",
    error_addresses: "These must be at most 100 addresses, or CIDR blocks such as 203.0.113.0/24.",
    error_rate: "A limit is a number and a period, such as 100/1m.",
    error_twice: "This field came twice, and nobody knows which was meant.",
    error_excess: "This is more than you may give.",
    error_form: "This form had expired. Here is a new one; send it again.",

    // The key, this once.
    secret_title: "Your new key",
    secret_note: "Store it now. It is shown this once, and nobody can show it again: not after a reload, and not by going back.",
    secret_label: "API key",
    copy: "Copy",
    copied: "Copied",
    use_shell: "Shell",
    use_actions: "GitHub Actions",
    use_file: "Environment file",
    use_actions_note: "Paste the key when the first line asks for it; the others go into the workflow.",
    secret_done: "I have stored it",
    secret_gone: "The key was shown, and is no longer on this page.",
    made_title: "This key was made already",
    made_text: "The form has been sent before, and made one key. It was shown then, and cannot be shown again. If you have not stored it, revoke it and create another.",
    made_link: "Look at the key",

    // One key.
    details: "Details",
    access: "Access",
    prefix: "Prefix",
    id: "ID",
    owner: "Owner",
    uses: "Uses",
    rename: "Rename",
    save: "Save",
    disable: "Disable",
    enable: "Enable",
    rotate: "Rotate",
    revoke: "Revoke",
    disabled_note: "The key is refused until it is enabled again.",
    expired_note: "The key expired {}, and is refused.",
    revoked_note: "The key was revoked {}, and is refused for good.",
    expiring_note: "The key expires {}. Rotate it to have another in time.",

    // Rotating.
    rotate_title: "Rotate {}",
    rotate_intro: "A new key with the same access takes over. The old one goes on working for as long as you say, so that you can replace it everywhere.",
    overlap: "The old key goes on working",
    overlap_none: "not at all",
    overlap_for: "for {}",
    rotate_now: "Create the new key",
    rotation: "Rotation",
    rotation_old: "Old key",
    rotation_new: "New key",
    rotation_busy: "The old key is still in use: it was last used {}. Find out where, before it ends.",
    rotation_unclear: "The old key was used on the day on which the new one was made. Whether that was since then is not known yet.",
    rotation_quiet: "No use of the old key is known since the new one was made. When that has been so for a while, it can be revoked.",
    rotation_unused: "No use of the new key is known yet.",
    rotation_running: "The old key is good until it ends, or is revoked.",
    rotation_done: "The old key is no longer good. The rotation is over.",
    revoke_old: "Revoke the old key",
    rotation_note: "Uses are written down with a delay; reload to see later ones.",

    // Revoking.
    revoke_title: "Revoke {}?",
    revoke_text: "Whatever uses this key is refused from the next request on. This cannot be undone.",
    revoke_used: "Last used {}.",
    revoke_unused: "No use is known yet; uses are written down with a delay.",
    revoke_now: "Revoke key",

    // What became of it.
    done_revoked: "The key is revoked. Its next request is refused.",
    done_disabled: "The key is disabled.",
    done_enabled: "The key is enabled.",
    done_renamed: "The key has a new name.",

    // Its uses, and what happened to it.
    usage: "Requests a day",
    usage_note: "Counted by this server since it was started; others count for themselves.",
    usage_none: "No requests have been counted since this server was started.",
    usage_unknown: "This server counts the requests of a limited number of keys, and this one may not be among them.",
    usage_allowed: "Allowed",
    usage_refused: "Refused",
    usage_day: "Day",
    activity: "Activity",
    activity_none: "Nothing has happened to this key.",
    event_minted: "Created",
    event_imported: "Imported",
    event_changed: "Changed",
    event_disabled: "Disabled",
    event_enabled: "Enabled",
    event_rotated: "Rotated",
    event_revoked: "Revoked",
    event_pruned: "Removed",
    event_refused: "Refused",
    by: "by {}",
    from: "from {}",
    changed_to: "{} to {}",

    // What cannot be answered.
    missing_title: "There is no such key",
    missing_text: "It may have been removed, or it belongs to somebody else.",
    login_title: "Sign in to see your keys",
    login_text: "This page shows the keys of whoever is signed in.",
    forbidden_title: "You may not do this",
    forbidden_text: "Your account lacks the scope {}.",
    excess_text: "The key can do more than you may give. Somebody with more access has to do this.",
    origin_title: "This came from another site",
    origin_text: "Changes are only taken from this page itself. Nothing was changed.",
    conflict_title: "This cannot be done now",
    conflict_inactive: "Only a key that is active can be rotated.",
    conflict_rotated: "Another key has taken over from this one already.",
    conflict_revoked: "A key that is revoked cannot be changed.",
    quota_text: "You have as many keys as you may have. Revoke one first.",
    trouble_title: "The keys cannot be reached",
    trouble_text: "Nothing is lost. Try again in a moment; a form that is sent again makes no second key.",
    invalid_title: "This cannot be meant",
    invalid_text: "The form is not what it should be.",
    back_to_keys: "Back to the keys",
}

/// A text with something put in.
pub(super) fn fill(text: &str, value: impl std::fmt::Display) -> String {
    text.replacen("{}", &value.to_string(), 1)
}

/// A text with two things put in, whatever stands in the first of them.
pub(super) fn fill_both(text: &str, one: impl std::fmt::Display, other: impl std::fmt::Display) -> String {
    match text.split_once("{}") {
        Some((before, rest)) => format!("{before}{one}{}", fill(rest, other)),
        None => text.to_owned(),
    }
}
