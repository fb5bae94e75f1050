//! The command `corecast`: arguments, configuration, and then one of its subcommands.

mod allocator;
mod doctor;

use std::io::{self, Write};
use std::process::{self, ExitCode};
use std::thread;

use clap::FromArgMatches;
use corecast::config::arguments::{Arguments, Command};
use corecast::config::{Budget, BudgetInputs, Config, HostLimits, ListenAddress, Sources, resolve};
use corecast::observe::{VERSION, log};
use corecast::{deflate, home, hub, net, topics};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing::{error, info};

/// Wrong usage or configuration; clap exits with the same.
const EXIT_CONFIGURATION: u8 = 2;

/// What a shell reports for a program that SIGINT ended.
const EXIT_SECOND_SIGNAL: i32 = 130;

fn main() -> ExitCode {
    allocator::give_back_at_once();
    let matches = Arguments::parser().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let flags = matches.subcommand().map_or(&matches, |(_, flags)| flags);

    let command = arguments.command.unwrap_or(Command::Serve);
    // A budget is often made for another host.
    let is_plan = matches!(command, Command::Budget { .. });
    let host = if is_plan { HostLimits::unlimited() } else { HostLimits::raise_and_read() };
    let effective = match resolve(&Sources::read(flags, std::env::vars_os()), &host) {
        Ok(effective) => effective,
        Err(mistakes) => {
            eprintln!("corecast: {mistakes}");
            return ExitCode::from(EXIT_CONFIGURATION);
        }
    };
    let budget = budget(&effective.config);
    match command {
        Command::Serve => serve(effective.config, &budget),
        Command::Doctor => doctor::run(&effective.config, &host, &budget, &mut io::stdout().lock()),
        Command::Budget { json } => print(&if json { budget.to_json() } else { budget.to_string() }),
        Command::CheckConfig => print(&effective.to_string()),
    }
}

/// Serves until a signal, then drains.
fn serve(config: Config, budget: &Budget) -> ExitCode {
    log::init(&config.log);
    let drain_timeout = config.drain_timeout;
    // Before the start, so that a signal during it is not lost.
    let mut signals = match Signals::new([SIGTERM, SIGINT]) {
        Ok(signals) => signals,
        Err(error) => return fail(&format!("cannot handle signals: {error}")),
    };
    let running = match corecast::start(config) {
        Ok(running) => running,
        Err(error) => return fail(&error.to_string()),
    };
    for address in running.addresses() {
        match address {
            ListenAddress::Tcp(_) => info!(
                "corecast {VERSION} listens on {address}: subscribe at ws://{address}/topics/{{topic}}, publish there or \
                 with POST http://{address}/topics/{{topic}}"
            ),
            ListenAddress::Unix(path) => info!(
                "corecast {VERSION} listens on {address}: see what a topic has with `curl --unix-socket {} \
                 http://localhost/topics/{{topic}}`",
                path.display()
            ),
        }
    }
    if let Some(address) = running.admin_address() {
        info!("metrics and readiness at http://{address}/metrics, /health and /ready");
    }
    info!("{}", budget.summary());

    let signal = signals.forever().next();
    info!(
        "{} received: no new connections, {} s at most for those that are open; a second signal ends at once",
        if signal == Some(SIGINT) { "SIGINT" } else { "SIGTERM" },
        drain_timeout.as_secs_f64()
    );
    running.stop();
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            process::exit(EXIT_SECOND_SIGNAL);
        }
    });
    match running.join() {
        Ok(()) => {
            info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error.to_string()),
    }
}

fn budget(config: &Config) -> Budget {
    let inputs = BudgetInputs {
        slot_bytes: net::table::SLOT_BYTES,
        topic_bytes: hub::TOPIC_BYTES + home::HOME_BYTES + topics::TOPIC_RECORD_BYTES,
        membership_bytes: hub::MEMBERSHIP_BYTES,
        json_membership_bytes: hub::JSON_MEMBERSHIP_BYTES,
        codec_bytes: deflate::CODEC_BYTES,
        ring_locked_bytes: corecast_uring::probe::locked_bytes(&config.ring()),
    };
    Budget::of(config, &inputs)
}

/// Prints on standard output; a reader that went away (`corecast budget | head`) is no failure.
fn print(text: &str) -> ExitCode {
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn fail(reason: &str) -> ExitCode {
    error!("{reason}");
    ExitCode::FAILURE
}
