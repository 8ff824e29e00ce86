//! Finds and runs the real tools.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::thread;
use std::time::Duration;

/// How often, and how many times, [`wait_for`] asks: 60 s in all, far more than a busy machine needs.
const PATIENCE: (Duration, u32) = (Duration::from_millis(100), 600);

/// Every version of a tool: those of `tests/tools` (`target/tools/*/usr/bin`), else the one on the `PATH`.
///
/// # Panics
/// If there's none.
pub fn every(name: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        unpacked().into_iter().map(|bin| bin.join(name)).filter(|p| p.is_file()).collect();
    if found.is_empty() {
        found.extend(on_path(name));
    }
    assert!(!found.is_empty(), "{name} is missing: run tests/run, or tests/tools alone, which gets it");
    found
}

/// One version of a tool.
///
/// # Panics
/// If there's none.
pub fn any(name: &str) -> PathBuf {
    every(name).swap_remove(0)
}

/// The folders of programs that `tests/tools` has unpacked.
fn unpacked() -> Vec<PathBuf> {
    // Cargo's folder for the files of tests is target/tmp, wherever target is.
    let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tools");
    let mut bins: Vec<PathBuf> = fs::read_dir(tools)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("usr/bin"))
        .collect();
    bins.sort();
    bins
}

#[expect(clippy::disallowed_methods, reason = "the tools of the machine that runs the tests are on its PATH")]
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|program| program.is_file())
}

/// Runs a command to its end.
pub fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs a command, which has to succeed, and returns what it prints to stdout.
pub fn succeed(command: &mut Command) -> String {
    let output = output(command);
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{stdout}{stderr}", output.status);
    stdout.into_owned()
}

/// A server that is killed when the test is done with it.
pub struct Server {
    child: Child,
    pub address: String,
    log: PathBuf,
}

impl Server {
    /// Starts `command`, which has to serve on `address`, and waits until `path` is answered by 200.
    pub fn start(mut command: Command, address: String, path: &str, log: PathBuf) -> Self {
        let file = fs::File::create(&log).expect("the log's folder exists");
        command.stdout(file.try_clone().expect("a file can be shared")).stderr(file);
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut server = Self { child, address, log };
        wait_for("the server to be ready", || {
            let ended = server.child.try_wait().expect("it can be asked");
            assert!(ended.is_none(), "{command:?} ended:\n{}", server.log());
            server.try_request("GET", path, "").map(drop)
        });
        server
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A request that has to be answered by 200. Returns the body.
    pub fn request(&self, method: &str, path: &str, body: &str) -> String {
        self.try_request(method, path, body)
            .unwrap_or_else(|why| panic!("{method} {path}: {why}\nits log:\n{}", self.log()))
    }

    /// HTTP/1.0, so that the answer ends with the connection and isn't in chunks.
    fn try_request(&self, method: &str, path: &str, body: &str) -> Result<String, String> {
        let text = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect(&self.address).map_err(text)?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(text)?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .map_err(text)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(text)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no end of the head")?;
        if head.split(' ').nth(1) == Some("200") { Ok(body.to_owned()) } else { Err(answer) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there's nothing to kill, and `wait` reaps it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address of this machine where nobody listens now.
pub fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    listener.local_addr().expect("it's bound").to_string()
}

/// Asks until the answer is there.
///
/// # Panics
/// With the last refusal, if that takes more than a minute.
pub fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let (pause, times) = PATIENCE;
    let mut why = String::new();
    for _ in 0..times {
        match ask() {
            Ok(answer) => return answer,
            Err(error) => why = error,
        }
        thread::sleep(pause);
    }
    panic!("waited a minute for {what}: {why}");
}
