//! What answers say of users, and what is asked at all.

use super::*;

#[test]
fn users_are_online_with_their_connections_or_offline_with_none() {
    let ids = ["10001", "10002", "9007199254740993", "9007199254740992", "9223372036854775807", "77"];
    let (answer, receipt) = ask(&loopback(), &client(), &roster(&ids));
    let rows = answer.expect("an answer").rows;
    let said: Vec<_> = rows
        .iter()
        .map(|(row, seen)| (row.index, seen.as_ref().map(|s| (s.online, s.connections))))
        .collect();
    assert_eq!(
        said,
        [
            (0, Ok((true, Some(2)))),
            (1, Ok((false, Some(0)))),
            (2, Ok((true, Some(1)))),
            (3, Ok((false, Some(0)))),
            (4, Ok((true, Some(1)))),
            (5, Ok((false, Some(0)))),
        ]
    );
    let first = rows[0].1.as_ref().expect("a good row");
    assert_eq!(first.platforms, [Platform::Android, Platform::Web]);
    assert_eq!(first.conns.len(), 2);
    assert_eq!((first.started_ms, first.network_rtt_ms, first.e2e_rtt_ms), (None, None, None));
    assert_eq!((receipt.calls, receipt.action), (1, Some("QueryOnlineStatus")));
    assert_eq!(receipt.request_id.as_deref(), Some("20260101000000000000000000000001"));
}

#[test]
fn a_connection_keeps_its_key_over_polls_and_programs() {
    let conns = |loopback: &Arc<Loopback>| {
        let rows = ask(loopback, &client(), &roster(&["10001"])).0.expect("an answer").rows;
        rows[0].1.clone().expect("a good row").conns
    };
    let one = loopback();
    let first = conns(&one);
    one.advance(Duration::from_secs(60));
    assert_eq!(conns(&one), first);
    assert_eq!(conns(&loopback()), first);
}

#[test]
fn a_full_batch_is_answered_and_one_more_is_refused() {
    let ids: Vec<String> = (1..=101).map(|n| n.to_string()).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let rows = ask(&loopback(), &client(), &roster(&ids[..IDS_PER_CALL])).0.expect("an answer").rows;
    assert_eq!(rows.len(), IDS_PER_CALL);
    let failure = ask(&loopback(), &client(), &roster(&ids)).0.expect_err("one too many");
    assert_eq!(failure.fault, Fault::Rejected);
}

#[test]
fn ids_are_canonical_numbers_of_63_bits_and_nothing_else_is_sent() {
    let client = client();
    for good in ["0", "1", "10001", "9223372036854775807"] {
        assert_eq!(client.accepts(good), Ok(()), "{good}");
    }
    for bad in ["", " 1", "1 ", "+1", "-1", "1.0", "1e3", "0x1", "9223372036854775808", "在线", "1,2", "一"]
    {
        assert!(client.accepts(bad).is_err(), "{bad}");
    }
    assert!(client.accepts("0017").expect_err("leading zeros").contains("write 17"));
    assert!(client.accepts("00").expect_err("leading zeros").contains("write 0"));
    let (answer, _) = ask(&loopback(), &client, &roster(&["1],\"x\":[2", "10001"]));
    let rows = answer.expect("the good one is asked about").rows;
    assert!(rows.iter().any(|(row, seen)| row.index == 0 && *seen == Err(Fault::RefusedId)));
    assert!(rows.iter().any(|(row, seen)| row.index == 1 && seen.as_ref().is_ok_and(|s| s.online)));
    let alone = loopback();
    ask(&alone, &client, &roster(&["x"])).0.expect("an answer without a call");
    assert!(alone.sent().is_empty());
}

#[test]
fn an_ill_formed_user_does_not_sink_the_others() {
    let loopback = loopback();
    loopback.meddle(|_, reply| {
        let mut body: Value = serde_json::from_slice(&reply.body).expect("JSON");
        body["Result"]["QueryOnlineResults"]["10002"] = serde_json::json!({ "ConnId": "canary" });
        body["Result"]["New"] = serde_json::json!([{}]);
        Ok(SimReply { body: body.to_string().into(), ..reply })
    });
    let rows = ask(&loopback, &client(), &roster(&["10001", "10002"])).0.expect("an answer").rows;
    assert!(rows[0].1.as_ref().is_ok_and(|seen| seen.online));
    assert_eq!(rows[1].1, Err(Fault::BadAnswer));
}

#[test]
fn an_answer_that_is_cut_at_any_byte_turns_nobody_offline() {
    let whole = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (seen, first) = (whole.clone(), loopback());
    first.meddle(move |_, reply| {
        seen.lock().unwrap().clone_from(&reply.body);
        Ok(reply)
    });
    ask(&first, &client(), &roster(&["10001", "10002"])).0.expect("the whole is good");
    let whole = whole.lock().unwrap().clone();
    for end in 0..whole.len() {
        let loopback = loopback();
        let body = whole[..end].to_vec();
        loopback.meddle(move |_, reply| Ok(SimReply { body: body.clone(), ..reply }));
        assert_eq!(failure(&loopback, &client()).fault, Fault::BadAnswer, "cut at {end}");
    }
}

#[test]
fn an_endpoint_may_have_a_port_and_a_path_and_must_be_an_address() {
    for endpoint in ["https://127.0.0.1:443", "http://127.0.0.1:80", "http://gate.example/a%20b/c"] {
        let client =
            Client::new(endpoint, 123_456, Arc::new(Account::fixed(credentials()))).expect("an address");
        ask(&loopback(), &client, &roster(&["10001"])).0.expect(endpoint);
    }
    assert!(Client::new("no address", 1, Arc::new(Account::fixed(credentials()))).is_none());
    assert!(Client::new("", 1, Arc::new(Account::fixed(credentials()))).is_none());
}

#[test]
fn the_round_is_batches_of_the_documented_size() {
    let [crate::providers::Step::Batches { action, ids, .. }] = client().round()[..] else {
        panic!("one step of batches")
    };
    assert_eq!((action.name, ids), ("QueryOnlineStatus", 100));
}
