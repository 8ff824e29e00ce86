//! Which users a listing finds.

use super::*;

fn found(loopback: &Arc<Loopback>, client: &Client) -> Result<Vec<String>, Failure> {
    let answer = loopback.ask(client, Question::Discover(0)).0?;
    assert!(answer.found.iter().all(|found| found.name.is_none()));
    let mut ids: Vec<String> = answer.found.into_iter().map(|found| found.id).collect();
    ids.sort();
    Ok(ids)
}

fn everybody() -> Vec<String> {
    let mut ids: Vec<String> =
        world().populations[0].subjects.iter().map(|subject| subject.id.clone()).collect();
    ids.sort();
    ids
}

fn listings(loopback: &Arc<Loopback>) -> usize {
    loopback.sent().iter().filter(|action| **action == "get_all_users_uid").count()
}

#[test]
fn every_release_lists_everybody_but_the_administrator_who_asks() {
    for server in RELEASES {
        let (_, loopback) = setup(server);
        assert_eq!(found(&loopback, &client()).expect(server), everybody());
        assert_eq!((listings(&loopback), loopback.faults()), (1, vec![]), "{server}");
    }
    let (_, loopback) = setup_with(options("v3.8.3").with("admins", "imAdmin,otherAdmin"));
    let mut with_admin = everybody();
    with_admin.push("otherAdmin".into());
    with_admin.sort();
    assert_eq!(found(&loopback, &client()).expect("a list"), with_admin, "other administrators are listed");
}

#[test]
fn pages_are_read_to_the_end_however_short_they_are_and_pay_each() {
    // 23 users and an administrator.
    for (cap, pages) in [("1", 24), ("7", 4), ("24", 1), ("1000", 1)] {
        let (_, loopback) = setup_with(options("v3.8.3").with("users_cap", cap));
        assert_eq!(found(&loopback, &client()).expect("a list"), everybody());
        assert_eq!(listings(&loopback), pages, "{cap}");
    }
}

/// Replaces the list of users in replies from the `from`-th request on.
fn lie(loopback: &Arc<Loopback>, from: u32, edit: impl Fn(&mut Value) + Send + 'static) {
    loopback.meddle(move |number, reply| {
        let mut body: Value = serde_json::from_slice(&reply.body).unwrap();
        if reply.action == "get_all_users_uid" && number >= from {
            edit(&mut body["data"]);
        }
        Ok(SimReply { body: body.to_string().into(), ..reply })
    });
}

#[test]
fn a_list_that_is_shorter_than_its_own_count_is_read_again_and_then_failed() {
    let (_, loopback) = setup("v3.8.3");
    lie(&loopback, 0, |data| data["total"] = 25.into());
    let failure = found(&loopback, &client()).expect_err("one is missing");
    assert_eq!(failure.fault, Fault::BadAnswer);
    // Three times, each with the page after the end.
    assert_eq!(listings(&loopback), 6);
}

#[test]
fn a_list_that_moves_while_it_is_read_is_read_again() {
    let (_, loopback) = setup_with(options("v3.8.3").with("users_cap", "10"));
    let first = Arc::new(Mutex::new(true));
    loopback.meddle(move |_, reply| {
        let mut body: Value = serde_json::from_slice(&reply.body).unwrap();
        if reply.action == "get_all_users_uid" && std::mem::take(&mut *first.lock().unwrap()) {
            body["data"]["total"] = 23.into();
        }
        Ok(SimReply { body: body.to_string().into(), ..reply })
    });
    assert_eq!(found(&loopback, &client()).expect("the second reading is whole"), everybody());
    assert_eq!(listings(&loopback), 2 + 3);
}

#[test]
fn what_is_no_list_of_ids_finds_nobody() {
    for edit in [
        |data: &mut Value| data["userIDs"][1] = 17.into(),
        |data: &mut Value| data["userIDs"] = json!({ "0": "two" }),
        |data: &mut Value| data["total"] = "24".into(),
        |data: &mut Value| data["total"] = (-1).into(),
        |data: &mut Value| drop(data.as_object_mut().unwrap().remove("userIDs")),
        |data: &mut Value| *data = Value::Null,
        |data: &mut Value| data["userIDs"] = vec!["x"; 1001].into(),
    ] {
        let (_, loopback) = setup("v3.8.3");
        lie(&loopback, 0, edit);
        let failure = found(&loopback, &client()).expect_err("no list");
        assert_eq!(failure.fault, Fault::BadAnswer, "{failure:?}");
    }
}

#[test]
fn a_token_that_is_refused_in_the_middle_of_a_list_is_renewed_once() {
    let (shared, loopback) = setup_with(options("v3.8.1").with("users_cap", "10"));
    let kicked = shared.clone();
    loopback.meddle(move |number, reply| {
        // After the login and the first page.
        if number == 1 {
            kicked.with(Sim::kick_all);
        }
        Ok(reply)
    });
    assert_eq!(found(&loopback, &client()).expect("a list"), everybody());
    assert_eq!(loopback.faults(), [Fault::Unauthorized]);
    loopback.meddle(move |_, reply| {
        shared.with(Sim::kick_all);
        Ok(reply)
    });
    assert_eq!(found(&loopback, &client()).expect_err("kicked after each").fault, Fault::Unauthorized);
}

#[test]
fn who_is_no_administrator_may_not_list() {
    let ends_ms = (NOW_MS + 1_000_000).to_string();
    let keys = Sim::new(options("v3.8.3").with("ready_token_expires_ms", &ends_ms)).account_keys("");
    let (_, token) = keys.into_iter().find(|(key, _)| *key == "token").expect("a ready token");
    let token: String = serde_json::from_str(&token).expect("a text");
    let (shared, loopback) = setup_with(options("v3.8.3").with("admins", "somebodyElse"));
    shared.with(|sim| sim.remember(&token, "imAdmin"));
    let client = client_with(Login::Ready(Written::fixed(Secret::new(token))));
    assert_eq!(found(&loopback, &client).expect_err("refused").fault, Fault::Forbidden);
}
