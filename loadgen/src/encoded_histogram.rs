//! Histograms as text: HdrHistogram's V2 encoding, deflated, in base64. Every implementation of HdrHistogram reads it, and
//! nothing is lost.

use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use serde::{Deserialize, Serialize};

use crate::measure::Recorder;

/// One histogram. The default stands for one that is not known; it decodes to an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EncodedHistogram(String);

/// Why a text is no histogram.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("it is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    #[error("it is not HdrHistogram's V2 encoding: {0}")]
    Encoding(String),
}

impl EncodedHistogram {
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(histogram, &mut bytes)
            .expect("counts are below 2^63, and a vector takes every write");
        Self(STANDARD.encode(bytes))
    }

    /// # Errors
    /// When the text was not made by an implementation of HdrHistogram.
    pub fn decode(&self) -> Result<Histogram<u64>, DecodeError> {
        if self.0.is_empty() {
            return Ok(Recorder::default().histogram().clone());
        }
        let bytes = STANDARD.decode(&self.0)?;
        Deserializer::new()
            .deserialize(&mut Cursor::new(bytes))
            .map_err(|error| DecodeError::Encoding(error.to_string()))
    }

    /// Base64, as in HdrHistogram's logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(values: &[(u64, u32)]) -> Recorder {
        let mut recorder = Recorder::default();
        for &(ns, times) in values {
            recorder.record_times(ns, times);
        }
        recorder
    }

    #[test]
    fn nothing_is_lost() {
        let mut recorder = recorded(&[(0, 1), (1_000, 7), (1_234_567, 2), (3_600_000_000_000, 1)]);
        let histogram = recorder.histogram();
        let decoded = EncodedHistogram::of(histogram).decode().expect("what was encoded");
        assert_eq!(&decoded, histogram);
        assert_eq!((decoded.len(), decoded.count_at(1_000)), (11, 7));
    }

    #[test]
    fn decoded_histograms_can_be_added() {
        let first = EncodedHistogram::of(recorded(&[(1_000, 99)]).histogram());
        let second = EncodedHistogram::of(recorded(&[(5_000_000, 1)]).histogram());
        let mut sum = first.decode().expect("what was encoded");
        sum.add(second.decode().expect("what was encoded")).expect("equal bounds");
        assert_eq!((sum.len(), sum.value_at_quantile(0.99), sum.count_at(5_000_000)), (100, 1_000, 1));
    }

    #[test]
    fn the_text_is_the_standard_one() {
        let text = EncodedHistogram::of(recorded(&[(1_000, 1)]).histogram());
        assert!(text.as_str().starts_with("HISTFAAAA"), "{}", text.as_str());
    }

    #[test]
    fn an_unknown_histogram_is_empty() {
        let histogram = EncodedHistogram::default().decode().expect("empty");
        assert_eq!((histogram.len(), histogram.sigfig()), (0, 3));
    }

    #[test]
    fn other_texts_are_refused() {
        let decode =
            |text: &str| EncodedHistogram(text.to_owned()).decode().map_err(|error| error.to_string());
        assert!(decode("%").unwrap_err().starts_with("it is not base64: "));
        assert!(decode("AAAA").unwrap_err().starts_with("it is not HdrHistogram's V2 encoding: "));
    }

    #[test]
    fn a_wide_histogram_stays_small() {
        let mut recorder = Recorder::default();
        let mut ns = 10_000;
        while ns < 100_000_000 {
            recorder.record_times(ns, (ns % 97) as u32);
            ns += ns / 1_000;
        }
        let text = EncodedHistogram::of(recorder.histogram());
        assert!(text.as_str().len() < 20_000, "{}", text.as_str().len());
    }
}
