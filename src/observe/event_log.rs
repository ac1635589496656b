//! The log lines an operator reads: logins, refusals, servers that fail, clients that end badly.

use std::time::Instant;

use tracing::{debug, error, info, trace, warn};

use super::throttle::Throttle;
use crate::base::{ClientEnd, DiscardReason, Event, Observe, SqlState, VerdictKind, Who};

/// Lines of one kind per second. A client can cause most of them at will; what goes beyond is counted
/// and told as `suppressed` with the next line of that kind.
const LINES_PER_SECOND: u32 = 50;

/// Longest reason in a line, in bytes: some quote what a client or a server sent.
const REASON_BYTES: usize = 512;

/// Writes events through `tracing`. Says nothing of single transactions.
pub struct EventLog {
    logins: Throttle,
    login_refusals: Throttle,
    statement_refusals: Throttle,
    client_ends: Throttle,
    server_losses: Throttle,
    connect_failures: Throttle,
    sheds: Throttle,
}

impl EventLog {
    /// A log that has written nothing yet.
    pub fn new() -> Self {
        let throttle = || Throttle::new(LINES_PER_SECOND);
        Self {
            logins: throttle(),
            login_refusals: throttle(),
            statement_refusals: throttle(),
            client_ends: throttle(),
            server_losses: throttle(),
            connect_failures: throttle(),
            sheds: throttle(),
        }
    }

    fn client_closed(&self, end: ClientEnd, authenticated: bool, Named { tenant, role }: Named<'_>) {
        let end_name = end.as_str();
        match end {
            // Refusals have a line of their own.
            ClientEnd::Terminated | ClientEnd::Refused | ClientEnd::CancelRequest | ClientEnd::Shutdown => {
                debug!(end = end_name, authenticated, tenant, role, "client closed");
            }
            ClientEnd::Expired | ClientEnd::Displaced => {
                if let Some(suppressed) = self.client_ends.admit(Instant::now()) {
                    info!(end = end_name, tenant, role, suppressed, "session ended");
                }
            }
            ClientEnd::Vanished
            | ClientEnd::ProtocolViolation
            | ClientEnd::Timeout
            | ClientEnd::Ceiling
            | ClientEnd::OutOfMemory
            | ClientEnd::ServerGone => {
                if let Some(suppressed) = self.client_ends.admit(Instant::now()) {
                    warn!(
                        end = end_name,
                        authenticated, tenant, role, suppressed, "client ended badly"
                    );
                }
            }
        }
    }

    fn shed(&self) {
        if let Some(suppressed) = self.sheds.admit(Instant::now()) {
            warn!(suppressed, "too many clients wait for a server connection");
        }
    }

    fn server_closed(&self, reason: DiscardReason) {
        let reason_name = reason.as_str();
        match reason {
            DiscardReason::ServerGone | DiscardReason::ProtocolViolation | DiscardReason::PinnedSetting => {
                if let Some(suppressed) = self.server_losses.admit(Instant::now()) {
                    warn!(reason = reason_name, suppressed, "server connection lost");
                }
            }
            DiscardReason::Unclean => {
                warn!(
                    reason = reason_name,
                    "server connection closed: a session left something on it"
                );
            }
            DiscardReason::ClientGone
            | DiscardReason::SessionEnded
            | DiscardReason::Cancelled
            | DiscardReason::Lifetime
            | DiscardReason::Idle
            | DiscardReason::Evicted
            | DiscardReason::DatabaseChanges
            | DiscardReason::Timeout
            | DiscardReason::Ceiling
            | DiscardReason::Dropped
            | DiscardReason::Shutdown => debug!(reason = reason_name, "server connection closed"),
        }
    }
}

impl Default for EventLog {
    fn default() -> Self {
        Self::new()
    }
}

