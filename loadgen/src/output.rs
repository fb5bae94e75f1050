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

    /// Write the histograms to a file (or -), as a log that HdrHistogram's tools read (format 1.3): latencies for each interval
    /// of the run, tagged from_intended and from_sent
    #[arg(long, value_name = "FILE")]
    pub hlog: Option<PathBuf>,

    /// Write the report as a page with plots to a file (or -), which needs no other
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
    #[error("--{first} and --{second} cannot both go to standard output: give one of them a file")]
    Both { first: &'static str, second: &'static str },
    #[error("--{option} -: there are several reports; give a file, whose name gets the number of each run")]
    Several { option: &'static str },
    #[error("--hlog: a search has no log of its histograms; --json has them all")]
    NoLog,
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
    /// When a file's directory does not exist, or the file is one, or two forms are to be printed.
    pub fn check(&self) -> Result<(), OutputError> {
        let mut printed = None;
        for (option, path) in self.given() {
            if is_printed(path) {
                if let Some(first) = printed.replace(option) {
                    return Err(OutputError::Both { first, second: option });
                }
                continue;
            }
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

    /// The same for several reports.
    ///
    /// # Errors
    /// Also when more than the JSON of all of them is to be printed.
    pub fn check_series(&self) -> Result<(), OutputError> {
        match self.given().find(|(option, path)| *option != "json" && is_printed(path)) {
            Some((option, _)) => Err(OutputError::Several { option }),
            None => self.check(),
        }
    }

    /// Writes all files, and prints the text, or what is to be printed instead.
    ///
    /// # Errors
    /// When something cannot be written, or the report came from a file and is damaged.
    pub fn write(&self, report: &Report) -> Result<(), OutputError> {
        self.write_forms(report, |option| {
            Ok(match option {
                "json" => report.to_json(),
                "hlog" => report.to_hlog()?,
                _ => report.to_html()?,
            })
        })
    }

    /// The same of several runs: one JSON file for all, and of the others one for each run, with its number behind the
    /// name.
    ///
    /// # Errors
    /// As with a single report.
    pub fn write_series(&self, series: &Series) -> Result<(), OutputError> {
        let together = Self { json: self.json.clone(), ..Self::default() };
        let first = together.write_forms(series, |_| Ok(series.to_json()));
        for (number, run) in (1..).zip(&series.runs) {
            if let Some(path) = &self.hlog {
                write_file(&numbered(path, number), &run.to_hlog()?)?;
            }
            if let Some(path) = &self.html {
                write_file(&numbered(path, number), &run.to_html()?)?;
            }
        }
        first
    }

    /// The same of a search, which has no log.
    ///
    /// # Errors
    /// As with a single report.
    pub fn write_search(&self, search: &SearchReport) -> Result<(), OutputError> {
        self.write_forms(search, |option| match option {
            "json" => Ok(search.to_json()),
            "hlog" => Err(OutputError::NoLog),
            _ => Ok(search.to_html()),
        })
    }

    /// Writes what was asked for, each form by its option.
    fn write_forms(
        &self,
        text: &dyn Display,
        form: impl Fn(&str) -> Result<String, OutputError>,
    ) -> Result<(), OutputError> {
        let mut shown = None;
        let mut files = Vec::new();
        for (option, path) in self.given() {
            let written = form(option)?;
            if is_printed(path) {
                shown = Some(written);
            } else {
                files.push((path, written));
            }
        }
        // Neither a full disk nor a reader that is gone may cost the other.
        let printed = print(&shown.unwrap_or_else(|| text.to_string())).map_err(OutputError::NotPrinted);
        let written: Vec<_> = files.into_iter().map(|(path, written)| write_file(path, &written)).collect();
        written.into_iter().chain([printed]).collect()
    }

    fn given(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let options = [("json", &self.json), ("hlog", &self.hlog), ("html", &self.html)];
        options.into_iter().filter_map(|(option, path)| Some((option, path.as_deref()?)))
    }
}

/// Prints a text. `print!` would panic when nobody reads, as behind a pipe that `head` has left.
///
/// # Errors
/// When it cannot be printed.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
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

fn is_printed(path: &Path) -> bool {
    path == Path::new("-")
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
        let printed = OutputOptions { html: Some(PathBuf::from("-")), ..OutputOptions::default() };
        assert_eq!(
            printed.check_series().expect_err("one standard output").to_string(),
            "--html -: there are several reports; give a file, whose name gets the number of each run"
        );
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
        let mut options = OutputOptions { json, ..OutputOptions::default() };
        assert!(options.check().is_ok());
        options.hlog = Some(PathBuf::from("-"));
        assert_eq!(
            options.check().expect_err("one standard output").to_string(),
            "--json and --hlog cannot both go to standard output: give one of them a file"
        );
    }
}
