use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use super::client::Client;
use super::sim::Sim;
use super::*;
use crate::domain::{Platform, Roster, Target};
use crate::ports::TransportError;
use crate::providers::loopback::{Loopback, roster};
use crate::providers::sim::{Population, SimReply, SimRequest, SimSession, Subject, Trouble, World};
use crate::providers::{Answer, Failure, Provider, Question, Receipt};

const NOW_MS: i64 = 1_772_330_584_000; // 2026-03-01T02:03:04Z
const CANARY: &str = "canary-secret-0123456789";

fn session(id: u64, start_ms: i64, end_ms: i64, platform: Platform) -> SimSession {
    SimSession {
        id,
        start_ms,
        setup_ms: 0,
        end_ms,
        platform,
        network_rtt_ms: 20,
        e2e_rtt_ms: 30,
        failure: None,
    }
}

fn subject(id: &str, sessions: Vec<SimSession>) -> Subject {
    Subject { id: id.into(), user: String::new(), sessions }
}

fn world() -> World {
    let open = |id, platform| session(id, 0, i64::MAX, platform);
    let subjects = vec![
        subject("10001", vec![open(1, Platform::Android), open(2, Platform::Web)]),
        subject("10002", vec![session(3, 0, NOW_MS, Platform::Ios)]),
        subject("9007199254740993", vec![open(4, Platform::Ios)]),
        subject("9223372036854775807", vec![open(5, Platform::Windows)]),
    ];
    World { populations: vec![Population::new(NAME, "123456", subjects)] }
}

fn options() -> SimOptions {
    SimOptions { secret: CANARY.into(), ..SimOptions::default() }
}

fn credentials() -> Credentials {
    let options = options();
    Credentials {
        access_key_id: Secret::new(options.key_id),
        secret: Secret::new(options.secret),
        session_token: None,
        region: "cn-north-1".into(),
    }
}

fn client_with(credentials: Credentials, app_id: u32) -> Client {
    Client::new("http://127.0.0.1:18080", app_id, Arc::new(credentials)).expect("an address")
}

fn client() -> Client {
    client_with(credentials(), 123_456)
}

fn loopback_of(options: SimOptions) -> Arc<Loopback> {
    Loopback::new(Box::new(Sim::new(options)), world(), NOW_MS)
}

fn loopback() -> Arc<Loopback> {
    loopback_of(options())
}

fn ask(loopback: &Arc<Loopback>, client: &Client, roster: &Roster) -> (Result<Answer, Failure>, Receipt) {
    let targets: Vec<Target<'_>> = roster.iter().collect();
    loopback.ask(client, Question::Batch(&targets))
}

fn failure(loopback: &Arc<Loopback>, client: &Client) -> Failure {
    let failure = ask(loopback, client, &roster(&["10001"])).0.expect_err("this must fail");
    assert!(!failure.message.contains("canary"), "{}", failure.message);
    assert_eq!(loopback.faults(), [failure.fault], "the gate is told once");
    failure
}

/// Replaces the reply's body and status.
fn meddled(status: u16, body: &'static str) -> Failure {
    let loopback = loopback();
    loopback.meddle(move |_, reply| Ok(SimReply { status, body: body.into(), ..reply }));
    failure(&loopback, &client())
}

#[test]
fn users_are_online_with_their_connections_or_offline_with_none() {
    let ids = ["10001", "10002", "9007199254740993", "9007199254740992", "9223372036854775807", "77"];
    let (answer, receipt) = ask(&loopback(), &client(), &roster(&ids));
    let rows = answer.expect("an answer").rows;
    let said: Vec<_> = rows
        .iter()
        .map(|(row, seen)| (row.index, seen.as_ref().map(|s| (s.online, s.connections))))
        .collect();
    assert_eq!(
        said,
        [
            (0, Ok((true, Some(2)))),
            (1, Ok((false, Some(0)))),
            (2, Ok((true, Some(1)))),
            (3, Ok((false, Some(0)))),
            (4, Ok((true, Some(1)))),
            (5, Ok((false, Some(0)))),
        ]
    );
    let first = rows[0].1.as_ref().expect("a good row");
    assert_eq!(first.platforms, [Platform::Android, Platform::Web]);
    assert_eq!(first.conns.len(), 2);
    assert_eq!((first.started_ms, first.network_rtt_ms, first.e2e_rtt_ms), (None, None, None));
    assert_eq!((receipt.calls, receipt.action), (1, Some("QueryOnlineStatus")));
    assert_eq!(receipt.request_id.as_deref(), Some("20260101000000000000000000000001"));
}

