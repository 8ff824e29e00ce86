//! Credentials and clocks that the provider refuses, tokens that run out, and ids that it does not know or take.

use std::time::Duration;

use presence_exporter::domain::Fault;
use presence_exporter::domain::presence::{Presence, View};
use presence_exporter::providers::sim::SimOptions;

use super::truth::alone;
use super::{But, providers, together};
use crate::stage::{MAX_AGE, PAST_PAUSES, Script, Stage, reason};

const MINUTE: Duration = Duration::from_secs(60);

fn wait_for_all_unknown(stage: &Stage, fault: Fault) {
    for (source, _) in stage.sources() {
        stage.wait_for_unknown(&source, reason(fault));
    }
}

#[test]
fn a_wrong_secret_is_unauthorized() {
    let SimOptions { secret, key_id, .. } = SimOptions::default();
    together(&[(secret, "a-mistyped-secret"), (key_id, "NOSUCHKEYID1")], |(right, wrong)| {
        let (right, wrong) = (right.clone(), *wrong);
        for auth in ["key", "password"] {
            let right = right.clone();
            let script = Script::default().switch("huawei_workspace", "auth", auth);
            wait_for_all_unknown(
                &script.edit(move |yaml| yaml.replace(&right, wrong)).play(),
                Fault::Unauthorized,
            );
        }
    });
}

/// Temporary keys whose token the provider does not take, or no longer.
#[test]
fn a_temporary_key_works_with_its_token_and_not_with_another() {
    let temporary = |script: Script| {
        providers().filter(|name| *name != "openim").fold(script, |script, provider| {
            let key_id = if provider.starts_with("alibaba") { "STS.SIMKEYID0001" } else { "SIMKEYID0001" };
            let token = Some("simulated-session-token".into());
            script.api(provider, SimOptions { key_id: key_id.into(), token, ..SimOptions::default() })
        })
    };
    let good = temporary(Script::default()).play();
    good.wait_for_truth();
    let stale = temporary(Script::default())
        .edit(|yaml| yaml.replace("simulated-session-token", "simulated-session-token-of-yesterday"))
        .play();
    for (source, population) in stale.sources() {
        // It has an administrator's secret and no temporary keys.
        if population.provider != "openim" {
            stale.wait_for_unknown(&source, reason(Fault::Unauthorized));
        }
    }
}

#[test]
fn a_temporary_key_that_runs_out_is_unauthorized_and_no_skewed_clock() {
    // The simulated servers of the others know a token or do not; only this gateway knows when one ends.
    let stage = {
        let now_ms =
            presence_exporter::ports::Clock::now(&presence_exporter::net::SystemClock::start()).unix_ms;
        let ends = (now_ms + 120_000).to_string();
        ["alibaba_smartag", "alibaba_mqtt"].into_iter().fold(Script::default(), |script, provider| {
            let key_id = "STS.SIMKEYID0001".into();
            let options =
                SimOptions { key_id, token: Some("a-session-token".into()), ..SimOptions::default() };
            script.api(provider, options.with("token_expires_ms", &ends))
        })
    }
    .play();
    stage.wait_for_truth();
    stage.leap(2 * MINUTE + Duration::from_secs(1));
    stage.wait("a refusal", || {
        let refused = stage.simulator.record().entries().iter().any(|entry| entry.status == Some(400));
        if refused { Ok(()) } else { Err("none".into()) }
    });
    stage.leap(MAX_AGE + Duration::from_secs(1));
    stage.wait_for_unknown("alibaba_smartag", "unauthorized");
    stage.wait_for_unknown("alibaba_mqtt", "unauthorized");
}

#[test]
fn a_token_that_runs_out_is_renewed_and_nobody_notices() {
    let stage = Script::default()
        .switch("openim", "token_seconds", "60")
        .switch("huawei_workspace", "auth", "password")
        .switch("huawei_workspace", "token_life_s", "60")
        .play();
    stage.wait_for_truth();
    let logins = || {
        let counts = stage.simulator.record().counts();
        let of = |provider, action| counts.get(&(provider, action)).copied().unwrap_or_default();
        [of("openim", "get_admin_token"), of("huawei_workspace", "KeystoneCreateUserTokenByPassword")]
    };
    for round in 1..=4 {
        let before = logins();
        stage.leap(MINUTE + Duration::from_secs(1));
        let since = stage.now();
        stage.wait("answers with new tokens", || {
            for source in ["openim", "huawei_workspace"] {
                let counts = stage.counts(source);
                assert!(counts.unknown.is_empty(), "round {round}: {source}: {counts:?}");
            }
            let now = logins();
            let renewed = now.iter().zip(before).all(|(now, before)| *now > before);
            if renewed { Ok(()) } else { Err(format!("logins: {before:?}, then {now:?}")) }
        });
        stage.wait_for_truth_of(&["openim", "huawei_workspace"], since);
    }
    assert!(
        logins().iter().all(|logins| *logins <= 12),
        "tokens are kept, not made for each question: {:?}",
        logins()
    );
}

