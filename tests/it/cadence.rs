//! Lively targets more often, quiet ones less, within the requests of plain intervals: on virtual time, against a test's own
//! other side and against the simulated APIs.

use std::collections::BTreeMap;
use std::time::Duration;

use presence_exporter::config::Cadence;
use presence_exporter::domain::presence::Presence;
use presence_exporter::domain::{Fault, Moment, Policy, Priority, UnknownReason};
use presence_exporter::ports::Clock as _;

use crate::lists::{Files, Play, everybody};
use crate::scheduler::{Bench, Setup, bench, gaps};

/// The providers that ask in batches, and so may have a cadence.
pub const IN_BATCHES: [&str; 4] = ["alibaba_smartag", "alibaba_mqtt", "volcengine_rtc", "openim"];

const SECOND: Duration = Duration::from_secs(1);

/// Lively ones every 10 s for 5 min, quiet ones every 3 min after 6.
const CADENCE: Cadence = Cadence {
    fastest: Duration::from_secs(10),
    slowest: Duration::from_secs(180),
    lively_for: Duration::from_secs(300),
    quiet_after: Duration::from_secs(360),
};

/// 300 targets every 30 s, in requests of ten.
fn setup(cadence: Option<Cadence>) -> Setup {
    Setup {
        cadence,
        sources: vec![(300, SECOND * 30)],
        policy: Policy::at_once(SECOND * 600),
        ..Setup::default()
    }
}

fn second(at: Moment) -> u64 {
    at.tick.as_micros() / 1_000_000
}

