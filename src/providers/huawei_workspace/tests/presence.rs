//! Who is online, who is not, and of whom nothing can be said.

use super::super::map::Subject;
use super::*;

#[expect(clippy::unnecessary_wraps, reason = "what a row is compared with")]
fn offline() -> Result<Seen, Fault> {
    Ok(Seen { connections: Some(0), ..Seen::offline() })
}

#[test]
fn desktops_are_online_offline_or_refused_with_start_and_rtt_of_the_newest_session() {
    let subjects = [
        desktop("PC-on", "ann", vec![session(1, -7200, -3600), session(2, -1800, 3600)]),
        desktop("PC-off", "bob", vec![session(3, -7200, -30)]),
        desktop("PC-never", "cid", vec![]),
    ];
    let rtt = (subjects[0].sessions[1].network_rtt_at(NOW_MS), subjects[0].sessions[1].e2e_rtt_at(NOW_MS));
    let mut bench = bench(&[], &subjects, &["PC-on", "PC-off", "PC-never", "PC-typo"]);
    let rows = bench.round();
    let on = Seen {
        connections: Some(1),
        started_ms: Some(NOW_MS - 1_800_000),
        network_rtt_ms: Some(rtt.0),
        e2e_rtt_ms: Some(rtt.1),
        ..Seen::online()
    };
    assert_eq!(rows["PC-on"], Ok(on));
    assert_eq!((&rows["PC-off"], &rows["PC-never"]), (&offline(), &offline()));
    assert_eq!(rows["PC-typo"], Err(Fault::RefusedId));
}

#[test]
fn a_desktop_is_found_by_its_id_when_ids_are_given() {
    let subjects = [desktop("d-1", "ann", vec![session(1, -60, 60)]), desktop("d-2", "bob", vec![])];
    for wording in ["schema", "example"] {
        let switches = [("match", "id"), ("wording", wording)];
        let mut bench = bench(&switches, &subjects, &["d-1", "d-2", "PC-x"]).of(Subject::DesktopId);
        let rows = bench.round();
        assert_eq!(rows["d-1"].as_ref().map(|seen| seen.started_ms), Ok(Some(NOW_MS - 60_000)));
        assert_eq!((&rows["d-2"], &rows["PC-x"]), (&offline(), &Err(Fault::RefusedId)));
    }
}

#[test]
fn a_user_is_online_while_one_desktop_is_and_the_longest_running_session_counts() {
    let subjects = [
        desktop("PC1", "ann", vec![session(1, -7200, 60)]),
        desktop("PC2", "ann", vec![session(2, -600, 600)]),
        desktop("PC3", "bob", vec![session(3, -600, -60)]),
    ];
    let newest = subjects[1].sessions[0].network_rtt_at(NOW_MS + 1000);
    let mut bench =
        bench(&[("user_domain", "local.com")], &subjects, &["ann", "bob", "eve"]).of(Subject::User);
    // The past, in which the older session began, is read after the first listing.
    let first = bench.round();
    assert_eq!(first["ann"].as_ref().map(|seen| (seen.online, seen.started_ms)), Ok((true, None)));
    bench.advance(1);
    let rows = bench.round();
    let ann = rows["ann"].clone().unwrap();
    assert_eq!((ann.online, ann.connections, ann.started_ms), (true, Some(2), Some(NOW_MS - 7_200_000)));
    assert_eq!(ann.network_rtt_ms, Some(newest));
    assert_eq!((&rows["bob"], &rows["eve"]), (&offline(), &Err(Fault::RefusedId)));
    bench.advance(120);
    let ann = bench.round()["ann"].clone().unwrap();
    assert_eq!((ann.connections, ann.started_ms), (Some(1), Some(NOW_MS - 600_000)));
}

#[test]
fn a_start_is_not_given_while_one_of_a_users_sessions_is_unknown() {
    // The older session began before everything that is read, so it may be the longest-running one.
    let subjects = [
        desktop("PC1", "ann", vec![session(1, -30 * 86_400, 600)]),
        desktop("PC2", "ann", vec![session(2, -600, 600)]),
    ];
    let mut bench = bench(&[], &subjects, &["ann"]).of(Subject::User);
    let ann = bench.round()["ann"].clone().unwrap();
    assert_eq!((ann.connections, ann.started_ms, ann.network_rtt_ms), (Some(2), None, None));
}

