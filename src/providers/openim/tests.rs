use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use http::{HeaderMap, Method};
use serde_json::{Value, json};

use super::client::Client;
use super::sim::Sim;
use super::*;
use crate::domain::{Platform, Roster, Target};
use crate::ports::{BoxFuture, Response, TransportError};
use crate::providers::http::{Gate, Net, Permit};
use crate::providers::loopback::{Loopback, roster};
use crate::providers::sim::{Population, SimReply, SimRequest, SimSession, Subject, Trouble, World};
use crate::providers::{Answer, Provider, Question, Receipt, Step};

const NOW_MS: i64 = 1_767_225_600_000;
const CANARY: &str = "canary-secret";
const RELEASES: [&str; 9] =
    ["v3.0.0", "v3.5.0", "v3.6.0", "v3.7.0", "v3.8.0", "v3.8.1", "v3.8.3", "v3.8.3-patch.16", "main"];

/// A simulated API that a test may reach into while it is being asked.
#[derive(Clone)]
struct Shared(Arc<Mutex<Sim>>);

impl Shared {
    fn new(options: SimOptions) -> Self {
        Self(Arc::new(Mutex::new(Sim::new(options))))
    }

    fn with<T>(&self, with: impl FnOnce(&mut Sim) -> T) -> T {
        with(&mut self.0.lock().unwrap())
    }
}

impl SimApi for Shared {
    fn claims(&self, request: &SimRequest<'_>) -> bool {
        self.with(|sim| sim.claims(request))
    }

    fn answer(&mut self, world: &World, now_ms: i64, request: &SimRequest<'_>) -> SimReply {
        self.with(|sim| sim.answer(world, now_ms, request))
    }

    fn trouble(&mut self, trouble: Trouble, request: &SimRequest<'_>) -> SimReply {
        self.with(|sim| sim.trouble(trouble, request))
    }

    fn account_keys(&self, base: &str) -> Vec<(&'static str, String)> {
        self.with(|sim| sim.account_keys(base))
    }

    fn source_keys(&self, population: &Population) -> Vec<(&'static str, String)> {
        self.with(|sim| sim.source_keys(population))
    }
}

fn session(id: u64, platform: Platform) -> SimSession {
    SimSession {
        id,
        start_ms: NOW_MS - 60_000,
        setup_ms: 0,
        end_ms: i64::MAX,
        platform,
        network_rtt_ms: 20,
        e2e_rtt_ms: 30,
        failure: None,
    }
}

fn world_of(subjects: impl IntoIterator<Item = (String, Vec<SimSession>)>) -> World {
    let subjects =
        subjects.into_iter().map(|(id, sessions)| Subject { id, user: String::new(), sessions }).collect();
    World { populations: vec![Population::new(NAME, "", subjects)] }
}

const ODD_ID: &str = "在线 +/%&=*~'()!\"\\é";

fn world() -> World {
    let crowd = (0..20).map(|n| (format!("c{n}"), vec![session(100 + n, Platform::Web)]));
    world_of(crowd.chain([
        ("two".into(), vec![session(1, Platform::Android), session(2, Platform::Windows)]),
        ("gone".into(), vec![]),
        (ODD_ID.into(), vec![session(3, Platform::Harmony)]),
    ]))
}

fn options(server: &str) -> SimOptions {
    SimOptions { key_id: "imAdmin".into(), secret: CANARY.into(), ..SimOptions::default() }
        .with("server", server)
}

fn account(login: Login) -> Arc<Account> {
    Arc::new(Account::new("http://im.example:10002".into(), "imAdmin".into(), login))
}

fn with_secret(secret: &str, api: Api) -> Login {
    Login::Secret(Secret::new(secret), api)
}

fn client_with(login: Login) -> Client {
    Client::new(account(login), Mode::Detail)
}

fn client() -> Client {
    client_with(with_secret(CANARY, Api::Auto))
}

fn setup_with(options: SimOptions) -> (Shared, Arc<Loopback>) {
    let shared = Shared::new(options);
    let loopback = Loopback::new(Box::new(shared.clone()), world(), NOW_MS);
    (shared, loopback)
}

fn setup(server: &str) -> (Shared, Arc<Loopback>) {
    setup_with(options(server))
}

fn ask(loopback: &Arc<Loopback>, client: &Client, roster: &Roster) -> (Result<Answer, Failure>, Receipt) {
    let targets: Vec<Target<'_>> = roster.iter().collect();
    loopback.ask(client, Question::Batch(&targets))
}

/// Online and connections of each row, in order.
fn said(answer: &Answer) -> Vec<Result<(bool, Option<u32>), Fault>> {
    answer
        .rows
        .iter()
        .map(|(_, said)| said.as_ref().map(|s| (s.online, s.connections)).map_err(|f| *f))
        .collect()
}

fn good(loopback: &Arc<Loopback>, client: &Client) {
    let (answer, _) = ask(loopback, client, &roster(&["two", "gone", "nobody"]));
    let answer = answer.expect("an answer");
    assert_eq!(said(&answer), [Ok((true, Some(2))), Ok((false, Some(0))), Ok((false, Some(0)))]);
}

