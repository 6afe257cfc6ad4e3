//! Merges whose ingredients lie on a server: the bytes of local ones, or a refusal, whatever goes wrong at any request.

mod fetch;
mod server;

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use _core::checkpoint::{Checkpoint, MAX_HEADERS_BYTES, OpenOptions};
use _core::io::remote::{Description, Objects, Patience, Refresh};
use _core::manifest::Digests;
use _core::merge::{MergeOptions, MergeReport, Provenance, execute};
use _core::plan::make;
use _core::{Control, Error};

use self::server::{Fault, Server};
use crate::plan::builder::{Kitchen, Tensor, bf16, says, tensor};

const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
const PATIENCE: Patience = Patience {
    tries: 4,
    wait: Duration::from_millis(2),
    idle: Duration::from_millis(300),
    connect: Duration::from_secs(5),
};

/// Two models on a server, with what of them lies here, and the same ones whole.
struct Away {
    kitchen: Kitchen,
    server: Server,
    renewed: Arc<AtomicUsize>,
}

impl Away {
    fn new(faults: impl Fn(usize) -> Option<Fault> + Send + Sync + 'static) -> Self {
        Self::with(|_| [Vec::new(), Vec::new()], faults)
    }

    /// With more tensors in the shards of each model.
    fn with(
        more: fn(u8) -> [Vec<Tensor>; 2],
        faults: impl Fn(usize) -> Option<Fault> + Send + Sync + 'static,
    ) -> Self {
        let kitchen = Kitchen::new();
        let mut files = BTreeMap::new();
        for (name, salt) in [("a", 0), ("b", 1)] {
            let ids = tensor("ids", "I64", &[2], &[7; 16]);
            let mut shards = more(salt);
            shards[0].splice(0..0, [bf16("embed", &[40, 3], salt), ids]);
            shards[1].splice(0..0, [bf16("layers.0.w", &[70], salt), bf16("norm", &[5], salt)]);
            kitchen.sharded(name, &[&shards[0], &shards[1]]);
            kitchen.file(&format!("{name}/config.json"), r#"{"model_type": "llama"}"#);
            let away = format!("away/{name}");
            for side in ["config.json", "model.safetensors.index.json"] {
                let bytes = fs::read(kitchen.path(name).join(side)).unwrap();
                kitchen.file(&format!("{away}/{side}"), bytes);
            }
            for shard in SHARDS {
                let bytes = fs::read(kitchen.path(name).join(shard)).unwrap();
                files.insert(format!("{name}/{shard}"), bytes);
            }
        }
        Self { kitchen, server: Server::new(files, faults), renewed: Arc::default() }
    }

    fn objects(&self, version: &str, patience: Patience) -> Objects {
        let mut shards = Vec::new();
        for model in ["a", "b"] {
            for shard in SHARDS {
                let file = format!("{model}/{shard}");
                shards.push(Description {
                    root: self.kitchen.path("away").join(model),
                    name: shard.to_owned(),
                    url: self.server.url("old", &file),
                    size: fs::metadata(self.kitchen.path(&file)).unwrap().len(),
                    etag: (model == "a").then(|| format!("\"{file}\"")),
                    identity: format!("{file} {version}"),
                });
            }
        }
        let (fresh, renewed) = (self.server.url("new", ""), Arc::clone(&self.renewed));
        let refresh = move |root: &Path, name: &str| {
            renewed.fetch_add(1, Ordering::SeqCst);
            Ok(format!("{fresh}{}/{name}", root.file_name().unwrap().to_str().unwrap()))
        };
        Objects::new(shards, Some(&(Arc::new(refresh) as Arc<Refresh>)), patience).unwrap()
    }

    fn merge_into(&self, output: &str, objects: Objects) -> Result<MergeReport, Error> {
        let away = !objects.is_empty();
        let mut request = self.kitchen.request(if away { &["away/a", "away/b"] } else { &["a", "b"] });
        request.objects = objects;
        request.recipes[0].output = self.kitchen.path(output);
        let plan = make(request)?;
        let options = MergeOptions {
            num_threads: Some(3),
            sync: false,
            digests: Digests::Full,
            ..MergeOptions::default()
        };
        execute(&plan, &options, &Provenance::default(), None, &Control::default())
    }

    fn merge(&self) -> Result<MergeReport, Error> {
        self.merge_into("out", self.objects("1", PATIENCE))
    }

    /// The soup of the models on the server is, byte for byte, that of the same models here.
    fn assert_same(&self, report: &MergeReport) {
        let local = self.merge_into("local", Objects::default()).unwrap();
        assert_eq!(report.result_digests, local.result_digests);
        for shard in SHARDS {
            let [ours, theirs] =
                ["out", "local"].map(|o| fs::read(self.kitchen.path(o).join(shard)).unwrap());
            assert!(ours == theirs, "{shard}");
        }
    }
}

fn at(number: usize, fault: Fault) -> impl Fn(usize) -> Option<Fault> + Send + Sync + 'static {
    move |request| (request == number).then_some(fault)
}

