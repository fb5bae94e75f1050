//! Reports come back from their files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::report::{Report, SCHEMA};

/// Why a file is no report that this version can read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read the report {}: {cause}", path.display())]
    Unreadable { path: PathBuf, cause: io::Error },
    #[error("{} is not JSON: {cause}; give a file that `corecast-load run --json FILE` wrote", path.display())]
    NotJson { path: PathBuf, cause: serde_json::Error },
    #[error("{} is no report: it names no schema; give a file that `corecast-load run --json FILE` wrote", path.display())]
    NoSchema { path: PathBuf },
    #[error("{} has the schema {found:?}, but this version reads {SCHEMA:?}; use the version that wrote it", path.display())]
    OtherSchema { path: PathBuf, found: String },
    #[error("{} is no complete report: {cause}", path.display())]
    Incomplete { path: PathBuf, cause: serde_json::Error },
}

impl Report {
    /// Reads what `--json` wrote.
    ///
    /// # Errors
    /// When there is no such file, or it is no report of this schema.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let path = path.to_path_buf();
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, path),
            Err(cause) => Err(ReadError::Unreadable { path, cause }),
        }
    }

    fn parse(text: &str, path: PathBuf) -> Result<Self, ReadError> {
        #[derive(Deserialize)]
        struct Head {
            schema: Option<String>,
        }
        // Syntax first: only then does a missing schema mean anything.
        if let Err(cause) = serde_json::from_str::<serde::de::IgnoredAny>(text) {
            return Err(ReadError::NotJson { path, cause });
        }
        match serde_json::from_str(text) {
            Ok(Head { schema: Some(schema) }) if schema == SCHEMA => {}
            Ok(Head { schema: Some(found) }) => return Err(ReadError::OtherSchema { path, found }),
            Ok(Head { schema: None }) | Err(_) => return Err(ReadError::NoSchema { path }),
        }
        serde_json::from_str(text).map_err(|cause| ReadError::Incomplete { path, cause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        Report::parse(text, "a.json".into()).expect_err("no report").to_string()
    }

    #[test]
    fn what_is_no_report_is_told_by_why() {
        assert!(message("{\"schema\": ").starts_with("a.json is not JSON: EOF while parsing"));
        assert!(message("[1]").starts_with("a.json is no report: it names no schema; give a file that"));
        assert!(message("{\"version\": 3}").starts_with("a.json is no report: it names no schema"));
        assert_eq!(
            message("{\"schema\": \"corecast-load/9\"}"),
            "a.json has the schema \"corecast-load/9\", but this version reads \"corecast-load/1\"; use the version that \
             wrote it"
        );
        assert!(
            message("{\"schema\": \"corecast-load/1\"}")
                .starts_with("a.json is no complete report: missing field")
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Report::read(Path::new("/nonexistent/a.json")).expect_err("no file");
        assert!(error.to_string().starts_with("cannot read the report /nonexistent/a.json: No such file"));
    }
}
