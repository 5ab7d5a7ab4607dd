//! `config print`: what a node would be started with.

use serde_json::{Value, json};

use super::args::{ConfigArgs, StatusForm};
use super::settings::{Settings, Shown};
use super::{Exit, resolve, say};

pub(super) fn print(args: &ConfigArgs) -> Exit {
    let settings = match resolve(&args.settings) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    match args.format {
        StatusForm::Table => say(&toml(&settings)),
        StatusForm::Json => say(&Value::from(settings.show().iter().map(json_of).collect::<Vec<_>>())),
    }
    Exit::Done
}

/// A file of settings, with where each came from behind it.
fn toml(settings: &Settings) -> String {
    let rows: Vec<_> = settings.show().iter().map(line).collect();
    let width = rows.iter().map(|(said, _)| said.chars().count()).max().unwrap_or(0);
    let lines: Vec<_> = rows
        .iter()
        .map(|(said, source)| format!("{said:<width$}  # {source}"))
        .collect();
    lines.join("\n")
}

fn line(row: &Shown) -> (String, String) {
    // A JSON text is a TOML text.
    let quoted = |value: &String| Value::from(value.as_str()).to_string();
    let value = match &row.values[..] {
        values if row.is_list => format!("[{}]", values.iter().map(quoted).collect::<Vec<_>>().join(", ")),
        [value, ..] if row.is_number => value.clone(),
        [value, ..] => quoted(value),
        [] => return (format!("# {} is not set", row.name), row.source.to_string()),
    };
    (format!("{} = {value}", row.name), row.source.to_string())
}

fn json_of(row: &Shown) -> Value {
    let value = match &row.values[..] {
        values if row.is_list => values.into(),
        [value, ..] if row.is_number => value.parse::<u64>().map_or(Value::Null, Value::from),
        [value, ..] => value.as_str().into(),
        [] => Value::Null,
    };
    json!({ "name": row.name, "value": value, "source": row.source.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::settings::SettingArgs;

    #[test]
    fn what_is_printed_is_a_file_of_the_same_settings() {
        let variables = [
            ("ORRERY_JOIN", "a:1,b:2"),
            ("ORRERY_NODE", "\"q\""),
            ("ORRERY_MAX_FRAME", "20MiB"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = Settings::resolve(&SettingArgs::default(), variables, &[]).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        std::fs::write(&path, toml(&settings)).unwrap();
        let args = SettingArgs {
            file: Some(path),
            ..SettingArgs::default()
        };
        let again = Settings::resolve(&args, [], &[]).unwrap();
        assert_eq!(again.config, settings.config);
    }
}
