//! RFC 7692 by section: permessage-deflate as it is negotiated, framed and packed, on the server's side and on the
//! client's. Written from the standard and the crate's public interface; what the compressor writes is read back by
//! a slow decoder of RFC 1951 (`oracle`), which shares nothing with the crate.

#[path = "protocol_rfc7692/framing.rs"]
mod section_6_framing;
#[path = "protocol_rfc7692/answers.rs"]
mod section_7_1_answers;
#[path = "protocol_rfc7692/offers.rs"]
mod section_7_1_offers;
#[path = "protocol_rfc7692/compression.rs"]
mod section_7_2_1_compression;
#[path = "protocol_rfc7692/decompression.rs"]
mod section_7_2_2_decompression;
#[path = "protocol_rfc7692/examples.rs"]
mod section_7_2_3_examples;

#[path = "protocol_rfc7692/hostile.rs"]
mod hostile;
#[path = "protocol_rfc7692/oracle.rs"]
mod oracle;
