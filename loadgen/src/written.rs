//! What `--json` wrote, read back: a run, several of them, or a search.

use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::report::{ReadError, Report};
use crate::search::{self, SearchReport};
use crate::series::{self, Series};

#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    Run(Box<Report>),
    Series(Box<Series>),
    Search(Box<SearchReport>),
}

impl Written {
    /// Reads it.
    ///
    /// # Errors
    /// When there is no such file, or it is none of these in this version.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        #[derive(Deserialize)]
        struct Head {
            schema: String,
        }
        let text = fs::read_to_string(path).unwrap_or_default();
        match serde_json::from_str::<Head>(&text) {
            Ok(head) if head.schema == series::SCHEMA => parse(&text, path).map(Self::Series),
            Ok(head) if head.schema == search::SCHEMA => parse(&text, path).map(Self::Search),
            // A report, or a file that it knows an error for.
            _ => Report::read(path).map(|report| Self::Run(Box::new(report))),
        }
    }

    /// The runs that can be compared with others: one or several of one scenario.
    ///
    /// # Errors
    /// When there is no such file, or it is neither a report nor a series.
    pub fn read_runs(path: &Path) -> Result<Vec<Report>, ReadError> {
        match Self::read(path)? {
            Self::Run(report) => Ok(vec![*report]),
            Self::Series(series) if series.runs.is_empty() => {
                let cause = serde::de::Error::custom("it has no runs");
                Err(ReadError::Incomplete { path: path.to_owned(), cause })
            }
            Self::Series(series) => Ok(series.runs),
            Self::Search(search) => {
                Err(ReadError::OtherSchema { path: path.to_owned(), found: search.schema })
            }
        }
    }
}

fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, ReadError> {
    serde_json::from_str(text).map_err(|cause| ReadError::Incomplete { path: path.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::search::Stopped;
    use crate::search::tests::a_search;
    use crate::series::tests::a_series;

    /// Reads a file that holds this.
    fn read<T>(name: &str, json: &str, read: fn(&Path) -> T) -> T {
        let path = std::env::temp_dir().join(format!("corecast-load-{}-{name}.json", std::process::id()));
        fs::write(&path, json).expect("a file");
        let read = read(&path);
        fs::remove_file(&path).expect("just written");
        read
    }

    #[test]
    fn each_form_is_told_by_its_schema() {
        let (series, search) = (a_series(), a_search(&[(100.0, 5)], Stopped::UpperBound));
        let run = series.runs[0].clone();
        let written = [
            read("run", &run.to_json(), Written::read),
            read("series", &series.to_json(), Written::read),
            read("search", &search.to_json(), Written::read),
        ];
        let expected =
            [Written::Run(run.into()), Written::Series(series.into()), Written::Search(search.into())];
        assert_eq!(written.map(|written| written.expect("just written")), expected);
    }

    #[test]
    fn runs_are_compared_alone_or_in_series() {
        let series = a_series();
        let runs = read("alone", &series.runs[0].to_json(), Written::read_runs).expect("a run");
        assert_eq!(runs, series.runs[..1]);
        assert_eq!(read("several", &series.to_json(), Written::read_runs).expect("a series"), series.runs);
        let none = read("none", &Series { runs: Vec::new(), ..series }.to_json(), Written::read_runs);
        assert!(none.unwrap_err().to_string().ends_with("is no complete report: it has no runs"));
        let search = a_search(&[(100.0, 5)], Stopped::UpperBound).to_json();
        let error = read("searched", &search, Written::read_runs).unwrap_err().to_string();
        assert!(error.contains("has the schema \"corecast-load/search/1\""), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_told_by_why() {
        let damaged = format!("{{\"schema\": \"{}\"}}", series::SCHEMA);
        let error = read("damaged", &damaged, Written::read).unwrap_err().to_string();
        assert!(error.contains("is no complete report: missing field"), "{error}");
        assert!(matches!(Written::read(Path::new("/nonexistent")), Err(ReadError::Unreadable { .. })));
        assert!(matches!(read("text", "hello", Written::read), Err(ReadError::NotJson { .. })));
    }
}
