//! Where reports go: the terminal and files.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::encoded_histogram::DecodeError;
use crate::report::Report;
use crate::search::SearchReport;
use crate::series::Series;

/// The files that a report is written to.
#[derive(Clone, Debug, Default, Args)]
pub struct OutputOptions {
    /// Write the report as JSON to a file, or to standard output instead of the text with -
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Write the histograms to a file, as a log that HdrHistogram's tools read (format 1.3): latencies for each interval of the
    /// run, tagged from_intended and from_sent
    #[arg(long, value_name = "FILE")]
    pub hlog: Option<PathBuf>,

    /// Write the report as a page with plots to a file, which needs no other
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Why a report cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("--{option} {}: there is no directory {}; make it, or choose another place", path.display(), directory.display())]
    NoDirectory { option: &'static str, path: PathBuf, directory: PathBuf },
    #[error("--{option} {} is a directory: give the name of a file", path.display())]
    IsDirectory { option: &'static str, path: PathBuf },
    #[error("cannot write the report to {}: {cause}", path.display())]
    NotWritten { path: PathBuf, cause: io::Error },
    #[error("cannot print the report: {0}")]
    NotPrinted(io::Error),
    #[error("the report's histograms are damaged: {0}")]
    Damaged(#[from] DecodeError),
}

impl OutputOptions {
    /// Finds before a long run what would keep its report from being written.
    ///
    /// # Errors
    /// When a file's directory does not exist, or the file is one.
    pub fn check(&self) -> Result<(), OutputError> {
        let files = [("json", &self.json), ("hlog", &self.hlog), ("html", &self.html)];
        for (option, path) in files {
            let Some(path) = path.as_deref().filter(|path| *path != Path::new("-")) else { continue };
            if path.is_dir() {
                return Err(OutputError::IsDirectory { option, path: path.to_owned() });
            }
            let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
            if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
                let (path, directory) = (path.to_owned(), directory.to_owned());
                return Err(OutputError::NoDirectory { option, path, directory });
            }
        }
        Ok(())
    }

    /// Writes all files, and prints the text unless JSON is printed.
    ///
    /// # Errors
    /// When something cannot be written, or the report came from a file and is damaged.
    pub fn write(&self, report: &Report) -> Result<(), OutputError> {
        self.print(report, &report.to_json())?;
        self.write_files(report)
    }

    /// The same of several runs: one JSON file for all, and of the others one for each run, with its number behind the
    /// name.
    ///
    /// # Errors
    /// As with a single report.
    pub fn write_series(&self, series: &Series) -> Result<(), OutputError> {
        self.print(series, &series.to_json())?;
        for (number, run) in (1..).zip(&series.runs) {
            let numbered = |path: &PathBuf| numbered(path, number);
            let (hlog, html) = (self.hlog.as_ref().map(numbered), self.html.as_ref().map(numbered));
            Self { json: None, hlog, html }.write_files(run)?;
        }
        Ok(())
    }

    /// The same of a search, which has no log.
    ///
    /// # Errors
    /// As with a single report.
    pub fn write_search(&self, search: &SearchReport) -> Result<(), OutputError> {
        self.print(search, &search.to_json())?;
        match &self.html {
            Some(path) => write_file(path, &search.to_html()),
            None => Ok(()),
        }
    }

    /// Prints one of both; JSON may go to a file instead. First of all outputs, so that a full disk costs no more than files.
    fn print(&self, text: &dyn Display, json: &str) -> Result<(), OutputError> {
        let prints_json = self.json.as_deref() == Some(Path::new("-"));
        let mut out = io::stdout().lock();
        let printed = if prints_json { out.write_all(json.as_bytes()) } else { write!(out, "{text}") };
        printed.and_then(|()| out.flush()).map_err(OutputError::NotPrinted)?;
        match &self.json {
            Some(path) if !prints_json => write_file(path, json),
            _ => Ok(()),
        }
    }

    fn write_files(&self, report: &Report) -> Result<(), OutputError> {
        if let Some(path) = &self.hlog {
            write_file(path, &report.to_hlog()?)?;
        }
        if let Some(path) = &self.html {
            write_file(path, &report.to_html()?)?;
        }
        Ok(())
    }
}

/// `runs.html` becomes `runs-2.html`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!("-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

fn write_file(path: &Path, text: &str) -> Result<(), OutputError> {
    fs::write(path, text).map_err(|cause| OutputError::NotWritten { path: path.to_owned(), cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_several_runs_are_numbered() {
        let numbered = |path: &str| numbered(Path::new(path), 2).display().to_string();
        assert_eq!(numbered("/tmp/run.html"), "/tmp/run-2.html");
        assert_eq!(numbered("run.tar.hlog"), "run.tar-2.hlog");
        assert_eq!(numbered("dir.d/run"), "dir.d/run-2");
    }

    #[test]
    fn places_that_do_not_exist_are_found_before_the_run() {
        let check = |path: &str| {
            let html = Some(PathBuf::from(path));
            OutputOptions { html, ..OutputOptions::default() }.check().map_err(|error| error.to_string())
        };
        assert_eq!(check("/tmp/a.html"), Ok(()));
        assert_eq!(check("a.html"), Ok(()));
        assert_eq!(
            check("/nonexistent/a.html").unwrap_err(),
            "--html /nonexistent/a.html: there is no directory /nonexistent; make it, or choose another place"
        );
        assert_eq!(check("/tmp").unwrap_err(), "--html /tmp is a directory: give the name of a file");
        let json = Some(PathBuf::from("-"));
        assert!(OutputOptions { json, ..OutputOptions::default() }.check().is_ok());
    }
}
