//! What can be wrong with settings.

use std::io;
use std::path::PathBuf;

use super::{Source, at_line};

/// What is wrong with a setting. Never shows what is in a file of secrets, nor the value of a variable that is not known.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    #[error("cannot read the settings in {path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("{}: not valid TOML: {reason}", at_line(path, *line))]
    Toml { path: PathBuf, line: usize, reason: String },
    #[error("{}: there is no setting {name:?}", at_line(path, *line))]
    Key {
        path: PathBuf,
        line: usize,
        name: String,
        nearest: Option<String>,
    },
    #[error("the environment sets {name}, which is no setting")]
    Variable { name: String, nearest: Option<String> },
    #[error("{name} is {value:?} ({from}): expected {expected}")]
    Value {
        name: &'static str,
        value: String,
        expected: String,
        from: Source,
    },
    #[error("{name} is {value} ({from}): it {must}")]
    Conflict {
        name: &'static str,
        value: String,
        must: &'static str,
        from: Source,
    },
}

impl SettingError {
    /// A stable word for the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::File { .. } => "settings_unreadable",
            Self::Toml { .. } => "settings_toml",
            Self::Key { .. } | Self::Variable { .. } => "unknown_setting",
            Self::Value { .. } => "bad_setting",
            Self::Conflict { .. } => "settings_conflict",
        }
    }

    /// What may help.
    pub fn hint(&self) -> String {
        match self {
            Self::Key { nearest, .. } | Self::Variable { nearest, .. } => match nearest {
                Some(nearest) => format!("did you mean {nearest}?"),
                None => "`config print` lists all settings".into(),
            },
            _ => String::new(),
        }
    }
}
