use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Bytes of a `sockaddr_in`.
pub(crate) const IPV4_BYTES: u32 = 16;
/// Bytes of a `sockaddr_in6`.
pub(crate) const IPV6_BYTES: u32 = 28;

/// A socket address as the kernel reads and writes it: `sockaddr_in`, `sockaddr_in6`, or the start of another
/// family's.
///
/// ```text
///  0      2      4          8                         24         28
/// +------+------+----------+---------------------------+----------+
/// |family| port | IPv4     | zero                   (sockaddr_in, 16 bytes)
/// |family| port | flow     | IPv6 address              | scope    |
/// +------+------+----------+---------------------------+----------+
///  native  big    as given   network order               native
/// ```
#[repr(C, align(8))]
#[derive(Copy, Clone, Default)]
pub(crate) struct RawAddress {
    bytes: [u8; IPV6_BYTES as usize],
}

impl RawAddress {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let mut raw = Self::default();
        raw.bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
        match address {
            SocketAddr::V4(v4) => {
                raw.set_family(libc::AF_INET);
                raw.bytes[4..8].copy_from_slice(&v4.ip().octets());
            }
            SocketAddr::V6(v6) => {
                raw.set_family(libc::AF_INET6);
                raw.bytes[4..8].copy_from_slice(&v6.flowinfo().to_ne_bytes());
                raw.bytes[8..24].copy_from_slice(&v6.ip().octets());
                raw.bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
            }
        }
        raw
    }

    /// Numbers of four bytes each in the kernel's own order, for a socket option's value.
    pub(crate) fn from_numbers(first: u32, second: u32) -> Self {
        let mut raw = Self::default();
        raw.bytes[0..4].copy_from_slice(&first.to_ne_bytes());
        raw.bytes[4..8].copy_from_slice(&second.to_ne_bytes());
        raw
    }

    fn set_family(&mut self, family: i32) {
        let family = u16::try_from(family).expect("address families are small numbers");
        self.bytes[0..2].copy_from_slice(&family.to_ne_bytes());
    }

    pub(crate) fn family(&self) -> i32 {
        i32::from(u16::from_ne_bytes([self.bytes[0], self.bytes[1]]))
    }

    /// How many bytes belong to the address.
    pub(crate) fn length(&self) -> u32 {
        if self.family() == libc::AF_INET { IPV4_BYTES } else { IPV6_BYTES }
    }

    /// `None` for a family other than IPv4 and IPv6.
    pub(crate) fn to_socket_addr(self) -> Option<SocketAddr> {
        let word = |at: usize| [self.bytes[at], self.bytes[at + 1], self.bytes[at + 2], self.bytes[at + 3]];
        let port = u16::from_be_bytes([self.bytes[2], self.bytes[3]]);
        match self.family() {
            libc::AF_INET => Some(SocketAddrV4::new(Ipv4Addr::from(word(4)), port).into()),
            libc::AF_INET6 => {
                let octets: [u8; 16] = self.bytes[8..24].try_into().expect("16 bytes");
                let (flow, scope) = (u32::from_ne_bytes(word(4)), u32::from_ne_bytes(word(24)));
                Some(SocketAddrV6::new(Ipv6Addr::from(octets), port, flow, scope).into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_lies_as_sockaddr_in() {
        let raw = RawAddress::new("1.2.3.4:9001".parse().unwrap());
        assert_eq!(raw.length(), 16);
        assert_eq!(raw.bytes[2..16], [0x23, 0x29, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(raw.family(), libc::AF_INET);
        assert_eq!(raw.to_socket_addr(), Some("1.2.3.4:9001".parse().unwrap()));
    }

    #[test]
    fn ipv6_lies_as_sockaddr_in6() {
        let address = SocketAddrV6::new("2001:db8::7".parse().unwrap(), 80, 5, 3);
        let raw = RawAddress::new(address.into());
        assert_eq!(raw.length(), 28);
        assert_eq!(raw.bytes[2..4], [0, 80]);
        assert_eq!(raw.bytes[8..24], [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(raw.bytes[24..28], 3u32.to_ne_bytes());
        assert_eq!(raw.to_socket_addr(), Some(address.into()));
    }

    #[test]
    fn unix_has_no_internet_address() {
        let mut raw = RawAddress::default();
        raw.set_family(libc::AF_UNIX);
        assert_eq!(raw.to_socket_addr(), None);
    }
}
