//! Why a target is shown as it is: on virtual time, and by a running exporter's page.

use std::time::Duration;

use presence_exporter::domain::explanation::Explanation;
use presence_exporter::domain::{Moment, Policy};
use presence_exporter::ports::TransportError;
use presence_exporter::providers::REGISTRY;
use presence_exporter::providers::sim::Trouble;
use presence_exporter::simulator::faults::Kind;
use serde_json::Value;

use crate::scheduler::{Setup, bench};
use crate::stage::Script;

const SECOND: Duration = Duration::from_secs(1);

/// The first instant of a bench, in Unix milliseconds.
const START_MS: i64 = 1_700_000_000_000;

type Answer = Result<(u16, Option<u32>), TransportError>;

const ONLINE: Answer = Ok((200, None));
const OFFLINE: Answer = Ok((204, None));

/// Seconds from a bench's beginning to now.
fn since_start(now: Moment) -> f64 {
    seconds(now.unix_ms)
}

#[expect(clippy::cast_precision_loss, reason = "a test's times are small")]
fn seconds(unix_ms: i64) -> f64 {
    (unix_ms - START_MS) as f64 / 1000.0
}

/// Seconds from a bench's beginning to a time as written.
fn at(text: &str) -> f64 {
    let time: jiff::Timestamp = text.parse().expect("times are RFC 3339");
    seconds(time.as_millisecond())
}

fn next_at(explanation: &Explanation) -> f64 {
    at(explanation.next.at.as_deref().expect("nothing is under way"))
}

/// Whether the batch that begins with this target was asked.
fn begins(ids: &str, id: &str) -> bool {
    ids.split(',').next() == Some(id)
}

#[test]
fn an_answer_is_explained_by_the_very_question_that_brought_it() {
    let mut bench = bench(&Setup::default(), |_, _, _| ONLINE);
    bench.run(SECOND * 25);
    let explanation = bench.explain(0, "t0-37");
    let evidence = explanation.evidence.as_ref().expect("its receipt is kept");
    assert_eq!((explanation.state.as_str(), evidence.question.as_str()), ("online", "batch 4 of 10"));
    let sent = bench.sent();
    let (number, (asked, _)) =
        sent.iter().enumerate().rfind(|(_, (_, ids))| begins(ids, "t0-30")).expect("it was asked");
    assert_eq!(evidence.request_id, Some(format!("r{number}")));
    assert!((at(&evidence.asked) - since_start(*asked)).abs() < 0.002, "{evidence:?}");
    assert!((evidence.took_seconds - 0.02).abs() < 1e-6 && evidence.requests == 1, "{evidence:?}");
    // Batch 4 is due 3 s after each round's beginning.
    assert_eq!(explanation.next.kind, "regular");
    assert!((next_at(&explanation) - 33.0).abs() < 0.2, "{:?}", explanation.next);
    let observed = explanation.observed.expect("it was observed");
    let (age, expires) = (observed.age_seconds.expect("by this process"), observed.expires.expect("known"));
    assert!((at(&expires) - (at(&explanation.now) - age + 60.0)).abs() < 0.01, "{expires} {age}");
    assert!(explanation.changes.iter().any(|change| change.ends_with(&expires)), "{:?}", explanation.changes);
}

#[test]
fn a_throttled_batch_shows_the_pause() {
    let mut bench =
        bench(
            &Setup::default(),
            |_, _, now| {
                if since_start(now) < 19.9 { ONLINE } else { Ok((429, Some(30))) }
            },
        );
    bench.run(SECOND * 25);
    let explanation = bench.explain(0, "t0-5");
    assert_eq!(explanation.state, "online", "a throttle says nothing of anybody");
    assert_eq!(explanation.next.paused_for.as_deref(), Some("throttled"));
    assert_eq!(explanation.next.at, explanation.next.paused_until, "its turn comes before the pause is over");
    assert!((next_at(&explanation) - 50.0).abs() < 0.5, "{:?}", explanation.next);
    let failure = &explanation.failures[0];
    assert_eq!((failure.outcome.as_str(), failure.message.as_deref()), ("throttled", Some("slowly")));
    // The pause is the account's: a batch that was not asked meanwhile waits as well.
    let other = bench.explain(0, "t0-55");
    assert_eq!(other.next.paused_until, explanation.next.paused_until);
    assert_eq!(other.failures, []);
}

