//! Python's clients: the test programs in tests/python, in the environment that tests/run makes.

use super::{on_both, run};
use crate::util::Server;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The Python of the environment with the clients.
pub(crate) fn interpreter() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    assert!(python.exists(), "{} is missing: tests/run makes it", python.display());
    python
}

fn unittest(server: &Server, file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python").join(file);
    let mut command = Command::new(interpreter());
    // -B: no compiled files beside the sources.
    command.arg("-B").arg(path).arg("-v");
    command.env("LARDER_TEST_HOST", &server.host);
    command.env("LARDER_TEST_PORT", server.port.to_string());
    let output = run(&mut command, b"");
    assert_eq!(output.code, Some(0), "\n{}\n{}", output.out, output.err);
    let ran = output.err.lines().rev().find(|line| line.starts_with("Ran "));
    assert!(ran.is_some_and(|line| !line.starts_with("Ran 0 ")), "{}", output.err);
}

#[test]
fn redis_py() {
    on_both(|server| unittest(server, "test_redis_py.py"));
}

#[test]
fn django() {
    on_both(|server| unittest(server, "test_django.py"));
}
