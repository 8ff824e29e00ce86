//! Asks the simulated Smartag, in process.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::providers::ProviderKind;
use crate::providers::alibaba::fixtures::{self, NOW_MS, ODD_ID, SECRET, TOKEN, reply, subject};
use crate::providers::alibaba_smartag::{KIND, NAME, VERSION};
use crate::providers::loopback::{Loopback, roster};
use crate::providers::sim::{Population, SimOptions, SimReply, World};

fn world() -> World {
    let mut subjects = vec![
        subject("online", &[-60]),
        subject("offline", &[]),
        subject("twice", &[-30, -90]),
        subject("later", &[60]),
        subject(ODD_ID, &[-10]),
    ];
    subjects.extend((0..60).map(|n| subject(&format!("user-{n:04}"), if n % 2 == 0 { &[-5] } else { &[] })));
    World { populations: vec![Population::new(NAME, "sag-1", subjects)] }
}

struct Setup {
    options: SimOptions,
    secret: &'static str,
    instance: &'static str,
    named: bool,
    exact: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { options: fixtures::options(), secret: SECRET, instance: "sag-1", named: false, exact: false }
    }
}

impl Setup {
    fn switch(name: &str, value: &str) -> Self {
        Self { options: fixtures::options().with(name, value), ..Self::default() }
    }

    fn open(self) -> (Client, Arc<Loopback>) {
        let api = fixtures::api(&self.options, self.secret, VERSION);
        let instances = if self.named { Instances::Named } else { Instances::One(self.instance.into()) };
        let client = Client::new(api, "cn-shanghai".into(), instances, self.exact);
        (client, Loopback::new(KIND.simulate(self.options), world(), NOW_MS))
    }
}

/// Asks for a batch of these names.
fn batch(client: &Client, loopback: &Arc<Loopback>, ids: &[&str]) -> Result<Answer, Failure> {
    let roster = roster(ids);
    let targets: Vec<Target<'_>> = roster.iter().collect();
    loopback.ask(client, Question::Batch(&targets)).0
}

fn detail(client: &Client, loopback: &Arc<Loopback>, id: &str) -> Result<Seen, Fault> {
    let roster = roster(&[id]);
    let answer = loopback.ask(client, Question::Detail(roster.target(0))).0.expect("an answer");
    assert!(answer.details.is_empty() && answer.rows.len() == 1);
    answer.rows.into_iter().next().expect("a row").1
}

fn counts(answer: &Answer) -> Vec<(u32, bool, Option<u32>)> {
    let row = |(row, seen): &(crate::domain::RowId, Result<Seen, Fault>)| {
        let seen = seen.as_ref().expect("a good row");
        (row.index, seen.online, seen.connections)
    };
    answer.rows.iter().map(row).collect()
}

fn wanted(answer: &Answer) -> Vec<u32> {
    answer.details.iter().map(|row| row.index).collect()
}

/// What a batch of one becomes when every reply is this one.
fn judged(sent: SimReply) -> Result<Answer, Failure> {
    let (client, loopback) = Setup::default().open();
    loopback.meddle(move |_, _| Ok(sent.clone()));
    batch(&client, &loopback, &["online", "offline"])
}

#[test]
fn the_statistics_count_and_the_detail_tells_the_start() {
    for switches in [SimOptions::default(), SimOptions::default().with("numbers", "true")] {
        let mut setup = Setup::default();
        setup.options.switches = switches.switches;
        let (client, loopback) = setup.open();
        let ids = ["online", "offline", "twice", "later", "nobody-known"];
        let answer = batch(&client, &loopback, &ids).expect("an answer");
        assert_eq!(
            counts(&answer),
            [
                (0, true, Some(1)),
                (1, false, Some(0)),
                (2, true, Some(2)),
                (3, false, Some(0)),
                (4, false, Some(0))
            ]
        );
        assert_eq!(wanted(&answer), [0, 2]);
        assert!(answer.rows.iter().all(|(_, seen)| seen.as_ref().is_ok_and(|s| s.keep_detail == s.online)));
        let twice = detail(&client, &loopback, "twice").expect("a row");
        assert_eq!((twice.connections, twice.started_ms), (Some(2), Some(NOW_MS - 90_000)));
        assert!(!twice.keep_detail);
        let again = batch(&client, &loopback, &ids).expect("an answer");
        assert!(again.details.is_empty());
        loopback.advance(Duration::from_secs(60));
        let changed = batch(&client, &loopback, &ids).expect("an answer");
        assert_eq!(wanted(&changed), [3]);
        assert_eq!(loopback.sent(), [STATISTICS.name, CLIENTS.name, STATISTICS.name, STATISTICS.name]);
    }
}

