//! The log: set-up, and a brake for lines that a peer can cause.

use std::io::{self, IsTerminal};
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};
use crate::ids::Now;

/// Sends what is traced to standard error. Call once, before anything is logged; a second call panics.
pub fn init(config: &LogConfig) {
    let filter =
        EnvFilter::builder().parse(&config.filter).expect("a resolved configuration has a log filter");
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match config.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

/// Lets a few lines pass in each period and counts the rest, so that a hostile peer fills counters and not the disk.
///
/// ```
/// # use std::time::Duration;
/// # use corecast::{ids::Now, observe::log::RateLimit};
/// let period = Duration::from_secs(10);
/// let mut limit = RateLimit::new(1, period);
/// let now = Now::default();
/// assert_eq!(limit.allow(now), Some(0));
/// assert_eq!(limit.allow(now), None);
/// assert_eq!(limit.allow(now.after(period)), Some(1));
/// ```
#[derive(Clone, Debug)]
pub struct RateLimit {
    lines: u32,
    period: Duration,
    /// Start of the period that counts, once there was a line.
    since: Option<Now>,
    /// Lines passed since then, at most `lines`.
    passed: u32,
    /// Lines held back since the last that passed.
    suppressed: u64,
}

impl RateLimit {
    /// At most `lines` in each `period`.
    pub const fn new(lines: u32, period: Duration) -> Self {
        Self { lines, period, since: None, passed: 0, suppressed: 0 }
    }

    /// Whether a line may be logged now; if so, with how many were held back since the last one.
    pub fn allow(&mut self, now: Now) -> Option<u64> {
        if self.since.is_none_or(|since| now.since(since) >= self.period) {
            self.since = Some(now);
            self.passed = 0;
        }
        if self.passed == self.lines {
            self.suppressed += 1;
            return None;
        }
        self.passed += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_over_the_limit_are_counted_and_told_with_the_next() {
        let at = |ms| Now::default().after(Duration::from_millis(ms));
        let mut limit = RateLimit::new(2, Duration::from_secs(1));
        assert_eq!(limit.allow(at(0)), Some(0));
        assert_eq!(limit.allow(at(1)), Some(0));
        assert_eq!(limit.allow(at(2)), None);
        assert_eq!(limit.allow(at(999)), None);
        assert_eq!(limit.allow(at(1000)), Some(2));
        assert_eq!(limit.allow(at(1500)), Some(0));
        assert_eq!(limit.allow(at(1999)), None);
        assert_eq!(limit.allow(at(9000)), Some(1));
    }
}
