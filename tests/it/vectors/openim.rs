//! `OpenIM`: the requests for a token, the token itself (a JWT with the server's secret), and the questions that carry it.
//! Nothing else is signed. Each case also holds the server's response: the simulated API must give it, and the product
//! must understand it.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use presence_exporter::domain::{Fault, Platform};
use presence_exporter::ports::Response;
use presence_exporter::providers::Answer;
use presence_exporter::providers::configure::Configuration;
use presence_exporter::providers::openim::sim::Sim;
use presence_exporter::providers::sim::{
    Population, SimApi as _, SimOptions, SimReply, SimSession, Subject, World,
};
use serde_json::{Value, json};

use super::captured::{Captured, Change};
use super::sent::{Outlet, configured, first_request, quoted};
use super::{Replay, Stage, Vector, list, pairs, read, text};

/// A case of the file with what all share.
#[derive(Clone)]
struct Case {
    data: Value,
    now_ms: i64,
    secret: String,
}

fn cases() -> Vec<Case> {
    let file = read("openim");
    let now_ms = file["clock"].as_i64().expect("a time") * 1000;
    let secret = text(&file, "secret");
    list(&file, "cases").into_iter().map(|data| Case { data, now_ms, secret: secret.into() }).collect()
}

/// Ten questions and two logins, over five releases.
pub fn vectors() -> Vec<Vector> {
    cases().iter().map(vector).collect()
}

fn vector(case: &Case) -> Vector {
    let captured = case.captured();
    let reply = captured.send(|request| {
        let mut sim = case.sim();
        assert!(sim.claims(request), "{}", case.id());
        sim.answer(&case.world(), case.now_ms, request)
    });
    let mut stages = final_request(case, &captured);
    stages.extend(response(case, &reply));
    let replay = (case.data["expect"]["outcome"] == "ok").then(|| replay(case, captured));
    Vector { name: case.id().to_owned(), provider: "openim", stages, replay }
}

/// What the product sends: a login, or a question with the token that it was given.
fn final_request(case: &Case, theirs: &Captured) -> Vec<Stage> {
    let asked = case.asked();
    let written_by_no_client = case.data["request"]["body"].is_null() || !theirs.has_header("operationid");
    if written_by_no_client || (!case.is_login() && asked.is_empty()) {
        return Vec::new();
    }
    let ours = if case.is_login() {
        let outlet = Outlet::new(case.now_ms, 0, |request| {
            let body: Value = serde_json::from_slice(&request.body).expect("a login is JSON");
            // An older release, which knows nine platforms, is told another one.
            match body["platformID"].as_u64() {
                Some(10) => Ok(response_of(
                    200,
                    &json!({ "errCode": 1001, "errMsg": "ArgsError", "errDlt": "platform is invalidate" }),
                )),
                _ => Err(presence_exporter::ports::TransportError::Timeout),
            }
        });
        outlet.ask(&case.with_secret(&["u_1001"]), true).expect_err("nobody was logged in");
        outlet.sent().pop().expect("a login was sent")
    } else {
        let ids: Vec<&str> = asked.iter().map(String::as_str).collect();
        first_request(&case.with_token(&ids), case.now_ms, 0, true)
    };
    let body = |request: &Captured| -> Value { serde_json::from_slice(&request.body).expect("JSON") };
    let mut their_body = body(theirs);
    if !case.is_login() {
        // Nobody is configured twice.
        their_body["userIDs"] = json!(asked);
    }
    let mut stages = vec![
        Stage::new("final request: method", &ours.method, &theirs.method),
        Stage::new("final request: target", &ours.target, &theirs.target),
        Stage::new("final request: type", ours.header("content-type"), theirs.header("content-type")),
        Stage::new("final request: body", body(&ours).to_string(), their_body.to_string()),
    ];
    if !case.is_login() {
        stages.push(Stage::new("final request: token", ours.header("token"), theirs.header("token")));
    }
    stages
}

/// What the simulated API says, its token part by part.
fn response(case: &Case, reply: &SimReply) -> Vec<Stage> {
    let theirs = &case.data["response"];
    let ours: Value = serde_json::from_slice(&reply.body).expect("a response is JSON");
    let mut stages = vec![Stage::new("status", reply.status.to_string(), theirs["status"].to_string())];
    if let Some(token) = case.data["expect"]["token"].as_str() {
        let ours = text(&ours["data"], "token");
        for (n, part) in
            ["header of the JWT", "claims of the JWT", "signature of the JWT"].into_iter().enumerate()
        {
            stages.push(Stage::new(part, jwt_part(ours, n), jwt_part(token, n)));
        }
    }
    let (ours, theirs) = (levelled(ours), levelled(theirs["body"].clone()));
    stages.push(Stage::new("response", ours.to_string(), theirs.to_string()));
    stages
}

