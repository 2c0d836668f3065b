//! The examples are copied from: none of them upgrades a connection that nothing ends.

use std::{fs, path::Path};

#[test]
fn no_example_upgrades_a_connection_that_outlives_its_key() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            seen += 1;
            for bare in [
                "WebSocketUpgrade,",
                "WebSocketUpgrade}",
                ": WebSocketUpgrade",
                "upgrade::on(",
                "OnUpgrade",
            ] {
                assert!(!text.contains(bare), "{}: use `RevocableUpgrade`", path.display());
            }
        }
    }
    assert!(seen > 10, "the examples are not where they should be");
}
