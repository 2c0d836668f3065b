//! Text of others on a terminal.

/// With what could move the cursor, hide itself or turn the direction written out as `\u{..}`.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_deceptive(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
    }
    shown
}

/// The same for JSON, as JSON writes it. Such characters stand only in strings, where control characters below U+0020 are escaped
/// already.
pub(crate) fn escaped_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if is_deceptive(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[2J\r\n\u{9b}b\u{7f}\u{202e}\u{e0041} schl\u{fc}ssel";

    #[test]
    fn what_could_deceive_is_written_out_and_the_rest_is_left() {
        assert_eq!(
            escaped(HOSTILE),
            "a\\u{1b}[2J\\u{d}\\u{a}\\u{9b}b\\u{7f}\\u{202e}\\u{e0041} schl\u{fc}ssel"
        );
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({ "name": HOSTILE });
        let shown = escaped_json(&value.to_string());
        assert!(!shown.chars().any(is_deceptive), "{shown}");
        let read: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(read, value);
    }
}
