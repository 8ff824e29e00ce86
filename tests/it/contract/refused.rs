//! Credentials and clocks that the provider refuses, tokens that run out, and ids that it does not know or take.

use std::time::Duration;

use presence_exporter::domain::Fault;
use presence_exporter::domain::presence::{Presence, View};
use presence_exporter::providers::REGISTRY;
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

/// How long the credentials of the next test are good.
const GOOD_FOR: Duration = Duration::from_secs(120);

/// The simulated API of a provider whose token is good for [`GOOD_FOR`] and cannot be renewed: a temporary key with its
/// token, or what the provider has instead.
const ENDS: But<fn(&str) -> SimOptions> = But {
    all: |at_ms| temporary("SIMKEYID0001").with("token_expires_ms", at_ms),
    but: &[
        (
            "alibaba_smartag",
            |at_ms| temporary("STS.SIMKEYID0001").with("token_expires_ms", at_ms),
            "STS ids say so",
        ),
        (
            "alibaba_mqtt",
            |at_ms| temporary("STS.SIMKEYID0001").with("token_expires_ms", at_ms),
            "STS ids say so",
        ),
        (
            "openim",
            |at_ms| SimOptions::default().with("ready_token_expires_ms", at_ms),
            "it has an administrator's token, which is given or made of a secret that does not end",
        ),
    ],
};

/// The same for accounts that log in: the user is disabled, so that the token dies and there is no other.
const USER_ENDS: But<fn(&str) -> SimOptions> = But {
    all: ENDS.all,
    but: &[
        ENDS.but[0],
        ENDS.but[1],
        ENDS.but[2],
        (
            "huawei_workspace",
            |at_ms| SimOptions::default().with("auth", "password").with("user_disabled_ms", at_ms),
            "IAM hands out tokens for a password",
        ),
    ],
};

const SESSION_TOKEN: &str = "canary-of-a-session-token";

fn temporary(key_id: &str) -> SimOptions {
    SimOptions { key_id: key_id.into(), token: Some(SESSION_TOKEN.into()), ..SimOptions::default() }
}

#[test]
fn a_token_that_runs_out_for_good_is_unauthorized_and_nobody_turns_offline() {
    together(&[&ENDS, &USER_ENDS], |ends| {
        let stage = {
            let now_ms =
                presence_exporter::ports::Clock::now(&presence_exporter::net::SystemClock::start()).unix_ms;
            let at_ms = (now_ms + i64::try_from(GOOD_FOR.as_millis()).expect("minutes")).to_string();
            let script = Script { web: true, ..Script::default() };
            providers().fold(script, |script, provider| script.api(provider, ends.of(provider)(&at_ms)))
        }
        .play();
        stage.wait_for_truth();
        let before: Vec<_> = providers().map(|source| stage.counts(source)).collect();
        stage.leap(GOOD_FOR + Duration::from_secs(1));
        for kind in REGISTRY {
            stage.wait(&format!("a refusal of {}", kind.name()), || {
                let page = stage.page();
                // Sources of one account share its refusal: the first of them stops the others.
                let refused =
                    REGISTRY.iter().filter(|other| other.cloud().name == kind.cloud().name).any(|other| {
                        let labels =
                            [format!("provider=\"{}\"", other.name()), "reason=\"unauthorized\"".into()];
                        page.lines().any(|line| {
                            line.starts_with("presence_exporter_api_failures_total{")
                                && labels.iter().all(|label| line.contains(label))
                                && !line.ends_with(" 0")
                        })
                    });
                if refused { Ok(()) } else { Err("none".into()) }
            });
        }
        // What is known holds until it is too old; nothing of it changes meanwhile.
        let after: Vec<_> = providers().map(|source| stage.counts(source)).collect();
        assert_eq!(before, after);
        stage.leap(MAX_AGE + Duration::from_secs(1));
        for source in providers() {
            stage.wait_for_unknown(source, reason(Fault::Unauthorized));
        }
        let pages = [stage.page(), stage.fetch("/").1];
        let token = stage.yaml.lines().find_map(|line| line.trim().strip_prefix("token: "));
        let secrets = [SESSION_TOKEN, "simulated-secret-of-no-value"].into_iter();
        for secret in secrets.chain(token.map(|token| token.trim_matches('"'))) {
            assert!(pages.iter().all(|page| !page.contains(secret)), "a secret is shown");
        }
    });
}

/// A token that is refused at once is made anew once for each question, and no more than that.
#[test]
fn tokens_that_are_never_taken_are_unauthorized_and_not_made_for_ever() {
    let stage = alone(Script::default(), "huawei_workspace")
        .switch("huawei_workspace", "auth", "password")
        .switch("huawei_workspace", "token_life_s", "0")
        .play();
    stage.wait_for_unknown("huawei_workspace", reason(Fault::Unauthorized));
    let counts = stage.simulator.record().counts();
    let of = |action| counts.get(&("huawei_workspace", action)).copied().unwrap_or_default();
    let (logins, asked) = (
        of("KeystoneCreateUserTokenByPassword"),
        of("ListDesktopsConnectStatus") + of("ListLoginRecordsNew"),
    );
    assert!(logins >= 2 && logins <= asked + 1, "{counts:?}");
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
    but: &[("openim", None, "its tokens are made and checked by its own clocks; see the next test")],
};

/// The same with Workspace asked by IAM's tokens.
const CLOCK_WITH_TOKENS: But<Option<Fault>> = But {
    all: Some(Fault::ClockSkew),
    but: &[
        CLOCK.but[0],
        ("huawei_workspace", None, "IAM's tokens are made and checked by its own clock; nothing is signed"),
    ],
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
    together(
        &[(1, "key", &CLOCK), (-1, "key", &CLOCK), (1, "password", &CLOCK_WITH_TOKENS)],
        |(hours, auth, clock)| check_clock(*hours, auth, clock),
    );
}

/// `OpenIM`'s own hosts disagree about the time: a new token is as little valid yet as the one before.
#[test]
fn hosts_of_a_server_that_disagree_about_the_time_are_called_a_skewed_clock() {
    let now_ms = presence_exporter::ports::Clock::now(&presence_exporter::net::SystemClock::start()).unix_ms;
    // Past the wait for a first look, and before the end of the leap.
    let right_ms = now_ms + i64::try_from(PAST_PAUSES.as_millis()).expect("minutes") - 1_000;
    for (release, fault) in [("v3.8.2", Fault::ClockSkew), ("v3.8.3", Fault::Unauthorized)] {
        let stage = alone(Script::default(), "openim")
            .switch("openim", "server", release)
            .switch("openim", "token_host_ahead_s", "3600")
            .switch("openim", "token_host_right_ms", &right_ms.to_string())
            .play();
        stage.wait_for_unknown("openim", reason(fault));
        let made = *stage.simulator.record().counts().get(&("openim", "get_admin_token")).expect("a login");
        assert!(made >= 2, "a token that is refused is renewed once: {made}");
        stage.leap(PAST_PAUSES);
        stage.wait_for_truth();
    }
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
