use std::collections::HashSet;

use super::super::fake;
use super::super::truth::Truth;
use super::*;

const ORIGIN: i64 = 1_780_000_000_000;
const PROVIDERS: [&str; 6] =
    ["alibaba_smartag", "alibaba_mqtt", "volcengine_rtc", "openim", "huawei_workspace", "a_sixth"];

fn world(seed: u64, targets: usize, populations: usize) -> World {
    let kinds: Vec<&'static dyn ProviderKind> = PROVIDERS.iter().map(|name| fake::kind(name, name)).collect();
    let scenario = Scenario { seed, default_targets: targets, populations, ..Scenario::default() };
    scenario.world(&kinds, ORIGIN)
}

#[test]
fn the_same_seed_gives_the_same_world_and_another_gives_another() {
    let text = |seed| {
        let subjects = |p: &Population| format!("{} {:?}", p.scope, p.subjects);
        world(seed, 60, 2).populations.iter().map(subjects).collect::<Vec<_>>()
    };
    let (once, again, other) = (text(3), text(3), text(4));
    assert!(once == again, "the same seed, another world");
    assert!(once.iter().zip(&other).all(|(a, b)| a != b), "another seed, the same population");
    assert!(once[0] != once[1], "two populations of one provider are the same");
    let count = |name| world(3, 1, 2).of_provider(name).count();
    assert_eq!((count("alibaba_mqtt"), count("openim"), count("huawei_workspace")), (2, 1, 1));
}

#[test]
fn about_sixty_percent_are_online_at_any_time() {
    for seed in [1, 2, 99] {
        let world = world(seed, 300, 1);
        for minutes in (-23 * 60..24 * 60).step_by(41) {
            for p in Truth::at(&world, ORIGIN + minutes * 60_000).populations {
                let share = p.online * 100 / 300;
                assert!(
                    (53..=66).contains(&share),
                    "{} {share} % after {minutes} min, seed {seed}",
                    p.provider
                );
            }
        }
    }
}

#[test]
fn even_two_subjects_are_one_online_and_one_offline_at_the_start() {
    for seed in 0..50 {
        for p in Truth::at(&world(seed, 2, 1), ORIGIN).populations {
            assert_eq!((p.online, p.offline), (1, 1), "{} seed {seed}", p.provider);
        }
    }
}

#[test]
fn ids_of_ten_thousand_subjects_are_distinct_and_sessions_are_in_order() {
    let world = world(5, 10_000, 1);
    let mut sessions = HashSet::new();
    for population in &world.populations {
        let ids: HashSet<&str> = population.subjects.iter().map(|s| s.id.as_str()).collect();
        assert_eq!(ids.len(), 10_000, "{}", population.provider);
        for subject in &population.subjects {
            assert!(subject.sessions.is_sorted_by_key(|s| s.start_ms), "{}", subject.id);
            for session in &subject.sessions {
                assert!(sessions.insert(session.id), "session {} stands twice", session.id);
                let stands = session.start_ms + session.setup_ms <= session.end_ms;
                assert!(stands || session.failure.is_some(), "{session:?}");
            }
        }
    }
    assert!(sessions.len() < 60_000 * 40, "{} sessions", sessions.len());
}

#[test]
fn ids_are_such_as_the_provider_takes() {
    let world = world(6, 2_000, 2);
    for population in &world.populations {
        for subject in &population.subjects {
            let id = &subject.id;
            let good = match population.provider {
                "alibaba_smartag" => (7..=33).contains(&id.len()),
                "alibaba_mqtt" => id.contains("@@@") && id.len() <= 64,
                "volcengine_rtc" => id.parse::<i64>().is_ok_and(|n| n > 0 && n.to_string() == *id),
                "huawei_workspace" => id.len() <= 15 && subject.user.ends_with("@local.com"),
                _ => true,
            };
            assert!(good, "{} {id}", population.provider);
        }
    }
    let app = &world.population("volcengine_rtc", &world.of_provider("volcengine_rtc").next().unwrap().scope);
    assert!(app.unwrap().scope.parse::<i32>().is_ok());
}

#[test]
fn there_is_everything_that_a_provider_can_show() {
    let world = world(7, 400, 1);
    let of = |name| world.of_provider(name).next().unwrap();
    let most_open = |name| of(name).subjects.iter().map(|s| s.open(ORIGIN).count()).max().unwrap();
    assert!(most_open("openim") >= 3 && most_open("volcengine_rtc") >= 2);
    assert_eq!((most_open("alibaba_mqtt"), most_open("huawei_workspace")), (1, 1));
    let sessions = || of("huawei_workspace").subjects.iter().flat_map(|s| &s.sessions);
    assert!(sessions().any(|s| s.failure.is_some()));
    assert!(of("alibaba_mqtt").subjects.iter().flat_map(|s| &s.sessions).all(|s| s.failure.is_none()));
    let reconnects = of("huawei_workspace")
        .subjects
        .iter()
        .flat_map(|s| s.sessions.windows(2))
        .filter(|pair| {
            pair[0].failure.is_none() && (0..10_000).contains(&(pair[1].start_ms - pair[0].end_ms))
        })
        .count();
    assert!(reconnects > 5, "{reconnects}");
    assert!(of("openim").subjects.iter().any(|s| !s.id.is_ascii()));
    let changes = |behaviour_minutes: i64| {
        of("openim")
            .subjects
            .iter()
            .filter(|s| s.is_online(ORIGIN) != s.is_online(ORIGIN + behaviour_minutes * 60_000))
            .count()
    };
    assert!(changes(2) > 20, "{} changed within two minutes", changes(2));
}
