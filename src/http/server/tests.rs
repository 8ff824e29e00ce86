//! Over real sockets on this machine, on one thread, with limits small enough to wait for.

use std::io::Read;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::exposition::Format;
use crate::http::testing::{Fake, PATIENCE, Reply, Running, SOURCES, line, until, write};

const SHORT: Duration = Duration::from_millis(100);

/// Reads until the other side closes or resets; returns what came.
async fn drain(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    drop(read.expect("the server closes the connection"));
    bytes
}

/// Reads one answer with a Content-Length, leaving the connection open.
async fn read_short(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let read = async {
        loop {
            stream.read_buf(&mut bytes).await.unwrap();
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                let reply = Reply::parse(&bytes);
                if bytes.len() >= end + 4 + reply.header("content-length").parse::<usize>().unwrap() {
                    return reply;
                }
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("an answer in time")
}

#[tokio::test]
async fn scrapers_get_the_format_and_the_encoding_that_they_ask_for() {
    const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
         application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
         text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    const PROMETHEUS_2: &str = "application/openmetrics-text;version=1.0.0,\
         application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    const VICTORIA_METRICS: &str = "text/plain;version=0.0.4;q=1,*/*;q=0.1";
    let text = "text/plain; version=0.0.4; charset=utf-8";
    let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let running = Running::start(&Fake::with_lines(10), Limits::default());
    for (accept, encoding, wanted_type, wanted_encoding) in [
        (Some(PROMETHEUS_3), Some("gzip"), open, "gzip"),
        (Some(PROMETHEUS_3), Some("identity"), open, ""),
        (Some(PROMETHEUS_2), Some("gzip"), open, "gzip"),
        (Some(VICTORIA_METRICS), Some("gzip"), text, "gzip"),
        (Some("text/html,*/*;q=0.8"), Some("gzip, deflate, br, zstd"), text, "gzip"),
        (Some("*/*"), None, text, ""),
        (None, Some("gzip;q=0"), text, ""),
        (None, None, text, ""),
    ] {
        let mut head = "GET /metrics HTTP/1.1\nhost: x\nx-prometheus-scrape-timeout-seconds: 10".to_owned();
        for (name, value) in [("accept", accept), ("accept-encoding", encoding)] {
            head += &value.map(|value| format!("\n{name}: {value}")).unwrap_or_default();
        }
        let reply = running.ask(&head).await;
        let got = (reply.status, reply.header("content-type"), reply.header("content-encoding"));
        assert_eq!(got, (200, wanted_type, wanted_encoding), "{head}");
        assert_eq!(reply.header("vary"), "Accept, Accept-Encoding");
    }
}

#[tokio::test]
async fn a_page_is_complete_and_gzip_holds_the_same_bytes() {
    let fake = Fake::with_lines(30_000);
    let running = Running::start(&fake, Limits::default());
    let plain = running.get("/metrics").await;
    let expected: String = (0..30_000).map(line).collect();
    assert!(plain.body == expected.as_bytes(), "{} bytes came of {}", plain.body.len(), expected.len());
    let packed = running.ask("GET /metrics HTTP/1.1\nhost: x\naccept-encoding: gzip").await;
    assert!(packed.body.len() < expected.len() / 4, "{}", packed.body.len());
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked == expected.as_bytes());
    // The size is that before compression, both times.
    assert_eq!(*fake.written.lock().unwrap(), [expected.len() as u64; 2]);
    assert_eq!(fake.alive.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_empty_page_is_a_page() {
    let running = Running::start(&Fake::with_lines(0), Limits::default());
    let plain = running.get("/metrics").await;
    assert_eq!((plain.status, plain.text()), (200, ""));
    let packed = running.ask("GET /metrics HTTP/1.1\nhost: x\naccept-encoding: gzip").await;
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_end(&mut unpacked).unwrap();
    assert!(unpacked.is_empty());
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_makes_no_page() {
    let fake = Fake::with_lines(10);
    let running = Running::start(&fake, Limits::default());
    for path in ["/metrics", "/", "/-/healthy", "/nowhere"] {
        let head = running.ask(&format!("HEAD {path} HTTP/1.1\nhost: x\naccept-encoding: gzip")).await;
        assert!(head.body.is_empty(), "{path}");
        assert_eq!(fake.made.load(Ordering::SeqCst), 0, "a piece was made for {path}");
        let get = running.ask(&format!("GET {path} HTTP/1.1\nhost: x\naccept-encoding: gzip")).await;
        fake.made.store(0, Ordering::SeqCst);
        assert_eq!(head.status, get.status, "{path}");
        // The time may differ, and how a body is framed may stay unsaid where none comes.
        let comparable = |reply: &Reply| {
            let mut headers: Vec<_> = reply.headers.clone().into_iter().collect();
            headers.retain(|(name, _)| name != "date" && name != "transfer-encoding");
            headers.sort();
            headers
        };
        assert_eq!(comparable(&head), comparable(&get), "{path}");
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_told_what_there_is() {
    let fake = Fake::with_lines(1);
    let running = Running::start(&fake, Limits::default());
    for path in ["/nowhere", "/metrics/", "//metrics", "/-/reload", "/-/healthy/x"] {
        let reply = running.get(path).await;
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(
            reply.text(),
            "Nothing is here. The paths are /, /metrics, /api/v1/targets/SOURCE/TARGET, /-/healthy and /-/ready.\n"
        );
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        let reply = running.ask(&format!("{method} /metrics HTTP/1.1\nhost: x")).await;
        assert_eq!((reply.status, reply.header("allow")), (405, "GET, HEAD"), "{method}");
    }
    let codes = fake.codes.lock().unwrap();
    assert_eq!((codes.len(), codes[0], codes[9]), (10, 404, 405));
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let running = Running::start(&Fake::with_lines(1), Limits::default());
    for path in ["/", "/metrics", "/-/healthy", "/-/ready", "/-/style.css", "/nowhere"] {
        let reply = running.get(path).await;
        assert!(reply.header("content-security-policy").starts_with("default-src 'none'; style-src 'self';"));
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(reply.header("referrer-policy"), "no-referrer", "{path}");
        let cached = path == "/-/style.css";
        assert_eq!(reply.header("cache-control"), if cached { "max-age=3600" } else { "no-store" }, "{path}");
    }
}

#[tokio::test]
async fn the_telemetry_path_can_be_moved_even_onto_the_front_page() {
    let fake = Fake::with_lines(1);
    let running = Running::start_at(&fake, Limits::default(), "/presence/metrics".parse().unwrap());
    assert_eq!(running.get("/metrics").await.status, 404);
    assert_eq!(running.get("/presence/metrics").await.text(), line(0));
    assert!(running.get("/").await.text().contains("href=\"presence/metrics\""));

    let running = Running::start_at(&fake, Limits::default(), "/".parse().unwrap());
    assert_eq!(running.get("/").await.text(), line(0));
    assert!(
        running
            .get("/nowhere")
            .await
            .text()
            .contains("The paths are /, /api/v1/targets/SOURCE/TARGET, /-/healthy and")
    );

    for bad in ["", "metrics", "/-/ready", "/api/v1/targets/a/b", "/a b", "/m%65trics", "/a?b", "/ü"] {
        bad.parse::<TelemetryPath>().expect_err(bad);
    }
}

#[tokio::test]
async fn a_page_can_be_restricted_to_sources_and_an_unknown_one_is_refused() {
    let fake = Fake::with_lines(1);
    let running = Running::start(&fake, Limits::default());
    let reply = running.get("/metrics?source=office&source=lab+%26+%3Cco%3E").await;
    assert_eq!(reply.status, 200);
    let expected = SOURCES.map(str::to_owned).to_vec();
    assert_eq!(fake.asked.lock().unwrap().pop(), Some((Format::Text, expected)));

    let reply = running.get("/metrics?source=office&source=ofice").await;
    assert_eq!((reply.status, reply.text()), (404, "There is no source named \"ofice\".\n"));
    let reply = running.get("/metrics?sources=office").await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.text(), "There is no parameter \"sources\"; source=NAME restricts the page.\n");
    // Neither may come back as anything but text.
    let reply = running.get("/metrics?source=%3Cscript%3E%0a").await;
    assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(reply.text(), "There is no source named \"<script>\\n\".\n");
}

#[tokio::test]
async fn readiness_names_the_sources_that_are_awaited_and_metrics_are_there_all_the_same() {
    let fake = Fake::with_lines(1);
    *fake.awaited.lock().unwrap() = vec!["office".into(), "lab".into()];
    let running = Running::start(&fake, Limits::default());
    let reply = running.get("/-/ready").await;
    assert_eq!((reply.status, reply.text()), (503, "Sources without a first answer:\noffice\nlab\n"));
    assert_eq!(running.get("/metrics").await.status, 200);
    assert_eq!(running.get("/-/healthy").await.text(), "Healthy.\n");
    *fake.awaited.lock().unwrap() = (0..103).map(|number| format!("s{number}").into()).collect();
    assert!(running.get("/-/ready").await.text().ends_with("s99\nand 3 more\n"));
    fake.awaited.lock().unwrap().clear();
    let reply = running.get("/-/ready").await;
    assert_eq!((reply.status, reply.text()), (200, "Ready.\n"));
}

#[tokio::test]
async fn a_head_that_does_not_end_in_time_is_cut_however_it_trickles() {
    let limits = Limits { head: SHORT, ..Limits::default() };
    let running = Running::start(&Fake::with_lines(1), limits);
    let mut mute = running.connect().await;
    assert!(drain(&mut mute).await.is_empty());
    let (mut from, mut to) = running.connect().await.into_split();
    let trickle = async {
        let mut beat = tokio::time::interval(SHORT / 20);
        to.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
        loop {
            beat.tick().await;
            if to.write_all(b"x").await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut bytes = Vec::new();
    tokio::select! {
        read = tokio::time::timeout(PATIENCE, from.read_to_end(&mut bytes)) => drop(read.expect("it is cut")),
        () = trickle => unreachable!("it never ends"),
    }
    assert!(bytes.is_empty());
}

#[tokio::test]
async fn a_kept_connection_may_wait_longer_than_a_head_may_take_but_not_for_ever() {
    let limits = Limits { head: SHORT, idle: SHORT * 6, ..Limits::default() };
    let running = Running::start(&Fake::with_lines(1), limits);
    let mut stream = running.connect().await;
    for _ in 0..2 {
        write(&mut stream, "GET /-/healthy HTTP/1.1\nhost: x").await;
        assert_eq!(read_short(&mut stream).await.text(), "Healthy.\n");
        // Nothing comes, and in particular not the end.
        tokio::time::timeout(SHORT * 2, stream.read_u8()).await.expect_err("it is kept");
    }
    drop(stream);

    let mut idle = running.connect().await;
    write(&mut idle, "GET /-/healthy HTTP/1.1\nhost: x").await;
    read_short(&mut idle).await;
    assert!(drain(&mut idle).await.is_empty());
}

#[tokio::test]
async fn the_second_head_on_a_connection_is_limited_like_the_first() {
    let limits = Limits { head: SHORT, idle: PATIENCE * 10, ..Limits::default() };
    let running = Running::start(&Fake::with_lines(1), limits);
    let mut stream = running.send("GET /-/healthy HTTP/1.1\nhost: x").await;
    read_short(&mut stream).await;
    stream.write_all(b"GET").await.unwrap();
    assert!(drain(&mut stream).await.is_empty());
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let running = Running::start(&Fake::with_lines(1), Limits::default());
    let long = format!("GET /-/healthy HTTP/1.1\nhost: x\nx: {}", "x".repeat(17 * 1024));
    assert_eq!(running.ask(&long).await.status, 431);
    let path = format!("GET /{} HTTP/1.1\nhost: x", "x".repeat(17 * 1024));
    assert_eq!(running.ask(&path).await.status, 431);
    let many = format!("GET /-/healthy HTTP/1.1\nhost: x{}", "\na: b".repeat(200));
    assert_eq!(running.ask(&many).await.status, 431);
    let fits = format!("GET /-/healthy HTTP/1.1\nhost: x\nx: {}", "x".repeat(15 * 1024));
    assert_eq!(running.ask(&fits).await.status, 200);
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_a_request_s_body_is_not_read() {
    let running = Running::start(&Fake::with_lines(1), Limits::default());
    let mut stream = running.connect().await;
    stream.write_all(b"\x16\x03\x01\x00\xa5 this is TLS\r\n\r\n").await.unwrap();
    assert_eq!(Reply::parse(&drain(&mut stream).await).status, 400);
    let mut stream = running.send("POST /metrics HTTP/1.1\nhost: x\ncontent-length: 1000000000").await;
    // The answer comes, and the end, without one byte of what was announced.
    assert_eq!(Reply::parse(&drain(&mut stream).await).status, 405);
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_one_after_another() {
    let running = Running::start(&Fake::with_lines(1), Limits::default());
    let mut stream = running.send("GET /-/healthy HTTP/1.1\nhost: x").await;
    write(&mut stream, "GET /-/ready HTTP/1.1\nhost: x\nconnection: close").await;
    let bytes = drain(&mut stream).await;
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.contains("Healthy.\nHTTP/1.1 200 OK") && text.ends_with("Ready.\n"), "{text}");
}

#[tokio::test]
async fn a_flood_of_connections_stays_bounded_and_whoever_waits_is_served_later() {
    let limits = Limits { connections: 3, ..Limits::default() };
    let running = Running::start(&Fake::with_lines(1), limits);
    let mut flood = Vec::new();
    for _ in 0..3 {
        let mut stream = running.send("GET /-/healthy HTTP/1.1\nhost: x").await;
        read_short(&mut stream).await;
        flood.push(stream);
    }
    let mut waiting = running.send("GET /-/healthy HTTP/1.1\nhost: x").await;
    tokio::time::timeout(SHORT, waiting.read_u8()).await.expect_err("it has to wait");
    flood.pop();
    assert_eq!(read_short(&mut waiting).await.status, 200);
}

#[tokio::test]
async fn a_reader_that_takes_nothing_is_dropped_and_costs_little_until_then() {
    let fake = Fake::with_lines(u64::MAX);
    let running = Running::start(&fake, Limits { stall: SHORT, ..Limits::default() });
    let mut stream = running.send("GET /metrics HTTP/1.1\nhost: x").await;
    until("the page begins", || fake.alive.load(Ordering::SeqCst) == 1).await;
    until("the page is dropped", || fake.alive.load(Ordering::SeqCst) == 0).await;
    // The rest stood in the system's buffers: two of a few megabytes, not the endless page.
    let made = fake.made.load(Ordering::SeqCst);
    assert!(made < 500, "{made} pieces");
    let got = drain(&mut stream).await;
    assert!(!got.ends_with(b"0\r\n\r\n"), "a cut page must not look complete");
    assert!(fake.written.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_reader_that_takes_a_little_now_and_then_is_dropped_in_the_end() {
    let fake = Fake::with_lines(u64::MAX);
    let limits = Limits { stall: PATIENCE * 10, answer: SHORT * 4, ..Limits::default() };
    let running = Running::start(&fake, limits);
    let mut stream = running.send("GET /metrics HTTP/1.1\nhost: x").await;
    let mut some = vec![0; 256 * 1024];
    let slow = async {
        let mut beat = tokio::time::interval(SHORT / 4);
        while stream.read(&mut some).await.is_ok_and(|length| length > 0) {
            beat.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, slow).await.expect("it is dropped");
    assert_eq!(fake.alive.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn pages_beyond_the_limit_are_refused_with_a_time_to_come_back() {
    let fake = Fake::with_lines(u64::MAX);
    let running = Running::start(&fake, Limits { max_requests: 1, ..Limits::default() });
    let first = running.send("GET /metrics HTTP/1.1\nhost: x").await;
    until("the first page begins", || fake.alive.load(Ordering::SeqCst) == 1).await;
    let second = running.get("/metrics").await;
    assert_eq!((second.status, second.header("retry-after")), (503, "5"));
    assert_eq!(running.get("/-/healthy").await.status, 200, "only pages are limited");
    drop(first);
    until("the first page is dropped", || fake.alive.load(Ordering::SeqCst) == 0).await;
    fake.lines.store(1, Ordering::SeqCst);
    assert_eq!(running.get("/metrics").await.status, 200);
}

#[tokio::test]
async fn a_fast_reader_of_an_endless_page_does_not_starve_the_others() {
    let fake = Fake::with_lines(u64::MAX);
    let running = Running::start(&fake, Limits::default());
    // Compressed it is so small that its reader is never waited for.
    let mut stream = running.send("GET /metrics HTTP/1.1\nhost: x\naccept-encoding: gzip").await;
    let mut sink = vec![0; 1024 * 1024];
    let fast = async { while stream.read(&mut sink).await.is_ok_and(|length| length > 0) {} };
    let others = async {
        until("the page is under way", || fake.made.load(Ordering::SeqCst) > 100).await;
        for _ in 0..5 {
            let before = fake.made.load(Ordering::SeqCst);
            assert_eq!(running.get("/-/healthy").await.status, 200);
            // Counted in pieces of the other page, since time means little on a busy machine: a few turns, not the
            // hundreds of pieces that pass when the sockets are looked at between every sixtieth turn only.
            let passed = fake.made.load(Ordering::SeqCst) - before;
            assert!(passed < 200, "{passed} pieces of the other page went first");
        }
    };
    tokio::select! { () = fast => panic!("the page ended"), () = others => {} }
}

#[tokio::test]
async fn stopping_lets_a_page_under_way_end_and_takes_no_one_new() {
    let lines = 300_000;
    let fake = Fake::with_lines(lines);
    let mut running = Running::start(&fake, Limits { drain: PATIENCE, ..Limits::default() });
    let mut idle = running.send("GET /-/healthy HTTP/1.1\nhost: x").await;
    read_short(&mut idle).await;
    let mut scrape = running.send("GET /metrics HTTP/1.1\nhost: x").await;
    until("the page is under way", || fake.made.load(Ordering::SeqCst) > 2).await;
    assert!(fake.written.lock().unwrap().is_empty(), "the page is too small to be under way still");
    running.stop();
    assert!(drain(&mut idle).await.is_empty(), "a connection that only waits is closed at once");
    TcpStream::connect(running.address).await.expect_err("nobody new is taken");
    assert!(!running.has_stopped(), "it does not wait for the page");
    let reply = Reply::parse(&drain(&mut scrape).await);
    assert_eq!(reply.body.len() as u64, lines * line(0).len() as u64);
    running.ended().await;
}

#[tokio::test]
async fn stopping_waits_a_bounded_time_only() {
    let fake = Fake::with_lines(u64::MAX);
    let mut running = Running::start(&fake, Limits { drain: SHORT, ..Limits::default() });
    let _stream = running.send("GET /metrics HTTP/1.1\nhost: x").await;
    until("the page is under way", || fake.made.load(Ordering::SeqCst) > 2).await;
    running.stop();
    running.ended().await;
    assert_eq!(fake.alive.load(Ordering::SeqCst), 0, "no task is left behind");
}

#[test]
fn a_server_without_an_address_is_refused() {
    let error = Server::bind(&[], TelemetryPath::default(), Limits::default()).unwrap_err();
    assert_eq!(error, "no address to listen on is given");
}

#[tokio::test]
async fn a_target_is_explained_in_json_whatever_its_id_is_made_of() {
    let running = Running::start(&Fake::with_lines(1), Limits::default());
    for (path, source, target) in [
        ("office/ann", "office", "ann"),
        ("lab%20%26%20%3Cco%3E/a%2Fb", "lab & <co>", "a/b"),
        ("office/a/b%25", "office", "a/b%"),
        ("office/%E4%BD%A0?x=1", "office", "\u{4f60}"),
    ] {
        let reply = running.get(&format!("/api/v1/targets/{path}")).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, "application/json"), "{path}");
        assert_eq!(reply.header("cache-control"), "no-store");
        let document: serde_json::Value = serde_json::from_str(reply.text()).unwrap();
        assert_eq!((&document["source"], &document["target"]), (&source.into(), &target.into()), "{path}");
    }
    let reply = running.get("/api/v1/targets/cellar/ann").await;
    assert_eq!((reply.status, reply.header("content-type")), (404, "application/json"));
    let document: serde_json::Value = serde_json::from_str(reply.text()).unwrap();
    assert_eq!(document["known"], serde_json::json!(SOURCES));
    for (path, status) in [("office", 404), ("", 404), ("%FF/x", 400), ("office/%C3%28", 400)] {
        assert_eq!(running.get(&format!("/api/v1/targets/{path}")).await.status, status, "{path}");
    }
    let posted = running.ask("POST /api/v1/targets/office/ann HTTP/1.1\nhost: x").await;
    assert_eq!(posted.status, 405);
}
