//! Lists the clients of the simulated MQTT, in process.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::providers::alibaba::fixtures::{NOW_MS, SECRET, api, options, reply, subject};
use crate::providers::alibaba_mqtt::{KIND, NAME, VERSION};
use crate::providers::loopback::Loopback;
use crate::providers::sim::{Population, SimOptions, SimReply, World};
use crate::providers::{ProviderKind, Question};

/// Two groups, of 7 and of 230 clients.
fn ids() -> Vec<String> {
    let small = (0..7).map(|n| format!("GID_a@@@{n}"));
    small.chain((0..230).map(|n| format!("GID-b@@@dev {n:03}+%/"))).collect()
}

fn open(options: SimOptions, instance: &str) -> (Client, Arc<Loopback>) {
    let client = Client::new(api(&options, SECRET, VERSION), instance.into(), false, None);
    let subjects = ids().iter().map(|id| subject(id, &[])).collect();
    let world = World { populations: vec![Population::new(NAME, "post-1", subjects)] };
    (client, Loopback::new(KIND.simulate(options), world, NOW_MS))
}

fn found(client: &Client, loopback: &Arc<Loopback>) -> Result<Vec<String>, Failure> {
    let answer = loopback.ask(client, Question::Discover(0)).0?;
    let mut ids: Vec<String> = answer.found.into_iter().map(|found| found.id).collect();
    ids.sort();
    Ok(ids)
}

fn everybody() -> Vec<String> {
    let mut ids = ids();
    ids.sort();
    ids
}

/// Changes the page of clients in every reply that has one.
fn lie(loopback: &Arc<Loopback>, edit: impl Fn(u32, &mut Value) + Send + 'static) {
    loopback.meddle(move |number, reply| {
        let mut body: Value = serde_json::from_slice(&reply.body).unwrap();
        if reply.action == CLIENT_IDS.name {
            edit(number, &mut body["DeviceCredentialClientIdList"]);
        }
        Ok(SimReply { body: body.to_string().into(), ..reply })
    });
}

#[test]
fn every_page_of_every_group_is_read_by_tokens_and_by_numbers() {
    for (cap, pages) in [("100", 1 + 3), ("50", 1 + 5), ("1", 7 + 230)] {
        for way in ["tokens", "numbered"] {
            let (client, loopback) = open(options().with("clients_cap", cap).with("clients", way), "post-1");
            assert_eq!(found(&client, &loopback).expect("a list"), everybody(), "{cap} {way}");
            let sent = loopback.sent();
            assert_eq!(sent[0], GROUPS.name);
            assert_eq!(sent.len(), 1 + pages, "{cap} {way}");
            assert_eq!(loopback.faults(), []);
        }
    }
}

#[test]
fn a_list_without_a_count_ends_with_its_last_token() {
    let (client, loopback) = open(options(), "post-1");
    lie(&loopback, |_, list| drop(list.as_object_mut().unwrap().remove("Total")));
    assert_eq!(found(&client, &loopback).expect("a list"), everybody());
}

#[test]
fn a_group_that_does_not_come_to_its_own_count_has_failed_and_is_never_a_short_list() {
    let (client, loopback) = open(options(), "post-1");
    lie(&loopback, |_, list| list["Total"] = 231.into());
    let failure = found(&client, &loopback).expect_err("one is missing");
    assert_eq!(failure.fault, Fault::BadAnswer);
    let (client, loopback) = open(options().with("clients", "numbered"), "post-1");
    // The same page again and again, as a server might that knows tokens alone.
    lie(&loopback, |_, list| list["ClientIdList"] = json!(vec!["GID-b@@@1"; 100]));
    assert!(found(&client, &loopback).is_err());
}

#[test]
fn a_token_that_comes_again_ends_the_reading() {
    let (client, loopback) = open(options(), "post-1");
    lie(&loopback, |_, list| {
        list.as_object_mut().unwrap().remove("Total");
        list["NextToken"] = "AAAAAQ-0".into();
    });
    let failure = found(&client, &loopback).expect_err("it goes in circles");
    assert!(failure.message.contains("leads back"), "{failure:?}");
    assert_eq!(loopback.sent().len(), 3);
}

