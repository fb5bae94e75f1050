//! Numbers, sizes and durations as operators write them, read and shown.

use std::time::Duration;

use super::mistake::Problem;

/// One value as it was written. The file has types; flags and the environment have words for everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// From a flag or the environment.
    Word(String),
    /// From the file, as the rest.
    String(String),
    Integer(i64),
    Boolean(bool),
    /// From the file, or the repeated uses of a flag.
    List(Vec<String>),
    /// A kind that no setting has, by its name.
    Other(&'static str),
}

impl Value {
    /// Fails with what was expected and what is there.
    fn unexpected<T>(&self, expected: &'static str) -> Result<T, Problem> {
        let found = match self {
            Self::Word(text) => format!("{text:?}"),
            Self::String(text) => format!("the string {text:?}"),
            Self::Integer(number) => format!("the integer {number}"),
            Self::Boolean(value) => value.to_string(),
            Self::List(_) => "a list".to_owned(),
            Self::Other(kind) => (*kind).to_owned(),
        };
        Err(Problem::Unexpected { expected, found })
    }
}

/// A whole number: `100000` or `100_000`.
pub(super) fn count(value: &Value) -> Result<u64, Problem> {
    match value {
        Value::Word(word) => digits(word),
        Value::Integer(number) => u64::try_from(*number).ok(),
        _ => None,
    }
    .map_or_else(|| value.unexpected("a whole number"), Ok)
}

/// Bytes: `64MiB`, `512KiB`, `1GiB`, or a plain number.
pub(super) fn size(value: &Value) -> Result<u64, Problem> {
    match value {
        Value::Word(text) | Value::String(text) => {
            let (number, unit) = split_unit(text);
            let unit = SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
            digits(number).zip(unit).and_then(|(number, (_, bytes))| number.checked_mul(*bytes))
        }
        Value::Integer(number) => u64::try_from(*number).ok(),
        _ => None,
    }
    .map_or_else(|| value.unexpected("a number of bytes such as 4096, 512KiB, 64MiB or 1GiB"), Ok)
}

/// A time span: `500ms`, `10s`, `10m` or `1h`.
pub(super) fn duration(value: &Value) -> Result<Duration, Problem> {
    match value {
        Value::Word(text) | Value::String(text) => {
            let (number, unit) = split_unit(text);
            let unit = DURATION_UNITS.iter().find(|(name, _)| *name == unit);
            digits(number).zip(unit).and_then(|(number, (_, ms))| number.checked_mul(*ms))
        }
        _ => None,
    }
    .map_or_else(
        || value.unexpected("a time with its unit such as 500ms, 10s, 10m or 1h"),
        |ms| Ok(Duration::from_millis(ms)),
    )
}

/// `true` or `false`.
pub(super) fn boolean(value: &Value) -> Result<bool, Problem> {
    match value {
        Value::Boolean(boolean) => Ok(*boolean),
        Value::Word(word) if word == "true" => Ok(true),
        Value::Word(word) if word == "false" => Ok(false),
        _ => value.unexpected("true or false"),
    }
}

/// Any text.
pub(super) fn text(value: &Value) -> Result<&str, Problem> {
    match value {
        Value::Word(text) | Value::String(text) => Ok(text),
        _ => value.unexpected("a string"),
    }
}