/// Seconds between two questions about a target that are asked within these.
fn gaps_between(bench: &Bench, id: &str, from_s: u64, to_s: u64) -> Vec<u64> {
    let is_in = |ids: &str| ids.split(',').any(|one| one == id);
    let sent = bench.sent();
    let asked: Vec<u64> = sent.iter().filter(|(_, ids)| is_in(ids)).map(|(at, _)| second(*at)).collect();
    let asked: Vec<u64> = asked.into_iter().filter(|at| (from_s..to_s).contains(at)).collect();
    asked.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn who_changes_is_asked_about_more_often_and_who_is_quiet_less_within_the_requests_of_plain_rounds() {
    // Target 77 comes online after 20 minutes.
    let other_side =
        |_: usize, _: &str, at: Moment| Ok(if second(at) >= 1200 { (206, Some(77)) } else { (204, None) });
    let mut plain = bench(&setup(None), other_side);
    plain.run(SECOND * 3000);
    let mut lively = bench(&setup(Some(CADENCE)), other_side);
    lively.run(SECOND * 3000);

    let early = gaps_between(&lively, "t0-77", 0, 360);
    assert!(early.len() >= 10 && early.iter().all(|gap| (20..=40).contains(gap)), "as plain: {early:?}");
    for id in ["t0-0", "t0-76", "t0-299"] {
        let quiet = gaps_between(&lively, id, 400, 3000);
        assert!(quiet.len() >= 12 && quiet.iter().all(|gap| (60..=180).contains(gap)), "{id}: {quiet:?}");
    }
    let fast = gaps_between(&lively, "t0-77", 1400, 1480);
    assert!(fast.len() >= 6 && fast.iter().all(|gap| (9..=11).contains(gap)), "after its change: {fast:?}");
    let slow = gaps_between(&lively, "t0-77", 2400, 3000);
    assert!(!slow.is_empty() && slow.iter().all(|&gap| gap > 60), "and quiet again: {slow:?}");

    assert!(lively.sent().len() * 2 < plain.sent().len(), "{} requests", lively.sent().len());
    for seconds in [10, 30, 60, 300, 3000] {
        let window = SECOND * seconds;
        let (with, without) = (lively.fullest_window(window), plain.fullest_window(window));
        assert!(with <= without + 10, "{with} in {seconds} s, {without} in plain rounds, ten a tick");
    }
    assert_eq!(lively.states(), BTreeMap::from([("online", 1), ("offline", 299)]));
}

#[test]
fn what_lively_targets_get_is_no_more_than_plain_rounds_ask_however_many_they_are() {
    // Everybody comes and goes all the time, and then a third of them.
    for changing in [300, 100] {
        let other_side = move |_: usize, ids: &str, at: Moment| {
            let first: u64 = ids.split([',', '-']).nth(1).and_then(|id| id.parse().ok()).unwrap();
            Ok((if first < changing && (second(at) / 100).is_multiple_of(2) { 200 } else { 204 }, None))
        };
        let mut plain = bench(&setup(None), other_side);
        plain.run(SECOND * 1800);
        let mut lively = bench(&setup(Some(CADENCE)), other_side);
        lively.run(SECOND * 1800);
        for seconds in [10, 60, 300, 1800] {
            let window = SECOND * seconds;
            let (with, without) = (lively.fullest_window(window), plain.fullest_window(window));
            assert!(with <= without + 10, "{with} in {seconds} s, {without} in plain rounds, ten a tick");
        }
        for id in ["t0-0", "t0-150", "t0-299"] {
            let most = if changing == 300 { 41.0 } else { 180.5 };
            assert!(gaps(&lively, id).iter().all(|&gap| gap <= most), "{id}: {:?}", gaps(&lively, id));
        }
    }
}

#[test]
fn a_refused_id_among_picked_ones_is_found_and_alone_becomes_unknown() {
    let refuses = |_: usize, ids: &str, _: Moment| {
        Ok((if ids.split(',').any(|id| id == "t0-47") { 404 } else { 204 }, None))
    };
    let mut bench = bench(&setup(Some(CADENCE)), refuses);
    bench.run(SECOND * 900);
    let refused = UnknownReason::Fault(Fault::RefusedId).as_str();
    assert_eq!(bench.states(), BTreeMap::from([("offline", 299), (refused, 1)]));
    let with_it: Vec<(Moment, String)> =
        bench.sent().into_iter().filter(|(_, ids)| ids.split(',').any(|id| id == "t0-47")).collect();
    assert!(with_it.len() <= 6, "halving ten takes at most five questions: {with_it:?}");
    let last = with_it.last().map(|(at, ids)| (second(*at) >= 600, ids.clone()));
    assert_eq!(last, Some((true, "t0-47".to_owned())), "and it is tried again alone");
    assert_eq!(bench.explain(0, "t0-47").next.kind, "refused");
    let neighbour = bench.explain(0, "t0-46");
    assert!(!neighbour.failures.is_empty() && neighbour.failures.iter().all(|one| one.outcome == refused));
    assert_eq!((neighbour.state.as_str(), neighbour.answers.len()), ("offline", 1));
}

#[test]
fn a_failed_question_about_picked_targets_is_asked_again_soon() {
    let fails = |number: usize, _: &str, _: Moment| Ok((if number == 3 { 500 } else { 204 }, None));
    let mut bench = bench(&setup(Some(CADENCE)), fails);
    bench.run(SECOND * 60);
    let sent = bench.sent();
    let again: Vec<u64> =
        sent.iter().filter(|(_, ids)| *ids == sent[3].1).map(|(at, _)| second(*at)).collect();
    assert!(again.len() >= 2 && again[1] - again[0] <= 2, "{again:?}");
    let id = sent[3].1.split(',').next().unwrap().to_owned();
    let explained = bench.explain(0, &id);
    assert_eq!((explained.failures.len(), explained.state.as_str()), (1, "offline"));
    assert_eq!(explained.failures[0].question, "a batch of 10, picked by cadence");
}

#[test]
fn who_does_not_fit_is_left_out_by_priority_and_the_rest_has_turns() {
    let setup = Setup {
        rate: 0.8,
        shed: true,
        priorities: vec![Priority::Low, Priority::Normal],
        sources: vec![(150, SECOND * 30), (150, SECOND * 30)],
        ..setup(Some(CADENCE))
    };
    let mut bench = bench(&setup, |_, _, _| Ok((204, None)));
    bench.run(SECOND * 900);
    // 0.74 requests a second are planned for: 22 of 30 in half a minute, 15 of which are of the first source.
    assert_eq!(bench.states(), BTreeMap::from([("offline", 220), ("budget", 80)]));
    for (_, ids) in bench.sent() {
        for id in ids.split(',').filter_map(|id| id.strip_prefix("t0-")) {
            assert!(id.parse::<u32>().unwrap() < 70, "{id} is asked about, and is to be left out");
        }
    }
    assert_eq!(bench.explain(0, "t0-70").next.kind, "left_out");
    for id in ["t0-0", "t0-69", "t1-149"] {
        let gaps = gaps(&bench, id);
        assert!(gaps.iter().all(|&gap| gap <= 180.5), "{id}: {gaps:?}");
        assert!(gaps.iter().any(|&gap| gap > 60.0), "{id} is quiet in the end: {gaps:?}");
    }
}

#[test]
fn a_target_is_told_how_lively_it_is_and_why_and_when_its_turn_comes() {
    let other_side =
        |_: usize, _: &str, at: Moment| Ok(if second(at) >= 700 { (206, Some(77)) } else { (204, None) });
    let told = |seconds: u32, id: &str, priorities: Vec<Priority>| {
        let mut bench = bench(&Setup { priorities, ..setup(Some(CADENCE)) }, other_side);
        bench.run(SECOND * seconds);
        let explained = bench.explain(0, id);
        let at: jiff::Timestamp = explained.next.at.as_deref().unwrap_or(&explained.now).parse().unwrap();
        let now: jiff::Timestamp = explained.now.parse().unwrap();
        (explained.cadence.clone().unwrap(), (at.as_second() - now.as_second()), explained)
    };
    let (words, due, regular) = told(100, "t0-5", vec![]);
    assert!(words.starts_with("it is neither lively (changed within 5m) nor quiet"), "{words}");
    assert!((0..=30).contains(&due), "{due}");
    assert_eq!((regular.next.kind.as_str(), regular.answers.len()), ("regular", 1));
    assert!(regular.evidence.is_some(), "the receipt of its last answer is there");
    let (words, due, _) = told(600, "t0-5", vec![]);
    assert!(words.starts_with("it is quiet, since answers have not changed for 10m ("), "{words}");
    assert!(
        words.ends_with("asked about every 3m at the latest") && (0..=180).contains(&due),
        "{words} {due}"
    );
    let (words, due, _) = told(1000, "t0-77", vec![]);
    assert!(words.starts_with("it is lively, since answers changed "), "{words}");
    assert!(words.ends_with("every 10s as far as quiet targets leave requests, else every 30s"), "{words}");
    assert!((0..=20).contains(&due), "{due}");
    let (words, ..) = told(100, "t0-5", vec![Priority::High]);
    assert!(words.starts_with("it is lively, since its priority is high: "), "{words}");
    let mut plain = bench(&setup(None), other_side);
    plain.run(SECOND * 100);
    assert_eq!(plain.explain(0, "t0-5").cadence, None);
}

#[test]
fn lists_may_change_while_targets_have_turns_and_nobody_is_forgotten() {
    let everybody = everybody(60);
    let files = Files::default();
    for (provider, ids) in &everybody {
        files.write(&format!("{provider}.txt"), ids[..40].join("\n"));
    }
    let cadence = "    cadence: {fastest: 2s, slowest: 40s, lively_for: 10s, quiet_after: 20s}\n";
    let mut play = Play::new(60, files, |yaml| {
        IN_BATCHES.iter().fold(yaml, |yaml, source| {
            yaml.replace(&format!("\n  {source}:\n"), &format!("\n  {source}:\n{cadence}"))
        })
    });
    play.run(async |play| {
        play.wait(SECOND * 90).await;
        for (round, (from, to)) in
            [(0, 50), (20, 60), (0, 60), (59, 60), (0, 0), (10, 60)].into_iter().enumerate()
        {
            for source in IN_BATCHES {
                play.files.write(&format!("{source}.txt"), everybody[source][from..to].join("\n"));
            }
            let known: BTreeMap<&str, _> =
                IN_BATCHES.iter().map(|source| (*source, play.shown(source))).collect();
            play.wait(SECOND * 17).await;
            play.assert_true();
            for source in IN_BATCHES {
                let shown = play.shown(source);
                assert_eq!(shown.len(), to - from, "{source} in round {round}");
                let never = Presence::Unknown(UnknownReason::NeverPolled);
                assert!(shown.values().all(|(is, _)| *is != never), "{source} in round {round}: {shown:?}");
                for (id, (_, at)) in &known[source] {
                    let forgot = shown.get(id).is_some_and(|(_, now)| now < at);
                    assert!(!forgot, "{source}: {id} forgot an answer in round {round}");
                }
            }
            play.wait(SECOND * 60).await;
            let now = play.clock.now().unix_seconds();
            for source in IN_BATCHES {
                let late =
                    play.shown(source).into_iter().filter(|(_, (_, at))| at.is_none_or(|at| at + 45 < now));
                assert_eq!(late.collect::<Vec<_>>(), [], "{source} in round {round}");
            }
        }
    });
}
