//! Every kind of outcome as a plain TCP client sees it.

use std::future::pending;
use std::io::ErrorKind;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::fake::{self, HandClock};
use super::faults::Kind;
use super::*;
use crate::providers::sim::Trouble;

const NOW_MS: i64 = 1_780_000_000_000;

/// What a client got until the end of the connection, and how that end was.
#[derive(Debug)]
struct Got {
    text: String,
    end: Result<(), ErrorKind>,
}

impl Got {
    fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").expect("a head").1
    }

    fn promised(&self) -> usize {
        let (_, rest) = self.text.split_once("content-length: ").expect("a promised length");
        rest.lines().next().unwrap().trim().parse().unwrap()
    }
}

/// Runs a client against a simulator of two clouds with these options.
fn with_simulator<F: AsyncFnOnce(&Simulator, &HandClock)>(options: &Options, client: F) {
    let kinds = [fake::kind("one", "first"), fake::kind("two", "second")];
    let clock = HandClock::at(NOW_MS);
    let world = options.scenario.world(&kinds, NOW_MS);
    let simulator = Simulator::bind_world(options, &kinds, world, clock.clone()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let serve = std::pin::pin!(simulator.serve(pending()));
        let client = std::pin::pin!(client(&simulator, &clock));
        match select(serve, client).await {
            Either::Left((ended, _)) => panic!("the simulator ended: {ended:?}"),
            Either::Right(((), _)) => {}
        }
    });
}

async fn send(simulator: &Simulator, server: usize, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(simulator.addresses()[server].1).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn rest(mut stream: TcpStream) -> Got {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).await.map(drop).map_err(|error| error.kind());
    Got { text: String::from_utf8(bytes).unwrap(), end }
}

const GET: &str = "GET /one/List HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// The answer to one request under one fault; the clock moves on whenever somebody may wait for it.
fn under(kind: Kind) -> Got {
    let options = Options { faults: vec![Incident::always("one", kind)], ..Options::default() };
    let mut got = None;
    with_simulator(&options, async |simulator, clock| {
        let stream = send(simulator, 0, GET).await;
        let mut rest = std::pin::pin!(rest(stream));
        got = Some(loop {
            if let std::task::Poll::Ready(got) = poll!(&mut rest) {
                break got;
            }
            clock.advance(Duration::from_millis(1));
            tokio::task::yield_now().await;
        });
        assert_eq!(simulator.record().entries()[0].fault, Some(kind.name()));
    });
    got.unwrap()
}

#[test]
fn a_request_arrives_as_it_was_sent_and_the_answer_is_dated() {
    let request = "POST /one/List?a=b%2Fc&d=+e HTTP/1.1\r\nHost: x\r\nX-Probe: p r o\r\nContent-Length: 6\r\n\
        Connection: close\r\n\r\nbo dy!";
    with_simulator(&Options::default(), async |simulator, _| {
        let got = rest(send(simulator, 0, request).await).await;
        let body: serde_json::Value = serde_json::from_str(got.body()).unwrap();
        for (field, sent) in [
            ("method", "POST"),
            ("path", "/one/List"),
            ("query", "a=b%2Fc&d=+e"),
            ("probe", "p r o"),
            ("body", "bo dy!"),
        ] {
            assert_eq!(body[field], sent);
        }
        assert!(got.text.contains("date: Thu, 28 May 2026 20:26:40 GMT\r\n"), "{}", got.text);
        assert_eq!(got.text.matches("date: ").count(), 1);
        let online: Vec<&str> =
            body["online"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        assert_eq!(online, simulator.truth().populations[0].online_ids);
    });
}

#[test]
fn a_chunked_body_arrives_whole_and_connections_are_kept_and_counted() {
    let first = "POST /one/List HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    with_simulator(&Options::default(), async |simulator, _| {
        let got = rest(send(simulator, 0, &format!("{first}{GET}")).await).await;
        assert!(got.text.contains("\"body\":\"abcde\""), "{}", got.text);
        assert_eq!(got.text.matches("HTTP/1.1 200").count(), 2);
        rest(send(simulator, 1, &GET.replace("one", "two")).await).await;
        let seen: Vec<_> =
            simulator.record().entries().iter().map(|entry| (entry.cloud, entry.connection)).collect();
        assert_eq!(seen, [("first", 1), ("first", 1), ("second", 2)]);
    });
}

