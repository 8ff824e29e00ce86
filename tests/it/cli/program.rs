//! Runs the program, reads what it says, asks its pages, sends it signals.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::ops::project;

/// How often, and how many times, a condition is looked at: a minute in all, far more than a busy machine needs.
const PATIENCE: (Duration, u32) = (Duration::from_millis(20), 3000);

/// How a run of the program ended, and what it printed.
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// The exit code.
    ///
    /// # Panics
    /// If a signal ended it, a panic's abort too.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("{}\n{}", self.status, self.stderr))
    }
}

/// The program with these arguments in an empty environment: no variable of this machine decides what it prints.
pub fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_presence-exporter"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Ended {
    Running::start(program(arguments)).ended()
}

/// The program while it runs. It is killed when the test is done with it.
pub struct Running {
    child: Child,
    stdout: Printed,
    stderr: Printed,
}

impl Running {
    /// Starts the program.
    pub fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = Printed::from(child.stdout.take().expect("it is piped"));
        let stderr = Printed::from(child.stderr.take().expect("it is piped"));
        Self { child, stdout, stderr }
    }

    /// What follows `mark` on a line of stdout, up to the line's end, once it was printed.
    pub fn told(&mut self, mark: &str) -> String {
        self.wait_for(&format!("{mark:?} on stdout"), |running| after(&running.stdout.text(), mark))
    }

    /// The address that the log says is listened on.
    pub fn address(&mut self) -> String {
        let address = self.wait_for("an address", |running| after(&running.stderr.text(), "address="));
        address.split(' ').next().expect("split yields at least one part").to_owned()
    }

    /// What was logged so far.
    pub fn log(&self) -> String {
        self.stderr.text()
    }

    /// What `ask` returns, as soon as it returns something.
    ///
    /// # Panics
    /// If the program ends first, or a minute is over.
    pub fn wait_for<T>(&mut self, what: &str, mut ask: impl FnMut(&mut Self) -> Option<T>) -> T {
        let (pause, times) = PATIENCE;
        for _ in 0..times {
            if let Some(answer) = ask(self) {
                return answer;
            }
            let ended = self.child.try_wait().expect("it can be asked");
            assert!(ended.is_none(), "it ended ({ended:?}) instead of: {what}\n{}", self.said());
            thread::sleep(pause);
        }
        panic!("waited a minute for {what}\n{}", self.said());
    }

    /// Sends a signal, such as TERM.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().expect("there is a shell");
        assert!(sent.success(), "{kill}");
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    /// If a minute is over.
    pub fn ended(mut self) -> Ended {
        let (pause, times) = PATIENCE;
        let mut status = None;
        for _ in 0..times {
            status = self.child.try_wait().expect("it can be asked");
            if status.is_some() {
                break;
            }
            thread::sleep(pause);
        }
        let Some(status) = status else { panic!("waited a minute for the end of it\n{}", self.said()) };
        self.stdout.join();
        self.stderr.join();
        Ended { status, stdout: self.stdout.text(), stderr: self.stderr.text() }
    }

    fn said(&self) -> String {
        format!("stdout:\n{}\nstderr:\n{}", self.stdout.text(), self.stderr.text())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill, and `wait` reaps it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What comes out of a pipe, collected on a thread so that the pipe is never full.
struct Printed {
    text: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

impl Printed {
    fn from(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::<Mutex<String>>::default();
        let into = text.clone();
        let reading = thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = String::new();
            while pipe.read_line(&mut line).expect("the program prints text") > 0 {
                into.lock().unwrap_or_else(PoisonError::into_inner).push_str(&line);
                line.clear();
            }
        });
        Self { text, reading: Some(reading) }
    }

    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn join(&mut self) {
        self.reading.take().map(JoinHandle::join).transpose().expect("the reader does not panic");
    }
}

fn after(text: &str, mark: &str) -> Option<String> {
    let complete = &text[..text.rfind('\n')?];
    complete.lines().find_map(|line| Some(line.split_once(mark)?.1.to_owned()))
}

/// An answer to a request.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the page is text")
    }
}

