//! The metrics by subject, each with the counters that events are added to.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use prometheus::{Histogram, IntCounter, IntGauge, Registry};

use super::counters::{Counters, OTHER, counter, counter_vec, gauge, histogram};
use crate::base::{CheckIn, ClientEnd, RoleName, SqlState, WaitReason};

/// SQLSTATEs with a series of their own. PostgreSQL knows some 260, of which a deployment sees a few
/// dozen; a client can raise any of 36⁵.
pub(super) const SQLSTATES: usize = 256;

/// Statement classes with a series of their own: more than the guard tells apart.
const CLASSES: usize = 128;

/// Servers, and issuers, with a series of their own: more than anyone configures by hand.
const CONFIGURED: usize = 256;

/// Reasons for which a connection ends: more than there are.
const REASONS: usize = 32;

/// Client connections and logins.
pub(super) struct ClientMetrics {
    pub(super) open: IntGauge,
    pub(super) accepted: IntCounter,
    pub(super) closed: Counters<&'static str>,
    pub(super) sessions: IntGauge,
    pub(super) sessions_by_role: HashMap<RoleName, IntCounter, RandomState>,
    pub(super) sessions_of_other_roles: IntCounter,
    pub(super) logins_accepted: IntCounter,
    pub(super) logins_refused: Counters<SqlState>,
    pub(super) key_refreshes_ok: Counters<Box<str>>,
    pub(super) key_refreshes_failed: Counters<Box<str>>,
    pub(super) certificate_reloads: Reloads,
    pub(super) policy_reloads: Reloads,
    pub(super) tenant_reloads: Reloads,
    pub(super) user_reloads: Reloads,
}

/// Changed files that were put into force, or could not be.
pub(super) struct Reloads {
    pub(super) ok: IntCounter,
    pub(super) failed: IntCounter,
}

impl Reloads {
    fn new(registry: &Registry, name: &str, help: &str) -> Result<Self, prometheus::Error> {
        let reloads = counter_vec(registry, name, help, &["result"])?;
        Ok(Self {
            ok: reloads.get_metric_with_label_values(&["ok"])?,
            failed: reloads.get_metric_with_label_values(&["failed"])?,
        })
    }

    pub(super) fn count(&self, error: Option<&str>) {
        match error {
            None => self.ok.inc(),
            Some(_) => self.failed.inc(),
        }
    }
}

impl ClientMetrics {
    pub(super) fn new(registry: &Registry, roles: Vec<RoleName>) -> Result<Self, prometheus::Error> {
        let closed = counter_vec(
            registry,
            "portcullis_client_connections_closed_total",
            "Client connections closed, by reason.",
            &["end"],
        )?;
        let sessions = counter_vec(
            registry,
            "portcullis_sessions_total",
            "Sessions begun, by role.",
            &["role"],
        )?;
        let logins = counter_vec(
            registry,
            "portcullis_logins_total",
            "Logins by result and SQLSTATE.",
            &["result", "sqlstate"],
        )?;
        let refreshes = counter_vec(
            registry,
            "portcullis_key_refreshes_total",
            "Key sets fetched, by issuer and result.",
            &["issuer", "result"],
        )?;
        let by_role = roles.into_iter().map(|role| {
            let counter = sessions.get_metric_with_label_values(&[role.as_str()])?;
            Ok((role, counter))
        });
        Ok(Self {
            open: gauge(
                registry,
                "portcullis_client_connections",
                "Client connections that are open.",
            )?,
            accepted: counter(
                registry,
                "portcullis_client_connections_accepted_total",
                "Client connections accepted.",
            )?,
            closed: Counters::new(REASONS, &closed, |end| vec![end]),
            sessions: gauge(registry, "portcullis_sessions", "Clients that are logged in.")?,
            sessions_by_role: by_role.collect::<Result<_, prometheus::Error>>()?,
            sessions_of_other_roles: sessions.get_metric_with_label_values(&[OTHER])?,
            logins_accepted: logins.get_metric_with_label_values(&["accepted", "00000"])?,
            logins_refused: Counters::new(SQLSTATES, &logins, |sqlstate| vec!["refused", sqlstate]),
            key_refreshes_ok: Counters::new(CONFIGURED, &refreshes, |issuer| vec![issuer, "ok"]),
            key_refreshes_failed: Counters::new(CONFIGURED, &refreshes, |issuer| vec![issuer, "failed"]),
            certificate_reloads: Reloads::new(
                registry,
                "portcullis_certificate_reloads_total",
                "Changed certificates put into force, by result.",
            )?,
            policy_reloads: Reloads::new(
                registry,
                "portcullis_policy_reloads_total",
                "Changed policies put into force, by result.",
            )?,
            tenant_reloads: Reloads::new(
                registry,
                "portcullis_tenant_reloads_total",
                "Changed tenants files put into force, by result.",
            )?,
            user_reloads: Reloads::new(
                registry,
                "portcullis_user_reloads_total",
                "Changed users files put into force, by result.",
            )?,
        })
    }

    pub(super) fn closed(&self, end: ClientEnd, authenticated: bool) {
        self.open.dec();
        self.closed.inc(end.as_str());
        if authenticated {
            self.sessions.dec();
        }
    }

    pub(super) fn logged_in(&self, role: &RoleName) {
        self.sessions.inc();
        self.logins_accepted.inc();
        self.sessions_by_role
            .get(role)
            .unwrap_or(&self.sessions_of_other_roles)
            .inc();
    }
}

