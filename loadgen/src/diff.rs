//! Two runs, or two groups of runs, side by side: what differs by more than chance.
//!
//! ```text
//!   reports --> figures (one number of a run each) --> noise --> comparison --> table, JSON
//! ```

mod figures;
mod noise;
mod setups;
mod text;

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::output::print;
use crate::report::{ReadError, Report};
use crate::written::Written;
pub use figures::{Better, Kind};
use figures::{FIGURES, Figure};
use noise::Noise;

/// Changes when a field changes its name or meaning.
pub const SCHEMA: &str = "corecast-load-diff/1";

/// The command line of `corecast-load diff`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit status: 0 compared, 1 wrong options or files. With --fail-above also: 2 something is worse by more \
                        than that and by more than the noise, or more deliveries went wrong; 3 a run is not valid."
)]
pub struct DiffOptions {
    /// Reports that `run --json` wrote: the base, and what is compared with it
    #[arg(required_unless_present = "base", conflicts_with_all = ["base", "new"], num_args = 2.., value_name = "FILE")]
    pub reports: Vec<PathBuf>,

    /// Reports of runs of the base
    #[arg(long, num_args = 1.., requires = "new", value_name = "FILE")]
    pub base: Vec<PathBuf>,

    /// Reports of runs that are compared with it
    #[arg(long, num_args = 1.., requires = "base", value_name = "FILE")]
    pub new: Vec<PathBuf>,

    /// End with status 2 if a figure is worse by more than this, as in 5%, and by more than the noise. Figures of unknown noise
    /// do not count
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    pub fail_above: Option<f64>,

    /// Write the comparison as JSON to a file, or to standard output instead of the table with -. Only for two runs or groups
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Why there is nothing to compare.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("--json takes one comparison: give two reports, or two groups with --base and --new")]
    ManyAsJson,
    #[error("cannot write the comparison to {}: {cause}", path.display())]
    NotWritten { path: PathBuf, cause: std::io::Error },
    #[error("cannot print the comparison: {0}")]
    NotPrinted(std::io::Error),
}

/// Runs of one side.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    pub files: Vec<String>,
    #[serde(skip)]
    reports: Vec<Report>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    pub schema: &'static str,
    pub base: Group,
    pub new: Group,
    /// Noise is an estimate from within the runs.
    pub is_estimate: bool,
    /// What the reader should know before the figures: set-ups that differ, runs that are not valid.
    pub warnings: Vec<String>,
    pub figures: Vec<Compared>,
    #[serde(skip)]
    has_invalid_run: bool,
}

/// One figure of both sides. Of several runs it is the mean.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    pub name: &'static str,
    pub kind: Kind,
    pub better: Better,
    pub base: f64,
    pub new: f64,
    /// Of the base's value; absent when that is zero.
    pub difference_share: Option<f64>,
    /// Differences up to this may be chance; absent when nobody knows.
    pub noise_share: Option<f64>,
    pub finding: Finding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Finding {
    Same,
    /// Not beyond the noise.
    Noise,
    Better,
    Worse,
    /// It differs, but the noise is not known.
    Unknown,
}

/// Compares as the options say, and prints it. The answer is the exit status.
///
/// # Errors
/// When a report cannot be read, or the comparison not be written.
pub fn diff(options: &DiffOptions) -> Result<u8, DiffError> {
    let pairs = match options.reports.split_first() {
        Some((base, others)) => {
            let base = Group::read(std::slice::from_ref(base))?;
            let others = others.iter().map(|new| Group::read(std::slice::from_ref(new)));
            others.map(|new| Ok((base.clone(), new?))).collect::<Result<Vec<_>, DiffError>>()?
        }
        None => vec![(Group::read(&options.base)?, Group::read(&options.new)?)],
    };
    if options.json.is_some() && pairs.len() > 1 {
        return Err(DiffError::ManyAsJson);
    }
    let mut status = 0;
    for (number, (base, new)) in pairs.into_iter().enumerate() {
        let comparison = Comparison::new(base, new);
        if number > 0 {
            println!();
        }
        show(&comparison, options.json.as_deref())?;
        if let Some(most) = options.fail_above {
            let failures = comparison.failures(most);
            for failure in &failures {
                eprintln!("corecast-load: {failure}");
            }
            let found = match (failures.is_empty(), comparison.has_invalid_run) {
                (false, _) => 2,
                (true, true) => 3,
                (true, false) => 0,
            };
            // A regression says more than a run that proves nothing.
            status = if status == 2 || found == 2 { 2 } else { status.max(found) };
        }
    }
    Ok(status)
}

fn show(comparison: &Comparison, json: Option<&Path>) -> Result<(), DiffError> {
    let as_json = || {
        let text = serde_json::to_string_pretty(comparison);
        text.expect("a comparison has no maps with other keys than strings") + "\n"
    };
    match json {
        Some(path) if path == Path::new("-") => print(&as_json()),
        Some(path) => {
            let written = std::fs::write(path, as_json());
            written.map_err(|cause| DiffError::NotWritten { path: path.to_owned(), cause })?;
            print(&comparison.to_string())
        }
        None => print(&comparison.to_string()),
    }
    .map_err(DiffError::NotPrinted)
}

