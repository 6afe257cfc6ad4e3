//! From a request to a plan: three rounds, each of which reports all that it finds wrong.
//!
//! Round one reads the request and the headers, round two compares the ingredients with each other, round three lays
//! the output out, which only makes sense for ingredients that agree.

use std::path::Path;

use crate::checkpoint::folder::{folder_of, join};
use crate::checkpoint::{Checkpoint, MAX_HEADERS_BYTES};
use crate::dtype::{Dtype, DtypeClass};
use crate::error::{Problem, ProblemKind, Result};
use crate::escape::{counted, quoted};
use crate::target::{self, check_outputs};

use super::config::Config;
use super::remarks::Remarks;
use super::{
    MergeRequest, Plan, PlanOptions, PlannedTensor, SideContent, Treatment, differences, folders, layout,
    routers, side_files, space, tokenizer, treatments,
};

/// Prove that `request` can be carried out and fix everything about its result. Reads headers, side files and the
/// tensors that must be equal; writes nothing.
///
/// # Errors
///
/// [`crate::Error::Refused`] with everything that is wrong; [`crate::Error::Io`] if the system refuses to read.
pub fn make(mut request: MergeRequest) -> Result<Plan> {
    let mut remarks = Remarks::default();
    check_request(&request, &mut remarks);
    put_choices_first(&mut request)?;
    let checkpoints = open(&request, &mut remarks);
    remarks.refuse()?;

    let mut configs = Config::of_each(&checkpoints, request.options.open, &mut remarks);
    let treatments = treatments::decide(&request, &checkpoints, &configs, &mut remarks)?;
    let PlanOptions { config_from: donor, allow_different_configs, .. } = request.options;
    differences::check(&configs, donor, allow_different_configs, &mut remarks);
    tokenizer::check(&checkpoints, &request.options, &mut remarks)?;
    if treatments.derived.get(donor).is_some_and(|derived| derived.codes() > 0) {
        not_quantised(&mut configs[donor], &mut remarks);
    }
    let config = configs.get(donor).and_then(Option::as_ref);
    let mut side = match checkpoints.get(donor) {
        Some(donor) => side_files::collect(donor, config, &request.options, &mut remarks)?,
        None => side_files::SideFiles::default(),
    };
    side_files::compare(&checkpoints, donor, &side.files, request.options.open, &mut remarks);
    let mut donors = folders::collect(&request, &checkpoints, &mut side, &mut remarks)?;
    let outputs: Vec<&Path> = request.recipes.iter().map(|recipe| recipe.output.as_path()).collect();
    let PlanOptions { overwrite, makes_parent, .. } = request.options;
    let (occupied, problems) = check_outputs(&outputs, &checkpoints, overwrite, makes_parent);
    remarks.problems.extend(problems);
    remarks.refuse()?;

    let layout = layout::lay_out(&request, &checkpoints, &treatments, &mut remarks);
    donors.extend(configs.into_iter().nth(donor).flatten().map(|config| (String::new(), config)));
    for (folder, config) in &donors {
        let is_here = |tensor: &&PlannedTensor| folder_of(&layout.shards[tensor.shard].name) == folder;
        let here: Vec<&PlannedTensor> = layout.tensors.iter().filter(is_here).collect();
        let Some(bytes) = true_dtype(config, &here) else { continue };
        let name = join(folder, "config.json");
        for file in side.files.iter_mut().filter(|file| file.name == name) {
            file.content = SideContent::Bytes(bytes.clone());
        }
    }
    remarks.warnings.extend(layout::note(&request, &checkpoints));
    let mut plan = Plan {
        request,
        checkpoints,
        derived: treatments.derived,
        tensors: layout.tensors,
        shards: layout.shards,
        indexes: layout.indexes,
        side_files: side.files,
        left_out: side.left_out,
        tied: treatments.tied,
        complete: Vec::new(),
        tensors_left_out: treatments.left_out,
        warnings: std::mem::take(&mut remarks.warnings),
        total_size: layout.total_size,
        total_parameters: layout.total_parameters,
    };
    plan.warnings.extend(routers::warning(&plan));
    for recipe in occupied {
        if plan.stands_complete(recipe)? {
            plan.complete.push(recipe);
        } else {
            remarks.problem(target::occupied(&plan.request.recipes[recipe].output));
        }
    }
    space::check(&plan, &mut remarks)?;
    remarks.refuse()?;
    Ok(plan)
}

