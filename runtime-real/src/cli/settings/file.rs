//! Settings in a file, as TOML: `name = value`, with a text, a number or a list of texts.

use std::fs;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::error::SettingError;
use super::nearest;
use super::table::TABLE;

/// The settings of a file: the row of the table, the values, and the line.
pub fn read(path: &Path) -> Result<Vec<(usize, Vec<String>, usize)>, SettingError> {
    let text = fs::read_to_string(path).map_err(|error| SettingError::File {
        path: path.to_owned(),
        error,
    })?;
    let line_of = |at: usize| 1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
    let table = DeTable::parse(&text).map_err(|error| SettingError::Toml {
        path: path.to_owned(),
        line: line_of(error.span().map_or(0, |span| span.start)),
        reason: error.message().to_owned(),
    })?;
    let mut found = Vec::new();
    for (key, value) in table.get_ref() {
        let (name, line) = (key.get_ref(), line_of(key.span().start));
        let Some(at) = TABLE.iter().position(|setting| setting.name == *name) else {
            return Err(SettingError::Key {
                path: path.to_owned(),
                line,
                name: name.to_string(),
                nearest: nearest(name, TABLE.iter().map(|setting| setting.name.to_owned())),
            });
        };
        let values = match value.get_ref() {
            DeValue::Array(list) if TABLE[at].field.is_list() => {
                list.iter().map(|value| text_of(value.get_ref())).collect()
            }
            other => vec![text_of(other)],
        };
        found.push((at, values, line));
    }
    found.sort_by_key(|(.., line)| *line);
    Ok(found)
}

/// A scalar as its text; of anything else a name that is no value of any setting.
fn text_of(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(yes) => yes.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}
