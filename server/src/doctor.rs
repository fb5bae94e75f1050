//! `corecast doctor`: whether this host can serve the configuration, line by line; what falls short, and how to mend it.

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;

use corecast::config::{Budget, Config, HostLimits, ListenAddress};
use corecast::net::unix_path;
use corecast_uring::probe;

/// Prints every finding. Fails if one of them keeps the server from starting.
pub(crate) fn run(config: &Config, host: &HostLimits, budget: &Budget, out: &mut dyn Write) -> ExitCode {
    let read = |path: &str| fs::read_to_string(path).ok();
    let mut findings = ring(config);
    findings.push(locked_memory(budget, host));
    findings.extend(memory(budget, &read));
    findings.extend(network(config, &read));
    findings.extend(addresses(config));

    let fails = findings.iter().filter(|finding| finding.verdict == Verdict::Fails).count();
    let advice = findings.iter().filter(|finding| finding.verdict == Verdict::Advice).count();
    for finding in &findings {
        // A reader that went away has seen enough.
        let _ = writeln!(out, "{finding}");
    }
    let _ = match (fails, advice) {
        (0, 0) => writeln!(out, "\nThis host can serve."),
        (0, advice) => writeln!(out, "\nThis host can serve. Could be better: {advice}."),
        (fails, _) => writeln!(out, "\nThis host can't serve yet. To be mended: {fails}."),
    };
    if fails == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// One fact about the host and what it means.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    verdict: Verdict,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    /// The server starts, but not everything that was asked of it will go well.
    Advice,
    /// The server would not start.
    Fails,
}

impl Finding {
    fn new(verdict: Verdict, text: impl Into<String>) -> Self {
        Self { verdict, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Fine => "ok    ",
            Verdict::Advice => "better",
            Verdict::Fails => "FAILS ",
        };
        write!(f, "{verdict}  {}", self.text)
    }
}

/// Kernel, io_uring and locked memory, as the ring's own probe sees them.
fn ring(config: &Config) -> Vec<Finding> {
    match probe::check(&config.ring(), config.shards) {
        Ok(capabilities) => {
            capabilities.to_string().lines().map(|line| Finding::new(Verdict::Fine, line)).collect()
        }
        Err(error) => vec![Finding::new(Verdict::Fails, error.to_string())],
    }
}

/// Too little is advice only: the limit counts all rings of a user together and doesn't bind a privileged process.
/// Whether a ring can be made, the probe has tried.
fn locked_memory(budget: &Budget, host: &HostLimits) -> Finding {
    let needed = budget.per_shard.kernel_bytes * budget.shards;
    let limit =
        if host.locked_bytes == u64::MAX { "unlimited".to_owned() } else { host.locked_bytes.to_string() };
    let text = format!("locked memory with the executor's rings: {needed} bytes, RLIMIT_MEMLOCK is {limit}");
    if needed <= host.locked_bytes {
        return Finding::new(Verdict::Fine, text);
    }
    let fix = format!("raise it with ulimit -l {} or LimitMEMLOCK={needed}", needed.div_ceil(1024));
    Finding::new(Verdict::Advice, format!("{text}: {fix}"))
}

fn memory(budget: &Budget, read: &dyn Fn(&str) -> Option<String>) -> Option<Finding> {
    let available = read("/proc/meminfo")?.lines().find_map(|line| {
        line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    })?;
    let (needed, available) = ((budget.total.user_bytes + budget.total.kernel_bytes) >> 20, available >> 10);
    let text = format!("memory: {available} MiB available, at most {needed} MiB used (corecast budget)");
    Some(if needed <= available {
        Finding::new(Verdict::Fine, text)
    } else {
        Finding::new(Verdict::Advice, format!("{text}: lower max_connections or the byte limits"))
    })
}

/// A setting of the kernel that bounds how fast or how many clients connect.
struct Sysctl {
    name: &'static str,
    needed: u64,
    /// What happens below.
    effect: &'static str,
}

fn network(config: &Config, read: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let connections = u64::from(config.max_connections);
    let sysctls = [
        Sysctl {
            name: "net.core.somaxconn",
            needed: 4096,
            effect: "larger bursts of connects are dropped and retried after a second",
        },
        Sysctl {
            name: "net.ipv4.tcp_max_syn_backlog",
            needed: 4096,
            effect: "larger bursts of connects get SYN cookies or are dropped",
        },
        Sysctl {
            name: "net.netfilter.nf_conntrack_max",
            needed: connections,
            effect: "the firewall drops connections beyond it",
        },
    ];
    let finding = |Sysctl { name, needed, effect }: Sysctl| {
        // Absent where the kernel has no such thing: then it bounds nothing.
        let value: u64 = read(&format!("/proc/sys/{}", name.replace('.', "/")))?.trim().parse().ok()?;
        Some(if value >= needed {
            Finding::new(Verdict::Fine, format!("{name} is {value}"))
        } else {
            Finding::new(Verdict::Advice, format!("{name} is {value}: {effect}; sysctl -w {name}={needed}"))
        })
    };
    sysctls.into_iter().filter_map(finding).collect()
}

/// Whether every address could be bound now.
fn addresses(config: &Config) -> Vec<Finding> {
    let listen = config.listen.iter().map(|listen| match listen {
        ListenAddress::Tcp(tcp) => address(*tcp, "--listen"),
        ListenAddress::Unix(path) => socket_path(path),
    });
    listen.chain(config.admin.map(|admin| address(admin, "--admin"))).collect()
}

