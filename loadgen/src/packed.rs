//! Long lists in which values often follow their like, as serde writes them: each value and how often it comes.
//!
//! What every subscriber has received is nearly always the same.

use std::iter;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) fn serialize<T, S>(list: &[T], serializer: S) -> Result<S::Ok, S::Error>
where
    T: PartialEq + Serialize,
    S: Serializer,
{
    let runs = list.chunk_by(|a, b| a == b).map(|run| (&run[0], run.len()));
    serializer.collect_seq(runs)
}

pub(crate) fn deserialize<'de, L, D>(deserializer: D) -> Result<L, D::Error>
where
    L: IntoIterator + FromIterator<L::Item>,
    L::Item: Clone + Deserialize<'de>,
    D: Deserializer<'de>,
{
    let runs: Vec<(L::Item, usize)> = Vec::deserialize(deserializer)?;
    Ok(runs.into_iter().flat_map(|(value, times)| iter::repeat_n(value, times)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Lists {
        #[serde(with = "super")]
        numbers: Box<[u32]>,
        #[serde(with = "super")]
        flags: Vec<bool>,
    }

    #[test]
    fn equal_neighbours_are_one_entry() {
        let lists = Lists { numbers: [7, 7, 7, 0, 7].into(), flags: vec![] };
        let json = serde_json::to_string(&lists).expect("numbers and flags");
        assert_eq!(json, r#"{"numbers":[[7,3],[0,1],[7,1]],"flags":[]}"#);
        assert_eq!(serde_json::from_str::<Lists>(&json).expect("what was written"), lists);
    }
}
