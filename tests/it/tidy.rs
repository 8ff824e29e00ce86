//! The shape of the source tree: who imports whom, which files a provider has, how long a file may be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use presence_exporter::providers::REGISTRY;

/// Each top module with those of ours that it may import. Circles are how small programs become big ones.
const IMPORTS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("ports", &["domain"]),
    ("config", &["domain", "ports"]),
    ("store", &["domain"]),
    ("telemetry", &["domain"]),
    ("providers", &["domain", "ports", "config"]),
    ("scheduler", &["domain", "ports", "config", "providers", "store", "telemetry"]),
    ("exposition", &["domain", "store", "telemetry"]),
    ("http", &["domain", "store", "exposition", "telemetry"]),
    ("net", &["domain", "ports"]),
    ("simulator", &["domain", "ports", "providers"]),
    (
        "daemon",
        &["domain", "ports", "config", "providers", "scheduler", "store", "telemetry", "exposition", "http"],
    ),
    (
        "cli",
        &[
            "domain",
            "ports",
            "config",
            "providers",
            "scheduler",
            "store",
            "telemetry",
            "exposition",
            "http",
            "net",
            "simulator",
            "daemon",
        ],
    ),
];

/// The longest a file may be without its tests.
const LINES_MAX: usize = 400;

/// What every provider's folder holds.
const PROVIDER_FILES: &[&str] = &["mod.rs", "client.rs", "wire.rs", "map.rs", "sim.rs"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below `src`, with its path relative to it.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder of the project can be read") {
            let path = entry.expect("an entry of the project can be read").path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                into.push(path);
            }
        }
    }
    let src = root().join("src");
    let mut files = Vec::new();
    walk(&src, &mut files);
    assert!(files.len() > 20, "the tree was not found");
    files
        .into_iter()
        .map(|path| {
            let name = path.strip_prefix(&src).expect("it was found below src").display().to_string();
            (name, fs::read_to_string(&path).expect("a source file is text"))
        })
        .collect()
}

/// The file without its test module, its comments and its strings of documentation.
fn code(text: &str) -> String {
    let text = text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or(text);
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The files that are compiled for tests only: those whose `mod` line stands behind `#[cfg(test)]`, and all below them.
fn test_files(sources: &[(String, String)]) -> Vec<String> {
    let mut files = Vec::new();
    for (name, text) in sources {
        let folder = match name.rsplit_once('/') {
            Some((folder, "mod.rs")) => format!("{folder}/"),
            _ if name == "lib.rs" => String::new(),
            _ => format!("{}/", name.trim_end_matches(".rs")),
        };
        let parent = name.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        for rest in text.split("#[cfg(test)]").skip(1) {
            let mut lines = rest.lines().map(str::trim).filter(|line| !line.is_empty());
            let mut line = lines.next().unwrap_or_default();
            if let Some(path) = line.strip_prefix("#[path = \"") {
                files.push(format!("{parent}{}", path.trim_end_matches("\"]")));
                line = lines.next().unwrap_or_default();
            }
            let declared = line.split("mod ").nth(1).and_then(|rest| rest.strip_suffix(';'));
            files.extend(declared.map(|module| format!("{folder}{module}")));
        }
    }
    files
}

/// Whether a file, by its path below `src`, is compiled for tests only.
pub fn is_for_tests_only(name: &str) -> bool {
    is_test_file(name, &test_files(&sources()))
}

fn is_test_file(name: &str, files: &[String]) -> bool {
    files.iter().any(|file| {
        name.strip_prefix(file.as_str())
            .is_some_and(|rest| matches!(rest, "" | ".rs") || rest.starts_with('/'))
    })
}

fn top_module(name: &str) -> &str {
    name.split(['/', '.']).next().expect("split yields at least one part")
}

#[test]
fn imports_go_left_only() {
    let sources = sources();
    let tests = test_files(&sources);
    for (name, text) in &sources {
        let module = top_module(name);
        if matches!(module, "lib" | "main") || is_test_file(name, &tests) {
            continue;
        }
        let (_, allowed) = IMPORTS
            .iter()
            .find(|(known, _)| *known == module)
            .unwrap_or_else(|| panic!("{name}: give module {module} its line in IMPORTS"));
        for rest in code(text).split("crate::").skip(1) {
            let imported: String =
                rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            assert!(
                imported.is_empty() || imported == module || allowed.contains(&imported.as_str()),
                "src/{name} imports {imported}, which {module} may not"
            );
        }
    }
}

#[test]
fn every_file_is_short_and_says_first_what_it_does() {
    let sources = sources();
    let tests = test_files(&sources);
    assert!(tests.len() > 5, "the files for tests were not found");
    for (name, text) in &sources {
        if is_test_file(name, &tests) {
            continue;
        }
        assert!(text.starts_with("//!"), "src/{name} does not begin with what it is for");
        let lines = text.split("\n#[cfg(test)]\nmod tests").next().map_or(0, |code| code.lines().count());
        assert!(lines <= LINES_MAX, "src/{name} has {lines} lines; two rooms would be easier to live in");
    }
}

#[test]
fn every_provider_folder_has_the_same_files_and_its_entry_in_the_registry() {
    let folders: BTreeSet<String> = sources()
        .iter()
        .filter_map(|(name, _)| {
            name.strip_prefix("providers/")?.strip_suffix("/client.rs").map(str::to_owned)
        })
        .collect();
    let registered: BTreeSet<String> = REGISTRY.iter().map(|kind| kind.name().to_owned()).collect();
    assert_eq!(folders, registered, "folders of src/providers on the left, REGISTRY on the right");
    for folder in folders {
        for file in PROVIDER_FILES {
            let path = root().join("src/providers").join(&folder).join(file);
            assert!(path.is_file(), "src/providers/{folder}/{file} is missing");
        }
    }
}

#[test]
fn the_front_page_names_every_top_module() {
    let front = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs is there");
    for (module, _) in IMPORTS {
        assert!(front.contains(&format!("[`{module}`]")), "src/lib.rs does not name [`{module}`]");
        assert!(front.contains(&format!("pub mod {module};")), "src/lib.rs does not declare {module}");
    }
}

#[test]
fn only_the_real_ports_name_the_http_client_and_only_one_file_the_hashes() {
    let sources = sources();
    let tests = test_files(&sources);
    for (name, text) in &sources {
        let code = code(text);
        if top_module(name) != "net" && !is_test_file(name, &tests) {
            assert!(!code.contains("reqwest::"), "src/{name} names reqwest; only src/net may");
        }
        if name != "providers/hash.rs" {
            assert!(!code.contains("sha2::") && !code.contains("hmac::"), "src/{name} names a hash crate");
        }
        if !name.starts_with("config/tree") && !is_test_file(name, &tests) {
            assert!(!code.contains("serde_saphyr"), "src/{name} names the YAML library");
        }
    }
}