#[test]
fn a_body_beyond_the_limit_is_refused() {
    let head = format!("POST /one/List HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", 3 << 20);
    with_simulator(&Options::default(), async |simulator, _| {
        let mut stream = send(simulator, 0, &head).await;
        let (mut reader, mut writer) = stream.split();
        let mut answer = [0; 12];
        // The server answers and closes before all is sent, so that either side may end first.
        let sending = std::pin::pin!(async {
            let _ = writer.write_all(&vec![b'x'; 3 << 20]).await;
            pending::<()>().await;
        });
        let reading = std::pin::pin!(reader.read_exact(&mut answer));
        match select(reading, sending).await {
            Either::Left((read, _)) => assert_eq!(read.unwrap(), 12),
            Either::Right(_) => unreachable!("sending never ends"),
        }
        assert_eq!(&answer, b"HTTP/1.1 413");
        assert_eq!(simulator.record().total(), 0);
    });
}

#[test]
fn every_trouble_is_worded_by_the_provider() {
    for (trouble, status, word) in [
        (Trouble::Throttled { retry_after_s: None }, 429, "throttled"),
        (Trouble::ServerError, 500, "server_error"),
        (Trouble::ErrorUnder200, 200, "error_under_200"),
        (Trouble::Forbidden, 403, "forbidden"),
        (Trouble::Unauthorized, 401, "unauthorized"),
        (Trouble::WrongType, 200, "wrong_type"),
        (Trouble::MissingField, 200, "missing_field"),
    ] {
        let got = under(Kind::Worded(trouble));
        assert!(got.text.starts_with(&format!("HTTP/1.1 {status} ")), "{trouble:?}: {}", got.text);
        assert_eq!(got.body(), format!("{{\"error\":\"{word}\"}}"));
        assert!(!got.text.contains("retry-after"));
    }
    let got = under(Kind::Worded(Trouble::Throttled { retry_after_s: Some(7) }));
    assert!(got.text.contains("retry-after: 7\r\n"), "{}", got.text);
}

#[test]
fn a_reset_comes_before_any_byte() {
    let got = under(Kind::Reset);
    assert_eq!((got.text.as_str(), got.end), ("", Err(ErrorKind::ConnectionReset)));
}

#[test]
fn a_reset_in_the_body_comes_after_some_of_it() {
    let got = under(Kind::ResetInBody);
    assert_eq!(got.end, Err(ErrorKind::ConnectionReset));
    assert!(!got.body().is_empty() && got.body().len() < got.promised(), "{}", got.text);
}

#[test]
fn a_truncated_answer_ends_in_good_order_before_its_promised_length() {
    let got = under(Kind::Truncated);
    assert_eq!(got.end, Ok(()));
    assert_eq!(got.body().len(), got.promised() / 2, "{}", got.text);
}

#[test]
fn a_gateways_page_and_what_is_no_json_are_just_that() {
    let page = under(Kind::Html);
    assert!(page.text.starts_with("HTTP/1.1 502 ") && page.text.contains("content-type: text/html"));
    let text = under(Kind::NotJson);
    assert!(text.text.starts_with("HTTP/1.1 200 ") && text.text.contains("content-type: application/json"));
    assert!(serde_json::from_str::<serde_json::Value>(text.body()).is_err());
}

#[test]
fn a_giant_is_as_large_as_asked() {
    let got = under(Kind::Giant(3_000_001));
    assert!(got.text.contains("transfer-encoding: chunked"), "{}", &got.text[..300]);
    assert_eq!(got.body().matches(' ').count(), 3_000_001);
    assert_eq!(got.end, Ok(()));
}

