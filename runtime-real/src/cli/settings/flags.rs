//! Settings as flags, made from the table.

use std::path::PathBuf;

use clap::builder::ValueParser;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches};

use super::table::{Config, Setting, TABLE};

/// What was given as flags, and the file of settings.
#[derive(Debug, Clone, Default)]
pub struct SettingArgs {
    /// Rows of the table, and the values given for them.
    pub given: Vec<(usize, Vec<String>)>,
    /// The file of settings.
    pub file: Option<PathBuf>,
}

/// The id of the flag for the file.
const FILE: &str = "config";

fn flag(setting: &Setting) -> Arg {
    let default = setting.field.show(&Config::default()).join(",");
    let default = if default.is_empty() { "none".to_owned() } else { default };
    let help = format!("{} [env: {}] [default: {default}]", setting.help, setting.variable());
    let arg = Arg::new(setting.name)
        .long(setting.flag)
        .value_name(setting.value)
        .help(help);
    match setting.field.is_list() {
        true => arg.action(ArgAction::Append).num_args(1..).value_delimiter(','),
        false => arg.action(ArgAction::Set).allow_hyphen_values(true),
    }
}

impl Args for SettingArgs {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(FILE)
            .long(FILE)
            .value_name("FILE")
            .env("ORRERY_CONFIG")
            .value_parser(ValueParser::path_buf())
            .help("A TOML file of settings, by the names that `config print` shows");
        command.args(TABLE.iter().map(flag)).arg(file)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.file = matches.get_one::<PathBuf>(FILE).cloned();
        for (at, setting) in TABLE.iter().enumerate() {
            if matches.value_source(setting.name) == Some(ValueSource::CommandLine) {
                let values = matches.get_many::<String>(setting.name).into_iter().flatten();
                self.given.push((at, values.cloned().collect()));
            }
        }
        Ok(())
    }
}