/// A part of a token: text where it is text, else as it stands.
fn jwt_part(token: &str, n: usize) -> String {
    let part = token.split('.').nth(n).unwrap_or_default();
    let text = BASE64.decode(part).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.unwrap_or_else(|| part.to_owned())
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

fn replay(case: &Case, request: Captured) -> Replay {
    let (changes, mismatch) = if case.is_login() {
        // A login proves itself by the secret, and nothing is signed.
        (login_changes(&request, &case.secret), "1002")
    } else {
        (question_changes(&request), "1505")
    };
    let case = case.clone();
    let judge = move |request: &Captured| {
        let reply = request.send(|request| case.sim().answer(&case.world(), case.now_ms, request));
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        match body["errCode"].as_i64() {
            Some(0) => Ok(()),
            Some(code) => Err(code.to_string()),
            None => Err(format!("HTTP status {}", reply.status)),
        }
    };
    Replay { request, changes, judge: Box::new(judge), mismatch }
}

fn common_changes(request: &Captured) -> Vec<Change> {
    vec![
        request.change("method", false, |request| request.method.push('X')),
        request.change("path", false, |request| request.target.push('x')),
        request.change("first byte of the body", false, |request| request.body[0] ^= 1),
        request.change("set of headers, without operationID", false, |request| {
            request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("operationid"));
        }),
    ]
}

fn login_changes(request: &Captured, secret: &str) -> Vec<Change> {
    let mut changes = common_changes(request);
    changes.push(request.change("secret", true, |request| {
        let body = String::from_utf8(request.body.clone()).expect("a body is text");
        request.body = body.replace(secret, &format!("{secret}x")).into_bytes();
    }));
    changes
}

/// The query isn't signed and means nothing to this server.
fn question_changes(request: &Captured) -> Vec<Change> {
    let mut changes = common_changes(request);
    let token = request.header("token").to_owned();
    let dot = token.rfind('.').expect("a JWT has three parts");
    for (what, at, by_signature) in [
        ("signature of the token", dot + 3, true),
        ("claims of the token", dot - 10, false),
        ("header of the token", 3, false),
    ] {
        let other = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
        let mut changed = token.clone();
        changed.replace_range(at..=at, other);
        changes.push(request.change(what, by_signature, |request| *request.header_mut("token") = changed));
    }
    changes
}

impl Case {
    fn id(&self) -> &str {
        text(&self.data, "id")
    }

    fn token(&self) -> Option<&str> {
        self.data["request"]["headers"]["token"].as_str()
    }

    fn is_login(&self) -> bool {
        text(&self.data["request"], "path").starts_with("/auth/")
    }

    fn admin(&self) -> &str {
        self.data["given"]["admins"][0].as_str().unwrap_or("imAdmin")
    }

    fn captured(&self) -> Captured {
        let request = &self.data["request"];
        let body = request["body_raw"].as_str().map_or_else(|| request["body"].to_string(), str::to_owned);
        Captured {
            method: text(request, "method").into(),
            target: text(request, "path").into(),
            headers: pairs(&request["headers"]).into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
            body: body.into_bytes(),
        }
    }

    /// The ids that are asked about, each once.
    fn asked(&self) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for id in self.data["request"]["body"]["userIDs"].as_array().into_iter().flatten() {
            let id = super::as_text(id).to_owned();
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }

    fn configured(&self, keys: &str, ids: &[&str]) -> Configuration {
        let account = format!(
            "cloud: openim, endpoint: 'http://im.example:10002', admin_user_id: {}, {keys}",
            quoted(self.admin())
        );
        configured(&account, "provider: openim", ids)
    }

    /// The product as it asks with a ready token.
    fn with_token(&self, ids: &[&str]) -> Configuration {
        self.configured(&format!("token: {}", quoted(self.token().expect("a question has a token"))), ids)
    }

    /// The product as it logs in.
    fn with_secret(&self, ids: &[&str]) -> Configuration {
        let old = self.data["request"]["path"] == "/auth/user_token";
        let api = if old { "user_token" } else { "get_admin_token" };
        self.configured(&format!("secret: {}, api: {api}", quoted(&self.secret)), ids)
    }

    fn sim(&self) -> Sim {
        let options =
            SimOptions { key_id: self.admin().into(), secret: self.secret.clone(), ..SimOptions::default() }
                .with("server", text(&self.data, "server"));
        let auth_down = self.data["given"]["services_down"][0] == "auth";
        let mut sim = Sim::new(if auth_down { options.with("auth_down", "true") } else { options });
        if let Some(token) = self.token() {
            let claims: Value = serde_json::from_str(&jwt_part(token, 1)).expect("claims are JSON");
            sim.remember(token, text(&claims, "UserID"));
        }
        sim
    }

    /// The given users; a session's number decides whether it is in the background.
    fn world(&self) -> World {
        let mut number = 0;
        let users = self.data["given"]["users"].as_object().cloned().unwrap_or_default();
        let subjects = users.into_iter().map(|(id, connections)| {
            let sessions = connections.as_array().expect("connections are a list").iter().map(|connection| {
                number += 4;
                let background = u64::from(connection["isBackground"].as_bool().expect("yes or no"));
                let platform = match connection["platformID"].as_u64() {
                    Some(2) => Platform::Android,
                    Some(3) => Platform::Windows,
                    Some(5) => Platform::Web,
                    other => panic!("platform {other:?}"),
                };
                SimSession {
                    id: number + background,
                    start_ms: self.now_ms - 60_000,
                    setup_ms: 0,
                    end_ms: i64::MAX,
                    platform,
                    network_rtt_ms: 20,
                    e2e_rtt_ms: 30,
                    failure: None,
                }
            });
            Subject { id, user: String::new(), sessions: sessions.collect() }
        });
        World { populations: vec![Population::new("openim", "", subjects.collect())] }
    }

