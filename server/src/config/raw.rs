//! Flags, environment and file exactly as the operator wrote them, with the place of each value.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ArgMatches;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::arguments::{Setting, settings};
use super::mistake::{Mistake, Origin, Problem, VARIABLE_PREFIX, variable_name};
use super::value::Value;

/// One value, where it was written and for which setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) key: String,
    pub(super) origin: Origin,
    pub(super) value: Value,
}

/// All that was written, and what could not even be read as a value of a known setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    pub(super) written: Vec<Written>,
    pub(super) mistakes: Vec<Mistake>,
}

/// Names the configuration file, so it is not a key of it.
const CONFIG_KEY: &str = "config";

impl Sources {
    /// Reads flags and environment, and the file that either of them names.
    ///
    /// `flags` are those of [`super::arguments::Arguments::parser`], of the subcommand if there is one.
    pub fn read(flags: &ArgMatches, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let settings = settings();
        let mut sources = Self::default();
        let mut file = flags.get_one::<PathBuf>(CONFIG_KEY).map(|path| (Origin::Flag, path.clone()));

        sources.read_flags(flags, &settings);
        for (name, value) in environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with(VARIABLE_PREFIX)) else { continue };
            // Service managers and compose files pass variables on empty when nobody set them.
            if value.is_empty() {
                continue;
            }
            if name == variable_name(CONFIG_KEY) {
                file.get_or_insert_with(|| (Origin::Environment, PathBuf::from(value)));
            } else {
                sources.read_variable(name, value, &settings);
            }
        }
        if let Some((origin, path)) = file {
            match fs::read_to_string(&path) {
                Ok(text) => sources.read_file(&path, &text, &settings),
                Err(error) => {
                    let problem =
                        Problem::Unreadable { path: path.display().to_string(), reason: error.to_string() };
                    sources.mistakes.push(Mistake { origin, key: CONFIG_KEY.to_owned(), problem });
                }
            }
        }
        sources
    }

    fn read_flags(&mut self, flags: &ArgMatches, settings: &[Setting]) {
        for Setting { key, repeatable } in settings {
            let Some(values) = flags.get_many::<String>(key) else { continue };
            let mut values: Vec<String> = values.cloned().collect();
            let value = match (repeatable, values.pop()) {
                (true, Some(last)) => {
                    values.push(last);
                    Value::List(values)
                }
                (false, Some(last)) => Value::Word(last),
                (_, None) => continue,
            };
            self.written.push(Written { key: key.clone(), origin: Origin::Flag, value });
        }
    }

    fn read_variable(&mut self, name: &str, value: OsString, settings: &[Setting]) {
        let origin = Origin::Environment;
        let Some(Setting { key, .. }) = settings.iter().find(|setting| variable_name(&setting.key) == name)
        else {
            // Container platforms inject variables such as CORECAST_SERVICE_HOST: only what looks like a slip of ours
            // is a mistake.
            let key = name[VARIABLE_PREFIX.len()..].to_ascii_lowercase();
            if let Some(nearest) = nearest(&key, settings) {
                let problem = Problem::Unknown { nearest: Some(variable_name(nearest)) };
                self.mistakes.push(Mistake { origin, key, problem });
            }
            return;
        };
        match value.into_string() {
            Ok(text) => self.written.push(Written { key: key.clone(), origin, value: Value::Word(text) }),
            Err(_) => self.mistakes.push(Mistake { origin, key: key.clone(), problem: Problem::NotText }),
        }
    }

    pub(super) fn read_file(&mut self, path: &Path, text: &str, settings: &[Setting]) {
        let path: Arc<Path> = Arc::from(path);
        let origin = |offset: usize| {
            let (line, column) = position(text, offset);
            Origin::File { path: Arc::clone(&path), line, column }
        };

        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let start = error.span().map_or(0, |span| span.start);
            let problem = Problem::Syntax(error.message().to_owned());
            self.mistakes.push(Mistake { origin: origin(start), key: String::new(), problem });
        }
        if !errors.is_empty() {
            // What the parser made up to go on is not what the operator wrote.
            return;
        }
        for (key, value) in table.get_ref() {
            let name: &str = key.get_ref();
            if settings.iter().any(|setting| setting.key == name) {
                let origin = origin(value.span().start);
                self.written.push(Written { key: name.to_owned(), origin, value: file_value(value) });
            } else {
                let nearest = nearest(name, settings).map(str::to_owned);
                let problem = Problem::Unknown { nearest };
                let origin = origin(key.span().start);
                self.mistakes.push(Mistake { origin, key: name.to_owned(), problem });
            }
        }
    }
}

