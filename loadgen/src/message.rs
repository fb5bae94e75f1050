//! The bytes of a published message: stamp, filler, and what a publish template puts around them.

use corecast_protocol::MessageKind;

use crate::json_dialect::DIGITS;
use crate::scenario::{Scenario, encoding};
use crate::sizes::{Sizes, TextShare};
use crate::stamp::{Encoding, Stamp};

/// One publisher's message, built once; only stamp and sequence are written anew, and the rest when the size changes.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    bytes: Vec<u8>,
    stamp_at: usize,
    /// Where the template wants the sequence.
    sequence: SequencePlace,
    /// Bytes of stamp and filler as `bytes` has them.
    payload_bytes: usize,
    behind: Box<[u8]>,
    /// The longest payload; empty where all have one size.
    longest: Box<[u8]>,
    kinds: Kinds,
    sizes: Sizes,
    seed: u64,
}

#[derive(Clone, Copy, Debug)]
enum SequencePlace {
    Nowhere,
    InFront(usize),
    /// Counted from the end of the payload.
    Behind(usize),
}

/// Which messages are text.
#[derive(Clone, Copy, Debug)]
enum Kinds {
    All(MessageKind),
    Mixed(TextShare),
}

impl Message {
    pub(crate) fn new(scenario: &Scenario, publisher: u32) -> Self {
        let kinds = scenario.text_share.map_or(Kinds::All(scenario.kind), Kinds::Mixed);
        let encoding = scenario.encoding();
        let mut random = fastrand::Rng::with_seed(scenario.seed ^ u64::from(publisher));
        let mut payload = vec![b'.'; scenario.sizes.largest() as usize];
        for byte in &mut payload[encoding.stamp_bytes()..] {
            *byte = match encoding {
                Encoding::Binary => random.u8(..),
                Encoding::Text => random.alphanumeric() as u8,
            };
        }
        let topic = scenario.topic_name(scenario.topic_of(publisher));
        let number = format!("{publisher:0DIGITS$}");
        let template = scenario
            .publish_template
            .as_ref()
            .map(|template| template.replace("{topic}", &topic).replace("{publisher}", &number));
        let (before, after) =
            template.as_deref().and_then(|template| template.split_once("{payload}")).unwrap_or_default();
        let (before, in_front) = with_digits(before);
        let (after, behind) = with_digits(after);
        Self {
            bytes: [before.as_bytes(), &payload, after.as_bytes()].concat(),
            stamp_at: before.len(),
            sequence: match (in_front, behind) {
                (Some(at), _) => SequencePlace::InFront(at),
                (None, Some(at)) => SequencePlace::Behind(at),
                (None, None) => SequencePlace::Nowhere,
            },
            payload_bytes: payload.len(),
            behind: after.into_bytes().into(),
            longest: if scenario.sizes.is_fixed() { Box::default() } else { payload.into() },
            kinds,
            sizes: scenario.sizes.clone(),
            seed: scenario.seed,
        }
    }

