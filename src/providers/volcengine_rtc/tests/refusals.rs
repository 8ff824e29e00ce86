//! Refusals, troubles and what is no answer: each becomes its fault, and nobody offline.

use super::*;

#[test]
fn a_wrong_key_secret_or_token_is_unauthorized() {
    let wrong_secret = Credentials { secret: Secret::new("canary-other"), ..credentials() };
    assert_eq!(failure(&loopback(), &client_with(wrong_secret, 123_456)).fault, Fault::Unauthorized);
    let wrong_id = Credentials { access_key_id: Secret::new("AKLTOTHER"), ..credentials() };
    let failed = failure(&loopback(), &client_with(wrong_id, 123_456));
    assert_eq!((failed.fault, failed.message.contains("InvalidAccessKey")), (Fault::Unauthorized, true));
    let temporary = || SimOptions { token: Some("canary+/=token".into()), ..options() };
    assert_eq!(failure(&loopback_of(temporary()), &client()).fault, Fault::Unauthorized);
    let with = |token: &str| Credentials { session_token: Some(Secret::new(token)), ..credentials() };
    let expired = client_with(with("canary-expired"), 123_456);
    assert!(failure(&loopback_of(temporary()), &expired).message.contains("InvalidSecretToken"));
    let good = client_with(with("canary+/=token"), 123_456);
    ask(&loopback_of(temporary()), &good, &roster(&["10001"])).0.expect("the token is signed and sent");
    let unsendable = client_with(with("canary\n"), 123_456);
    let (answer, _) = ask(&loopback(), &unsendable, &roster(&["10001"]));
    assert_eq!(answer.expect_err("no header can hold it").fault, Fault::Unauthorized);
}

#[test]
fn a_skewed_clock_is_told_as_such() {
    let loopback = loopback();
    loopback.meddle(|_, reply| {
        let error =
            r#"{"ResponseMetadata":{"RequestId":"r","Error":{"CodeN":100006,"Code":"InvalidTimestamp"}}}"#;
        Ok(SimReply { status: 403, body: error.into(), ..reply })
    });
    assert_eq!(failure(&loopback, &client()).fault, Fault::ClockSkew);
}

#[test]
fn an_unknown_app_and_a_missing_permission_are_told_apart_under_any_status() {
    let app = client_with(credentials(), 7);
    for status in ["400", "200"] {
        let failed = failure(&loopback_of(options().with("product_error_status", status)), &app);
        assert_eq!(failed.fault, Fault::Rejected);
        assert!(failed.message.contains("InvalidParameter.NotExistAppId"));
    }
    assert_eq!(failure(&loopback_of(options().with("denied", "true")), &client()).fault, Fault::Forbidden);
}

#[test]
fn the_account_is_throttled_beyond_its_calls_a_second() {
    let loopback = loopback_of(options().with("calls_per_second", "2"));
    let client = client();
    let ids = roster(&["10001"]);
    assert!(ask(&loopback, &client, &ids).0.is_ok() && ask(&loopback, &client, &ids).0.is_ok());
    assert_eq!(failure(&loopback, &client).fault, Fault::Throttled);
    loopback.advance(Duration::from_secs(1));
    assert!(ask(&loopback, &client, &ids).0.is_ok());
}

#[test]
fn each_trouble_of_the_provider_is_judged_by_its_code_and_keeps_its_wait() {
    let judged = |trouble| {
        let loopback = loopback();
        loopback.meddle(move |_, _| {
            let request = SimRequest {
                method: &Method::POST,
                path: "/",
                query: "Action=QueryOnlineStatus&Version=2020-12-01",
                headers: &HeaderMap::new(),
                body: b"",
            };
            Ok(Sim::new(options()).trouble(trouble, &request))
        });
        let failed = failure(&loopback, &client());
        (failed.fault, failed.wait)
    };
    let wait = Some(Duration::from_secs(7));
    assert_eq!(judged(Trouble::Throttled { retry_after_s: Some(7) }), (Fault::Throttled, wait));
    assert_eq!(judged(Trouble::Throttled { retry_after_s: None }), (Fault::Throttled, None));
    assert_eq!(judged(Trouble::ErrorUnder200), (Fault::Throttled, None));
    assert_eq!(judged(Trouble::ServerError), (Fault::ServerError, None));
    assert_eq!(judged(Trouble::Forbidden), (Fault::Forbidden, None));
    assert_eq!(judged(Trouble::Unauthorized), (Fault::Unauthorized, None));
    assert_eq!(judged(Trouble::WrongType), (Fault::BadAnswer, None));
    assert_eq!(judged(Trouble::MissingField), (Fault::BadAnswer, None));
}

#[test]
fn an_error_of_any_shape_under_200_is_no_empty_success() {
    for error in [
        r#"{"Code":"SomethingNew","Message":"canary"}"#,
        r#"{"CodeN":100014}"#,
        r#"{"Code":""}"#,
        "{}",
        "7",
        r#""canary""#,
        "[]",
    ] {
        let loopback = loopback();
        let body = format!(
            r#"{{"ResponseMetadata":{{"RequestId":"r","Error":{error}}},"Result":{{"AppId":123456}}}}"#
        );
        loopback.meddle(move |_, reply| Ok(SimReply { body: body.clone().into(), ..reply }));
        assert_eq!(failure(&loopback, &client()).fault, Fault::ServerError, "{error}");
    }
    let null = r#"{"ResponseMetadata":{"RequestId":"r","Error":null},"Result":{"AppId":123456}}"#;
    let loopback = loopback();
    loopback.meddle(move |_, reply| Ok(SimReply { body: null.into(), ..reply }));
    let rows = ask(&loopback, &client(), &roster(&["10001"])).0.expect("null is no error").rows;
    assert!(rows[0].1.as_ref().is_ok_and(|seen| !seen.online));
}

#[test]
fn what_is_not_the_providers_envelope_is_judged_by_status_and_shape() {
    assert_eq!(meddled(502, "<html>canary</html>").fault, Fault::ServerError);
    assert_eq!(meddled(403, "<html>canary</html>").fault, Fault::Forbidden);
    assert_eq!(meddled(200, "<html>canary</html>").fault, Fault::BadAnswer);
    assert_eq!(meddled(200, "").fault, Fault::BadAnswer);
    assert_eq!(
        meddled(200, r#"{"ResponseMetadata":{},"Result":{"AppId":123456,"Quer"#).fault,
        Fault::BadAnswer
    );
    assert_eq!(meddled(200, r#"{"ResponseMetadata":{}}"#).fault, Fault::BadAnswer);
    assert_eq!(meddled(200, r#"{"Result":{"AppId":123456}}"#).fault, Fault::BadAnswer);
    assert_eq!(meddled(200, r#"{"ResponseMetadata":{},"Result":{"AppId":123457}}"#).fault, Fault::BadAnswer);
    assert_eq!(
        meddled(503, r#"{"ResponseMetadata":{},"Result":{"AppId":123456}}"#).fault,
        Fault::ServerError
    );
    let lost = loopback();
    lost.meddle(|_, _| Err(TransportError::Timeout));
    assert_eq!(failure(&lost, &client()).fault, Fault::Timeout);
}