#[test]
fn a_connection_keeps_its_key_over_polls_and_programs() {
    let conns = |loopback: &Arc<Loopback>| {
        let rows = ask(loopback, &client(), &roster(&["10001"])).0.expect("an answer").rows;
        rows[0].1.clone().expect("a good row").conns
    };
    let one = loopback();
    let first = conns(&one);
    one.advance(Duration::from_secs(60));
    assert_eq!(conns(&one), first);
    assert_eq!(conns(&loopback()), first);
}

#[test]
fn a_full_batch_is_answered_and_one_more_is_refused() {
    let ids: Vec<String> = (1..=101).map(|n| n.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let rows = ask(&loopback(), &client(), &roster(&ids[..IDS_PER_CALL])).0.expect("an answer").rows;
    assert_eq!(rows.len(), IDS_PER_CALL);
    let failure = ask(&loopback(), &client(), &roster(&ids)).0.expect_err("one too many");
    assert_eq!(failure.fault, Fault::Rejected);
}

#[test]
fn ids_are_canonical_numbers_of_63_bits_and_nothing_else_is_sent() {
    let client = client();
    for good in ["0", "1", "10001", "9223372036854775807"] {
        assert_eq!(client.accepts(good), Ok(()), "{good}");
    }
    for bad in ["", " 1", "1 ", "+1", "-1", "1.0", "1e3", "0x1", "9223372036854775808", "在线", "1,2", "一"]
    {
        assert!(client.accepts(bad).is_err(), "{bad}");
    }
    assert!(client.accepts("0017").expect_err("leading zeros").contains("write 17"));
    assert!(client.accepts("00").expect_err("leading zeros").contains("write 0"));
    let (answer, _) = ask(&loopback(), &client, &roster(&["1],\"x\":[2", "10001"]));
    let rows = answer.expect("the good one is asked about").rows;
    assert!(rows.iter().any(|(row, seen)| row.index == 0 && *seen == Err(Fault::RefusedId)));
    assert!(rows.iter().any(|(row, seen)| row.index == 1 && seen.as_ref().is_ok_and(|s| s.online)));
    let alone = loopback();
    ask(&alone, &client, &roster(&["x"])).0.expect("an answer without a call");
    assert!(alone.sent().is_empty());
}

#[test]
fn a_wrong_key_secret_or_token_is_unauthorized() {
    let wrong_secret = Credentials { secret: Secret::new("canary-other"), ..credentials() };
    assert_eq!(failure(&loopback(), &client_with(wrong_secret, 123_456)).fault, Fault::Unauthorized);
    let wrong_id = Credentials { access_key_id: Secret::new("AKLTOTHER"), ..credentials() };
    let failed = failure(&loopback(), &client_with(wrong_id, 123_456));
    assert_eq!((failed.fault, failed.message.contains("InvalidAccessKey")), (Fault::Unauthorized, true));
    let temporary = || SimOptions { token: Some("canary+/=token".into()), ..options() };
    assert_eq!(failure(&loopback_of(temporary()), &client()).fault, Fault::Unauthorized);
    let with = |token: &str| Credentials { session_token: Some(Secret::new(token)), ..credentials() };
    let expired = client_with(with("canary-expired"), 123_456);
    assert!(failure(&loopback_of(temporary()), &expired).message.contains("InvalidSecretToken"));
    let good = client_with(with("canary+/=token"), 123_456);
    ask(&loopback_of(temporary()), &good, &roster(&["10001"])).0.expect("the token is signed and sent");
    let unsendable = client_with(with("canary\n"), 123_456);
    let (answer, _) = ask(&loopback(), &unsendable, &roster(&["10001"]));
    assert_eq!(answer.expect_err("no header can hold it").fault, Fault::Unauthorized);
}

#[test]
fn a_skewed_clock_is_told_as_such_from_the_first_second_out_of_the_window() {
    let x_date_of = |now_ms: i64| {
        let received = wire_request(&vectors()[0]);
        let options = vector_options(&vectors()[0]);
        Sim::new(options).authenticate(now_ms, &received.as_sim())
    };
    assert!(x_date_of(NOW_MS + 900_000).is_ok() && x_date_of(NOW_MS - 900_000).is_ok());
    assert!(x_date_of(NOW_MS + 901_000).is_err() && x_date_of(NOW_MS - 901_000).is_err());
    let loopback = loopback();
    loopback.meddle(|_, reply| {
        let error =
            r#"{"ResponseMetadata":{"RequestId":"r","Error":{"CodeN":100006,"Code":"InvalidTimestamp"}}}"#;
        Ok(SimReply { status: 403, body: error.into(), ..reply })
    });
    assert_eq!(failure(&loopback, &client()).fault, Fault::ClockSkew);
}

#[test]
fn an_unknown_app_and_a_missing_permission_are_told_apart_under_any_status() {
    let app = client_with(credentials(), 7);
    for status in ["400", "200"] {
        let failed = failure(&loopback_of(options().with("product_error_status", status)), &app);
        assert_eq!(failed.fault, Fault::Rejected);
        assert!(failed.message.contains("InvalidParameter.NotExistAppId"));
    }
    assert_eq!(failure(&loopback_of(options().with("denied", "true")), &client()).fault, Fault::Forbidden);
}

#[test]
fn the_account_is_throttled_beyond_its_calls_a_second() {
    let loopback = loopback_of(options().with("calls_per_second", "2"));
    let client = client();
    let ids = roster(&["10001"]);
    assert!(ask(&loopback, &client, &ids).0.is_ok() && ask(&loopback, &client, &ids).0.is_ok());
    assert_eq!(failure(&loopback, &client).fault, Fault::Throttled);
    loopback.advance(Duration::from_secs(1));
    assert!(ask(&loopback, &client, &ids).0.is_ok());
}

#[test]
fn each_trouble_of_the_provider_is_judged_by_its_code_and_keeps_its_wait() {
    let judged = |trouble| {
        let loopback = loopback();
        loopback.meddle(move |_, _| {
            let request = SimRequest {
                method: &Method::POST,
                path: "/",
                query: "Action=QueryOnlineStatus&Version=2020-12-01",
                headers: &HeaderMap::new(),
                body: b"",
            };
            Ok(Sim::new(options()).trouble(trouble, &request))
        });
        let failed = failure(&loopback, &client());
        (failed.fault, failed.wait)
    };
    let wait = Some(Duration::from_secs(7));
    assert_eq!(judged(Trouble::Throttled { retry_after_s: Some(7) }), (Fault::Throttled, wait));
    assert_eq!(judged(Trouble::Throttled { retry_after_s: None }), (Fault::Throttled, None));
    assert_eq!(judged(Trouble::ErrorUnder200), (Fault::Throttled, None));
    assert_eq!(judged(Trouble::ServerError), (Fault::ServerError, None));
    assert_eq!(judged(Trouble::Forbidden), (Fault::Forbidden, None));
    assert_eq!(judged(Trouble::Unauthorized), (Fault::Unauthorized, None));
    assert_eq!(judged(Trouble::WrongType), (Fault::BadAnswer, None));
    assert_eq!(judged(Trouble::MissingField), (Fault::BadAnswer, None));
}

#[test]
fn an_error_of_any_shape_under_200_is_no_empty_success() {
    for error in [
        r#"{"Code":"SomethingNew","Message":"canary"}"#,
        r#"{"CodeN":100014}"#,
        r#"{"Code":""}"#,
        "{}",
        "7",
        r#""canary""#,
        "[]",
    ] {
        let loopback = loopback();
        let body = format!(
            r#"{{"ResponseMetadata":{{"RequestId":"r","Error":{error}}},"Result":{{"AppId":123456}}}}"#
        );
        loopback.meddle(move |_, reply| Ok(SimReply { body: body.clone().into(), ..reply }));
        assert_eq!(failure(&loopback, &client()).fault, Fault::ServerError, "{error}");
    }
    let null = r#"{"ResponseMetadata":{"RequestId":"r","Error":null},"Result":{"AppId":123456}}"#;
    let loopback = loopback();
    loopback.meddle(move |_, reply| Ok(SimReply { body: null.into(), ..reply }));
    let rows = ask(&loopback, &client(), &roster(&["10001"])).0.expect("null is no error").rows;
    assert!(rows[0].1.as_ref().is_ok_and(|seen| !seen.online));
}

#[test]
fn what_is_not_the_providers_envelope_is_judged_by_status_and_shape() {
    assert_eq!(meddled(502, "<html>canary</html>").fault, Fault::ServerError);
    assert_eq!(meddled(403, "<html>canary</html>").fault, Fault::Forbidden);
    assert_eq!(meddled(200, "<html>canary</html>").fault, Fault::BadAnswer);
    assert_eq!(meddled(200, "").fault, Fault::BadAnswer);
    assert_eq!(
        meddled(200, r#"{"ResponseMetadata":{},"Result":{"AppId":123456,"Quer"#).fault,
        Fault::BadAnswer
    );
    assert_eq!(meddled(200, r#"{"ResponseMetadata":{}}"#).fault, Fault::BadAnswer);
    assert_eq!(meddled(200, r#"{"Result":{"AppId":123456}}"#).fault, Fault::BadAnswer);
    assert_eq!(meddled(200, r#"{"ResponseMetadata":{},"Result":{"AppId":123457}}"#).fault, Fault::BadAnswer);
    assert_eq!(
        meddled(503, r#"{"ResponseMetadata":{},"Result":{"AppId":123456}}"#).fault,
        Fault::ServerError
    );
    let lost = loopback();
    lost.meddle(|_, _| Err(TransportError::Timeout));
    assert_eq!(failure(&lost, &client()).fault, Fault::Timeout);
}

#[test]
fn an_answer_that_is_cut_at_any_byte_turns_nobody_offline() {
    let whole = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (seen, first) = (whole.clone(), loopback());
    first.meddle(move |_, reply| {
        seen.lock().unwrap().clone_from(&reply.body);
        Ok(reply)
    });
    ask(&first, &client(), &roster(&["10001", "10002"])).0.expect("the whole is good");
    let whole = whole.lock().unwrap().clone();
    for end in 0..whole.len() {
        let loopback = loopback();
        let body = whole[..end].to_vec();
        loopback.meddle(move |_, reply| Ok(SimReply { body: body.clone(), ..reply }));
        assert_eq!(failure(&loopback, &client()).fault, Fault::BadAnswer, "cut at {end}");
    }
}

#[test]
fn an_ill_formed_user_does_not_sink_the_others() {
    let loopback = loopback();
    loopback.meddle(|_, reply| {
        let mut body: Value = serde_json::from_slice(&reply.body).expect("JSON");
        body["Result"]["QueryOnlineResults"]["10002"] = serde_json::json!({ "ConnId": "canary" });
        body["Result"]["New"] = serde_json::json!([{}]);
        Ok(SimReply { body: body.to_string().into(), ..reply })
    });
    let rows = ask(&loopback, &client(), &roster(&["10001", "10002"])).0.expect("an answer").rows;
    assert!(rows[0].1.as_ref().is_ok_and(|seen| seen.online));
    assert_eq!(rows[1].1, Err(Fault::BadAnswer));
}

#[test]
fn an_endpoint_may_have_a_port_and_a_path_and_must_be_an_address() {
    for endpoint in ["https://127.0.0.1:443", "http://127.0.0.1:80", "http://gate.example/a%20b/c"] {
        let client = Client::new(endpoint, 123_456, Arc::new(credentials())).expect("an address");
        ask(&loopback(), &client, &roster(&["10001"])).0.expect(endpoint);
    }
    assert!(Client::new("no address", 1, Arc::new(credentials())).is_none());
    assert!(Client::new("", 1, Arc::new(credentials())).is_none());
}

/// A request as it was captured.
struct Received {
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Received {
    fn as_sim(&self) -> SimRequest<'_> {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        SimRequest { method: &self.method, path, query, headers: &self.headers, body: &self.body }
    }
}

fn wire_request(vector: &Value) -> Received {
    let wire = &vector["expected"]["wire"];
    let mut headers = HeaderMap::new();
    for pair in wire["headers"].as_array().expect("a list") {
        let name: HeaderName = pair[0].as_str().expect("a name").parse().expect("a name");
        headers.insert(name, HeaderValue::from_str(pair[1].as_str().expect("a value")).expect("a value"));
    }
    Received {
        method: vector["input"]["method"].as_str().expect("a method").parse().expect("a method"),
        target: wire["request_target"].as_str().expect("a target").into(),
        headers,
        body: Bytes::copy_from_slice(vector["input"]["body"].as_str().expect("a body").as_bytes()),
    }
}

fn vector_options(vector: &Value) -> SimOptions {
    let text = |key: &str| vector["input"][key].as_str().map(String::from);
    SimOptions {
        key_id: text("access_key").expect("a key"),
        secret: text("secret_key").expect("a secret"),
        token: text("session_token"),
        ..SimOptions::default()
    }
}

fn vector_now_ms(vector: &Value) -> i64 {
    let text = vector["input"]["x_date"].as_str().expect("a date");
    let at = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).expect("a date");
    at.to_zoned(jiff::tz::TimeZone::UTC).expect("a date").timestamp().as_millisecond()
}

#[test]
fn the_simulated_api_accepts_what_the_vendors_clients_sent_and_refuses_every_changed_byte() {
    for vector in vectors() {
        let name = vector["name"].as_str().expect("a name");
        let sim = Sim::new(vector_options(&vector));
        let now_ms = vector_now_ms(&vector);
        let check = |change: &dyn Fn(&mut Received)| {
            let mut received = wire_request(&vector);
            change(&mut received);
            sim.authenticate(now_ms, &received.as_sim())
        };
        assert_eq!(check(&|_| {}), Ok(()), "{name}");
        let authorization = |received: &mut Received, from: &str, to: &str| {
            let text = received.headers["authorization"].to_str().expect("text").replacen(from, to, 1);
            received.headers.insert("authorization", HeaderValue::from_str(&text).expect("text"));
        };
        let signature = vector["expected"]["signature"].as_str().expect("a signature");
        let other = if signature.ends_with('0') { "1" } else { "0" };
        let changed = format!("{}{other}", &signature[..63]);
        assert!(check(&|r| authorization(r, signature, &changed)).is_err(), "{name}: signature");
        assert!(check(&|r| authorization(r, signature, "")).is_err(), "{name}: no signature");
        assert!(check(&|r| authorization(r, "cn-north-1", "cn-north-2")).is_err(), "{name}: region");
        assert!(check(&|r| authorization(r, "/rtc/", "/sts/")).is_err(), "{name}: service");
        assert!(check(&|r| authorization(r, "HMAC-SHA256", "HMAC-SHA512")).is_err(), "{name}: algorithm");
        assert!(check(&|r| drop(r.headers.remove("authorization"))).is_err(), "{name}: unsigned");
        assert!(check(&|r| r.target += "&x=").is_err(), "{name}: a parameter more");
        assert!(check(&|r| r.target = r.target.replacen("20-", "21-", 1).replacen("23-", "24-", 1)).is_err());
        assert!(check(&|r| r.body = [&r.body[..], b" "].concat().into()).is_err(), "{name}: body");
        assert!(check(&|r| r.method = Method::PUT).is_err(), "{name}: method");
        for header in vector["input"]["signed_headers"].as_array().expect("a list") {
            let header: HeaderName = header.as_str().expect("a name").parse().expect("a name");
            assert!(check(&|r| drop(r.headers.remove(&header))).is_err(), "{name}: without {header}");
            let differs = |r: &mut Received| {
                let mut value = r.headers[&header].as_bytes().to_vec();
                let last = value.len() - 1;
                value[last] = if value[last] == b'1' { b'2' } else { b'1' };
                r.headers.insert(header.clone(), HeaderValue::from_bytes(&value).expect("a value"));
            };
            assert!(check(&differs).is_err(), "{name}: other {header}");
        }
    }
}

#[test]
fn the_simulated_api_compares_the_hash_header_with_the_body_even_where_the_rest_is_signed_well() {
    let options = options();
    let hash = crate::providers::hash::sha256_hex(b"{}");
    for (sent, good) in [(hash.as_str(), true), (&"0".repeat(64), false)] {
        let signed = super::sign::sign(&super::sign::ToSign {
            access_key_id: &options.key_id,
            secret: &options.secret,
            region: "cn-north-1",
            service: SERVICE,
            x_date: "20260301T020304Z",
            method: "POST",
            path: "/",
            query: &QUERY,
            headers: &[("x-content-sha256", sent), ("x-date", "20260301T020304Z")],
            payload_sha256: &hash,
        });
        let mut headers = HeaderMap::new();
        headers.insert("x-content-sha256", sent.parse().unwrap());
        headers.insert("x-date", "20260301T020304Z".parse().unwrap());
        headers.insert("authorization", signed.authorization.parse().unwrap());
        let target = "/?Action=QueryOnlineStatus&Version=2020-12-01".into();
        let received = Received { method: Method::POST, target, headers, body: Bytes::from_static(b"{}") };
        assert_eq!(Sim::new(options.clone()).authenticate(NOW_MS, &received.as_sim()).is_ok(), good);
    }
}

#[test]
fn the_simulated_api_answers_the_captured_questions() {
    for vector in vectors() {
        let received = wire_request(&vector);
        if !received.target.contains("QueryOnlineStatus") {
            continue;
        }
        let app: Value = serde_json::from_slice(&received.body).expect("JSON");
        let subjects = vec![subject("10001", vec![session(1, 0, i64::MAX, Platform::Android)])];
        let world = World { populations: vec![Population::new(NAME, app["AppId"].to_string(), subjects)] };
        let mut sim = Sim::new(vector_options(&vector));
        assert!(sim.claims(&received.as_sim()));
        let reply = sim.answer(&world, vector_now_ms(&vector), &received.as_sim());
        assert_eq!((reply.status, reply.action), (200, "QueryOnlineStatus"));
        let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
        let asked = app["UserIds"].as_array().expect("a list").contains(&10001.into());
        assert_eq!(body["Result"]["QueryOnlineResults"].get("10001").is_some(), asked);
        assert_eq!(
            body["Result"]["QueryOnlineResults"].as_object().expect("a map").len(),
            usize::from(asked)
        );
    }
}

#[test]
fn the_round_is_batches_of_the_documented_size() {
    let [crate::providers::Step::Batches { action, ids, .. }] = client().round()[..] else {
        panic!("one step of batches")
    };
    assert_eq!((action.name, ids), ("QueryOnlineStatus", 100));
}

mod settings {
    use super::*;
    use crate::config::testing::MemoryEnv;
    use crate::providers::configure::{Configuration, configure};

    fn read(account: &str, source: &str) -> Result<Configuration, String> {
        let text = format!(
            "accounts:\n  main:\n    cloud: volcengine\n{account}sources:\n  chat:\n    account: main\n    \
             provider: volcengine_rtc\n{source}    targets: [10001, 10002]\n"
        );
        let env = MemoryEnv::default().with_var("SK", CANARY);
        configure(&text, &env, std::path::Path::new("/etc/presence"), 0).map_err(|problems| {
            let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            assert!(!text.contains("canary"), "{text}");
            text
        })
    }

    const ACCOUNT: &str = "    access_key_id: SIMKEYID0001\n    access_key_secret: {env: SK}\n    endpoint: http://127.0.0.1:18080/\n";

    #[test]
    fn a_configured_source_asks_its_app_with_its_accounts_key() {
        let configuration = read(ACCOUNT, "    app_id: 123456\n").expect("a good configuration");
        let source = &configuration.sources[0];
        assert_eq!((source.target_kind, source.evidence), (Kind::User, Evidence::FirstSeen));
        assert!((configuration.accounts[0].settings.quota.per_second - 20.0).abs() < f64::EPSILON);
        let targets: Vec<Target<'_>> = source.roster.iter().collect();
        let (answer, _) = loopback().ask(source.provider.as_ref(), Question::Batch(&targets));
        assert!(answer.expect("an answer").rows[0].1.as_ref().is_ok_and(|seen| seen.online));
        // Signed for another region, which the vendor accepts, and with a session token.
        let account = format!("{ACCOUNT}    region: ap-singapore-1\n    session_token: canary-token\n");
        let configuration = read(&account, "    app_id: 123456\n").expect("a good configuration");
        let loopback = loopback_of(SimOptions { token: Some("canary-token".into()), ..options() });
        let provider = configuration.sources[0].provider.as_ref();
        loopback.ask(provider, Question::Batch(&targets)).0.expect("an answer");
    }

    #[test]
    fn what_is_missing_or_wrong_is_told_with_its_key() {
        let told = |account: &str, source: &str, words: &str| {
            let problems = read(account, source).err().expect("this is not good");
            assert!(problems.contains(words), "{problems}");
        };
        told("    access_key_id: a\n", "    app_id: 1\n", "access_key_secret");
        told("    access_key_secret: canary\n", "    app_id: 1\n", "access_key_id");
        told(ACCOUNT, "", "app_id");
        told(ACCOUNT, "    app_id: 661e000000000000000543cf\n", "app_id");
        told(ACCOUNT, "    app_id: 2147483648\n", "app_id");
        told(ACCOUNT, "    app_id: 0\n", "app_id");
        told(&format!("{ACCOUNT}    session_token: {{env: NONE}}\n"), "    app_id: 1\n", "session_token");
    }

    #[test]
    fn the_simulated_api_gives_the_keys_that_reach_it() {
        let sim = KIND.simulate(SimOptions { token: Some("to\"ken: x".into()), ..options() });
        let lines = |keys: Vec<(&str, String)>| {
            keys.iter().flat_map(|(key, value)| ["    ", key, ": ", value, "\n"]).collect::<String>()
        };
        let account = lines(sim.account_keys("http://127.0.0.1:1")) + "    endpoint: http://127.0.0.1:1\n";
        let source = lines(sim.source_keys(&world().populations[0]));
        let configuration = read(&account, &source).expect("a good configuration");
        let loopback = Loopback::new(sim, world(), NOW_MS);
        let targets: Vec<Target<'_>> = configuration.sources[0].roster.iter().collect();
        let (answer, _) = loopback.ask(configuration.sources[0].provider.as_ref(), Question::Batch(&targets));
        assert!(answer.expect("an answer").rows[0].1.as_ref().is_ok_and(|seen| seen.online));
    }
}
