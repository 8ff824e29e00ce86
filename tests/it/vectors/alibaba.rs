//! Alibaba Cloud: the V3 signature, ACS3-HMAC-SHA256.

use presence_exporter::domain::Platform;
use presence_exporter::providers::alibaba::gateway::{Gateway, Product};
use presence_exporter::providers::alibaba::sign::{Unsigned, sign};
use presence_exporter::providers::hash::sha256_hex;
use presence_exporter::providers::sim::{Population, SimOptions, SimReply, SimSession, Subject, World};
use presence_exporter::providers::{find, signed::Signed};
use serde_json::Value;

use super::captured::Captured;
use super::sent::{configured, first_request, quoted};
use super::{Replay, Stage, Vector, list, pairs, read, stages_of, text, unix_ms};

const SCHEME: &str = "ACS3-HMAC-SHA256";

const OLDER: &str = "the older RPC signature, which the vendor advises against, is not built";
const FLOW: &str = "credentials come from the configuration: roles and metadata are not asked";

/// What is not built, so that nothing of ours could be compared with it.
pub const LEFT_OUT: &[(&str, &str)] = &[
    ("rpc1-core-online", OLDER),
    ("rpc1-core-session-sts", OLDER),
    ("rpc1-tea-batch-ten", OLDER),
    ("published-rpc1", OLDER),
    ("published-rpc1-b", OLDER),
    ("oidc", FLOW),
    ("ram_role_arn", FLOW),
    ("imds_v2_no_role_name", FLOW),
    ("imds_v1_fallback_token_404", FLOW),
    ("uri", FLOW),
];

/// Both products with every captured action, those among them that the exporter never asks.
const SMARTAG: Product = Product {
    code: "Smartag",
    host: "smartag",
    version: "2018-03-13",
    actions: &[
        "DescribeUserOnlineClients",
        "DescribeUserOnlineClientStatistics",
        "DescribeSagOnlineClientStatistics",
        "DescribeSmartAccessGatewayClientUsers",
        "DescribeSmartAccessGateways",
    ],
};
const MQTT: Product = Product {
    code: "OnsMqtt",
    host: "onsmqtt",
    version: "2020-04-20",
    actions: &["QuerySessionByClientId", "BatchQuerySessionByClientIds", "ListInstances"],
};

/// Eleven requests of the vendor's SDKs, and the example of the vendor's text.
pub fn vectors() -> Vec<Vector> {
    let file = read("alibaba");
    let v3 = |name: &str| list(&file, name).into_iter().filter(|vector| vector["scheme"] == SCHEME);
    v3("vectors")
        .map(|data| vector(&data))
        .chain(v3("published_examples").map(|data| published(&data)))
        .collect()
}

fn vector(data: &Value) -> Vector {
    let (inputs, expected) = (&data["inputs"], &data["expected"]);
    let captured = captured(expected);
    let ours = signature(inputs, &pairs(&inputs["signed_headers_in"]));
    let mut stages = vec![
        Stage::new("hash of the body", sha256_hex(&captured.body), text(expected, "hashed_payload")),
        Stage::new("signed headers", &ours.signed_headers, text(expected, "signed_headers")),
    ];
    stages.extend(stages_of(ours, expected));
    stages.extend(final_request(inputs, &captured));
    let provider = if is_smartag(inputs) { "alibaba_smartag" } else { "alibaba_mqtt" };
    let replay = Some(replay(inputs, captured));
    Vector { name: text(data, "id").to_owned(), provider, stages, replay }
}

/// The example prints fewer stages, and is of a product that isn't polled.
fn published(data: &Value) -> Vector {
    let (inputs, expected) = (&data["inputs"], &data["expected"]);
    let payload = sha256_hex(b"");
    let ours = signature(
        inputs,
        &[
            ("host", text(inputs, "host")),
            ("x-acs-version", text(inputs, "version")),
            ("x-acs-action", text(inputs, "action")),
            ("x-acs-date", text(inputs, "date")),
            ("x-acs-signature-nonce", text(inputs, "nonce")),
            ("x-acs-content-sha256", &payload),
        ],
    );
    let hashed = sha256_hex(ours.canonical_request.as_bytes());
    let stages = vec![
        Stage::new("signed headers", ours.signed_headers, text(expected, "signed_headers")),
        Stage::new("hash of the canonical request", hashed, text(expected, "hashed_canonical_request")),
        Stage::new("signature", ours.signature, text(expected, "signature")),
    ];
    Vector { name: text(data, "id").to_owned(), provider: "alibaba_smartag", stages, replay: None }
}

