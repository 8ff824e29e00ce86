//! Help texts, word for word: whoever changes a flag sees what people will read.

use super::program::{compare_with_golden, run};

#[test]
fn help_texts_are_those_of_the_golden_files() {
    for command in ["", "run", "demo", "check", "plan", "query", "explain", "simulate"] {
        let arguments: Vec<&str> = [command, "--help"].into_iter().filter(|word| !word.is_empty()).collect();
        let help = run(&arguments);
        assert_eq!((help.code(), help.stderr.as_str()), (0, ""), "{command}");
        let name = if command.is_empty() { "presence-exporter" } else { command };
        compare_with_golden(&format!("tests/golden/help/{name}.txt"), &help.stdout);
        let short: Vec<&str> = [command, "-h"].into_iter().filter(|word| !word.is_empty()).collect();
        assert_eq!(run(&short).stdout, help.stdout, "{command}: there is one help, and no longer one");
        for line in help.stdout.lines() {
            assert!(line.chars().count() <= 100 && line.trim_end() == line, "{command}: {line:?}");
        }
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    for flag in ["--version", "-V"] {
        let version = run(&[flag]);
        assert_eq!(version.code(), 0);
        assert_eq!(version.stdout, concat!("presence-exporter ", env!("CARGO_PKG_VERSION"), "\n"));
    }
}
