//! The numbers of RFC 6455: opcodes (§5.2) and close codes (§7.4).

use std::fmt;

/// What a frame is (RFC 6455 §5.2, §11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    /// The opcode with this number; `None` for the reserved ones, 3-7 and 11-15.
    pub const fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Continuation),
            1 => Some(Self::Text),
            2 => Some(Self::Binary),
            8 => Some(Self::Close),
            9 => Some(Self::Ping),
            10 => Some(Self::Pong),
            _ => None,
        }
    }

    /// Close, Ping and Pong: at most 125 bytes, never fragmented (RFC 6455 §5.5).
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

impl fmt::Display for Opcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Continuation => "continuation",
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Close => "close",
            Self::Ping => "ping",
            Self::Pong => "pong",
        })
    }
}

/// What a message is: UTF-8 text, or any bytes (RFC 6455 §5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    Text,
    Binary,
}

impl MessageKind {
    /// The opcode of a message's first frame.
    pub const fn opcode(self) -> Opcode {
        match self {
            Self::Text => Opcode::Text,
            Self::Binary => Opcode::Binary,
        }
    }
}

/// Why a connection is closed (RFC 6455 §7.4). Any number can be held; [`CloseCode::may_be_received`] tells
/// which may stand in a Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    pub const NORMAL: Self = Self(1000);
    pub const GOING_AWAY: Self = Self(1001);
    pub const PROTOCOL_ERROR: Self = Self(1002);
    pub const UNSUPPORTED: Self = Self(1003);
    /// Stands for a Close frame without a code; never sent (RFC 6455 §7.4.1).
    pub const NO_STATUS: Self = Self(1005);
    /// Stands for an end without a Close frame; never sent (RFC 6455 §7.4.1).
    pub const ABNORMAL: Self = Self(1006);
    pub const INVALID_PAYLOAD: Self = Self(1007);
    pub const POLICY: Self = Self(1008);
    pub const TOO_BIG: Self = Self(1009);
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    pub const INTERNAL: Self = Self(1011);
    pub const RESTART: Self = Self(1012);
    pub const TRY_AGAIN: Self = Self(1013);

    /// Whether a peer may put this code into a Close frame.
    ///
    /// RFC 6455 §7.4.2 reserves 0-999 and 1000-2999, of which §7.4.1 and the IANA registry (1012-1014) define
    /// some; 3000-4999 are free for libraries and applications; nothing is defined above.
    pub const fn may_be_received(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1000 => "normal closure",
            1001 => "going away",
            1002 => "protocol error",
            1003 => "unsupported data",
            1005 => "no status received",
            1006 => "abnormal closure",
            1007 => "invalid payload data",
            1008 => "policy violation",
            1009 => "message too big",
            1010 => "mandatory extension",
            1011 => "internal error",
            1012 => "service restart",
            1013 => "try again later",
            1014 => "bad gateway",
            1015 => "TLS handshake",
            3000..=3999 => "registered by a library",
            4000..=4999 => "private use",
            _ => return None,
        })
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => write!(f, "{} (undefined)", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opcodes_are_those_of_section_11_8_and_the_rest_is_reserved() {
        let defined: Vec<(u8, Opcode)> = (0..=255).filter_map(|n| Some((n, Opcode::from_u8(n)?))).collect();
        let expected = [
            (0, Opcode::Continuation),
            (1, Opcode::Text),
            (2, Opcode::Binary),
            (8, Opcode::Close),
            (9, Opcode::Ping),
            (10, Opcode::Pong),
        ];
        assert_eq!(defined, expected);
        assert!(expected.iter().all(|&(number, opcode)| opcode as u8 == number));
    }

    #[test]
    fn only_close_ping_and_pong_are_control_frames() {
        let control = [Opcode::Close, Opcode::Ping, Opcode::Pong];
        let data = [Opcode::Continuation, Opcode::Text, Opcode::Binary];
        assert!(control.into_iter().all(Opcode::is_control));
        assert!(!data.into_iter().any(Opcode::is_control));
    }

    #[test]
    fn close_codes_that_may_be_received_are_those_of_section_7_4() {
        let refused_runs: [(u16, u16); 4] = [(0, 999), (1004, 1006), (1015, 2999), (5000, 65535)];
        for code in 0..=u16::MAX {
            let refused = refused_runs.iter().any(|&(first, last)| (first..=last).contains(&code));
            assert_eq!(CloseCode(code).may_be_received(), !refused, "close code {code}");
        }
    }

    #[test]
    fn close_codes_print_number_and_name() {
        assert_eq!(CloseCode::PROTOCOL_ERROR.to_string(), "1002 (protocol error)");
        assert_eq!(CloseCode(4008).to_string(), "4008 (private use)");
        assert_eq!(CloseCode(999).to_string(), "999 (undefined)");
    }
}