fn captured(expected: &Value) -> Captured {
    let wire = &expected["request"];
    Captured {
        method: text(wire, "method").into(),
        target: text(wire, "target").into(),
        headers: pairs(&wire["headers"]).into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
        body: text(wire, "body").as_bytes().to_vec(),
    }
}

fn signature(inputs: &Value, headers: &[(&str, &str)]) -> Signed {
    let params = flat_params(inputs);
    let params: Vec<(&str, &str)> = params.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let request = Unsigned { method: text(inputs, "method"), params: &params, headers, body: b"" };
    sign(text(inputs, "access_key_id"), text(inputs, "access_key_secret"), &request)
}

/// The parameters as they are flattened for the wire: a list becomes `Name.1`, `Name.2`.
fn flat_params(inputs: &Value) -> Vec<(String, String)> {
    let mut flat = Vec::new();
    for (name, value) in inputs["params"].as_object().expect("parameters are a mapping") {
        match value {
            Value::Array(items) => {
                let numbered = items.iter().enumerate();
                flat.extend(
                    numbered.map(|(n, item)| (format!("{name}.{}", n + 1), super::as_text(item).into())),
                );
            }
            Value::String(text) => flat.push((name.clone(), text.clone())),
            other => flat.push((name.clone(), other.to_string())),
        }
    }
    flat
}

/// What the product sends for the same question, where it asks such questions: all that means something to the provider,
/// and the headers that it signs itself.
fn final_request(inputs: &Value, theirs: &Captured) -> Vec<Stage> {
    let params = &inputs["params"];
    let asked = match text(inputs, "action") {
        "DescribeUserOnlineClients" => ("SmartAGId", "UserName", true),
        "DescribeUserOnlineClientStatistics" => ("SmartAGId", "UserNames", false),
        "QuerySessionByClientId" => ("InstanceId", "ClientId", true),
        "BatchQuerySessionByClientIds" => ("InstanceId", "ClientIdList", false),
        _ => return Vec::new(),
    };
    let (instance, ids, exact) = asked;
    let ids: Vec<&str> = match &params[ids] {
        Value::Array(ids) => ids.iter().map(super::as_text).collect(),
        one => vec![super::as_text(one)],
    };
    let token = inputs["security_token"].as_str();
    let account = format!(
        "cloud: alibaba, region: {}, access_key_id: {}, access_key_secret: {}{}",
        text(inputs, "region_id"),
        quoted(text(inputs, "access_key_id")),
        quoted(text(inputs, "access_key_secret")),
        token.map(|token| format!(", security_token: {}", quoted(token))).unwrap_or_default(),
    );
    let provider = if is_smartag(inputs) { "alibaba_smartag" } else { "alibaba_mqtt" };
    let instance = text(params, instance);
    let source = format!("provider: {provider}, instance: {instance}, exact: {exact}");
    let nonce = u128::from_str_radix(text(inputs, "nonce"), 16).expect("a nonce is hexadecimal");
    let ours = first_request(&configured(&account, &source, &ids), now_ms(inputs), nonce, true);
    let question = |request: &Captured| {
        let mut query = request.query();
        query.sort();
        format!("{query:?}")
    };
    let mut stages = vec![
        Stage::new("final request: method", &ours.method, &theirs.method),
        Stage::new("final request: path", &ours.target[..2], &theirs.target[..2]),
        Stage::new("final request: question", question(&ours), question(theirs)),
        Stage::new("final request: body", hex::encode(&ours.body), hex::encode(&theirs.body)),
    ];
    let mut names = vec![
        "host",
        "x-acs-action",
        "x-acs-content-sha256",
        "x-acs-date",
        "x-acs-signature-nonce",
        "x-acs-version",
    ];
    if token.is_some() {
        names.extend(["x-acs-accesskey-id", "x-acs-security-token"]);
    }
    for name in names {
        stages.push(Stage::new("final request: header", ours.header(name), theirs.header(name)));
    }
    let taken = judge(inputs, now_ms(inputs), &ours);
    stages.push(Stage::new("final request: taken", format!("{taken:?}"), "Ok(())"));
    stages
}

