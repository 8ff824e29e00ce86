//! Gateways that fail silently: their users look offline in an answer that says success.

use super::*;

/// The users c0 to c19 of the world.
fn crowd() -> Roster {
    let ids: Vec<String> = (0..20).map(|n| format!("c{n}")).collect();
    roster(&ids.iter().map(String::as_str).collect::<Vec<_>>())
}

fn online(answer: &Answer) -> usize {
    answer.rows.iter().filter(|(_, said)| said.as_ref().is_ok_and(|seen| seen.online)).count()
}

#[test]
fn half_of_the_people_leaving_at_once_is_asked_about_again_before_it_is_believed() {
    let (shared, loopback) = setup_with(options("v3.8.3").with("gateways", "2"));
    let client = client();
    let asked = || loopback.sent().iter().filter(|action| **action == "get_users_online_status").count();
    let poll = || online(&ask(&loopback, &client, &crowd()).0.expect("an answer"));
    assert_eq!((poll(), asked()), (20, 1));
    // A gateway that is silent for one answer only.
    shared.with(|sim| sim.take_down(&[1]));
    let healer = shared.clone();
    loopback.meddle(move |_, reply| {
        healer.with(|sim| sim.take_down(&[]));
        Ok(reply)
    });
    assert_eq!((poll(), asked()), (20, 3));
    // One that stays silent is believed at the second answer, and not doubted again.
    loopback.meddle(|_, reply| Ok(reply));
    shared.with(|sim| sim.take_down(&[1]));
    assert_eq!((poll(), asked()), (10, 5));
    assert_eq!((poll(), asked()), (10, 6));
}

#[test]
fn a_second_look_that_fails_turns_nobody_offline() {
    let (shared, loopback) = setup_with(options("v3.8.3").with("gateways", "2"));
    let client = client();
    assert_eq!(online(&ask(&loopback, &client, &crowd()).0.expect("an answer")), 20);
    shared.with(|sim| sim.take_down(&[0, 1]));
    loopback.meddle(|number, reply| if number == 3 { Err(TransportError::Timeout) } else { Ok(reply) });
    assert_eq!(ask(&loopback, &client, &crowd()).0.expect_err("no second look").fault, Fault::Timeout);
    let (answer, receipt) = ask(&loopback, &client, &crowd());
    assert_eq!((online(&answer.expect("an answer")), receipt.calls), (0, 2), "it is doubted again");
}

#[test]
fn a_user_on_several_gateways_is_online_with_the_first_ones_connections() {
    let (_, loopback) = setup_with(options("v3.8.3").with("gateways", "2"));
    let (answer, _) = ask(&loopback, &client(), &roster(&["two"]));
    assert_eq!(said(&answer.expect("an answer")), [Ok((true, Some(1)))]);
}