const CLOCK: But<Option<Fault>> = But {
    all: Some(Fault::ClockSkew),
    but: &[(
        "openim",
        None,
        "its tokens are made and checked by its own clock; two hosts that disagree are not simulated",
    )],
};

fn check_clock(hours: i64, auth: &str, clock: &But<Option<Fault>>) {
    let mut script = Script::default().switch("huawei_workspace", "auth", auth);
    script.options.clock_offset_ms = hours * 3_600_000;
    let stage = script.play();
    for (source, population) in stage.sources() {
        match clock.of(population.provider) {
            Some(fault) => stage.wait_for_unknown(&source, reason(fault)),
            None => stage.wait_for_truth_of(&[&source], stage.now()),
        }
    }
    stage.simulator.set_clock_offset_ms(0);
    stage.leap(PAST_PAUSES);
    stage.wait_for_truth();
}

#[test]
fn a_clock_that_the_provider_refuses_is_called_so_and_nobody_turns_offline() {
    together(&[(1, "key"), (-1, "key")], |(hours, auth)| check_clock(*hours, auth, &CLOCK));
}

/// What is shown of an id that the provider has never heard of.
const UNKNOWN_ID: But<Presence> = But {
    all: Presence::Offline,
    but: &[(
        "huawei_workspace",
        Presence::Unknown(presence_exporter::domain::UnknownReason::Fault(Fault::RefusedId)),
        "a complete list without the desktop says that there is no such desktop",
    )],
};

const UNKNOWN_IDS: But<&str> = But {
    all: "nobody-of-that-name",
    but: &[
        ("alibaba_mqtt", "GID_fleet@@@nobody", "a client id is <group>@@@<device>"),
        ("volcengine_rtc", "4711471147114711", "ids are integers"),
    ],
};

#[test]
fn an_id_that_the_provider_does_not_know_is_what_its_contract_says() {
    let script =
        providers().fold(Script::default(), |script, name| script.target(name, UNKNOWN_IDS.of(name)));
    let stage = script.play();
    stage.wait("every target", || {
        for (source, population) in stage.sources() {
            let (stranger, expected) =
                (UNKNOWN_IDS.of(population.provider), UNKNOWN_ID.of(population.provider));
            for (id, view) in stage.views(&source) {
                let right = if id == stranger { view.presence == expected } else { is_known(&view) };
                if !right {
                    return Err(format!("{source}: {id}: {view:?}"));
                }
            }
        }
        Ok(())
    });
}

fn is_known(view: &View) -> bool {
    !matches!(view.presence, Presence::Unknown(_))
}

/// Ids that a provider refuses together with the whole batch that they stand in.
const REFUSED_IDS: &[(&str, &str)] =
    &[("alibaba_smartag", "no such name!"), ("alibaba_mqtt", "no-group-and-no-device")];

#[test]
fn an_id_that_is_refused_costs_nobody_else_their_answer() {
    together(REFUSED_IDS, |(provider, refused)| {
        let stage = alone(Script::default(), provider).target(provider, refused).play();
        stage.wait("the others", || {
            for (id, view) in stage.views(provider) {
                let right = if id == *refused {
                    view.presence
                        == Presence::Unknown(presence_exporter::domain::UnknownReason::Fault(
                            Fault::RefusedId,
                        ))
                } else {
                    is_known(&view)
                };
                if !right {
                    return Err(format!("{id}: {view:?}"));
                }
            }
            Ok(())
        });
    });
}

/// How a source is made to ask for an instance that is not there.
const NO_INSTANCE: But<Option<(&'static str, &'static str)>> = But {
    all: None,
    but: &[
        ("alibaba_smartag", Some(("instance:", "instance: sag-of-somebody-else")), "the instance's id"),
        ("alibaba_mqtt", Some(("instance:", "instance: post-cn-of-somebody-else")), "the instance's id"),
        ("volcengine_rtc", Some(("app_id:", "app_id: 47114711")), "the app's id"),
    ],
};

const MISSING_INSTANCE: But<Fault> = But {
    all: Fault::Rejected,
    but: &[(
        "alibaba_mqtt",
        Fault::Forbidden,
        "to the caller an instance that is not theirs is one without permission",
    )],
};

#[test]
fn an_instance_that_is_not_there_is_refused_and_says_nothing_of_anybody() {
    let named: Vec<_> = providers().filter_map(|name| Some((name, NO_INSTANCE.of(name)?))).collect();
    assert_eq!(named.len(), 3, "OpenIM's server and Workspace's project belong to the account");
    together(&named, |&(provider, (key, line))| {
        let edit = move |yaml: String| {
            let lines = yaml.lines().map(|old| {
                if old.trim_start().starts_with(key) { format!("    {line}\n") } else { format!("{old}\n") }
            });
            lines.collect()
        };
        let stage = alone(Script::default(), provider).edit(edit).play();
        wait_for_all_unknown(&stage, MISSING_INSTANCE.of(provider));
    });
}
