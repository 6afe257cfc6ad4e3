//! What the names of weight files say: which of them hold one model together, and which set loaders read first.
//!
//! `model-00001-of-00002.safetensors`, its whole `model.safetensors` and `model.safetensors.index.json` are one set;
//! `model.fp16-00001-of-00002.safetensors` (or, by older libraries, `model-00001-of-00002.fp16.safetensors`) with
//! `model.safetensors.index.fp16.json` is a variant of it. The same model in another format is called `consolidated`.

/// Suffix of shards.
pub(crate) const SHARD: &str = ".safetensors";
const INDEX: &str = ".safetensors.index.";
const JSON: &str = "json";
/// The names that transformers and diffusers look for.
const LOADED: [&str; 2] = ["model", "diffusion_pytorch_model"];
/// The name that no such library looks for: the maker's own format beside the one for loaders.
const FOREIGN: &str = "consolidated";

/// What all files of one model are called.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WeightSet {
    stem: String,
    variant: Option<String>,
}

/// A file of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WeightFile {
    pub(crate) set: WeightSet,
    /// Its number among how many, unless it is the whole.
    pub(crate) part: Option<Numbered>,
}

/// A place in a set such as the second of four: `00002-of-00004`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Numbered {
    pub(crate) number: u64,
    pub(crate) count: u64,
    pub(crate) digits: usize,
}

/// Who reads a set, those first that most programs read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Readers {
    /// Every loader, unasked.
    Loaders,
    /// Whoever asks for it by its name.
    Asked,
    /// The programs of its maker.
    Maker,
}

impl WeightSet {
    /// The set that `model` stands for.
    pub(crate) fn usual() -> Self {
        Self { stem: "model".to_owned(), variant: None }
    }

    /// The set of an index by its file name; `None` for other files.
    pub(crate) fn of_index(name: &str) -> Option<Self> {
        let (stem, rest) = name.rsplit_once(INDEX)?;
        let variant = match rest.strip_suffix(JSON)? {
            "" => None,
            variant => Some(variant.strip_suffix('.').filter(|variant| is_variant(variant))?.to_owned()),
        };
        (!stem.is_empty()).then(|| Self { stem: stem.to_owned(), variant })
    }

    /// Who reads it.
    pub(crate) fn readers(&self) -> Readers {
        if self.stem == FOREIGN {
            Readers::Maker
        } else if self.variant.is_none() && self.is_looked_for() {
            Readers::Loaders
        } else {
            Readers::Asked
        }
    }

    /// Whether loaders look for it, unasked or by its variant.
    pub(crate) fn is_looked_for(&self) -> bool {
        LOADED.contains(&self.stem.as_str())
    }

    /// Whether it is known to be another form of the model that `read` is.
    pub(crate) fn is_other_form_of(&self, read: &Self) -> bool {
        self != read && (self.stem == read.stem || self.stem == FOREIGN)
    }

    /// The file name of its index.
    pub(crate) fn index(&self) -> String {
        let variant = self.variant.as_ref().map_or(String::new(), |variant| format!("{variant}."));
        format!("{}{INDEX}{variant}{JSON}", self.stem)
    }

    /// The file name of shard `i`, counted from 0, of `count`; of the only one without a number.
    pub(crate) fn shard(&self, i: usize, count: usize) -> String {
        let variant = self.variant.as_ref().map_or(String::new(), |variant| format!(".{variant}"));
        let stem = &self.stem;
        if count == 1 {
            format!("{stem}{variant}{SHARD}")
        } else {
            format!("{stem}{variant}-{:05}-of-{count:05}{SHARD}", i + 1)
        }
    }
}

impl WeightFile {
    /// What a shard's file name says; `None` for other files.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let name = name.strip_suffix(SHARD)?;
        if let Some((stem, part)) = numbered(name) {
            return Some(Self { set: whole(stem), part: Some(part) });
        }
        // The older spelling has the variant last.
        let older = name.rsplit_once('.').filter(|(_, variant)| is_variant(variant));
        if let Some(((stem, part), variant)) = older.and_then(|(name, v)| Some((numbered(name)?, v))) {
            let set = WeightSet { stem: stem.to_owned(), variant: Some(variant.to_owned()) };
            return Some(Self { set, part: Some(part) });
        }
        Some(Self { set: whole(name), part: None })
    }
}

/// The set of a name without number and suffix. Dots in names that no loader looks for are dots.
fn whole(name: &str) -> WeightSet {
    let known = LOADED.iter().find_map(|stem| {
        let variant = name.strip_prefix(stem)?.strip_prefix('.').filter(|variant| is_variant(variant))?;
        Some(WeightSet { stem: (*stem).to_owned(), variant: Some(variant.to_owned()) })
    });
    known.unwrap_or_else(|| WeightSet { stem: name.to_owned(), variant: None })
}