fn is_smartag(inputs: &Value) -> bool {
    text(inputs, "version") == SMARTAG.version
}

fn replay(inputs: &Value, request: Captured) -> Replay {
    let signed: Vec<&str> =
        inputs["signed_headers_in"].as_object().expect("a mapping").keys().map(String::as_str).collect();
    let mut changes = request.signed_changes(&signed);
    changes.push(
        request.change("method, though one that the API has", true, |request| request.method = "GET".into()),
    );
    let now_ms = now_ms(inputs);
    let inputs = inputs.clone();
    let judge = move |request: &Captured| judge(&inputs, now_ms, request);
    Replay { request, changes, judge: Box::new(judge), mismatch: "SignatureDoesNotMatch" }
}

fn options(inputs: &Value) -> SimOptions {
    SimOptions {
        key_id: text(inputs, "access_key_id").into(),
        secret: text(inputs, "access_key_secret").into(),
        token: inputs["security_token"].as_str().map(str::to_owned),
        ..SimOptions::default()
    }
}

/// What the gateway says that stands before both simulated products.
fn judge(inputs: &Value, now_ms: i64, request: &Captured) -> Result<(), String> {
    let product = if is_smartag(inputs) { &SMARTAG } else { &MQTT };
    let mut gateway = Gateway::new(product, options(inputs));
    request.send(|request| gateway.admit(now_ms, request)).map(|_| ()).map_err(|refused| code(&refused))
}

fn code(reply: &SimReply) -> String {
    let body: Value = serde_json::from_slice(&reply.body).expect("an error is JSON");
    text(&body, "Code").to_owned()
}

fn now_ms(inputs: &Value) -> i64 {
    unix_ms("%Y-%m-%dT%H:%M:%SZ", text(inputs, "date"))
}

/// The captured requests that the simulated products have an answer to, with those of one product.
fn questions(provider: &str) -> Vec<Value> {
    let actions = find(provider).expect("it is in the registry").actions();
    let mut questions = list(&read("alibaba"), "vectors");
    questions.retain(|data| {
        let known = actions.iter().any(|action| data["inputs"]["action"] == action.name);
        data["scheme"] == SCHEME && known
    });
    questions
}

/// What a simulated product answers to a captured request: status and body.
fn answer(provider: &str, data: &Value, world: &World) -> (u16, Value) {
    let inputs = &data["inputs"];
    let mut api = find(provider).expect("it is in the registry").simulate(options(inputs));
    let reply = captured(&data["expected"]).send(|request| {
        assert!(api.claims(request), "{}", data["id"]);
        api.answer(world, now_ms(inputs), request)
    });
    (reply.status, serde_json::from_slice(&reply.body).expect("JSON"))
}

/// A subject that is on at this time, or never.
fn subject(id: &str, on_at_ms: Option<i64>) -> Subject {
    let session = |now_ms| SimSession {
        id: 1,
        start_ms: now_ms - 60_000,
        setup_ms: 0,
        end_ms: now_ms + 1,
        platform: Platform::Other,
        network_rtt_ms: 10,
        e2e_rtt_ms: 20,
        failure: None,
    };
    Subject { id: id.into(), user: String::new(), sessions: on_at_ms.map(session).into_iter().collect() }
}

fn world(provider: &'static str, scope: &str, subjects: Vec<Subject>) -> World {
    World { populations: vec![Population::new(provider, scope, subjects)] }
}