#[test]
fn a_name_that_the_statistics_leave_out_is_offline_only_by_its_detail() {
    let (client, loopback) = Setup::switch("offline_rows", "absent").open();
    let ids = ["offline", "online"];
    let first = batch(&client, &loopback, &ids).expect("an answer");
    assert_eq!((counts(&first), wanted(&first)), (vec![(1, true, Some(1))], vec![0, 1]));
    assert_eq!(
        detail(&client, &loopback, "offline").map(|s| (s.online, s.connections)),
        Ok((false, Some(0)))
    );
    let second = batch(&client, &loopback, &ids).expect("an answer");
    assert_eq!(counts(&second), [(0, false, Some(0)), (1, true, Some(1))]);
    assert!(second.details.is_empty());
    loopback.advance(Duration::from_secs(7200));
    let gone = batch(&client, &loopback, &ids).expect("an answer");
    assert_eq!((counts(&gone), wanted(&gone)), (vec![(0, false, Some(0))], vec![1]));
}

#[test]
fn exact_asks_with_the_one_call_alone() {
    for empty in ["absent", "null", "object", "text", "list"] {
        let mut setup = Setup { exact: true, ..Setup::switch("empty", empty) };
        setup.options.token = Some(TOKEN.into());
        let (client, loopback) = setup.open();
        for step in client.round() {
            let Step::Batches { action, ids, .. } = step else { panic!("batches only") };
            assert_eq!((action.name, ids), (CLIENTS.name, 1));
        }
        let online = batch(&client, &loopback, &["online"]).expect("an answer");
        let seen = online.rows[0].1.as_ref().expect("a row");
        assert_eq!((seen.online, seen.connections, seen.started_ms), (true, Some(1), Some(NOW_MS - 60_000)));
        let offline = batch(&client, &loopback, &["offline"]).expect("an answer");
        assert_eq!(counts(&offline), [(0, false, Some(0))], "{empty}");
        assert!(online.details.is_empty() && offline.details.is_empty());
        assert_eq!(loopback.sent(), [CLIENTS.name, CLIENTS.name]);
    }
}

#[test]
fn names_of_any_letters_pass_through_signer_and_gateway() {
    let (client, loopback) = Setup::default().open();
    assert_eq!(counts(&batch(&client, &loopback, &[ODD_ID]).expect("an answer")), [(0, true, Some(1))]);
    assert_eq!(detail(&client, &loopback, ODD_ID).map(|s| s.connections), Ok(Some(1)));
}

