//! From the first answer to the last signal: readiness, and an orderly end.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::program::{Running, ask, change, exporter, get, providers, simulation, timed};

/// An exporter that has nothing under way ends in a moment; this is a busy machine's moment.
const QUICKLY: Duration = Duration::from_secs(4);

/// The grace for what is under way is 5 s.
const WITHIN_GRACE: Duration = Duration::from_secs(9);

fn ready(address: &str) -> (u16, String) {
    let answer = get(address, "/-/ready", &[]).expect("it is served");
    (answer.status, answer.text())
}

fn wait_until_ready(exporter: &mut Running, address: &str) {
    exporter.wait_for("readiness", |_| (ready(address).0 == 200).then_some(()));
}

fn last_line(log: &str) -> &str {
    log.lines().last().expect("it logs")
}

#[test]
fn an_exporter_is_ready_when_every_source_had_an_answer() {
    let home = tempfile::tempdir().expect("a temporary folder");
    // Requests, not times: the first three fail, however slow this machine is.
    let (_simulator, config) =
        simulation(home.path(), &["--targets=2", "--fault=volcengine:server-error@#1-#3"]);
    change(&config, "interval: \"5s\"", "interval: \"1s\"");
    let mut exporter = exporter(&config);
    let address = exporter.address();
    let waiting = (503, "Sources without a first answer:\nvolcengine_rtc\n".to_owned());
    exporter.wait_for("all but one to answer", |_| (ready(&address) == waiting).then_some(()));
    wait_until_ready(&mut exporter, &address);
    assert_eq!(ready(&address), (200, "Ready.\n".to_owned()));
}

#[test]
fn a_signal_ends_an_exporter_quickly_and_in_order() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (_simulator, config) = simulation(home.path(), &["--targets=2"]);
    for (signal, word) in [("TERM", "SIGTERM"), ("INT", "SIGINT")] {
        let mut exporter = exporter(&config);
        let address = exporter.address();
        wait_until_ready(&mut exporter, &address);
        let (ended, took) = timed(|| {
            exporter.signal(signal);
            exporter.ended()
        });
        assert_eq!((ended.code(), ended.stdout.as_str()), (0, ""), "{}", ended.stderr);
        assert!(took < QUICKLY, "{took:?}");
        assert!(ended.stderr.contains(&format!("msg=stopping signal={word}")), "{}", ended.stderr);
        assert!(last_line(&ended.stderr).ends_with("level=INFO msg=stopped"), "{}", ended.stderr);
        assert!(TcpStream::connect(&address).is_err(), "nobody listens any more");
    }
}

#[test]
fn an_exporter_whose_providers_all_hang_still_ends_within_its_grace() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (_simulator, config) = simulation(home.path(), &["--targets=2", "--fault=all:hang"]);
    change(&config, "timeout: \"3s\"", "timeout: \"5m\"");
    let mut exporter = exporter(&config);
    let address = exporter.address();
    let (status, text) = ready(&address);
    let names: Vec<&str> = providers().collect();
    assert_eq!((status, text), (503, format!("Sources without a first answer:\n{}\n", names.join("\n"))));
    let (ended, took) = timed(|| {
        exporter.signal("TERM");
        exporter.ended()
    });
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!(took < WITHIN_GRACE, "{took:?}");
}

/// A configuration whose page is far larger than what sockets hold: ids may be long. Its provider does not exist.
fn large_page(home: &Path) -> PathBuf {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports").local_addr();
    let mut yaml = format!(
        "accounts: {{im: {{cloud: openim, endpoint: 'http://{}', admin_user_id: a, secret: of-no-value}}}}\n\
         sources:\n  staff:\n    account: im\n    provider: openim\n    targets:\n",
        nobody.expect("it was bound")
    );
    for number in 0..20_000 {
        writeln!(yaml, "    - {number:0>500}").expect("a String takes everything");
    }
    let config = home.join("config.yaml");
    fs::write(&config, yaml).expect("the folder is ours");
    config
}

/// A scrape under way: its head was read, the rest was not.
fn scrape_under_way(address: &str) -> (TcpStream, Vec<u8>) {
    let mut stream = TcpStream::connect(address).expect("it is served");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("30 s is a good timeout");
    ask(&mut stream, "/metrics", &["Accept: application/openmetrics-text; version=1.0.0"])
        .expect("it is served");
    let mut first = vec![0; 1024];
    let length = stream.read(&mut first).expect("the page begins");
    first.truncate(length);
    assert!(first.starts_with(b"HTTP/1.0 200 OK"));
    (stream, first)
}

#[test]
fn a_scrape_under_way_gets_its_whole_page_before_the_end() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut exporter = exporter(&large_page(home.path()));
    let address = exporter.address();
    let (mut stream, mut page) = scrape_under_way(&address);
    exporter.signal("TERM");
    exporter.wait_for("nobody to listen", |_| TcpStream::connect(&address).err());
    stream.read_to_end(&mut page).expect("the page goes on");
    assert!(page.ends_with(b"\n# EOF\n"), "the page broke off after {} bytes", page.len());
    assert!(page.len() > 20_000_000, "{} bytes might have been on their way already", page.len());
    let ended = exporter.ended();
    assert_eq!(ended.code(), 0, "{}", ended.stderr);
    assert!(last_line(&ended.stderr).ends_with("msg=stopped"), "{}", ended.stderr);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut exporter = exporter(&large_page(home.path()));
    let address = exporter.address();
    // A reader that takes nothing holds up the orderly end for ten seconds.
    let (_stream, _) = scrape_under_way(&address);
    exporter.signal("TERM");
    exporter.wait_for("nobody to listen", |_| TcpStream::connect(&address).err());
    let (ended, took) = timed(|| {
        exporter.signal("INT");
        exporter.ended()
    });
    assert_eq!(ended.code(), 1, "{}", ended.stderr);
    assert!(took < QUICKLY, "{took:?}");
    assert!(last_line(&ended.stderr).ends_with("msg=\"stopped at once\" signal=SIGINT"), "{}", ended.stderr);
}