/// A GET; `None` when nobody listens or the answer breaks off. HTTP/1.0, so that the answer ends with the connection and
/// is not in chunks.
pub fn get(address: &str, path: &str, headers: &[&str]) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("30 s is a good timeout");
    ask(&mut stream, path, headers)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    Some(Answer { status: head.split(' ').nth(1)?.parse().ok()?, head, body: bytes.split_off(end + 4) })
}

/// Sends a GET, and leaves the answer unread.
pub fn ask(stream: &mut TcpStream, path: &str, headers: &[&str]) -> Option<()> {
    let request = format!("GET {path} HTTP/1.0");
    let lines = [&[request.as_str()], headers, &["", ""]].concat();
    stream.write_all(lines.join("\r\n").as_bytes()).ok()
}

/// The page of metrics, uncompressed.
pub fn page(address: &str) -> String {
    let answer = get(address, "/metrics", &[]).expect("the page is served");
    assert_eq!(answer.status, 200);
    answer.text()
}

/// `simulate` with further arguments, and the configuration that asks it.
pub fn simulation(home: &Path, arguments: &[&str]) -> (Running, PathBuf) {
    let config = home.join("config.yaml");
    let config_out = format!("--config.out={}", config.display());
    let mut command = program(&["simulate", &config_out, "--log.level=warn"]);
    command.args(arguments);
    let mut simulator = Running::start(command);
    simulator.told("configuration: ");
    // The clouds' own defaults are made for real providers; with Workspace's, each round takes ten seconds.
    change(&config, "    endpoint: ", "    requests_per_second: 50\n    endpoint: ");
    (simulator, config)
}

/// Replaces text in a file, wherever it stands.
///
/// # Panics
/// If it stands nowhere.
pub fn change(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).expect("the file is there");
    assert!(text.contains(from), "{from:?} is not in {}", file.display());
    std::fs::write(file, text.replace(from, to)).expect("the file is ours");
}

/// `run` with this configuration, on a free port.
pub fn exporter(config: &Path) -> Running {
    let config = format!("--config.file={}", config.display());
    Running::start(program(&["run", &config, "--web.listen-address=127.0.0.1:0"]))
}

/// A seed whose world of so many targets stands still for so long from the start on.
pub fn quiet_seed(targets: usize, seconds: i64) -> String {
    use presence_exporter::providers::REGISTRY;
    use presence_exporter::simulator::{Scenario, truth::seen_between};
    let quiet = |seed: &u64| {
        let horizon = Duration::from_secs(86_400);
        let scenario = Scenario { seed: *seed, default_targets: targets, horizon, ..Scenario::default() };
        let origin = 1_800_000_000_000;
        let world = scenario.world(REGISTRY, origin);
        let moves = |(online, offline)| online && offline;
        world.populations.iter().all(|population| {
            let mut subjects = population.subjects.iter();
            !subjects.any(|subject| moves(seen_between(subject, origin - 1000, origin + seconds * 1000)))
        })
    };
    (1..10_000).find(quiet).expect("one world in some ten is quiet").to_string()
}

/// The value, as written, of the sample with exactly this name and these labels.
pub fn sample(page: &str, series: &str) -> Option<String> {
    page.lines().find_map(|line| Some(line.strip_prefix(series)?.strip_prefix(' ')?.to_owned()))
}

/// The names of all providers, which simulations take for names of sources.
pub fn providers() -> impl Iterator<Item = &'static str> {
    presence_exporter::providers::REGISTRY.iter().map(|kind| kind.name())
}

/// How long something takes.
#[expect(clippy::disallowed_methods, reason = "a real process takes real time")]
pub fn timed<T>(act: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let done = act();
    (done, began.elapsed())
}

/// Compares a text with a file of the project, whole. With `UPDATE_GOLDEN=1` the file is written instead; what changed is
/// then seen in the version control.
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says so by a variable")]
pub fn compare_with_golden(path: &str, text: &str) {
    let file = project(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(&file, text).unwrap_or_else(|error| panic!("{path}: {error}"));
        return;
    }
    let golden = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{path}: {error}; UPDATE_GOLDEN=1 writes it"));
    assert_eq!(text, golden, "{path} on the right; UPDATE_GOLDEN=1 rewrites it");
}
