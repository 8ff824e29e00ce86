//! `explain` against a running demo, and what it says when there is nothing to ask.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use serde_json::Value;

use super::program::{Running, get, page, program, run};

/// A demo that has had its first answers, with its address.
fn demo() -> (Running, String) {
    let mut demo = Running::start(program(&[
        "demo",
        "--targets=2",
        "--interval=1s",
        "--web.listen-address=127.0.0.1:0",
    ]));
    let address = demo.told("status:  http://").trim_end_matches('/').to_owned();
    demo.wait_for("first answers", |_| {
        let ready = get(&address, "/-/ready", &[]).is_some_and(|answer| answer.status == 200);
        (ready && page(&address).contains("presence_online{source=\"openim\"")).then_some(())
    });
    (demo, address)
}

/// The id of one of the demo's OpenIM users.
fn user(address: &str) -> String {
    let page = page(address);
    let rest =
        page.split("presence_online{source=\"openim\",kind=\"user\",target=\"").nth(1).expect("a user");
    rest.split('"').next().expect("split yields at least one part").to_owned()
}

#[test]
fn a_running_exporter_says_why_in_both_forms_and_names_what_it_knows() {
    let (_demo, address) = demo();
    let (url, id) = (format!("--web.url=http://{address}/"), user(&address));

    let json = run(&["explain", "openim", &id, &url, "--output=json"]);
    assert_eq!((json.code(), json.stderr.as_str()), (0, ""));
    let document: Value = serde_json::from_str(&json.stdout).expect("it is JSON");
    assert_eq!((document["target"].as_str(), document["provider"].as_str()), (Some(&*id), Some("openim")));
    assert!(["online", "offline"].contains(&document["state"].as_str().expect("a text")), "{document}");

    let table = run(&["explain", "openim", &id, &url]);
    assert_eq!((table.code(), table.stderr.as_str()), (0, ""));
    for part in
        [&*id, "\nstate ", "\nevidence ", "get_users_online_status", "\nnext ", "Last failures\n  none"]
    {
        assert!(table.stdout.contains(part), "{part:?} is not in\n{}", table.stdout);
    }
    assert!(table.stdout.contains("\nWhat would change it\n  an answer that says o"), "{}", table.stdout);

    let no_source = run(&["explain", "nowhere", &id, &url]);
    assert_eq!((no_source.code(), no_source.stdout.as_str()), (64, ""));
    assert!(
        no_source.stderr.contains("there is no source \"nowhere\"; known sources: "),
        "{}",
        no_source.stderr
    );
    assert!(no_source.stderr.contains("huawei_workspace"), "{}", no_source.stderr);
    let no_target = run(&["explain", "openim", "no/body", &url]);
    assert_eq!(no_target.code(), 64);
    assert!(no_target.stderr.contains("has no target \"no/body\"; known targets: "), "{}", no_target.stderr);
    assert!(no_target.stderr.contains(&id), "{}", no_target.stderr);
}

#[test]
fn where_no_exporter_answers_it_says_so_and_what_to_do() {
    let closed =
        TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
    let ended = run(&["explain", "a", "b", &format!("--web.url=http://{closed}")]);
    assert_eq!((ended.code(), ended.stdout.as_str()), (1, ""));
    assert!(
        ended.stderr.starts_with(&format!("no exporter answers at http://{closed}: ")),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("--web.url"), "{}", ended.stderr);
}

#[test]
fn an_address_that_is_none_is_the_command_line_s_fault() {
    for url in ["localhost:10076", "ftp://localhost", "http://a b"] {
        let ended = run(&["explain", "a", "b", &format!("--web.url={url}")]);
        assert_eq!(ended.code(), 64, "{url}: {}", ended.stderr);
        assert!(ended.stderr.contains("--web.url"), "{url}: {}", ended.stderr);
    }
}

/// Answers one request with this text. Returns the address.
fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = listener.local_addr().expect("it is bound").to_string();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let _ = stream.read(&mut [0; 4096]).expect("a request");
        stream.write_all(answer.as_bytes()).expect("the program reads");
    });
    address
}

#[test]
fn another_server_is_not_taken_for_an_exporter() {
    for answer in [
        "HTTP/1.0 200 OK\r\n\r\n<html>hello</html>",
        "HTTP/1.0 200 OK\r\n\r\n{}",
        "HTTP/1.0 404 Not Found\r\n\r\nNothing is here.\n",
        "HTTP/1.0 404 Not Found\r\n\r\n{}",
    ] {
        let ended = run(&["explain", "a", "b", &format!("--web.url=http://{}", server(answer))]);
        assert_eq!((ended.code(), ended.stdout.as_str()), (1, ""), "{answer}");
        assert!(ended.stderr.contains("is no presence-exporter"), "{answer}: {}", ended.stderr);
    }
    let ended =
        run(&["explain", "a", "b", &format!("--web.url=http://{}", server("HTTP/1.0 503 Busy\r\n\r\n"))]);
    assert!(ended.code() == 1 && ended.stderr.contains("HTTP status 503"), "{}", ended.stderr);
}

#[test]
fn what_an_exporter_says_cannot_steer_the_terminal() {
    let answer = "HTTP/1.0 404 Not Found\r\n\r\n{\"error\":\"\\u001b[2J\",\"known\":[\"\\u001b[31m\"]}";
    let ended = run(&["explain", "a", "b", &format!("--web.url=http://{}", server(answer))]);
    assert!(ended.code() == 64 && !ended.stderr.contains('\u{1b}'), "{:?}", ended.stderr);
}
