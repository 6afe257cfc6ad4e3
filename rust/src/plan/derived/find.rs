//! All that is derived of an ingredient, whatever it is derived from.

use std::collections::BTreeMap;

use super::super::config::Config;
use super::super::remarks::Remarks;
use super::ingredient::Derived;
use super::{adapted, codes};
use crate::checkpoint::{Checkpoint, OpenOptions};

/// The derived tensors of every ingredient, but for those that are `left_out`; what is wrong with them is a problem, and
/// a word is said on what they are.
pub(in super::super) fn of_each(
    checkpoints: &[Checkpoint],
    configs: &[Option<Config>],
    left_out: &BTreeMap<String, String>,
    remarks: &mut Remarks,
) -> Vec<Derived> {
    let with_configs = checkpoints.iter().zip(configs);
    with_configs.map(|(c, config)| one(c, config.as_ref(), left_out, remarks)).collect()
}

/// Those of a checkpoint of which nothing is asked but what it holds.
pub(crate) fn of(checkpoint: &Checkpoint, open: OpenOptions) -> Derived {
    let config = Config::read(checkpoint, open).ok().flatten();
    one(checkpoint, config.as_ref(), &BTreeMap::new(), &mut Remarks::default())
}

fn one(
    checkpoint: &Checkpoint,
    config: Option<&Config>,
    left_out: &BTreeMap<String, String>,
    remarks: &mut Remarks,
) -> Derived {
    let mut derived = codes::find(checkpoint, config, left_out, remarks);
    adapted::add(checkpoint, &mut derived, remarks);
    derived
}
