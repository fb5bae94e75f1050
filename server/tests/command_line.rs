//! The binary from outside: what it prints where, and its exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// `corecast` without anything that the environment of the test run might set.
fn corecast(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_corecast"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CORECAST_") {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = corecast(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn version_goes_to_standard_output() {
    let (code, stdout, _) = run(&["--version"]);
    assert_eq!(code, Some(0));
    assert!(stdout.starts_with("corecast 0.1.0 (commit "), "{stdout}");
}

#[test]
fn an_unknown_flag_exits_2_and_names_the_nearest() {
    let (code, _, stderr) = run(&["--max-conections", "5"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("'--max-connections'"), "{stderr}");
}

#[test]
fn mistakes_exit_2_all_at_once_on_standard_error() {
    let output = corecast(&["check-config", "--shards", "0", "--log-format", "xml"])
        .env("CORECAST_PING_INTERVAL", "soon")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(output.stdout, b"");
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "corecast: the configuration has 3 mistakes:\n  \
         CORECAST_PING_INTERVAL: expected a time with its unit such as 500ms, 10s, 10m or 1h, found \"soon\"\n  \
         --shards: 0 is out of range: expected 1 to 512\n  \
         --log-format: expected text or json, found \"xml\"\n"
    );
}

#[test]
fn check_config_prints_the_values_in_effect() {
    let output =
        corecast(&["check-config", "--max-topics", "7"]).env("CORECAST_ADMIN", "off").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let stdout = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> =
        stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert!(lines.contains(&"max_topics = 7 # --max-topics".to_owned()), "{stdout}");
    assert!(lines.contains(&"admin = \"off\" # CORECAST_ADMIN".to_owned()), "{stdout}");
}

#[test]
fn budget_is_json_for_a_million_connections_on_any_host() {
    let (code, stdout, stderr) = run(&["budget", "--json", "--max-connections", "1000000"]);
    assert_eq!(code, Some(0), "{stderr}");
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["max_connections"], 1_000_000);
    // DESIGN: an idle connection costs at most 200 bytes of user space.
    assert!(json["per_connection"]["user_bytes"].as_u64().unwrap() <= 200, "{stdout}");
}

#[test]
fn a_taken_port_exits_1_and_says_which() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, stderr) = run(&["--listen", &address, "--admin", "off"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains(&address), "{stderr}");
}

#[test]
fn a_signal_ends_the_service_with_0() {
    let (mut server, _) = Server::start(&["--drain-timeout", "0s"]);
    server.signal();
    let rest: Vec<_> = server.log.by_ref().collect();
    assert_eq!(server.process.wait().unwrap().code(), Some(0), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("SIGTERM received")), "{rest:?}");
}

#[test]
fn a_second_signal_ends_it_at_once_with_130() {
    let (mut server, address) = Server::start(&["--drain-timeout", "1h", "--close-timeout", "1h"]);
    // A subscriber that never answers the Close keeps the drain waiting.
    let mut subscriber = TcpStream::connect(address).unwrap();
    subscriber.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    subscriber
        .write_all(
            b"GET /topics/a HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    let mut status = [0; 12];
    subscriber.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 101");

    server.signal();
    assert!(server.log.any(|line| line.contains("SIGTERM received")));
    server.signal();
    assert_eq!(server.process.wait().unwrap().code(), Some(130));
}

/// A server on a free port, which doesn't outlive its test.
struct Server {
    process: Child,
    log: Box<dyn Iterator<Item = String>>,
}

impl Server {
    /// Started, with the address it listens on.
    fn start(arguments: &[&str]) -> (Self, String) {
        let mut command = corecast(&["--listen", "127.0.0.1:0", "--admin", "off"]);
        let mut process = command.args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut server = Self { process, log: Box::new(lines.map_while(Result::ok)) };
        let line = server.log.find(|line| line.contains(" listens on ")).expect("it says where it listens");
        let (_, rest) = line.split_once(" listens on ").unwrap();
        let (address, _) = rest.split_once(": subscribe at ws://").unwrap();
        assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":0"), "{line}");
        (server, address.to_owned())
    }

    fn signal(&self) {
        let killed = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status().unwrap();
        assert!(killed.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails when it has ended by itself, as it should.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