    /// The message with this stamp, and its kind.
    pub(crate) fn stamped(&mut self, stamp: &Stamp) -> (MessageKind, &[u8]) {
        let Stamp { publisher, sequence, .. } = *stamp;
        let payload_bytes = self.sizes.of(self.seed, publisher, sequence) as usize;
        if payload_bytes != self.payload_bytes {
            self.payload_bytes = payload_bytes;
            self.bytes.truncate(self.stamp_at);
            self.bytes.extend_from_slice(&self.longest[..payload_bytes]);
            self.bytes.extend_from_slice(&self.behind);
        }
        let kind = match self.kinds {
            Kinds::All(kind) => kind,
            Kinds::Mixed(share) if share.is_text(self.seed, publisher, sequence) => MessageKind::Text,
            Kinds::Mixed(_) => MessageKind::Binary,
        };
        stamp.write(encoding(kind), &mut self.bytes[self.stamp_at..]);
        let sequence_at = match self.sequence {
            SequencePlace::Nowhere => None,
            SequencePlace::InFront(at) => Some(at),
            SequencePlace::Behind(at) => Some(self.stamp_at + payload_bytes + at),
        };
        if let Some(at) = sequence_at {
            let mut rest = sequence;
            for digit in self.bytes[at..at + DIGITS].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        (kind, &self.bytes)
    }
}

/// Makes room for the sequence where the text names it, and says where.
fn with_digits(text: &str) -> (String, Option<usize>) {
    match text.split_once("{sequence}") {
        Some((before, after)) => (format!("{before}{}{after}", "0".repeat(DIGITS)), Some(before.len())),
        None => (text.to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::Finder;

    const STAMP: Stamp =
        Stamp { run: 7, publisher: 1, sequence: 2, measured: false, intended_ns: 3, sent_ns: 4 };

    fn message(arguments: &[&str]) -> Message {
        Message::new(&Scenario::of(arguments), 1)
    }

    #[test]
    fn binary_message_has_the_size_asked_for_and_begins_with_its_stamp() {
        let mut message = message(&["--size", "100", "--seed", "1"]);
        let (kind, bytes) = message.stamped(&STAMP);
        assert_eq!(bytes.len(), 100);
        assert_eq!(bytes[..3], [0xC0, 0xCA, 0x57]);
        assert_eq!(Finder::new(Encoding::Binary).find(bytes), Some(STAMP));
        assert_eq!(kind, MessageKind::Binary);
    }

    #[test]
    fn template_wraps_the_payload() {
        let template = r#"{"op":"publish","topic":"{topic}","data":"{payload}"}"#;
        let mut message = message(&["--text", "--size", "70", "--publish-template", template]);
        let text = String::from_utf8(message.stamped(&STAMP).1.to_vec()).expect("text is UTF-8");
        assert!(text.starts_with(r#"{"op":"publish","topic":"load-0","data":"amkmhf"#), "{text}");
        assert!(text.ends_with(r#""}"#), "{text}");
        assert_eq!(text.len(), 70 + 43);
        assert_eq!(Finder::new(Encoding::Text).find(text.as_bytes()), Some(STAMP));
    }

    #[test]
    fn json_publishes_carry_their_sequence_as_id() {
        let mut message = message(&["--preset", "corecast-json", "--topics", "2", "--size", "64"]);
        for (sequence, digits) in [(2, "0000000002"), (4_294_967_294, "4294967294"), (90, "0000000090")] {
            let text = message.stamped(&Stamp { sequence, ..STAMP }).1.to_vec();
            let text = String::from_utf8(text).expect("text is UTF-8");
            assert!(text.starts_with(r#"{"op":"publish","topic":"load-1","data":"amkmhf"#), "{text}");
            assert!(text.ends_with(&format!(r#"","id":"{digits}"}}"#)), "{text}");
            assert_eq!(text.len(), 64 + 61);
        }
        assert_eq!(message.stamped(&STAMP).0, MessageKind::Text);
    }

    #[test]
    fn on_a_shared_connection_the_id_names_the_publisher_too() {
        let arguments = ["--preset", "corecast-json", "--topics", "3", "--publisher-connections", "2"];
        let text = message(&arguments).stamped(&Stamp { sequence: 90, ..STAMP }).1.to_vec();
        let text = String::from_utf8(text).expect("text is UTF-8");
        assert!(text.starts_with(r#"{"op":"publish","topic":"load-1","data":"amkmhf"#), "{text}");
        assert!(text.ends_with(r#"","id":"0000000001.0000000090"}"#), "{text}");
    }

    #[test]
    fn the_sequence_may_stand_in_front() {
        let mut message = message(&["--text", "--publish-template", "{sequence} {payload}!"]);
        let text = String::from_utf8(message.stamped(&STAMP).1.to_vec()).expect("text is UTF-8");
        assert!(text.starts_with("0000000002 amkmhf") && text.ends_with("!"), "{text}");
    }

    #[test]
    fn filler_follows_from_the_seed() {
        let bytes = |seed| message(&["--size", "200", "--seed", seed]).stamped(&STAMP).1.to_vec();
        assert_eq!(bytes("1"), bytes("1"));
        assert_ne!(bytes("1"), bytes("2"));
    }

    #[test]
    fn sizes_change_from_message_to_message_and_the_text_around_stays() {
        let template = r#"{"d":"{payload}","id":"{sequence}"}"#;
        let arguments =
            ["--text", "--size", "64:1,70:1,100:1", "--seed", "1", "--publish-template", template];
        let mut message = message(&arguments);
        let mut lengths = Vec::new();
        for sequence in 0..8 {
            let stamp = Stamp { sequence, ..STAMP };
            let text = String::from_utf8(message.stamped(&stamp).1.to_vec()).expect("text is UTF-8");
            assert!(text.starts_with(r#"{"d":"amkmhf"#), "{text}");
            assert!(text.ends_with(&format!(r#"","id":"000000000{sequence}"}}"#)), "{text}");
            assert!(!text.contains('.'), "filler behind the stamp: {text}");
            assert_eq!(Finder::new(Encoding::Text).find(text.as_bytes()), Some(stamp));
            lengths.push(text.len() - 26);
        }
        assert_eq!(lengths, [64, 64, 70, 100, 70, 100, 100, 100]);
    }

    #[test]
    fn text_and_binary_messages_mix() {
        let mut message = message(&["--size", "64", "--text-share", "50%", "--seed", "1"]);
        let mut finder = Finder::mixed();
        let mut kinds = String::new();
        for sequence in 0..12 {
            let stamp = Stamp { sequence, ..STAMP };
            let (kind, bytes) = message.stamped(&stamp);
            assert_eq!(finder.find(bytes), Some(stamp));
            assert!(kind == MessageKind::Binary || str::from_utf8(bytes).is_ok());
            kinds.push(if kind == MessageKind::Text { 't' } else { 'b' });
        }
        assert_eq!(kinds, "bbttbbbbtbbt");
    }
}