/// One text or several: `["a", "b"]` in the file, `a,b` in the environment, the flag twice on the command line.
pub(super) fn list(value: &Value) -> Result<Vec<&str>, Problem> {
    match value {
        Value::Word(words) => Ok(words.split(',').map(str::trim).collect()),
        Value::String(text) => Ok(vec![text]),
        Value::List(texts) => Ok(texts.iter().map(String::as_str).collect()),
        _ => value.unexpected("a list of strings"),
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(
    value: &Value,
    expected: &'static str,
    choices: &[(String, T)],
) -> Result<T, Problem> {
    let chosen = text(value).ok().and_then(|text| choices.iter().find(|(name, _)| name == text));
    chosen.map_or_else(|| value.unexpected(expected), |(_, choice)| Ok(*choice))
}

/// Bytes as [`size`] reads them, in the largest unit that shows them exactly.
pub(super) fn show_size(bytes: u64) -> String {
    show_in(bytes, SIZE_UNITS)
}

/// A time span as [`duration`] reads it, in the largest unit that shows it exactly.
pub(super) fn show_duration(duration: Duration) -> String {
    show_in(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), DURATION_UNITS)
}

/// Units from large to small. The last is the base: zero is shown in it.
const SIZE_UNITS: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];
const DURATION_UNITS: &[(&str, u64)] = &[("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

fn show_in(amount: u64, units: &[(&str, u64)]) -> String {
    let exact = units.iter().find(|(_, factor)| amount != 0 && amount.is_multiple_of(*factor));
    let (name, factor) = exact.unwrap_or(&units[units.len() - 1]);
    format!("{}{name}", amount / factor)
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

/// Decimal digits, with underscores between them as TOML allows.
fn digits(text: &str) -> Option<u64> {
    if !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    text.replace('_', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &str) -> Value {
        Value::Word(text.to_owned())
    }

    #[test]
    fn sizes_are_plain_bytes_or_binary_units() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("100_000", 100_000),
            ("512KiB", 524_288),
            ("64MiB", 67_108_864),
            ("64mib", 67_108_864),
            ("2GiB", 2_147_483_648),
        ] {
            assert_eq!(size(&word(text)), Ok(bytes), "{text}");
            assert_eq!(size(&Value::String(text.to_owned())), Ok(bytes), "{text}");
        }
        assert_eq!(size(&Value::Integer(4096)), Ok(4096));
    }

    #[test]
    fn sizes_refuse_decimal_units_fractions_signs_and_overflow() {
        for text in ["64MB", "64M", "1.5MiB", "-1", "+1", "", "MiB", "64 MiB", "_1", "99999999999GiB"] {
            let problem = size(&word(text)).unwrap_err().to_string();
            let expected =
                format!("expected a number of bytes such as 4096, 512KiB, 64MiB or 1GiB, found {text:?}");
            assert_eq!(problem, expected);
        }
        assert_eq!(
            size(&Value::Integer(-1)).unwrap_err().to_string(),
            "expected a number of bytes such as 4096, 512KiB, 64MiB or 1GiB, found the integer -1"
        );
    }

    #[test]
    fn durations_need_a_unit() {
        for (text, ms) in [("500ms", 500), ("10s", 10_000), ("10m", 600_000), ("1h", 3_600_000), ("0s", 0)] {
            assert_eq!(duration(&word(text)), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["10", "10 s", "10S", "1.5s", "s", "-1s", "5d"] {
            assert!(duration(&word(text)).is_err(), "{text}");
        }
        assert_eq!(
            duration(&Value::Integer(10)).unwrap_err().to_string(),
            "expected a time with its unit such as 500ms, 10s, 10m or 1h, found the integer 10"
        );
    }

    #[test]
    fn numbers_and_booleans_are_not_strings_in_the_file() {
        assert_eq!(count(&word("7")), Ok(7));
        assert_eq!(count(&Value::Integer(7)), Ok(7));
        assert_eq!(
            count(&Value::String("7".to_owned())).unwrap_err().to_string(),
            "expected a whole number, found the string \"7\""
        );
        assert_eq!(boolean(&word("false")), Ok(false));
        assert_eq!(
            boolean(&Value::String("true".to_owned())).unwrap_err().to_string(),
            "expected true or false, found the string \"true\""
        );
    }

    #[test]
    fn lists_take_commas_from_words_only() {
        assert_eq!(list(&word("a, b")), Ok(vec!["a", "b"]));
        assert_eq!(list(&Value::String("a,b".to_owned())), Ok(vec!["a,b"]));
        assert_eq!(list(&Value::List(vec!["a".to_owned(), "b".to_owned()])), Ok(vec!["a", "b"]));
    }

    #[test]
    fn shown_in_the_largest_exact_unit() {
        let sizes = [(0, "0"), (1000, "1000"), (1536, "1536"), (512 << 10, "512KiB"), (3 << 30, "3GiB")];
        for (bytes, shown) in sizes {
            assert_eq!(show_size(bytes), shown);
        }
        for (ms, shown) in [(0, "0ms"), (1500, "1500ms"), (25_000, "25s"), (90_000, "90s"), (600_000, "10m")]
        {
            assert_eq!(show_duration(Duration::from_millis(ms)), shown);
        }
    }
}
