//! Local addresses to connect from. A connection is told apart from others to the same server by its own address and port
//! alone, so each address has room for as many as there are local ports.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The kernel tries every second port first, from a point that moves on, and looks at the others when those are in use. Up
/// to here it finds one at once; beyond, each connect goes over thousands of ports that are taken. So an address that is
/// chosen here gets this part of its ports at most.
const COMFORTABLE_SHARE: u64 = 3;
/// First of the loopback addresses that are taken unasked, away from where servers listen.
const FIRST_LOOPBACK: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);
const MOST_ADDRESSES: u32 = 1 << 16;

/// Where to connect from, as given: an address, a range of them, or all addresses of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    Address(IpAddr),
    /// First and last one.
    Range(Ipv4Addr, Ipv4Addr),
    Interface(String),
}

/// What is wrong with a source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    #[error(
        "--source '{0}' is neither an address, a range such as 127.0.0.2-127.0.0.9, nor the name of an interface: `ip address` \
         shows addresses and names"
    )]
    Unknown(String),
    #[error(
        "the interface '{name}' of --source has no {family} address: `ip address show dev {name}` lists them"
    )]
    NoAddress { name: String, family: &'static str },
    #[error("the addresses of interfaces cannot be read: {0}; give addresses to --source")]
    Interfaces(String),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let Some((first, last)) = text.split_once('-') else { return Ok(Self::Interface(text.to_owned())) };
        let (Ok(first), Ok(last)) = (first.parse::<Ipv4Addr>(), last.parse::<Ipv4Addr>()) else {
            // Names of interfaces may have a hyphen.
            return Ok(Self::Interface(text.to_owned()));
        };
        let count = u32::from(last).checked_sub(u32::from(first)).map(|count| u64::from(count) + 1);
        match count {
            Some(count) if count <= u64::from(MOST_ADDRESSES) => Ok(Self::Range(first, last)),
            Some(count) => Err(format!("'{text}' has {count} addresses: give at most {MOST_ADDRESSES}")),
            None => Err(format!("'{text}' ends before it begins: write the lower address first")),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
            Self::Interface(name) => write!(f, "{name}"),
        }
    }
}

impl Source {
    /// Its addresses. Those of an interface are of the server's family.
    ///
    /// # Errors
    /// When there is no such interface, or it has no such address.
    pub fn addresses(&self, server: IpAddr) -> Result<Vec<IpAddr>, SourceError> {
        match self {
            Self::Address(address) => Ok(vec![*address]),
            Self::Range(first, last) => {
                Ok((u32::from(*first)..=u32::from(*last)).map(|bits| Ipv4Addr::from(bits).into()).collect())
            }
            Self::Interface(name) => interface_addresses(name, server),
        }
    }
}

fn interface_addresses(name: &str, server: IpAddr) -> Result<Vec<IpAddr>, SourceError> {
    let all = if_addrs::get_if_addrs().map_err(|error| SourceError::Interfaces(error.to_string()))?;
    let own: Vec<IpAddr> =
        all.iter().filter(|interface| interface.name == name).map(if_addrs::Interface::ip).collect();
    if own.is_empty() {
        return Err(SourceError::Unknown(name.to_owned()));
    }
    // Link-local addresses need the interface's number beside them, which a bind to the bare address lacks.
    let usable = own.into_iter().filter(|address| match address {
        IpAddr::V4(_) => server.is_ipv4(),
        IpAddr::V6(address) => server.is_ipv6() && !address.is_unicast_link_local(),
    });
    let usable: Vec<IpAddr> = usable.collect();
    let family = if server.is_ipv4() { "IPv4" } else { "IPv6" };
    if usable.is_empty() { Err(SourceError::NoAddress { name: name.to_owned(), family }) } else { Ok(usable) }
}

/// Addresses for so many connections when none are given: every address of 127.0.0.0/8 is this host's, so towards a server
/// there any number of connections is possible. Empty when the kernel's choice will do, or nothing better is known.
pub fn automatic(server: IpAddr, connections: u64, ports: u64) -> Vec<IpAddr> {
    let comfortable = (ports / COMFORTABLE_SHARE).max(1);
    let is_version_4 = matches!(server, IpAddr::V4(address) if address.is_loopback());
    if !is_version_4 || connections <= comfortable {
        return Vec::new();
    }
    let count = connections.div_ceil(comfortable).min(u64::from(MOST_ADDRESSES)) as u32;
    let first = u32::from(FIRST_LOOPBACK);
    (first..first + count).map(|bits| Ipv4Addr::from(bits).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn source(text: &str) -> Source {
        text.parse().expect("a valid source")
    }

    #[test]
    fn sources_are_addresses_ranges_and_interfaces() {
        assert_eq!(source("::1"), Source::Address("::1".parse().unwrap()));
        let range = source("127.0.0.254-127.0.1.1");
        let addresses = range.addresses(LOCAL).unwrap();
        let shown: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["127.0.0.254", "127.0.0.255", "127.0.1.0", "127.0.1.1"]);
        assert_eq!(source("veth-a"), Source::Interface("veth-a".to_owned()));
        assert_eq!(
            "10.0.0.9-10.0.0.2".parse::<Source>(),
            Err("'10.0.0.9-10.0.0.2' ends before it begins: write the lower address first".to_owned())
        );
        assert_eq!(
            "10.0.0.0-10.1.0.0".parse::<Source>(),
            Err("'10.0.0.0-10.1.0.0' has 65537 addresses: give at most 65536".to_owned())
        );
    }

    #[test]
    fn an_interface_stands_for_its_addresses() {
        assert!(source("lo").addresses(LOCAL).unwrap().contains(&LOCAL));
        let error = source("nosuch0").addresses(LOCAL).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--source 'nosuch0' is neither an address, a range such as 127.0.0.2-127.0.0.9, nor the name of an \
             interface: `ip address` shows addresses and names"
        );
    }

    #[test]
    fn a_local_server_gets_as_many_addresses_as_connections_need() {
        assert_eq!(automatic(LOCAL, 9_410, 28_232), [] as [IpAddr; 0]);
        let two = automatic(LOCAL, 9_411, 28_232);
        assert_eq!(two, ["127.1.0.1".parse::<IpAddr>().unwrap(), "127.1.0.2".parse().unwrap()]);
        assert_eq!(automatic(LOCAL, 1_000_000, 28_232).len(), 107);
        assert_eq!(automatic("::1".parse().unwrap(), 1_000_000, 28_232), [] as [IpAddr; 0]);
        assert_eq!(automatic("192.0.2.1".parse().unwrap(), 1_000_000, 28_232), [] as [IpAddr; 0]);
    }
}