#[test]
fn on_a_shared_desktop_the_record_decides_and_without_one_nothing_is_said() {
    // Session ids go round among the users: 1 is bob's.
    let shared = |sessions| vec![desktop("PC", "ann,bob", sessions), desktop("OWN", "cid", vec![])];
    let ids = ["ann", "bob", "cid"];
    let mut known = bench(&[], &shared(vec![session(1, -60, 600)]), &ids).of(Subject::User);
    let rows = known.round();
    assert_eq!(
        rows["bob"].as_ref().map(|seen| (seen.online, seen.started_ms)),
        Ok((true, Some(NOW_MS - 60_000)))
    );
    assert_eq!(rows["ann"], offline());

    let hidden = [("open_sessions", "after_end")];
    let mut unknown = bench(&hidden, &shared(vec![session(1, -60, 600)]), &ids).of(Subject::User);
    let rows = unknown.round();
    assert_eq!((rows.get("ann"), rows.get("bob"), &rows["cid"]), (None, None, &offline()));
    unknown.advance(900);
    let rows = unknown.round();
    assert_eq!((&rows["ann"], &rows["bob"]), (&offline(), &offline()));
}

#[test]
fn members_of_a_group_are_online_by_their_records_and_never_refused() {
    let subjects = [desktop("POOL", "@staff", vec![session(7, -60, 600)])];
    let mut bench = bench(&[], &subjects, &["staff-7", "staff-8", "staff"]).of(Subject::User);
    let rows = bench.round();
    assert_eq!(rows["staff-7"].as_ref().map(|seen| seen.online), Ok(true));
    assert_eq!((rows.get("staff-8"), rows.get("staff")), (None, None));
}

#[test]
fn failed_logins_are_no_sessions_and_end_none() {
    let failed = SimSession { failure: Some("AUTH_FAILED"), ..session(2, -60, -58) };
    let subjects = [
        desktop("PC", "ann", vec![session(1, -600, 600), failed.clone()]),
        desktop("PC2", "bob", vec![failed]),
    ];
    let mut bench = bench(&[], &subjects, &["PC", "PC2"]);
    let rows = bench.round();
    assert_eq!(rows["PC"].as_ref().map(|seen| seen.started_ms), Ok(Some(NOW_MS - 600_000)));
    assert_eq!(rows["PC2"], offline());
}

#[test]
fn a_list_of_many_pages_is_complete_whatever_the_server_caps_and_inserts() {
    let subjects: Vec<_> = (0..1050)
        .map(|n| {
            desktop(&format!("PC{n}"), "ann", if n % 3 == 0 { vec![session(n, -60, 600)] } else { vec![] })
        })
        .collect();
    let ids: Vec<&str> = subjects.iter().map(|subject| subject.id.as_str()).collect();
    for (switches, pages) in [
        (vec![], 2),
        (vec![("limit_cap", "100")], 11),
        (vec![("limit_cap", "100"), ("insert_between_pages", "yes")], 12),
    ] {
        let mut bench = bench(&switches, &subjects, &ids);
        bench.log().0.unwrap();
        let before = bench.loopback.sent().len();
        let rows = bench.by_id(&bench.listing().0.unwrap());
        assert_eq!(bench.loopback.sent().len() - before, pages, "{switches:?}");
        assert_eq!(rows.len(), ids.len());
        let online = rows.values().filter(|said| said.as_ref().unwrap().online).count();
        let started = rows.values().filter(|said| said.as_ref().unwrap().started_ms.is_some()).count();
        assert_eq!((online, started), (350, 350), "{switches:?}");
    }
}

/// Meddles with the listing's bodies.
fn with_body(bench: &Bench, body: impl Fn(u32) -> String + Send + 'static) {
    bench.loopback.meddle(move |n, mut reply| {
        reply.body = body(n).into_bytes();
        Ok(reply)
    });
}

