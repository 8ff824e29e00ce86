//! Right under every way that login records may behave: presence always, start and round-trip times right or absent.

use super::super::map::Subject;
use super::*;

/// A small deterministic source of numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// Desktops that come and go over some hours. A desktop is free for at least `gap_s` between two sessions.
fn busy(count: u64, gap_s: i64) -> Vec<SimSubject> {
    let mut dice = Dice(7);
    let of = |n: u64, dice: &mut Dice| {
        let mut sessions = Vec::new();
        let mut at_s = -dice.below(6 * 3600);
        for k in 0..60 {
            let end_s = at_s + 60 + dice.below(3000);
            let id = n * 1000 + k;
            if dice.below(8) == 0 {
                let failed = session(id + 500, at_s - 2, at_s);
                sessions.push(SimSession { failure: Some("AUTH_FAILED"), ..failed });
            }
            sessions.push(session(id, at_s, end_s));
            at_s = end_s + gap_s + dice.below(900);
            if at_s > 3 * 3600 {
                break;
            }
        }
        desktop(&format!("PC{n}"), &format!("user{n}"), sessions)
    };
    (0..count).map(|n| of(n, &mut dice)).collect()
}

/// What a row may say of a desktop at `now_ms`, records being `delay_ms` late.
fn check_row(subject: &SimSubject, seen: &Seen, now_ms: i64, delay_ms: i64, context: &str) {
    let current = subject.open(now_ms).next();
    assert_eq!(seen.online, current.is_some(), "{context}");
    let Some(current) = current else {
        assert_eq!(
            (seen.connections, seen.started_ms, seen.network_rtt_ms),
            (Some(0), None, None),
            "{context}"
        );
        return;
    };
    assert_eq!(seen.connections, Some(1), "{context}");
    if now_ms < NOW_MS + delay_ms {
        // A break that came before this process, with records that show it later, cannot be told from none.
        return;
    }
    let floor = current.start_ms.div_euclid(1000) * 1000;
    assert!(seen.started_ms.is_none_or(|ms| ms == floor), "{context}: {seen:?} but {current:?}");
    // A value that the record had at some minute of the session.
    let minutes = || (current.start_ms..=now_ms - delay_ms).step_by(60_000).chain([now_ms - delay_ms]);
    assert!(
        seen.network_rtt_ms.is_none_or(|ms| minutes().any(|at| current.network_rtt_at(at) == ms)),
        "{context}"
    );
    assert!(seen.e2e_rtt_ms.is_none_or(|ms| minutes().any(|at| current.e2e_rtt_at(at) == ms)), "{context}");
}

/// Plays an hour in rounds of 30 s; how many online rows there were, how many with a start, how many with an RTT.
fn play(switches: &[(&str, &str)], count: u64, gap_s: i64, subject: Subject) -> (u32, u32, u32) {
    let subjects = busy(count, gap_s);
    let by_user = subject == Subject::User;
    let id_of = |s: &SimSubject| if by_user { s.user.clone() } else { s.id.clone() };
    let ids: Vec<String> = subjects.iter().map(id_of).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut bench = bench(switches, &subjects, &ids).of(subject);
    let delay = switches.iter().find(|(name, _)| *name == "visibility_delay_s");
    let delay_ms = delay.map_or(0, |(_, value)| value.parse::<i64>().unwrap() * 1000);
    let mut counts = (0, 0, 0);
    for round in 0..120 {
        let now_ms = bench.now_ms();
        let rows = bench.round();
        assert_eq!(rows.len(), subjects.len(), "{switches:?}: nobody is left out");
        for one in &subjects {
            let seen = rows[&id_of(one)].as_ref().unwrap();
            check_row(one, seen, now_ms, delay_ms, &format!("{switches:?}, round {round}, {}", one.id));
            if seen.online && round >= 10 {
                counts.0 += 1;
                counts.1 += u32::from(seen.started_ms.is_some());
                counts.2 += u32::from(seen.network_rtt_ms.is_some() && seen.e2e_rtt_ms.is_some());
            }
        }
        bench.advance(30);
    }
    assert_eq!(bench.loopback.faults(), [], "{switches:?}");
    assert!(counts.0 > 300, "{switches:?}: {counts:?} is no test");
    counts
}