impl Observe for EventLog {
    fn observe(&self, event: &Event<'_>, who: Option<&dyn Who>) {
        match *event {
            Event::ClientAccepted
            | Event::CheckedOut { .. }
            | Event::CheckedIn { .. }
            | Event::TransactionDone { .. }
            | Event::WaitEnded
            | Event::Verdict {
                kind: VerdictKind::Allow,
                ..
            } => {}
            Event::LoggedIn { role, tenant } => {
                if let Some(suppressed) = self.logins.admit(Instant::now()) {
                    let tenant = tenant.map(|tenant| clipped(tenant.as_str()));
                    info!(role = clipped(role.as_str()), tenant, suppressed, "session began");
                }
            }
            Event::LoginRefused { sqlstate, reason } => {
                if let Some(suppressed) = self.login_refusals.admit(Instant::now()) {
                    let sqlstate = sqlstate.as_str();
                    warn!(sqlstate, reason = clipped(reason), suppressed, "login refused");
                }
            }
            Event::Verdict {
                kind: VerdictKind::Refuse,
                class,
            } => {
                if let Some(suppressed) = self.statement_refusals.admit(Instant::now()) {
                    let Named { tenant, role } = Named::of(who);
                    info!(class, tenant, role, suppressed, "statement refused");
                }
            }
            Event::WaitBegan { place, reason } => {
                trace!(place, reason = reason.as_str(), "waiting for a server connection");
            }
            Event::WaitShed => self.shed(),
            Event::ErrorSent { sqlstate } => error_sent(sqlstate, Named::of(who)),
            Event::ClientClosed { end, authenticated } => {
                self.client_closed(end, authenticated, Named::of(who));
            }
            Event::ServerOpened {
                server,
                database,
                login,
            } => {
                let (server, database, login) = (server.as_str(), database.as_str(), login.as_str());
                debug!(server, database, login, "server connection opened");
            }
            Event::ServerClosed { reason } => self.server_closed(reason),
            Event::ServerConnectFailed { server, reason } => {
                if let Some(suppressed) = self.connect_failures.admit(Instant::now()) {
                    let server = server.as_str();
                    error!(
                        server,
                        reason = clipped(reason),
                        suppressed,
                        "cannot connect to server"
                    );
                }
            }
            Event::CancelRequested { matched } => debug!(matched, "cancel requested"),
            Event::KeysRefreshed { issuer, error } => keys_refreshed(issuer, error),
            Event::CertificatesReloaded { files, error } => certificates_reloaded(clipped(files), error),
            Event::PolicyReloaded { policy, error } => policy_reloaded(policy, error),
            Event::TenantsReloaded { file, error } => tenants_reloaded(clipped(file), error),
            Event::UsersReloaded { file, error } => users_reloaded(clipped(file), error),
        }
    }
}

/// What a line says of whose session it is about. Not the subject, which may be a person.
#[derive(Clone, Copy)]
struct Named<'a> {
    tenant: Option<&'a str>,
    role: Option<&'a str>,
}

impl<'a> Named<'a> {
    fn of(who: Option<&'a dyn Who>) -> Self {
        let tenant = who.and_then(|who| who.tenant());
        Self {
            tenant: tenant.map(|tenant| clipped(tenant.as_str())),
            role: who.map(|who| clipped(who.role().as_str())),
        }
    }
}

fn error_sent(sqlstate: SqlState, Named { tenant, role }: Named<'_>) {
    debug!(sqlstate = sqlstate.as_str(), tenant, role, "error sent");
}

fn keys_refreshed(issuer: &str, error: Option<&str>) {
    match error.map(clipped) {
        None => debug!(issuer, "keys refreshed"),
        Some(reason) => warn!(issuer, reason, "keys could not be refreshed"),
    }
}

fn certificates_reloaded(files: &str, error: Option<&str>) {
    match error.map(clipped) {
        None => info!(files, "new certificates are in force"),
        Some(reason) => {
            error!(
                files,
                reason, "changed certificates cannot be used; the last good ones stay"
            );
        }
    }
}

fn tenants_reloaded(file: &str, error: Option<&str>) {
    match error.map(clipped) {
        None => info!(file, "a changed tenants file is in force"),
        Some(reason) => error!(
            file,
            reason, "a changed tenants file cannot be used; the old directory stays"
        ),
    }
}

fn policy_reloaded(policy: &str, error: Option<&str>) {
    match error.map(clipped) {
        None => info!(policy, "a changed policy is in force"),
        Some(reason) => error!(
            policy,
            reason, "a changed policy cannot be used; the old one stays"
        ),
    }
}

fn users_reloaded(file: &str, error: Option<&str>) {
    match error.map(clipped) {
        None => info!(file, "changed users are in force"),
        Some(reason) => error!(
            file,
            reason, "changed users cannot be used; the last good ones stay"
        ),
    }
}

