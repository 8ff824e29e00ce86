//! Budgets over what an exporter goes through beside failures: lists that change under it, and its own ends, orderly ones
//! and others, with a state file. The judge is what went over the wire.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use futures_util::future::{join, pending};
use presence_exporter::daemon::{Exporter, Recalled};
use presence_exporter::domain::Tick;
use presence_exporter::ports::{Clock as _, Ports};
use presence_exporter::providers::REGISTRY;
use presence_exporter::providers::configure::configure;
use presence_exporter::simulator::{Core, setup};
use tokio::sync::watch;

use super::{BEGIN_MS, Play, SECOND};
use crate::lists::{Files, Play as Lists, everybody, lines};
use crate::pools::with_twins;
use crate::simulation::play::{Nothing, Seeded};
use crate::simulation::wire::{Way, Wire};
use crate::stage::still_world;
use crate::tempos::with_slow_twins;
use crate::virtual_time::VirtualClock;

/// What an account may send in an hour, beside 60 requests a minute and 7 a second.
const AN_HOUR: usize = 900;

/// A configuration in which accounts may send so many requests an hour.
fn with_quota(yaml: &str, an_hour: usize) -> String {
    let quota = format!(
        "    requests_per_second: 7\n    requests_per_minute: 60\n    requests_per_hour: {an_hour}\n    endpoint: "
    );
    yaml.replace("    endpoint: ", &quota)
}

/// The most of these instants in any stretch of this length.
fn fullest(sent: &[Tick], length: Duration) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (number, at) in sent.iter().enumerate() {
        while at.since(sent[first]) >= length {
            first += 1;
        }
        most = most.max(number + 1 - first);
    }
    most
}

/// No stretch of any length holds more requests to one cloud than its windows allow.
fn assert_within(wire: &Wire, an_hour: usize) -> Vec<usize> {
    let windows = [(1, 7), (60, 60), (3_600, an_hour)];
    let log = wire.log();
    let clouds = wire.core().clouds().len();
    let of = |server: usize| {
        let sent = log.calls.iter().filter(|call| call.server == server).map(|call| call.sent.tick);
        sent.collect::<Vec<_>>()
    };
    for server in 0..clouds {
        let sent = of(server);
        for seconds in [1_u32, 2, 5, 30, 59, 60, 61, 90, 600, 3_599, 3_600, 4_000] {
            let allowed = windows
                .iter()
                .map(|(length, calls): &(u32, usize)| calls * seconds.div_ceil(*length) as usize)
                .min();
            let most = fullest(&sent, SECOND * seconds);
            assert!(Some(most) <= allowed, "{most} requests in {seconds} s to server {server}");
        }
    }
    (0..clouds).map(|server| fullest(&of(server), SECOND * 3_600)).collect()
}

#[test]
fn no_window_exceeds_its_budget_while_lists_change_and_providers_fail_and_recover() {
    hours_of_trouble(&with_twins);
    hours_of_trouble(&|yaml| with_slow_twins(yaml, "    interval: 25s\n"));
}

/// With two sources beside each other, made by `twins`, whose lists have a part in common.
fn hours_of_trouble(twins: &dyn Fn(&str) -> String) {
    let files = Files::default();
    let everybody = everybody(90);
    let mut rng = Rng::with_seed(11);
    let write = |files: &Files, rng: &mut Rng| {
        for (provider, ids) in &everybody {
            for suffix in ["", "_b"] {
                let share = [0.2, 0.9, 1.0, 0.0][rng.usize(..4)];
                let some = ids.iter().filter(|_| rng.f64() < share);
                files.write(&format!("{provider}{suffix}.txt"), lines(some));
            }
        }
    };
    write(&files, &mut rng);
    let mut play = Lists::new(90, files, |yaml| with_quota(&twins(&yaml), AN_HOUR));
    play.run(async |play| {
        for fault in
            ["all:throttle", "all:server-error~30%", "all:reset~20%", "all:throttle~20%", "all:hang~10%"]
        {
            for _ in 0..6 {
                write(&play.files, &mut rng);
                play.wait(Duration::from_millis(rng.u64(3_000..60_000))).await;
            }
            play.strike(fault);
            play.wait(SECOND * 90).await;
            play.recover();
            play.wait(SECOND * 60).await;
        }
        play.assert_true();
        let busiest = assert_within(&play.wire, AN_HOUR).into_iter().max();
        assert!(busiest >= Some(350), "{busiest:?} requests in half an hour are no use of 900 an hour");
    });
}

