//! Asks the simulated MQTT, in process.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::domain::RowId;
use crate::providers::ProviderKind;
use crate::providers::alibaba::fixtures::{self, NOW_MS, ODD_ID, SECRET, TOKEN, reply, subject};
use crate::providers::alibaba_mqtt::{KIND, NAME, VERSION};
use crate::providers::loopback::{Loopback, roster};
use crate::providers::sim::{Population, SimOptions, SimReply, SimRequest, Trouble, World};

const ON: &str = "GID_a@@@on";
const OFF: &str = "GID_a@@@off";
const LATER: &str = "GID_a@@@later";
const UNKNOWN: &str = "GID_a@@@unknown";

struct Setup {
    options: SimOptions,
    secret: &'static str,
    instance: &'static str,
    exact: bool,
    connect_time: bool,
}

impl Default for Setup {
    fn default() -> Self {
        let options = fixtures::options();
        Self { options, secret: SECRET, instance: "post-cn-1", exact: false, connect_time: false }
    }
}

impl Setup {
    fn switch(name: &str, value: &str) -> Self {
        Self { options: fixtures::options().with(name, value), ..Self::default() }
    }

    fn open(self) -> (Client, Arc<Loopback>) {
        let api = fixtures::api(&self.options, self.secret, VERSION);
        let trace_region = self.connect_time.then(|| "cn-hangzhou".to_owned());
        let client = Client::new(api, self.instance.into(), self.exact, trace_region);
        let mut subjects =
            vec![subject(ON, &[-60]), subject(OFF, &[]), subject(LATER, &[60]), subject(ODD_ID, &[-5])];
        subjects
            .extend((0..11).map(|n| subject(&format!("GID_b@@@{n}"), if n % 2 == 0 { &[-5] } else { &[] })));
        let world = World { populations: vec![Population::new(NAME, "post-cn-1", subjects)] };
        (client, Loopback::new(KIND.simulate(self.options), world, NOW_MS))
    }
}

fn batch(client: &Client, loopback: &Arc<Loopback>, ids: &[&str]) -> Result<Answer, Failure> {
    let roster = roster(ids);
    let targets: Vec<Target<'_>> = roster.iter().collect();
    loopback.ask(client, Question::Batch(&targets)).0
}

fn detail(client: &Client, loopback: &Arc<Loopback>, id: &str) -> Result<Answer, Failure> {
    let roster = roster(&[id]);
    loopback.ask(client, Question::Detail(roster.target(0))).0
}

fn online(answer: &Answer) -> Vec<(u32, bool)> {
    let row = |(row, seen): &(RowId, Result<Seen, Fault>)| {
        let seen = seen.as_ref().expect("a good row");
        assert_eq!((seen.connections, seen.started_ms), (None, None), "neither is said");
        (row.index, seen.online)
    };
    answer.rows.iter().map(row).collect()
}

fn judged_with(exact: bool, sent: SimReply) -> Result<Answer, Failure> {
    let (client, loopback) = Setup { exact, ..Setup::default() }.open();
    loopback.meddle(move |_, _| Ok(sent.clone()));
    batch(&client, &loopback, &[ON])
}

#[test]
fn a_batch_is_matched_by_client_id_in_any_order() {
    for order in ["kept", "reversed"] {
        let (client, loopback) = Setup::switch("order", order).open();
        let answer = batch(&client, &loopback, &[ON, OFF, UNKNOWN, ODD_ID, LATER]).expect("an answer");
        assert_eq!(online(&answer), [(0, true), (1, false), (2, false), (3, true), (4, false)]);
        assert!(answer.details.is_empty());
        loopback.advance(Duration::from_secs(60));
        let answer = batch(&client, &loopback, &[LATER]).expect("an answer");
        assert_eq!(online(&answer), [(0, true)]);
        assert_eq!(loopback.sent(), [SESSIONS.name, SESSIONS.name]);
    }
}

#[test]
fn an_id_that_the_reply_does_not_name_has_no_row() {
    let (client, loopback) = Setup::switch("absent", "unknown").open();
    let answer = batch(&client, &loopback, &[UNKNOWN, ON]).expect("an answer");
    assert_eq!(online(&answer), [(1, true)]);
    assert!(answer.details.is_empty());
}