#[test]
fn fifty_names_are_a_call_and_fifty_one_are_refused() {
    let names: Vec<String> = (0..51).map(|n| format!("user-{n:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (client, loopback) = Setup::default().open();
    let full = batch(&client, &loopback, &names[..50]).expect("an answer");
    assert_eq!(full.rows.iter().filter(|(_, seen)| seen.as_ref().is_ok_and(|s| s.online)).count(), 25);
    assert!(batch(&client, &loopback, &names).is_err());
}

#[test]
fn a_refused_name_fails_its_batch_as_refused_so_that_it_can_be_found() {
    let (client, loopback) = Setup::default().open();
    let failure = batch(&client, &loopback, &["online", "no such name!"]).expect_err("a refusal");
    assert_eq!(failure.fault, Fault::RefusedId);
    assert!(failure.message.contains("ClientUser.NameInvalid"));
    assert!(batch(&client, &loopback, &["online"]).is_ok());
}

#[test]
fn an_unknown_instance_is_rejected_for_good() {
    let (client, loopback) = Setup { instance: "sag-2", ..Setup::default() }.open();
    let failure = batch(&client, &loopback, &["online"]).expect_err("a refusal");
    assert_eq!(failure.fault, Fault::Rejected);
}

#[test]
fn where_the_source_names_no_instance_the_ids_do_and_a_call_asks_for_users_of_one() {
    let (client, loopback) = Setup { named: true, ..Setup::default() }.open();
    let answer = batch(&client, &loopback, &["sag-1/twice", "sag-1/offline"]).expect("an answer");
    assert_eq!(counts(&answer), [(0, true, Some(2)), (1, false, Some(0))]);
    assert_eq!(detail(&client, &loopback, "sag-1/twice").map(|seen| seen.connections), Ok(Some(2)));
    let elsewhere = batch(&client, &loopback, &["sag-2/twice"]).expect_err("no such instance");
    assert_eq!(elsewhere.fault, Fault::Rejected);
    let sent = loopback.sent().len();
    assert_eq!(
        batch(&client, &loopback, &["sag-1/twice", "sag-2/x"]).expect_err("two").fault,
        Fault::Rejected
    );
    assert_eq!(loopback.sent().len(), sent, "and is not sent");
    let [Step::Batches { weigh, apart, .. }] = client.round()[..] else { panic!("one step of batches") };
    assert_eq!((apart("sag-1/a/b"), weigh("sag-1/a")), ("sag-1", super::weigh("a")));
    assert_eq!(client.accepts("sag-1/a/b"), Ok(()));
    for bad in ["twice", "/twice", "sag-1/", ""] {
        assert!(client.accepts(bad).is_err(), "{bad}");
    }
    let exact = Setup { named: true, exact: true, ..Setup::default() }.open();
    let answer = batch(&exact.0, &exact.1, &["sag-1/online"]).expect("an answer");
    assert_eq!(counts(&answer), [(0, true, Some(1))]);
}

#[test]
fn refusals_are_told_apart_and_hold_no_secret() {
    let wrong = Setup { secret: "canary-other", ..Setup::default() };
    let mut sts = Setup::default();
    sts.options.token = Some(TOKEN.into());
    let past = (NOW_MS - 1).to_string();
    let mut expired = Setup::switch("token_expires_ms", &past);
    expired.options.token = Some(TOKEN.into());
    let mut wrong_sts = Setup { secret: "canary-other", ..Setup::default() };
    wrong_sts.options.token = Some(TOKEN.into());
    for (setup, fault, code) in [
        (wrong, Fault::Unauthorized, "SignatureDoesNotMatch"),
        (wrong_sts, Fault::Unauthorized, "SignatureDoesNotMatch"),
        (expired, Fault::Unauthorized, "InvalidSecurityToken.Expired"),
        (Setup::switch("key_inactive", "true"), Fault::Unauthorized, "InvalidAccessKeyId.Inactive"),
        (Setup::switch("forbidden", "*"), Fault::Forbidden, "Forbidden.RAM"),
        (Setup::switch("requests_per_second", "0"), Fault::Throttled, "Throttling.User"),
    ] {
        let (client, loopback) = setup.open();
        let failure = batch(&client, &loopback, &["online"]).expect_err(code);
        assert_eq!(failure.fault, fault);
        assert!(failure.message.contains(code), "{}", failure.message);
        assert!(!failure.message.contains("canary"), "{}", failure.message);
        assert_eq!(loopback.faults(), [fault]);
    }
    let (client, loopback) = sts.open();
    assert!(batch(&client, &loopback, &["online"]).is_ok());
}

#[test]
fn a_skewed_clock_is_called_so() {
    for (ahead_s, fault) in [("900", None), ("901", Some(Fault::ClockSkew)), ("-901", Some(Fault::ClockSkew))]
    {
        let (client, loopback) = Setup::switch("clock_ahead_s", ahead_s).open();
        let judged = batch(&client, &loopback, &["online"]);
        assert_eq!(judged.err().map(|failure| failure.fault), fault, "{ahead_s}");
    }
}

#[test]
fn flow_control_is_honoured_with_and_without_a_wait() {
    let error = r#"{"RequestId":"R","Code":"Throttling.User","Message":"m"}"#;
    let mut refused = reply(400, error);
    assert_eq!(judged(refused.clone()).expect_err("flow control").wait, None);
    refused.headers.push(("x-acs-retry-after", "1500".into()));
    let failure = judged(refused).expect_err("flow control");
    assert_eq!((failure.fault, failure.wait), (Fault::Throttled, Some(Duration::from_millis(1500))));
}

#[test]
fn what_is_no_answer_makes_nobody_offline() {
    for (status, body, fault) in [
        (503, r#"{"RequestId":"R","Code":"ServiceUnavailable"}"#, Fault::ServerError),
        (403, r#"{"RequestId":"R","Code":"InternalError"}"#, Fault::ServerError),
        (502, "<html>bad gateway</html>", Fault::ServerError),
        (200, "<html>log in</html>", Fault::BadAnswer),
        (200, r#"{"RequestId":"R","UserStatistics":{"Stat"#, Fault::BadAnswer),
        (200, r#"{"UserStatistics":{"Statistics":[]}}"#, Fault::BadAnswer),
        (200, r#"{"RequestId":"","UserStatistics":{"Statistics":[]}}"#, Fault::BadAnswer),
        (200, r#"{"RequestId":"R","UserStatistics":7}"#, Fault::BadAnswer),
        (200, "", Fault::BadAnswer),
        (200, "{}", Fault::BadAnswer),
        (200, "null", Fault::BadAnswer),
    ] {
        let failure = judged(reply(status, body)).expect_err(body);
        assert_eq!(failure.fault, fault, "{status} {body}");
    }
    for body in [r#"{"RequestId":"R"}"#, r#"{"RequestId":"R","UserStatistics":{"Statistics":[]},"New":[1]}"#]
    {
        let answer = judged(reply(200, body)).expect(body);
        assert!(answer.rows.is_empty(), "{body}");
        assert_eq!(wanted(&answer), [0, 1], "{body}");
    }
}

#[test]
fn a_damaged_row_does_not_sink_the_others() {
    let body = r#"{"RequestId":"R","UserStatistics":{"Statistics":[
        {"UserName":"online","OnlineCount":[]},{"UserName":"offline","OnlineCount":"0"}]}}"#;
    let answer = judged(reply(200, body)).expect("an answer");
    assert_eq!(answer.rows.len(), 2);
    assert_eq!(answer.rows[0].1, Err(Fault::BadAnswer));
    assert!(answer.rows[1].1.as_ref().is_ok_and(|seen| !seen.online));
}

#[test]
fn every_trouble_of_the_simulator_has_its_fault() {
    use crate::providers::sim::{SimRequest, Trouble};
    for (trouble, fault) in [
        (Trouble::Throttled { retry_after_s: Some(2) }, Fault::Throttled),
        (Trouble::ServerError, Fault::ServerError),
        (Trouble::ErrorUnder200, Fault::ServerError),
        (Trouble::Forbidden, Fault::Forbidden),
        (Trouble::Unauthorized, Fault::Unauthorized),
        (Trouble::WrongType, Fault::BadAnswer),
        (Trouble::MissingField, Fault::BadAnswer),
    ] {
        let (method, headers) = (http::Method::POST, http::HeaderMap::new());
        let request = SimRequest { method: &method, path: "/", query: "", headers: &headers, body: b"" };
        let worded = KIND.simulate(SimOptions::default()).trouble(trouble, &request);
        assert_eq!(judged(worded).expect_err("trouble").fault, fault, "{trouble:?}");
    }
}

#[test]
fn a_question_is_cut_by_what_its_names_take_in_the_query() {
    let (client, _) = Setup::default().open();
    let steps = client.round();
    let [Step::Batches { ids: 50, weigh, weight: 6144, .. }] = steps.as_slice() else {
        panic!("one step of batches of 50")
    };
    let widest = "张".repeat(33);
    assert_eq!(weigh(&widest), 14 + 33 * 9);
    assert!(50 * weigh(&"x".repeat(33)) < 6144 && 50 * weigh(&widest) > 6144);
    assert!(client.accepts("doctest").is_ok() && client.accepts("").is_err());
    assert!(client.accepts(&"张".repeat(200)).is_err());
}

#[test]
fn the_receipt_holds_the_providers_request_id() {
    let (client, loopback) = Setup::default().open();
    let roster = roster(&["online"]);
    let (answer, receipt) = loopback.ask(&client, Question::Batch(&[roster.target(0)]));
    assert!(answer.is_ok());
    assert_eq!(receipt.request_id.map(|id| id.len()), Some(36));
    assert_eq!((receipt.calls, receipt.action), (1, Some(STATISTICS.name)));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_stands_in_a_name_the_gateway_reads_what_was_signed(name in ".{1,40}") {
        let (client, loopback) = Setup { exact: true, ..Setup::default() }.open();
        let judged = batch(&client, &loopback, &[&name]);
        let fault = judged.err().map(|failure| failure.fault);
        proptest::prop_assert!(matches!(fault, None | Some(Fault::RefusedId)), "{fault:?}");
    }

    #[test]
    fn no_reply_whatever_makes_anybody_offline_by_mistake_or_panics(
        status in 100_u16..600,
        body in r#"[ {}\[\]":,0-9a-zA-Z<>/.-]{0,80}"#,
    ) {
        let judged = judged(reply(status, &body));
        let offline = judged.is_ok_and(|a| a.rows.iter().any(|(_, s)| s.as_ref().is_ok_and(|s| !s.online)));
        proptest::prop_assert!(!offline);
    }
}
