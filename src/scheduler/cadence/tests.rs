//! Who is picked when, tick by tick, and laws that hold whatever changes.

use proptest::prelude::*;

use super::*;
use crate::domain::TargetLabels;
use crate::providers::TOGETHER;

const SECOND: Duration = Duration::from_secs(1);
/// Ids of one request.
const IDS: usize = 10;
const START: Tick = Tick::from_micros(7_000_000);

/// Lively every 10 s, others every 30 s, quiet ones every 5 min; lively for 10 min, quiet after 20.
const SETTINGS: Settings = Settings {
    fastest: Duration::from_secs(10),
    slowest: Duration::from_secs(300),
    lively_for: Duration::from_secs(600),
    quiet_after: Duration::from_secs(1200),
};

fn roster(targets: u32, generation: u16, is_high: impl Fn(u32) -> bool) -> Arc<Roster> {
    let mut roster = Roster::new(0, generation);
    for row in 0..targets {
        roster.push(&format!("id-{row:05}"), TargetLabels::default());
        if is_high(row) {
            roster.set_last_priority(Priority::High);
        }
    }
    Arc::new(roster)
}

/// A source on a stretch of ticks, with every request and every turn of it.
struct Play {
    cadence: Cadence,
    settings: Settings,
    now: Tick,
    /// Requests of each tick.
    requests: Vec<usize>,
    /// By target: the ticks in which it was asked about, and when it was first there.
    turns: Vec<Vec<Tick>>,
    rounds: Vec<(bool, bool)>,
}

impl Play {
    fn new(settings: Settings, interval: Duration, roster: &Arc<Roster>) -> Self {
        let capacity = Capacity { ids: IDS, weigh: str::len, weight: usize::MAX, apart: TOGETHER };
        let plain = Plain { interval, priority: Priority::Normal, capacity };
        let questions = (roster.len() as usize).div_ceil(IDS);
        Self {
            cadence: Cadence::new(settings, plain, roster, questions, START),
            settings,
            now: START,
            requests: Vec::new(),
            turns: vec![Vec::new(); roster.len() as usize],
            rounds: Vec::new(),
        }
    }

    fn targets(targets: u32) -> Self {
        Self::new(SETTINGS, SECOND * 30, &roster(targets, 0, |_| false))
    }

    /// Plays so many ticks; `is_online` is asked for every answer.
    fn ticks(&mut self, ticks: usize, is_online: impl Fn(u32, Tick) -> bool) -> &mut Self {
        for _ in 0..ticks {
            let picked = self.cadence.pick(self.now);
            self.requests.push(picked.len());
            for Picked { rows, first, last } in picked {
                assert!(!rows.is_empty() && rows.len() <= IDS, "{rows:?}");
                assert!(rows.windows(2).all(|pair| pair[0] < pair[1]), "{rows:?}");
                self.rounds.push((first, last));
                for &row in rows.iter() {
                    self.turns[row as usize].push(self.now);
                    self.cadence.answered(row, is_online(row, self.now), self.now + SECOND);
                }
            }
            self.now = self.now + self.settings.fastest;
        }
        self
    }

    /// Plays until everybody is quiet, which makes nobody late.
    fn quiet(mut self) -> Self {
        let ticks = SETTINGS.quiet_after.as_secs() / SETTINGS.fastest.as_secs() + 30;
        self.ticks(usize::try_from(ticks).unwrap(), |_, _| false);
        (self.requests, self.rounds) = (Vec::new(), Vec::new());
        self.turns.iter_mut().for_each(|turns| drop(turns.drain(..turns.len() - 1)));
        self
    }

    /// Seconds between the turns of a target.
    fn gaps(&self, row: usize) -> Vec<u64> {
        self.turns[row].windows(2).map(|pair| pair[1].since(pair[0]).as_secs()).collect()
    }
}

/// Whether any stretch of ticks has more requests than plain rounds of so many questions ask in as much time.
fn most_beyond_plain(
    requests: &[usize],
    questions: usize,
    tick: Duration,
    interval: Duration,
) -> Option<String> {
    for from in 0..requests.len() {
        let mut sum = 0;
        for (ticks, of_tick) in (1..).zip(&requests[from..]) {
            sum += of_tick;
            let plain = (questions as u128 * ticks * tick.as_micros()).div_ceil(interval.as_micros());
            if sum as u128 > plain {
                return Some(format!(
                    "{sum} requests in {ticks} ticks from the {from}th on, {plain} are plain"
                ));
            }
        }
    }
    None
}

