//! The command `corecast-load`.

mod progress;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use corecast_load::autobahn::AutobahnOptions;
use corecast_load::diff::{DiffOptions, diff};
use corecast_load::dry_run::DryRun;
use corecast_load::options::shown_command_line;
use corecast_load::output::{OutputOptions, print};
use corecast_load::plan::{PlanOptions, print_plan};
use corecast_load::scenario_file::with_scenario;
use corecast_load::written::Written;
use corecast_load::{
    RunOptions, Scenario, SearchOptions, VERSION, WorkerOptions, WorkerServer, run, run_series, search,
};
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
    /// Search for the highest rate, or number of connections, that meets an objective
    Search(Box<SearchOptions>),
    /// Take part in runs that another process coordinates
    ///
    /// Generates its part of the load of `corecast-load run --workers`, run after run, until SIGTERM or Ctrl-C. Nobody is
    /// asked who they are, and nothing is encrypted, headers given to `run` included: whoever can connect to this port can
    /// have this host send any amount of traffic anywhere. Keep it on loopback or on a private network.
    Worker(WorkerOptions),
    /// Show a report that was written as JSON, and write it in other forms: a page with plots, a log of histograms
    Show(ShowOptions),
    /// Compare runs by their reports, and tell what differs by more than noise
    ///
    /// Each further report is compared with the first, or two groups of repeated runs with each other. With several runs in a
    /// group, noise is what runs of the same group differ by: half the width of the 95 % confidence interval of the difference
    /// (Welch's t). With one run each it is estimated from the intervals of the two runs (batch means). What happens between
    /// runs, such as another placement of threads, is not in that: repeat runs before you trust a small difference.
    Diff(DiffOptions),
    /// Say what a service needs of cores, memory, bandwidth and hosts, from measured runs
    // Boxed as well.
    Plan(Box<PlanOptions>),
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
        Command::Search(options) => hunt(&options),
        Command::Worker(options) => take_part(&options),
        Command::Show(options) => show(&options),
        Command::Diff(options) => diff(&options).map_err(Into::into),
        Command::Plan(options) => print_plan(&options).map_err(Into::into),
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
        return foretell(&scenario);
    }
    let mut display = ProgressDisplay::new(options.quiet)?;
    let command_line = shown_command_line(std::env::args());
    if let Some(times @ 2..) = options.repeat {
        return repeat(options, times, &scenario, &command_line, &mut display);
    }
    let report = run(&scenario, &command_line, &mut |progress| display.show(progress));
    display.clear();
    let report = report?;
    options.output.write(&report)?;
    Ok(report.verdict.exit_code)
}

/// What would happen.
fn foretell(scenario: &Scenario) -> Result<u8, Box<dyn std::error::Error>> {
    let dry_run = DryRun::of(scenario)?;
    print(&dry_run.to_string())?;
    Ok(if dry_run.falls_short() { WRONG_OPTIONS } else { 0 })
}

fn repeat(
    options: &RunOptions,
    times: u32,
    scenario: &Scenario,
    command_line: &[String],
    display: &mut ProgressDisplay,
) -> Result<u8, Box<dyn std::error::Error>> {
    options.output.check_series()?;
    let series = run_series(scenario, times, options.pause, command_line, &mut |p| display.show(p));
    display.clear();
    let series = series?;
    options.output.write_series(&series)?;
    Ok(series.exit_code)
}

fn hunt(options: &SearchOptions) -> Result<u8, Box<dyn std::error::Error>> {
    options.run.output.check()?;
    if options.run.dry_run {
        if let Some(mistake) = options.mistake() {
            return Err(mistake.into());
        }
        return foretell(&Scenario::from_options(&options.first_run())?);
    }
    let mut display = ProgressDisplay::new(options.run.quiet)?;
    let is_quiet = options.run.quiet;
    let mut head = true;
    let print = display.printer();
    let found = search(
        options,
        &shown_command_line(std::env::args()),
        &mut |progress| display.show(progress),
        &mut |step| {
            if !is_quiet {
                print(&step.line(std::mem::take(&mut head)));
            }
        },
    );
    display.clear();
    let found = found?;
    options.run.output.write_search(&found)?;
    Ok(found.answer.exit_code)
}

fn take_part(options: &WorkerOptions) -> Result<u8, Box<dyn std::error::Error>> {
    let stop = progress::interruption()?;
    let server = WorkerServer::bind(options)
        .map_err(|error| format!("cannot listen on {}: {error}", options.listen))?;
    eprintln!("corecast-load {VERSION}: waits for coordinators on {}", server.address());
    eprintln!(
        "whoever can connect there can have this host send any traffic anywhere: keep it on a private network"
    );
    server.serve(&stop, &|line| eprintln!("{line}"));
    Ok(0)
}

#[derive(Debug, clap::Args)]
struct ShowOptions {
    /// What --json wrote: a run, several of them, or a search
    report: PathBuf,
    #[command(flatten)]
    output: OutputOptions,
}

fn show(options: &ShowOptions) -> Result<u8, Box<dyn std::error::Error>> {
    options.output.check()?;
    match Written::read(&options.report)? {
        Written::Run(report) => options.output.write(&report)?,
        Written::Search(search) => options.output.write_search(&search)?,
        Written::Series(series) => {
            options.output.check_series()?;
            options.output.write_series(&series)?;
        }
    }
    Ok(0)
}

fn be_tested(options: &AutobahnOptions) -> Result<u8, Box<dyn std::error::Error>> {
    let cases = corecast_load::autobahn::run(options)?;
    println!("{cases} cases done; the results are with the fuzzing server");
    Ok(0)
}
