//! For tests here: an exporter that only plays one, and a reader that can be slow.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::{Control, Limits, Overview, Pieces, Server, TelemetryPath, UnknownSource};
use crate::domain::{Explanation, NotFound};
use crate::exposition::Format;

/// Longer than anything here takes on a busy machine; reaching it fails the test.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An exporter whose page is a number of numbered lines for each source.
#[derive(Default)]
pub struct Fake {
    /// The lines of a page; a page of [`u64::MAX`] never ends.
    pub lines: AtomicU64,
    /// Pieces made so far, of all pages.
    pub made: Arc<AtomicU64>,
    /// Pages that exist.
    pub alive: Arc<AtomicU64>,
    pub awaited: Mutex<Vec<Arc<str>>>,
    pub codes: Mutex<Vec<u16>>,
    pub written: Mutex<Vec<u64>>,
    pub asked: Mutex<Vec<(Format, Vec<String>)>>,
}

/// The sources that the fake knows.
pub const SOURCES: [&str; 2] = ["office", "lab & <co>"];

impl Fake {
    pub fn with_lines(lines: u64) -> Arc<Self> {
        Arc::new(Self { lines: AtomicU64::new(lines), ..Self::default() })
    }
}

/// One line of the fake's page; all are equally long.
pub fn line(number: u64) -> String {
    format!("presence_online{{source=\"office\",target=\"{number:020}\"}} 1\n")
}

struct Numbered {
    next: u64,
    lines: u64,
    made: Arc<AtomicU64>,
    alive: Arc<AtomicU64>,
}

impl Pieces for Numbered {
    fn next_piece(&mut self, out: &mut Vec<u8>) -> bool {
        self.made.fetch_add(1, Ordering::SeqCst);
        let end = out.len() + 60 * 1024;
        while self.next < self.lines && out.len() < end {
            out.extend_from_slice(line(self.next).as_bytes());
            self.next += 1;
        }
        self.next < self.lines
    }
}

impl Drop for Numbered {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Control for Fake {
    fn page(&self, format: Format, only: &[String]) -> Result<Box<dyn Pieces>, UnknownSource> {
        self.asked.lock().unwrap().push((format, only.to_vec()));
        if let Some(name) = only.iter().find(|name| !SOURCES.contains(&name.as_str())) {
            return Err(UnknownSource { name: name.clone() });
        }
        self.alive.fetch_add(1, Ordering::SeqCst);
        let (made, alive) = (Arc::clone(&self.made), Arc::clone(&self.alive));
        Ok(Box::new(Numbered { next: 0, lines: self.lines.load(Ordering::SeqCst), made, alive }))
    }

    fn awaited(&self) -> Vec<Arc<str>> {
        self.awaited.lock().unwrap().clone()
    }

    fn overview(&self) -> Overview {
        Overview { version: "9.8.7".to_owned(), sources: Vec::new() }
    }

    fn explain(&self, source: &str, target: &str) -> Result<Box<Explanation>, NotFound> {
        if !SOURCES.contains(&source) {
            let known = SOURCES.map(String::from).to_vec();
            return Err(NotFound {
                error: format!("there is no source {source:?}"),
                known,
                ..NotFound::default()
            });
        }
        let (source, target) = (source.to_owned(), target.to_owned());
        Ok(Box::new(Explanation { source, target, ..Explanation::default() }))
    }

    fn answered(&self, code: u16) {
        self.codes.lock().unwrap().push(code);
    }

    fn page_written(&self, bytes: u64) {
        self.written.lock().unwrap().push(bytes);
    }
}

/// A server at work in this test's runtime.
pub struct Running {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinSet<Result<(), String>>,
    stopped: Arc<AtomicBool>,
}

impl Running {
    pub fn start(fake: &Arc<Fake>, limits: Limits) -> Self {
        Self::start_at(fake, limits, TelemetryPath::default())
    }

    pub fn start_at(fake: &Arc<Fake>, limits: Limits, path: TelemetryPath) -> Self {
        let server = Server::bind(&["127.0.0.1:0".parse().unwrap()], path, limits).unwrap();
        let address = server.addresses()[0];
        let (stop, stopping) = oneshot::channel::<()>();
        let stopped = Arc::new(AtomicBool::new(false));
        let mut task = JoinSet::new();
        let control: Arc<dyn Control> = fake.clone();
        let flag = Arc::clone(&stopped);
        task.spawn(async move {
            let ended = server.serve(control, async move { drop(stopping.await) }).await;
            flag.store(true, Ordering::SeqCst);
            ended
        });
        Self { address, stop: Some(stop), task, stopped }
    }

    /// Tells the server to stop.
    pub fn stop(&mut self) {
        self.stop.take().expect("it is stopped once").send(()).expect("it still serves");
    }

    pub fn has_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Waits until `serve` has returned.
    pub async fn ended(&mut self) {
        let ended = tokio::time::timeout(PATIENCE, self.task.join_next()).await.expect("it ends in time");
        ended.unwrap().unwrap().unwrap();
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends these lines as a request's head on a connection of its own.
    pub async fn send(&self, head: &str) -> TcpStream {
        let mut stream = self.connect().await;
        write(&mut stream, head).await;
        stream
    }

    /// Asks one question and reads its answer.
    pub async fn ask(&self, head: &str) -> Reply {
        let mut stream = self.send(&format!("{head}\nconnection: close")).await;
        let mut bytes = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes))
            .await
            .expect("it answers in time")
            .unwrap();
        Reply::parse(&bytes)
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.ask(&format!("GET {path} HTTP/1.1\nhost: x")).await
    }
}

/// Writes a head whose lines end in `\n` here.
pub async fn write(stream: &mut TcpStream, head: &str) {
    let head = head.replace('\n', "\r\n") + "\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
}

/// A complete answer.
pub struct Reply {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Reply {
    /// Takes an answer apart; fails the test when the body is not complete.
    pub fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a complete head");
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: HashMap<_, _> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let rest = &bytes[end + 4..];
        let chunked = headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
        let body = if chunked && !rest.is_empty() { unchunk(rest) } else { rest.to_vec() };
        Self { status, headers, body }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").expect("a chunk's length");
        let length = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        rest = &rest[end + 2..];
        if length == 0 {
            assert_eq!(rest, b"\r\n", "the end of the last chunk");
            return body;
        }
        body.extend_from_slice(&rest[..length]);
        rest = &rest[length + 2..];
    }
}

/// Waits until something is so, giving the server its turns.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        let mut beat = tokio::time::interval(Duration::from_millis(2));
        while !is_so() {
            beat.tick().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "never came: {what}");
}
