//! A merge from its first look at the outputs to their names.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::options::MergeOptions;
use super::outputs::Outputs;
use super::part_digests::PartDigests;
use super::report::{MergeReport, NonFiniteTensor};
use super::sending::Sending;
use super::small_files::{self, Made, Provenance};
use super::soups::{self, Soup};
use super::worker::{Run, Step, Worker};
use crate::control::Control;
use crate::error::Result;
use crate::io::remote::StopOnPanic;
use crate::io::{Cache, memory_limit, platform};
use crate::kernels::float_env;
use crate::manifest::Digests;
use crate::plan::Plan;
use crate::sink::{Carrier, Durability, journal::ShardRecord};
use crate::threads::{start, start_some};

/// Make every soup of `plan`, or go on where an interrupted run stopped. `provenance` goes into the manifests. The one
/// soup of a plan whose shards are sent is taken away by `carrier`: no output name then leads to it.
///
/// # Errors
/// I/O errors, inputs that changed since planning, non-finite values unless allowed, cancellation, something else's
/// work in the way. Every output name then leads to what it led to before, and [`crate::Error::Unfinished`] says what
/// the next run can use.
///
/// # Panics
/// If a worker panics, or a plan has a carrier whose shards are not sent, or the other way round: a bug.
pub fn execute(
    plan: &Plan,
    options: &MergeOptions,
    provenance: &Provenance,
    carrier: Option<&dyn Carrier>,
    control: &Control,
) -> Result<MergeReport> {
    let recipes = plan.request.recipes.len();
    assert_eq!(carrier.is_some(), plan.request.options.sent, "who sends shards has a carrier");
    assert!(carrier.is_none() || recipes == 1, "one soup at a time is sent");
    let started = Instant::now();
    let chunk = Run::check(plan, options)?;
    let remote = (0..plan.checkpoints.len()).filter(|&ingredient| plan.is_remote(ingredient)).count();
    let _session = plan.request.objects.ordered_session(control, remote);
    let (mut soups, notes) = soups::begin(plan, options, carrier, control)?;
    let mut report = match make(plan, options, chunk, &mut soups, carrier, control)
        .and_then(|report| publish(plan, &soups, report, provenance, carrier, control))
    {
        Ok(report) => report,
        Err(error) => return Err(soups::interrupted(plan, &soups, error)),
    };
    report.warnings.splice(0..0, notes);
    report.warnings.extend(soups.into_iter().filter_map(|soup| soup.staging?.clean()));
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

/// Compute and write every shard that is not there yet, and have it taken away if it is not to stay. Returns a report without the digests of the soups.
fn make(
    plan: &Plan,
    options: &MergeOptions,
    chunk_bytes: u64,
    soups: &mut [Soup],
    carrier: Option<&dyn Carrier>,
    control: &Control,
) -> Result<MergeReport> {
    let reused = soups.iter().flat_map(|soup| &soup.finished).flatten().count();
    let needed: Vec<bool> =
        (0..plan.shards.len()).map(|shard| soups.iter().any(|soup| soup.needs(shard))).collect();
    let run = Run::prepare(plan, options, chunk_bytes, &needed, control)?;
    // Those that an interrupted run has finished and not sent.
    let waiting: Vec<usize> = match carrier {
        Some(_) => (0..needed.len()).filter(|&s| soups.iter().any(|soup| soup.waits(plan, s))).collect(),
        None => Vec::new(),
    };
    let sending = carrier.map(|carrier| Sending::new(carrier, waiting.len()));
    let outputs = Outputs::new(plan, soups, durability(plan, options), options, sending);
    outputs.create_early(control)?;

    let failure = Mutex::new(None);
    let failed = AtomicBool::new(false);
    let fail = |error| {
        failed.store(true, Ordering::Relaxed);
        failure.lock().expect("no panic while held").get_or_insert(error);
        outputs.stop();
        if let Some(fetch) = run.fetch() {
            fetch.stop();
            plan.request.objects.interrupt();
        }
    };
    // Shards that wait for the disk are open files, so workers wait when there are many.
    let most_waiting = platform::descriptors_to_spare() / 2 / soups.len();
    std::thread::scope(|scope| {
        let (finished, shards) = std::sync::mpsc::sync_channel(most_waiting);
        start(scope, {
            let (run, outputs, failed, fail) = (&run, &outputs, &failed, &fail);
            move || {
                for shard in shards {
                    let mut done = outputs.finish(shard, &run.states, control);
                    if done.is_ok() && !failed.load(Ordering::Relaxed) {
                        done = outputs.send(shard);
                    }
                    done.unwrap_or_else(fail);
                }
            }
        })?;
        let empty = (0..needed.len()).filter(|&shard| needed[shard] && run.work.is_empty(shard));
        waiting
            .into_iter()
            .chain(empty)
            .for_each(|shard| finished.send(shard).expect("the finisher listens"));
        let (run, outputs, failed, fail) = (&run, &outputs, &failed, &fail);
        if let Some(fetch) = run.fetch() {
            let (least, most) = fetch.fetchers();
            for number in 0..most {
                if let Err(error) = start(scope, || fetch.work()) {
                    if number < least {
                        fail(error);
                    }
                    break;
                }
            }
        }
        let work = move || {
            let _stop = run.fetch().map(StopOnPanic);
            float_env::reset();
            let mut worker = Worker::new(run, outputs);
            while !failed.load(Ordering::Relaxed) {
                match worker.step() {
                    Ok(Step::Done) => break,
                    Ok(Step::Chunk) => {}
                    Ok(Step::Shard(shard)) => finished.send(shard).expect("the finisher listens"),
                    Err(error) => fail(error),
                }
            }
        };
        start_some(scope, run.num_threads, work).map(drop).inspect_err(|_| {
            if let Some(fetch) = run.fetch() {
                fetch.stop(); // nobody reads what it would wait for
            }
        })
    })?;
    if let Some(error) = failure.into_inner().expect("no panic while held") {
        return Err(error);
    }
    let (notes, records, sent) = outputs.into_results();
    let mut bytes_written = 0;
    for (soup, records) in soups.iter_mut().zip(records) {
        soup.sent.extend_from_slice(&sent);
        for (shard, (finished, record)) in soup.finished.iter_mut().zip(records).enumerate() {
            if record.is_some() {
                bytes_written += plan.shards[shard].size;
                *finished = record;
            }
        }
    }
    Ok(MergeReport {
        seconds: 0.0,
        bytes_read: run.bytes_read(),
        bytes_written,
        num_threads: run.num_threads,
        kernels: run.kernels.name,
        non_finite: Vec::new(),
        result_digests: Vec::new(),
        digests: options.digests,
        reused_shards: reused,
        complete_before: Vec::new(),
        warnings: notes,
    })
}

/// Give every soup its small files and its name; what they replace stays until all have theirs.
fn publish(
    plan: &Plan,
    soups: &[Soup],
    mut report: MergeReport,
    provenance: &Provenance,
    carrier: Option<&dyn Carrier>,
    control: &Control,
) -> Result<MergeReport> {
    control.check()?;
    soups::unchanged(&plan.checkpoints)?;
    let parts =
        if report.digests == Digests::Full { PartDigests::read(plan)? } else { PartDigests::default() };
    for (recipe, soup) in soups.iter().enumerate() {
        let Some(staging) = &soup.staging else {
            report.complete_before.push(recipe);
            report.result_digests.push(soup.published.clone().unwrap_or_default());
            continue;
        };
        let shards: Option<Vec<ShardRecord>> = soup.finished.iter().cloned().collect();
        let shards = shards.expect("every shard is finished");
        report.non_finite.extend(non_finite(plan, recipe, &shards));
        let (fingerprint, resumes) = (&soup.fingerprint, soup.resumes);
        let made = Made { recipe, fingerprint, shards: &shards, parts: &parts, resumes };
        report.result_digests.push(small_files::write(plan, made, staging, &report, provenance)?);
    }
    control.check()?;
    for soup in soups {
        match (&soup.staging, carrier) {
            (Some(staging), None) => staging.commit()?,
            (Some(staging), Some(carrier)) => {
                carrier.complete(staging.payload(), &soup.sent)?;
                staging.leave();
            }
            (None, _) => {}
        }
    }
    Ok(report)
}

fn non_finite(plan: &Plan, recipe: usize, shards: &[ShardRecord]) -> Vec<NonFiniteTensor> {
    let tensors =
        plan.shards.iter().zip(shards).flat_map(|(shard, record)| shard.tensors.iter().zip(&record.tensors));
    tensors
        .filter_map(|(&tensor, result)| {
            Some(NonFiniteTensor { recipe, tensor, counts: result.non_finite.clone()? })
        })
        .collect()
}

/// Dirty pages are bounded when the disk is waited for anyway, and when memory is scarce: without a bound, page cache
/// charged to a small control group is reclaimed slowly or not at all.
fn durability(plan: &Plan, options: &MergeOptions) -> Durability {
    const AMPLE: u64 = 4 << 30;
    let recipes = plan.request.recipes.len() as u64;
    let limit = memory_limit();
    let scarce = limit < AMPLE;
    let dirty_window = if options.sync || scarce { (32u64 << 20).min(limit / 16) / recipes } else { 0 };
    let dirty_window = if dirty_window > 0 { dirty_window.max(1 << 20) } else { 0 };
    Durability { sync: options.sync, dirty_window, drop_cache: scarce || options.cache == Cache::Drop }
}
