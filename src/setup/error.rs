use std::{error::Error, fmt};

/// Everything that is wrong with a configuration, a line each.
#[derive(Debug)]
pub struct BuildError(pub(super) Vec<Box<dyn Error + Send + Sync>>);

impl BuildError {
    /// What is wrong, one by one.
    pub fn complaints(&self) -> impl Iterator<Item = &(dyn Error + Send + Sync + 'static)> {
        self.0.iter().map(|complaint| &**complaint)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, complaint) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(complaint, f)?;
        }
        Ok(())
    }
}

impl Error for BuildError {}