fn failure(loopback: &Arc<Loopback>, client: &Client) -> Failure {
    let failure = ask(loopback, client, &roster(&["two"])).0.expect_err("this must fail");
    let shown = format!("{failure:?}");
    assert!(!shown.contains("canary") && !shown.contains("eyJ"), "{shown}");
    failure
}

#[test]
fn every_release_is_asked_in_its_own_way_and_says_the_same() {
    for server in RELEASES {
        let (_, loopback) = setup(server);
        let client = client();
        good(&loopback, &client);
        let logins: &[&str] = match server {
            "v3.0.0" => &["get_admin_token", "user_token", "user_token"],
            "v3.5.0" | "v3.6.0" | "v3.7.0" | "v3.8.0" => &["get_admin_token", "user_token"],
            _ => &["get_admin_token"],
        };
        assert_eq!(loopback.sent(), [logins, &["get_users_online_status"]].concat(), "{server}");
        assert_eq!(loopback.faults(), [], "{server}: looking for the endpoint is no failure");
        good(&loopback, &client);
        assert_eq!(loopback.sent().len(), logins.len() + 2, "{server}: the token is kept");
    }
}

#[test]
fn terminals_become_connections_with_platforms_in_both_generations() {
    for server in ["v3.8.0", "v3.8.3"] {
        let (_, loopback) = setup(server);
        let (answer, receipt) = ask(&loopback, &client(), &roster(&["two", ODD_ID]));
        let rows = answer.expect("an answer").rows;
        let first = rows[0].1.as_ref().expect("a good row");
        assert_eq!(first.platforms, [Platform::Android, Platform::Windows]);
        assert_eq!((first.conns.len(), first.started_ms, first.network_rtt_ms), (2, None, None));
        assert_eq!(rows[1].1.as_ref().expect("a good row").platforms, [Platform::Harmony]);
        assert_eq!(receipt.action, Some("get_users_online_status"));
    }
}

#[test]
fn the_short_mode_says_online_or_offline_and_sees_no_token() {
    let (shared, loopback) = setup("v3.8.3");
    let client = Client::new(account(with_secret(CANARY, Api::AdminToken)), Mode::StatusOnly);
    let seen = Arc::new(Mutex::new(String::new()));
    let copy = seen.clone();
    loopback.meddle(move |_, reply| {
        *copy.lock().unwrap() = String::from_utf8(reply.body.clone()).unwrap();
        Ok(reply)
    });
    shared.with(|sim| sim.take_down(&[0]));
    let (answer, _) = ask(&loopback, &client, &roster(&["two", "gone", ODD_ID, "nobody"]));
    let expected = [Ok((true, None)), Ok((false, None)), Ok((true, None)), Ok((false, None))];
    assert_eq!(said(&answer.expect("an answer")), expected);
    assert_eq!(loopback.sent(), ["get_admin_token", "get_users_status"]);
    assert!(!seen.lock().unwrap().contains("eyJ"));
    assert_eq!((Mode::StatusOnly.evidence(), Mode::Detail.evidence()), (Evidence::None, Evidence::FirstSeen));
}

