//! The golden traces of `tests/traces`, in process. Before real servers they are played by the tests in `tests/sessions`,
//! against PostgreSQL itself and through the proxy.

use std::path::Path;

use super::player::Theatre;
use super::stage::Plan;
use super::trace::play;

/// Every trace and its name, which takes the place of `$RUN`.
fn traces() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
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

#[test]
fn every_trace_is_played_in_process() {
    let traces = traces();
    assert!(!traces.is_empty());
    for (name, trace) in traces {
        println!("{name}:");
        let theatre = Theatre::open(Plan::default());
        let mut client = theatre.login("alice");
        play(&mut client, &trace);
        assert_eq!(client.value("SELECT who()"), "authenticated|alice|acme");
        drop(client);
        theatre.assert_well();
    }
}
