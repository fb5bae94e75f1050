//! What can be wrong with an HTTP message.

/// A peer's HTTP message cannot be used. [`Self::status`] is what to answer; then the connection is closed,
/// because where the next message would start is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    #[error(
        "a TLS ClientHello on a plain port: TLS ends in the wrong place; use http:// or ws://, or have the \
         proxy end TLS and forward plain HTTP"
    )]
    TlsClientHello,

    #[error("the server answers in TLS; use https:// or wss://, or its plain port")]
    TlsAnswer,

    #[error(
        "a PROXY protocol header, which this port does not expect; switch it off at the load balancer \
         (HAProxy `send-proxy`, AWS `proxy_protocol_v2.enabled`)"
    )]
    ProxyProtocol,

    #[error(
        "{what} is malformed (RFC 9112); the peer does not speak HTTP/1.1, or a middlebox damaged the \
         message"
    )]
    Malformed { what: &'static str },

    #[error(
        "only HTTP/1.0 and HTTP/1.1 are understood; have the peer or the proxy speak HTTP/1.1 to this port"
    )]
    UnsupportedVersion,

    #[error(
        "{hosts} Host headers, where HTTP/1.1 requires exactly one (RFC 9112 §3.2); have the client or proxy \
         send one"
    )]
    NotOneHost { hosts: usize },

    #[error(
        "the Host header is no host with an optional port (RFC 9112 §3.2); have the client or proxy send the \
         name or address that is asked, as `example.org:9001`, and nothing besides"
    )]
    InvalidHost,

    #[error(
        "the request target does not end within {limit} bytes (max_head_bytes); shorten the URL or raise the \
         limit"
    )]
    TargetTooLong { limit: usize },

    #[error(
        "the head does not end within {limit} bytes (max_head_bytes); most likely cookies or tokens are too \
         long: shorten them or raise the limit"
    )]
    HeadTooLong { limit: usize },

    #[error("the head has more than {limit} header lines (max_headers); send fewer or raise the limit")]
    TooManyHeaders { limit: usize },

    #[error(
        "both Content-Length and Transfer-Encoding: where the body ends is ambiguous (RFC 9112 §6.3); send \
         only one"
    )]
    AmbiguousLength,

    #[error(
        "Content-Length is no number, or several that differ (RFC 9112 §6.3); send it once, in decimal \
         digits"
    )]
    InvalidContentLength,

    #[error(
        "Transfer-Encoding in HTTP/1.0, which does not know it (RFC 9112 §6.1); send Content-Length or \
         HTTP/1.1"
    )]
    TransferEncodingInHttp10,

    #[error("a transfer coding other than chunked; send the body plain or chunked")]
    UnsupportedTransferCoding,

    #[error("{what} in a chunked body is malformed (RFC 9112 §7.1); the peer's chunk encoder is broken")]
    MalformedChunk { what: &'static str },

    #[error("the body is longer than the limit of {limit} bytes; send less or raise the limit")]
    BodyTooLong { limit: usize },
}

impl HttpError {
    /// The status to answer with (RFC 9110 §15, RFC 6585 §5).
    pub const fn status(&self) -> u16 {
        match self {
            Self::TlsClientHello
            | Self::TlsAnswer
            | Self::ProxyProtocol
            | Self::Malformed { .. }
            | Self::NotOneHost { .. }
            | Self::InvalidHost
            | Self::AmbiguousLength
            | Self::InvalidContentLength
            | Self::TransferEncodingInHttp10
            | Self::MalformedChunk { .. } => 400,
            Self::BodyTooLong { .. } => 413,
            Self::TargetTooLong { .. } => 414,
            Self::HeadTooLong { .. } | Self::TooManyHeaders { .. } => 431,
            Self::UnsupportedTransferCoding => 501,
            Self::UnsupportedVersion => 505,
        }
    }
}