/// Statements and transactions.
pub(super) struct TrafficMetrics {
    pub(super) allowed: Counters<&'static str>,
    pub(super) refused: Counters<&'static str>,
    pub(super) errors: Counters<SqlState>,
    pub(super) transactions: IntCounter,
    pub(super) transaction_seconds: Histogram,
    pub(super) bytes_in: IntCounter,
    pub(super) bytes_out: IntCounter,
    pub(super) cancels_matched: IntCounter,
    pub(super) cancels_unmatched: IntCounter,
}

impl TrafficMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let verdicts = counter_vec(
            registry,
            "portcullis_verdicts_total",
            "What the guard decided, by statement class.",
            &["verdict", "class"],
        )?;
        let errors = counter_vec(
            registry,
            "portcullis_errors_total",
            "Errors sent to clients.",
            &["sqlstate"],
        )?;
        let bytes = counter_vec(
            registry,
            "portcullis_transferred_bytes_total",
            "Bytes carried: in from clients to servers, out from servers to clients.",
            &["direction"],
        )?;
        let cancels = counter_vec(
            registry,
            "portcullis_cancel_requests_total",
            "Cancel requests, by whether they matched a running query.",
            &["result"],
        )?;
        Ok(Self {
            allowed: Counters::new(CLASSES, &verdicts, |class| vec!["allow", class]),
            refused: Counters::new(CLASSES, &verdicts, |class| vec!["refuse", class]),
            errors: Counters::new(SQLSTATES, &errors, |sqlstate| vec![sqlstate]).with_known(SqlState::OWN),
            transactions: counter(
                registry,
                "portcullis_transactions_total",
                "Server transactions that ended.",
            )?,
            transaction_seconds: histogram(
                registry,
                "portcullis_transaction_seconds",
                "How long a client held a server connection, in seconds.",
            )?,
            bytes_in: bytes.get_metric_with_label_values(&["in"])?,
            bytes_out: bytes.get_metric_with_label_values(&["out"])?,
            cancels_matched: cancels.get_metric_with_label_values(&["matched"])?,
            cancels_unmatched: cancels.get_metric_with_label_values(&["unmatched"])?,
        })
    }
}

/// Server connections and the wait for them.
pub(super) struct ServerMetrics {
    pub(super) wait_seconds: Histogram,
    pub(super) waiting: IntGauge,
    /// By reason, in the order of [`WaitReason::ALL`].
    pub(super) waits: Box<[IntCounter]>,
    pub(super) shed: IntCounter,
    pub(super) open: IntGauge,
    pub(super) opened: Counters<Box<str>>,
    pub(super) closed: Counters<&'static str>,
    pub(super) connect_failures: Counters<Box<str>>,
    pub(super) reused: IntCounter,
    pub(super) rolled_back: IntCounter,
    pub(super) reset: IntCounter,
    pub(super) discarded: Counters<&'static str>,
}

impl ServerMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opened = counter_vec(
            registry,
            "portcullis_server_connections_opened_total",
            "Server connections opened, by server.",
            &["server"],
        )?;
        let closed = counter_vec(
            registry,
            "portcullis_server_connections_closed_total",
            "Server connections closed, by reason.",
            &["reason"],
        )?;
        let failures = counter_vec(
            registry,
            "portcullis_server_connect_failures_total",
            "Server connections that could not be opened, by server.",
            &["server"],
        )?;
        let checkins = counter_vec(
            registry,
            "portcullis_checkins_total",
            "What became of server connections when their client was done.",
            &["verdict", "reason"],
        )?;
        let waits = counter_vec(
            registry,
            "portcullis_waits_total",
            "Waits for a server connection, by what was waited for at first.",
            &["reason"],
        )?;
        let by_reason = WaitReason::ALL
            .iter()
            .map(|reason| waits.get_metric_with_label_values(&[reason.as_str()]));
        Ok(Self {
            wait_seconds: histogram(
                registry,
                "portcullis_wait_seconds",
                "How long a client waited for a server connection, in seconds.",
            )?,
            waiting: gauge(
                registry,
                "portcullis_clients_waiting",
                "Clients that wait for a server connection.",
            )?,
            waits: by_reason.collect::<Result<_, prometheus::Error>>()?,
            shed: counter(
                registry,
                "portcullis_waits_shed_total",
                "Clients that were not let wait, or sent away, as too many did.",
            )?,
            open: gauge(
                registry,
                "portcullis_server_connections",
                "Server connections that are open.",
            )?,
            opened: Counters::new(CONFIGURED, &opened, |server| vec![server]),
            closed: Counters::new(REASONS, &closed, |reason| vec![reason]),
            connect_failures: Counters::new(CONFIGURED, &failures, |server| vec![server]),
            reused: checkins.get_metric_with_label_values(&["reuse", ""])?,
            reset: checkins.get_metric_with_label_values(&["reset", ""])?,
            rolled_back: checkins.get_metric_with_label_values(&["rollback", ""])?,
            discarded: Counters::new(REASONS, &checkins, |reason| vec!["discard", reason]),
        })
    }

    pub(super) fn wait_began(&self, reason: WaitReason) {
        self.waiting.inc();
        if let Some(waits) = self.waits.get(reason as usize) {
            waits.inc();
        }
    }

    pub(super) fn checked_in(&self, verdict: CheckIn) {
        match verdict {
            CheckIn::Reuse => self.reused.inc(),
            CheckIn::Rollback => self.rolled_back.inc(),
            CheckIn::Reset => self.reset.inc(),
            CheckIn::Discard(reason) => self.discarded.inc(reason.as_str()),
        }
    }
}
