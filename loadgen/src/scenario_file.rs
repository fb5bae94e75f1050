//! Options from a scenario file: every long option of a command as a key of a TOML file, and a command line wins over it.
//!
//! ```text
//!   --workload NAME --> built-in file --+
//!   --scenario FILE --> file -----------+--> entries --> arguments in front of the given ones --> clap
//! ```
//!
//! What a file says becomes arguments that stand before the command line's own, so both are checked by the same rules and
//! there is nothing that a file can say and an option cannot.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::workload::Workload;

/// Tables that keys may stand in. They are for the reader: a key means the same in each of them, and in none.
const SECTIONS: [&str; 7] = ["server", "load", "messages", "connect", "time", "generator", "report"];
const SCENARIO: &str = "scenario";
const WORKLOAD: &str = "workload";

/// What is wrong with scenario files, each with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMistakes(pub Vec<String>);

impl fmt::Display for FileMistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for FileMistakes {}

/// The command line with what its scenario file and its workload say put in front of its options. One without them, or of
/// a subcommand that does not take them, stays as it is; so does one that clap will refuse anyway.
///
/// # Errors
/// When a file cannot be read, or says something that is no option.
pub fn with_scenario(command: &Command, arguments: Vec<OsString>) -> Result<Vec<OsString>, FileMistakes> {
    let lenient = command.clone().ignore_errors(true).try_get_matches_from(&arguments);
    let chosen = lenient.as_ref().ok().and_then(ArgMatches::subcommand);
    let Some((name, given)) = chosen else { return Ok(arguments) };
    let subcommand = command.find_subcommand(name).expect("clap found it");
    let place = arguments.iter().position(|argument| argument == OsStr::new(name));
    let (Some(place), true) = (place, subcommand.get_arguments().any(|a| a.get_id() == SCENARIO)) else {
        return Ok(arguments);
    };
    let settings = Settings::of(subcommand);
    let mut files = Files { settings: &settings, entries: Vec::new(), mistakes: Vec::new() };
    if let Some(path) = given.get_one::<std::path::PathBuf>(SCENARIO) {
        match fs::read_to_string(path) {
            Ok(text) => files.read(&path.display().to_string(), &text),
            Err(error) => {
                files.mistakes.push(format!("--scenario: cannot read {}: {error}", path.display()));
            }
        }
    }
    let on_command_line: BTreeSet<&str> = settings
        .0
        .iter()
        .map(|setting| setting.key.as_str())
        .filter(|key| given.value_source(key) == Some(ValueSource::CommandLine))
        .collect();
    files.entries.retain(|entry| !settings.is_overridden(&entry.key, &on_command_line));
    let in_file: Vec<Entry> = std::mem::take(&mut files.entries);
    let named = in_file.iter().find(|entry| entry.key == WORKLOAD).and_then(|entry| entry.values.first());
    let workload = match given.value_source(WORKLOAD) {
        Some(ValueSource::CommandLine) => given.get_one::<Workload>(WORKLOAD).copied(),
        _ => named.and_then(|name| <Workload as clap::ValueEnum>::from_str(name, false).ok()),
    };
    if let Some(workload) = workload {
        files.read(workload.name(), workload.file());
        let stronger = in_file.iter().map(|entry| entry.key.as_str()).chain(on_command_line).collect();
        files.entries.retain(|entry| !settings.is_overridden(&entry.key, &stronger));
    }
    if !files.mistakes.is_empty() {
        return Err(FileMistakes(files.mistakes));
    }
    let (before, after) = arguments.split_at(place + 1);
    let written = files.entries.iter().chain(&in_file).flat_map(|entry| settings.arguments(entry));
    Ok(before.iter().cloned().chain(written.map(OsString::from)).chain(after.iter().cloned()).collect())
}

/// The options of a subcommand.
struct Settings(Vec<Setting>, Command);

struct Setting {
    key: String,
    form: Form,
    /// Options that cannot stand beside it.
    conflicts: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Positional,
    Flag,
    Single,
    List,
}

/// What a file says of one option.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    key: String,
    values: Vec<String>,
}

