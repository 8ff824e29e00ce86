//! Volcengine: HMAC-SHA256 with a key of the day.

use presence_exporter::providers::hash::sha256_hex;
use presence_exporter::providers::sim::SimOptions;
use presence_exporter::providers::volcengine_rtc::{sign, sim::Sim};
use serde_json::Value;

use super::captured::Captured;
use super::sent::{configured, first_request, quoted};
use super::{Replay, Stage, Vector, list, pairs, read, stages_of, text, unix_ms};

/// Six requests of four SDKs.
pub fn vectors() -> Vec<Vector> {
    list(&read("volcengine"), "vectors").iter().map(vector).collect()
}

fn vector(data: &Value) -> Vector {
    let (input, captured) = (&data["input"], captured(data));
    let mut stages = signature(input, &data["expected"]);
    stages.extend(final_request(input, &captured));
    Vector {
        name: text(data, "name").to_owned(),
        provider: "volcengine_rtc",
        stages,
        replay: Some(replay(input, captured)),
    }
}

fn captured(data: &Value) -> Captured {
    let wire = &data["expected"]["wire"];
    Captured {
        method: text(&data["input"], "method").into(),
        target: text(wire, "request_target").into(),
        headers: pairs(&wire["headers"]).into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
        body: text(&data["input"], "body").as_bytes().to_vec(),
    }
}

fn signature(input: &Value, expected: &Value) -> Vec<Stage> {
    let payload_sha256 = sha256_hex(text(input, "body").as_bytes());
    let mut headers = pairs(&input["headers"]);
    headers.extend([
        ("host", text(input, "host")),
        ("x-content-sha256", &payload_sha256),
        ("x-date", text(input, "x_date")),
    ]);
    headers.extend(input["session_token"].as_str().map(|token| ("x-security-token", token)));
    let ours = sign::sign(&sign::Unsigned {
        access_key_id: text(input, "access_key"),
        secret: text(input, "secret_key"),
        region: text(input, "region"),
        service: text(input, "service"),
        x_date: text(input, "x_date"),
        method: text(input, "method"),
        path: text(input, "path"),
        query: &pairs(&input["query"]),
        headers: &headers,
        payload_sha256: &payload_sha256,
    });
    let day = &text(input, "x_date")[..8];
    let key =
        sign::signing_key(text(input, "secret_key"), day, text(input, "region"), text(input, "service"));
    let names = serde_json::json!(ours.signed_headers.split(';').collect::<Vec<_>>());
    let path = ours.canonical_request.lines().nth(1).unwrap_or_default().to_owned();
    let scope = ours.string_to_sign.lines().nth(2).unwrap_or_default().to_owned();
    let mut stages = vec![
        Stage::new("hash of the body", &payload_sha256, text(expected, "payload_sha256")),
        Stage::new("canonical path", path, text(expected, "canonical_uri")),
        Stage::new("signed headers", names.to_string(), input["signed_headers"].to_string()),
        Stage::new("credential scope", scope, text(expected, "credential_scope")),
        Stage::new("signing key", hex::encode(key), text(expected, "signing_key_hex")),
    ];
    stages.extend(stages_of(ours, expected));
    stages
}

/// What the product sends for the same users. Where an SDK signs no header beside the usual ones and writes its JSON as
/// we do, it is the same to the last byte of the signature.
fn final_request(input: &Value, theirs: &Captured) -> Vec<Stage> {
    let Ok(body) = serde_json::from_slice::<Value>(&theirs.body) else { return Vec::new() };
    let host = text(input, "host");
    let token = input["session_token"].as_str().map(|token| format!("session_token: {}, ", quoted(token)));
    let account = format!(
        "cloud: volcengine, access_key_id: {}, access_key_secret: {}, {}endpoint: 'http://{host}'",
        quoted(text(input, "access_key")),
        quoted(text(input, "secret_key")),
        token.unwrap_or_default(),
    );
    let source = format!("provider: volcengine_rtc, app_id: {}", body["AppId"]);
    let ids: Vec<String> = body["UserIds"].as_array().expect("ids").iter().map(Value::to_string).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let ours = first_request(&configured(&account, &source, &ids), now_ms(input), 0, true);
    let told = |request: &Captured| {
        let body: Value = serde_json::from_slice(&request.body).expect("a question is JSON");
        format!("{} {}", body["AppId"], body["UserIds"])
    };
    let mut stages = vec![
        Stage::new("final request: method", &ours.method, &theirs.method),
        Stage::new("final request: host", ours.header("host"), host),
        Stage::new("final request: date", ours.header("x-date"), theirs.header("x-date")),
        Stage::new("final request: type", ours.header("content-type"), theirs.header("content-type")),
        Stage::new("final request: question", told(&ours), told(theirs)),
    ];
    if let Some(token) = input["session_token"].as_str() {
        stages.push(Stage::new("final request: token", ours.header("x-security-token"), token));
    }
    if ours.body == theirs.body && input["headers"].as_object().is_some_and(|headers| headers.len() == 1) {
        stages.push(Stage::new("final request: target", &ours.target, &theirs.target));
        let header = |request: &Captured| request.header("authorization").to_owned();
        stages.push(Stage::new("final request: signature", header(&ours), header(theirs)));
    }
    stages
}

fn replay(input: &Value, request: Captured) -> Replay {
    let options = SimOptions {
        key_id: text(input, "access_key").into(),
        secret: text(input, "secret_key").into(),
        token: input["session_token"].as_str().map(str::to_owned),
        ..SimOptions::default()
    };
    let now_ms = now_ms(input);
    let signed: Vec<&str> =
        input["signed_headers"].as_array().expect("names").iter().map(super::as_text).collect();
    let changes = request.signed_changes(&signed);
    // Asked for the signature alone: one of the requests is of an action that the simulated API doesn't have.
    let judge = move |request: &Captured| {
        let authenticated = request.send(|request| Sim::new(options.clone()).authenticate(now_ms, request));
        authenticated.map_err(|refusal| refusal.code().to_owned())
    };
    Replay { request, changes, judge: Box::new(judge), mismatch: "SignatureDoesNotMatch" }
}

fn now_ms(input: &Value) -> i64 {
    unix_ms("%Y%m%dT%H%M%SZ", text(input, "x_date"))
}
