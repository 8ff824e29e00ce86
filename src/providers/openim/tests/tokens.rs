//! The administrator's token: one login for all who need it, renewed in time, and once when it is refused.

use super::*;

#[test]
fn a_ready_token_is_used_without_a_login_and_never_renewed() {
    let (shared, loopback) = setup("main");
    let token = shared.with(|sim| {
        let body = json!({ "secret": CANARY, "userID": "imAdmin" }).to_string();
        let mut headers = HeaderMap::new();
        headers.insert("operationid", "op".parse().unwrap());
        let (method, path) = (&Method::POST, "/auth/get_admin_token");
        let request = SimRequest { method, path, query: "", headers: &headers, body: body.as_bytes() };
        let reply: Value = serde_json::from_slice(&sim.answer(&world(), NOW_MS, &request).body).unwrap();
        reply["data"]["token"].as_str().unwrap().to_owned()
    });
    let client = client_with(Login::Ready(Written::fixed(Secret::new(token))));
    good(&loopback, &client);
    shared.with(Sim::kick_all);
    let failed = failure(&loopback, &client);
    assert_eq!((failed.fault, failed.message.contains("1506")), (Fault::Unauthorized, true));
    assert_eq!(loopback.sent(), ["get_users_online_status", "get_users_online_status"]);
    let unsendable = client_with(Login::Ready(Written::fixed(Secret::new("canary\n"))));
    assert_eq!(failure(&loopback, &unsendable).fault, Fault::Unauthorized);
}

#[test]
fn a_refused_token_is_renewed_once_and_the_question_repeated_once() {
    let (shared, loopback) = setup("main");
    let client = client();
    good(&loopback, &client);
    shared.with(Sim::kick_all);
    good(&loopback, &client);
    let status = "get_users_online_status";
    assert_eq!(loopback.sent(), ["get_admin_token", status, status, "get_admin_token", status]);
    assert_eq!(loopback.faults(), [Fault::Unauthorized]);
}

#[test]
fn a_token_is_renewed_shortly_before_it_ends_and_not_before() {
    let (_, loopback) = setup_with(options("v3.8.3").with("token_seconds", "3600"));
    let client = client();
    let logins = || loopback.sent().iter().filter(|action| **action == "get_admin_token").count();
    good(&loopback, &client);
    loopback.advance(Duration::from_secs(3299));
    good(&loopback, &client);
    assert_eq!(logins(), 1);
    loopback.advance(Duration::from_secs(1));
    good(&loopback, &client);
    assert_eq!((logins(), loopback.faults()), (2, vec![]));
}

#[test]
fn a_renewal_that_fails_leaves_the_old_token_in_use_while_it_holds() {
    let (_, loopback) = setup_with(options("v3.8.3").with("token_seconds", "3600"));
    let client = client();
    good(&loopback, &client);
    loopback.meddle(|_, reply| match reply.action {
        "get_admin_token" => Err(TransportError::Timeout),
        _ => Ok(reply),
    });
    loopback.advance(Duration::from_secs(3400));
    good(&loopback, &client);
    good(&loopback, &client);
    let logins = || loopback.sent().iter().filter(|action| **action == "get_admin_token").count();
    assert_eq!(logins(), 2, "the second question does not try again at once");
    loopback.advance(Duration::from_secs(200));
    assert_eq!(failure(&loopback, &client).fault, Fault::Timeout);
}

#[test]
fn a_changed_secret_ends_in_unauthorized_with_one_login() {
    let (shared, loopback) = setup("v3.8.3");
    let client = client();
    good(&loopback, &client);
    shared.with(|sim| sim.change_secret("another"));
    let failed = failure(&loopback, &client);
    assert_eq!((failed.fault, failed.message.contains("1002")), (Fault::Unauthorized, true));
    assert_eq!(loopback.sent().len(), 4);
}

#[test]
fn a_server_that_refuses_its_own_new_tokens_is_asked_ever_more_rarely() {
    let (shared, loopback) = setup("main");
    let client = client();
    let kicker = shared.clone();
    loopback.meddle(move |_, reply| {
        kicker.with(Sim::kick_all);
        Ok(reply)
    });
    let logins = || loopback.sent().iter().filter(|action| **action == "get_admin_token").count();
    assert_eq!(failure(&loopback, &client).fault, Fault::Unauthorized);
    assert_eq!(logins(), 2, "the first, and one renewal");
    for wait in [30, 60, 120] {
        let failed = failure(&loopback, &client);
        assert_eq!(failed.wait, Some(Duration::from_secs(wait)));
        loopback.advance(Duration::from_secs(wait - 1));
        let before = logins();
        failure(&loopback, &client);
        assert_eq!(logins(), before, "not within the pause");
        loopback.advance(Duration::from_secs(1));
        failure(&loopback, &client);
        assert_eq!(logins(), before + 1);
    }
    loopback.meddle(|_, reply| Ok(reply));
    loopback.advance(Duration::from_secs(240));
    good(&loopback, &client);
}