impl Settings {
    fn of(subcommand: &Command) -> Self {
        let mut subcommand = subcommand.clone();
        subcommand.build();
        let settings = subcommand.get_arguments().filter_map(|argument| {
            let key = argument.get_id().to_string();
            let form = match argument.get_action() {
                _ if argument.is_positional() => Form::Positional,
                ArgAction::Set => Form::Single,
                ArgAction::Append => Form::List,
                ArgAction::SetTrue => Form::Flag,
                _ => return None,
            };
            let conflicts = subcommand.get_arg_conflicts_with(argument);
            let conflicts = conflicts.iter().map(|other| other.get_id().to_string()).collect();
            (key != SCENARIO).then_some(Setting { key, form, conflicts })
        });
        Self(settings.collect(), subcommand)
    }

    fn get(&self, key: &str) -> Option<&Setting> {
        self.0.iter().find(|setting| setting.key == key)
    }

    /// Whether one of the stronger ones takes the place of this one.
    fn is_overridden(&self, key: &str, stronger: &BTreeSet<&str>) -> bool {
        let conflicts = |a: &str, b: &str| {
            self.get(a).is_some_and(|setting| setting.conflicts.iter().any(|conflict| conflict == b))
        };
        stronger.iter().any(|other| *other == key || conflicts(key, other) || conflicts(other, key))
    }

    fn arguments(&self, entry: &Entry) -> Vec<String> {
        let flag = format!("--{}", entry.key.replace('_', "-"));
        match self.get(&entry.key).map(|setting| setting.form) {
            Some(Form::Positional) => entry.values.clone(),
            Some(Form::Flag) if entry.values == ["true"] => vec![flag],
            Some(Form::Flag) | None => Vec::new(),
            Some(Form::Single | Form::List) => {
                entry.values.iter().map(|value| format!("{flag}={value}")).collect()
            }
        }
    }

    /// What clap has against the values, in its words.
    fn objection(&self, entry: &Entry) -> Option<String> {
        let line = std::iter::once(self.1.get_name().to_owned()).chain(self.arguments(entry));
        let error = self.1.clone().try_get_matches_from(line).err()?;
        // Whether options fit together is seen when all are known.
        if !matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue) {
            return None;
        }
        let text = error.to_string();
        let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
        Some(lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned())
    }

    /// The one that was probably meant.
    fn nearest(&self, key: &str) -> Option<&str> {
        nearest(key, self.0.iter().map(|setting| setting.key.as_str()))
    }
}

/// What is read of scenario files.
struct Files<'a> {
    settings: &'a Settings,
    entries: Vec<Entry>,
    mistakes: Vec<String>,
}

impl Files<'_> {
    fn read(&mut self, name: &str, text: &str) {
        let place = |offset: usize| {
            let (line, column) = position(text, offset);
            format!("{name}:{line}:{column}")
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let start = error.span().map_or(0, |span| span.start);
            self.mistakes.push(format!("{}: {}", place(start), error.message()));
        }
        if !errors.is_empty() {
            // What the parser made up to go on is not what was written.
            return;
        }
        let mut keys: Vec<_> = table.get_ref().iter().collect();
        keys.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in keys {
            match value.get_ref() {
                DeValue::Table(section) => self.read_section(key, section, &place),
                _ => self.read_key(key, value, &place),
            }
        }
    }

    fn read_section(
        &mut self,
        name: &Spanned<impl AsRef<str>>,
        section: &DeTable<'_>,
        place: &dyn Fn(usize) -> String,
    ) {
        let given = name.get_ref().as_ref();
        if !SECTIONS.contains(&given) {
            let meant = did_you_mean(nearest(given, SECTIONS));
            let place = place(name.span().start);
            self.mistakes.push(format!("{place}: [{given}]: there is no such section{meant}"));
            return;
        }
        let mut keys: Vec<_> = section.iter().collect();
        keys.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in keys {
            self.read_key(key, value, place);
        }
    }

    fn read_key(
        &mut self,
        key: &Spanned<impl AsRef<str>>,
        value: &Spanned<DeValue<'_>>,
        place: &dyn Fn(usize) -> String,
    ) {
        let name = key.get_ref().as_ref();
        let Some(setting) = self.settings.get(name) else {
            let meant = did_you_mean(self.settings.nearest(name));
            let place = place(key.span().start);
            self.mistakes.push(format!("{place}: {name}: there is no such option{meant}"));
            return;
        };
        let at = place(value.span().start);
        let entry = match values(value.get_ref(), setting.form) {
            Ok(values) => Entry { key: name.to_owned(), values },
            Err(expected) => return self.mistakes.push(format!("{at}: {name}: {expected}")),
        };
        if let Some(objection) = self.settings.objection(&entry) {
            return self.mistakes.push(format!("{at}: {objection}"));
        }
        if self.entries.iter().any(|other| other.key == name) {
            return self.mistakes.push(format!("{at}: {name} stands twice: keep one of them"));
        }
        self.entries.push(entry);
    }
}

