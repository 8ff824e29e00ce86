//! `deploy/systemd` and `deploy/Dockerfile`.
//!
//! Not here: a booted systemd and a build of the image. The one needs a machine of its own, the other public base
//! images; so what can go wrong there without a compiler's notice is checked on the text.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use super::{project, read, tools};
use crate::tidy::is_for_tests_only;

const UNIT: &str = "deploy/systemd/presence-exporter.service";
/// In tenths, as `--threshold` wants it. The unit has 1.2; from 2.0 on systemd no longer calls it good.
const EXPOSURE: &str = "15";

/// The unit in a folder of its own, its program replaced by the one just built, which `verify` wants to exist.
fn unit() -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().expect("a temporary folder");
    let file = home.path().join("presence-exporter.service");
    let program = env!("CARGO_BIN_EXE_presence-exporter");
    fs::write(&file, read(UNIT).replace("/usr/local/bin/presence-exporter", program))
        .expect("the folder is ours");
    (home, file)
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    let (_home, file) = unit();
    let output = tools::output(Command::new(tools::any("systemd-analyze")).arg("verify").arg(&file));
    let said = String::from_utf8_lossy(&output.stderr);
    // What it doesn't understand it only warns about.
    assert!(output.status.success() && !said.contains("presence-exporter"), "{}\n{said}", output.status);
}

#[test]
fn systemd_rates_the_unit_as_well_hardened() {
    let (_home, file) = unit();
    let threshold = format!("--threshold={EXPOSURE}");
    let arguments = ["security", "--no-pager", "--offline=true", &threshold];
    tools::succeed(Command::new(tools::any("systemd-analyze")).args(arguments).arg(&file));
}

#[test]
fn the_unit_checks_the_config_that_it_runs_with() {
    let unit = read(UNIT);
    let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    let run = value("ExecStart=");
    let state = " --state.path=/var/lib/presence-exporter/state";
    assert_eq!(value("StateDirectory="), "presence-exporter");
    assert!(run.ends_with(state), "{run}");
    assert_eq!(
        value("ExecStartPre="),
        run.replace(" --config.file", " check --config.file").replace(state, "")
    );
    assert!(run.contains(" --config.file /etc/presence-exporter/"), "{run}");
}

/// The instructions of the Dockerfile: each word with its arguments, continued lines joined.
fn instructions() -> Vec<(String, String)> {
    let text = read("deploy/Dockerfile").replace("\\\n", " ");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(' '))
        .map(|(word, rest)| (word.to_owned(), rest.to_owned()))
        .collect()
}

/// The arguments of the last instruction of that name: the one that holds.
fn last(instruction: &str) -> String {
    let found = instructions().into_iter().rfind(|(word, _)| word == instruction);
    found.unwrap_or_else(|| panic!("the Dockerfile has no {instruction}")).1
}

#[test]
fn the_image_runs_the_exporter_as_nobody_in_particular_and_without_a_shell() {
    // JSON, or Docker would hand it to a shell, which this image hasn't.
    let exec = |instruction: &str| -> Vec<String> {
        serde_json::from_str(&last(instruction)).unwrap_or_else(|error| panic!("{instruction}: {error}"))
    };
    assert_eq!(exec("ENTRYPOINT"), ["/bin/presence-exporter"]);
    assert_eq!(exec("CMD"), ["--config.file=/etc/presence-exporter/config.yaml"]);
    assert!(last("FROM").contains("/distroless/"), "{}", last("FROM"));
    let user = last("USER");
    let user: u32 = user.split(':').next().and_then(|id| id.parse().ok()).expect("Kubernetes wants a number");
    assert_ne!(user, 0);
}

#[test]
fn the_image_agrees_with_the_crate_and_with_prometheus() {
    let port = last("EXPOSE");
    let scraped = format!("localhost:{port}]");
    assert!(
        read("deploy/prometheus/prometheus.yml").contains(&scraped),
        "Prometheus doesn't scrape port {port}"
    );
    let version = concat!("VERSION=", env!("CARGO_PKG_VERSION"));
    assert!(instructions().iter().any(|(word, rest)| word == "ARG" && rest == version), "ARG {version}");
    let description = concat!("description=\"", env!("CARGO_PKG_DESCRIPTION"), "\"");
    assert!(last("LABEL").contains(description), "no {description}");
    let compiler = concat!("rust:", env!("CARGO_PKG_RUST_VERSION"), "-");
    assert!(instructions()[0].1.contains(compiler), "the build stage isn't {compiler}…");
}

/// What of the project goes to the build: the lines of the ignore file that take something back from `*`.
fn sent_to_the_build() -> Vec<PathBuf> {
    let text = read("deploy/Dockerfile.dockerignore");
    let mut lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    assert_eq!(lines.next(), Some("*"), "all is ignored but what is named");
    lines.map(|line| PathBuf::from(line.strip_prefix('!').expect("a path that is taken back"))).collect()
}

#[test]
fn the_image_is_built_from_all_that_the_compiler_reads() {
    let sent = sent_to_the_build();
    let mut needed: Vec<PathBuf> =
        ["Cargo.toml", "Cargo.lock", "LICENSE", "src", "tests/it/main.rs"].map(PathBuf::from).to_vec();
    needed.extend(
        ["build.rs", "benches"].map(PathBuf::from).into_iter().filter(|path| project("").join(path).exists()),
    );
    rust_files(Path::new("src"), &mut |file, text| {
        let name = file.strip_prefix("src").expect("it was found below src").display().to_string();
        if !is_for_tests_only(&name) {
            needed.extend(included(file, text));
        }
    });
    for path in needed {
        assert!(
            sent.iter().any(|sent| path.starts_with(sent)),
            "{} is not sent to the build",
            path.display()
        );
    }
}

/// Hands each Rust file below `folder` to `read`, with its path from the root.
fn rust_files(folder: &Path, read: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(project("").join(folder)).expect("the folder is there").flatten() {
        let path = folder.join(entry.file_name());
        if entry.path().is_dir() {
            rust_files(&path, read);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            read(&path, &fs::read_to_string(entry.path()).expect("Rust is UTF-8"));
        }
    }
}

/// The files that `file` includes (`include_str!("…")`, `include_bytes!("…")`), by their paths from the root.
fn included(file: &Path, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for part in text.split("include_").skip(1) {
        let Some(rest) = part.strip_prefix("str!(\"").or_else(|| part.strip_prefix("bytes!(\"")) else {
            continue;
        };
        let mut path = file.parent().expect("a file is in a folder").to_owned();
        for component in Path::new(rest.split('"').next().unwrap_or_default()).components() {
            if component == Component::ParentDir {
                path.pop();
            } else {
                path.push(component);
            }
        }
        found.push(path);
    }
    found
}

#[test]
fn included_files_are_found_by_their_path_from_the_root() {
    let text =
        r#"const A: &str = include_str!("../../page.html"); const B: &[u8] = include_bytes!("x.css");"#;
    let found = included(Path::new("src/http/page.rs"), text);
    assert_eq!(found, [PathBuf::from("page.html"), PathBuf::from("src/http/x.css")]);
}
