//! What a node is started with: flags, then `ORRERY_*`, then a file, then defaults.

mod error;
mod field;
mod file;
mod flags;
mod table;

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

pub(super) use error::SettingError;
pub(super) use field::address;
pub(super) use flags::SettingArgs;
pub(super) use table::Config;

use table::TABLE;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Default,
    File { path: PathBuf, line: usize },
    Variable(String),
    Flag(String),
}

impl Display for Source {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "file {}:{line}", path.display()),
            Self::Variable(name) => write!(f, "env {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// Values, and where each came from.
#[derive(Debug)]
pub(super) struct Settings {
    pub config: Config,
    /// One for each row of the table.
    sources: Vec<Source>,
}

/// One setting, for people.
#[derive(Debug)]
pub(super) struct Shown {
    pub name: &'static str,
    pub values: Vec<String>,
    pub is_list: bool,
    pub is_number: bool,
    pub source: Source,
}

impl Settings {
    /// What was asked for. `others` are the variables that are no settings of a node and yet mean something.
    pub fn resolve(
        args: &SettingArgs,
        variables: impl IntoIterator<Item = (String, String)>,
        others: &[String],
    ) -> Result<Self, SettingError> {
        let mut settings = Self {
            config: Config::default(),
            sources: vec![Source::Default; TABLE.len()],
        };
        let variables = known_variables(variables, others)?;
        if let Some(path) = &args.file {
            for (at, values, line) in file::read(path)? {
                let path = path.clone();
                settings.put(at, &values, Source::File { path, line })?;
            }
        }
        for (at, name, value) in variables {
            let values = match TABLE[at].field.is_list() {
                true => value
                    .split(',')
                    .filter(|part| !part.is_empty())
                    .map(str::to_owned)
                    .collect(),
                false => vec![value],
            };
            settings.put(at, &values, Source::Variable(name))?;
        }
        for (at, values) in &args.given {
            settings.put(*at, values, Source::Flag(TABLE[*at].flag.into()))?;
        }
        settings
            .config
            .check()
            .map_err(|(name, must)| settings.conflict(name, must))?;
        Ok(settings)
    }

    fn put(&mut self, at: usize, values: &[String], source: Source) -> Result<(), SettingError> {
        let setting = &TABLE[at];
        setting
            .field
            .set(&mut self.config, values)
            .map_err(|value| SettingError::Value {
                name: setting.name,
                value: value.to_owned(),
                expected: setting.field.expected(),
                from: source.clone(),
            })?;
        self.sources[at] = source;
        Ok(())
    }

    fn conflict(&self, name: &'static str, must: &'static str) -> SettingError {
        let rows = self.show().into_iter().find(|shown| shown.name == name);
        let (value, source) = rows.map_or((String::new(), Source::Default), |row| {
            (row.values.join(","), row.source)
        });
        SettingError::Conflict {
            name,
            value,
            must,
            from: source,
        }
    }

    /// Each setting with its value and where that came from.
    pub fn show(&self) -> Vec<Shown> {
        let rows = TABLE.iter().zip(&self.sources);
        rows.map(|(setting, source)| Shown {
            name: setting.name,
            values: setting.field.show(&self.config),
            is_list: setting.field.is_list(),
            is_number: setting.field.is_number(),
            source: source.clone(),
        })
        .collect()
    }

    /// Those that are not as they come, on one line.
    pub fn changed(&self) -> String {
        let rows = self.show().into_iter().filter(|row| row.source != Source::Default);
        let rows: Vec<_> = rows
            .map(|row| format!("{}={}", row.name, row.values.join(",")))
            .collect();
        rows.join(" ")
    }
}

/// The rows of the table that the environment sets. A name that begins like ours and is not must be a mistake: whoever wrote it
/// believes that it has an effect.
pub(super) fn known_variables(
    variables: impl IntoIterator<Item = (String, String)>,
    others: &[String],
) -> Result<Vec<(usize, String, String)>, SettingError> {
    let mut known = Vec::new();
    for (name, value) in variables {
        if !name.starts_with("ORRERY_") || others.contains(&name) {
            continue;
        }
        match TABLE.iter().position(|setting| setting.variable() == name) {
            Some(at) => known.push((at, name, value)),
            None => {
                let all = TABLE.iter().map(table::Setting::variable);
                let nearest = nearest(&name, all.chain(others.iter().cloned()));
                return Err(SettingError::Variable { name, nearest });
            }
        }
    }
    // In the order of the table, so that the first complaint does not depend on the system.
    known.sort();
    Ok(known)
}

/// The known name that was probably meant.
fn nearest(name: &str, known: impl IntoIterator<Item = String>) -> Option<String> {
    let known = known
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, &known), known));
    let (distance, known) = known.min()?;
    (distance <= (name.len() / 2).max(2)).then_some(known)
}

/// A path given by flag or variable, for [`SettingArgs`].
fn at_line(path: &Path, line: usize) -> String {
    format!("{}:{line}", path.display())
}

#[cfg(test)]
mod tests;
