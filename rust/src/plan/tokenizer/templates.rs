//! Chat templates: programs for somebody else, compared and never rendered.

use std::path::Path;

use serde_json::Value;

use crate::checkpoint::{OpenOptions, read_small};
use crate::escape::quoted;
use crate::json;

use super::super::config::MAX_BYTES;
use super::super::remarks::Remarks;

/// Tell of templates that differ from the donor's, which the soup gets.
pub(super) fn check<'a>(
    donor: &Path,
    others: impl Iterator<Item = &'a Path>,
    options: OpenOptions,
    remarks: &mut Remarks,
) {
    let expected = template(donor, options, remarks);
    for other in others {
        if template(other, options, remarks) != expected {
            remarks.warn(format!(
                "{}: chat template differs from that of {}, which the soup gets",
                quoted(other),
                quoted(donor)
            ));
        }
    }
}

/// `chat_template.jinja`, or else the key in `tokenizer_config.json`.
fn template(directory: &Path, options: OpenOptions, remarks: &mut Remarks) -> Option<Value> {
    let mut file = |name: &str| {
        let path = directory.join(name);
        let read = path.is_file().then(|| read_small(&path, directory, MAX_BYTES, &options))?;
        read.map_err(|problem| remarks.problem(problem)).ok()
    };
    if let Some(bytes) = file("chat_template.jinja") {
        return Some(Value::from(String::from_utf8_lossy(&bytes).into_owned()));
    }
    let name = "tokenizer_config.json";
    match json::parse_python(&file(name)?) {
        Ok(value) => value.get("chat_template").filter(|template| !template.is_null()).cloned(),
        Err(what) => {
            remarks.warn(format!(
                "{}: {what}; its chat template was not compared",
                quoted(&directory.join(name))
            ));
            None
        }
    }
}