/// At most [`REASON_BYTES`] of a text, cut between characters.
fn clipped(text: &str) -> &str {
    text.get(..text.floor_char_boundary(REASON_BYTES)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{RoleName, ServerName, SqlState, TenantName};
    use crate::observe::LogFormat;
    use crate::observe::log::tests::logged;
    use std::time::Duration;

    fn lines(level: &str, events: &[Event<'_>]) -> Vec<serde_json::Value> {
        let log = EventLog::new();
        let text = logged(LogFormat::Json, level, || {
            events.iter().for_each(|event| log.observe(event, None))
        });
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn an_operator_sees_logins_refusals_and_failures() {
        let (role, tenant) = (RoleName::from("authenticated"), TenantName::from("acme"));
        let server = ServerName::from("main");
        let lines = lines(
            "info",
            &[
                Event::LoggedIn {
                    role: &role,
                    tenant: Some(&tenant),
                },
                Event::LoggedIn {
                    role: &role,
                    tenant: None,
                },
                Event::LoginRefused {
                    sqlstate: SqlState::INVALID_PASSWORD,
                    reason: "token expired",
                },
                Event::Verdict {
                    kind: VerdictKind::Refuse,
                    class: "DROP",
                },
                Event::ServerConnectFailed {
                    server: &server,
                    reason: "refused",
                },
                Event::ClientClosed {
                    end: ClientEnd::Vanished,
                    authenticated: true,
                },
                Event::ClientClosed {
                    end: ClientEnd::Expired,
                    authenticated: true,
                },
                Event::ServerClosed {
                    reason: DiscardReason::ServerGone,
                },
                Event::KeysRefreshed {
                    issuer: "https://id.example",
                    error: Some("timed out"),
                },
                Event::CertificatesReloaded {
                    files: "server.crt",
                    error: None,
                },
                Event::CertificatesReloaded {
                    files: "server.crt",
                    error: Some("is not valid PEM"),
                },
            ],
        );
        let levels_and_messages: Vec<_> = lines
            .iter()
            .map(|line| (line["level"].as_str().unwrap(), line["message"].as_str().unwrap()))
            .collect();
        assert_eq!(
            levels_and_messages,
            [
                ("INFO", "session began"),
                ("INFO", "session began"),
                ("WARN", "login refused"),
                ("INFO", "statement refused"),
                ("ERROR", "cannot connect to server"),
                ("WARN", "client ended badly"),
                ("INFO", "session ended"),
                ("WARN", "server connection lost"),
                ("WARN", "keys could not be refreshed"),
                ("INFO", "new certificates are in force"),
                (
                    "ERROR",
                    "changed certificates cannot be used; the last good ones stay"
                ),
            ]
        );
        assert_eq!(
            (&lines[0]["role"], &lines[0]["tenant"]),
            (&"authenticated".into(), &"acme".into())
        );
        assert!(lines[1].get("tenant").is_none());
        assert_eq!(
            (&lines[2]["sqlstate"], &lines[2]["reason"]),
            (&"28P01".into(), &"token expired".into())
        );
    }

    #[test]
    fn a_session_is_named_by_tenant_and_role_alone() {
        struct Somebody(RoleName, TenantName);
        impl Who for Somebody {
            fn tenant(&self) -> Option<&TenantName> {
                Some(&self.1)
            }
            fn role(&self) -> &RoleName {
                &self.0
            }
            fn subject(&self) -> Option<&str> {
                Some("alice@example.com")
            }
        }
        let who = Somebody("authenticated".into(), "acme".into());
        let log = EventLog::new();
        let events = [
            Event::Verdict {
                kind: VerdictKind::Refuse,
                class: "DROP",
            },
            Event::ErrorSent {
                sqlstate: SqlState::SYNTAX_ERROR,
            },
            Event::ClientClosed {
                end: ClientEnd::Expired,
                authenticated: true,
            },
        ];
        let text = logged(LogFormat::Json, "debug", || {
            events.iter().for_each(|event| log.observe(event, Some(&who)));
        });
        assert_eq!(text.lines().count(), 3, "{text}");
        for line in text.lines() {
            assert!(line.contains("\"tenant\":\"acme\""), "{line}");
            assert!(line.contains("\"role\":\"authenticated\""), "{line}");
            assert!(!line.contains("alice"), "{line}");
        }
    }

    #[test]
    fn ordinary_traffic_is_silent() {
        let took = Duration::from_millis(1);
        let events = [
            Event::ClientAccepted,
            Event::ClientClosed {
                end: ClientEnd::Terminated,
                authenticated: true,
            },
            Event::Verdict {
                kind: VerdictKind::Allow,
                class: "SELECT",
            },
            Event::CheckedOut { waited: took },
            Event::TransactionDone {
                took,
                bytes_in: 1,
                bytes_out: 1,
            },
            Event::ErrorSent {
                sqlstate: SqlState::SYNTAX_ERROR,
            },
            Event::ServerClosed {
                reason: DiscardReason::Lifetime,
            },
        ];
        assert!(lines("info", &events).is_empty());
        assert_eq!(lines("debug", &events).len(), 3);
    }

    #[test]
    fn a_flood_of_refusals_is_bounded_and_other_kinds_are_not_drowned() {
        let flood = || Event::LoginRefused {
            sqlstate: SqlState::INVALID_PASSWORD,
            reason: "bad",
        };
        let mut events: Vec<_> = std::iter::repeat_with(flood).take(5000).collect();
        events.push(Event::Verdict {
            kind: VerdictKind::Refuse,
            class: "DROP",
        });
        let lines = lines("info", &events);
        // More than one second may pass while the test runs, but not a hundred.
        assert!((50..5000).contains(&lines.len()), "{}", lines.len());
        assert_eq!(lines.last().unwrap()["message"], "statement refused");
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let long = "é".repeat(400);
        assert_eq!(clipped(&long).len(), 512);
        assert_eq!(clipped(&format!("x{long}")).len(), 511);
        assert_eq!(clipped("short"), "short");
    }
}