/// One process.
struct Life {
    /// How long it polls.
    length: Duration,
    /// Whether it ends without a last save.
    killed: bool,
    /// How long it is until the next one begins.
    pause: Duration,
}

/// Processes with one state file, one after the other; what went over the wire in all of them.
fn live(lives: impl Iterator<Item = Life>, an_hour: usize) -> Arc<Wire> {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let play = Play { targets: 120, ..Play::default() };
    let clock = VirtualClock::new(BEGIN_MS);
    let core =
        Core::new(&play.options, REGISTRY, Arc::new(still_world(REGISTRY, 120, BEGIN_MS)), clock.now());
    let yaml = setup::config_yaml(&core, &Wire::endpoints(core.clouds().len()), &play.setup);
    let yaml = with_quota(&yaml.replace("    requests_per_second: 7\n", ""), an_hour);
    let wire = Wire::new(clock.clone(), core, (10, 10), 1);
    for (number, Life { length, killed, pause }) in (0..).zip(lives) {
        let ports = Ports {
            network: Arc::new(Way(wire.clone())),
            clock: clock.clone(),
            entropy: Arc::new(Seeded(Mutex::new(Rng::with_seed(number)))),
            env: Arc::new(Nothing),
        };
        let read = configure(&yaml, &ports.env, Path::new(""), 0);
        let mut configuration = read.unwrap_or_else(|problems| panic!("{problems:?}"));
        let recalled = Recalled::open(&state, &mut configuration, clock.now()).expect("a good place");
        let mut exporter = Exporter::assemble(configuration, ports).expect("there is a way out");
        exporter.keep_state(recalled).expect("the file can be used");
        let saving = exporter.saving().expect("state is kept");
        let (stop, stopped) = watch::channel(false);
        let (saved, ended) = watch::channel(false);
        let end = clock.now().tick + length;
        let polling = async {
            exporter.poll(stopped).await;
            saved.send(true).expect("the file is kept until the end");
        };
        let whole = async {
            tokio::select! {
                _ = join(polling, saving.run(ended)) => {}
                () = async {
                    clock.sleep_until(end).await;
                    if !killed {
                        stop.send(true).expect("polling goes on until it is told to stop");
                        pending::<()>().await;
                    }
                } => {}
            }
        };
        clock.run(SECOND * 1_000, whole).expect("it ends");
        let next = clock.now().tick + pause;
        clock.run(pause + SECOND, clock.sleep_until(next)).expect("time passes");
    }
    wire
}

#[test]
fn no_window_exceeds_its_budget_however_often_the_exporter_ends_and_starts() {
    let mut rng = Rng::with_seed(5);
    let wire = live(
        (0..40).map(|number| Life {
            length: Duration::from_millis(rng.u64(200..90_000)),
            killed: number % 2 == 0,
            // Some starts follow at once, others after a while.
            pause: Duration::from_millis(rng.u64(0..100_000) * (number % 4)),
        }),
        AN_HOUR,
    );
    let busiest = assert_within(&wire, AN_HOUR).into_iter().max();
    assert!(busiest >= Some(300), "{busiest:?} requests in the best hour are no use of 900");
}

#[test]
fn a_process_that_crashes_again_and_again_spends_no_more_than_one_that_lives() {
    const LITTLE: usize = 60;
    let mut rng = Rng::with_seed(6);
    // None lives for long enough that much of what it sends is saved.
    let life = |_| Life {
        length: Duration::from_millis(rng.u64(200..1_400)),
        killed: true,
        pause: Duration::from_millis(10),
    };
    let wire = live((0..200).map(life), LITTLE);
    assert_within(&wire, LITTLE);
}
