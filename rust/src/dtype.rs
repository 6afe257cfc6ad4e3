//! Element types of the safetensors format, and which of them have a mean.

use std::fmt;

/// Element type of a tensor, as named in a safetensors header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(non_camel_case_types, missing_docs, reason = "the format's own names")]
pub enum Dtype {
    BOOL,
    F4,
    F6_E2M3,
    F6_E3M2,
    U8,
    I8,
    F8_E5M2,
    F8_E4M3,
    F8_E8M0,
    F8_E4M3FNUZ,
    F8_E5M2FNUZ,
    I16,
    U16,
    F16,
    BF16,
    I32,
    U32,
    F32,
    C64,
    F64,
    I64,
    U64,
}

/// What soce may do with tensors of a dtype.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DtypeClass {
    /// F64, F32, F16, BF16: averaged exactly.
    Float,
    /// Integers and booleans: copied when equal in all ingredients.
    Discrete,
    /// Scaled codes and complex numbers: refused.
    Refused,
}

const ALL: [(Dtype, &str, u32); 22] = [
    (Dtype::BOOL, "BOOL", 8),
    (Dtype::F4, "F4", 4),
    (Dtype::F6_E2M3, "F6_E2M3", 6),
    (Dtype::F6_E3M2, "F6_E3M2", 6),
    (Dtype::U8, "U8", 8),
    (Dtype::I8, "I8", 8),
    (Dtype::F8_E5M2, "F8_E5M2", 8),
    (Dtype::F8_E4M3, "F8_E4M3", 8),
    (Dtype::F8_E8M0, "F8_E8M0", 8),
    (Dtype::F8_E4M3FNUZ, "F8_E4M3FNUZ", 8),
    (Dtype::F8_E5M2FNUZ, "F8_E5M2FNUZ", 8),
    (Dtype::I16, "I16", 16),
    (Dtype::U16, "U16", 16),
    (Dtype::F16, "F16", 16),
    (Dtype::BF16, "BF16", 16),
    (Dtype::I32, "I32", 32),
    (Dtype::U32, "U32", 32),
    (Dtype::F32, "F32", 32),
    (Dtype::C64, "C64", 64),
    (Dtype::F64, "F64", 64),
    (Dtype::I64, "I64", 64),
    (Dtype::U64, "U64", 64),
];

impl Dtype {
    /// The dtype a header calls `name`; names are case-sensitive.
    pub fn from_name(name: &str) -> Option<Self> {
        ALL.iter().find(|(_, n, _)| *n == name).map(|(dtype, _, _)| *dtype)
    }

    /// The header's name.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// Size of one element in bits.
    pub fn bits(self) -> u32 {
        self.row().2
    }

    /// Size of one element in bytes; `None` for F4 and F6.
    pub fn bytes(self) -> Option<usize> {
        self.bits().is_multiple_of(8).then(|| (self.bits() / 8) as usize)
    }

    /// What may be done with it.
    pub fn class(self) -> DtypeClass {
        match self {
            Self::F64 | Self::F32 | Self::F16 | Self::BF16 => DtypeClass::Float,
            Self::BOOL
            | Self::U8
            | Self::I8
            | Self::U16
            | Self::I16
            | Self::U32
            | Self::I32
            | Self::U64
            | Self::I64 => DtypeClass::Discrete,
            _ => DtypeClass::Refused,
        }
    }

    fn row(self) -> &'static (Self, &'static str, u32) {
        // Declaration order is table order; the test below keeps them together.
        &ALL[self as usize]
    }
}

impl serde::Serialize for Dtype {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> serde::Deserialize<'de> for Dtype {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| serde::de::Error::custom(format!("unknown dtype `{name}`")))
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{ALL, Dtype};

    #[test]
    fn table_and_enum_have_the_same_order() {
        for (i, (dtype, name, _)) in ALL.iter().enumerate() {
            assert_eq!(*dtype as usize, i);
            assert_eq!(Dtype::from_name(name), Some(*dtype));
        }
    }
}
