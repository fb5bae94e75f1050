//! Bytes on the wire: what a send of so many bytes is with every header around it, and what comes back for it.

use serde::Serialize;

/// Preamble and start of frame 8, header 14, checksum 4, gap 12: what each packet takes of an Ethernet link.
const ETHERNET_BYTES: u64 = 38;
/// Header 20, timestamps with their padding 12 (RFC 7323 §3.2): Linux sends them by default.
const TCP_BYTES: u64 = 32;
/// Header 5, content type 1, tag 16: TLS 1.3 with AES-GCM (RFC 8446 §5.2).
const TLS_RECORD_BYTES: u64 = 22;
/// Plaintext of a record at most (RFC 8446 §5.1).
const TLS_RECORD_MOST: u64 = 16_384;

/// An upgrade request as browsers send it, and the 101: both vary with host names and cookies.
const REQUEST_BYTES: u64 = 500;
const ANSWER_BYTES: u64 = 160;
/// Flights of a full TLS 1.3 handshake with a certificate chain of some 3 KB: client, server.
const TLS_CLIENT_BYTES: u64 = 700;
const TLS_SERVER_BYTES: u64 = 4_000;

/// The network that subscribers are reached over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Largest IP packet.
    pub mtu: u32,
    pub ip: IpVersion,
    pub tls: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum IpVersion {
    V4,
    V6,
}

/// Bytes on a link in each direction, as seen from the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Traffic {
    pub out: f64,
    pub back: f64,
}

impl Network {
    /// Room for TCP's payload in a packet.
    pub fn segment_bytes(self) -> u64 {
        u64::from(self.mtu) - self.header_bytes()
    }

    /// IP and TCP in front of each segment.
    pub fn header_bytes(self) -> u64 {
        TCP_BYTES
            + match self.ip {
                IpVersion::V4 => 20,
                IpVersion::V6 => 40,
            }
    }

    /// One send of `bytes`: segments out, and back an acknowledgement for every second one (RFC 5681 §4.2), at least one.
    pub fn send(self, bytes: u64) -> Traffic {
        let bytes = self.encrypted(bytes);
        let segments = bytes.div_ceil(self.segment_bytes()).max(1);
        let acknowledgements = segments.div_ceil(2);
        Traffic {
            out: (bytes + segments * self.packet_bytes()) as f64,
            back: (acknowledgements * self.packet_bytes()) as f64,
        }
    }

    /// One receive of `bytes`: the same the other way round.
    pub fn receive(self, bytes: u64) -> Traffic {
        let Traffic { out, back } = self.send(bytes);
        Traffic { out: back, back: out }
    }

    /// A connection opened, upgraded, closed and forgotten: SYN, SYN-ACK, ACK; request and answer; two Close frames; FIN
    /// and ACK both ways.
    pub fn connect(self) -> Traffic {
        let control = self.packet_bytes() as f64;
        let three_way = Traffic { out: control, back: 2.0 * control };
        let ending = Traffic { out: 2.0 * control, back: 2.0 * control };
        let mut all = three_way + ending + self.receive(REQUEST_BYTES) + self.send(ANSWER_BYTES);
        all = all + self.send(frame_bytes(2)) + self.receive(masked_frame_bytes(2));
        if self.tls {
            let plain = Self { tls: false, ..self };
            all = all + plain.receive(TLS_CLIENT_BYTES) + plain.send(TLS_SERVER_BYTES);
        }
        all
    }

    fn encrypted(self, bytes: u64) -> u64 {
        let records = if self.tls { bytes.div_ceil(TLS_RECORD_MOST).max(1) } else { 0 };
        bytes + records * TLS_RECORD_BYTES
    }

    /// What a packet takes beside TCP's payload: all there is of an acknowledgement.
    fn packet_bytes(self) -> u64 {
        self.header_bytes() + ETHERNET_BYTES
    }
}

impl std::ops::Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { out: self.out + other.out, back: self.back + other.back }
    }
}

