//! Lists accounts and instances of the simulated Smartag, in process.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::providers::alibaba::fixtures::{NOW_MS, SECRET, api, options, reply, subject};
use crate::providers::alibaba_smartag::{KIND, NAME, VERSION};
use crate::providers::loopback::Loopback;
use crate::providers::sim::{Population, SimOptions, SimReply, World};
use crate::providers::{ProviderKind, Question};

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("user-{n:04}@corp"))
}

/// An instance of 120 users, one of 3, and one of nobody.
const SIZES: [(&str, usize); 3] = [("sag-1", 120), ("sag-2", 3), ("sag-3", 0)];

fn open(options: SimOptions, instances: Instances) -> (Client, Arc<Loopback>) {
    let client = Client::new(api(&options, SECRET, VERSION), "cn-shanghai".into(), instances, false);
    let population = |(scope, count): (&str, usize)| {
        Population::new(NAME, scope, names(count).map(|name| subject(&name, &[])).collect())
    };
    let world = World { populations: SIZES.map(population).into() };
    (client, Loopback::new(KIND.simulate(options), world, NOW_MS))
}

fn one() -> Instances {
    Instances::One("sag-1".into())
}

fn found(client: &Client, loopback: &Arc<Loopback>) -> Result<Vec<String>, Failure> {
    let answer = loopback.ask(client, Question::Discover(0)).0?;
    let mut ids: Vec<String> = answer.found.into_iter().map(|found| found.id).collect();
    ids.sort();
    Ok(ids)
}

/// Changes every reply to this call.
fn lie(loopback: &Arc<Loopback>, action: &'static Action, edit: impl Fn(u32, &mut Value) + Send + 'static) {
    loopback.meddle(move |number, reply| {
        let mut body: Value = serde_json::from_slice(&reply.body).unwrap();
        if reply.action == action.name {
            edit(number, &mut body);
        }
        Ok(SimReply { body: body.to_string().into(), ..reply })
    });
}

#[test]
fn every_page_is_read_and_its_size_is_what_the_reply_says() {
    for (cap, pages) in [("50", 3), ("100", 3), ("7", 18), ("1", 120)] {
        for told in ["text", "number"] {
            let (client, loopback) = open(options().with("page_cap", cap).with("totals", told), one());
            assert_eq!(found(&client, &loopback).expect("a list"), names(120).collect::<Vec<_>>(), "{cap}");
            assert_eq!(loopback.sent(), vec![USERS.name; pages], "{cap}");
        }
    }
}

#[test]
fn without_an_instance_all_are_listed_and_each_user_has_its_instance_before_it() {
    for (cap, pages) in [("50", 1 + 3 + 1 + 1), ("2", 2 + 60 + 2 + 1)] {
        let (client, loopback) = open(options().with("page_cap", cap), Instances::Named);
        let wanted: Vec<String> = SIZES
            .iter()
            .flat_map(|(scope, count)| names(*count).map(move |name| format!("{scope}/{name}")))
            .collect();
        assert_eq!(found(&client, &loopback).expect("a list"), wanted);
        assert_eq!(loopback.sent().len(), pages, "{cap}");
        assert_eq!(loopback.sent()[0], GATEWAYS.name);
    }
}

#[test]
fn a_list_that_does_not_come_to_its_own_count_has_failed_and_is_never_a_short_list() {
    for action in [&USERS, &GATEWAYS] {
        let (client, loopback) = open(options(), Instances::Named);
        lie(&loopback, action, |_, body| {
            body["TotalCount"] = (body["TotalCount"].as_i64().unwrap() + 1).into();
        });
        assert_eq!(found(&client, &loopback).expect_err("one is missing").fault, Fault::BadAnswer);
    }
    let (client, loopback) = open(options(), one());
    lie(&loopback, &USERS, |number, body| {
        if number == 1 {
            body["TotalCount"] = 119.into();
        }
    });
    assert_eq!(found(&client, &loopback).expect("the second reading is whole").len(), 120);
    assert_eq!(loopback.sent().len(), 2 + 3);
}

#[test]
fn without_a_count_a_page_that_is_not_full_is_the_last_one() {
    for (cap, pages) in [("50", 3), ("60", 3), ("7", 18), ("30", 5)] {
        let (client, loopback) = open(options().with("page_cap", cap), one());
        lie(&loopback, &USERS, |_, body| drop(body.as_object_mut().unwrap().remove("TotalCount")));
        assert_eq!(found(&client, &loopback).expect("a list").len(), 120, "{cap}");
        assert_eq!(loopback.sent().len(), pages, "{cap}");
    }
}

#[test]
fn a_row_that_cannot_be_read_finds_nobody_and_an_account_that_is_disabled_is_listed() {
    for row in [json!(7), json!({}), json!({"UserName": 7}), json!({"UserName": ""}), json!(null)] {
        let (client, loopback) = open(options(), one());
        let bad = row.clone();
        lie(&loopback, &USERS, move |_, body| body["Users"]["User"][1] = bad.clone());
        assert_eq!(found(&client, &loopback).expect_err("no list").fault, Fault::BadAnswer, "{row}");
    }
    let (client, loopback) = open(options(), one());
    lie(&loopback, &USERS, |_, body| body["Users"]["User"][0]["State"] = 1.into());
    assert_eq!(found(&client, &loopback).expect("a list").len(), 120);
}

#[test]
fn every_shape_of_an_empty_list_is_one_if_the_reply_is_the_providers() {
    for users in ["", r#","Users":null"#, r#","Users":"""#, r#","Users":{}"#, r#","Users":{"User":[]}"#] {
        let (client, loopback) = open(options(), one());
        let body = format!(r#"{{"RequestId":"R","TotalCount":0,"PageNumber":1,"PageSize":50{users}}}"#);
        loopback.meddle(move |_, _| Ok(reply(200, &body)));
        assert_eq!(found(&client, &loopback).expect(users), [""; 0]);
    }
    for body in
        [r#"{"TotalCount":0}"#, r#"{"RequestId":"","TotalCount":0}"#, r#"{"RequestId":"R","TotalCount":[]}"#]
    {
        let (client, loopback) = open(options(), one());
        loopback.meddle(move |_, _| Ok(reply(200, body)));
        assert_eq!(found(&client, &loopback).expect_err(body).fault, Fault::BadAnswer);
    }
}

#[test]
fn refusals_are_told_apart() {
    let (client, loopback) = open(options(), Instances::One("sag-9".into()));
    assert_eq!(found(&client, &loopback).expect_err("no such instance").fault, Fault::Rejected);
    let (client, loopback) = open(options().with("forbidden", GATEWAYS.name), Instances::Named);
    assert_eq!(found(&client, &loopback).expect_err("no right").fault, Fault::Forbidden);
}
