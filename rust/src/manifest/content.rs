//! What an ingredient gave to a soup, whatever shards it lies in, as one digest.

use crate::digest::Digest;
use crate::dtype::Dtype;

/// BLAKE3 of the canonical list of name, dtype, shape and digest of every tensor, fed in the order of their names.
#[derive(Debug)]
pub(crate) struct Content {
    hasher: blake3::Hasher,
    tensors: usize,
}

impl Content {
    pub(crate) fn new() -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"[");
        Self { hasher, tensors: 0 }
    }

    /// The next tensor by name.
    ///
    /// # Panics
    /// Never: an entry is plain data.
    pub(crate) fn add(&mut self, name: &str, dtype: Dtype, shape: &[u64], digest: Digest) {
        if self.tensors > 0 {
            self.hasher.update(b",");
        }
        self.tensors += 1;
        serde_json::to_writer(&mut self.hasher, &(name, dtype, shape, digest)).expect("plain data");
    }

    /// What the product of the last two tensors is multiplied by before it, or its transpose, is added to the one before.
    pub(crate) fn add_scale(&mut self, scale: f64, transposed: bool) {
        let name = if transposed { "scale of the transpose" } else { "scale" };
        self.add(name, Dtype::F64, &[], Digest::of(&scale.to_le_bytes()));
    }

    pub(crate) fn finish(mut self) -> Digest {
        self.hasher.update(b"]").finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::Content;
    use crate::digest::Digest;
    use crate::dtype::Dtype;
    use crate::manifest::digest_of;

    #[test]
    fn it_is_the_digest_of_the_canonical_list() {
        let digest = Digest::of(b"x");
        let mut content = Content::new();
        content.add("a\"é", Dtype::BF16, &[2, 3], digest);
        content.add("b", Dtype::I64, &[], digest);
        let list = json!([["a\"é", "BF16", [2, 3], digest], ["b", "I64", [], digest]]);
        assert_eq!(content.finish(), digest_of(&list));
        assert_eq!(Content::new().finish(), digest_of(&json!([])));
    }
}