/// Requests of a merge in which nothing goes wrong: a header and a block of every shard, and what must be equal.
const REQUESTS: usize = 4 + 2 + 4;

#[test]
fn the_soup_is_that_of_local_ingredients() {
    let away = Away::new(|_| None);
    let report = away.merge().unwrap();
    assert_eq!(away.server.requests(), REQUESTS, "{:?}", away.server.asked());
    away.assert_same(&report);
}

#[test]
fn what_passes_is_tried_again_at_every_request() {
    for fault in [Fault::Busy, Fault::TooMany, Fault::Closed, Fault::Cut, Fault::Stall, Fault::Expired] {
        for number in 0..REQUESTS {
            let away = Away::new(at(number, fault));
            let report = away.merge().unwrap_or_else(|error| panic!("{fault:?} at {number}: {error}"));
            away.assert_same(&report);
            let renewed = away.renewed.load(Ordering::SeqCst);
            assert!(renewed == 0 || fault == Fault::Expired && renewed <= 4, "{fault:?} at {number}");
        }
    }
}

/// Codes in the first shard, a scale for each row in the second.
fn codes(salt: u8) -> [Vec<Tensor>; 2] {
    let codes: Vec<u8> = (0..30).map(|i| i * 4 + salt).collect();
    let scales: Vec<u8> = (1..7u8).flat_map(|row| (f32::from(row + salt) / 7.0).to_le_bytes()).collect();
    [
        vec![tensor("layers.0.up.weight", "F8_E4M3", &[6, 5], &codes)],
        vec![tensor("layers.0.up.weight_scale", "F32", &[6, 1], &scales)],
    ]
}

#[test]
fn codes_and_scales_are_those_of_local_ingredients_whatever_passes() {
    let away = Away::with(codes, |_| None);
    away.assert_same(&away.merge().unwrap());
    for fault in [Fault::Busy, Fault::Closed, Fault::Cut, Fault::Expired] {
        for number in 0..away.server.requests() {
            let away = Away::with(codes, at(number, fault));
            let report = away.merge().unwrap_or_else(|error| panic!("{fault:?} at {number}: {error}"));
            away.assert_same(&report);
        }
    }
    for number in 0..away.server.requests() {
        let away = Away::with(codes, at(number, Fault::OtherSize));
        let error = away.merge().map(|_| ()).expect_err("a refusal").to_string();
        says(&error, "changed since it was looked up: expected ");
        assert!(!away.kitchen.path("out").exists(), "{number}");
    }
}

#[test]
fn what_does_not_pass_is_refused_at_every_request() {
    let check = |fault: Fault, expected: &str| {
        for number in 0..REQUESTS {
            let away = Away::new(at(number, fault));
            let error = away.merge().map(|_| ()).expect_err("a refusal").to_string();
            says(&error, expected);
            assert!(!away.kitchen.path("out").exists(), "{fault:?} at {number}");
        }
    };
    check(Fault::Whole, "the whole file came, not the range asked for");
    check(Fault::OtherRange, "expected the range `bytes ");
    check(Fault::OtherSize, "changed since it was looked up: expected ");
    check(Fault::Gone, "changed since it was looked up: the server answered 404: busy");
    check(Fault::Denied, "the server answered 403: Request has expired");
}

#[test]
fn another_object_is_refused_at_every_request_but_the_first_if_its_tag_was_not_known() {
    for number in 0..REQUESTS {
        let away = Away::new(at(number, Fault::OtherTag));
        let error = away.merge().map(|_| ()).expect_err("a refusal").to_string();
        says(&error, "changed since it was looked up: ");
    }
}

