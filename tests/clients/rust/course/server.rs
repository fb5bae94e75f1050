//! `corecast serve` as a process of its own, on free ports. What is asked of it over HTTP blocks the thread.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

pub struct Server {
    process: Child,
    pub address: SocketAddr,
    admin: SocketAddr,
    /// Reads the log on, so that the server never waits for somebody to do so.
    log: Option<JoinHandle<String>>,
}

impl Server {
    pub fn start(flags: &[&str]) -> Self {
        let mut process = Command::new(binary())
            .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the release build, or the file that CORECAST_BINARY names");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        let mut log = String::new();
        let (mut address, mut admin) = (None, None);
        while address.is_none() || admin.is_none() {
            let Some(line) = lines.next() else { panic!("the server ended:\n{log}") };
            let line = line.expect("a log in UTF-8");
            address = address.or_else(|| between(&line, "listens on ", ": "));
            admin = admin.or_else(|| between(&line, "http://", "/metrics"));
            log.push_str(&line);
            log.push('\n');
        }
        let log = std::thread::spawn(move || {
            for line in lines {
                log.push_str(&line.expect("a log in UTF-8"));
                log.push('\n');
            }
            log
        });
        Self {
            process,
            address: address.expect("waited for").parse().expect("an address"),
            admin: admin.expect("waited for").parse().expect("an address"),
            log: Some(log),
        }
    }

    /// Publishes bytes, which must succeed.
    pub fn publish(&self, topic: &str, body: &[u8]) {
        let head = format!(
            "POST /topics/{topic} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n",
            self.address,
            body.len()
        );
        let answer = ask(self.address, &head, body);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }

    /// A metric without labels, by its name without the prefix `corecast_`.
    pub fn metric(&self, name: &str) -> u64 {
        let page = ask(self.admin, &format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n", self.admin), b"");
        let start = format!("corecast_{name} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&start));
        line.expect("a metric of this name").parse().expect("a whole number")
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        assert!(status.expect("kill is there").success());
    }

    /// Ends it, which must happen in order. Clients must be gone: nobody answers for them meanwhile.
    pub fn stop(self) {
        self.terminate();
        self.wait();
    }

    /// Waits for the end that it was asked for.
    pub fn wait(mut self) {
        let status = self.process.wait().expect("our child");
        let log = self.log.take().expect("stopped once").join().expect("a log to its end");
        assert!(status.success(), "{status}\n{log}");
    }
}

impl Drop for Server {
    /// Ends what a failed test left, and does nothing otherwise.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn binary() -> PathBuf {
    let repository = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..");
    std::env::var_os("CORECAST_BINARY")
        .map_or_else(|| repository.join("target/release/corecast"), PathBuf::from)
}

fn between(line: &str, start: &str, end: &str) -> Option<String> {
    let (_, rest) = line.split_once(start)?;
    Some(rest.split_once(end)?.0.to_owned())
}

/// A request on a connection of its own; gives the whole answer.
fn ask(address: SocketAddr, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).expect("sent");
    stream.write_all(body).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer in UTF-8");
    answer
}
