//! Accounts and sources read from text, good and bad.

use secrecy::ExposeSecret;

use super::*;
use crate::config::testing::{MemoryEnv, read};

fn account(yaml: &str, env: &MemoryEnv) -> (Option<AccountSettings>, Vec<String>) {
    read(yaml, env, |context, node| {
        let reader = Reader::open(context, node, "accounts.a", &[ACCOUNT_KEYS], None)?;
        read_account(&reader, "a", 7.5)
    })
}

fn source(defaults: &str, yaml: &str) -> (Option<SourceSettings>, Vec<String>) {
    let yaml =
        format!("defaults: {{{defaults}}}\nsource: {{account: a, provider: p, targets: [x], {yaml}}}\n");
    read(&yaml, &MemoryEnv::default(), |context, node| {
        const KEYS: &[Key] = &[
            Key { name: "defaults", shape: Shape::Map, need: Need::Required, doc: "" },
            Key { name: "source", shape: Shape::Map, need: Need::Required, doc: "" },
        ];
        let file = Reader::open(context, node, "", &[KEYS], None)?;
        let (source, defaults) = (file.node("source")?, file.node("defaults"));
        let _ = Reader::open(context, defaults?, "defaults", &[DEFAULTS_KEYS], None);
        let reader = Reader::open(context, source, "sources.s", &[SOURCE_KEYS, DEFAULTS_KEYS], defaults)?;
        read_source(&reader, "s")
    })
}

fn check_source(defaults: &str, yaml: &str, expected: &[&str]) {
    assert_eq!(source(defaults, yaml).1, expected);
}

#[test]
fn an_account_needs_no_more_than_its_cloud() {
    let (account, problems) = account("cloud: x\n", &MemoryEnv::default());
    assert_eq!(problems, [""; 0]);
    let account = account.expect("nothing is wrong");
    assert_eq!((account.name.as_str(), account.quota.per_second, account.concurrency), ("a", 7.5, 4));
    assert!(account.endpoint.is_none() && account.outbound.proxy.is_none());
}

#[test]
fn an_account_takes_files_and_a_proxy() {
    let env = MemoryEnv::default()
        .with_file("/etc/presence/ca.pem", "-----BEGIN CERTIFICATE-----\nca\n")
        .with_file("/abs/cert.pem", "-----BEGIN CERTIFICATE-----\ncert\n")
        .with_file("/abs/key.pem", "-----BEGIN RSA PRIVATE KEY-----\nkey\n")
        .with_var("PROXY", "http://u:p%40ss@proxy:3128\n");
    let yaml = "cloud: x\nca_file: ca.pem\nclient_cert_file: /abs/cert.pem\nclient_key_file: /abs/key.pem\n\
                proxy: {env: PROXY}\nendpoint: https://gate.example:8443/api/\nrequests_per_second: 0.5\n";
    let (account, problems) = account(yaml, &env);
    assert_eq!(problems, [""; 0]);
    let account = account.expect("nothing is wrong");
    assert_eq!(account.endpoint.as_deref(), Some("https://gate.example:8443/api"));
    assert!((account.quota.per_second - 0.5).abs() < f64::EPSILON);
    let outbound = account.outbound;
    assert!(outbound.ca_pem.is_some_and(|pem| pem.ends_with("ca\n")));
    assert_eq!(outbound.proxy.expect("given").expose_secret(), "http://u:p%40ss@proxy:3128");
    let identity = outbound.identity_pem.expect("given");
    assert!(identity.expose_secret().contains("cert\n") && identity.expose_secret().contains("PRIVATE KEY"));
}

#[test]
fn certificates_and_proxies_that_cannot_be_are_noted_without_their_content() {
    let env = MemoryEnv::default().with_file("/etc/presence/key.pem", "canary");
    let yaml = "cloud: x\nca_file: none.pem\nclient_key_file: key.pem\nproxy: \"http://u:canary@proxy\"\n";
    let (account, problems) = account(yaml, &env);
    assert!(account.is_none());
    let starts = [
        "2:10: accounts.a.ca_file: the file named here cannot be read: there is no such file",
        "3:18: accounts.a.client_key_file: the file named here holds no private key in PEM",
        "3:18: accounts.a.client_key_file: `client_key_file` without `client_cert_file`",
        "4:8: accounts.a.proxy: this is not the address of an HTTP proxy",
    ];
    assert_eq!(problems.len(), starts.len(), "{problems:#?}");
    for (problem, start) in problems.iter().zip(starts) {
        assert!(problem.starts_with(start) && !problem.contains("canary"), "{problem}");
    }
}

#[test]
fn a_source_takes_its_own_value_then_the_defaults_then_ours() {
    let (source, problems) = source("interval: 1m, max_age: 5m", "interval: 20s");
    assert_eq!(problems, [""; 0]);
    let source = source.expect("nothing is wrong");
    let seconds = Duration::from_secs;
    assert_eq!(
        (source.interval, source.timeout, source.max_age),
        (seconds(20), seconds(10), Some(seconds(300)))
    );
}

#[test]
fn a_bad_default_is_noted_once_and_where_it_stands() {
    check_source(
        "interval: soon",
        "",
        &["1:22: defaults.interval: `soon` is not a duration (write it like 30s, 5m or 1h 30m)"],
    );
}

#[test]
fn max_age_must_outlast_interval_and_timeout() {
    let what =
        "max_age is shorter than interval and timeout together: targets would be unknown between answers";
    let hint = |least| format!("(max_age must be at least {least} here)");
    check_source("", "max_age: 39s", &[&format!("2:58: sources.s.max_age: {what} {}", hint("40s"))]);
    check_source("", "max_age: 40s", &[]);
    check_source("max_age: 30s", "interval: 5s", &[]);
    check_source(
        "max_age: 30s",
        "interval: 1m",
        &[&format!("2:59: sources.s.interval: {what} {}", hint("1m 10s"))],
    );
    check_source("max_age: 30s", "", &[&format!("1:21: defaults.max_age: {what} {}", hint("40s"))]);
}

#[test]
fn every_default_in_the_tables_is_good() {
    for key in [ACCOUNT_KEYS, DEFAULTS_KEYS, SOURCE_KEYS, TARGET_KEYS, FILE_KEYS].concat() {
        if let Need::Default(text) = key.need {
            let good = crate::config::shape::check_text(key.shape, crate::config::Place::default(), text);
            assert!(good.is_ok(), "{}: {good:?}", key.name);
        }
    }
}
