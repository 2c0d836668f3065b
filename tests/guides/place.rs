//! Where the blocks of a guide are run: a directory that is a user's home, beside a demo server that is running.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    blocks::{blocks, shows},
    postgres::skip,
    support::server::{EXTERNAL, Server, Setup},
};

/// Between what one block prints and what the next does.
const NEXT: &str = "=== the next block ===";

/// Whether one of these programs is not here, so that the test cannot run, and says so; where `CI` is `true` that is a failure.
pub(crate) fn lacks(programs: &[&str]) -> bool {
    let missing = programs
        .iter()
        .find(|program| Command::new(program).arg("--version").output().is_err());
    if let Some(program) = missing {
        skip(&format!("no {program}"));
    }
    missing.is_some()
}

pub(crate) struct Place {
    pub(crate) server: Server,
    home: TempDir,
    variables: Vec<(String, String)>,
}

impl Place {
    /// With a demo server and its external key, which is in `operator.key`.
    pub(crate) fn new() -> Self {
        Self::with(&Setup::with_external_key())
    }

    pub(crate) fn with(setup: &Setup) -> Self {
        let server = setup.start();
        let home = tempfile::tempdir().expect("a directory");
        fs::write(home.path().join("operator.key"), format!("{EXTERNAL}\n")).expect("written");
        let database = format!("sqlite://{}", setup.path("demo.db").display());
        let variables = vec![
            ("API".to_owned(), format!("http://{}", server.address)),
            ("APIKEY_DATABASE_URL".to_owned(), database),
        ];
        Self {
            server,
            home,
            variables,
        }
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        let directory = path.parent().expect("below the home");
        fs::create_dir_all(directory).expect("a directory");
        fs::write(path, text).expect("written");
    }

    /// A program that the guide calls, in place of the one of this name.
    pub(crate) fn program(&self, name: &str, script: &str) {
        let path = format!("bin/{name}");
        self.write(&path, script);
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.path(&path), executable).expect("executable");
    }

    /// All blocks of the guide one after the other, as one script, which must print what the guide shows.
    pub(crate) fn run(&self, guide: &str) {
        self.run_after(":", guide);
    }

    /// The same, where something comes first that is in another part of the guide.
    pub(crate) fn run_after(&self, first: &str, guide: &str) {
        let blocks = blocks(guide);
        assert!(!blocks.is_empty(), "nothing of the guide is run");
        let scripts: Vec<&str> = blocks.iter().map(|block| block.script.as_str()).collect();
        let scripts = scripts.join(&format!("\necho '{NEXT}'\n"));
        let printed = self.sh(&format!("{first}\n{scripts}"));
        let printed: Vec<&str> = printed.split(NEXT).collect();
        assert_eq!(printed.len(), blocks.len(), "{printed:?}");
        for (block, printed) in blocks.iter().zip(printed) {
            let shown = block.printed.as_deref().unwrap_or_default();
            assert!(
                block.printed.is_none() || shows(shown, printed),
                "the guide shows\n{shown}\nand this was printed:\n{printed}\nby\n{}",
                block.script
            );
        }
    }

    /// What a script prints, to wherever, that must end well.
    pub(crate) fn sh(&self, script: &str) -> String {
        let (ended_well, printed) = self.try_sh(script);
        assert!(ended_well, "{script}\nprinted\n{printed}");
        printed
    }

    pub(crate) fn try_sh(&self, script: &str) -> (bool, String) {
        let apikey = Path::new(env!("CARGO_BIN_EXE_apikey"));
        let here = env::var("PATH").expect("a path");
        let path = format!(
            "{}:{}:{here}",
            self.path("bin").display(),
            apikey.parent().expect("a directory").display()
        );
        let output = Command::new("sh")
            .args(["-euc", &format!("exec 2>&1\n{script}")])
            .current_dir(self.home.path())
            .env_remove("APIKEY_PREFIX")
            .env("HOME", self.home.path())
            .env("PATH", path)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("sh");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), printed)
    }
}