#[test]
fn a_page_that_was_lost_is_asked_for_again_and_a_list_that_moved_is_read_again() {
    let (client, loopback) = open(options(), "post-1");
    loopback.meddle(|number, mut reply| {
        if number == 2 {
            reply.status = 500;
        }
        Ok(reply)
    });
    assert_eq!(found(&client, &loopback).expect("a list"), everybody());
    assert_eq!(loopback.sent().len(), 1 + 4 + 1);
    let (client, loopback) = open(options(), "post-1");
    lie(&loopback, |number, list| {
        if number == 1 {
            list["Total"] = 229.into();
        }
    });
    assert_eq!(found(&client, &loopback).expect("a list"), everybody());
}

#[test]
fn what_is_no_list_finds_nobody() {
    for (groups, clients) in [
        (json!(null), json!(null)),
        (json!({}), json!(null)),
        (json!([{"GroupId": 7}]), json!(null)),
        (json!([{}]), json!(null)),
        (json!([{"GroupId": "GID_a"}]), json!(null)),
        (json!([{"GroupId": "GID_a"}]), json!({"Total": 1})),
        (json!([{"GroupId": "GID_a"}]), json!({"ClientIdList": [7], "Total": 1})),
        (json!([{"GroupId": "GID_a"}]), json!({"ClientIdList": ["a"], "Total": "one"})),
        (json!([{"GroupId": "GID_a"}]), json!({"ClientIdList": ["a"], "Total": -1})),
        (json!([{"GroupId": "GID_a"}]), json!({"ClientIdList": ["a"], "NextToken": 5})),
        (json!([{"GroupId": "GID_a"}]), json!({"ClientIdList": vec!["a"; 101]})),
    ] {
        let (client, loopback) = open(options(), "post-1");
        let body = json!({"RequestId": "R", "Data": groups, "DeviceCredentialClientIdList": clients});
        let sent = reply(200, &body.to_string());
        loopback.meddle(move |_, _| Ok(sent.clone()));
        let failure = found(&client, &loopback).expect_err("no list");
        assert_eq!(failure.fault, Fault::BadAnswer, "{body}");
    }
}

#[test]
fn counts_are_numbers_or_texts_and_an_instance_without_groups_lists_nobody() {
    for total in [json!(1), json!("1"), json!(" 1 "), json!(null), json!("")] {
        let (client, loopback) = open(options(), "post-1");
        let body = json!({"RequestId": "R", "Data": [{"GroupId": "GID_a"}, {"GroupId": "GID_a"}],
                          "DeviceCredentialClientIdList": {"ClientIdList": ["GID_a@@@1"], "Total": total}});
        let sent = reply(200, &body.to_string());
        loopback.meddle(move |_, _| Ok(sent.clone()));
        assert_eq!(found(&client, &loopback).expect("a list"), ["GID_a@@@1"], "{total}");
        assert_eq!(loopback.sent().len(), 2, "a group that stands twice is read once");
    }
    let (client, loopback) = open(options(), "post-1");
    loopback.meddle(|_, _| Ok(reply(200, r#"{"RequestId":"R","Data":[]}"#)));
    assert_eq!(found(&client, &loopback).expect("a list"), [""; 0]);
}

#[test]
fn refusals_are_about_the_source_and_no_id() {
    let (client, loopback) = open(options(), "post-2");
    assert_eq!(found(&client, &loopback).expect_err("another's").fault, Fault::Forbidden);
    let (client, loopback) = open(options().with("forbidden", CLIENT_IDS.name), "post-1");
    assert_eq!(found(&client, &loopback).expect_err("no right").fault, Fault::Forbidden);
    let (client, loopback) = open(options(), "post-1");
    loopback.meddle(|_, _| Ok(reply(400, r#"{"RequestId":"R","Code":"ParameterCheckFailed"}"#)));
    assert_eq!(found(&client, &loopback).expect_err("refused").fault, Fault::Rejected);
}

#[test]
fn the_group_is_what_stands_before_the_three_signs() {
    assert_eq!(["GID_a@@@1@@@2", "plain"].map(group_of), ["GID_a", "plain"]);
}