impl Group {
    fn read(paths: &[PathBuf]) -> Result<Self, DiffError> {
        let (mut files, mut reports) = (Vec::new(), Vec::new());
        for path in paths {
            let runs = Written::read_runs(path)?;
            files.extend((1..=runs.len()).map(|number| match runs.len() {
                1 => path.display().to_string(),
                _ => format!("{} (run {number})", path.display()),
            }));
            reports.extend(runs);
        }
        Ok(Self { files, reports })
    }
}

impl Comparison {
    fn new(base: Group, new: Group) -> Self {
        let is_estimate = base.reports.len() == 1 && new.reports.len() == 1;
        let figures =
            FIGURES.iter().filter_map(|figure| Compared::new(figure, &base.reports, &new.reports)).collect();
        let mut warnings = Vec::new();
        let groups = [("base", &base), ("new", &new)];
        for (side, group) in groups {
            for (file, report) in group.files.iter().zip(&group.reports) {
                if !report.verdict.valid {
                    let reasons = report.verdict.reasons.join("; ");
                    warnings.push(format!("{side} {file} is not valid: {reasons}"));
                }
            }
        }
        for (side, group) in groups {
            let first = &group.reports[0];
            let differences = group.reports[1..].iter().flat_map(|other| setups::differences(first, other));
            for difference in setups::once(differences) {
                warnings.push(format!("runs of {side} differ among themselves: {difference}"));
            }
        }
        for difference in setups::differences(&base.reports[0], &new.reports[0]) {
            warnings.push(format!("the set-ups differ: {difference}"));
        }
        let has_invalid_run = base.reports.iter().chain(&new.reports).any(|report| !report.verdict.valid);
        Self { schema: SCHEMA, base, new, is_estimate, warnings, figures, has_invalid_run }
    }

    /// A sentence for each figure that is worse by more than a share of the base's, beyond noise.
    fn failures(&self, most: f64) -> Vec<String> {
        let worse = self.figures.iter().filter(|figure| figure.finding == Finding::Worse);
        worse
            .filter_map(|figure| match (figure.kind, figure.difference_share) {
                // Each one is too many.
                (Kind::Wrong, _) => {
                    Some(format!("{} rose from {} to {}", figure.name, figure.base, figure.new))
                }
                (_, Some(share)) if share.abs() > most => Some(format!(
                    "{} is worse by {:.1} %, beyond its noise; at most {:.1} % are allowed",
                    figure.name,
                    share.abs() * 100.0,
                    most * 100.0
                )),
                _ => None,
            })
            .collect()
    }
}

impl Compared {
    /// `None` when one of the sides does not have it.
    fn new(figure: &Figure, base: &[Report], new: &[Report]) -> Option<Self> {
        let values = |reports: &[Report]| reports.iter().map(figure.value).collect::<Option<Vec<f64>>>();
        let (base_values, new_values) = (values(base)?, values(new)?);
        let (base_mean, new_mean) = (noise::mean(&base_values), noise::mean(&new_values));
        let noise = if figure.kind == Kind::Wrong {
            Noise::None
        } else if base.len() > 1 || new.len() > 1 {
            Noise::between_runs(&base_values, &new_values)
        } else {
            Noise::within_runs(&figure.over_time(&base[0]), &figure.over_time(&new[0]), base_mean, new_mean)
        };
        let difference = new_mean - base_mean;
        let is_worse = match figure.better {
            Better::Lower => difference > 0.0,
            Better::Higher => difference < 0.0,
        };
        let changed = if is_worse { Finding::Worse } else { Finding::Better };
        let finding = match noise {
            _ if difference == 0.0 => Finding::Same,
            Noise::None => changed,
            Noise::Unknown => Finding::Unknown,
            Noise::UpTo(most) if difference.abs() <= most => Finding::Noise,
            Noise::UpTo(_) => changed,
        };
        let share_of_base = |value: f64| (base_mean != 0.0).then(|| value / base_mean.abs());
        Some(Self {
            name: figure.name,
            kind: figure.kind,
            better: figure.better,
            base: base_mean,
            new: new_mean,
            difference_share: share_of_base(difference),
            noise_share: match noise {
                Noise::UpTo(most) => share_of_base(most),
                Noise::None => Some(0.0),
                Noise::Unknown => None,
            },
            finding,
        })
    }
}

/// `5%` or `5`.
fn parse_percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    let percent = number.parse::<f64>().ok().filter(|percent| (0.0..=1_000_000.0).contains(percent));
    percent.map(|percent| percent / 100.0).ok_or_else(|| format!("'{text}' is not a percentage: write 5%"))
}

#[cfg(test)]
mod tests;
