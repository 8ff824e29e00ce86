//! Refusals, troubles and what is no answer: each becomes its fault, and nobody offline.

use super::*;

#[test]
fn wrong_credentials_are_unauthorized_and_a_missing_right_is_forbidden() {
    for server in RELEASES {
        let (_, loopback) = setup(server);
        let wrong_secret = client_with(with_secret("canary-wrong", Api::Auto));
        assert_eq!(failure(&loopback, &wrong_secret).fault, Fault::Unauthorized, "{server}: secret");
        let (_, loopback) = setup_with(options(server).with("admins", "other"));
        assert_eq!(failure(&loopback, &client()).fault, Fault::Unauthorized, "{server}: no administrator");
    }
    let (_, loopback) = setup("v3.8.3");
    let older = client_with(with_secret(CANARY, Api::UserToken));
    assert_eq!(failure(&loopback, &older).fault, Fault::Unauthorized);
    let (_, loopback) = setup("v3.5.0");
    let newer = client_with(with_secret(CANARY, Api::AdminToken));
    assert_eq!(failure(&loopback, &newer).fault, Fault::Rejected);
}

#[test]
fn each_trouble_of_the_provider_is_judged_by_its_code_and_keeps_its_wait() {
    for server in RELEASES {
        let judged = |trouble| {
            let (shared, loopback) = setup(server);
            loopback.meddle(move |_, reply| {
                if reply.action != "get_users_online_status" {
                    return Ok(reply);
                }
                let request = SimRequest {
                    method: &Method::POST,
                    path: "/user/get_users_online_status",
                    query: "",
                    headers: &HeaderMap::new(),
                    body: b"",
                };
                Ok(shared.with(|sim| sim.trouble(trouble, &request)))
            });
            let failed = failure(&loopback, &client());
            (failed.fault, failed.wait)
        };
        let wait = Some(Duration::from_secs(7));
        assert_eq!(judged(Trouble::Throttled { retry_after_s: Some(7) }), (Fault::Throttled, wait));
        assert_eq!(judged(Trouble::Throttled { retry_after_s: None }), (Fault::Throttled, None));
        assert_eq!(judged(Trouble::ErrorUnder200), (Fault::ServerError, None));
        assert_eq!(judged(Trouble::ServerError), (Fault::ServerError, None));
        assert_eq!(judged(Trouble::Forbidden), (Fault::Forbidden, None));
        assert_eq!(judged(Trouble::Unauthorized).0, Fault::Unauthorized);
        assert_eq!(judged(Trouble::WrongType), (Fault::BadAnswer, None));
        assert_eq!(judged(Trouble::MissingField), (Fault::BadAnswer, None));
    }
}

#[test]
fn what_is_not_the_providers_envelope_is_judged_by_status_and_shape() {
    let meddled = |status: u16, body: &'static str| {
        let (_, loopback) = setup("v3.8.3");
        loopback.meddle(move |_, reply| match reply.action {
            "get_users_online_status" => Ok(SimReply { status, body: body.into(), ..reply }),
            _ => Ok(reply),
        });
        failure(&loopback, &client())
    };
    assert_eq!(meddled(502, "<html>canary</html>").fault, Fault::ServerError);
    assert_eq!(meddled(413, "<html>canary</html>").fault, Fault::Rejected);
    assert_eq!(meddled(500, "").fault, Fault::ServerError);
    assert_eq!(meddled(404, "404 page not found").fault, Fault::Rejected);
    assert_eq!(meddled(200, "<html>canary</html>").fault, Fault::BadAnswer);
    assert_eq!(meddled(200, r#"{"errCode":0,"data":[{"userID":"two","status":1"#).fault, Fault::BadAnswer);
    assert_eq!(meddled(200, r#"{"data":[{"userID":"two","status":1}]}"#).fault, Fault::BadAnswer);
    assert_eq!(
        meddled(200, r#"{"errCode":"0","data":[{"userID":"two","status":1}]}"#).fault,
        Fault::BadAnswer
    );
    assert_eq!(meddled(200, r#"{"errCode":0,"data":null}"#).fault, Fault::BadAnswer);
    assert_eq!(meddled(503, r#"{"errCode":0,"data":[]}"#).fault, Fault::ServerError);
    let version_2 = meddled(400, r#"{"errCode":400,"errMsg":"canary eyJ"}"#);
    assert_eq!((version_2.fault, version_2.message.contains("OpenIM 2")), (Fault::Rejected, true));
    let login = |body: &'static str| {
        let (_, loopback) = setup("v3.8.3");
        loopback.meddle(move |_, reply| Ok(SimReply { body: body.into(), ..reply }));
        failure(&loopback, &client()).fault
    };
    assert_eq!(login(r#"{"errCode":0,"data":{"token":""}}"#), Fault::BadAnswer);
    assert_eq!(login(r#"{"errCode":0,"data":null}"#), Fault::BadAnswer);
    assert_eq!(login(r#"{"errCode":0,"data":{"token":7}}"#), Fault::BadAnswer);
    assert_eq!(login(r#"{"errCode":14,"errMsg":"canary"}"#), Fault::ServerError);
}