fn socket_path(path: &Path) -> Finding {
    let shown = path.display();
    match unix_path::listen(path, 1) {
        Ok(_) => Finding::new(Verdict::Fine, format!("unix:{shown} is free")),
        Err(error) => Finding::new(Verdict::Fails, format!("unix:{shown}: {error}")),
    }
}

fn address(address: SocketAddr, flag: &str) -> Finding {
    let port = address.port();
    let fix = match TcpListener::bind(address).map_err(|error| (error.kind(), error)) {
        Ok(_) => return Finding::new(Verdict::Fine, format!("{address} is free")),
        Err((ErrorKind::AddrInUse, _)) => format!(
            "in use: something listens there already; find it with `ss -ltnp sport = :{port}` and stop it, or choose \
             another address with {flag}"
        ),
        Err((ErrorKind::AddrNotAvailable, _)) => {
            format!("not an address of this host (see `ip address`); choose another with {flag}")
        }
        Err((ErrorKind::PermissionDenied, _)) => format!(
            "not permitted: ports below net.ipv4.ip_unprivileged_port_start need CAP_NET_BIND_SERVICE \
             (AmbientCapabilities= in the service unit), or choose a higher port with {flag}"
        ),
        Err((_, error)) => format!("{error}; choose another address with {flag}"),
    };
    Finding::new(Verdict::Fails, format!("{address} is {fix}"))
}

#[cfg(test)]
mod tests {
    use corecast::config::BudgetInputs;

    use super::*;

    const HOST: HostLimits = HostLimits { open_files: 1_000_000, locked_bytes: u64::MAX, cores: 1 };

    const INPUTS: BudgetInputs = BudgetInputs {
        slot_bytes: 200,
        topic_bytes: 300,
        membership_bytes: 16,
        json_membership_bytes: 24,
        codec_bytes: 300_000,
        ring_locked_bytes: 110_592,
    };

    #[test]
    fn small_sysctls_come_with_the_command_that_mends_them() {
        let read = |path: &str| match path {
            "/proc/sys/net/core/somaxconn" => Some("128\n".to_owned()),
            "/proc/sys/net/ipv4/tcp_max_syn_backlog" => Some("4096\n".to_owned()),
            _ => None,
        };
        let lines: Vec<_> =
            network(&Config::defaults(&HOST), &read).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "better  net.core.somaxconn is 128: larger bursts of connects are dropped and retried after a \
                 second; sysctl -w net.core.somaxconn=4096",
                "ok      net.ipv4.tcp_max_syn_backlog is 4096",
            ]
        );
    }

    #[test]
    fn a_taken_port_fails_and_names_the_flag() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
        let finding = address(taken.1, "--admin");
        assert_eq!(finding.verdict, Verdict::Fails);
        let port = taken.1.port();
        assert_eq!(
            finding.text,
            format!(
                "127.0.0.1:{port} is in use: something listens there already; find it with `ss -ltnp sport = \
                 :{port}` and stop it, or choose another address with --admin"
            )
        );
        drop(taken);
        assert_eq!(address(([127, 0, 0, 1], 0).into(), "--listen").verdict, Verdict::Fine);
    }

    #[test]
    fn an_address_of_another_host_fails() {
        // RFC 5737: no host has an address of 192.0.2.0/24.
        let finding = address(([192, 0, 2, 1], 9001).into(), "--listen");
        assert_eq!(
            finding.to_string(),
            "FAILS   192.0.2.1:9001 is not an address of this host (see `ip address`); choose another with --listen"
        );
    }

    #[test]
    fn a_socket_path_that_cannot_be_had_fails_and_a_free_one_is_left_free() {
        assert_eq!(
            socket_path("/".as_ref()).to_string(),
            "FAILS   unix:/: there is a directory in its place, and only a socket that nobody listens on is replaced; \
             remove it or choose another path with --listen"
        );
        let path = std::env::temp_dir().join(format!("corecast-doctor-{}.sock", std::process::id()));
        assert_eq!(socket_path(&path).verdict, Verdict::Fine);
        assert!(!path.exists());
    }

    #[test]
    fn locked_memory_counts_the_executors_rings_too() {
        let budget = Budget::of(&Config::defaults(&HOST), &INPUTS);
        assert_eq!(
            locked_memory(&budget, &HOST).to_string(),
            "ok      locked memory with the executor's rings: 294912 bytes, RLIMIT_MEMLOCK is unlimited"
        );
        assert_eq!(
            locked_memory(&budget, &HostLimits { locked_bytes: 65_536, ..HOST }).to_string(),
            "better  locked memory with the executor's rings: 294912 bytes, RLIMIT_MEMLOCK is 65536: raise it with \
             ulimit -l 288 or LimitMEMLOCK=294912"
        );
    }

    #[test]
    fn too_little_memory_is_said_before_it_is_missed() {
        let read = |_: &str| Some("MemTotal: 9999999 kB\nMemAvailable:     102400 kB\n".to_owned());
        let budget = Budget::of(&Config::defaults(&HOST), &INPUTS);
        let finding = memory(&budget, &read).unwrap();
        assert_eq!(finding.verdict, Verdict::Advice);
        assert!(finding.text.starts_with("memory: 100 MiB available, at most "), "{}", finding.text);
    }
}
