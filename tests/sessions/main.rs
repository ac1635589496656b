//! Sessions message by message: a raw client says exact bytes and checks every answer. Traces that a plain
//! Postgres would answer alike are played against one as well, so that they cannot be wrong in themselves.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod bulk;
mod bystanders;
mod cancel;
mod ceilings;
mod chopped;
mod copy;
mod databases;
mod extended;
mod fleet;
mod formats;
mod hostile;
mod identity;
mod large_objects;
mod leaks;
mod limits;
mod login;
mod matrix;
mod other_sessions;
mod own_code;
mod pipelines;
mod policies;
mod repeated;
mod replication;
mod reserved;
mod schemas;
mod server_loss;
mod session_mode;
mod settings;
mod shutdown;
mod sql_prepare;
mod startup;
mod strings;
mod tenant_roles;
mod tenants_file;
mod told;
mod transactions;
mod two_phase;
mod unnamed;
mod vanishing;
mod verdicts;
mod waits;

use support::people::alice;
use support::postgres::{Version, cluster};
use support::proxy::{Stack, StackOptions};
use support::trace::play;

/// Who a session of alice is, as the schema's `who()` tells it.
const ALICE: &str = "authenticated|alice|acme";
const BOB: &str = "authenticated|bob|globex";

/// Every version there is.
const VERSIONS: [Version; 2] = [Version::Installed, Version::Eighteen];

/// A proxy with a pool of one before every version there is.
fn stacks_of_one() -> impl Iterator<Item = Stack> {
    VERSIONS.into_iter().filter_map(|postgres| {
        Stack::try_start(&StackOptions {
            postgres,
            ..StackOptions::pool(1)
        })
    })
}

/// How long a session keeps a server connection.
const MODES: [&str; 2] = ["transaction", "session"];

/// The same in both modes of pooling.
fn stacks_of_one_in_both_modes() -> impl Iterator<Item = Stack> {
    let all = VERSIONS
        .into_iter()
        .flat_map(|postgres| MODES.map(|mode| (postgres, mode)));
    all.filter_map(|(postgres, mode)| {
        Stack::try_start(&StackOptions {
            postgres,
            ..StackOptions::pool(1).with(&format!("pool.pool_mode = '{mode}'"))
        })
    })
}

/// Plays a trace as alice against Postgres itself and against the proxy with a pool of one, on every version;
/// afterwards the session must be itself. `PORTCULLIS_TEST_DIRECT=1` leaves the proxy out. `$RUN` in the trace becomes a name of its own.
fn same_as_postgres(name: &str, trace: &str) {
    for version in VERSIONS {
        if let Some(postgres) = cluster(version) {
            // A hardened server gives its direct users less than the proxy's.
            if std::env::var_os("PORTCULLIS_TEST_HARDENED").is_some() {
                play_proxied(version, &trace.replace("$RUN", &format!("{name}-proxied")));
                continue;
            }
            play(
                &mut postgres.direct(&alice()),
                &trace.replace("$RUN", &format!("{name}-direct")),
            );
            if std::env::var_os("PORTCULLIS_TEST_DIRECT").is_none() {
                play_proxied(version, &trace.replace("$RUN", &format!("{name}-proxied")));
            }
        }
    }
}

/// Plays a trace as alice against the proxy only.
fn proxied(name: &str, trace: &str) {
    for version in VERSIONS {
        if cluster(version).is_some() {
            play_proxied(version, &trace.replace("$RUN", name));
        }
    }
}

fn play_proxied(version: Version, trace: &str) {
    let options = StackOptions {
        postgres: version,
        ..StackOptions::pool(1)
    };
    let mut stack = Stack::start(&options);
    let mut client = stack.login(&alice());
    play(&mut client, trace);
    assert_eq!(client.value("SELECT who()"), ALICE, "after the trace");
    stack.assert_well();
}