#[test]
fn a_refused_id_shows_its_quarantine_and_its_next_trial() {
    let refused = |ids: &str| ids.split(',').any(|id| id == "t0-3");
    let mut bench =
        bench(&Setup::default(), move |_, ids, _| if refused(ids) { Ok((404, None)) } else { ONLINE });
    bench.run(SECOND * 45);
    let explanation = bench.explain(0, "t0-3");
    assert_eq!((explanation.state.as_str(), explanation.reason.as_deref()), ("unknown", Some("refused_id")));
    assert_eq!(explanation.next.kind, "refused");
    assert!(explanation.next.why.contains("left out of batches"), "{}", explanation.next.why);
    assert_eq!(explanation.failures[0].outcome, "refused_id");
    let refused_at = at(&explanation.failures[0].asked);
    assert!((next_at(&explanation) - refused_at - 600.0).abs() < 0.2, "{:?}", explanation.next);
    assert_eq!(explanation.evidence, None);
    assert!(explanation.answers.is_empty(), "batches without it don't concern it: {:?}", explanation.answers);
    assert!(explanation.changes.iter().any(|change| change.contains("correct the target's id")));
    // Its neighbour in the batch is asked about as ever.
    let neighbour = bench.explain(0, "t0-4");
    assert_eq!((neighbour.state.as_str(), neighbour.next.kind.as_str()), ("online", "regular"));
    assert_eq!(neighbour.evidence.map(|attempt| attempt.question), Some("batch 1 of 10".into()));
    assert_eq!(neighbour.answers.len(), 1, "parts give way to the whole: {:?}", neighbour.answers);
}

#[test]
fn a_refused_id_is_tried_again_when_its_trial_fails_for_another_reason() {
    let mut bench = bench(&Setup::default(), |_, ids, now| match since_start(now) {
        ..500.0 if ids.split(',').any(|id| id == "t0-3") => Ok((404, None)),
        500.0..1000.0 if ids == "t0-3" => Err(TransportError::Timeout),
        _ => ONLINE,
    });
    bench.run(SECOND * 1300);
    let explanation = bench.explain(0, "t0-3");
    assert_eq!(explanation.state, "online", "{explanation:?}");
    let outcomes: Vec<&str> = explanation.failures.iter().map(|failure| failure.outcome.as_str()).collect();
    assert_eq!(&outcomes[..3], ["timeout"; 3]);
}

#[test]
fn a_pending_retry_shows_when() {
    let mut bench = bench(&Setup::default(), |_, ids, now| {
        if begins(ids, "t0-0") && since_start(now) > 9.0 { Ok((500, None)) } else { ONLINE }
    });
    bench.run(Duration::from_millis(10_300));
    let explanation = bench.explain(0, "t0-7");
    assert_eq!((explanation.state.as_str(), explanation.next.kind.as_str()), ("online", "retry"));
    assert!(explanation.next.why.contains("try 2 of 3"), "{}", explanation.next.why);
    let wait = next_at(&explanation) - at(&explanation.failures[0].asked);
    assert!((0.5..1.1).contains(&wait), "{wait}");
    assert_eq!(bench.explain(0, "t0-17").next.kind, "regular", "another batch has nothing to repeat");
}

#[test]
fn a_failure_stays_visible_although_answers_follow() {
    let setup = Setup { sources: vec![(100, SECOND * 10), (30, SECOND * 5)], ..Setup::default() };
    let mut bench = bench(&setup, |_, ids, now| {
        let bad = begins(ids, "t0-20") && (10.0..14.0).contains(&since_start(now));
        if bad { Ok((500, None)) } else { ONLINE }
    });
    bench.run(SECOND * 300);
    let explanation = bench.explain(0, "t0-25");
    assert_eq!(explanation.state, "online");
    let failed: Vec<(&str, &str)> = explanation
        .failures
        .iter()
        .map(|failure| (failure.outcome.as_str(), failure.message.as_deref().unwrap_or_default()))
        .collect();
    assert_eq!(failed, [("server_error", "oops"); 2], "hundreds of answers came since");
    assert!(explanation.failures[0].request_id.is_some());
    assert!(at(&explanation.failures[0].asked) < 14.0, "{:?}", explanation.failures);
    assert!(bench.explain(0, "t0-35").failures.is_empty() && bench.explain(1, "t1-5").failures.is_empty());
}