#[test]
fn a_server_that_stays_busy_is_given_up() {
    let away = Away::new(|_| Some(Fault::Busy));
    let error = away.merge().map(|_| ()).expect_err("a refusal").to_string();
    says(&error, "cannot be fetched, 4 times: the server answered 503: busy");
    says(&error, "run the same command again later");
}

#[test]
fn cancelling_ends_a_request_that_waits() {
    let away = Away::new(|number| (number >= 6).then_some(Fault::Stall));
    let patience = Patience { idle: Duration::from_secs(60), ..PATIENCE };
    let mut request = away.kitchen.request(&["away/a", "away/b"]);
    request.objects = away.objects("1", patience);
    let plan = make(request).unwrap();
    let control = Control::default();
    std::thread::scope(|scope| {
        let run =
            || execute(&plan, &MergeOptions::default(), &Provenance::default(), None, &control).map(drop);
        let merge = scope.spawn(run);
        std::thread::sleep(Duration::from_millis(200));
        let started = Instant::now();
        control.cancel();
        assert!(matches!(merge.join().unwrap(), Err(Error::Cancelled)));
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    });
    assert!(!away.kitchen.path("out").exists());
}

#[test]
fn cancelling_ends_waiting_for_a_connection() {
    // A server that never takes a connection: those it has not taken yet are as many as may wait.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok();
    let _waiting: Vec<TcpStream> = std::iter::from_fn(connect).collect();
    let described = Description {
        root: "folder".into(),
        name: "name".to_owned(),
        url: format!("http://{address}/name"),
        size: 100,
        etag: None,
        identity: String::new(),
    };
    let patience = Patience { connect: Duration::from_secs(60), ..PATIENCE };
    let objects = Objects::new(vec![described], None, patience).unwrap();
    let control = Control::default();
    let _session = objects.session(&control);
    std::thread::scope(|scope| {
        let object = objects.get("folder/name".as_ref()).unwrap();
        let reading = scope.spawn(|| object.read(0, &mut [0; 10]));
        std::thread::sleep(Duration::from_millis(200));
        let started = Instant::now();
        control.cancel();
        assert!(matches!(reading.join().unwrap(), Err(Error::Cancelled)));
        assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    });
}

#[test]
fn an_interrupted_merge_goes_on_with_the_same_objects_only() {
    // The first run cannot fetch the last block; its first shard is finished.
    let away = Away::new(|number| (REQUESTS - 1..REQUESTS + 3).contains(&number).then_some(Fault::Busy));
    let slow = Patience { wait: Duration::from_millis(100), ..PATIENCE };
    let error = away.merge_into("out", away.objects("1", slow)).map(|_| ()).expect_err("it is busy");
    says(&error.to_string(), "1 of 2 shards are finished and will be used");

    let error = away.merge_into("out", away.objects("2", PATIENCE)).map(|_| ()).expect_err("others");
    says(&error.to_string(), "identity");
    let before = away.server.requests();
    let report = away.merge().unwrap();
    assert_eq!(report.reused_shards, 1);
    assert_eq!(away.server.requests() - before, REQUESTS - 2, "nothing is fetched for a shard that is there");
    away.assert_same(&report);
}

#[test]
fn what_is_read_from_the_hub_is_of_the_revision_that_was_looked_up() {
    let away = Away::new(|_| None);
    let revision = "0123456789abcdef0123456789abcdef01234567";
    let folder = format!("models--org--name/snapshots/{revision}");
    let side = "model.safetensors.index.json";
    away.kitchen.file(&format!("{folder}/{side}"), fs::read(away.kitchen.path("a").join(side)).unwrap());
    let root = away.kitchen.path(&folder);
    let describe = |shard: &str| Description {
        root: root.clone(),
        name: shard.to_owned(),
        url: away.server.url("old", &format!("a/{shard}")),
        size: fs::metadata(away.kitchen.path("a").join(shard)).unwrap().len(),
        etag: None,
        identity: shard.to_owned(),
    };
    let objects = Objects::new(SHARDS.map(describe).to_vec(), None, PATIENCE).unwrap();
    let mut budget = MAX_HEADERS_BYTES;
    let found = Checkpoint::open_within(&root, &OpenOptions::default(), &objects, &mut budget).unwrap();
    let hub = found.origin.hub.expect("its folder is a snapshot");
    assert_eq!((hub.id.as_deref(), hub.revision.as_str()), (Some("org/name"), revision));
}
