//! The architecture, as a test: a stage imports only stages of a lower rank, and files side by side do not import in a circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The stages of the flow, in the order of the `mod` lines of `lib.rs`. Two of one rank do not import each other.
const RANKS: &[(&str, u8)] = &[
    ("trace", 0),
    ("metric", 0),
    ("clock", 0),
    ("budget", 0),
    ("access", 0),
    ("fetch", 1),
    ("key", 1),
    ("principal", 2),
    ("event", 2),
    ("store", 3),
    ("authn", 4),
    ("manage", 4),
    ("limit", 4),
    ("credential", 5),
    ("exchange", 5),
    ("middleware", 6),
    ("extract", 7),
    ("router", 8),
    ("page", 9),
    ("setup", 10),
];

/// What a refusal is in HTTP, and what the answers about keys are.
const STATUS_CODES: &[&str] = &[
    "middleware/rejection.rs",
    "router/problem.rs",
    "router/form_problem.rs",
    "page/answer.rs",
];

/// Past this a file has two subjects.
const MAX_LINES: usize = 420;

struct File {
    /// Below `src`, with `/`.
    path: String,
    /// Without comments and without the tests at its end.
    code: String,
    lines: usize,
}

#[test]
fn a_stage_imports_only_stages_below_it() {
    let rank = |stage: &str| {
        RANKS
            .iter()
            .find(|(name, _)| *name == stage)
            .map(|(_, rank)| *rank)
    };
    for file in files() {
        let stage = stage_of(&file.path);
        // A binary is a crate of its own, which sees what anybody sees.
        if stage == "lib" || stage == "bin" {
            continue;
        }
        let own = rank(stage).unwrap_or_else(|| panic!("{} is not in the table of ranks", file.path));
        for imported in imports(&file.code, "crate::") {
            // A type that `lib.rs` re-exports comes from `setup`, above everything.
            let other = rank(&imported).unwrap_or(u8::MAX);
            assert!(
                imported == stage || other < own,
                "{} (rank {own}) imports crate::{imported} (rank {other})",
                file.path
            );
        }
    }
}

#[test]
fn lib_names_the_stages_in_rank_order() {
    let lib = files()
        .into_iter()
        .find(|file| file.path == "lib.rs")
        .expect("lib.rs");
    let named: Vec<&str> = lib
        .code
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ").or(line.strip_prefix("mod ")))
        .filter_map(|rest| rest.strip_suffix(';'))
        .collect();
    let ranked: Vec<&str> = RANKS.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, ranked);
    assert!(RANKS.is_sorted_by_key(|(_, rank)| *rank));
}

#[test]
fn files_side_by_side_do_not_import_in_a_circle() {
    let mut folders: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for file in files() {
        let Some((folder, name)) = file.path.rsplit_once('/') else {
            continue;
        };
        let name = name.trim_end_matches(".rs").to_owned();
        if name != "mod" {
            let is_binary = stage_of(folder) == "bin" && folder.matches('/').count() == 1;
            let siblings = imports(&file.code, if is_binary { "crate::" } else { "super::" });
            folders
                .entry(folder.to_owned())
                .or_default()
                .insert(name, siblings);
        }
    }
    for (folder, graph) in folders {
        for start in graph.keys() {
            let mut reached = BTreeSet::new();
            let mut next: Vec<&String> = graph[start].iter().collect();
            while let Some(name) = next.pop() {
                assert!(
                    name != start,
                    "{folder}/{start}.rs imports itself by way of others"
                );
                if reached.insert(name) {
                    next.extend(graph.get(name).into_iter().flatten());
                }
            }
        }
    }
}

#[test]
fn each_half_has_one_file_of_status_codes() {
    for file in files() {
        assert!(
            STATUS_CODES.contains(&file.path.as_str()) || !file.code.contains("StatusCode::"),
            "{} names a status code",
            file.path
        );
    }
}

#[test]
fn a_file_is_a_page() {
    for file in files() {
        assert!(file.lines <= MAX_LINES, "{} has {} lines", file.path, file.lines);
    }
}

/// The reader of imports must see all of their forms, or the other tests check nothing.
#[test]
fn the_reader_of_imports_sees_them_all() {
    let code = "use crate::{a::{x, y}, b, c::Z as d};\nlet _ = crate::e::f(super::g);\npub(in crate::h) fn i() {}\nuse\n    crate::{\n        j,\n    };";
    let found: Vec<String> = imports(code, "crate::").into_iter().collect();
    assert_eq!(found, ["a", "b", "c", "e", "h", "j"]);
    assert!(files().len() > 30, "the sources are not where they should be");
    let middleware = files()
        .into_iter()
        .find(|file| file.path == STATUS_CODES[0])
        .expect("the file");
    assert!(imports(&middleware.code, "crate::").contains("authn"));
}

fn stage_of(path: &str) -> &str {
    path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
}

/// The names that follow `root`, alone or in braces.
fn imports(code: &str, root: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let word = |text: &str| -> String {
        let end = text
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(text.len());
        text[..end].to_owned()
    };
    for (at, _) in code.match_indices(root) {
        let rest = &code[at + root.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(word(rest));
            continue;
        };
        let mut depth = 0_usize;
        let mut begins = true;
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => begins = true,
                c if begins && depth == 0 && !c.is_whitespace() => {
                    names.insert(word(&group[i..]));
                    begins = false;
                }
                _ => {}
            }
        }
    }
    names.remove("");
    names
}

fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if is_code(&path) {
                files.push(read(&root, &path));
            }
        }
    }
    files
}

/// Tests in a file or folder of their own may look where they like.
fn is_code(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
        && !path.iter().any(|part| part == "tests.rs" || part == "tests")
}

fn read(root: &Path, path: &PathBuf) -> File {
    let text = fs::read_to_string(path).expect("a source");
    let tests = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    let code: Vec<&str> = text[..tests]
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let below = path.strip_prefix(root).expect("below the root");
    File {
        path: below.to_str().expect("a path in UTF-8").replace('\\', "/"),
        code: code.join("\n"),
        lines: text[..tests].lines().count(),
    }
}
