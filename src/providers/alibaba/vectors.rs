//! For tests: the captured requests of `tests/vectors/alibaba.json`, read once for signer and simulated gateway alike.
//!
//! Those of the older RPC signature are left out by name of their scheme, and the numbers of both are asserted, so that
//! none is skipped in silence.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

const FILE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/alibaba.json"));
const V3: &str = "ACS3-HMAC-SHA256";
/// The scheme that is not built; see `sign.rs`.
const NOT_BUILT: &str = "RPC-HMAC-SHA1";

#[derive(Deserialize)]
struct File {
    vectors: Vec<Value>,
    published_examples: Vec<Value>,
}

/// One captured request.
#[derive(Deserialize)]
pub struct Vector {
    pub id: String,
    pub inputs: Inputs,
    pub expected: Expected,
}

#[derive(Deserialize)]
pub struct Inputs {
    pub access_key_id: String,
    pub access_key_secret: String,
    pub security_token: Option<String>,
    pub action: String,
    pub version: String,
    pub method: String,
    pub host: String,
    pub date: String,
    pub nonce: String,
    pub params: BTreeMap<String, Value>,
    #[serde(default)]
    pub signed_headers_in: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub struct Expected {
    pub canonical_query: String,
    pub signed_headers: String,
    pub canonical_request: String,
    pub string_to_sign: String,
    pub signature: String,
    pub authorization: String,
    pub request: Wire,
}

/// What went over the wire.
#[derive(Deserialize, Clone)]
pub struct Wire {
    pub method: String,
    pub target: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// The vendor's worked example, which prints fewer stages.
#[derive(Deserialize)]
pub struct Published {
    pub inputs: Inputs,
    pub expected: PublishedStages,
}

#[derive(Deserialize)]
pub struct PublishedStages {
    pub signed_headers: String,
    pub hashed_canonical_request: String,
    pub signature: String,
}

/// All eleven requests signed with V3.
pub fn v3() -> Vec<Vector> {
    let all = file().vectors;
    let (v3, rest): (Vec<Value>, Vec<Value>) = all.into_iter().partition(|v| v["scheme"] == V3);
    assert_eq!(v3.len(), 11, "V3 vectors");
    assert!(rest.len() == 3 && rest.iter().all(|v| v["scheme"] == NOT_BUILT), "vectors of other schemes");
    v3.into_iter().map(|v| serde_json::from_value(v).expect("a V3 vector")).collect()
}

/// The published example of V3.
pub fn published_v3() -> Published {
    let mut examples: Vec<Value> =
        file().published_examples.into_iter().filter(|v| v["scheme"] == V3).collect();
    assert_eq!(examples.len(), 1, "published V3 examples");
    let mut example = examples.remove(0);
    example["inputs"]["security_token"] = Value::Null;
    serde_json::from_value(example).expect("the published example")
}

impl Vector {
    /// The parameters as they are flattened for the wire.
    pub fn flat_params(&self) -> Vec<(String, String)> {
        let mut flat = Vec::new();
        for (name, value) in &self.inputs.params {
            match value {
                Value::Array(items) => {
                    for (n, item) in items.iter().enumerate() {
                        flat.push((format!("{name}.{}", n + 1), item.as_str().expect("a text").to_owned()));
                    }
                }
                Value::String(text) => flat.push((name.clone(), text.clone())),
                other => flat.push((name.clone(), other.to_string())),
            }
        }
        flat
    }

    /// When it was signed, in Unix milliseconds.
    pub fn date_ms(&self) -> i64 {
        self.inputs.date.parse::<jiff::Timestamp>().expect("a date").as_millisecond()
    }
}

fn file() -> File {
    serde_json::from_str(FILE).expect("the vectors are JSON")
}
