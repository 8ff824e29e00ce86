//! What answers say of users, in both generations and both modes.

use super::*;

#[test]
fn every_release_is_asked_in_its_own_way_and_says_the_same() {
    for server in RELEASES {
        let (_, loopback) = setup(server);
        let client = client();
        good(&loopback, &client);
        let logins: &[&str] = match server {
            "v3.0.0" => &["get_admin_token", "user_token", "user_token"],
            "v3.5.0" | "v3.6.0" | "v3.7.0" | "v3.8.0" => &["get_admin_token", "user_token"],
            _ => &["get_admin_token"],
        };
        assert_eq!(loopback.sent(), [logins, &["get_users_online_status"]].concat(), "{server}");
        assert_eq!(loopback.faults(), [], "{server}: looking for the endpoint is no failure");
        good(&loopback, &client);
        assert_eq!(loopback.sent().len(), logins.len() + 2, "{server}: the token is kept");
    }
}

#[test]
fn terminals_become_connections_with_platforms_in_both_generations() {
    for server in ["v3.8.0", "v3.8.3"] {
        let (_, loopback) = setup(server);
        let (answer, receipt) = ask(&loopback, &client(), &roster(&["two", ODD_ID]));
        let rows = answer.expect("an answer").rows;
        let first = rows[0].1.as_ref().expect("a good row");
        assert_eq!(first.platforms, [Platform::Android, Platform::Windows]);
        assert_eq!((first.conns.len(), first.started_ms, first.network_rtt_ms), (2, None, None));
        assert_eq!(rows[1].1.as_ref().expect("a good row").platforms, [Platform::Harmony]);
        assert_eq!(receipt.action, Some("get_users_online_status"));
    }
}

#[test]
fn the_short_mode_says_online_or_offline_and_sees_no_token() {
    let (shared, loopback) = setup("v3.8.3");
    let client = Client::new(account(with_secret(CANARY, Api::AdminToken)), Mode::StatusOnly);
    let seen = Arc::new(Mutex::new(String::new()));
    let copy = seen.clone();
    loopback.meddle(move |_, reply| {
        *copy.lock().unwrap() = String::from_utf8(reply.body.clone()).unwrap();
        Ok(reply)
    });
    shared.with(|sim| sim.take_down(&[0]));
    let (answer, _) = ask(&loopback, &client, &roster(&["two", "gone", ODD_ID, "nobody"]));
    let expected = [Ok((true, None)), Ok((false, None)), Ok((true, None)), Ok((false, None))];
    assert_eq!(said(&answer.expect("an answer")), expected);
    assert_eq!(loopback.sent(), ["get_admin_token", "get_users_status"]);
    assert!(!seen.lock().unwrap().contains("eyJ"));
    assert_eq!((Mode::StatusOnly.evidence(), Mode::Detail.evidence()), (Evidence::None, Evidence::FirstSeen));
}

#[test]
fn the_short_mode_refuses_more_ids_than_the_release_takes() {
    let ids: Vec<String> = (0..501).map(|n| format!("u{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let client = Client::new(account(with_secret(CANARY, Api::UserToken)), Mode::StatusOnly);
    let (_, loopback) = setup("v3.8.0");
    assert_eq!(ask(&loopback, &client, &roster(&ids[..IDS_PER_CALL])).0.expect("an answer").rows.len(), 200);
    assert_eq!(ask(&loopback, &client, &roster(&ids)).0.expect_err("too many").fault, Fault::Rejected);
}

#[test]
fn an_answer_that_is_cut_at_any_byte_turns_nobody_offline() {
    for mode in [Mode::Detail, Mode::StatusOnly] {
        let (_, loopback) = setup("v3.8.3");
        let client = Client::new(account(with_secret(CANARY, Api::Auto)), mode);
        let length = Arc::new(Mutex::new(None));
        let cut = length.clone();
        loopback.meddle(move |_, mut reply| {
            if reply.action != "get_admin_token" {
                let end = *cut.lock().unwrap().get_or_insert(reply.body.len());
                reply.body.truncate(end);
            }
            Ok(reply)
        });
        ask(&loopback, &client, &roster(&["two"])).0.expect("the whole is good");
        let whole = length.lock().unwrap().expect("it was measured");
        for end in 0..whole {
            *length.lock().unwrap() = Some(end);
            assert_eq!(failure(&loopback, &client).fault, Fault::BadAnswer, "cut at {end}");
        }
    }
}

#[test]
fn an_ill_formed_row_does_not_sink_the_others() {
    let (_, loopback) = setup("v3.8.3");
    loopback.meddle(|_, reply| {
        let mut body: Value = serde_json::from_slice(&reply.body).unwrap();
        if reply.action == "get_users_online_status" {
            body["data"][0]["status"] = "canary".into();
            body["data"][1]["new"] = json!({ "x": [] });
        }
        Ok(SimReply { body: body.to_string().into(), ..reply })
    });
    let (answer, _) = ask(&loopback, &client(), &roster(&["two", "gone", ODD_ID]));
    let expected = [Err(Fault::BadAnswer), Ok((false, Some(0))), Ok((true, Some(1)))];
    assert_eq!(said(&answer.expect("an answer")), expected);
}

#[test]
fn nobody_to_ask_about_is_no_request_and_long_ids_are_refused() {
    let (_, loopback) = setup("v3.8.3");
    assert!(ask(&loopback, &client(), &roster(&[])).0.expect("an answer").rows.is_empty());
    assert!(loopback.sent().is_empty());
    let client = client();
    assert_eq!(client.accepts(ODD_ID), Ok(()));
    assert_eq!(client.accepts(&"x".repeat(ID_BYTES)), Ok(()));
    assert!(client.accepts("").is_err() && client.accepts(&"x".repeat(ID_BYTES + 1)).is_err());
    let [Step::Batches { action, ids, weigh, weight, .. }] = client.round()[..] else { panic!("one step") };
    assert_eq!((action.name, ids, weigh("ab")), ("get_users_online_status", 200, 2));
    assert!(weight >= ID_BYTES);
}
