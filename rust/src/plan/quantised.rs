//! Quantised models hide in allowed dtypes: packed integer codes may be equal in all ingredients while their float
//! scales would be averaged, a silent wreck. They are known by tensor names and by keys of `config.json`.

use std::collections::BTreeMap;

use crate::checkpoint::Checkpoint;
use crate::error::{Problem, ProblemKind};
use crate::escape::{counted, shown};

use super::config::Config;
use super::declared;
use super::derived::Derived;
use super::remarks::Remarks;

/// Name endings that only quantised formats write, with the format. The longest ending that fits decides.
const SUFFIXES: [(&str, &str); 25] = [
    (".qweight", "GPTQ or AWQ"),
    (".qzeros", "GPTQ or AWQ"),
    (".g_idx", "GPTQ"),
    (".weight_packed", "compressed-tensors"),
    (".weight_scale", "compressed-tensors or FP8"),
    (".weight_shape", "compressed-tensors"),
    (".weight_zero_point", "compressed-tensors"),
    (".weight_g_idx", "compressed-tensors"),
    (".weight_global_scale", "compressed-tensors NVFP4"),
    (".weight_scale_inv", "block-wise FP8"),
    (".weight_scale_2", "ModelOpt NVFP4"),
    (".weight_scales", "EETQ"),
    (".absmax", "bitsandbytes 4-bit"),
    (".quant_map", "bitsandbytes 4-bit"),
    (".nested_absmax", "bitsandbytes 4-bit"),
    (".nested_quant_map", "bitsandbytes 4-bit"),
    (".quant_state.bitsandbytes__nf4", "bitsandbytes 4-bit"),
    (".quant_state.bitsandbytes__fp4", "bitsandbytes 4-bit"),
    (".SCB", "bitsandbytes 8-bit"),
    (".weight_format", "bitsandbytes 8-bit"),
    ("_proj_blocks", "MXFP4"),
    ("_proj_scales", "MXFP4"),
    (".W_q", "HQQ"),
    (".q_weight", "EXL2"),
    (".trellis", "EXL3"),
];

const HINT: &str = "dequantise to BF16 first: the codes of a quantised model have no mean";

/// One problem per ingredient and format, and one per config that declares a quantisation, but for codes that are read.
pub(super) fn check(
    checkpoints: &[Checkpoint],
    configs: &[Option<Config>],
    derived: &[Derived],
    remarks: &mut Remarks,
) {
    for ((checkpoint, config), derived) in checkpoints.iter().zip(configs).zip(derived) {
        for (format, (name, count)) in formats(checkpoint, derived) {
            let others = counted(count as u64 - 1, "more such tensor", "more such tensors");
            let more = if count > 1 { format!(", with {others}") } else { String::new() };
            let message = format!("belongs to a model quantised as {format}{more}");
            let path = checkpoint.tensors.get(name).and_then(|at| checkpoint.shards.get(at.shard));
            remarks.problem(
                Problem::new(ProblemKind::UnsupportedDtype, message)
                    .at(path.map_or(&checkpoint.root, |shard| &shard.path))
                    .tensor(name)
                    .hint(HINT),
            );
        }
        let problem = config.as_ref().and_then(|config| declaration(config, derived.was_tried()));
        remarks.problems.extend(problem);
    }
}

/// One problem for each config that declares a quantisation.
pub(super) fn check_configs(configs: &[Option<Config>], remarks: &mut Remarks) {
    let problems = configs.iter().flatten().filter_map(|config| declaration(config, false));
    remarks.problems.extend(problems);
}

/// The problem of a config that declares a quantisation, unless it is one whose codes are read.
fn declaration(config: &Config, has_codes: bool) -> Option<Problem> {
    let (key, declared) = config.quantisation()?;
    let reason = if has_codes { format!(": {}", declared::unknown(declared)?) } else { String::new() };
    let method = ["quant_method", "quant_algo", "format"].iter().find_map(|key| declared.get(key)?.as_str());
    let method = method.map_or(String::new(), |method| format!(" ({})", shown(method)));
    let message = format!("`{key}` says that the model is quantised{method}{reason}");
    Some(Problem::new(ProblemKind::UnsupportedDtype, message).at(&config.path).hint(HINT))
}

/// Format → first tensor of it and how many there are.
fn formats<'a>(checkpoint: &'a Checkpoint, derived: &Derived) -> BTreeMap<&'static str, (&'a str, usize)> {
    let mut formats = BTreeMap::new();
    for name in checkpoint.tensors.keys().filter(|name| !derived.parts().contains(*name)) {
        if let Some(format) = format_of(name) {
            formats.entry(format).or_insert((name.as_str(), 0)).1 += 1;
        }
    }
    formats
}

fn format_of(name: &str) -> Option<&'static str> {
    let endings = SUFFIXES.iter().filter(|(suffix, _)| name.ends_with(suffix));
    endings.max_by_key(|(suffix, _)| suffix.len()).map(|(_, format)| *format)
}

#[cfg(test)]
mod tests {
    use super::format_of;

    #[test]
    fn formats_are_known_by_the_ends_of_names() {
        let check = |name: &str, format: Option<&str>| assert_eq!(format_of(name), format, "{name}");
        check("model.layers.0.mlp.up_proj.qweight", Some("GPTQ or AWQ"));
        check("model.layers.0.mlp.up_proj.g_idx", Some("GPTQ"));
        check("model.layers.0.mlp.up_proj.weight_packed", Some("compressed-tensors"));
        check("model.layers.0.mlp.up_proj.weight_scale", Some("compressed-tensors or FP8"));
        check("model.layers.0.mlp.up_proj.weight_scale_inv", Some("block-wise FP8"));
        check("model.layers.0.mlp.up_proj.weight.absmax", Some("bitsandbytes 4-bit"));
        check("model.layers.0.mlp.up_proj.weight.quant_map", Some("bitsandbytes 4-bit"));
        check("model.layers.0.mlp.up_proj.SCB", Some("bitsandbytes 8-bit"));
        check("model.layers.0.mlp.experts.gate_up_proj_blocks", Some("MXFP4"));
        check("model.layers.0.mlp.up_proj.weight", None);
        check("qweight", None);
        check("model.logit_scale", None);
    }
}
