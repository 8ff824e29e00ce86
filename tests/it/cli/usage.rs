//! Wrong command lines, files that cannot be read, ports that cannot be had.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use super::program::{Running, change, exporter, get, program, run, simulation};
use crate::ops::project;

#[test]
fn a_wrong_command_line_is_64_and_says_what_is_wrong() {
    for (arguments, part) in [
        (&["--nonsense"][..], "unexpected argument '--nonsense'"),
        (&["run", "--web.listen-adress=:1"], "a similar argument exists: '--web.listen-address'"),
        (&["serve"], "unrecognized subcommand 'serve'"),
        (&["--web.listen-address=nonsense"], "`nonsense` has no port; write host:port, [IPv6]:port or :port"),
        (&["--web.listen-address=http://localhost:80"], "an IPv6 address stands in brackets"),
        (&["--web.listen-address=:65536"], "the port is not a number from 0 to 65535"),
        (&["--web.telemetry-path=metrics"], "the path must begin with /"),
        (&["--web.telemetry-path=/-/ready"], "has another meaning here"),
        (
            &["--web.max-requests=-1"],
            "invalid value '-1' for '--web.max-requests <COUNT>': it must be a whole number, 0 or more",
        ),
        (&["--web.max-requests=many"], "it must be a whole number, 0 or more"),
        (&["--log.level=loud"], "[possible values: error, warn, info, debug]"),
        (&["--log.format=xml"], "[possible values: logfmt, json]"),
        (&["query"], "<SOURCE>"),
        (&["explain"], "<SOURCE>"),
        (&["explain", "a"], "<TARGET>"),
        (&["query", "a", "--output=csv"], "[possible values: table, json]"),
        (&["demo", "--for=soon"], "write it like 30s, 5m or 1h 30m"),
        (&["demo", "--interval=0s"], "it must be 1s to 1day"),
        (&["demo", "--targets=1"], "1 is not in 2..=200000"),
        (&["demo", "--fault=openim"], "--fault \"openim\": expected PLACE:KIND"),
        (&["simulate", "--fault=opnim:throttle"], "unknown place \"opnim\"; did you mean openim?"),
        (&["simulate", "--port=70000"], "70000 is not in 0..=65535"),
    ] {
        let ended = run(arguments);
        assert_eq!((ended.code(), ended.stdout.as_str()), (64, ""), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(part), "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn a_configuration_that_is_not_there_or_cannot_be_read_is_told_by_name() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let huge = fs::File::create(home.path().join("huge.yaml")).expect("the folder is ours");
    huge.set_len(65 << 20).expect("a file with a hole costs nothing");
    fs::write(home.path().join("latin1.yaml"), b"accounts: {b\xfcro: 1}\n").expect("the folder is ours");
    fs::create_dir(home.path().join("folder.yaml")).expect("the folder is ours");
    for (name, part) in [
        ("absent.yaml", "No such file or directory"),
        ("folder.yaml", "Is a directory"),
        ("latin1.yaml", "it is not text (UTF-8)"),
        ("huge.yaml", "it is larger than 67108864 bytes"),
    ] {
        for command in ["run", "check"] {
            let mut program = program(&[command, "--config.file", name]);
            program.current_dir(home.path());
            let ended = Running::start(program).ended();
            assert_eq!((ended.code(), ended.stdout.as_str()), (64, ""), "{name}: {}", ended.stderr);
            let expected = format!("{name}: cannot be read: {part}");
            assert!(ended.stderr.starts_with(&expected), "{}", ended.stderr);
            assert_eq!(ended.stderr.contains("presence-exporter demo"), name == "absent.yaml");
        }
    }
    let mut program = program(&[]);
    program.current_dir(home.path());
    let ended = Running::start(program).ended();
    assert!(
        ended.code() == 64 && ended.stderr.starts_with("config.yaml: cannot be read"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_port_in_use_is_1_and_named() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (_simulator, config) = simulation(home.path(), &["--targets=2"]);
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = taken.local_addr().expect("it is bound").to_string();
    let config = config.display().to_string();
    let ended = run(&["run", "--config.file", &config, "--web.listen-address", &address]);
    assert_eq!((ended.code(), ended.stdout.as_str()), (1, ""), "{}", ended.stderr);
    let message = format!("cannot listen on {address}: the port is in use");
    assert!(ended.stderr.contains(&message), "{}", ended.stderr);
    let demo = run(&["demo", "--web.listen-address", &address]);
    assert!(demo.code() == 1 && demo.stderr.contains(&message), "{}", demo.stderr);
}

/// The secret is a pipe, so that reading the configuration takes as long as the test wants.
#[test]
fn nobody_is_listened_to_before_the_configuration_is_good() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (_simulator, config) = simulation(home.path(), &["--targets=2"]);
    let secret = home.path().join("secret");
    let made = Command::new("mkfifo").arg(&secret).status().expect("coreutils are there");
    assert!(made.success());
    change(&config, "    secret: \"simulated-secret-of-no-value\"", "    secret: {file: secret}");
    let free = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let config = config.display().to_string();
    let mut exporter =
        Running::start(program(&["run", "--config.file", &config, "--web.listen-address", &address]));
    // Opening a pipe for writing waits for its reader: the exporter now stands in the middle of the configuration.
    let pipe = fs::OpenOptions::new().write(true).open(&secret).expect("the exporter reads it");
    assert!(TcpStream::connect(&address).is_err(), "somebody listens already");
    assert_eq!(exporter.log(), "");
    std::io::Write::write_all(&mut &pipe, b"simulated-secret-of-no-value\n").expect("the exporter reads it");
    drop(pipe);
    assert_eq!(exporter.address(), address);
    exporter.wait_for("the page", |_| get(&address, "/-/healthy", &[]).filter(|answer| answer.status == 200));
}

#[test]
fn the_example_is_accepted_once_its_secrets_are_there() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let config = home.path().join("config.yaml");
    fs::copy(project("config.example.yaml"), &config).expect("the example is there");
    fs::create_dir(home.path().join("secrets")).expect("the folder is ours");
    let path = config.display().to_string();
    let variables =
        ["ALIYUN_KEY_ID", "ALIYUN_KEY_SECRET", "VOLC_KEY_ID", "VOLC_KEY_SECRET", "HUAWEI_AK", "HUAWEI_SK"];
    let files = ["secrets/openim.secret", "secrets/iam.password"];

    let without = run(&["check", "--config.file", &path]);
    assert_eq!((without.code(), without.stdout.as_str()), (64, ""));
    // A secret's reference is never quoted, since it may be the secret itself, misplaced: the place has to do.
    let text = fs::read_to_string(&config).expect("it was copied");
    let place = |reference: &str| {
        let line = text.lines().position(|line| line.contains(reference) && !line.starts_with('#'));
        format!("config.yaml:{}:", line.expect("the example has it") + 1)
    };
    for reference in variables
        .iter()
        .map(|name| format!("{{env: {name}}}"))
        .chain(files.map(|file| format!("{{file: {file}}}")))
    {
        let place = place(&reference);
        assert!(without.stderr.contains(&place), "{reference} is not named at {place}:\n{}", without.stderr);
    }
    for file in files {
        fs::write(home.path().join(file), "a-secret\n").expect("the folder is ours");
    }
    let mut check = program(&["check", "--config.file", &path]);
    check.envs(variables.map(|name| (name, "some-key")));
    // From elsewhere: relative paths start at the file's folder, not at the one we are in.
    check.current_dir("/");
    let check = Running::start(check).ended();
    assert_eq!((check.code(), check.stderr.as_str()), (0, ""));
    assert_eq!(check.stdout, format!("{path}: good: 5 accounts, 6 sources, 10 targets\n"));
}

#[test]
fn run_is_what_is_done_when_nothing_is_said() {
    let home = tempfile::tempdir().expect("a temporary folder");
    let (_simulator, config) = simulation(home.path(), &["--targets=2"]);
    let path = config.display().to_string();
    let mut short = Running::start(program(&["--config.file", &path, "--web.listen-address=127.0.0.1:0"]));
    let mut long = exporter(&config);
    for running in [&mut short, &mut long] {
        let address = running.address();
        running
            .wait_for("readiness", |_| get(&address, "/-/ready", &[]).filter(|answer| answer.status == 200));
    }
}
