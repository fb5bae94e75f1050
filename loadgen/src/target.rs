//! Where to connect: an URL with a `{topic}` placeholder, resolved to one address.

use std::net::{SocketAddr, ToSocketAddrs};

use serde::{Deserialize, Serialize};

/// A server and what is asked of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    pub address: SocketAddr,
    /// For the `Host` header: as given, with the port unless it is 80.
    pub host: String,
    /// Path and query; `{topic}` stands for the topic's name.
    pub path: String,
}

/// What is wrong with an URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("'{url}' needs TLS, which this generator does not speak: point it at the server's plain port")]
    Tls { url: String },
    #[error("'{url}' does not begin with {expected}://: write {expected}://host:port/path")]
    Scheme { url: String, expected: &'static str },
    #[error("'{url}' has no host: write {expected}://host:port/path")]
    NoHost { url: String, expected: &'static str },
    #[error("'{url}': '{port}' is not a port number from 1 to 65535")]
    Port { url: String, port: String },
    #[error("'{url}' has a fragment, which addresses of WebSockets have not (RFC 6455 §3): write '#' as %23")]
    Fragment { url: String },
    #[error("'{url}': the path has a byte that no request line may carry; percent-encode it")]
    Path { url: String },
    #[error("cannot find the host '{host}': {cause}; check the name, or give an IP address")]
    Resolve { host: String, cause: String },
}

impl Target {
    /// Takes an URL apart and resolves its host; the first address counts.
    pub fn parse(url: &str, scheme: Scheme) -> Result<Self, TargetError> {
        let expected = scheme.name();
        let Some((given, rest)) = url.split_once("://") else {
            return Err(TargetError::Scheme { url: url.to_owned(), expected });
        };
        match given.to_ascii_lowercase().as_str() {
            "wss" | "https" => return Err(TargetError::Tls { url: url.to_owned() }),
            given if given != expected => return Err(TargetError::Scheme { url: url.to_owned(), expected }),
            _ => {}
        }
        // RFC 6455 §3, §4.1: with a fragment the connection must fail. Of an http:// address it would not be sent, but there
        // is no use for one here either.
        if rest.contains('#') {
            return Err(TargetError::Fragment { url: url.to_owned() });
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if path.bytes().any(|byte| byte <= b' ' || byte >= 0x7F) {
            return Err(TargetError::Path { url: url.to_owned() });
        }
        let (host, port) = split_port(authority, url)?;
        if host.is_empty() {
            return Err(TargetError::NoHost { url: url.to_owned(), expected });
        }
        // RFC 6455 §4.1, number 4: the Host header has the port "when not using the default port".
        let host_header = authority.strip_suffix(":80").unwrap_or(authority).to_owned();
        Ok(Self { address: resolve(host, port)?, host: host_header, path })
    }

    /// Path and query for one topic.
    pub fn path_for(&self, topic: &str) -> String {
        self.path.replace("{topic}", topic)
    }

    pub fn names_topic(&self) -> bool {
        self.path.contains("{topic}")
    }
}

/// What a target is spoken to with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    WebSocket,
    Http,
}

impl Scheme {
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "ws",
            Self::Http => "http",
        }
    }
}

/// `host`, `host:port`, `[::1]` or `[::1]:port`; the port is 80 when there is none.
fn split_port<'a>(authority: &'a str, url: &str) -> Result<(&'a str, u16), TargetError> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => (address, rest.strip_prefix(':')),
        None => match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let Some(port) = port else { return Ok((host, 80)) };
    match port.parse() {
        Ok(number) if number > 0 => Ok((host, number)),
        _ => Err(TargetError::Port { url: url.to_owned(), port: port.to_owned() }),
    }
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, TargetError> {
    let refuse = |cause: String| TargetError::Resolve { host: host.to_owned(), cause };
    let mut addresses = (host, port).to_socket_addrs().map_err(|error| refuse(error.to_string()))?;
    addresses.next().ok_or_else(|| refuse("it has no address".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Target, TargetError> {
        Target::parse(url, Scheme::WebSocket)
    }

    #[test]
    fn url_is_taken_apart() {
        let target = parse("ws://127.0.0.1:9001/topics/{topic}?role=subscriber").unwrap();
        assert_eq!(target.address, "127.0.0.1:9001".parse().unwrap());
        assert_eq!(target.host, "127.0.0.1:9001");
        assert_eq!(target.path_for("load-3"), "/topics/load-3?role=subscriber");
    }

    #[test]
    fn port_and_path_have_defaults() {
        let target = parse("ws://127.0.0.1").unwrap();
        assert_eq!(target.address, "127.0.0.1:80".parse().unwrap());
        assert_eq!(target.path, "/");
        assert_eq!(parse("ws://127.0.0.1:80/").unwrap().host, "127.0.0.1");
        assert_eq!(parse("ws://[::1]:80").unwrap().host, "[::1]");
        assert_eq!(parse("ws://127.0.0.1:8080").unwrap().host, "127.0.0.1:8080");
        assert_eq!(parse("ws://127.0.0.1?a=b").unwrap().path, "/?a=b");
    }

    #[test]
    fn ipv6_addresses_stand_in_brackets() {
        let target = parse("ws://[::1]:9001/").unwrap();
        assert_eq!(target.address, "[::1]:9001".parse().unwrap());
        assert_eq!(target.host, "[::1]:9001");
    }

    #[test]
    fn mistakes_say_what_to_write() {
        let text = |url| parse(url).unwrap_err().to_string();
        assert_eq!(
            text("wss://127.0.0.1/"),
            "'wss://127.0.0.1/' needs TLS, which this generator does not speak: point it at the server's plain port"
        );
        assert_eq!(
            text("127.0.0.1:9001"),
            "'127.0.0.1:9001' does not begin with ws://: write ws://host:port/path"
        );
        assert_eq!(text("ws:///x"), "'ws:///x' has no host: write ws://host:port/path");
        assert_eq!(
            text("ws://127.0.0.1:70000/"),
            "'ws://127.0.0.1:70000/': '70000' is not a port number from 1 to 65535"
        );
        assert_eq!(
            text("ws://127.0.0.1/news#part"),
            "'ws://127.0.0.1/news#part' has a fragment, which addresses of WebSockets have not (RFC 6455 §3): write '#' as %23"
        );
        assert!(matches!(parse("ws://127.0.0.1/a b"), Err(TargetError::Path { .. })));
        assert!(matches!(
            Target::parse("ws://127.0.0.1/", Scheme::Http),
            Err(TargetError::Scheme { expected: "http", .. })
        ));
    }
}
