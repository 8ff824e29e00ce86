//! Requests as the vendors' own clients sent them. Our signers must make the same of the same values, stage by stage, so
//! that the failing stage names the bug; and the simulated APIs must take each request as it was captured, and refuse it
//! with one byte changed.
//!
//! The files of `tests/vectors` are named after clouds, and so are the modules here. A vector that is compared with nothing
//! is a failure, unless [`CLOUDS`] says why it is left out. All keys, tokens and passwords in them are made up.

mod alibaba;
mod captured;
mod huawei;
mod openim;
mod sent;
mod volcengine;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use presence_exporter::providers::REGISTRY;
use presence_exporter::providers::signed::Signed;
use serde_json::Value;

use captured::{Captured, Change};

/// A cloud's file, what is made of it, and what is not compared with anything, with the reason.
struct Cloud {
    name: &'static str,
    vectors: fn() -> Vec<Vector>,
    left_out: &'static [(&'static str, &'static str)],
}

const CLOUDS: &[Cloud] = &[
    Cloud { name: "alibaba", vectors: alibaba::vectors, left_out: alibaba::LEFT_OUT },
    Cloud { name: "huawei", vectors: huawei::vectors, left_out: &[] },
    Cloud { name: "openim", vectors: openim::vectors, left_out: &[] },
    Cloud { name: "volcengine", vectors: volcengine::vectors, left_out: &[] },
];

/// One captured request with everything that it is compared with.
struct Vector {
    /// Its name in the file.
    name: String,
    /// The provider whose request it is.
    provider: &'static str,
    /// What we make of it beside what it holds, in the order in which one is made of the other.
    stages: Vec<Stage>,
    /// How the simulated API takes it; `None` where nothing was sent, as in an example from the vendor's text.
    replay: Option<Replay>,
}

/// Takes a request, or refuses it with a code.
type Judge = Box<dyn Fn(&Captured) -> Result<(), String>>;

/// One step of what we made, beside the vendor's.
struct Stage {
    name: &'static str,
    ours: String,
    theirs: String,
}

/// A captured request and a simulated API that knows its key.
struct Replay {
    request: Captured,
    /// The same with one byte changed, each in another place.
    changes: Vec<Change>,
    /// What a fresh simulated API says at the time of the request: the error code, if it refuses.
    judge: Judge,
    /// The code for a request that was changed after it was signed.
    mismatch: &'static str,
}

impl Stage {
    fn new(name: &'static str, ours: impl Into<String>, theirs: impl Into<String>) -> Self {
        Self { name, ours: ours.into(), theirs: theirs.into() }
    }
}

/// The stages that every signature has, beside the texts of these names in a vector.
fn stages_of(ours: Signed, expected: &Value) -> Vec<Stage> {
    vec![
        Stage::new("canonical query", ours.canonical_query, text(expected, "canonical_query")),
        Stage::new("canonical request", ours.canonical_request, text(expected, "canonical_request")),
        Stage::new("string to sign", ours.string_to_sign, text(expected, "string_to_sign")),
        Stage::new("signature", ours.signature, text(expected, "signature")),
        Stage::new("header", ours.authorization, text(expected, "authorization")),
    ]
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// A file of the folder.
fn read(cloud: &str) -> Value {
    let text = fs::read(folder().join(format!("{cloud}.json"))).expect("a cloud's vectors can be read");
    serde_json::from_slice(&text).expect("vectors are JSON")
}

/// The objects of one of its lists.
fn list(file: &Value, name: &str) -> Vec<Value> {
    file[name].as_array().unwrap_or_else(|| panic!("there is no list {name}")).clone()
}

/// The text of a field.
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("there is no text {key}"))
}

/// The names and values of a list of pairs, or of a mapping of texts.
fn pairs(value: &Value) -> Vec<(&str, &str)> {
    match value {
        Value::Array(pairs) => pairs.iter().map(|pair| (as_text(&pair[0]), as_text(&pair[1]))).collect(),
        Value::Object(map) => map.iter().map(|(name, value)| (name.as_str(), as_text(value))).collect(),
        _ => panic!("names and values were looked for"),
    }
}