#[test]
fn the_short_mode_refuses_more_ids_than_the_release_takes() {
    let ids: Vec<String> = (0..501).map(|n| format!("u{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let client = Client::new(account(with_secret(CANARY, Api::UserToken)), Mode::StatusOnly);
    let (_, loopback) = setup("v3.8.0");
    assert_eq!(ask(&loopback, &client, &roster(&ids[..IDS_PER_CALL])).0.expect("an answer").rows.len(), 200);
    assert_eq!(ask(&loopback, &client, &roster(&ids)).0.expect_err("too many").fault, Fault::Rejected);
}

#[test]
fn a_ready_token_is_used_without_a_login_and_never_renewed() {
    let (shared, loopback) = setup("main");
    let token = shared.with(|sim| {
        let body = json!({ "secret": CANARY, "userID": "imAdmin" }).to_string();
        let mut headers = HeaderMap::new();
        headers.insert("operationid", "op".parse().unwrap());
        let (method, path) = (&Method::POST, "/auth/get_admin_token");
        let request = SimRequest { method, path, query: "", headers: &headers, body: body.as_bytes() };
        let reply: Value = serde_json::from_slice(&sim.answer(&world(), NOW_MS, &request).body).unwrap();
        reply["data"]["token"].as_str().unwrap().to_owned()
    });
    let client = client_with(Login::Ready(Secret::new(token)));
    good(&loopback, &client);
    shared.with(Sim::kick_all);
    let failed = failure(&loopback, &client);
    assert_eq!((failed.fault, failed.message.contains("1506")), (Fault::Unauthorized, true));
    assert_eq!(loopback.sent(), ["get_users_online_status", "get_users_online_status"]);
    let unsendable = client_with(Login::Ready(Secret::new("canary\n")));
    assert_eq!(failure(&loopback, &unsendable).fault, Fault::Unauthorized);
}

#[test]
fn a_refused_token_is_renewed_once_and_the_question_repeated_once() {
    let (shared, loopback) = setup("main");
    let client = client();
    good(&loopback, &client);
    shared.with(Sim::kick_all);
    good(&loopback, &client);
    let status = "get_users_online_status";
    assert_eq!(loopback.sent(), ["get_admin_token", status, status, "get_admin_token", status]);
    assert_eq!(loopback.faults(), [Fault::Unauthorized]);
}

#[test]
fn a_token_is_renewed_shortly_before_it_ends_and_not_before() {
    let (_, loopback) = setup_with(options("v3.8.3").with("token_seconds", "3600"));
    let client = client();
    let logins = || loopback.sent().iter().filter(|action| **action == "get_admin_token").count();
    good(&loopback, &client);
    loopback.advance(Duration::from_secs(3299));
    good(&loopback, &client);
    assert_eq!(logins(), 1);
    loopback.advance(Duration::from_secs(1));
    good(&loopback, &client);
    assert_eq!((logins(), loopback.faults()), (2, vec![]));
}

#[test]
fn a_renewal_that_fails_leaves_the_old_token_in_use_while_it_holds() {
    let (_, loopback) = setup_with(options("v3.8.3").with("token_seconds", "3600"));
    let client = client();
    good(&loopback, &client);
    loopback.meddle(|_, reply| match reply.action {
        "get_admin_token" => Err(TransportError::Timeout),
        _ => Ok(reply),
    });
    loopback.advance(Duration::from_secs(3400));
    good(&loopback, &client);
    good(&loopback, &client);
    let logins = || loopback.sent().iter().filter(|action| **action == "get_admin_token").count();
    assert_eq!(logins(), 2, "the second question does not try again at once");
    loopback.advance(Duration::from_secs(200));
    assert_eq!(failure(&loopback, &client).fault, Fault::Timeout);
}

#[test]
fn a_changed_secret_ends_in_unauthorized_with_one_login() {
    let (shared, loopback) = setup("v3.8.3");
    let client = client();
    good(&loopback, &client);
    shared.with(|sim| sim.change_secret("another"));
    let failed = failure(&loopback, &client);
    assert_eq!((failed.fault, failed.message.contains("1002")), (Fault::Unauthorized, true));
    assert_eq!(loopback.sent().len(), 4);
}

#[test]
fn a_server_that_refuses_its_own_new_tokens_is_asked_ever_more_rarely() {
    let (shared, loopback) = setup("main");
    let client = client();
    let kicker = shared.clone();
    loopback.meddle(move |_, reply| {
        kicker.with(Sim::kick_all);
        Ok(reply)
    });
    let logins = || loopback.sent().iter().filter(|action| **action == "get_admin_token").count();
    assert_eq!(failure(&loopback, &client).fault, Fault::Unauthorized);
    assert_eq!(logins(), 2, "the first, and one renewal");
    for wait in [30, 60, 120] {
        let failed = failure(&loopback, &client);
        assert_eq!(failed.wait, Some(Duration::from_secs(wait)));
        loopback.advance(Duration::from_secs(wait - 1));
        let before = logins();
        failure(&loopback, &client);
        assert_eq!(logins(), before, "not within the pause");
        loopback.advance(Duration::from_secs(1));
        failure(&loopback, &client);
        assert_eq!(logins(), before + 1);
    }
    loopback.meddle(|_, reply| Ok(reply));
    loopback.advance(Duration::from_secs(240));
    good(&loopback, &client);
}

#[test]
fn a_token_that_is_not_valid_yet_after_a_renewal_is_a_skewed_clock() {
    let (_, loopback) = setup("v3.8.2");
    loopback.meddle(|_, reply| match reply.action {
        "get_users_online_status" => {
            let body = json!({ "errCode": 1504, "errMsg": "canary", "errDlt": "token=eyJ" }).to_string();
            Ok(SimReply { body: body.into(), ..reply })
        }
        _ => Ok(reply),
    });
    assert_eq!(failure(&loopback, &client()).fault, Fault::ClockSkew);
    let status = "get_users_online_status";
    assert_eq!(loopback.sent(), ["get_admin_token", status, "get_admin_token", status]);
}

#[test]
fn wrong_credentials_are_unauthorized_and_a_missing_right_is_forbidden() {
    for server in RELEASES {
        let (_, loopback) = setup(server);
        let wrong_secret = client_with(with_secret("canary-wrong", Api::Auto));
        assert_eq!(failure(&loopback, &wrong_secret).fault, Fault::Unauthorized, "{server}: secret");
        let (_, loopback) = setup_with(options(server).with("admins", "other"));
        assert_eq!(failure(&loopback, &client()).fault, Fault::Unauthorized, "{server}: no administrator");
    }
    let (_, loopback) = setup("v3.8.3");
    let older = client_with(with_secret(CANARY, Api::UserToken));
    assert_eq!(failure(&loopback, &older).fault, Fault::Unauthorized);
    let (_, loopback) = setup("v3.5.0");
    let newer = client_with(with_secret(CANARY, Api::AdminToken));
    assert_eq!(failure(&loopback, &newer).fault, Fault::Rejected);
}

#[test]
fn an_upgrade_of_the_server_is_noticed_at_the_next_login() {
    let (shared, loopback) = setup("v3.8.0");
    let client = client();
    good(&loopback, &client);
    shared.with(|sim| *sim = Sim::new(options("main")));
    assert_eq!(failure(&loopback, &client).fault, Fault::Unauthorized, "the old endpoint wants a token now");
    good(&loopback, &client);
    assert_eq!(loopback.sent().last(), Some(&"get_users_online_status"));
}

#[test]
fn each_trouble_of_the_provider_is_judged_by_its_code_and_keeps_its_wait() {
    for server in RELEASES {
        let judged = |trouble| {
            let (shared, loopback) = setup(server);
            loopback.meddle(move |_, reply| {
                if reply.action != "get_users_online_status" {
                    return Ok(reply);
                }
                let request = SimRequest {
                    method: &Method::POST,
                    path: "/user/get_users_online_status",
                    query: "",
                    headers: &HeaderMap::new(),
                    body: b"",
                };
                Ok(shared.with(|sim| sim.trouble(trouble, &request)))
            });
            let failed = failure(&loopback, &client());
            (failed.fault, failed.wait)
        };
        let wait = Some(Duration::from_secs(7));
        assert_eq!(judged(Trouble::Throttled { retry_after_s: Some(7) }), (Fault::Throttled, wait));
        assert_eq!(judged(Trouble::Throttled { retry_after_s: None }), (Fault::Throttled, None));
        assert_eq!(judged(Trouble::ErrorUnder200), (Fault::ServerError, None));
        assert_eq!(judged(Trouble::ServerError), (Fault::ServerError, None));
        assert_eq!(judged(Trouble::Forbidden), (Fault::Forbidden, None));
        assert_eq!(judged(Trouble::Unauthorized).0, Fault::Unauthorized);
        assert_eq!(judged(Trouble::WrongType), (Fault::BadAnswer, None));
        assert_eq!(judged(Trouble::MissingField), (Fault::BadAnswer, None));
    }
}

#[test]
fn what_is_not_the_providers_envelope_is_judged_by_status_and_shape() {
    let meddled = |status: u16, body: &'static str| {
        let (_, loopback) = setup("v3.8.3");
        loopback.meddle(move |_, reply| match reply.action {
            "get_users_online_status" => Ok(SimReply { status, body: body.into(), ..reply }),
            _ => Ok(reply),
        });
        failure(&loopback, &client())
    };
    assert_eq!(meddled(502, "<html>canary</html>").fault, Fault::ServerError);
    assert_eq!(meddled(413, "<html>canary</html>").fault, Fault::Rejected);
    assert_eq!(meddled(500, "").fault, Fault::ServerError);
    assert_eq!(meddled(404, "404 page not found").fault, Fault::Rejected);
    assert_eq!(meddled(200, "<html>canary</html>").fault, Fault::BadAnswer);
    assert_eq!(meddled(200, r#"{"errCode":0,"data":[{"userID":"two","status":1"#).fault, Fault::BadAnswer);
    assert_eq!(meddled(200, r#"{"data":[{"userID":"two","status":1}]}"#).fault, Fault::BadAnswer);
    assert_eq!(
        meddled(200, r#"{"errCode":"0","data":[{"userID":"two","status":1}]}"#).fault,
        Fault::BadAnswer
    );
    assert_eq!(meddled(200, r#"{"errCode":0,"data":null}"#).fault, Fault::BadAnswer);
    assert_eq!(meddled(503, r#"{"errCode":0,"data":[]}"#).fault, Fault::ServerError);
    let version_2 = meddled(400, r#"{"errCode":400,"errMsg":"canary eyJ"}"#);
    assert_eq!((version_2.fault, version_2.message.contains("OpenIM 2")), (Fault::Rejected, true));
    let login = |body: &'static str| {
        let (_, loopback) = setup("v3.8.3");
        loopback.meddle(move |_, reply| Ok(SimReply { body: body.into(), ..reply }));
        failure(&loopback, &client()).fault
    };
    assert_eq!(login(r#"{"errCode":0,"data":{"token":""}}"#), Fault::BadAnswer);
    assert_eq!(login(r#"{"errCode":0,"data":null}"#), Fault::BadAnswer);
    assert_eq!(login(r#"{"errCode":0,"data":{"token":7}}"#), Fault::BadAnswer);
    assert_eq!(login(r#"{"errCode":14,"errMsg":"canary"}"#), Fault::ServerError);
}

#[test]
fn an_answer_that_is_cut_at_any_byte_turns_nobody_offline() {
    for mode in [Mode::Detail, Mode::StatusOnly] {
        let (_, loopback) = setup("v3.8.3");
        let client = Client::new(account(with_secret(CANARY, Api::Auto)), mode);
        let length = Arc::new(Mutex::new(None));
        let cut = length.clone();
        loopback.meddle(move |_, mut reply| {
            if reply.action != "get_admin_token" {
                let end = *cut.lock().unwrap().get_or_insert(reply.body.len());
                reply.body.truncate(end);
            }
            Ok(reply)
        });
        ask(&loopback, &client, &roster(&["two"])).0.expect("the whole is good");
        let whole = length.lock().unwrap().expect("it was measured");
        for end in 0..whole {
            *length.lock().unwrap() = Some(end);
            assert_eq!(failure(&loopback, &client).fault, Fault::BadAnswer, "cut at {end}");
        }
    }
}

#[test]
fn an_ill_formed_row_does_not_sink_the_others() {
    let (_, loopback) = setup("v3.8.3");
    loopback.meddle(|_, reply| {
        let mut body: Value = serde_json::from_slice(&reply.body).unwrap();
        if reply.action == "get_users_online_status" {
            body["data"][0]["status"] = "canary".into();
            body["data"][1]["new"] = json!({ "x": [] });
        }
        Ok(SimReply { body: body.to_string().into(), ..reply })
    });
    let (answer, _) = ask(&loopback, &client(), &roster(&["two", "gone", ODD_ID]));
    let expected = [Err(Fault::BadAnswer), Ok((false, Some(0))), Ok((true, Some(1)))];
    assert_eq!(said(&answer.expect("an answer")), expected);
}

/// The users c0 to c19 of the world.
fn crowd() -> Roster {
    let ids: Vec<String> = (0..20).map(|n| format!("c{n}")).collect();
    roster(&ids.iter().map(String::as_str).collect::<Vec<_>>())
}

fn online(answer: &Answer) -> usize {
    answer.rows.iter().filter(|(_, said)| said.as_ref().is_ok_and(|seen| seen.online)).count()
}

#[test]
fn half_of_the_people_leaving_at_once_is_asked_about_again_before_it_is_believed() {
    let (shared, loopback) = setup_with(options("v3.8.3").with("gateways", "2"));
    let client = client();
    let asked = || loopback.sent().iter().filter(|action| **action == "get_users_online_status").count();
    let poll = || online(&ask(&loopback, &client, &crowd()).0.expect("an answer"));
    assert_eq!((poll(), asked()), (20, 1));
    // A gateway that is silent for one answer only.
    shared.with(|sim| sim.take_down(&[1]));
    let healer = shared.clone();
    loopback.meddle(move |_, reply| {
        healer.with(|sim| sim.take_down(&[]));
        Ok(reply)
    });
    assert_eq!((poll(), asked()), (20, 3));
    // One that stays silent is believed at the second answer, and not doubted again.
    loopback.meddle(|_, reply| Ok(reply));
    shared.with(|sim| sim.take_down(&[1]));
    assert_eq!((poll(), asked()), (10, 5));
    assert_eq!((poll(), asked()), (10, 6));
}

#[test]
fn a_second_look_that_fails_turns_nobody_offline() {
    let (shared, loopback) = setup_with(options("v3.8.3").with("gateways", "2"));
    let client = client();
    assert_eq!(online(&ask(&loopback, &client, &crowd()).0.expect("an answer")), 20);
    shared.with(|sim| sim.take_down(&[0, 1]));
    loopback.meddle(|number, reply| if number == 3 { Err(TransportError::Timeout) } else { Ok(reply) });
    assert_eq!(ask(&loopback, &client, &crowd()).0.expect_err("no second look").fault, Fault::Timeout);
    let (answer, receipt) = ask(&loopback, &client, &crowd());
    assert_eq!((online(&answer.expect("an answer")), receipt.calls), (0, 2), "it is doubted again");
}

/// A gate at which every request takes a while, so that questions meet.
struct Slow(Arc<Loopback>);

impl Gate for Slow {
    fn permit(&self, action: &'static Action) -> BoxFuture<'_, Permit> {
        self.0.permit(action)
    }

    fn send(
        &self,
        permit: Permit,
        request: Request,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            self.0.send(permit, request, timeout).await
        })
    }

    fn failed(&self, action: &'static Action, fault: Fault) {
        self.0.failed(action, fault);
    }
}

fn five_at_once(loopback: &Arc<Loopback>, client: &Client) -> Vec<Result<Answer, Failure>> {
    let roster = roster(&["two"]);
    let targets: Vec<Target<'_>> = roster.iter().collect();
    let gate = Arc::new(Slow(loopback.clone()));
    let nets: Vec<Net> = (0..5)
        .map(|_| Net::new(gate.clone(), loopback.clone(), loopback.clone(), Duration::from_secs(10)))
        .collect();
    let asks = nets.iter().map(|net| client.ask(Question::Batch(&targets), net));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(futures_util::future::join_all(asks))
}

#[test]
fn questions_that_meet_share_one_login_and_one_renewal_and_one_refusal() {
    let (shared, loopback) = setup("main");
    let client = client();
    let logins = || loopback.sent().iter().filter(|action| **action == "get_admin_token").count();
    assert!(five_at_once(&loopback, &client).iter().all(Result::is_ok));
    assert_eq!(logins(), 1);
    shared.with(Sim::kick_all);
    assert!(five_at_once(&loopback, &client).iter().all(Result::is_ok));
    assert_eq!(logins(), 2);
    let refused = five_at_once(&loopback, &client_with(with_secret("canary-wrong", Api::Auto)));
    assert!(refused.iter().all(|one| one.as_ref().is_err_and(|f| f.fault == Fault::Unauthorized)));
    assert_eq!(logins(), 3);
}

#[test]
fn older_tokens_of_an_administrator_end_as_the_release_ends_them() {
    // On the unreleased line another login leaves ours five minutes.
    let (_, loopback) = setup("main");
    let (ours, theirs) = (client(), client());
    good(&loopback, &ours);
    loopback.advance(Duration::from_secs(1));
    good(&loopback, &theirs);
    loopback.advance(Duration::from_secs(299));
    good(&loopback, &ours);
    assert_eq!(loopback.faults(), []);
    loopback.advance(Duration::from_secs(1));
    good(&loopback, &ours);
    assert_eq!(loopback.faults(), [Fault::Unauthorized], "1507, then renewed");
    // v3.8.1 lets thirty stand.
    let (_, loopback) = setup("v3.8.1");
    let first = client();
    good(&loopback, &first);
    let log_in = |_| {
        loopback.advance(Duration::from_secs(1));
        good(&loopback, &client());
    };
    (0..29).for_each(log_in);
    good(&loopback, &first);
    assert_eq!(loopback.faults(), []);
    log_in(29);
    good(&loopback, &first);
    assert_eq!(loopback.faults(), [Fault::Unauthorized], "1506, then renewed");
}

#[test]
fn a_user_on_several_gateways_is_online_with_the_first_ones_connections() {
    let (_, loopback) = setup_with(options("v3.8.3").with("gateways", "2"));
    let (answer, _) = ask(&loopback, &client(), &roster(&["two"]));
    assert_eq!(said(&answer.expect("an answer")), [Ok((true, Some(1)))]);
}

#[test]
fn nobody_to_ask_about_is_no_request_and_long_ids_are_refused() {
    let (_, loopback) = setup("v3.8.3");
    assert!(ask(&loopback, &client(), &roster(&[])).0.expect("an answer").rows.is_empty());
    assert!(loopback.sent().is_empty());
    let client = client();
    assert_eq!(client.accepts(ODD_ID), Ok(()));
    assert_eq!(client.accepts(&"x".repeat(ID_BYTES)), Ok(()));
    assert!(client.accepts("").is_err() && client.accepts(&"x".repeat(ID_BYTES + 1)).is_err());
    let [Step::Batches { action, ids, weigh, weight }] = client.round()[..] else { panic!("one step") };
    assert_eq!((action.name, ids, weigh("ab")), ("get_users_online_status", 200, 2));
    assert!(weight >= ID_BYTES);
}

mod vectors {
    use super::*;

    struct Case {
        data: Value,
        clock_ms: i64,
        secret: String,
    }

    fn cases() -> Vec<Case> {
        let file = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/openim.json"));
        let file: Value = serde_json::from_str(file).unwrap();
        let cases = file["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 12);
        let clock_ms = file["clock"].as_i64().unwrap() * 1000;
        let secret = file["secret"].as_str().unwrap();
        cases.iter().map(|data| Case { data: data.clone(), clock_ms, secret: secret.into() }).collect()
    }

    impl Case {
        fn id(&self) -> &str {
            self.data["id"].as_str().unwrap()
        }

        fn request_token(&self) -> Option<&str> {
            self.data["request"]["headers"]["token"].as_str()
        }

        fn sim(&self) -> Sim {
            let given = &self.data["given"];
            let admins = given["admins"][0].as_str().unwrap_or("imAdmin");
            let mut options =
                SimOptions { key_id: admins.into(), secret: self.secret.clone(), ..SimOptions::default() }
                    .with("server", self.data["server"].as_str().unwrap());
            if given["services_down"][0] == "auth" {
                options = options.with("auth_down", "true");
            }
            let mut sim = Sim::new(options);
            if let Some(token) = self.data["expect"]["token"].as_str() {
                sim.remember(token, admins);
            }
            if let Some(token) = self.request_token() {
                let claims = BASE64.decode(token.split('.').nth(1).unwrap()).unwrap();
                let claims: Value = serde_json::from_slice(&claims).unwrap();
                sim.remember(token, claims["UserID"].as_str().unwrap());
            }
            sim
        }

        /// The given users; a session's number decides whether it is in the background.
        fn world(&self) -> World {
            let mut number = 0;
            let users = self.data["given"]["users"].as_object().cloned().unwrap_or_default();
            world_of(users.into_iter().map(|(id, connections)| {
                let sessions = connections.as_array().unwrap().iter().map(|connection| {
                    number += 4;
                    let background = u64::from(connection["isBackground"].as_bool().unwrap());
                    let platform = match connection["platformID"].as_u64().unwrap() {
                        2 => Platform::Android,
                        3 => Platform::Windows,
                        5 => Platform::Web,
                        other => panic!("platform {other}"),
                    };
                    session(number + background, platform)
                });
                (id, sessions.collect())
            }))
        }

        fn body(&self) -> Vec<u8> {
            match self.data["request"]["body_raw"].as_str() {
                Some(raw) => raw.as_bytes().to_vec(),
                None => self.data["request"]["body"].to_string().into_bytes(),
            }
        }

        fn asked(&self) -> Roster {
            let mut roster = Roster::new(0, 0);
            let ids = self.data["request"]["body"]["userIDs"].as_array().cloned();
            for id in ids.unwrap_or_else(|| vec!["u_1001".into()]) {
                roster.push(id.as_str().unwrap(), crate::domain::TargetLabels::default());
            }
            roster
        }

        fn response(&self, reply: SimReply) -> SimReply {
            let response = &self.data["response"];
            let status = u16::try_from(response["status"].as_u64().unwrap()).unwrap();
            SimReply { status, body: response["body"].to_string().into(), ..reply }
        }

        fn leaks(&self, text: &str) -> bool {
            let secrets = self.data["expect"]["must_not_log"].as_array().unwrap();
            secrets.iter().any(|secret| text.contains(secret.as_str().unwrap()))
        }
    }

    /// Connections are the simulation's own: their ids and tokens are only compared in form.
    fn levelled(mut body: Value) -> Value {
        for row in body["data"].as_array_mut().into_iter().flatten() {
            for terminal in row["detailPlatformStatus"].as_array_mut().into_iter().flatten() {
                let conn_id = terminal["connID"].take();
                assert!(conn_id.as_str().is_some_and(|id| id.len() == 32 && hex::decode(id).is_ok()));
                let token = terminal["token"].take();
                assert_eq!(token.as_str().map(|token| token.split('.').count()), Some(3));
            }
        }
        body
    }

    #[test]
    fn the_simulated_api_gives_the_responses_of_the_real_one() {
        for case in cases() {
            let mut headers = HeaderMap::new();
            for (name, value) in case.data["request"]["headers"].as_object().unwrap() {
                let name: http::HeaderName = name.parse().unwrap();
                headers.insert(name, value.as_str().unwrap().parse().unwrap());
            }
            let (path, body) = (case.data["request"]["path"].as_str().unwrap(), case.body());
            let request =
                SimRequest { method: &Method::POST, path, query: "", headers: &headers, body: &body };
            let mut sim = case.sim();
            assert!(sim.claims(&request));
            let reply = sim.answer(&case.world(), case.clock_ms, &request);
            let response = &case.data["response"];
            assert_eq!(json!(reply.status), response["status"], "{}", case.id());
            let body: Value = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!(levelled(body), levelled(response["body"].clone()), "{}", case.id());
        }
    }

    #[test]
    fn the_client_makes_of_each_response_what_is_expected_and_leaks_nothing() {
        for case in cases().into_iter().filter(|case| case.request_token().is_some()) {
            let case = Arc::new(case);
            let login = Login::Ready(Secret::new(case.request_token().unwrap()));
            let client = client_with(login);
            let loopback = Loopback::new(Box::new(case.sim()), case.world(), case.clock_ms);
            let response = case.clone();
            loopback.meddle(move |_, reply| Ok(response.response(reply)));
            let asked = case.asked();
            let (answer, receipt) = ask(&loopback, &client, &asked);
            let shown = format!("{answer:?} {receipt:?}");
            assert!(!case.leaks(&shown), "{}: {shown}", case.id());
            let expect = &case.data["expect"];
            let code = case.data["response"]["body"]["errCode"].as_i64().unwrap();
            assert_eq!(errors::is_about_token(code), expect["retry"] == "relogin", "{}", case.id());
            let fault = match expect["outcome"].as_str().unwrap() {
                "ok" => {
                    check_users(&answer.expect("an answer"), &asked, &expect["users"]);
                    continue;
                }
                "auth" => Fault::Unauthorized,
                "permission" => Fault::Forbidden,
                "args" => Fault::Rejected,
                "server_error" => Fault::ServerError,
                other => panic!("outcome {other}"),
            };
            let failure = answer.expect_err("a failure");
            assert_eq!(failure.fault, fault, "{}", case.id());
            assert_eq!(fault.is_transient(), expect["retry"] == "backoff", "{}", case.id());
        }
    }

    fn check_users(answer: &Answer, asked: &Roster, users: &Value) {
        let hasher =
            |token: &Secret| crate::providers::conn_key::ConnHasher::new(token.expose().as_bytes(), NAME);
        let _ = &hasher;
        assert_eq!(answer.rows.len(), asked.len() as usize);
        for (row, said) in &answer.rows {
            let id = asked.id(row.index);
            let user = users.as_array().unwrap().iter().find(|user| user["userID"] == id).unwrap();
            let seen = said.as_ref().unwrap();
            let terminals = user["terminals"].as_array().unwrap();
            let platforms: Vec<Platform> = terminals
                .iter()
                .map(|terminal| match terminal["platform"].as_str().unwrap() {
                    "Android" => Platform::Android,
                    "Windows" => Platform::Windows,
                    "Web" => Platform::Web,
                    other => panic!("platform {other}"),
                })
                .collect();
            assert_eq!(json!(seen.online), user["online"], "{id}");
            assert_eq!(seen.platforms, platforms, "{id}");
            assert_eq!(seen.connections.map(|n| n as usize), Some(terminals.len()), "{id}");
            let mut conns = seen.conns.clone();
            conns.sort_unstable();
            conns.dedup();
            assert_eq!(conns.len(), terminals.len(), "{id}: each connection has a key of its own");
        }
    }

    #[test]
    fn a_token_of_either_endpoint_is_used_until_shortly_before_its_end() {
        for case in cases().into_iter().filter(|case| case.request_token().is_none()) {
            let case = Arc::new(case);
            let old = case.data["request"]["path"] == "/auth/user_token";
            let login = with_secret(&case.secret, if old { Api::UserToken } else { Api::AdminToken });
            let admin = case.data["request"]["body"]["userID"].as_str().unwrap();
            let account = Account::new("http://im.example:10002".into(), admin.into(), login);
            let client = Client::new(Arc::new(account), Mode::Detail);
            let loopback = Loopback::new(Box::new(case.sim()), world(), case.clock_ms);
            let response = case.clone();
            loopback.meddle(move |_, reply| {
                Ok(if reply.action.ends_with("token") { response.response(reply) } else { reply })
            });
            let poll = || {
                let (answer, receipt) = ask(&loopback, &client, &roster(&["two"]));
                assert!(!case.leaks(&format!("{answer:?} {receipt:?}")));
                (answer.map(|answer| said(&answer)), receipt.calls)
            };
            assert_eq!(
                poll(),
                (Ok(vec![Ok((true, Some(2)))]), 2),
                "{}: the token is the right one",
                case.id()
            );
            let expires_s = case.data["expect"]["expires_at"].as_i64().unwrap();
            let life_s = u64::try_from(expires_s - case.clock_ms / 1000).unwrap();
            loopback.advance(Duration::from_secs(life_s - 301));
            assert_eq!(poll().1, 1);
            loopback.advance(Duration::from_secs(1));
            assert_eq!(poll().1, 2);
        }
    }
}

mod settings {
    use super::*;
    use crate::config::testing::MemoryEnv;
    use crate::providers::configure::{Configuration, configure};

    fn read(account: &str, source: &str) -> Result<Configuration, String> {
        let text = format!(
            "accounts:\n  im:\n    cloud: openim\n{account}sources:\n  staff:\n    account: im\n    provider: \
             openim\n{source}    targets: [two, gone]\n"
        );
        let env = MemoryEnv::default().with_var("IM_SECRET", CANARY);
        configure(&text, &env, std::path::Path::new("/etc/presence"), 0).map_err(|problems| {
            let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            assert!(!text.contains("canary"), "{text}");
            text
        })
    }

    const ACCOUNT: &str =
        "    endpoint: http://im.example:10002/\n    admin_user_id: imAdmin\n    secret: {env: IM_SECRET}\n";

    fn asks(configuration: &Configuration, loopback: &Arc<Loopback>) -> Vec<Result<bool, Fault>> {
        let source = &configuration.sources[0];
        let targets: Vec<Target<'_>> = source.roster.iter().collect();
        let (answer, _) = loopback.ask(source.provider.as_ref(), Question::Batch(&targets));
        answer.expect("an answer").rows.into_iter().map(|(_, said)| said.map(|seen| seen.online)).collect()
    }

    #[test]
    fn a_configured_source_asks_its_server_in_its_mode() {
        for (source, evidence, action) in [
            ("", Evidence::FirstSeen, "get_users_online_status"),
            ("    mode: status_only\n", Evidence::None, "get_users_status"),
        ] {
            let configuration = read(ACCOUNT, source).expect("a good configuration");
            let (_, loopback) = setup("v3.8.3");
            assert_eq!(asks(&configuration, &loopback), [Ok(true), Ok(false)]);
            assert_eq!(loopback.sent(), ["get_admin_token", action]);
            let kind = (configuration.sources[0].target_kind, configuration.sources[0].evidence);
            assert_eq!(kind, (Kind::User, evidence));
            assert!((configuration.accounts[0].settings.quota.per_second - 10.0).abs() < f64::EPSILON);
        }
    }

    #[test]
    fn the_token_endpoint_may_be_said() {
        for (api, server, first) in [
            ("user_token", "v3.5.0", "user_token"),
            ("get_admin_token", "main", "get_admin_token"),
            ("auto", "v3.5.0", "get_admin_token"),
        ] {
            let configuration =
                read(&format!("{ACCOUNT}    api: {api}\n"), "").expect("a good configuration");
            let (_, loopback) = setup(server);
            assert_eq!(asks(&configuration, &loopback), [Ok(true), Ok(false)]);
            assert_eq!(loopback.sent()[0], first);
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_told_with_its_key() {
        let told = |account: &str, source: &str, words: &str| {
            let problems = read(account, source).err().expect("this is not good");
            assert!(problems.contains(words), "{words}: {problems}");
        };
        let without = |key: &str| {
            let kept: Vec<&str> = ACCOUNT.split_inclusive('\n').filter(|line| !line.contains(key)).collect();
            kept.concat()
        };
        told(&without("endpoint"), "", "endpoint");
        told(&without("admin_user_id"), "", "admin_user_id");
        told(&without("secret"), "", "secret or a token");
        told(&format!("{ACCOUNT}    token: canary\n"), "", "exclude each other");
        told(&format!("{ACCOUNT}    api: newest\n"), "", "api");
        told(ACCOUNT, "    mode: all\n", "mode");
        let nothing = read("", "").err().expect("this is not good");
        assert!(["endpoint", "admin_user_id", "secret"].iter().all(|key| nothing.contains(key)), "{nothing}");
    }

    #[test]
    fn the_simulated_api_gives_the_keys_that_reach_it() {
        let sim = KIND.simulate(options("v3.8.3"));
        let keys = sim.account_keys("http://im.example:1");
        let mut account = String::from("    endpoint: http://im.example:1\n");
        for (key, value) in &keys {
            account.extend(["    ", key, ": ", value, "\n"]);
        }
        let configuration = read(&account, "").expect("a good configuration");
        assert_eq!(sim.source_keys(&world().populations[0]), []);
        let loopback = Loopback::new(sim, world(), NOW_MS);
        assert_eq!(asks(&configuration, &loopback), [Ok(true), Ok(false)]);
    }
}