/// What can be wrong with a request before any file is looked at.
fn check_request(request: &MergeRequest, remarks: &mut Remarks) {
    let mut refuse = |message: String, hint: &str| {
        remarks.problem(Problem::new(ProblemKind::Recipe, message).hint(hint));
    };
    let (ingredients, options) = (request.ingredients.len(), &request.options);
    if ingredients == 0 {
        refuse("a recipe needs at least one ingredient".to_owned(), "list the checkpoints to be averaged");
    }
    if request.recipes.is_empty() {
        refuse("expected at least one recipe, got none".to_owned(), "name an output");
    }
    if options.config_from >= ingredients.max(1) {
        let message =
            format!("config_from: expected an ingredient below {ingredients}, got {}", options.config_from);
        refuse(message, "ingredients are counted from 0");
    }
    if let Some(dtype) = options.dtype.filter(|dtype| dtype.class() != DtypeClass::Float) {
        refuse(format!("means cannot be written as {dtype}"), "choose F64, F32, F16 or BF16");
    }
    if options.max_shard_size == Some(0) {
        refuse("expected a shard size of at least one byte, got 0".to_owned(), "5 GB is usual");
    }
    for recipe in &request.recipes {
        let at = |message: String| Problem::new(ProblemKind::Recipe, message).at(&recipe.output);
        if recipe.rows.is_empty() {
            remarks.problem(
                at("the recipe has no rows".to_owned()).hint("a plain average is one row with pattern `*`"),
            );
        }
        for row in &recipe.rows {
            let parts = row.mixture.parts().len();
            if parts != ingredients {
                let pattern = crate::escape::shown(&row.pattern);
                let expected = counted(ingredients as u64, "ingredient", "ingredients");
                let message = format!("row `{pattern}`: expected parts for {expected}, got {parts}");
                remarks.problem(at(message).hint("give one number per ingredient, 0 for none"));
            }
        }
    }
}

/// Begin every table with the rows of tensors that are taken, so that a recipe says by itself what becomes of them.
pub(super) fn put_choices_first(request: &mut MergeRequest) -> Result<()> {
    let rows = request.options.choices.rows(request.ingredients.len())?;
    for recipe in &mut request.recipes {
        recipe.rows.splice(0..0, rows.iter().cloned());
    }
    Ok(())
}

pub(super) fn open(request: &MergeRequest, remarks: &mut Remarks) -> Vec<Checkpoint> {
    let mut budget = MAX_HEADERS_BYTES;
    let mut checkpoints = Vec::with_capacity(request.ingredients.len());
    for (number, path) in request.ingredients.iter().enumerate() {
        let open = request.options.open;
        let opened = Checkpoint::open_within(path, &open, &request.objects, &mut budget)
            .and_then(|base| base.adapted(request.adapters.get(&number), open, &mut budget));
        match opened {
            Ok(checkpoint) => {
                remarks.warnings.extend(checkpoint.warnings.iter().cloned());
                checkpoints.push(checkpoint);
            }
            Err(problems) => remarks.problems.extend(problems),
        }
    }
    folders::check(&checkpoints, remarks);
    checkpoints
}

/// Take out of a config what it declares of codes: a soup has none.
fn not_quantised(config: &mut Option<Config>, remarks: &mut Remarks) {
    let Some(declaring) = config.as_mut().filter(|config| config.quantisation().is_some()) else { return };
    match declaring.without_quantisation() {
        Ok(plain) => {
            let key = declaring.quantisation().map_or("", |(key, _)| key);
            remarks.warn(format!("{}: `{key}` is left out of the soup's", quoted(&declaring.path)));
            *declaring = plain;
        }
        Err(problem) => remarks.problem(problem),
    }
}

/// The config's text, if its dtype is not that of the averaged tensors any more.
fn true_dtype(config: &Config, tensors: &[&PlannedTensor]) -> Option<Vec<u8>> {
    let averaged = || tensors.iter().filter(|tensor| matches!(tensor.treatment, Treatment::Averaged { .. }));
    let written = shared(averaged().map(|tensor| tensor.dtype))?;
    let before = shared(averaged().map(|tensor| tensor.source(0).dtype))
        .filter(|dtype| dtype.class() == DtypeClass::Float);
    config.with_dtype(written, before)
}

/// The one dtype of all, if they share one.
fn shared(mut dtypes: impl Iterator<Item = Dtype>) -> Option<Dtype> {
    let first = dtypes.next()?;
    dtypes.all(|dtype| dtype == first).then_some(first)
}
