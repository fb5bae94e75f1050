//! The command `corecast-load`.

mod progress;

use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use corecast_load::autobahn::AutobahnOptions;
use corecast_load::dry_run::DryRun;
use corecast_load::options::shown_command_line;
use corecast_load::output::OutputOptions;
use corecast_load::scenario_file::with_scenario;
use corecast_load::{Report, RunOptions, Scenario, VERSION, run, run_series};
use progress::ProgressDisplay;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Load generator for WebSocket fan-out: latency from the intended send time, every delivery checked.
#[derive(Debug, Parser)]
#[command(name = "corecast-load", version = VERSION)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one scenario and report what was measured
    // Boxed: the options are large.
    Run(Box<RunOptions>),
    /// Show a report that was written as JSON, and write it in other forms
    Show(ShowOptions),
    /// Have Autobahn's fuzzing server test this generator's client
    Autobahn(AutobahnOptions),
}

const WRONG_OPTIONS: u8 = 1;

fn main() -> ExitCode {
    let line = match with_scenario(&Arguments::command(), std::env::args_os().collect()) {
        Ok(line) => line,
        Err(mistakes) => return refuse(&mistakes),
    };
    let arguments = match Arguments::try_parse_from(line) {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            // clap would exit with 2, which means loss here.
            return ExitCode::from(if error.use_stderr() { WRONG_OPTIONS } else { 0 });
        }
    };
    let result = match arguments.command {
        Command::Run(options) => execute(&options),
        Command::Show(options) => show(&options),
        Command::Autobahn(options) => be_tested(&options),
    };
    match result {
        Ok(exit_code) => ExitCode::from(exit_code),
        Err(error) => refuse(&*error),
    }
}

fn refuse(error: &dyn std::error::Error) -> ExitCode {
    for line in error.to_string().lines() {
        eprintln!("corecast-load: {line}");
    }
    ExitCode::from(WRONG_OPTIONS)
}

fn execute(options: &RunOptions) -> Result<u8, Box<dyn std::error::Error>> {
    options.output.check()?;
    let scenario = Scenario::from_options(options)?;
    if options.dry_run {
        let dry_run = DryRun::of(&scenario)?;
        print!("{dry_run}");
        return Ok(if dry_run.falls_short() { WRONG_OPTIONS } else { 0 });
    }
    let mut display = ProgressDisplay::new(options.quiet)?;
    let command_line = shown_command_line(std::env::args());
    if options.repeat > 1 {
        return repeat(options, &scenario, &command_line, &mut display);
    }
    let report = run(&scenario, &command_line, &mut |progress| display.show(progress));
    display.clear();
    let report = report?;
    options.output.write(&report)?;
    Ok(report.verdict.exit_code)
}

#[derive(Debug, clap::Args)]
struct ShowOptions {
    /// What `run --json` wrote
    report: PathBuf,
    #[command(flatten)]
    output: OutputOptions,
}

fn show(options: &ShowOptions) -> Result<u8, Box<dyn std::error::Error>> {
    options.output.check()?;
    options.output.write(&Report::read(&options.report)?)?;
    Ok(0)
}

fn repeat(
    options: &RunOptions,
    scenario: &Scenario,
    command_line: &[String],
    display: &mut ProgressDisplay,
) -> Result<u8, Box<dyn std::error::Error>> {
    let series = run_series(scenario, options.repeat, options.pause, command_line, &mut |p| display.show(p));
    display.clear();
    let series = series?;
    write_series(&series, &series.to_json(), options.output.json.as_deref())?;
    Ok(series.exit_code)
}

/// Text, and JSON where that was asked for.
fn write_series(
    text: &dyn Display,
    json: &str,
    file: Option<&Path>,
) -> Result<(), Box<dyn std::error::Error>> {
    match file {
        Some(path) if path == Path::new("-") => print!("{json}"),
        Some(path) => {
            std::fs::write(path, json)
                .map_err(|error| format!("cannot write the report to {}: {error}", path.display()))?;
            print!("{text}");
        }
        None => print!("{text}"),
    }
    Ok(std::io::stdout().flush()?)
}

fn be_tested(options: &AutobahnOptions) -> Result<u8, Box<dyn std::error::Error>> {
    let cases = corecast_load::autobahn::run(options)?;
    println!("{cases} cases done; the results are with the fuzzing server");
    Ok(0)
}
