//! A provider that asks us to wait is not asked meanwhile, and one that refuses us is not hammered. Judged by the
//! simulator's record of what came.

use std::time::Duration;

use presence_exporter::domain::Tick;
use presence_exporter::providers::sim::{SimOptions, Trouble};
use presence_exporter::simulator::faults::Kind;
use presence_exporter::simulator::record::Entry;

use crate::stage::{Script, Stage};

/// One question at a time, so that nothing is under way when the first refusal arrives.
fn one_by_one() -> Stage {
    Script::default().edit(|yaml| yaml.replace("    cloud:", "    concurrency: 1\n    cloud:")).play()
}

/// When requests of a cloud were struck, in order; and when any came after the first of these.
fn since_struck(stage: &Stage, cloud: &str) -> Vec<Tick> {
    let entries = stage.simulator.record().entries();
    let of_cloud = entries.iter().filter(|entry| entry.cloud == cloud);
    of_cloud.skip_while(|entry| entry.fault.is_none()).map(|entry| entry.at.tick).collect()
}

/// Waits until so many requests came to each cloud from the first struck one on; returns their instants.
fn wait_for_struck(stage: &Stage, count: usize) -> Vec<(&'static str, Vec<Tick>)> {
    stage.wait("requests at every cloud", || {
        let clouds = stage.simulator.addresses().into_iter();
        let ticks: Vec<_> = clouds.map(|(cloud, _)| (cloud, since_struck(stage, cloud))).collect();
        let there = ticks.iter().all(|(_, ticks)| ticks.len() >= count);
        if there { Ok(ticks) } else { Err(format!("{ticks:?}")) }
    })
}

#[test]
fn no_request_leaves_while_the_provider_wants_us_to_wait() {
    const WAIT: Duration = Duration::from_secs(40);
    let stage = one_by_one();
    stage.wait_for_truth();
    stage.strike(Kind::Worded(Trouble::Throttled { retry_after_s: Some(40) }));
    wait_for_struck(&stage, 1);
    stage.wait_for_failures();
    // Whoever forgets the wait has every reason to ask now; who keeps it has two seconds to go.
    stage.leap(WAIT.saturating_sub(Duration::from_secs(2)));
    for (cloud, ticks) in wait_for_struck(&stage, 2) {
        assert!(ticks[1].since(ticks[0]) >= WAIT, "{cloud}: asked after {:?}", ticks[1].since(ticks[0]));
    }
}

#[test]
fn a_provider_that_only_says_slow_down_is_asked_ever_more_slowly() {
    let stage = one_by_one();
    stage.wait_for_truth();
    stage.strike(Kind::Worded(Trouble::Throttled { retry_after_s: None }));
    for (cloud, ticks) in wait_for_struck(&stage, 4) {
        let gaps: Vec<f64> = ticks.windows(2).map(|pair| pair[1].since(pair[0]).as_secs_f64()).collect();
        // A second, doubled each time, of which chance leaves at least half.
        for (gap, least) in gaps.iter().zip([0.5, 1.0, 2.0]) {
            assert!(*gap >= least, "{cloud}: {gaps:?}");
        }
    }
}

/// Who is asked with the right secret, and so goes on as always: when it was asked, the others would have been, too.
const PACEMAKER: &str = "volcengine_rtc";

#[test]
fn a_refused_key_is_never_asked_so_often_that_it_is_locked() {
    // Workspace's gateway locks a key for five minutes after more than five refusals in a row.
    const WINDOW: Duration = Duration::from_secs(300);
    const REFUSALS: usize = 5;
    let secret = SimOptions::default().secret;
    let stage = Script::default()
        .api(PACEMAKER, SimOptions { secret: "another-secret".into(), ..SimOptions::default() })
        .edit(move |yaml| yaml.replace(&secret, "a-mistyped-secret"))
        .play();
    let beats = || {
        let counts = stage.simulator.record().counts();
        counts.iter().filter(|((provider, _), _)| *provider == PACEMAKER).map(|(_, count)| count).sum::<u64>()
    };
    for _ in 0..20 {
        let before = beats();
        stage.leap(Duration::from_secs(61));
        stage.wait(
            "the next round",
            || if beats() > before { Ok(()) } else { Err(format!("{before} before")) },
        );
    }
    for (cloud, _) in stage.simulator.addresses() {
        let record = stage.simulator.record();
        let refused = |entry: &Entry| entry.cloud == cloud && entry.provider != PACEMAKER;
        let worst = record.fullest_window_of(refused, WINDOW);
        let asked = record.entries().iter().filter(|entry| refused(entry)).count();
        assert!(worst <= REFUSALS, "{cloud}: {worst} refused requests within {WINDOW:?}");
        assert!(
            asked >= 3 || cloud == "volcengine",
            "{cloud} was asked {asked} times: is nobody trying any more?"
        );
    }
}