/// Waits until the simulator has dealt with a request, and a little for bytes that should not come.
async fn nothing_yet(simulator: &Simulator, stream: &mut TcpStream) {
    while simulator.record().total() == 0 {
        tokio::task::yield_now().await;
    }
    let mut byte = [0];
    for _ in 0..200 {
        assert!(poll!(std::pin::pin!(stream.peek(&mut byte))).is_pending(), "bytes came too early");
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_slow_answer_comes_when_its_time_has_come() {
    let slow = Kind::Slow(Duration::from_secs(2));
    let options = Options { faults: vec![Incident::always("all", slow)], ..Options::default() };
    with_simulator(&options, async |simulator, clock| {
        let mut stream = send(simulator, 0, GET).await;
        nothing_yet(simulator, &mut stream).await;
        clock.advance(Duration::from_millis(1_999));
        nothing_yet(simulator, &mut stream).await;
        clock.advance(Duration::from_millis(1));
        assert!(rest(stream).await.text.starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn a_dripping_answer_comes_in_drops_and_is_whole_in_the_end() {
    let drip = Kind::Drip(Duration::from_secs(16));
    let options = Options { faults: vec![Incident::always("all", drip)], ..Options::default() };
    with_simulator(&options, async |simulator, clock| {
        let mut stream = send(simulator, 0, GET).await;
        let (mut bytes, mut grew) = (Vec::new(), Vec::new());
        for second in 0..=16 {
            loop {
                // Each drop is there, or comes after some turns of the loop; the last one is followed by the end.
                let before = bytes.len();
                let mut buffer = [0; 4096];
                let read = stream.read(&mut buffer).await.unwrap();
                bytes.extend_from_slice(&buffer[..read]);
                if bytes.len() > before || read == 0 {
                    break;
                }
            }
            grew.push(bytes.len());
            if second < 16 {
                clock.advance(Duration::from_secs(1));
            }
        }
        assert!(grew.windows(2).all(|pair| pair[0] < pair[1]), "{grew:?}");
        let got = Got { text: String::from_utf8(bytes).unwrap(), end: Ok(()) };
        assert_eq!(got.body().len(), got.promised());
    });
}

#[test]
fn a_hanging_answer_never_comes_and_the_connection_is_reset_at_last() {
    let options = Options { faults: vec![Incident::always("all", Kind::Hang)], ..Options::default() };
    with_simulator(&options, async |simulator, clock| {
        let mut stream = send(simulator, 0, GET).await;
        nothing_yet(simulator, &mut stream).await;
        clock.advance(Duration::from_secs(599));
        nothing_yet(simulator, &mut stream).await;
        assert_eq!(simulator.record().entries()[0].status, None);
        clock.advance(Duration::from_secs(1));
        let got = rest(stream).await;
        assert_eq!((got.text.as_str(), got.end), ("", Err(ErrorKind::ConnectionReset)));
    });
}

#[test]
fn faults_and_limits_can_be_switched_while_it_runs() {
    with_simulator(&Options::default(), async |simulator, _| {
        let status = async || rest(send(simulator, 0, GET).await).await.text[9..12].to_owned();
        assert_eq!(status().await, "200");
        simulator.set_faults(vec![Incident::always("first", Kind::Html)]);
        assert_eq!(status().await, "502");
        simulator.set_faults(Vec::new());
        simulator.set_rate_limit(Some(1));
        assert_eq!(status().await, "200");
        assert_eq!(status().await, "429");
    });
}

#[test]
fn serving_ends_when_it_is_told_and_open_connections_with_it() {
    let kinds = [fake::kind("one", "first")];
    let clock = HandClock::at(NOW_MS);
    let simulator = Simulator::bind_world(&Options::default(), &kinds, World::default(), clock).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let client = async {
            let mut stream = send(&simulator, 0, &GET.replace("Connection: close\r\n", "")).await;
            let mut byte = [0];
            stream.read_exact(&mut byte).await.unwrap();
            stop.send(()).unwrap();
            stream
        };
        let serve = simulator.serve(async { stopped.await.unwrap() });
        let (served, stream) = futures_util::future::join(serve, client).await;
        served.unwrap();
        assert!(rest(stream).await.text.starts_with("TTP/1.1 200"));
    });
}

#[test]
fn a_taken_port_is_named() {
    let kinds = [fake::kind("one", "first")];
    let clock = HandClock::at(NOW_MS);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let options = Options { base_port: Some(port), ..Options::default() };
    let error = Simulator::bind_world(&options, &kinds, World::default(), clock).err().expect("taken");
    assert!(error.to_string().contains(&format!("127.0.0.1:{port} for first")), "{error}");
}

#[test]
fn a_client_that_loses_patience_frees_its_connection() {
    let options = Options { faults: vec![Incident::always("all", Kind::Hang)], ..Options::default() };
    with_simulator(&options, async |simulator, _| {
        for n in 1..=600 {
            let stream = send(simulator, 0, GET).await;
            while simulator.record().total() < n {
                tokio::task::yield_now().await;
            }
            drop(stream);
        }
    });
}
