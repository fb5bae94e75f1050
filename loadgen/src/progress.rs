//! Progress bars on a terminal, and Ctrl-C.

use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use corecast_load::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Set by the first Ctrl-C; the second ends the process.
pub(crate) fn interruption() -> io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Order matters: the default action is taken if the flag was set by an earlier signal.
        flag::register_conditional_default(signal, Arc::clone(&interrupted))?;
        flag::register(signal, Arc::clone(&interrupted))?;
    }
    Ok(interrupted)
}

/// What the user sees of a run while it goes on.
pub(crate) struct ProgressDisplay {
    bar: Option<ProgressBar>,
    shown: &'static str,
    interrupted: Arc<AtomicBool>,
}

impl ProgressDisplay {
    /// The first Ctrl-C ends the run in order, the second at once.
    pub(crate) fn new(quiet: bool) -> io::Result<Self> {
        let interrupted = interruption()?;
        let wants_bar = !quiet && io::stderr().is_terminal();
        Ok(Self { bar: wants_bar.then(|| ProgressBar::new(0)), shown: "", interrupted })
    }

    pub(crate) fn show(&mut self, progress: Progress) -> ControlFlow<()> {
        if let Some(bar) = &self.bar {
            let (name, length, position, message) = match progress {
                Progress::Connecting { open, failed, wanted } => {
                    let message = if failed > 0 { format!("{failed} failed") } else { String::new() };
                    ("connecting", u64::from(wanted), u64::from(open + failed), message)
                }
                Progress::Holding { elapsed, total } => {
                    ("holding", total.as_millis() as u64, elapsed.as_millis() as u64, String::new())
                }
                Progress::Pinging { answered, wanted } => ("pinging", wanted, answered, String::new()),
                Progress::Publishing { elapsed, total, received } => {
                    let message = format!("{received} received");
                    ("measuring", total.as_millis() as u64, elapsed.as_millis() as u64, message)
                }
                Progress::Waiting { received, expected } => ("waiting", expected, received, String::new()),
                Progress::Closing => ("closing", 1, 0, String::new()),
                Progress::Resting { left } => ("resting", 1, 0, format!("{:.1} s", left.as_secs_f64())),
            };
            if self.shown != name {
                self.shown = name;
                bar.set_style(style(name));
                // What was done in the last phase tells nothing of this one's pace.
                bar.reset();
            }
            bar.set_length(length);
            bar.set_position(position);
            bar.set_message(message);
        }
        if self.interrupted.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    /// Prints on standard error what stays above the bar.
    pub(crate) fn printer(&self) -> impl Fn(&str) + use<> {
        let bar = self.bar.clone();
        move |text| match &bar {
            Some(bar) => bar.suspend(|| eprint!("{text}")),
            None => eprint!("{text}"),
        }
    }

    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(name: &str) -> ProgressStyle {
    // Phases of a known length are counted in milliseconds, which mean nothing to people: their bars show none.
    let counts = match name {
        "connecting" | "pinging" => " {human_pos}/{human_len}, {per_sec}, {eta} left",
        "waiting" => " {human_pos}/{human_len}",
        "holding" | "measuring" => " {eta} left",
        _ => "",
    };
    let template = format!("{name:>10} [{{bar:40}}]{counts} {{msg}}");
    ProgressStyle::with_template(&template).expect("the template is a constant").progress_chars("=> ")
}