#[test]
fn a_token_that_is_not_valid_yet_after_a_renewal_is_a_skewed_clock() {
    let (_, loopback) = setup("v3.8.2");
    loopback.meddle(|_, reply| match reply.action {
        "get_users_online_status" => {
            let body = json!({ "errCode": 1504, "errMsg": "canary", "errDlt": "token=eyJ" }).to_string();
            Ok(SimReply { body: body.into(), ..reply })
        }
        _ => Ok(reply),
    });
    assert_eq!(failure(&loopback, &client()).fault, Fault::ClockSkew);
    let status = "get_users_online_status";
    assert_eq!(loopback.sent(), ["get_admin_token", status, "get_admin_token", status]);
}

#[test]
fn an_upgrade_of_the_server_is_noticed_at_the_next_login() {
    let (shared, loopback) = setup("v3.8.0");
    let client = client();
    good(&loopback, &client);
    shared.with(|sim| *sim = Sim::new(options("main")));
    assert_eq!(failure(&loopback, &client).fault, Fault::Unauthorized, "the old endpoint wants a token now");
    good(&loopback, &client);
    assert_eq!(loopback.sent().last(), Some(&"get_users_online_status"));
}

/// A gate at which every request takes a while, so that questions meet.
struct Slow(Arc<Loopback>);

impl Gate for Slow {
    fn permit(&self, action: &'static Action) -> BoxFuture<'_, Permit> {
        self.0.permit(action)
    }

    fn send(
        &self,
        permit: Permit,
        request: Request,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            self.0.send(permit, request, timeout).await
        })
    }

    fn failed(&self, action: &'static Action, fault: Fault) {
        self.0.failed(action, fault);
    }
}

fn five_at_once(loopback: &Arc<Loopback>, client: &Client) -> Vec<Result<Answer, Failure>> {
    let roster = roster(&["two"]);
    let targets: Vec<Target<'_>> = roster.iter().collect();
    let gate = Arc::new(Slow(loopback.clone()));
    let nets: Vec<Net> = (0..5)
        .map(|_| Net::new(gate.clone(), loopback.clone(), loopback.clone(), Duration::from_secs(10)))
        .collect();
    let asks = nets.iter().map(|net| client.ask(Question::Batch(&targets), net));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(futures_util::future::join_all(asks))
}

#[test]
fn questions_that_meet_share_one_login_and_one_renewal_and_one_refusal() {
    let (shared, loopback) = setup("main");
    let client = client();
    let logins = || loopback.sent().iter().filter(|action| **action == "get_admin_token").count();
    assert!(five_at_once(&loopback, &client).iter().all(Result::is_ok));
    assert_eq!(logins(), 1);
    shared.with(Sim::kick_all);
    assert!(five_at_once(&loopback, &client).iter().all(Result::is_ok));
    assert_eq!(logins(), 2);
    let refused = five_at_once(&loopback, &client_with(with_secret("canary-wrong", Api::Auto)));
    assert!(refused.iter().all(|one| one.as_ref().is_err_and(|f| f.fault == Fault::Unauthorized)));
    assert_eq!(logins(), 3);
}

#[test]
fn older_tokens_of_an_administrator_end_as_the_release_ends_them() {
    // On the unreleased line another login leaves ours five minutes.
    let (_, loopback) = setup("main");
    let (ours, theirs) = (client(), client());
    good(&loopback, &ours);
    loopback.advance(Duration::from_secs(1));
    good(&loopback, &theirs);
    loopback.advance(Duration::from_secs(299));
    good(&loopback, &ours);
    assert_eq!(loopback.faults(), []);
    loopback.advance(Duration::from_secs(1));
    good(&loopback, &ours);
    assert_eq!(loopback.faults(), [Fault::Unauthorized], "1507, then renewed");
    // v3.8.1 lets thirty stand.
    let (_, loopback) = setup("v3.8.1");
    let first = client();
    good(&loopback, &first);
    let log_in = |_| {
        loopback.advance(Duration::from_secs(1));
        good(&loopback, &client());
    };
    (0..29).for_each(log_in);
    good(&loopback, &first);
    assert_eq!(loopback.faults(), []);
    log_in(29);
    good(&loopback, &first);
    assert_eq!(loopback.faults(), [Fault::Unauthorized], "1506, then renewed");
}