#[test]
fn a_pending_change_shows_the_instant_at_which_it_counts() {
    let leave = SECOND * 60;
    let policy = Policy { leave, ..Policy::at_once(SECOND * 600) };
    let mut bench =
        bench(
            &Setup { policy, ..Setup::default() },
            |_, _, now| {
                if since_start(now) < 15.0 { ONLINE } else { OFFLINE }
            },
        );
    bench.run(SECOND * 45);
    let explanation = bench.explain(0, "t0-0");
    let settling = explanation.settling.as_ref().expect("the change is pending");
    let first = bench.sent().into_iter().find(|(at, ids)| begins(ids, "t0-0") && since_start(*at) > 15.0);
    let first = since_start(first.expect("it was asked after it left").0);
    assert_eq!((explanation.state.as_str(), settling.observed.as_str()), ("online", "offline"));
    assert!((at(&settling.since) - first).abs() < 0.002, "{settling:?}, first {first}");
    assert!((at(&settling.settles) - first - 60.0).abs() < 0.002, "{settling:?}");
    assert!(explanation.changes[0].contains(&settling.settles), "{:?}", explanation.changes);
    assert!(explanation.because.contains("not yet for long enough"), "{}", explanation.because);
}

#[test]
fn a_refused_account_shows_its_pause_and_what_caused_it_at_all_its_sources() {
    let setup = Setup { sources: vec![(10, SECOND * 10), (10, SECOND * 10)], ..Setup::default() };
    let mut bench = bench(&setup, |_, ids, _| if ids.contains("t0") { Ok((401, None)) } else { ONLINE });
    bench.run(SECOND * 30);
    let explanation = bench.explain(1, "t1-0");
    assert_eq!(explanation.next.paused_for.as_deref(), Some("unauthorized"));
    let failure = &explanation.failures[0];
    assert_eq!(failure.outcome, "unauthorized");
    assert!(failure.question.contains("source0"), "{}", failure.question);
}

fn path(source: &str, id: &str) -> String {
    let encoded = percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string();
    format!("/api/v1/targets/{source}/{encoded}")
}

#[test]
fn every_provider_s_targets_are_explained_by_the_page_as_the_metrics_show_them() {
    let stage = Script { web: true, ..Script::default() }.play();
    stage.wait_for_truth();
    for (source, population) in stage.sources() {
        for subject in &population.subjects {
            let (status, body) = stage.fetch(&path(&source, &subject.id));
            let document: Value = serde_json::from_str(&body).expect("it is JSON");
            assert_eq!((status, document["target"].as_str()), (200, Some(&*subject.id)), "{body}");
            let online = !subject.open(stage.now().unix_ms).collect::<Vec<_>>().is_empty();
            assert_eq!(document["state"], if online { "online" } else { "offline" }, "{body}");
            assert!(document["evidence"]["action"].is_string(), "{body}");
            assert_eq!(document["evidence"]["outcome"], "answered");
            assert!(document["evidence"]["request_id"].is_string(), "{body}");
            assert!(document["next"]["why"].is_string() && !document["changes"][0].is_null(), "{body}");
        }
    }
    assert_eq!(stage.sources().len(), REGISTRY.len());
    stage.strike(Kind::Worded(Trouble::ServerError));
    let (source, population) = &stage.sources()[0];
    let path = path(source, &population.subjects[0].id);
    stage.wait("a failure to be told", || {
        let document: Value = serde_json::from_str(&stage.fetch(&path).1).expect("it is JSON");
        if document["failures"][0]["outcome"] == "server_error" { Ok(()) } else { Err(document.to_string()) }
    });
}

#[test]
fn ids_of_any_characters_and_unknown_ones_are_answered() {
    let strange = "a/b ?#%41é\u{4f60}&=";
    let stage = Script { web: true, ..Script::default() }.target("openim", strange).play();
    stage.wait_for_truth();
    let (status, body) = stage.fetch(&path("openim", strange));
    let document: Value = serde_json::from_str(&body).expect("it is JSON");
    assert_eq!((status, document["target"].as_str()), (200, Some(strange)));
    let (status, body) = stage.fetch(&path("openim", "nobody"));
    let document: Value = serde_json::from_str(&body).expect("it is JSON");
    assert_eq!((status, document["source"].as_str()), (404, Some("openim")));
    assert_eq!(
        (document["targets"].as_u64(), document["known"].as_array().map(Vec::len)),
        (Some(11), Some(11))
    );
    let (status, body) = stage.fetch(&path("nowhere", "x"));
    let document: Value = serde_json::from_str(&body).expect("it is JSON");
    let names: Vec<&str> =
        document["known"].as_array().expect("names").iter().filter_map(Value::as_str).collect();
    assert_eq!((status, names.len()), (404, REGISTRY.len()), "{body}");
    assert!(names.contains(&"openim") && document["error"] == "there is no source \"nowhere\"", "{body}");
    for (path, status) in [("/api/v1/targets/openim", 404), ("/api/v1/targets/openim/%ff", 400)] {
        assert_eq!(stage.fetch(path).0, status, "{path}");
    }
}