fn is_variant(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// `stem-00002-of-00004`, or `stem-2-of-12`, as stem and place.
fn numbered(name: &str) -> Option<(&str, Numbered)> {
    let (rest, count) = name.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| (1..10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let (width, padded) = (count.len(), number.starts_with('0'));
    if !digits(count) || !digits(number) || number.len() > width || (padded && number.len() < width) {
        return None;
    }
    let part = Numbered { number: number.parse().ok()?, count: count.parse().ok()?, digits: count.len() };
    Some((stem, part))
}

#[cfg(test)]
mod tests {
    use super::{Numbered, Readers, WeightFile, WeightSet};

    fn set(stem: &str, variant: &str) -> WeightSet {
        let variant = (!variant.is_empty()).then(|| variant.to_owned());
        WeightSet { stem: stem.to_owned(), variant }
    }

    #[test]
    fn files_of_a_set_are_known_by_their_names() {
        let check = |name: &str, stem: &str, variant: &str, part: Option<(u64, u64)>| {
            let got = WeightFile::of(name).unwrap();
            assert_eq!(got.set, set(stem, variant), "{name}");
            assert_eq!(got.part.map(|part| (part.number, part.count)), part, "{name}");
        };
        check("model.safetensors", "model", "", None);
        check("model-00002-of-00004.safetensors", "model", "", Some((2, 4)));
        check("a-b-00002-of-00003.safetensors", "a-b", "", Some((2, 3)));
        check("model.fp16.safetensors", "model", "fp16", None);
        check("model.fp16-00001-of-00002.safetensors", "model", "fp16", Some((1, 2)));
        check(
            "diffusion_pytorch_model-00001-of-00002.non_ema.safetensors",
            "diffusion_pytorch_model",
            "non_ema",
            Some((1, 2)),
        );
        check("sd_xl_base_1.0.safetensors", "sd_xl_base_1.0", "", None);
        check("model-x-of-00003.safetensors", "model-x-of-00003", "", None);
        check("model-9-of-12.safetensors", "model", "", Some((9, 12)));
        check("model-0002-of-00003.safetensors", "model-0002-of-00003", "", None);
        check("consolidated.safetensors", "consolidated", "", None);
        assert_eq!(WeightFile::of("model.bin"), None);
    }

    #[test]
    fn an_index_names_its_set() {
        let check = |name: &str, expected: Option<WeightSet>| {
            assert_eq!(WeightSet::of_index(name), expected, "{name}");
            if let Some(set) = expected {
                assert_eq!(set.index(), name);
            }
        };
        check("model.safetensors.index.json", Some(set("model", "")));
        check("consolidated.safetensors.index.json", Some(set("consolidated", "")));
        check("model.safetensors.index.fp16.json", Some(set("model", "fp16")));
        for name in [
            "model.safetensors.index.a.b.json",
            ".safetensors.index.json",
            "model.bin.index.json",
            "model.safetensors.index..json",
        ] {
            check(name, None);
        }
    }

    #[test]
    fn shards_are_numbered_from_one() {
        assert_eq!(set("model", "").shard(0, 1), "model.safetensors");
        assert_eq!(set("model", "").shard(0, 3), "model-00001-of-00003.safetensors");
        assert_eq!(set("m", "").shard(99_999, 100_000), "m-100000-of-100000.safetensors");
        assert_eq!(set("model", "fp16").shard(1, 2), "model.fp16-00002-of-00002.safetensors");
        let part = WeightFile::of("m-100000-of-100000.safetensors").unwrap().part;
        assert_eq!(part, Some(Numbered { number: 100_000, count: 100_000, digits: 6 }));
    }

    #[test]
    fn loaders_read_the_plain_name_unasked() {
        let check = |set: &WeightSet, readers: Readers| assert_eq!(set.readers(), readers, "{set:?}");
        check(&set("model", ""), Readers::Loaders);
        check(&set("diffusion_pytorch_model", ""), Readers::Loaders);
        check(&set("model", "fp16"), Readers::Asked);
        check(&set("pq", ""), Readers::Asked);
        check(&set("consolidated", ""), Readers::Maker);
        assert!(set("model", "fp16").is_other_form_of(&set("model", "")));
        assert!(set("consolidated", "").is_other_form_of(&set("model", "")));
        assert!(!set("old", "").is_other_form_of(&set("model", "")));
    }
}
