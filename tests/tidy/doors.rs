//! Builds `planted.rs` into the library and looks at what the compiler says.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

const PLANTED: &str = "tests/tidy/planted.rs";

/// A line and the code of an error on it.
type Finding = (u64, String);

/// What the compiler says of the planted file.
pub(crate) fn found() -> BTreeSet<Finding> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    // A wrapper of its own makes the library's artifacts its own as well, and leaves those of its dependencies as they are.
    let wrapper = directory.path().join("rustc-with-planted");
    fs::write(&wrapper, "#!/bin/sh\nexec \"$@\" --cfg planted\n").unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--lib", "--locked", "--message-format=json"])
        .current_dir(root)
        .env("RUSTC_WORKSPACE_WRAPPER", &wrapper)
        .output()
        .unwrap();
    assert!(!output.status.success(), "the planted file compiles");
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let errors: Vec<Value> = messages
        .map(|message| message["message"].clone())
        .filter(|message| message["level"] == "error" && !message["spans"].as_array().unwrap().is_empty())
        .collect();
    assert!(!errors.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    errors.iter().map(finding).collect()
}

fn finding(error: &Value) -> Finding {
    let spans = error["spans"].as_array().unwrap();
    let span = spans.iter().find(|span| span["is_primary"] == true).unwrap();
    assert!(
        span["file_name"].as_str().unwrap().ends_with(PLANTED),
        "{}",
        error["rendered"]
    );
    let code = error["code"]["code"].as_str().unwrap_or_default();
    (span["line_start"].as_u64().unwrap(), code.to_owned())
}

/// What the planted file says that it will.
pub(crate) fn wanted() -> BTreeSet<Finding> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PLANTED);
    let text = fs::read_to_string(path).unwrap();
    let marked = (1..)
        .zip(text.lines())
        .filter_map(|(at, line)| Some((at, line.split_once("//~")?.1)));
    marked
        .flat_map(|(at, codes)| codes.split_whitespace().map(move |code| (at, code.to_owned())))
        .collect()
}
