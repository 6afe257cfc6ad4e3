//! A masked row as the manifest has it.

use serde::{Deserialize, Serialize};

use crate::mix::{Divisor, Edge, Keep, Masked};

/// What a masked row has beside its parts, by column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MasksEntry {
    /// The column to which differences are taken; of its parts it has the whole.
    pub(crate) base: usize,
    /// What those who take part are divided by together, if that is not the whole.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) divisors: Option<Vec<u64>>,
    /// Whether a sign is elected.
    pub(crate) elects: bool,
    /// What each column keeps; `null` keeps every element.
    pub(crate) keeps: Vec<Option<KeepEntry>>,
}

/// What one keeps: by rank or at random.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum KeepEntry {
    Ranks(RanksEntry),
    Random(RandomEntry),
}

/// Magnitudes as text, the shortest decimal that is read back as the same F64, and the numbers of elements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RanksEntry {
    pub(crate) low: (String, u64),
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) high: Option<(String, u64)>,
}

/// The key in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RandomEntry {
    pub(crate) key: String,
    pub(crate) probability: u32,
}

impl MasksEntry {
    /// The ingredients with these numbers are the columns.
    pub(crate) fn new(masked: &Masked, columns: &[usize]) -> Self {
        let edge = |edge: Edge| (format!("{:?}", f64::from_bits(edge.magnitude)), edge.index);
        let keep = |&i: &usize| match &masked.keeps()[i] {
            Keep::All => None,
            Keep::Ranks { low, high } => {
                Some(KeepEntry::Ranks(RanksEntry { low: edge(*low), high: high.map(edge) }))
            }
            Keep::Random { key: [first, second], probability } => Some(KeepEntry::Random(RandomEntry {
                key: format!("{first:016x}{second:016x}"),
                probability: *probability,
            })),
        };
        Self {
            base: columns.iter().position(|&i| i == masked.base()).expect("a base takes part"),
            divisors: match masked.divisor() {
                Divisor::Whole(_) => None,
                Divisor::Sum(divisors) => Some(columns.iter().map(|&i| divisors[i]).collect()),
            },
            elects: masked.elects(),
            keeps: columns.iter().map(keep).collect(),
        }
    }

    /// The row that has these parts.
    ///
    /// # Errors
    /// Why it makes no sense, ready to be shown.
    pub(crate) fn masked(&self, parts: &[i64], whole: u64) -> Result<Masked, String> {
        let mut numerators = parts.to_vec();
        let base = numerators.get_mut(self.base).ok_or("its base is none of its columns")?;
        if *base != whole as i64 {
            return Err(format!("expected {whole} as the part of its base, got {base}"));
        }
        *base = 0;
        let divisor = self.divisors.clone().map_or(Divisor::Whole(whole), Divisor::Sum);
        let keeps = self.keeps.iter().map(|keep| keep.as_ref().map_or(Ok(Keep::All), KeepEntry::keep));
        let masked =
            Masked::new(self.base, &numerators, divisor, self.elects, keeps.collect::<Result<_, _>>()?)
                .map_err(|error| error.to_string())?;
        if masked.whole() == whole {
            Ok(masked)
        } else {
            Err(format!("expected a whole of {}, the sum of its divisors, got {whole}", masked.whole()))
        }
    }
}

impl KeepEntry {
    fn keep(&self) -> Result<Keep, String> {
        let edge = |(size, index): &(String, u64)| {
            let size = size.parse::<f64>().ok().filter(|size| size.is_finite() && size.is_sign_positive());
            let magnitude = size.ok_or("a magnitude is no finite number")?.to_bits();
            Ok::<_, String>(Edge { magnitude, index: *index })
        };
        match self {
            Self::Ranks(RanksEntry { low, high }) => {
                Ok(Keep::Ranks { low: edge(low)?, high: high.as_ref().map(edge).transpose()? })
            }
            Self::Random(RandomEntry { key, probability }) => {
                let is_key = key.len() == 32 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
                let half = |text: &str| u64::from_str_radix(text, 16).map_err(|error| error.to_string());
                if !is_key {
                    return Err("a key is not 32 hexadecimal digits".to_owned());
                }
                let key = [half(&key[..16])?, half(&key[16..])?];
                Ok(Keep::Random { key, probability: *probability })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MasksEntry;
    use crate::mix::{Divisor, Edge, Keep, Masked};

    #[test]
    fn a_masked_row_survives_being_written_and_read() {
        let edge = |size: f64, index| Edge { magnitude: size.to_bits(), index };
        let keeps = vec![
            Keep::All,
            Keep::Ranks { low: edge(0.1, 7), high: None },
            Keep::Ranks { low: edge(1e-310, 0), high: Some(edge(f64::MAX, 3)) },
            Keep::Random { key: [1, u64::MAX], probability: 5 },
        ];
        for divisor in [Divisor::Whole(7), Divisor::Sum(vec![0, 3, 1, 3])] {
            let masked = Masked::new(0, &[0, 3, -1, 4], divisor, true, keeps.clone()).unwrap();
            let entry = MasksEntry::new(&masked, &[0, 1, 2, 3]);
            let text = serde_json::to_string(&entry).unwrap();
            let read: MasksEntry = serde_json::from_str(&text).unwrap();
            assert_eq!(read.masked(masked.parts(), masked.whole()).unwrap(), masked, "{text}");
            assert!(read.masked(&[7, 3, -1], 7).is_err());
            assert!(read.masked(&[6, 3, -1, 4], 7).is_err());
        }
    }

    #[test]
    fn entries_that_make_no_sense_are_refused() {
        for keeps in [
            r#"{"key": "zz", "probability": 1}"#,
            r#"{"low": ["inf", 1]}"#,
            r#"{"low": ["-1", 1]}"#,
            r#"{"low": ["x", 1]}"#,
        ] {
            let text = format!(r#"{{"base": 0, "elects": false, "keeps": [null, {keeps}]}}"#);
            let entry: MasksEntry = serde_json::from_str(&text).unwrap();
            assert!(entry.masked(&[2, 1], 2).is_err(), "{keeps}");
        }
        let text = r#"{"base": 9, "elects": false, "keeps": [null, null]}"#;
        assert!(serde_json::from_str::<MasksEntry>(text).unwrap().masked(&[2, 1], 2).is_err());
    }
}
