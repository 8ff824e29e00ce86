//! Arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    presence_exporter::cli::main()
}