#[test]
fn the_first_round_is_that_of_plain_batches() {
    let mut play = Play::targets(100);
    let mut asked = Vec::new();
    for _ in 0..3 {
        asked.push(play.cadence.pick(play.now).iter().map(|picked| picked.rows[0]).collect::<Vec<u32>>());
        play.now = play.now + SECOND * 10;
    }
    assert_eq!(asked, [vec![0, 10, 20, 30], vec![40, 50, 60], vec![70, 80, 90]]);
}

#[test]
fn where_nobody_is_quiet_everybody_is_asked_about_at_the_interval_lively_or_not() {
    let mut play = Play::new(SETTINGS, SECOND * 30, &roster(90, 0, |row| row < 20));
    play.ticks(90, |_, _| true);
    assert!(play.requests.iter().all(|&requests| requests == 3), "{:?}", play.requests);
    for row in 0..90 {
        assert!(play.gaps(row).iter().all(|&gap| gap == 30), "{row}: {:?}", play.gaps(row));
    }
}

#[test]
fn what_quiet_targets_leave_goes_to_those_that_changed_and_to_high_priority() {
    let mut play = Play::new(SETTINGS, SECOND * 30, &roster(300, 0, |row| row == 7)).quiet();
    // From now on one is online that was not.
    play.ticks(90, |row, _| row == 120);
    assert!(play.gaps(7).iter().all(|&gap| gap == 10), "high priority: {:?}", play.gaps(7));
    let gaps = play.gaps(120);
    let found = gaps.iter().position(|&gap| gap == 10).expect("it is lively once it was seen");
    assert!(gaps[found..found + 58].iter().all(|&gap| gap == 10), "for ten minutes: {gaps:?}");
    let after = &gaps[found + 60..];
    // Requests that are not full take it along now and then.
    assert!(after.iter().all(|&gap| gap == 20 || gap == 30), "and regular from then on: {gaps:?}");
    for row in [0, 8, 119, 299] {
        let gaps = play.gaps(row);
        assert!(gaps.len() >= 2 && gaps.iter().all(|&gap| (130..=300).contains(&gap)), "{row}: {gaps:?}");
    }
    let sum: usize = play.requests.iter().sum();
    assert!((90..=200).contains(&sum), "of 900 plain ones, {sum} suffice");
}

#[test]
fn if_more_are_lively_than_requests_are_left_high_priority_goes_first_and_then_the_latest_change() {
    let high = |row: u32| (100..110).contains(&row);
    let mut play = Play::new(SETTINGS, SECOND * 30, &roster(300, 0, high)).quiet();
    // 180 change at the same time, which leaves some two of ten requests a tick; ten of them change again later.
    play.ticks(31, |row, _| row >= 120);
    play.ticks(40, |row, _| (120..290).contains(&row));
    assert_eq!(most_beyond_plain(&play.requests, 30, SECOND * 10, SECOND * 30), None);
    let mean = |rows: std::ops::Range<usize>| {
        let lately = rows.flat_map(|row| {
            let gaps = play.gaps(row);
            assert!(gaps[gaps.len() - 6..].iter().all(|&gap| gap <= 40), "{row}: {gaps:?}");
            gaps[gaps.len() - 6..].to_vec()
        });
        let gaps: Vec<u64> = lately.collect();
        gaps.iter().sum::<u64>() / gaps.len() as u64
    };
    let (high, latest, rest) = (mean(100..110), mean(290..300), mean(120..290));
    assert!(high <= 11 && latest <= 14 && rest >= 20, "{high} {latest} {rest}");
}

#[test]
fn a_request_that_is_not_full_is_filled_with_those_who_come_next() {
    let mut play = Play::targets(15).quiet();
    play.ticks(120, |_, _| false);
    // Fifteen quiet ones need 1.5 requests every 285 s, if each takes ten along.
    let sum: usize = play.requests.iter().sum();
    assert!((7..=13).contains(&sum), "{sum} requests for fifteen quiet targets in twenty minutes");
    assert!(play.turns.iter().all(|turns| turns.len() >= 5));
}

#[test]
fn a_round_is_over_once_everybody_was_asked_about() {
    let mut play = Play::targets(100);
    play.ticks(3, |_, _| false);
    let mut expected = vec![(false, false); 10];
    (expected[0].0, expected[9].1) = (true, true);
    assert_eq!(play.rounds, expected);
    let mut play = play.quiet();
    play.ticks(60, |_, _| false);
    let rounds = play.rounds.iter().filter(|(_, last)| *last).count();
    assert!((2..=3).contains(&rounds), "{rounds} rounds of quiet targets in ten minutes");
}