fn as_text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// Unix milliseconds of a time in this format, UTC.
fn unix_ms(format: &str, text: &str) -> i64 {
    let time = jiff::civil::DateTime::strptime(format, text).expect("a vector's time");
    time.to_zoned(jiff::tz::TimeZone::UTC).expect("a time of the calendar").timestamp().as_millisecond()
}

/// The `id` or `name` of each object in any of the file's lists.
fn names_in(file: &Value) -> BTreeSet<String> {
    let lists = file.as_object().expect("a file is a mapping").values().filter_map(Value::as_array);
    let name = |vector: &Value| {
        let name = vector.get("id").or_else(|| vector.get("name")).and_then(Value::as_str);
        name.expect("every vector has an id or a name").to_owned()
    };
    lists.flatten().map(name).collect()
}

#[test]
fn every_stage_of_every_captured_request_is_reproduced() {
    for cloud in CLOUDS {
        for vector in (cloud.vectors)() {
            assert!(!vector.stages.is_empty(), "{} {}: nothing is compared", cloud.name, vector.name);
            for Stage { name, ours, theirs } in vector.stages {
                assert_eq!(ours, theirs, "{} {}: {name}", cloud.name, vector.name);
            }
        }
    }
}

#[test]
fn the_simulated_apis_take_every_captured_request() {
    for cloud in CLOUDS {
        for vector in (cloud.vectors)() {
            if let Some(replay) = vector.replay {
                assert_eq!((replay.judge)(&replay.request), Ok(()), "{} {}", cloud.name, vector.name);
            }
        }
    }
}

#[test]
fn the_simulated_apis_refuse_every_captured_request_with_one_byte_changed() {
    for cloud in CLOUDS {
        for vector in (cloud.vectors)() {
            let Some(replay) = vector.replay else { continue };
            assert!(!replay.changes.is_empty(), "{} {}: nothing is changed", cloud.name, vector.name);
            for change in replay.changes {
                let what = format!("{} {}: other {}", cloud.name, vector.name, change.what);
                match (replay.judge)(&change.request) {
                    Ok(()) => panic!("{what}: it was taken"),
                    Err(code) if change.by_signature => assert_eq!(code, replay.mismatch, "{what}"),
                    Err(_) => {}
                }
            }
        }
    }
}

#[test]
fn every_vector_of_every_file_is_compared_or_left_out_with_a_reason() {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder()).expect("the folder of vectors can be read") {
        let name = entry.expect("an entry can be read").file_name().into_string().expect("a plain name");
        files.insert(name.strip_suffix(".json").expect("vectors are .json files").to_owned());
    }
    let compared: BTreeSet<String> = CLOUDS.iter().map(|cloud| cloud.name.to_owned()).collect();
    assert_eq!(files, compared, "files of tests/vectors on the left, CLOUDS on the right");
    for cloud in CLOUDS {
        let mut used: BTreeSet<String> = (cloud.vectors)().into_iter().map(|vector| vector.name).collect();
        for (name, reason) in cloud.left_out {
            assert!(reason.len() > 10, "{name} is left out without a reason");
            assert!(used.insert((*name).to_owned()), "{name} is both compared and left out");
        }
        assert_eq!(names_in(&read(cloud.name)), used, "{}: in the file on the left", cloud.name);
    }
}

#[test]
fn every_provider_has_captured_requests_of_its_own() {
    for kind in REGISTRY {
        let cloud = CLOUDS.iter().find(|cloud| cloud.name == kind.cloud().name);
        let cloud = cloud.unwrap_or_else(|| panic!("cloud {} has no vectors", kind.cloud().name));
        let own = |vector: &Vector| vector.provider == kind.name() && vector.replay.is_some();
        assert!((cloud.vectors)().iter().any(own), "{} has no vectors", kind.name());
    }
}
