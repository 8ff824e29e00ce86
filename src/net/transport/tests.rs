//! Against real sockets on this machine.

use std::io::Write;

use secrecy::SecretString;
use tokio::io::AsyncWriteExt;

use super::*;
use crate::net::testing::{Authority, answer, answer_on, listen, read_head};

const PATIENCE: Duration = Duration::from_secs(20);
const LIMIT: usize = 64 * 1024;

fn transport(outbound: &Outbound) -> HttpTransport {
    HttpTransport::new(outbound).expect("the settings are good")
}

fn plain() -> HttpTransport {
    transport(&Outbound::default())
}

/// A request whose every part must stay out of errors.
fn get(url: impl AsRef<str>) -> Request {
    http::Request::get(url.as_ref()).header("authorization", "canary-header").body(Bytes::new()).unwrap()
}

fn secret_url(authority: impl std::fmt::Display) -> String {
    format!("http://{authority}/canary-path?Signature=canary-query")
}

fn silent_about_secrets(error: &TransportError) {
    let text = format!("{error} {error:?}");
    assert!(!text.contains("canary") && !text.contains("http://") && text.len() < 300, "{text}");
}

#[tokio::test]
async fn an_answer_arrives_whole_with_status_and_headers() {
    let (listener, address) = listen().await;
    let reply = b"HTTP/1.1 418 I'm a teapot\r\nx-request-id: 42\r\ncontent-length: 5\r\n\r\nhello";
    let transport = plain();
    let request = get(format!("http://{address}/a%2Fb/?q=%7E~%20%27&empty=&plus=%2B"));
    let (got, (head, _stream)) =
        tokio::join!(transport.send(request, PATIENCE, LIMIT), answer(&listener, reply));
    let response = got.unwrap();
    assert_eq!(response.status(), 418);
    assert_eq!(response.headers()["x-request-id"], "42");
    assert_eq!(response.body(), "hello");
    // What was signed must be what is sent, to the byte.
    assert!(head.starts_with("GET /a%2Fb/?q=%7E~%20%27&empty=&plus=%2B HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("user-agent: presence-exporter/"), "{head}");
    assert!(head.contains("accept-encoding: gzip\r\n"), "{head}");
}

#[tokio::test]
async fn a_silent_server_is_left_after_the_timeout() {
    let (listener, address) = listen().await;
    let transport = plain();
    let short = Duration::from_millis(50);
    let send = transport.send(get(secret_url(address)), short, LIMIT);
    let (got, _stream) = tokio::join!(send, listener.accept());
    assert_eq!(got.unwrap_err(), TransportError::Timeout);
}

#[tokio::test]
async fn the_timeout_lasts_to_the_last_byte_and_a_trickle_does_not_extend_it() {
    let (listener, address) = listen().await;
    let transport = plain();
    let send = transport.send(get(secret_url(address)), Duration::from_millis(150), LIMIT);
    let trickle = async {
        let (_, mut stream) = answer(&listener, b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await;
        let mut beat = tokio::time::interval(Duration::from_millis(10));
        loop {
            beat.tick().await;
            if stream.write_all(b".").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let got = tokio::select! { got = send => got, () = trickle => unreachable!("it never ends") };
    assert_eq!(got.unwrap_err(), TransportError::Timeout);
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_the_body_is_no_answer() {
    for head in ["content-length: 1000", "transfer-encoding: chunked"] {
        let (listener, address) = listen().await;
        let transport = plain();
        let send = transport.send(get(secret_url(address)), PATIENCE, LIMIT);
        let cut = async {
            let reply = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\ncanar");
            let (_, stream) = answer(&listener, reply.as_bytes()).await;
            // Without lingering, closing sends a reset instead of an orderly end.
            stream.set_zero_linger().unwrap();
        };
        let (got, ()) = tokio::join!(send, cut);
        let error = got.unwrap_err();
        assert!(matches!(error, TransportError::Unreachable(_)), "{error:?}");
        silent_about_secrets(&error);
    }
}

#[tokio::test]
async fn an_announced_body_beyond_the_limit_is_refused_before_it_is_read() {
    let (listener, address) = listen().await;
    let transport = plain();
    let send = transport.send(get(secret_url(address)), PATIENCE, LIMIT);
    let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", LIMIT + 1);
    // Not one byte of the body is ever sent: waiting for it would end in a timeout.
    let (got, _stream) = tokio::join!(send, answer(&listener, reply.as_bytes()));
    assert_eq!(got.unwrap_err(), TransportError::TooLarge);
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_read_and_one_byte_more_is_not() {
    for (length, fits) in [(1000, true), (1001, false)] {
        let (listener, address) = listen().await;
        let transport = plain();
        let send = transport.send(get(secret_url(address)), PATIENCE, 1000);
        let reply = format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{}\r\n0\r\n\r\n",
            "x".repeat(length)
        );
        let (got, _stream) = tokio::join!(send, answer(&listener, reply.as_bytes()));
        assert_eq!(got.map(|response| response.body().len()).ok(), fits.then_some(1000));
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gzip_reply(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn gzip_is_taken_off() {
    let (listener, address) = listen().await;
    let transport = plain();
    let send = transport.send(get(secret_url(address)), PATIENCE, LIMIT);
    let reply = gzip_reply(&gzip(b"hello"));
    let (got, _stream) = tokio::join!(send, answer(&listener, &reply));
    assert_eq!(got.unwrap().body(), "hello");
}

#[tokio::test]
async fn a_small_body_that_unpacks_to_a_large_one_is_refused() {
    let (listener, address) = listen().await;
    let transport = plain();
    let bomb = gzip(&vec![0; 32 * 1024 * 1024]);
    assert!(bomb.len() < LIMIT, "packed it would fit: {}", bomb.len());
    let send = transport.send(get(secret_url(address)), PATIENCE, LIMIT);
    let reply = gzip_reply(&bomb);
    let (got, _stream) = tokio::join!(send, answer(&listener, &reply));
    assert_eq!(got.unwrap_err(), TransportError::TooLarge);
}

#[tokio::test]
async fn broken_gzip_is_no_answer() {
    let (listener, address) = listen().await;
    let transport = plain();
    let send = transport.send(get(secret_url(address)), PATIENCE, LIMIT);
    let reply = gzip_reply(b"canary, and surely no gzip");
    let (got, _stream) = tokio::join!(send, answer(&listener, &reply));
    let error = got.unwrap_err();
    assert!(error.to_string().contains("Content-Encoding"), "{error}");
    silent_about_secrets(&error);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (listener, address) = listen().await;
    let (elsewhere, elsewhere_address) = listen().await;
    let transport = plain();
    let reply =
        format!("HTTP/1.1 302 Found\r\nlocation: http://{elsewhere_address}/\r\ncontent-length: 0\r\n\r\n");
    let send = transport.send(get(secret_url(address)), PATIENCE, LIMIT);
    let (got, _stream) = tokio::join!(send, answer(&listener, reply.as_bytes()));
    assert_eq!(got.unwrap().status(), 302);
    assert!(futures_util::FutureExt::now_or_never(elsewhere.accept()).is_none(), "it went there");
}

#[tokio::test]
async fn a_request_is_sent_once_however_it_fails() {
    let (listener, address) = listen().await;
    let transport = plain();
    let send = transport.send(get(secret_url(address)), PATIENCE, LIMIT);
    let (got, stream) = tokio::join!(send, async { answer(&listener, b"").await.0 });
    assert!(matches!(got, Err(TransportError::Unreachable(_))), "{got:?}");
    assert!(stream.starts_with("GET"));
    assert!(futures_util::FutureExt::now_or_never(listener.accept()).is_none(), "it asked again");
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let (listener, address) = listen().await;
    let transport = plain();
    let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let first = transport.send(get(secret_url(address)), PATIENCE, LIMIT);
    let (got, (_, mut stream)) = tokio::join!(first, answer(&listener, reply));
    got.unwrap();
    let second = transport.send(get(secret_url(address)), PATIENCE, LIMIT);
    let (got, head) = tokio::join!(second, answer_on(&mut stream, reply));
    got.unwrap();
    assert!(head.starts_with("GET"), "{head}");
}

#[tokio::test]
async fn a_closed_port_and_a_name_that_does_not_exist_are_told_in_words() {
    let (listener, address) = listen().await;
    drop(listener);
    let closed = plain().send(get(secret_url(address)), PATIENCE, LIMIT).await.unwrap_err();
    assert_eq!(closed, TransportError::Unreachable("connection refused".to_owned()));
    // RFC 6761 keeps `.invalid` from ever existing.
    let unknown = plain().send(get(secret_url("canary-host.invalid")), PATIENCE, LIMIT).await.unwrap_err();
    assert_eq!(unknown, TransportError::Unreachable("the host name cannot be resolved".to_owned()));
}

#[tokio::test]
async fn a_request_without_a_complete_address_is_refused_and_not_quoted() {
    for url in ["/canary-path?canary-query", "ftp://canary/"] {
        let error = plain().send(get(url), PATIENCE, LIMIT).await.unwrap_err();
        assert!(matches!(error, TransportError::Unreachable(_)), "{error:?}");
        silent_about_secrets(&error);
    }
}

#[tokio::test]
async fn what_is_not_http_is_no_answer() {
    let (listener, address) = listen().await;
    let transport = plain();
    let send = transport.send(get(secret_url(address)), PATIENCE, LIMIT);
    let (got, _stream) = tokio::join!(send, answer(&listener, b"SSH-2.0-canary\r\n\r\n"));
    let error = got.unwrap_err();
    assert!(error.to_string().contains("invalid HTTP"), "{error}");
    silent_about_secrets(&error);
}

#[tokio::test]
async fn a_proxy_gets_the_request_with_its_user_and_password() {
    let (listener, address) = listen().await;
    let outbound = Outbound {
        proxy: Some(SecretString::from(format!("http://user:p%40ss@{address}"))),
        ..Outbound::default()
    };
    let transport = transport(&outbound);
    let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let request = get("http://provider.invalid/path?q=1");
    let (got, (head, _stream)) =
        tokio::join!(transport.send(request, PATIENCE, LIMIT), answer(&listener, reply));
    assert_eq!(got.unwrap().body(), "ok");
    assert!(head.starts_with("GET http://provider.invalid/path?q=1 HTTP/1.1\r\n"), "{head}");
    // `user:p@ss`
    assert!(head.contains("proxy-authorization: Basic dXNlcjpwQHNz\r\n"), "{head}");
}

#[tokio::test]
async fn a_proxy_that_refuses_the_tunnel_is_told_and_not_quoted() {
    let (listener, address) = listen().await;
    let outbound = Outbound {
        proxy: Some(SecretString::from(format!("http://canary-user:canary-pass@{address}"))),
        ..Outbound::default()
    };
    let transport = transport(&outbound);
    let reply = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n";
    let request = get("https://provider.invalid/canary-path");
    let (got, (head, _stream)) =
        tokio::join!(transport.send(request, PATIENCE, LIMIT), answer(&listener, reply));
    assert!(head.starts_with("CONNECT provider.invalid:443"), "{head}");
    assert!(!head.contains("canary-path") && !head.contains("canary-header"), "{head}");
    let error = got.unwrap_err();
    assert!(error.to_string().contains("proxy authorization required"), "{error}");
    silent_about_secrets(&error);
}

#[test]
fn a_proxy_s_address_is_checked_and_not_quoted() {
    for address in ["canary:3128", "socks5://canary-user:canary-pass@host:1", "http://", "http://canary:x:y/"]
    {
        let outbound = Outbound { proxy: Some(SecretString::from(address)), ..Outbound::default() };
        let error = HttpTransport::new(&outbound).expect_err(address);
        assert!(error.starts_with("the proxy's address") && !error.contains("canary"), "{error}");
    }
}

async fn over_tls(
    authority: &Authority,
    demand_client: bool,
    outbound: &Outbound,
) -> (Result<Response, TransportError>, String) {
    let (listener, address) = listen().await;
    let acceptor = authority.acceptor(demand_client);
    let transport = transport(outbound);
    let url = format!("https://localhost:{}/canary-path?canary-query", address.port());
    let send = transport.send(get(url), PATIENCE, LIMIT);
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let Ok(mut stream) = acceptor.accept(stream).await else { return String::new() };
        let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let head = answer_on(&mut stream, reply).await;
        let _ = stream.shutdown().await;
        head
    };
    tokio::join!(send, serve)
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_when_named() {
    let authority = Authority::new("a company");
    let named = Outbound { ca_pem: Some(authority.pem()), ..Outbound::default() };
    let (got, head) = over_tls(&authority, false, &named).await;
    assert_eq!(got.unwrap().body(), "ok");
    assert!(head.starts_with("GET /canary-path?canary-query"), "{head}");

    let (got, head) = over_tls(&authority, false, &Outbound::default()).await;
    let error = got.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    silent_about_secrets(&error);
    assert_eq!(head, "", "nothing is said to a server that is not trusted");
}

#[tokio::test]
async fn a_client_certificate_is_shown_when_demanded() {
    let authority = Authority::new("a company");
    let (certificate, key) = authority.issue("exporter");
    let with = Outbound {
        ca_pem: Some(authority.pem()),
        identity_pem: Some(SecretString::from(certificate + &key)),
        ..Outbound::default()
    };
    let (got, _) = over_tls(&authority, true, &with).await;
    assert_eq!(got.unwrap().body(), "ok");

    let without = Outbound { identity_pem: None, ..with };
    let (got, _) = over_tls(&authority, true, &without).await;
    let error = got.unwrap_err();
    assert!(matches!(error, TransportError::Unreachable(_)), "{error:?}");
    silent_about_secrets(&error);
}

#[tokio::test]
async fn what_speaks_no_tls_is_told_so() {
    let (listener, address) = listen().await;
    let transport = plain();
    let send = transport.send(get(format!("https://{address}/canary")), PATIENCE, LIMIT);
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let _ = read_head(&mut stream).await;
    };
    let got = tokio::select! { got = send => got, () = async { serve.await; std::future::pending().await } => unreachable!() };
    let error = got.unwrap_err();
    assert!(error.to_string().contains("TLS: "), "{error}");
    silent_about_secrets(&error);
}