#[test]
fn who_is_let_in_again_and_who_is_new_waits_for_a_turn_within_the_interval_and_delays_nobody() {
    let mut play = Play::targets(200);
    let shed = Shed::of(200, |row| row >= 100);
    play.cadence.leave_out(shed, 10);
    play.ticks(30, |_, _| false);
    assert!(play.turns[100..].iter().all(Vec::is_empty), "nobody asks about those who are left out");
    play.cadence.leave_out(Shed::default(), 20);
    play.ticks(4, |_, _| false);
    assert!(play.turns[100..].iter().all(|turns| !turns.is_empty()));
    assert!((0..100).all(|row| play.gaps(row).iter().all(|&gap| gap <= 40)), "{:?}", play.gaps(0));
    assert!(play.requests[30..].iter().all(|&requests| requests <= 7), "{:?}", play.requests);
}

#[test]
fn what_is_not_handed_out_when_the_list_changes_is_about_those_who_stay() {
    let whole = roster(100, 0, |_| false);
    let Play { cadence, .. } = Play::new(SETTINGS, SECOND * 30, &whole);
    let mut turns = turns::Turns::new(Arc::new(Mutex::new(cadence)));
    let due = turns.prepare(START, START);
    let (first, due) = turns.take(due).expect("a request is due at the start");
    assert_eq!((first.rows[0], due), (0, START + SECOND * 10 / 4), "four in the first tick, evenly spread");
    // All but every third of those that come next stay, and so does nobody of those after them.
    let mut rest = Roster::new(0, 0);
    for row in (0..20).filter(|row| row % 3 != 0) {
        rest.push(whole.id(row), TargetLabels::default());
    }
    let change = Change::between(&whole, &rest).expect("a change");
    turns.move_along(&change.moves);
    lock(turns.kept()).replace(&change, 2);
    let (second, due) = turns.take(due).expect("some of them stay");
    let ids: Vec<&str> = second.rows.iter().map(|&row| change.new.id(row)).collect();
    assert_eq!(ids, ["id-00010", "id-00011", "id-00013", "id-00014", "id-00016", "id-00017", "id-00019"]);
    assert!(turns.take(due).is_none(), "the others of the tick are gone");
    assert_eq!(
        turns.prepare(due, START + SECOND * 5),
        START + SECOND * 10,
        "and the next one comes at its time"
    );
}

#[test]
fn who_stays_keeps_its_pace_when_others_go() {
    let whole = roster(300, 0, |_| false);
    let mut play = Play::new(SETTINGS, SECOND * 30, &whole).quiet();
    play.ticks(31, |row, _| row == 120);
    let mut rest = Roster::new(0, 0);
    for row in 100..300 {
        rest.push(whole.id(row), TargetLabels::default());
    }
    let change = Change::between(&whole, &rest).expect("a change");
    let before: Vec<Turn> = (119..122).map(|row| play.cadence.turn(row, play.now)).collect();
    play.cadence.replace(&change, 20);
    let after: Vec<Pace> = (19..22).map(|row| play.cadence.turn(row, play.now).pace).collect();
    assert_eq!(after, before.iter().map(|turn| turn.pace).collect::<Vec<_>>());
    assert!(matches!(after[..], [Pace::Quiet(_), Pace::Changed(_), Pace::Quiet(_)]), "{after:?}");
}

#[test]
fn a_targets_pace_is_told_with_its_next_turn() {
    let mut play = Play::new(SETTINGS, SECOND * 30, &roster(300, 0, |row| row == 7)).quiet();
    let turn = |play: &Play, row| play.cadence.turn(row, play.now);
    assert_eq!(turn(&play, 7).pace, Pace::High);
    assert!(matches!(turn(&play, 8).pace, Pace::Quiet(since) if since >= SETTINGS.quiet_after));
    let quiet = turn(&play, 8).due.since(play.turns[8][0]);
    assert!(quiet >= SECOND * 140 && quiet <= SECOND * 300, "{quiet:?}");
    play.ticks(31, |row, _| row == 8);
    assert!(matches!(turn(&play, 8).pace, Pace::Changed(ago) if ago <= SECOND * 310));
    let last = *play.turns[8].last().unwrap();
    assert!(turn(&play, 8).due.since(last) <= SECOND * 20, "a lively one's turn may come with the next tick");
    let new = Play::targets(10);
    assert_eq!(turn(&new, 9), Turn { pace: Pace::Regular, due: START + SECOND * 27, settings: SETTINGS });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "this measures how long something takes")]
fn a_million_targets_are_looked_at_in_a_fraction_of_a_second() {
    let mut play = Play::new(SETTINGS, SECOND * 30, &roster(1_000_000, 0, |row| row % 1000 == 0));
    play.ticks(3, |_, _| false);
    let began = std::time::Instant::now();
    play.ticks(10, |_, _| false);
    let took = began.elapsed() / 10;
    println!("a tick of a million targets took {took:?}");
    assert!(took < SECOND / 2, "{took:?}");
}

