//! The golden traces of `tests/traces`, in process. Before real servers they are played by the tests in `tests/sessions`,
//! against PostgreSQL itself and through the proxy.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use super::player::{Direct, Theatre};
use super::stage::Plan;
use super::trace::play;

/// A trace of this name, its own name in the place of `$RUN`.
fn traces() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    let folder = std::env::var_os("TRACES").map_or(folder, |f| f.into());
    let files = std::fs::read_dir(folder).expect("the folder of traces");
    let mut traces: Vec<(String, String)> = files
        .map(|file| {
            let path = file.expect("a file").path();
            let name = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let text = std::fs::read_to_string(&path).expect("a trace");
            (name.clone(), text.replace("$RUN", &name))
        })
        .collect();
    traces.sort();
    traces
}

fn played(name: &str, trace: &str) {
    let theatre = Theatre::open(Plan::default());
    let mut client = theatre.login("alice");
    play(&mut client, trace);
    assert_eq!(
        client.value("SELECT who()"),
        "authenticated|alice|acme",
        "after {name}"
    );
    drop(client);
    theatre.assert_well();
}

#[test]
fn every_trace_is_played_in_process() {
    let mut failed = Vec::new();
    for (name, trace) in traces() {
        let direct = catch_unwind(|| play(&mut Direct::new("alice"), &trace)).is_ok();
        let through = catch_unwind(AssertUnwindSafe(|| played(&name, &trace))).is_ok();
        if !direct || !through {
            failed.push((name, direct, through));
        }
    }
    assert!(failed.is_empty(), "{} fail: {failed:#?}", failed.len());
}
