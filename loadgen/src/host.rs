//! The machine a report comes from: a figure without it means little.

use std::fs;

use serde::{Deserialize, Serialize};

/// What the report says about the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    pub kernel: String,
    pub cpu_model: String,
    /// Cores that this process may use.
    pub allowed_cores: usize,
}

impl Host {
    pub fn here() -> Self {
        let uname = rustix::system::uname();
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            kernel: format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy()),
            cpu_model: cpu_model(&cpuinfo).unwrap_or_else(|| uname.machine().to_string_lossy().into_owned()),
            allowed_cores: core_affinity::get_core_ids().map_or(0, |cores| cores.len()),
        }
    }
}

/// x86 has `model name`; most others have nothing that names the model.
fn cpu_model(cpuinfo: &str) -> Option<String> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_is_the_text_behind_the_colon() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Example CPU: fast\nflags\t: x\n";
        assert_eq!(cpu_model(cpuinfo), Some("Example CPU: fast".to_owned()));
        assert_eq!(cpu_model("Hardware : board"), None);
    }

    #[test]
    fn this_host_runs_linux() {
        assert!(Host::here().kernel.starts_with("Linux "));
    }
}