impl std::ops::Mul<f64> for Traffic {
    type Output = Self;

    fn mul(self, times: f64) -> Self {
        Self { out: self.out * times, back: self.back * times }
    }
}

/// A server's frame: two bytes of header, and two or eight more for the length (RFC 6455 §5.2).
pub(super) fn frame_bytes(payload: u64) -> u64 {
    payload
        + match payload {
            0..126 => 2,
            126..65_536 => 4,
            _ => 10,
        }
}

/// A client's frame has a masking key too.
pub(super) fn masked_frame_bytes(payload: u64) -> u64 {
    frame_bytes(payload) + 4
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: Network = Network { mtu: 1_500, ip: IpVersion::V4, tls: false };

    #[test]
    fn headers_of_frames_grow_with_the_length() {
        let frames = [0, 125, 126, 65_535, 65_536, 1 << 20].map(frame_bytes);
        assert_eq!(frames, [2, 127, 130, 65_539, 65_546, 1_048_586]);
        assert_eq!(masked_frame_bytes(64), 70);
    }

    #[test]
    fn segments_have_room_for_what_headers_leave() {
        assert_eq!(V4.segment_bytes(), 1_448);
        assert_eq!(Network { ip: IpVersion::V6, ..V4 }.segment_bytes(), 1_428);
        assert_eq!(Network { mtu: 65_535, ..V4 }.segment_bytes(), 65_483, "loopback");
    }

    #[test]
    fn a_small_message_is_mostly_headers() {
        // 2 + 64, in one packet with 52 of IP and TCP and 38 of Ethernet; an acknowledgement is 52 + 38.
        assert_eq!(V4.send(frame_bytes(64)), Traffic { out: 156.0, back: 90.0 });
        assert_eq!(
            Network { ip: IpVersion::V6, ..V4 }.send(frame_bytes(64)),
            Traffic { out: 176.0, back: 110.0 }
        );
        // One record: 22 more.
        assert_eq!(Network { tls: true, ..V4 }.send(frame_bytes(64)), Traffic { out: 178.0, back: 90.0 });
    }

    #[test]
    fn a_large_message_is_many_segments() {
        // 1,048,586 bytes are 724.2 segments of 1,448, and 16.01 of 65,483.
        assert_eq!(
            V4.send(frame_bytes(1 << 20)),
            Traffic { out: 1_048_586.0 + 725.0 * 90.0, back: 363.0 * 90.0 }
        );
        let loopback = Network { mtu: 65_535, ..V4 };
        assert_eq!(
            loopback.send(frame_bytes(1 << 20)),
            Traffic { out: 1_048_586.0 + 17.0 * 90.0, back: 9.0 * 90.0 }
        );
        // 64.0006 records of 16,384 are 65, and 1,050,016 bytes are 725.1 segments.
        let encrypted = Network { tls: true, ..V4 }.send(frame_bytes(1 << 20));
        assert_eq!(encrypted.out, 1_050_016.0 + 726.0 * 90.0);
    }

    #[test]
    fn what_is_received_is_acknowledged() {
        assert_eq!(V4.receive(masked_frame_bytes(64)), Traffic { out: 90.0, back: 160.0 });
    }

    #[test]
    fn a_connection_costs_packets_before_it_carries_anything() {
        // Out: SYN-ACK, ACK of the request, answer, Close, ACK of its Close, FIN, ACK. Back: SYN, ACK, request, ACK of the
        // answer, Close, ACK of our Close, FIN, ACK.
        let plain = V4.connect();
        assert_eq!(plain, Traffic { out: 7.0 * 90.0 + 160.0 + 4.0, back: 8.0 * 90.0 + 500.0 + 8.0 });
        let tls = Network { tls: true, ..V4 }.connect();
        assert!(tls.out > plain.out + 4_000.0 && tls.back > plain.back + 700.0, "{tls:?}");
    }
}
