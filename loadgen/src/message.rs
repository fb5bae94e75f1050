//! The bytes of a published message: stamp, filler, and what a publish template puts around them.

use corecast_protocol::Opcode;

use crate::json_dialect::DIGITS;
use crate::scenario::Scenario;
use crate::stamp::{Encoding, Stamp};

/// One publisher's message, built once; only stamp and sequence are written anew.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    bytes: Vec<u8>,
    stamp_at: usize,
    /// Where the template wants the sequence.
    sequence_at: Option<usize>,
    encoding: Encoding,
    opcode: Opcode,
}

impl Message {
    pub(crate) fn new(scenario: &Scenario, publisher: u32) -> Self {
        let encoding = scenario.encoding();
        let mut random = fastrand::Rng::with_seed(scenario.seed ^ u64::from(publisher));
        let mut payload = vec![b'.'; scenario.message_bytes as usize];
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
        let stamp_at = before.len();
        let sequence_at = in_front.or_else(|| behind.map(|at| stamp_at + payload.len() + at));
        let bytes = [before.as_bytes(), &payload, after.as_bytes()].concat();
        Self { bytes, stamp_at, sequence_at, encoding, opcode: scenario.kind.opcode() }
    }

    pub(crate) fn opcode(&self) -> Opcode {
        self.opcode
    }

    /// The message with this stamp.
    pub(crate) fn stamped(&mut self, stamp: &Stamp) -> &[u8] {
        stamp.write(self.encoding, &mut self.bytes[self.stamp_at..]);
        if let Some(at) = self.sequence_at {
            let mut rest = stamp.sequence;
            for digit in self.bytes[at..at + DIGITS].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
        &self.bytes
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
    use clap::Parser;

    const STAMP: Stamp =
        Stamp { run: 7, publisher: 1, sequence: 2, measured: false, intended_ns: 3, sent_ns: 4 };

    fn message(arguments: &[&str]) -> Message {
        let arguments = std::iter::once(&"run").chain(arguments);
        let options = crate::options::RunOptions::try_parse_from(arguments).expect("valid options");
        Message::new(&Scenario::from_options(&options).expect("a valid scenario"), 1)
    }

    #[test]
    fn binary_message_has_the_size_asked_for_and_begins_with_its_stamp() {
        let mut message = message(&["--size", "100", "--seed", "1"]);
        let bytes = message.stamped(&STAMP);
        assert_eq!(bytes.len(), 100);
        assert_eq!(bytes[..3], [0xC0, 0xCA, 0x57]);
        assert_eq!(Finder::new(Encoding::Binary).find(bytes), Some(STAMP));
        assert_eq!(message.opcode(), Opcode::Binary);
    }

    #[test]
    fn template_wraps_the_payload() {
        let template = r#"{"op":"publish","topic":"{topic}","data":"{payload}"}"#;
        let mut message = message(&["--text", "--size", "70", "--publish-template", template]);
        let text = String::from_utf8(message.stamped(&STAMP).to_vec()).expect("text is UTF-8");
        assert!(text.starts_with(r#"{"op":"publish","topic":"load-0","data":"amkmhf"#), "{text}");
        assert!(text.ends_with(r#""}"#), "{text}");
        assert_eq!(text.len(), 70 + 43);
        assert_eq!(Finder::new(Encoding::Text).find(text.as_bytes()), Some(STAMP));
    }

    #[test]
    fn json_publishes_carry_their_sequence_as_id() {
        let mut message = message(&["--preset", "corecast-json", "--topics", "2", "--size", "64"]);
        for (sequence, digits) in [(2, "0000000002"), (4_294_967_294, "4294967294"), (90, "0000000090")] {
            let text = message.stamped(&Stamp { sequence, ..STAMP }).to_vec();
            let text = String::from_utf8(text).expect("text is UTF-8");
            assert!(text.starts_with(r#"{"op":"publish","topic":"load-1","data":"amkmhf"#), "{text}");
            assert!(text.ends_with(&format!(r#"","id":"{digits}"}}"#)), "{text}");
            assert_eq!(text.len(), 64 + 61);
        }
        assert_eq!(message.opcode(), Opcode::Text);
    }

    #[test]
    fn on_a_shared_connection_the_id_names_the_publisher_too() {
        let arguments = ["--preset", "corecast-json", "--topics", "3", "--publisher-connections", "2"];
        let text = message(&arguments).stamped(&Stamp { sequence: 90, ..STAMP }).to_vec();
        let text = String::from_utf8(text).expect("text is UTF-8");
        assert!(text.starts_with(r#"{"op":"publish","topic":"load-1","data":"amkmhf"#), "{text}");
        assert!(text.ends_with(r#"","id":"0000000001.0000000090"}"#), "{text}");
    }

    #[test]
    fn the_sequence_may_stand_in_front() {
        let mut message = message(&["--text", "--publish-template", "{sequence} {payload}!"]);
        let text = String::from_utf8(message.stamped(&STAMP).to_vec()).expect("text is UTF-8");
        assert!(text.starts_with("0000000002 amkmhf") && text.ends_with("!"), "{text}");
    }

    #[test]
    fn filler_follows_from_the_seed() {
        let bytes = |seed| message(&["--size", "200", "--seed", seed]).stamped(&STAMP).to_vec();
        assert_eq!(bytes("1"), bytes("1"));
        assert_ne!(bytes("1"), bytes("2"));
    }
}