fn values(value: &DeValue<'_>, form: Form) -> Result<Vec<String>, &'static str> {
    let one = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string())
        }
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        _ => None,
    };
    match (form, value) {
        (Form::Flag, DeValue::Boolean(flag)) => Ok(vec![flag.to_string()]),
        (Form::Flag, _) => Err("expected true or false"),
        (Form::List, DeValue::Array(list)) => {
            let all: Option<Vec<String>> = list.iter().map(|entry| one(entry.get_ref())).collect();
            all.ok_or("expected a list of texts")
        }
        (Form::List, value) => one(value).map(|value| vec![value]).ok_or("expected a list of texts"),
        (Form::Single | Form::Positional, value) => {
            one(value).map(|value| vec![value]).ok_or("expected a text or a number")
        }
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"))
}

fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// About one slip in five characters; below that the suggestion would be a guess.
    const ALIKE: f64 = 0.75;

    let given = given.replace('-', "_").to_ascii_lowercase();
    let alike = |known: &str| strsim::normalized_damerau_levenshtein(&given, known);
    let best = known.into_iter().max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
    (alike(best) >= ALIKE).then_some(best)
}

/// Line and column of a byte offset, both from 1, the column in characters.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::RunOptions;
    use clap::{CommandFactory, FromArgMatches};

    fn command() -> Command {
        Command::new("corecast-load").subcommand(RunOptions::command().name("run"))
    }

    /// Arguments with `file` as the contents of the scenario file.
    fn expand(file: &str, arguments: &[&str]) -> Result<Vec<String>, String> {
        let name = format!("corecast-load-{}-{}.toml", std::process::id(), fastrand::u64(..));
        let path = std::env::temp_dir().join(&name);
        fs::write(&path, file).expect("a folder for temporary files");
        let scenario = format!("--scenario={}", path.display());
        let line = ["corecast-load", "run", &scenario].iter().chain(arguments).map(OsString::from).collect();
        let expanded = with_scenario(&command(), line);
        fs::remove_file(&path).expect("it was written");
        match expanded {
            Ok(line) => Ok(line
                .into_iter()
                .skip(2)
                .map(|argument| argument.into_string().expect("text"))
                .filter(|argument| !argument.starts_with("--scenario"))
                .collect()),
            Err(mistakes) => Err(mistakes.to_string().replace(&path.display().to_string(), "s.toml")),
        }
    }

    fn options(file: &str, arguments: &[&str]) -> RunOptions {
        let expanded = expand(file, arguments).expect("a good file");
        let line = ["corecast-load".to_owned(), "run".to_owned()].into_iter().chain(expanded);
        let matches = command().try_get_matches_from(line).expect("options that parse");
        let (_, run) = matches.subcommand().expect("run");
        RunOptions::from_arg_matches(run).expect("options of run")
    }

    #[test]
    fn keys_become_options_in_front_of_the_given_ones() {
        let file = r#"
            url = "ws://127.0.0.1:9001/live"
            [load]
            subscribers = 50
            rate = 0.5
            [messages]
            size = "1KiB"
            text = true
            binary = false
            [server]
            header = ["A: 1", "B: 2"]
            [time]
            duration = 3
        "#;
        let mut expanded = expand(file, &["--quiet"]).unwrap();
        assert_eq!(expanded.pop().as_deref(), Some("--quiet"));
        expanded.sort();
        assert_eq!(
            expanded,
            [
                "--duration=3",
                "--header=A: 1",
                "--header=B: 2",
                "--rate=0.5",
                "--size=1KiB",
                "--subscribers=50",
                "--text",
                "ws://127.0.0.1:9001/live",
            ]
        );
    }

    #[test]
    fn the_command_line_wins_over_the_file_and_that_over_the_workload() {
        let file =
            "workload = \"rooms\"\nsubscribers = 50\nheader = [\"A: 1\"]\nurl = \"ws://127.0.0.1:1/a\"";
        let file_only = options(file, &[]);
        assert_eq!((file_only.subscribers, file_only.header.as_slice()), (50, &["A: 1".to_owned()][..]));
        assert_eq!(file_only.topics, 100, "as the workload says");
        let both = options(file, &["-c", "7", "--header", "B: 2", "--topics", "3", "ws://127.0.0.1:1/b"]);
        assert_eq!((both.subscribers, both.topics), (7, 3));
        assert_eq!(both.header, ["B: 2"], "a list takes the place of the other");
        assert_eq!(both.url.as_deref(), Some("ws://127.0.0.1:1/b"));
        let other = options(file, &["--workload", "fan-out"]);
        assert_eq!((other.topics, other.subscribers), (1, 50));
    }

    #[test]
    fn what_cannot_stand_beside_a_stronger_option_goes() {
        assert_eq!(expand("rate = 5\nsubscribers = 2", &["--in-flight", "3"]).unwrap()[0], "--subscribers=2");
        assert_eq!(options("in_flight = 5", &["--rate", "3"]).in_flight, None);
        assert!(!options("text = true", &["--binary"]).text);
        let matched = options("subscribe_message = \"+{topic}\"", &["--subscribed-match", "ok {topic}"]);
        assert_eq!(matched.subscribed_match.as_deref(), Some("ok {topic}"), "they need each other");
    }

    #[test]
    fn every_mistake_has_its_place() {
        let file = "subscriber = 5\nduration = \"5x\"\n[sever]\n[load]\ntopics = -1\nrate = true\ntext = 1\n\
                    [server]\npreset = \"corcast\"\nheader = [true]\n[messages]\nsize = 64\n[time]\nsize = 65\n";
        assert_eq!(
            expand(file, &[]).unwrap_err().lines().collect::<Vec<_>>(),
            [
                "s.toml:1:1: subscriber: there is no such option; did you mean subscribers?",
                "s.toml:2:12: invalid value '5x' for '--duration <TIME>': '5x' is not a duration: write 250ms, 10s, \
                 2m or 1h (at most 24h)",
                "s.toml:3:2: [sever]: there is no such section; did you mean server?",
                "s.toml:5:10: invalid value '-1' for '--topics <T>': -1 is not in 0..=4294967295",
                "s.toml:6:8: rate: expected a text or a number",
                "s.toml:7:8: text: expected true or false",
                "s.toml:9:10: invalid value 'corcast' for '--preset <PRESET>' [possible values: corecast, \
                 corecast-json, uws, bun, ws, nchan, broadcast, plain]",
                "s.toml:10:10: header: expected a list of texts",
                "s.toml:14:8: size stands twice: keep one of them",
            ]
        );
    }

    #[test]
    fn no_toml_is_told_with_its_place() {
        assert_eq!(
            expand("subscribers = 5\nrate = \n", &[]).unwrap_err(),
            "s.toml:2:8: string values must be quoted, expected literal string"
        );
        let line = ["corecast-load", "run", "--scenario", "/no/such/file"].map(OsString::from).to_vec();
        assert_eq!(
            with_scenario(&command(), line).unwrap_err().to_string(),
            "--scenario: cannot read /no/such/file: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn lines_without_a_scenario_stay_as_they_are() {
        for line in [
            &["corecast-load", "run", "-c", "5"][..],
            &["corecast-load", "run", "--no-such-option"],
            &["corecast-load", "--help"],
            &["corecast-load"],
        ] {
            let line: Vec<OsString> = line.iter().map(OsString::from).collect();
            assert_eq!(with_scenario(&command(), line.clone()), Ok(line));
        }
    }

    #[test]
    fn every_workload_is_a_scenario_file_without_mistakes() {
        for workload in <Workload as clap::ValueEnum>::value_variants() {
            let line = ["corecast-load", "run", "--workload", workload.name()].map(OsString::from).to_vec();
            let expanded = with_scenario(&command(), line).unwrap_or_else(|e| panic!("{e}"));
            assert!(command().try_get_matches_from(expanded).is_ok(), "{}", workload.name());
        }
    }
}
