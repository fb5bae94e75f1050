//! What a peer can do wrong after the handshake: which rule it broke, what was seen, what that most likely
//! means.

use crate::codes::{CloseCode, Opcode};

/// A peer broke RFC 6455. The connection is failed (RFC 6455 §7.1.7): a Close frame with [`Self::close_code`]
/// and [`Self::reason`], then nothing more is read.
///
/// `Display` is the long form, for logs. [`Self::reason`] is the short one, for the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    #[error(
        "HTTP where a WebSocket frame should start ({:?}); most likely a proxy or application wrote an HTTP \
         message onto a connection that had been upgraded: check that the proxy forwards upgraded \
         connections as they are",
        start.escape_ascii().to_string()
    )]
    HttpAfterUpgrade { start: [u8; 4] },

    #[error(
        "the compressed bit RSV1 is set, but no compression was agreed on; most likely a proxy stripped \
         Sec-WebSocket-Extensions in one direction of the handshake: forward that header both ways, or \
         switch permessage-deflate off at the peer"
    )]
    CompressedWithoutNegotiation,

    #[error(
        "the compressed bit RSV1 on a {opcode} frame; only a message's first frame may have it: the peer's compression \
         is broken"
    )]
    MisplacedCompressedBit { opcode: Opcode },

    #[error(
        "a compressed message is not valid deflate data; the peer's compression is broken, or it goes on with the \
         context of earlier messages, which client_no_context_takeover in our answer forbids"
    )]
    InvalidDeflate,

    #[error(
        "a compressed message inflates to more than the limit of {limit} bytes (max_message_bytes); raise the limit, \
         or have the peer send several messages: a small one that becomes huge is an attack"
    )]
    InflatedTooBig { limit: u64 },

    #[error(
        "reserved bits RSV1-3 are {rsv:03b}, but no extension was agreed on that uses them; most likely the \
         peer is not speaking WebSocket, or an earlier length was wrong and this is no header at all"
    )]
    ReservedBits { rsv: u8 },

    #[error(
        "opcode {opcode:#x} is reserved; most likely the peer is not speaking WebSocket, or an earlier \
         length was wrong and this is no header at all"
    )]
    ReservedOpcode { opcode: u8 },

    #[error(
        "a frame from the client is not masked; the client or a middlebox does not mask: update the client, \
         or bypass the proxy that rewrites frames"
    )]
    UnmaskedFrame,

    #[error(
        "a frame from the server is masked; only clients mask: the server at the other end is broken, or the \
         connection leads to another client"
    )]
    MaskedFrame,

    #[error(
        "payload length {length} is encoded in more bytes than it needs; the peer's frame encoder is broken, \
         or this is no header at all"
    )]
    NonMinimalLength { length: u64 },

    #[error(
        "payload length {length:#x} has its top bit set; lengths have 63 bits: most likely an earlier length \
         was wrong and this is no header at all"
    )]
    LengthTopBit { length: u64 },

    #[error(
        "a {opcode} frame declares {length} bytes; control frames carry at most 125: shorten the ping data \
         or the close reason"
    )]
    ControlTooLong { opcode: Opcode, length: u64 },

    #[error("a {opcode} frame without FIN; control frames may not be fragmented: send it as one frame")]
    FragmentedControl { opcode: Opcode },

    #[error(
        "a continuation frame, but no message is open; the peer's fragmentation is broken: begin a message \
         with a text or binary frame"
    )]
    UnexpectedContinuation,

    #[error(
        "a {opcode} frame while a fragmented message is open; only continuation and control frames may come \
         before its end: most likely two threads of the peer send on one connection without a lock"
    )]
    InterleavedMessage { opcode: Opcode },

    #[error(
        "a frame declares {length} bytes, over the limit of {limit} (max_frame_bytes); raise the limit, or \
         have the peer split the message into smaller frames"
    )]
    FrameTooBig { length: u64, limit: u64 },

    #[error(
        "a message reaches {length} bytes, over the limit of {limit} (max_message_bytes); raise the limit, \
         or have the peer send several messages"
    )]
    MessageTooBig { length: u64, limit: u64 },

    #[error(
        "a message has more than {limit} frames (max_fragments); have the peer send fewer and larger \
         fragments, or raise the limit: many empty ones are an attack"
    )]
    TooManyFragments { limit: u32 },

    #[error(
        "text is not valid UTF-8 at byte {position} of the message; most likely binary data sent as text: \
         send it as a binary message"
    )]
    InvalidUtf8 { position: u64 },

    #[error(
        "text ends inside a character after {length} bytes; most likely the peer cut it by bytes, or sends \
         binary data as text: cut between characters, or send a binary message"
    )]
    TruncatedUtf8 { length: u64 },

    #[error(
        "a Close frame with one byte; its body is empty or begins with a code of two bytes: the peer's Close \
         encoder is broken"
    )]
    ShortClose,

    #[error(
        "close code {code} may not stand in a Close frame; use 1000-1003, 1007-1014 or 3000-4999: many \
         libraries put 1005 or 1006 there by mistake, where an empty Close frame is meant"
    )]
    InvalidCloseCode { code: u16 },

    #[error("the close reason is not valid UTF-8 at its byte {position}; the peer must send text there")]
    InvalidCloseReason { position: u64 },
}