    fn response(&self) -> Response {
        let response = &self.data["response"];
        let status = response["status"].as_u64().and_then(|status| u16::try_from(status).ok());
        response_of(status.expect("a status"), &response["body"])
    }

    fn leaks(&self, text: &str) -> bool {
        let secrets = self.data["expect"]["must_not_log"].as_array().expect("a list");
        secrets.iter().any(|secret| text.contains(super::as_text(secret)))
    }
}

fn response_of(status: u16, body: &Value) -> Response {
    http::Response::builder().status(status).body(Bytes::from(body.to_string())).expect("a response")
}

fn case(id: &str) -> Case {
    cases().into_iter().find(|case| case.id() == id).unwrap_or_else(|| panic!("there is no case {id}"))
}

/// A server that lets everybody in and answers every question as this case was answered.
fn answering(case: &Case, login: &Case) -> Arc<Outlet> {
    let (case, login) = (case.clone(), login.clone());
    Outlet::new(case.now_ms, 0, move |request| {
        Ok(if request.target.starts_with("/auth/") { login.response() } else { case.response() })
    })
}

fn logins(outlet: &Outlet) -> usize {
    outlet.sent().iter().filter(|request| request.target.starts_with("/auth/")).count()
}

#[test]
fn the_product_makes_of_each_response_what_is_expected_and_leaks_nothing() {
    let login = case("get-admin-token");
    for case in cases().into_iter().filter(|case| !case.is_login()) {
        let mut ids = case.asked();
        if ids.is_empty() {
            ids.push("u_1001".into());
        }
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let outlet = answering(&case, &login);
        let configuration = case.with_secret(&ids);
        let answer = outlet.ask(&configuration, true);
        let shown = format!("{answer:?}");
        assert!(!case.leaks(&shown), "{}: {shown}", case.id());
        let expect = &case.data["expect"];
        let renewed = logins(&outlet) == 2;
        assert_eq!(renewed, expect["retry"] == "relogin", "{}: a new token was asked for", case.id());
        let fault = match text(expect, "outcome") {
            // Asked about nobody, the server says nothing; asked about somebody, that would be no answer.
            "ok" if case.asked().is_empty() => Fault::BadAnswer,
            "ok" => {
                check_users(&answer.expect("an answer"), &configuration, &expect["users"]);
                continue;
            }
            "auth" => Fault::Unauthorized,
            "permission" => Fault::Forbidden,
            "args" => Fault::Rejected,
            "server_error" => Fault::ServerError,
            other => panic!("outcome {other}"),
        };
        assert_eq!(answer.expect_err("a failure").fault, fault, "{}", case.id());
        if fault != Fault::BadAnswer {
            assert_eq!(fault.is_transient(), expect["retry"] == "backoff", "{}", case.id());
        }
    }
}

fn check_users(answer: &Answer, configuration: &Configuration, users: &Value) {
    let roster = &configuration.sources[0].roster;
    assert_eq!(answer.rows.len(), roster.len() as usize);
    for (row, said) in &answer.rows {
        let id = roster.id(row.index);
        let users = users.as_array().expect("a list");
        let user = users.iter().find(|user| user["userID"] == id).expect("everybody is expected");
        let seen = said.as_ref().expect("a good row");
        let terminals = user["terminals"].as_array().expect("a list");
        let platforms: Vec<Platform> = terminals
            .iter()
            .map(|terminal| match text(terminal, "platform") {
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
    let question = case("int-shape-multi-terminal-offline-unknown");
    for login in cases().into_iter().filter(Case::is_login) {
        let outlet = answering(&question, &login);
        let configuration = login.with_secret(&["u_1002"]);
        let poll = || {
            let answer = outlet.ask(&configuration, true);
            assert!(!login.leaks(&format!("{answer:?}")));
            answer.expect("an answer");
            let sent = outlet.sent();
            let token = sent.last().expect("a question").header("token");
            assert_eq!(token, text(&login.data["expect"], "token"), "{}", login.id());
            logins(&outlet)
        };
        assert_eq!(poll(), 1);
        let ends_s = login.data["expect"]["expires_at"].as_i64().expect("a time");
        let life_s = u64::try_from(ends_s - login.now_ms / 1000).expect("it ends later");
        outlet.advance(Duration::from_secs(life_s - 301));
        assert_eq!(poll(), 1, "{}", login.id());
        outlet.advance(Duration::from_secs(1));
        assert_eq!(poll(), 2, "{}: renewed five minutes before its end", login.id());
    }
}
