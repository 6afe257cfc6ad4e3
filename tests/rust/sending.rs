//! Merges whose shards do not stay on this disk: never more than two of them are here, and what was sent is not made again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use _core::manifest::Digests;
use _core::merge::{MergeOptions, MergeReport, Provenance, execute};
use _core::plan::make;
use _core::sink::{Carrier, SentShard};
use _core::{Control, Error};

use crate::plan::builder::{Kitchen, Tensor, bf16, says};

const SHARDS: usize = 7;
/// A shard without data.
const EMPTY: usize = 3;

/// A place in memory that notes what happens.
#[derive(Default)]
struct Place {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// Shards that were sent, in their order, over all runs.
    asked: Mutex<Vec<String>>,
    /// Shards that lay on the disk whenever one was sent.
    here: Mutex<Vec<usize>>,
    /// After how many shards nothing arrives any more.
    breaks_after: Mutex<Option<usize>>,
    completes: Mutex<bool>,
    standing: Mutex<Option<String>>,
}

impl Place {
    fn failed(file: &Path) -> Error {
        Error::io(file, "cannot be sent", io::Error::other("the line is cut"))
    }
}

fn shards_in(payload: &Path) -> usize {
    // The one without data takes no room that anybody would miss.
    let is_shard = |path: PathBuf| {
        path.extension().is_some_and(|e| e == "safetensors")
            && fs::metadata(path).is_ok_and(|f| f.len() > 4096)
    };
    fs::read_dir(payload).unwrap().filter(|entry| is_shard(entry.as_ref().unwrap().path())).count()
}

impl Carrier for Place {
    fn begin(&self, _: &str) -> Result<Option<String>, Error> {
        Ok(self.standing.lock().unwrap().clone())
    }

    fn still_there(&self, sent: &[SentShard]) -> Result<Vec<bool>, Error> {
        let files = self.files.lock().unwrap();
        Ok(sent
            .iter()
            .map(|s| files.get(&s.name).map(|f| f.len().to_string()) == Some(s.receipt.clone()))
            .collect())
    }

    fn send(&self, name: &str, file: &Path) -> Result<String, Error> {
        self.here.lock().unwrap().push(shards_in(file.parent().unwrap()));
        let mut asked = self.asked.lock().unwrap();
        if let Some(left) = &mut *self.breaks_after.lock().unwrap() {
            *left = left.checked_sub(1).ok_or_else(|| Self::failed(file))?;
        }
        let bytes = fs::read(file).unwrap();
        let receipt = bytes.len().to_string();
        asked.push(name.to_owned());
        self.files.lock().unwrap().insert(name.to_owned(), bytes);
        Ok(receipt)
    }

    fn complete(&self, payload: &Path, sent: &[SentShard]) -> Result<(), Error> {
        assert_eq!(shards_in(payload), 0);
        let mut files = self.files.lock().unwrap();
        assert!(sent.iter().map(|s| &s.name).eq(files.keys()) || sent.len() == SHARDS);
        if !*self.completes.lock().unwrap() {
            return Err(Self::failed(payload));
        }
        for entry in fs::read_dir(payload).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read(path).unwrap());
        }
        Ok(())
    }
}