#[test]
fn presence_start_and_rtt_are_right_under_every_switch() {
    let all: &[&[(&str, &str)]] = &[
        &[],
        &[("end_time", "null")],
        &[("end_time", "empty")],
        &[("order", "oldest"), ("insert_between_pages", "yes")],
        &[("transaction_id", "absent"), ("desktop_id", "absent")],
        &[("limit_cap", "100"), ("insert_between_pages", "yes"), ("desktop_id", "absent")],
        &[("wording", "example"), ("user_domain", "local.com"), ("order", "oldest"), ("end_time", "null")],
    ];
    for switches in all {
        for subject in [Subject::DesktopName, Subject::User] {
            let (online, started, rtt) = play(switches, 12, 1, subject);
            assert!(started * 100 >= online * 99, "{switches:?}: {started} starts of {online}");
            assert_eq!(rtt, started, "{switches:?}");
        }
    }
}

#[test]
fn without_rtt_in_the_records_none_is_given_and_never_a_zero() {
    let (online, started, rtt) = play(&[("rtt", "absent")], 12, 1, Subject::DesktopName);
    assert!(started * 100 >= online * 99 && rtt == 0, "{online} {started} {rtt}");
}

#[test]
fn records_that_show_after_the_end_only_give_no_start_and_spoil_no_presence() {
    assert_eq!(play(&[("open_sessions", "after_end")], 12, 1, Subject::DesktopName).1, 0);
}

#[test]
fn late_records_make_starts_late_and_never_wrong() {
    // Free for longer than a round, so that each break is seen: a break that nobody saw cannot be told from none.
    for delay in ["45", "240"] {
        for subject in [Subject::DesktopName, Subject::User] {
            let switches = [("visibility_delay_s", delay), ("order", "oldest")];
            let (online, started, _) = play(&switches, 12, 61, subject);
            assert!(started * 2 > online && started < online, "{delay}: {started} of {online}");
        }
    }
}

#[test]
fn a_window_of_several_pages_is_read_to_its_end() {
    let (online, started, _) =
        play(&[("limit_cap", "100"), ("insert_between_pages", "yes")], 110, 1, Subject::DesktopName);
    assert!(started * 100 >= online * 99, "{started} of {online}");
}

/// Plays an hour on records alone; wrong rows fail, and the online rows, offline rows and the missing ones are counted.
fn play_records(switches: &[(&str, &str)], subject: Subject) -> (u32, u32, u32) {
    let subjects = busy(12, 1);
    let id_of = |s: &SimSubject| if subject == Subject::User { s.user.clone() } else { s.id.clone() };
    let ids: Vec<String> = subjects.iter().map(id_of).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut bench = bench(switches, &subjects, &ids).of(subject).records_only();
    let mut counts = (0, 0, 0);
    for round in 0..120 {
        let now_ms = bench.now_ms();
        let rows = bench.round();
        for one in &subjects {
            let context = format!("{switches:?}, round {round}, {}", one.id);
            match rows.get(&id_of(one)) {
                Some(Ok(seen)) => {
                    check_row(one, seen, now_ms, 0, &context);
                    if seen.online { counts.0 += 1 } else { counts.1 += 1 }
                }
                Some(Err(fault)) => panic!("{context}: {fault}"),
                None => counts.2 += 1,
            }
        }
        bench.advance(30);
    }
    counts
}

#[test]
fn records_alone_tell_who_is_on_and_who_has_left() {
    for subject in [Subject::DesktopName, Subject::User] {
        for switches in
            [vec![], vec![("end_time", "null"), ("transaction_id", "absent"), ("limit_cap", "100")]]
        {
            let (online, offline, none) = play_records(&switches, subject);
            assert!(online > 300 && offline > 100, "{online} {offline}");
            assert!(none * 20 < online + offline, "{none} rows are missing of {}", online + offline);
        }
    }
}

#[test]
fn records_alone_turn_nobody_offline_where_open_ones_are_never_shown() {
    let (online, offline, none) = play_records(&[("open_sessions", "after_end")], Subject::DesktopName);
    assert_eq!((online, offline), (0, 0));
    assert!(none > 0);
}