fn file_value(value: &Spanned<DeValue<'_>>) -> Value {
    match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .map_or(Value::Other("a number beyond 64 bits"), Value::Integer),
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Array(array) => {
            let texts: Option<Vec<String>> =
                array.iter().map(|entry| entry.get_ref().as_str().map(str::to_owned)).collect();
            texts.map_or(Value::Other("a list of something else than strings"), Value::List)
        }
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Table(_) => Value::Other("a table"),
    }
}

/// The setting that `key` was probably meant to be.
fn nearest<'a>(key: &str, settings: &'a [Setting]) -> Option<&'a str> {
    /// About one slip in five characters; below that the suggestion would be a guess.
    const ALIKE: f64 = 0.75;

    let key = key.replace('-', "_").to_ascii_lowercase();
    let alike = |setting: &Setting| strsim::normalized_damerau_levenshtein(&key, &setting.key);
    let best = settings.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
    (alike(best) >= ALIKE).then_some(&best.key)
}

/// Line and column of a byte offset, both from 1, the column in characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::arguments::Arguments;
    use super::super::{Config, Effective, HostLimits, Mistakes, resolve};
    use super::*;

    pub(in super::super) const HOST: HostLimits =
        HostLimits { open_files: 1_000_000, locked_bytes: u64::MAX, cores: 1 };

    /// Flags and variables as given, and `file` as the contents of `c.toml`.
    pub(in super::super) fn load(
        flags: &[&str],
        environment: &[(&str, &str)],
        file: &str,
    ) -> Result<Effective, Mistakes> {
        let mut sources = read(flags, environment);
        sources.read_file(Path::new("c.toml"), file, &settings());
        resolve(&sources, &HOST)
    }

    /// Each mistake in `file`, as it is shown.
    pub(in super::super) fn mistakes(file: &str) -> Vec<String> {
        let mistakes = load(&[], &[], file).unwrap_err();
        mistakes.0.iter().map(ToString::to_string).collect()
    }

    fn read(flags: &[&str], environment: &[(&str, &str)]) -> Sources {
        let line = ["corecast"].iter().chain(flags);
        let matches = Arguments::parser().try_get_matches_from(line).unwrap();
        Sources::read(&matches, environment.iter().map(|(name, value)| (name.into(), value.into())))
    }

    #[test]
    fn flag_wins_over_environment_over_file_over_default() {
        let flag = ["--max-topics", "4"];
        let environment = [("CORECAST_MAX_TOPICS", "3")];
        let file = "max_topics = 2";
        let topics = |loaded: Result<Effective, Mistakes>| loaded.unwrap().config.max_topics;
        assert_eq!(topics(load(&[], &[], "")), 100_000);
        assert_eq!(topics(load(&[], &[], file)), 2);
        assert_eq!(topics(load(&[], &environment, file)), 3);
        assert_eq!(topics(load(&flag, &environment, file)), 4);
        assert_eq!(topics(load(&flag, &[], file)), 4);
    }

    #[test]
    fn nothing_written_gives_the_defaults() {
        assert_eq!(load(&[], &[], "").unwrap().config, Config::defaults(&HOST));
    }

    #[test]
    fn lists_replace_the_weaker_source_and_hold_several() {
        let shown = |effective: Effective| {
            effective.config.listen.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let file = "listen = [\"127.0.0.1:1\", \"[::1]:2\"]";
        let variable = [("CORECAST_LISTEN", "127.0.0.1:3,127.0.0.1:4")];
        let flags = ["--listen", "127.0.0.1:5", "--listen", "127.0.0.1:6"];
        assert_eq!(shown(load(&[], &[], file).unwrap()), ["127.0.0.1:1", "[::1]:2"]);
        assert_eq!(shown(load(&[], &variable, file).unwrap()), ["127.0.0.1:3", "127.0.0.1:4"]);
        assert_eq!(shown(load(&flags, &variable, file).unwrap()), ["127.0.0.1:5", "127.0.0.1:6"]);
    }

    #[test]
    fn a_boolean_flag_needs_no_value() {
        let allowed = |flags: &[&str]| load(flags, &[], "").unwrap().config.allow_anonymous_publish;
        assert!(!allowed(&[]));
        assert!(allowed(&["--allow-anonymous-publish"]));
        assert!(allowed(&["--allow-anonymous-publish=true"]));
        assert!(!allowed(&["--allow-anonymous-publish=false"]));
    }

    #[test]
    fn empty_variables_count_as_absent() {
        let environment = [("CORECAST_MAX_TOPICS", ""), ("CORECAST_CONFIG", "")];
        assert_eq!(load(&[], &environment, "").unwrap().config.max_topics, 100_000);
    }

    #[test]
    fn variables_of_container_platforms_are_left_alone_and_slips_are_not() {
        let platform =
            [("CORECAST_SERVICE_HOST", "10.0.0.1"), ("CORECAST_PORT_9001_TCP", "tcp://10.0.0.1:9001")];
        assert!(load(&[], &platform, "").is_ok());
        let mistakes = load(&[], &[("CORECAST_MAX_CONECTIONS", "5")], "").unwrap_err();
        assert_eq!(
            mistakes.to_string(),
            "the configuration has 1 mistake:\n  \
             CORECAST_MAX_CONECTIONS: unknown setting; did you mean CORECAST_MAX_CONNECTIONS?"
        );
    }

    #[test]
    fn every_syntax_mistake_has_its_place() {
        let mistakes = load(&[], &[], "shards = 1\nadmin = \nmax_topics = 5\nlisten = [\n").unwrap_err();
        let places: Vec<_> = mistakes.0.iter().map(|mistake| mistake.origin.of_key("")).collect();
        assert_eq!(places[0], "c.toml:2:9");
        assert!(places.len() >= 2, "{mistakes}");
    }

    #[test]
    fn columns_count_characters() {
        let mistakes = load(&[], &[], "# ö\n[\"lögs\"]\nx = 1\n").unwrap_err();
        assert_eq!(mistakes.0[0].to_string(), "c.toml:2:2: lögs: unknown setting");
        assert_eq!(position("äö\nüx", 7), (2, 2));
    }

    #[test]
    fn the_file_is_the_one_that_flag_or_variable_names() {
        let folder = std::env::temp_dir().join(format!("corecast-config-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = |name: &str| folder.join(name).display().to_string();
        fs::write(path("a.toml"), "max_topics = 1").unwrap();
        fs::write(path("b.toml"), "max_topics = 2").unwrap();
        let topics = |flags: &[&str], environment: &[(&str, &str)]| {
            resolve(&read(flags, environment), &HOST).unwrap().config.max_topics
        };
        assert_eq!(topics(&["--config", &path("a.toml")], &[]), 1);
        assert_eq!(topics(&[], &[("CORECAST_CONFIG", &path("b.toml"))]), 2);
        assert_eq!(topics(&["--config", &path("a.toml")], &[("CORECAST_CONFIG", &path("b.toml"))]), 1);

        let missing = path("missing.toml");
        let mistakes = resolve(&read(&["--config", &missing], &[]), &HOST).unwrap_err();
        let expected = format!("--config: cannot read {missing}: No such file or directory (os error 2)");
        assert_eq!(mistakes.0[0].to_string(), expected);
        fs::remove_dir_all(&folder).unwrap();
    }
}