/// What is said about each rule: metric label, place in the specification, reason on the wire.
struct Facts {
    rule: &'static str,
    section: &'static str,
    reason: &'static str,
}

/// Every [`ProtocolError::rule`], for a metric with one counter each.
pub const RULES: &[&str] = &[
    "http_after_upgrade",
    "compressed_without_negotiation",
    "misplaced_compressed_bit",
    "invalid_deflate",
    "inflated_too_big",
    "reserved_bits",
    "reserved_opcode",
    "unmasked_frame",
    "masked_frame",
    "non_minimal_length",
    "length_top_bit",
    "control_too_long",
    "fragmented_control",
    "unexpected_continuation",
    "interleaved_message",
    "frame_too_big",
    "message_too_big",
    "too_many_fragments",
    "invalid_utf8",
    "truncated_utf8",
    "short_close",
    "invalid_close_code",
    "invalid_close_reason",
];

impl ProtocolError {
    /// Every [`Self::rule`], for a metric with one counter each.
    pub const RULES: &'static [&'static str] = RULES;

    /// The code for our Close frame (RFC 6455 §7.4.1).
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::HttpAfterUpgrade { .. }
            | Self::CompressedWithoutNegotiation
            | Self::MisplacedCompressedBit { .. }
            | Self::ReservedBits { .. }
            | Self::ReservedOpcode { .. }
            | Self::UnmaskedFrame
            | Self::MaskedFrame
            | Self::NonMinimalLength { .. }
            | Self::LengthTopBit { .. }
            | Self::ControlTooLong { .. }
            | Self::FragmentedControl { .. }
            | Self::UnexpectedContinuation
            | Self::InterleavedMessage { .. }
            | Self::ShortClose
            | Self::InvalidCloseCode { .. } => CloseCode::PROTOCOL_ERROR,
            Self::FrameTooBig { .. } | Self::MessageTooBig { .. } | Self::InflatedTooBig { .. } => {
                CloseCode::TOO_BIG
            }
            Self::TooManyFragments { .. } => CloseCode::POLICY,
            Self::InvalidDeflate
            | Self::InvalidUtf8 { .. }
            | Self::TruncatedUtf8 { .. }
            | Self::InvalidCloseReason { .. } => CloseCode::INVALID_PAYLOAD,
        }
    }

    /// The rule's name, a label for metrics: one of [`RULES`].
    pub const fn rule(&self) -> &'static str {
        self.facts().rule
    }

    /// Where the rule stands, for example `RFC 6455 §5.1`.
    pub const fn section(&self) -> &'static str {
        self.facts().section
    }

    /// The reason for our Close frame: printable ASCII, at most 123 bytes, nothing that the peer sent but
    /// numbers.
    pub fn reason(&self) -> String {
        let Facts { section, reason, .. } = self.facts();
        let numbers = match self {
            Self::FrameTooBig { length, limit } | Self::MessageTooBig { length, limit } => {
                format!(": {length} bytes, limit {limit}")
            }
            Self::ControlTooLong { length, .. } => format!(": {length} bytes, limit 125"),
            Self::TooManyFragments { limit } => format!(", limit {limit}"),
            Self::InflatedTooBig { limit } => format!(", limit {limit}"),
            Self::InvalidUtf8 { position } | Self::InvalidCloseReason { position } => {
                format!(" at byte {position}")
            }
            Self::ReservedOpcode { opcode } => format!(" {opcode:#x}"),
            Self::InvalidCloseCode { code } => format!(" {code}"),
            _ => String::new(),
        };
        let section = section.replace('§', "section ");
        format!("{reason}{numbers} ({section})")
    }

    const fn facts(&self) -> Facts {
        let (rule, section, reason) = match self {
            Self::HttpAfterUpgrade { .. } => {
                ("http_after_upgrade", "RFC 6455 §5.2", "HTTP instead of a frame")
            }
            Self::CompressedWithoutNegotiation => (
                "compressed_without_negotiation",
                // Not RFC 7692 §6, which binds only those who agreed to it.
                "RFC 6455 §5.2",
                "compressed frame, but compression was not negotiated",
            ),
            Self::MisplacedCompressedBit { .. } => {
                ("misplaced_compressed_bit", "RFC 7692 §6.1", "compressed bit not on a first frame")
            }
            Self::InvalidDeflate => {
                ("invalid_deflate", "RFC 7692 §7.2.2", "compressed message is not deflate data")
            }
            Self::InflatedTooBig { .. } => {
                ("inflated_too_big", "RFC 6455 §10.4", "compressed message too big")
            }
            Self::ReservedBits { .. } => ("reserved_bits", "RFC 6455 §5.2", "reserved bits set"),
            Self::ReservedOpcode { .. } => ("reserved_opcode", "RFC 6455 §5.2", "reserved opcode"),
            Self::UnmaskedFrame => ("unmasked_frame", "RFC 6455 §5.1", "unmasked frame from the client"),
            Self::MaskedFrame => ("masked_frame", "RFC 6455 §5.1", "masked frame from the server"),
            Self::NonMinimalLength { .. } => {
                ("non_minimal_length", "RFC 6455 §5.2", "length not in its shortest form")
            }
            Self::LengthTopBit { .. } => ("length_top_bit", "RFC 6455 §5.2", "length of 2^63 or more"),
            Self::ControlTooLong { .. } => ("control_too_long", "RFC 6455 §5.5", "control frame too long"),
            Self::FragmentedControl { .. } => {
                ("fragmented_control", "RFC 6455 §5.5", "fragmented control frame")
            }
            Self::UnexpectedContinuation => {
                ("unexpected_continuation", "RFC 6455 §5.4", "continuation without a message")
            }
            Self::InterleavedMessage { .. } => {
                ("interleaved_message", "RFC 6455 §5.4", "new message inside a fragmented one")
            }
            Self::FrameTooBig { .. } => ("frame_too_big", "RFC 6455 §10.4", "frame too big"),
            Self::MessageTooBig { .. } => ("message_too_big", "RFC 6455 §10.4", "message too big"),
            Self::TooManyFragments { .. } => ("too_many_fragments", "RFC 6455 §10.4", "too many fragments"),
            Self::InvalidUtf8 { .. } => ("invalid_utf8", "RFC 6455 §8.1", "text is not UTF-8"),
            Self::TruncatedUtf8 { .. } => ("truncated_utf8", "RFC 6455 §8.1", "text ends inside a character"),
            Self::ShortClose => ("short_close", "RFC 6455 §5.5.1", "Close frame with one byte"),
            Self::InvalidCloseCode { .. } => ("invalid_close_code", "RFC 6455 §7.4", "invalid close code"),
            Self::InvalidCloseReason { .. } => {
                ("invalid_close_reason", "RFC 6455 §5.5.1", "close reason is not UTF-8")
            }
        };
        Facts { rule, section, reason }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::frame::MAX_CLOSE_REASON;

    /// One of each, with the largest numbers, which make the longest reasons.
    const ALL: &[(ProtocolError, u16)] = &[
        (ProtocolError::HttpAfterUpgrade { start: *b"GET " }, 1002),
        (ProtocolError::CompressedWithoutNegotiation, 1002),
        (ProtocolError::MisplacedCompressedBit { opcode: Opcode::Continuation }, 1002),
        (ProtocolError::InvalidDeflate, 1007),
        (ProtocolError::InflatedTooBig { limit: u64::MAX }, 1009),
        (ProtocolError::ReservedBits { rsv: 7 }, 1002),
        (ProtocolError::ReservedOpcode { opcode: 15 }, 1002),
        (ProtocolError::UnmaskedFrame, 1002),
        (ProtocolError::MaskedFrame, 1002),
        (ProtocolError::NonMinimalLength { length: u64::MAX }, 1002),
        (ProtocolError::LengthTopBit { length: u64::MAX }, 1002),
        (ProtocolError::ControlTooLong { opcode: Opcode::Ping, length: u64::MAX }, 1002),
        (ProtocolError::FragmentedControl { opcode: Opcode::Ping }, 1002),
        (ProtocolError::UnexpectedContinuation, 1002),
        (ProtocolError::InterleavedMessage { opcode: Opcode::Binary }, 1002),
        (ProtocolError::FrameTooBig { length: u64::MAX, limit: u64::MAX }, 1009),
        (ProtocolError::MessageTooBig { length: u64::MAX, limit: u64::MAX }, 1009),
        (ProtocolError::TooManyFragments { limit: u32::MAX }, 1008),
        (ProtocolError::InvalidUtf8 { position: u64::MAX }, 1007),
        (ProtocolError::TruncatedUtf8 { length: u64::MAX }, 1007),
        (ProtocolError::ShortClose, 1002),
        (ProtocolError::InvalidCloseCode { code: u16::MAX }, 1002),
        (ProtocolError::InvalidCloseReason { position: u64::MAX }, 1007),
    ];

    #[test]
    fn every_error_has_the_close_code_of_section_7_4_1() {
        for (error, code) in ALL {
            assert_eq!(error.close_code().0, *code, "{}", error.rule());
        }
    }

    #[test]
    fn rules_are_listed_once_each_and_in_snake_case() {
        let seen: Vec<&str> = ALL.iter().map(|(error, _)| error.rule()).collect();
        assert_eq!(seen, RULES);
        assert_eq!(RULES.iter().collect::<HashSet<_>>().len(), RULES.len());
        let is_label_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(RULES.iter().all(|rule| rule.bytes().all(is_label_byte)));
    }

    #[test]
    fn sections_are_those_of_rfc_6455_but_for_compression() {
        assert_eq!(ProtocolError::CompressedWithoutNegotiation.section(), "RFC 6455 §5.2");
        for (error, _) in ALL {
            let rfc = match error {
                ProtocolError::MisplacedCompressedBit { .. } | ProtocolError::InvalidDeflate => "RFC 7692 §",
                _ => "RFC 6455 §",
            };
            assert!(error.section().starts_with(rfc), "{}: {}", error.rule(), error.section());
        }
    }

    #[test]
    fn reasons_fit_a_close_frame_and_are_printable_ascii() {
        for (error, _) in ALL {
            let reason = error.reason();
            assert!(reason.len() <= MAX_CLOSE_REASON, "{} bytes: {reason}", reason.len());
            assert!(reason.bytes().all(|byte| matches!(byte, 0x20..=0x7E)), "{reason}");
        }
    }

    #[test]
    fn reasons_name_rule_numbers_and_section() {
        assert_eq!(
            ProtocolError::UnmaskedFrame.reason(),
            "unmasked frame from the client (RFC 6455 section 5.1)"
        );
        assert_eq!(
            ProtocolError::MessageTooBig { length: 600_000, limit: 524_288 }.reason(),
            "message too big: 600000 bytes, limit 524288 (RFC 6455 section 10.4)"
        );
    }

    #[test]
    fn long_forms_say_what_was_seen_and_what_it_means() {
        assert_eq!(
            ProtocolError::InvalidUtf8 { position: 17 }.to_string(),
            "text is not valid UTF-8 at byte 17 of the message; most likely binary data sent as text: send it as a \
             binary message"
        );
        let http = ProtocolError::HttpAfterUpgrade { start: *b"GET " }.to_string();
        assert!(http.starts_with("HTTP where a WebSocket frame should start (\"GET \")"), "{http}");
    }
}
