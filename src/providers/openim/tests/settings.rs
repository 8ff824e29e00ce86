//! What a configuration may say, and what is said of a bad one.

use super::*;
use crate::config::testing::MemoryEnv;
use crate::providers::configure::{Configuration, configure};

fn read(account: &str, source: &str) -> Result<Configuration, String> {
    let text = format!(
        "accounts:\n  im:\n    cloud: openim\n{account}sources:\n  staff:\n    account: im\n    provider: \
         openim\n{source}    targets: [two, gone]\n"
    );
    let env = MemoryEnv::default().with_var("IM_SECRET", CANARY);
    configure(&text, &env.shared(), std::path::Path::new("/etc/presence"), 0).map_err(|problems| {
        let text = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(!text.contains("canary"), "{text}");
        text
    })
}

const ACCOUNT: &str =
    "    endpoint: http://im.example:10002/\n    admin_user_id: imAdmin\n    secret: {env: IM_SECRET}\n";

fn asks(configuration: &Configuration, loopback: &Arc<Loopback>) -> Vec<Result<bool, Fault>> {
    let source = &configuration.sources[0];
    let targets: Vec<Target<'_>> = source.roster.iter().collect();
    let (answer, _) = loopback.ask(source.provider.as_ref(), Question::Batch(&targets));
    answer.expect("an answer").rows.into_iter().map(|(_, said)| said.map(|seen| seen.online)).collect()
}

#[test]
fn a_configured_source_asks_its_server_in_its_mode() {
    for (source, evidence, action) in [
        ("", Evidence::FirstSeen, "get_users_online_status"),
        ("    mode: status_only\n", Evidence::None, "get_users_status"),
    ] {
        let configuration = read(ACCOUNT, source).expect("a good configuration");
        let (_, loopback) = setup("v3.8.3");
        assert_eq!(asks(&configuration, &loopback), [Ok(true), Ok(false)]);
        assert_eq!(loopback.sent(), ["get_admin_token", action]);
        let kind = (configuration.sources[0].target_kind, configuration.sources[0].evidence);
        assert_eq!(kind, (Kind::User, evidence));
        assert!((configuration.accounts[0].settings.quota.per_second - 10.0).abs() < f64::EPSILON);
    }
}

#[test]
fn the_token_endpoint_may_be_said() {
    for (api, server, first) in [
        ("user_token", "v3.5.0", "user_token"),
        ("get_admin_token", "main", "get_admin_token"),
        ("auto", "v3.5.0", "get_admin_token"),
    ] {
        let configuration = read(&format!("{ACCOUNT}    api: {api}\n"), "").expect("a good configuration");
        let (_, loopback) = setup(server);
        assert_eq!(asks(&configuration, &loopback), [Ok(true), Ok(false)]);
        assert_eq!(loopback.sent()[0], first);
    }
}

#[test]
fn what_is_missing_or_wrong_is_told_with_its_key() {
    let told = |account: &str, source: &str, words: &str| {
        let problems = read(account, source).err().expect("this is not good");
        assert!(problems.contains(words), "{words}: {problems}");
    };
    let without = |key: &str| {
        let kept: Vec<&str> = ACCOUNT.split_inclusive('\n').filter(|line| !line.contains(key)).collect();
        kept.concat()
    };
    told(&without("endpoint"), "", "endpoint");
    told(&without("admin_user_id"), "", "admin_user_id");
    told(&without("secret"), "", "secret or a token");
    told(&format!("{ACCOUNT}    token: canary\n"), "", "exclude each other");
    told(&format!("{ACCOUNT}    api: newest\n"), "", "api");
    told(ACCOUNT, "    mode: all\n", "mode");
    let nothing = read("", "").err().expect("this is not good");
    assert!(["endpoint", "admin_user_id", "secret"].iter().all(|key| nothing.contains(key)), "{nothing}");
}

#[test]
fn the_simulated_api_gives_the_keys_that_reach_it() {
    let sim = KIND.simulate(options("v3.8.3"));
    let keys = sim.account_keys("http://im.example:1");
    let mut account = String::from("    endpoint: http://im.example:1\n");
    for (key, value) in &keys {
        account.extend(["    ", key, ": ", value, "\n"]);
    }
    let configuration = read(&account, "").expect("a good configuration");
    assert_eq!(sim.source_keys(&world().populations[0]), []);
    let loopback = Loopback::new(sim, world(), NOW_MS);
    assert_eq!(asks(&configuration, &loopback), [Ok(true), Ok(false)]);
}