#[test]
fn exact_asks_one_by_one_and_sees_what_the_batch_does_not_yet() {
    let lag = |exact| Setup { exact, ..Setup::switch("lag_ms", "120000") };
    let (client, loopback) = lag(false).open();
    assert_eq!(online(&batch(&client, &loopback, &[ON]).expect("an answer")), [(0, false)]);
    let mut setup = lag(true);
    setup.options.token = Some(TOKEN.into());
    let (client, loopback) = setup.open();
    for (id, expected) in [(ON, true), (OFF, false), (UNKNOWN, false), (ODD_ID, true)] {
        assert_eq!(online(&batch(&client, &loopback, &[id]).expect(id)), [(0, expected)], "{id}");
    }
    assert!(loopback.sent().iter().all(|action| *action == SESSION.name));
    let [Step::Batches { action, ids: 1, .. }] = client.round()[..] else { panic!("one by one") };
    assert_eq!(action.name, SESSION.name);
}

#[test]
fn ten_ids_are_a_call_and_eleven_are_refused() {
    let ids: Vec<String> = (0..11).map(|n| format!("GID_b@@@{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let (client, loopback) = Setup::default().open();
    let full = batch(&client, &loopback, &ids[..10]).expect("an answer");
    assert_eq!(online(&full).iter().filter(|(_, online)| *online).count(), 5);
    let failure = batch(&client, &loopback, &ids).expect_err("a refusal");
    assert!(failure.message.contains("ParameterCheckFailed"));
}

#[test]
fn a_bad_id_fails_its_batch_as_refused_so_that_it_can_be_found() {
    let (client, loopback) = Setup::default().open();
    let failure = batch(&client, &loopback, &[ON, "no group"]).expect_err("a refusal");
    assert_eq!(failure.fault, Fault::RefusedId);
    assert_eq!(batch(&client, &loopback, &["no group"]).expect_err("it").fault, Fault::RefusedId);
    assert!(batch(&client, &loopback, &[ON]).is_ok());
}

#[test]
fn somebody_elses_instance_is_forbidden_and_never_cut() {
    let (client, loopback) = Setup { instance: "post-cn-2", ..Setup::default() }.open();
    assert_eq!(batch(&client, &loopback, &[ON]).expect_err("a refusal").fault, Fault::Forbidden);
}

#[test]
fn a_start_is_asked_for_once_an_arrival() {
    let (client, loopback) = Setup { connect_time: true, ..Setup::default() }.open();
    let ids = [ON, OFF, LATER];
    let first = batch(&client, &loopback, &ids).expect("an answer");
    assert_eq!(first.details.iter().map(|row| row.index).collect::<Vec<_>>(), [0]);
    assert!(first.rows.iter().all(|(_, seen)| seen.as_ref().is_ok_and(|s| s.keep_detail == s.online)));
    assert!(batch(&client, &loopback, &ids).expect("an answer").details.is_empty());
    let told = detail(&client, &loopback, ON).expect("an answer");
    let seen = told.rows[0].1.as_ref().expect("a row");
    assert_eq!((seen.online, seen.started_ms), (true, Some(NOW_MS - 60_000)));
    loopback.advance(Duration::from_secs(60));
    let second = batch(&client, &loopback, &ids).expect("an answer");
    assert_eq!(second.details.iter().map(|row| row.index).collect::<Vec<_>>(), [2]);
    assert_eq!(
        detail(&client, &loopback, OFF).expect("an answer").rows,
        [],
        "the trace makes nobody offline"
    );
}

#[test]
fn an_instance_without_traces_keeps_its_states() {
    let (client, loopback) = Setup { connect_time: true, ..Setup::switch("trace", "false") }.open();
    assert!(batch(&client, &loopback, &[ON]).is_ok());
    let failure = detail(&client, &loopback, ON).expect_err("a refusal");
    assert_eq!(failure.fault, Fault::Rejected);
    assert!(failure.message.contains("ApiNotSupport"));
}

#[test]
fn no_start_is_asked_for_unless_it_is_wanted() {
    let (client, loopback) = Setup::default().open();
    assert!(detail(&client, &loopback, ON).is_err());
    assert!(loopback.sent().is_empty(), "nothing was billed");
}

#[test]
fn refusals_are_told_apart_and_hold_no_secret() {
    let mut wrong = Setup { secret: "canary-other", ..Setup::default() };
    wrong.options.token = Some(TOKEN.into());
    for (setup, fault) in [
        (wrong, Fault::Unauthorized),
        (Setup::switch("clock_ahead_s", "1000"), Fault::ClockSkew),
        (Setup::switch("forbidden", SESSIONS.name), Fault::Forbidden),
        (Setup::switch("requests_per_second", "0"), Fault::Throttled),
    ] {
        let (client, loopback) = setup.open();
        let failure = batch(&client, &loopback, &[ON]).expect_err("a refusal");
        assert_eq!(failure.fault, fault);
        assert!(!failure.message.contains("canary"), "{}", failure.message);
    }
}

#[test]
fn what_is_no_answer_makes_nobody_offline() {
    for exact in [false, true] {
        for (status, body, fault) in [
            (417, r#"{"RequestId":"R","Code":"InternalError"}"#, Fault::ServerError),
            (403, r#"{"RequestId":"R","Code":"SystemOverFlow"}"#, Fault::Throttled),
            (400, r#"{"RequestId":"R","Code":"CheckAccountInfoFailed"}"#, Fault::Unauthorized),
            (404, r#"{"RequestId":"R","Code":"ApiNotSupport"}"#, Fault::Rejected),
            (502, "<html>bad gateway</html>", Fault::ServerError),
            (200, "<html>log in</html>", Fault::BadAnswer),
            (200, r#"{"RequestId":"R","OnlineStatusList":[{"Cli"#, Fault::BadAnswer),
            (200, r#"{"RequestId":"R","OnlineStatusList":{},"OnlineStatus":"true"}"#, Fault::BadAnswer),
            (200, r#"{"RequestId":"R"}"#, Fault::BadAnswer),
            (200, "", Fault::BadAnswer),
        ] {
            let failure = judged_with(exact, reply(status, body)).expect_err(body);
            assert_eq!(failure.fault, fault, "{status} {body}");
        }
    }
    let nobody = judged_with(false, reply(200, r#"{"OnlineStatusList":[],"New":1}"#)).expect("an answer");
    assert!(nobody.rows.is_empty());
}

#[test]
fn a_damaged_row_does_not_sink_the_others() {
    let (client, loopback) = Setup::default().open();
    let body = format!(
        r#"{{"OnlineStatusList":[{{"ClientId":"{ON}","OnlineStatus":1}},3,
           {{"ClientId":"{LATER}","OnlineStatus":true}},{{"ClientId":"{LATER}","OnlineStatus":false}},
           {{"ClientId":"{OFF}","OnlineStatus":false}}]}}"#
    );
    loopback.meddle(move |_, _| Ok(reply(200, &body)));
    let answer = batch(&client, &loopback, &[ON, OFF, LATER]).expect("an answer");
    let rows: Vec<_> = answer.rows.into_iter().map(|(row, seen)| (row.index, seen)).collect();
    assert_eq!(rows, [(0, Err(Fault::BadAnswer)), (1, Ok(Seen::offline())), (2, Err(Fault::BadAnswer))]);
}

#[test]
fn every_trouble_of_the_simulator_has_its_fault() {
    for (trouble, fault) in [
        (Trouble::Throttled { retry_after_s: None }, Fault::Throttled),
        (Trouble::ServerError, Fault::ServerError),
        (Trouble::ErrorUnder200, Fault::ServerError),
        (Trouble::Forbidden, Fault::Forbidden),
        (Trouble::Unauthorized, Fault::Unauthorized),
        (Trouble::WrongType, Fault::BadAnswer),
        (Trouble::MissingField, Fault::BadAnswer),
    ] {
        let (method, headers) = (http::Method::POST, http::HeaderMap::new());
        let request = SimRequest { method: &method, path: "/", query: "", headers: &headers, body: b"" };
        for exact in [false, true] {
            let worded = KIND.simulate(SimOptions::default()).trouble(trouble, &request);
            assert_eq!(judged_with(exact, worded).expect_err("trouble").fault, fault, "{trouble:?}");
        }
    }
}
