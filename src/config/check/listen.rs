//! `[listen]`, `[admin]` and `[log]`.

use std::collections::BTreeSet;

use tracing_subscriber::EnvFilter;

use crate::base::limits;
use crate::{admin, client, observe, session};

use super::super::raw::{Item, Section};
use super::{socket_address, tls};

/// What `[listen]` says to several parts.
pub(super) struct Listen {
    pub(super) memory_budget: Option<usize>,
    pub(super) client: client::Settings,
    pub(super) session: session::Settings,
}

/// Longest statement unless configured: well above what drivers and ORMs send, below what would hold
/// up a thread.
const STATEMENT_BYTES: usize = 4 * 1024 * 1024;

/// Clients that have not logged in, unless configured: more than come at once when a fleet of applications starts anew,
/// some 5 kB each.
const PENDING_LOGINS: usize = 5_000;

/// Bytes per second that a client has to read or send at least, unless configured: what the thinnest line carries.
const PROGRESS_RATE: usize = 1024;

pub(super) fn listen(top: &Section<'_>) -> Listen {
    let listen = top.section("listen");
    let address = listen.or("address", ([127, 0, 0, 1], 6432).into(), socket_address);
    let allow_plaintext = listen.flag("allow_plaintext", false);
    let tls = tls::listener(&listen);
    if !allow_plaintext && tls.is_none() && !address.ip().is_loopback() {
        listen.warning(
            "address",
            "is not loopback, and a token must not travel in clear: only clients on this machine can log in \
             unless there is a [listen.tls] or allow_plaintext = true",
        );
    }
    let max_statement_bytes = listen.count(
        "max_statement_bytes",
        STATEMENT_BYTES,
        1024,
        limits::MESSAGE_BYTES,
    );
    let max_tenant_client_conn = listen.count("max_tenant_client_conn", 0, 0, 1_000_000);
    Listen {
        memory_budget: memory_budget(&listen),
        client: client::Settings {
            address,
            tls,
            plaintext: if allow_plaintext {
                client::Plaintext::Anywhere
            } else {
                client::Plaintext::LoopbackOnly
            },
            max_client_conn: listen.count("max_client_conn", 10_000, 1, 1_000_000),
            pending: pending(&listen),
            max_tenant_client_conn: (max_tenant_client_conn > 0).then_some(max_tenant_client_conn),
            client_login_timeout: listen.time("client_login_timeout", 15),
            // Until `auth` and `roles` are known.
            plan_claim: None,
            replication_roles: BTreeSet::new(),
        },
        session: session::Settings {
            expiry_grace: listen.time_or_zero("expiry_grace", 10),
            idle_transaction_timeout: listen.limit("idle_transaction_timeout", 60),
            pace: pace(&listen),
            client_idle_timeout: listen.limit("client_idle_timeout", 0),
            max_statement_bytes,
            // Until `pool` is known.
            judge_wait_timeout: None,
            application_name: session::ApplicationName::default(),
        },
    }
}

/// How many clients may be there that have not logged in. One address does not have all of it, so that others are not
/// kept waiting by it for as long as it takes to send one of its clients away.
fn pending(listen: &Section<'_>) -> client::RoomLimits {
    let total = listen.count("max_pending_logins", PENDING_LOGINS, 1, 1_000_000);
    let most = total - total / 5;
    client::RoomLimits {
        total,
        of_address: listen.count("max_address_pending_logins", most, 1, 1_000_000),
    }
}

/// How slow a client may be while a server connection waits for it.
fn pace(listen: &Section<'_>) -> Option<session::Pace> {
    let rate = listen.count("client_progress_rate", PROGRESS_RATE, 0, limits::MESSAGE_BYTES);
    let window = listen.limit("client_progress_timeout", 60)?;
    let bytes = u128::try_from(rate).unwrap_or_default() * window.as_millis() / 1000;
    Some(session::Pace {
        window,
        bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
    })
}

/// Bytes; `None` for a part of what there is.
fn memory_budget(listen: &Section<'_>) -> Option<usize> {
    let bytes = listen.count("memory_budget", 0, 0, limits::MEMORY_BUDGET_MAX);
    if bytes > 0 && bytes < limits::MEMORY_BUDGET_MIN {
        listen.mistake(
            "memory_budget",
            format!("must be 0 or at least {}", limits::MEMORY_BUDGET_MIN),
        );
    }
    (bytes > 0).then_some(bytes)
}

pub(super) fn admin(top: &Section<'_>) -> Option<admin::Settings> {
    let item = top.get("admin")?;
    let section = item.section()?;
    let address = section.or("address", ([127, 0, 0, 1], 9187).into(), socket_address);
    Some(admin::Settings { address })
}

pub(super) fn log(top: &Section<'_>) -> observe::LogSettings {
    let log = top.section("log");
    let formats = [
        ("text", observe::LogFormat::Text),
        ("json", observe::LogFormat::Json),
    ];
    let format = log.or("format", "text".to_owned(), |item| {
        item.choice(&formats).and(item.text())
    });
    observe::LogSettings {
        format: if format == "json" {
            observe::LogFormat::Json
        } else {
            observe::LogFormat::Text
        },
        level: log.or("level", "info".to_owned(), level),
    }
}

fn level(item: &Item<'_>) -> Option<String> {
    let level = item.text()?;
    if EnvFilter::builder().parse(&level).is_err() {
        item.mistake(format!(
            "{level:?} is not a level: use error, warn, info, debug or trace, for some parts alone \
             \"info,portcullis::pool=debug\""
        ));
        return None;
    }
    Some(level)
}
