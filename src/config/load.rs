//! From flags, environment and file to a [`Config`].

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, Command};

use super::{Config, KEYS, Key};

/// A setting that cannot be used, as one line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct ConfigError(pub(crate) String);

/// Largest configuration file.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// How the process was called: everything that a reload needs again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Invocation {
    file: Option<PathBuf>,
    /// Texts of flags and variables, by place in [`KEYS`].
    given: Vec<Option<String>>,
}

/// The command line, for [`Invocation::from_args`] and the help text.
pub(crate) fn command_line() -> Command {
    let mut command = Command::new("silverback")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A metrics backend: Prometheus and Influx clients write, PromQL reads.")
        .args_override_self(true)
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("path")
                .help("YAML file of settings [env: SILVERBACK_CONFIG]"),
        );
    for key in KEYS {
        let name = key.name();
        let default = if key.default.is_empty() {
            String::new()
        } else {
            format!("default: {}, ", key.default)
        };
        let help = format!("{} [{default}env: {}]", key.help(), key.variable());
        let mut arg = Arg::new(name.clone()).long(name.clone()).help(help).value_name(key.unit);
        arg = arg.visible_aliases(key.aliases.iter().filter(|alias| **alias != name).copied());
        arg = if key.is_switch {
            arg.num_args(0..=1).require_equals(true).default_missing_value("true")
        } else {
            arg.num_args(1).allow_hyphen_values(true)
        };
        command = command.arg(arg.action(ActionOf(key).action()));
    }
    command
}

struct ActionOf<'a>(&'a Key);

impl ActionOf<'_> {
    fn action(&self) -> ArgAction {
        if self.0.is_list { ArgAction::Append } else { ArgAction::Set }
    }
}

impl Invocation {
    /// Reads the command line (program name first) and the environment.
    ///
    /// # Errors
    /// clap's, for help and version as well.
    pub(crate) fn from_args(
        args: impl IntoIterator<Item = OsString>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, clap::Error> {
        let matches = command_line().try_get_matches_from(args)?;
        let file = matches.get_one::<String>("config").cloned();
        let given = KEYS.iter().map(|key| {
            let texts = matches.get_many::<String>(&key.name());
            let flag = texts.map(|texts| texts.cloned().collect::<Vec<_>>().join(","));
            flag.or_else(|| variable(&key.variable()))
        });
        Ok(Self {
            file: file.or_else(|| variable("SILVERBACK_CONFIG")).map(PathBuf::from),
            given: given.collect(),
        })
    }

    /// The settings: defaults, then the file as it is now, then variables and flags.
    ///
    /// # Errors
    /// The first setting that is wrong, or what is wrong with the file.
    pub(crate) fn load(&self) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        if let Some(path) = &self.file {
            let named = |why: String| ConfigError(format!("{}: {why}", path.display()));
            let len = std::fs::metadata(path).map_err(|e| named(e.to_string()))?.len();
            if len > MAX_FILE_BYTES {
                return Err(named(format!("file is {len} bytes, limit {MAX_FILE_BYTES}")));
            }
            let text = std::fs::read_to_string(path).map_err(|e| named(e.to_string()))?;
            apply_yaml(&text, &mut config).map_err(named)?;
        }
        for (key, text) in KEYS.iter().zip(&self.given) {
            if let Some(text) = text {
                key.set(&mut config, text).map_err(ConfigError)?;
            }
        }
        Ok(config)
    }
}

/// Reads a YAML mapping of names to scalars or lists of scalars.
fn apply_yaml(text: &str, config: &mut Config) -> Result<(), String> {
    let value: serde_yaml_ng::Value = serde_yaml_ng::from_str(text).map_err(|e| one_line(&e))?;
    let mapping = match value {
        serde_yaml_ng::Value::Null => return Ok(()),
        serde_yaml_ng::Value::Mapping(mapping) => mapping,
        _ => return Err("the file is not a mapping of settings".to_owned()),
    };
    for (name, value) in mapping {
        let name = scalar(&name).ok_or("a setting's name is not text")?;
        let key = KEYS.iter().find(|key| key.name() == name);
        let key = key.ok_or_else(|| format!("unknown setting {name:?}"))?;
        let text = match &value {
            serde_yaml_ng::Value::Sequence(items) if key.is_list => {
                items.iter().map(scalar).collect::<Option<Vec<_>>>().map(|parts| parts.join(","))
            }
            value => scalar(value),
        };
        let text = text.ok_or_else(|| format!("{name}: the value is not a scalar"))?;
        key.set(config, &text)?;
    }
    Ok(())
}

fn scalar(value: &serde_yaml_ng::Value) -> Option<String> {
    match value {
        serde_yaml_ng::Value::String(text) => Some(text.clone()),
        serde_yaml_ng::Value::Number(n) => Some(n.to_string()),
        serde_yaml_ng::Value::Bool(b) => Some(b.to_string()),
        serde_yaml_ng::Value::Null => Some(String::new()),
        _ => None,
    }
}

fn one_line(error: &serde_yaml_ng::Error) -> String {
    error.to_string().replace('\n', " ")
}
