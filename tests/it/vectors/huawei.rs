//! Huawei Cloud: SDK-HMAC-SHA256, and IAM's token for a password.

use presence_exporter::providers::ProviderKind as _;
use presence_exporter::providers::hash::sha256_hex;
use presence_exporter::providers::huawei_workspace::{self as workspace, KIND, sign};
use presence_exporter::providers::sim::{Population, SimOptions, SimReply, World};
use serde_json::Value;

use super::captured::Captured;
use super::sent::{configured, first_request, quoted};
use super::{Replay, Stage, Vector, list, pairs, read, stages_of, text, unix_ms};

/// The project where a vector names none.
const PROJECT: &str = "00000000000000000000000000000001";

/// Six signed requests and one for a token.
pub fn vectors() -> Vec<Vector> {
    list(&read("huawei"), "vectors")
        .iter()
        .map(|data| match text(data, "kind") {
            "signed-request" => signed(data),
            "iam-request" => token(data),
            other => panic!("nothing compares vectors of kind {other}"),
        })
        .collect()
}

fn signed(data: &Value) -> Vector {
    let (input, expected) = (&data["input"], &data["expected"]);
    let wire = &expected["wire"];
    let captured = Captured {
        method: text(input, "method").into(),
        target: text(wire, "request_target").into(),
        headers: pairs(&wire["headers"]).into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
        body: text(input, "body").as_bytes().to_vec(),
    };
    let mut stages = signature(input, expected);
    stages.extend(final_request(input, &captured));
    Vector {
        name: text(data, "name").to_owned(),
        provider: workspace::NAME,
        stages,
        replay: Some(replay(input, captured)),
    }
}

fn signature(input: &Value, expected: &Value) -> Vec<Stage> {
    let mut headers = pairs(&input["headers"]);
    headers.extend([("host", text(input, "host")), ("x-sdk-date", text(input, "x_sdk_date"))]);
    headers.extend(input["project_id"].as_str().map(|id| ("x-project-id", id)));
    headers.extend(input["security_token"].as_str().map(|token| ("x-security-token", token)));
    let body = text(input, "body").as_bytes();
    let ours = sign::sign(&sign::Unsigned {
        method: text(input, "method"),
        path: text(input, "path"),
        query: &pairs(&input["query"]),
        headers: &headers,
        body,
        access_key: text(input, "access_key"),
        secret_key: text(input, "secret_key"),
    });
    let names = serde_json::json!(ours.signed_headers.split(';').collect::<Vec<_>>());
    let path = ours.canonical_request.lines().nth(1).unwrap_or_default().to_owned();
    let mut stages = vec![
        Stage::new("hash of the body", sha256_hex(body), text(expected, "payload_sha256")),
        Stage::new("canonical path", path, text(expected, "canonical_uri")),
        Stage::new("signed headers", names.to_string(), input["signed_headers"].to_string()),
    ];
    stages.extend(stages_of(ours, expected));
    stages
}

/// What the product sends when it lists the desktops of the same project: it asks other pages than was captured, so that
/// the question's words aren't compared, only what surrounds them.
fn final_request(input: &Value, theirs: &Captured) -> Vec<Stage> {
    if !theirs.target.contains("/connect-desktops") {
        return Vec::new();
    }
    let account = format!(
        "cloud: huawei, region: cn-north-4, project_id: {}, access_key_id: {}, access_key_secret: {}",
        text(input, "project_id"),
        quoted(text(input, "access_key")),
        quoted(text(input, "secret_key")),
    );
    let configuration = configured(&account, "provider: huawei_workspace", &["one"]);
    let ours = first_request(&configuration, now_ms(input), 0, false);
    let path = |request: &Captured| request.target.split('?').next().unwrap_or_default().to_owned();
    let mut stages = vec![
        Stage::new("final request: method", &ours.method, &theirs.method),
        Stage::new("final request: path", path(&ours), path(theirs)),
    ];
    for name in ["host", "content-type", "x-project-id", "x-sdk-date"] {
        stages.push(Stage::new("final request: header", ours.header(name), theirs.header(name)));
    }
    let (options, now_ms) = (options(input), now_ms(input));
    stages.push(Stage::new(
        "final request: taken",
        format!("{:?}", judge(&options, now_ms, &ours)),
        "Ok(())",
    ));
    stages
}

fn replay(input: &Value, request: Captured) -> Replay {
    let signed: Vec<&str> =
        input["signed_headers"].as_array().expect("names").iter().map(super::as_text).collect();
    let changes = request.signed_changes(&signed);
    let (options, now_ms) = (options(input), now_ms(input));
    let judge = move |request: &Captured| judge(&options, now_ms, request);
    Replay { request, changes, judge: Box::new(judge), mismatch: "APIGW.0301" }
}

fn options(input: &Value) -> SimOptions {
    let options = SimOptions {
        key_id: text(input, "access_key").into(),
        secret: text(input, "secret_key").into(),
        token: input["security_token"].as_str().map(str::to_owned),
        ..SimOptions::default()
    };
    options.with("project_id", input["project_id"].as_str().unwrap_or(PROJECT))
}

fn judge(options: &SimOptions, now_ms: i64, request: &Captured) -> Result<(), String> {
    let project = options.switch("project_id").unwrap_or(PROJECT);
    let world = World { populations: vec![Population::new(workspace::NAME, project, vec![])] };
    let mut api = KIND.simulate(options.clone());
    code_of(&request.send(|request| api.answer(&world, now_ms, request)))
}

fn code_of(reply: &SimReply) -> Result<(), String> {
    if reply.status < 300 {
        return Ok(());
    }
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    Err(body["error_code"].as_str().map_or_else(|| reply.status.to_string(), str::to_owned))
}

/// The request for a token, which needs no signature. The simulated IAM knows another domain and region, so that it isn't
/// handed to it.
fn token(data: &Value) -> Vector {
    let (input, expected) = (&data["input"], &data["expected"]);
    let headers = &expected["headers"];
    let theirs = Captured {
        method: text(expected, "method").into(),
        target: text(expected, "request_target").into(),
        headers: pairs(headers).into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
        body: text(expected, "body_text").as_bytes().to_vec(),
    };
    let account = format!(
        "cloud: huawei, region: {}, iam_user: {}, iam_password: {}, iam_domain: {}",
        text(&input["scope"]["project"], "name"),
        quoted(text(input, "user_name")),
        quoted(text(input, "password")),
        quoted(text(input, "domain_name")),
    );
    let configuration = configured(&account, "provider: huawei_workspace", &["one"]);
    let ours = first_request(&configuration, 0, 0, false);
    let body: Value = serde_json::from_slice(&ours.body).expect("a request for a token is JSON");
    let stages = vec![
        Stage::new("final request: method", &ours.method, &theirs.method),
        Stage::new("final request: host", ours.header("host"), theirs.header("host")),
        Stage::new("final request: target", &ours.target, &theirs.target),
        Stage::new("final request: type", ours.header("content-type"), theirs.header("content-type")),
        Stage::new("final request: body", body.to_string(), expected["body_json"].to_string()),
    ];
    Vector { name: text(data, "name").to_owned(), provider: workspace::NAME, stages, replay: None }
}

fn now_ms(input: &Value) -> i64 {
    unix_ms("%Y%m%dT%H%M%SZ", text(input, "x_sdk_date"))
}