#[test]
fn captured_questions_to_smartag_are_answered_from_the_world() {
    let questions = questions("alibaba_smartag");
    assert_eq!(questions.len(), 6, "captured questions of the four calls");
    let is_list = |data: &&Value| text(&data["inputs"], "action").contains("SmartAccessGateway");
    assert_eq!(questions.iter().filter(is_list).count(), 2, "which are lists has its own test");
    for data in questions.iter().filter(|data| !is_list(data)) {
        let inputs = &data["inputs"];
        let names = flat_params(inputs).into_iter().filter(|(name, _)| name.starts_with("UserName"));
        // Of several users only the first is on.
        let subjects =
            names.enumerate().map(|(n, (_, id))| subject(&id, (n == 0).then(|| now_ms(inputs)))).collect();
        let scope = text(&inputs["params"], "SmartAGId");
        let world = world("alibaba_smartag", scope, subjects);
        let (status, body) = answer("alibaba_smartag", data, &world);
        assert_eq!(status, 200, "{}: {body}", data["id"]);
        if let Some(users) = body.get("Users") {
            let since = ((now_ms(inputs) - 60_000) / 1000).to_string();
            assert_eq!(users["User"][0]["OnlineTime"], since.as_str(), "{}", data["id"]);
        } else {
            let rows = body["UserStatistics"]["Statistics"].as_array().expect("rows");
            let counts: Vec<&Value> = rows.iter().map(|row| &row["OnlineCount"]).collect();
            assert_eq!(counts, ["1", "0", "0"], "{}", data["id"]);
        }
        let (status, body) = answer("alibaba_smartag", data, &World::default());
        assert_eq!((status, body["Code"].as_str()), (400, Some("SAG.InstanceNoFound")));
    }
}

#[test]
fn captured_questions_for_lists_of_smartag_are_answered_by_their_page() {
    for data in questions("alibaba_smartag") {
        let inputs = &data["inputs"];
        // Both ask for the second page of fifty.
        let (list, row, name, world) = match text(inputs, "action") {
            "DescribeSmartAccessGatewayClientUsers" => {
                let users = (0..70).map(|n| subject(&format!("user-{n:02}"), None)).collect();
                let scope = text(&inputs["params"], "SmartAGId");
                ("Users", "User", "UserName", world("alibaba_smartag", scope, users))
            }
            "DescribeSmartAccessGateways" => {
                let population = |n| Population::new("alibaba_smartag", format!("user-{n:02}"), vec![]);
                let populations = (0..70).map(population).collect();
                ("SmartAccessGateways", "SmartAccessGateway", "SmartAGId", World { populations })
            }
            _ => continue,
        };
        let (status, body) = answer("alibaba_smartag", &data, &world);
        assert_eq!(status, 200, "{}: {body}", data["id"]);
        let rows = body[list][row].as_array().expect("rows");
        assert_eq!((rows.len(), rows[0][name].as_str()), (20, Some("user-50")), "{}", data["id"]);
        assert_eq!((body["TotalCount"].as_u64(), body["PageSize"].as_u64()), (Some(70), Some(50)));
    }
}

#[test]
fn captured_questions_to_mqtt_are_answered_from_the_world() {
    let questions = questions("alibaba_mqtt");
    assert_eq!(questions.len(), 3, "captured questions of the two calls");
    for data in questions {
        let inputs = &data["inputs"];
        let ids = flat_params(inputs).into_iter().filter(|(name, _)| name.starts_with("ClientId"));
        let subjects = ids.map(|(_, id)| subject(&id, Some(now_ms(inputs)))).collect();
        let world = world("alibaba_mqtt", text(&inputs["params"], "InstanceId"), subjects);
        let (status, body) = answer("alibaba_mqtt", &data, &world);
        assert_eq!(status, 200, "{}: {body}", data["id"]);
        match body.get("OnlineStatusList") {
            None => assert_eq!(body["OnlineStatus"], true, "{}", data["id"]),
            Some(rows) => {
                let rows = rows.as_array().expect("a flat list");
                assert!(rows.len() == 10 && rows.iter().all(|row| row["OnlineStatus"] == true));
            }
        }
        let (status, body) = answer("alibaba_mqtt", &data, &World::default());
        assert_eq!((status, body["Code"].as_str()), (400, Some("InstancePermissionCheckFailed")));
    }
}