fn any_settings() -> impl Strategy<Value = (Settings, Duration)> {
    (1_u64..40, 0_u64..60, 0_u64..400, 1_u64..300, 0_u64..300).prop_map(
        |(fastest, more, slow, lively, quiet)| {
            let (seconds, interval) = (Duration::from_secs, fastest + more);
            let settings = Settings {
                fastest: seconds(fastest),
                slowest: seconds(interval + slow),
                lively_for: seconds(lively),
                quiet_after: seconds(lively + quiet),
            };
            (settings, seconds(interval))
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn no_stretch_of_ticks_asks_more_than_plain_rounds_and_nobody_waits_longer_than_slowest_and_a_tick(
        (settings, interval) in any_settings(),
        targets in 1_u32..150,
        high in prop::collection::vec(0_u32..150, 0..40),
        changes in prop::collection::vec((0_u32..150, 1_u64..900), 0..60),
        stalls in prop::collection::vec((0_usize..150, 0_u64..90), 0..4),
    ) {
        let mut play = Play::new(settings, interval, &roster(targets, 0, |row| high.contains(&row)));
        // Late ticks ask no more for it; only where there are none can slowest be kept.
        for tick in 0..150 {
            if let Some((_, late)) = stalls.iter().find(|(at, _)| *at == tick) {
                play.now = play.now + Duration::from_secs(*late);
            }
            play.ticks(1, |row, now| {
                let times = changes.iter().filter(|(who, at)| *who == row && START + Duration::from_secs(*at) <= now);
                times.count() % 2 == 1
            });
        }
        let questions = (targets as usize).div_ceil(IDS);
        let beyond = most_beyond_plain(&play.requests, questions, settings.fastest, interval);
        prop_assert!(stalls.iter().any(|(_, late)| *late > 0) || beyond.is_none(), "{:?}", beyond);
        if stalls.is_empty() {
            let most = settings.slowest + settings.fastest.max(interval / u32::try_from(questions).unwrap());
            for (row, turns) in play.turns.iter().enumerate() {
                let ends = [START].iter().chain(turns).zip(turns.iter().chain([&play.now]));
                let longest = ends.map(|(from, to)| to.since(*from)).max().unwrap_or_default();
                prop_assert!(longest <= most, "{}: {:?}, at most {:?}", row, longest, most);
            }
        }
    }

    #[test]
    fn nobody_is_lost_whatever_lists_follow_one_another(
        (settings, interval) in any_settings(),
        lists in prop::collection::vec((prop::collection::vec(any::<bool>(), 120), 1_usize..20), 1..6),
    ) {
        let whole = roster(120, 0, |row| row % 7 == 0);
        let mut play = Play::new(settings, interval, &whole);
        let mut roster = whole.clone();
        for (wanted, ticks) in lists {
            let mut next = Roster::new(0, 0);
            for (row, _) in (0_u32..).zip(&wanted).filter(|(_, is_in)| **is_in) {
                next.push(whole.id(row), TargetLabels::default());
            }
            if let Some(change) = Change::between(&roster, &next) {
                let questions = (change.new.len() as usize).div_ceil(IDS);
                play.cadence.replace(&change, questions);
                play.turns = vec![Vec::new(); change.new.len() as usize];
                roster = Arc::clone(&change.new);
            }
            play.ticks(ticks, |row, now| (u64::from(row) + now.as_micros() / 60_000_000) % 3 == 0);
        }
        play.turns.iter_mut().for_each(Vec::clear);
        let ticks = (settings.slowest + interval).as_secs().div_ceil(settings.fastest.as_secs()) + 2;
        play.ticks(usize::try_from(ticks).unwrap(), |_, _| true);
        let lost: Vec<usize> = (0..play.turns.len()).filter(|&row| play.turns[row].is_empty()).collect();
        prop_assert!(lost.is_empty(), "{:?} of {}", lost, roster.len());
    }

    #[test]
    fn where_enough_are_quiet_lively_ones_are_asked_about_at_every_tick(
        targets in 200_u32..400,
        high in prop::collection::vec(0_u32..200, 1..9),
    ) {
        let mut play = Play::new(SETTINGS, SECOND * 30, &roster(targets, 0, |row| high.contains(&row))).quiet();
        play.ticks(100, |_, _| false);
        for &row in &high {
            prop_assert!(play.gaps(row as usize).iter().all(|&gap| gap == 10), "{}: {:?}", row, play.gaps(row as usize));
        }
    }
}