#[test]
fn a_list_that_ends_early_or_shrinks_is_a_failure_and_turns_nobody_offline() {
    let short = bench(&[], &[], &["a", "b"]);
    with_body(&short, |n| {
        let rows = if n == 0 {
            r#"{"desktop_id":"1","desktop_name":"a","connect_status":"REGISTERED"}"#
        } else {
            ""
        };
        format!(r#"{{"total_count":2,"desktops":[{rows}]}}"#)
    });
    assert_eq!(short.listing().0.unwrap_err().fault, Fault::BadAnswer);

    // Two pages of one row; between them a desktop is deleted, once.
    let shrinking = bench(&[], &[], &["b"]);
    with_body(&shrinking, |n| {
        let row = |name| {
            format!(r#"{{"desktop_id":"{name}","desktop_name":"{name}","connect_status":"CONNECTED"}}"#)
        };
        match n {
            0 => format!(r#"{{"total_count":2,"desktops":[{}]}}"#, row("a")),
            1 => r#"{"total_count":1,"desktops":[]}"#.to_owned(),
            _ => format!(r#"{{"total_count":1,"desktops":[{}]}}"#, row("b")),
        }
    });
    let rows = shrinking.by_id(&shrinking.listing().0.unwrap());
    assert_eq!(rows["b"].as_ref().map(|seen| seen.online), Ok(true));
}

#[test]
fn one_damaged_row_costs_nobody_else_anything() {
    let bench = bench(&[], &[], &["good", "odd", "typed", "nowhere", "named"]);
    with_body(&bench, |_| {
        r#"{"total_count":"5","more":{},"desktops":[
            {"desktop_id":"1","desktop_name":"good","connect_status":"CONNECTED","attach_users":[{"name":"x","type":"USER","new":1}]},
            {"desktop_id":"2","desktop_name":"odd","connect_status":"DREAMING"},
            {"desktop_id":"3","desktop_name":"typed","connect_status":17},
            {"desktop_id":4,"desktop_name":["x"]},
            {"desktop_id":"5","desktop_name":"named","login_status":"DISCONNECTED","attach_infos":null}]}"#
            .to_owned()
    });
    let rows = bench.by_id(&bench.listing().0.unwrap());
    assert_eq!(rows["good"].as_ref().map(|seen| seen.online), Ok(true));
    assert_eq!(rows["named"], offline());
    assert_eq!((&rows["odd"], &rows["typed"]), (&Err(Fault::BadAnswer), &Err(Fault::BadAnswer)));
    assert_eq!(rows["nowhere"], Err(Fault::BadAnswer), "the unreadable row may be its own");
}

#[test]
fn an_empty_project_refuses_every_target_and_a_missing_list_is_no_answer() {
    let mut empty = bench(&[], &[], &["a"]);
    assert_eq!(empty.round()["a"], Err(Fault::RefusedId));
    for body in
        [r#"{"total_count":3}"#, r#"{"desktops":"none"}"#, r#"{"desktops":[{"desk"#, "[]", "<html>", ""]
    {
        let bench = bench(&[], &[], &["a"]);
        with_body(&bench, move |_| body.to_owned());
        assert_eq!(bench.listing().0.unwrap_err().fault, Fault::BadAnswer, "{body}");
    }
}

#[test]
fn names_with_every_awkward_character_are_asked_for_as_they_are() {
    let name = "张三 +/%&= *~'()!;@本地.com";
    let subjects = [desktop("PC", name, vec![session(1, -8000, 600)])];
    // Read before the window, so that its user is asked for by name.
    let mut bench = bench(&[], &subjects, &[name]).of(Subject::User);
    for _ in 0..5 {
        bench.round();
        bench.advance(30);
    }
    let asked = bench.loopback.sent().len();
    assert!(bench.round()[name].as_ref().unwrap().started_ms.is_some());
    assert_eq!(bench.loopback.sent().len() - asked, 3, "a window, a check by name, a listing");
    assert_eq!(bench.loopback.faults(), []);
}

#[test]
fn a_reconnect_that_a_failed_reading_missed_does_not_hide_behind_the_old_session() {
    let subjects = [desktop("PC", "ann", vec![session(1, -600, 40), session(2, 50, 900)])];
    let mut bench = bench(&[], &subjects, &["PC"]);
    assert_eq!(bench.round()["PC"].as_ref().unwrap().started_ms, Some(NOW_MS - 600_000));
    bench.advance(60);
    let listed = bench.listing().0.unwrap();
    let seen = bench.by_id(&listed)["PC"].clone().unwrap();
    assert_eq!((seen.online, seen.started_ms), (true, None));
    bench.advance(30);
    assert_eq!(bench.round()["PC"].as_ref().unwrap().started_ms, Some(NOW_MS + 50_000));
}

#[test]
fn a_long_session_is_found_by_its_desktop_once_the_lookback_is_read() {
    let subjects = [
        desktop("PC", "ann", vec![session(1, -3 * 86_400, 86_400)]),
        desktop("NEW", "bob", vec![session(2, -60, 86_400)]),
    ];
    let mut bench = bench(&[], &subjects, &["PC", "NEW"]);
    let mut rounds = 0;
    while bench.round()["PC"].as_ref().unwrap().started_ms.is_none() {
        rounds += 1;
        assert!(rounds < 20, "never found");
        bench.advance(30);
    }
    bench.advance(30);
    assert_eq!(bench.round()["PC"].as_ref().unwrap().started_ms, Some(NOW_MS - 3 * 86_400_000));
}