fn kitchen() -> Kitchen {
    let kitchen = Kitchen::new();
    for (name, salt) in [("a", 0), ("b", 1)] {
        let shard = |i: usize| -> Vec<Tensor> {
            if i == EMPTY {
                return vec![bf16("none", &[0], salt)];
            }
            (0..3).map(|t| bf16(&format!("layers.{i}.{t}"), &[3000, 2], salt)).collect()
        };
        let shards: Vec<Vec<Tensor>> = (0..SHARDS).map(shard).collect();
        kitchen.sharded(name, &shards.iter().map(Vec::as_slice).collect::<Vec<_>>());
        kitchen.file(&format!("{name}/config.json"), r#"{"model_type": "llama"}"#);
    }
    kitchen
}

fn options(digests: Digests) -> MergeOptions {
    MergeOptions {
        num_threads: Some(3),
        chunk_bytes: Some(4096),
        sync: false,
        digests,
        ..MergeOptions::default()
    }
}

fn send(kitchen: &Kitchen, place: &Place, digests: Digests) -> Result<MergeReport, Error> {
    let mut request = kitchen.request(&["a", "b"]);
    request.options.sent = true;
    execute(&make(request)?, &options(digests), &Provenance::default(), Some(place), &Control::default())
}

/// What was sent is the soup that is made here, file for file, but for what its manifest says of the run.
fn assert_same(kitchen: &Kitchen, place: &Place, report: &MergeReport, digests: Digests) {
    assert!(!kitchen.path("out").exists() && !kitchen.path("out.soce-partial").exists());
    let mut request = kitchen.request(&["a", "b"]);
    request.recipes[0].output = kitchen.path("local");
    let plan = make(request).unwrap();
    let local = execute(&plan, &options(digests), &Provenance::default(), None, &Control::default()).unwrap();
    assert_eq!(report.result_digests, local.result_digests);
    let files = place.files.lock().unwrap();
    let mut here = 0;
    for entry in fs::read_dir(kitchen.path("local")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(name == "soce.json" || files[name] == fs::read(&path).unwrap(), "{name}");
        here += 1;
    }
    assert_eq!(files.len(), here);
    fs::remove_dir_all(kitchen.path("local")).unwrap();
}

#[test]
fn a_soup_is_sent_shard_by_shard_and_two_are_here_at_most() {
    for digests in [Digests::None, Digests::Tensors, Digests::Full] {
        let (kitchen, place) = (kitchen(), Place { completes: Mutex::new(true), ..Place::default() });
        let report = send(&kitchen, &place, digests).unwrap();
        assert_same(&kitchen, &place, &report, digests);
        assert_eq!(place.asked.lock().unwrap().len(), SHARDS);
        let here = place.here.lock().unwrap();
        assert!(here.iter().all(|&here| here <= 2), "{here:?}");
    }
}

#[test]
fn a_run_that_breaks_anywhere_goes_on_and_sends_nothing_twice() {
    for breaks_after in 0..SHARDS {
        let (kitchen, place) = (kitchen(), Place::default());
        *place.breaks_after.lock().unwrap() = Some(breaks_after);
        let error = send(&kitchen, &place, Digests::Tensors).map(|_| ()).expect_err("the line is cut");
        says(&error.to_string(), "the line is cut");
        says(&error.to_string(), "run the same command again");
        *place.breaks_after.lock().unwrap() = None;
        let error = send(&kitchen, &place, Digests::Tensors).map(|_| ()).expect_err("it does not complete");
        says(&error.to_string(), "7 of 7 shards are finished");
        assert_eq!(shards_in(&kitchen.path("out.soce-partial/payload")), 0);
        *place.completes.lock().unwrap() = true;
        let report = send(&kitchen, &place, Digests::Tensors).unwrap();
        assert_eq!((report.reused_shards, report.bytes_written), (SHARDS, 0));
        let mut asked = place.asked.lock().unwrap().clone();
        asked.sort();
        asked.dedup();
        assert_eq!((asked.len(), place.asked.lock().unwrap().len()), (SHARDS, SHARDS));
        assert!(place.here.lock().unwrap().iter().all(|&here| here <= 2));
        assert_same(&kitchen, &place, &report, Digests::Tensors);
    }
}

#[test]
fn what_vanished_where_it_was_sent_is_made_again() {
    let (kitchen, place) = (kitchen(), Place::default());
    send(&kitchen, &place, Digests::Tensors).map(|_| ()).expect_err("it does not complete");
    let gone = "model-00002-of-00007.safetensors";
    place.files.lock().unwrap().remove(gone).unwrap();
    *place.completes.lock().unwrap() = true;
    let report = send(&kitchen, &place, Digests::Tensors).unwrap();
    assert_eq!(report.reused_shards, SHARDS - 1);
    says(
        &report.warnings.join("\n"),
        "made `model-00002-of-00007.safetensors` again: it is not where it was sent",
    );
    assert_eq!(place.asked.lock().unwrap().iter().filter(|name| *name == gone).count(), 2);
    assert_same(&kitchen, &place, &report, Digests::Tensors);
}

#[test]
fn a_soup_that_is_there_is_not_made_again_and_what_its_run_left_here_goes() {
    let (kitchen, place) = (kitchen(), Place::default());
    send(&kitchen, &place, Digests::Tensors).map(|_| ()).expect_err("it does not complete");
    assert!(kitchen.path("out.soce-partial").exists());
    *place.standing.lock().unwrap() = Some("its digest".to_owned());
    let report = send(&kitchen, &place, Digests::Tensors).unwrap();
    assert_eq!((&report.complete_before, &report.result_digests), (&vec![0], &vec!["its digest".to_owned()]));
    assert_eq!(report.bytes_read, 0);
    assert!(!kitchen.path("out.soce-partial").exists());
}

#[test]
fn the_disk_must_hold_two_shards_only() {
    let kitchen = kitchen();
    let mut request = kitchen.request(&["a", "b"]);
    let whole = make(request.clone()).unwrap();
    request.options.sent = true;
    let plan = make(request).unwrap();
    assert_eq!(whole.disk_bytes(), whole.bytes_written());
    let shards: u64 = plan.shards.iter().map(|shard| shard.size).sum();
    let two = plan.shards[0].size + plan.shards[1].size;
    assert_eq!(plan.disk_bytes(), plan.bytes_written() - shards + two);
    // What is sent is what would be made here: the same plan.
    let [here, sent] =
        [&whole, &plan].map(|plan| plan.fingerprint(0, Digests::Tensors, false).unwrap().digest());
    assert_eq!(here, sent);
}
