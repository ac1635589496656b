//! Session settings: what a driver sets for its session lives here and is replayed by the prelude, so that
//! nothing stays behind on a server connection (design: no state lives on a server connection).

use std::borrow::Cow;
use std::sync::Arc;

use crate::base::limits;
use crate::guard::Policy;
use crate::server::Parameters;
use crate::session::Pairs;
use crate::session::memory::application_name::with_subject;
use crate::session::memory::pending::Pending;

/// A client's settings and what it has been told of them.
#[derive(Debug)]
pub(crate) struct SessionSettings {
    /// As given at startup: what RESET returns to.
    startup: Pairs,
    /// In force now, startup values included. Names folded.
    current: Pairs,
    /// What its transactions add to the client's application_name.
    subject: Option<Box<str>>,
    /// Changed by the transaction that runs now.
    pending: Pending,
    reports: Reports,
}

/// ParameterStatus: what the client believes, and what it should.
#[derive(Debug)]
struct Reports {
    /// Values of a fresh server connection.
    base: Arc<Parameters>,
    /// The search path of the route, which every transaction has in place of the base's; reported from
    /// PostgreSQL 18 on.
    path: Option<String>,
    /// Where the client was told something else than the base.
    told: Vec<(String, String)>,
    /// Reported by the server since the last ReadyForQuery, or different inside this transaction.
    seen: Vec<(String, String)>,
}

impl SessionSettings {
    /// Settings of a new session. `told` are the values that the greeting reported in place of the base's,
    /// `path` is the route's search path.
    pub(crate) fn new(
        startup: Pairs,
        base: Arc<Parameters>,
        path: Option<String>,
        told: Vec<(String, String)>,
    ) -> Self {
        Self {
            current: Arc::clone(&startup),
            startup,
            subject: None,
            pending: Pending::default(),
            reports: Reports {
                base,
                path,
                told,
                seen: Vec::new(),
            },
        }
    }

    /// With a subject that its transactions show behind the client's application_name.
    pub(crate) fn showing(self, subject: Option<Box<str>>) -> Self {
        Self { subject, ..self }
    }

    /// What the prelude sets, in the order of their names, so that equal sets share one statement.
    pub(crate) fn in_force(&self) -> Cow<'_, [(String, String)]> {
        with_subject(&self.current, self.subject.as_deref())
    }

    /// The value a RESET returns to; `None` means the server's own default.
    pub(crate) fn startup_value(&self, name: &str) -> Option<&str> {
        find(&self.startup, name)
    }

    /// Names that differ from the startup's.
    pub(crate) fn changed(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .current
            .iter()
            .filter(|(name, value)| find(&self.startup, name) != Some(value))
            .map(|(name, _)| name.clone())
            .collect();
        names.extend(self.pending.names().map(str::to_owned));
        names.sort();
        names.dedup();
        names
    }

    /// About how much memory it takes to keep what has been set, in bytes: here, and in the binding that transactions
    /// begin with.
    pub(crate) fn bytes(&self) -> usize {
        let pair = |(name, value): &(String, String)| name.len() + value.len() + 2 * size_of::<String>();
        let own = match Arc::ptr_eq(&self.current, &self.startup) {
            true => 0,
            false => self.current.iter().map(pair).sum(),
        };
        let told = self.reports.told.iter().chain(&self.reports.seen).map(pair);
        2 * own + told.sum::<usize>() + self.pending.bytes()
    }

    /// Whether this setting fits beside those that are kept.
    pub(crate) fn has_room_for(&self, name: &str) -> bool {
        let kept = self.current.len() + self.pending.len();
        (find(&self.current, name).is_some() || kept < limits::SESSION_SETTINGS)
            && self.pending.len() < limits::PENDING_SETTINGS
    }

    /// Takes note of a change that counts when the transaction commits.
    pub(crate) fn change(&mut self, name: Box<str>, value: Option<String>) {
        self.pending.change(name, value);
    }

    /// The savepoints of the running transaction, and what they take back.
    pub(crate) fn pending(&mut self) -> &mut Pending {
        &mut self.pending
    }

    /// The transaction has committed. Returns whether anything changed, so that the binding is rebuilt.
    pub(crate) fn commit(&mut self) -> bool {
        let pending = self.pending.take();
        let changed = !pending.is_empty();
        for (name, value) in pending {
            self.reports.look_at(&name);
            let value = value.or_else(|| self.startup_value(&name).map(str::to_owned));
            set(Arc::make_mut(&mut self.current), &name, value);
        }
        changed
    }

    /// The transaction was rolled back.
    pub(crate) fn rollback(&mut self) {
        self.pending.clear();
    }

    /// The startup values have changed, and with them the policy. What the session has set itself stays, as far
    /// as it keeps within the policy's time limits.
    pub(crate) fn restart(&mut self, startup: Pairs, policy: &Policy) {
        let before = std::mem::replace(&mut self.startup, startup);
        for (name, value) in before.iter() {
            // What was not touched follows.
            if find(&self.current, name) == Some(value) {
                let value = self.startup_value(name).map(str::to_owned);
                set(Arc::make_mut(&mut self.current), name, value);
            }
        }
        let limited: Vec<_> = policy
            .timeouts()
            .in_force(|name| find(&self.current, name))
            .collect();
        for (name, value) in limited {
            set(Arc::make_mut(&mut self.current), name, Some(value));
        }
    }

    /// The value of a setting among pairs in the order of their names.
    pub(crate) fn value_of<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
        find(pairs, name)
    }

    /// Puts a setting in its place among pairs in the order of their names.
    pub(crate) fn put(pairs: &mut Vec<(String, String)>, name: &str, value: String) {
        set(pairs, name, Some(value));
    }

    /// RESET ALL outside a transaction. Returns whether anything changed.
    pub(crate) fn reset_all(&mut self) -> bool {
        let changed = self.current != self.startup;
        for (name, _) in self.current.iter() {
            self.reports.look_at(name);
        }
        self.current = Arc::clone(&self.startup);
        changed
    }

    /// The server has reported a parameter.
    pub(crate) fn reported(&mut self, name: &str, value: &str) {
        // Changing role reports is_superuser on some versions; both are the proxy's own business.
        if !matches!(name, "is_superuser" | "session_authorization") {
            set(&mut self.reports.seen, name, Some(value.to_owned()));
        }
    }

    /// Whether something may have to be reported.
    pub(crate) fn has_reports(&self) -> bool {
        !self.reports.seen.is_empty()
    }

    /// What the client must be told before ReadyForQuery: inside a transaction what the server reported,
    /// outside what the session's own settings say. Where the prelude's are not in force, what is
    /// again as on a fresh server connection is to the client as its session has it.
    pub(crate) fn due_reports(&mut self, place: Standing) -> Vec<(String, String)> {
        let mut due = Vec::new();
        if self.reports.seen.is_empty() {
            return due;
        }
        let in_force = with_subject(&self.current, self.subject.as_deref());
        for (name, server_value) in &self.reports.seen {
            let own = || find_ignoring_case(&in_force, name).or(self.reports.ordinary(name));
            let should = match place {
                Standing::Outside => own(),
                Standing::Bare if self.reports.base.get(name) == Some(server_value) => own(),
                Standing::InTransaction | Standing::Bare => Some(server_value.as_str()),
            };
            let told = find(&self.reports.told, name).or(self.reports.base.get(name));
            if let Some(value) = should
                && told != Some(value)
            {
                due.push((name.clone(), value.to_owned()));
            }
        }
        for (name, value) in &due {
            set(&mut self.reports.told, name, Some(value.clone()));
        }
        if place == Standing::Outside {
            self.reports.seen.clear();
        }
        due
    }
}

impl Reports {
    /// The value in a transaction of a session that has not set it.
    fn ordinary(&self, name: &str) -> Option<&str> {
        match &self.path {
            Some(path) if name == "search_path" => Some(path),
            _ => self.base.get(name),
        }
    }

    /// A setting has changed without the server saying so: the next ReadyForQuery compares it.
    fn look_at(&mut self, name: &str) {
        let reported = self
            .base
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name));
        if let Some((name, value)) = reported {
            set(&mut self.seen, name, Some(value.to_owned()));
        }
    }
}

/// Where a ReadyForQuery finds the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// In a transaction block.
    InTransaction,
    /// In a transaction block that the prelude's settings are not in force in: it has failed, or is the next one
    /// of a chain.
    Bare,
    /// Between transactions.
    Outside,
}

/// Whether a setting may decide how the literals of a text are read, or what its names mean, when it is
/// parsed. Those named here do not; whatever is not known counts.
pub(crate) fn decides_meaning(name: &str) -> bool {
    !matches!(
        name,
        "application_name" | "client_min_messages" | "plan_cache_mode"
    ) && !name.starts_with("default_transaction_")
        && !name.ends_with("_timeout")
        && !name.starts_with("enable_")
        && !name.starts_with("jit")
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
}

fn find_ignoring_case<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v.as_str())
}

pub(in crate::session) fn set(pairs: &mut Vec<(String, String)>, name: &str, value: Option<String>) {
    let at = pairs.binary_search_by(|(n, _)| n.as_str().cmp(name));
    match (at, value) {
        (Ok(at), Some(value)) => {
            if let Some(pair) = pairs.get_mut(at) {
                pair.1 = value;
            }
        }
        (Ok(at), None) => {
            pairs.remove(at);
        }
        (Err(at), Some(value)) => pairs.insert(at, (name.to_owned(), value)),
        (Err(_), None) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> SessionSettings {
        let base = Arc::new(Parameters::new(vec![
            ("TimeZone".into(), "Etc/UTC".into()),
            ("DateStyle".into(), "ISO, MDY".into()),
        ]));
        let startup = vec![("timezone".into(), "Europe/Berlin".into())];
        let told = vec![("TimeZone".into(), "Europe/Berlin".into())];
        SessionSettings::new(Arc::new(startup), base, None, told)
    }

    #[test]
    fn a_change_counts_when_its_transaction_commits() {
        let mut s = settings();
        s.change("datestyle".into(), Some("German".into()));
        s.rollback();
        assert!(!s.commit());
        s.change("datestyle".into(), Some("German".into()));
        s.change("timezone".into(), None);
        assert!(s.commit());
        assert_eq!(
            *s.in_force(),
            [
                ("datestyle".to_owned(), "German".to_owned()),
                ("timezone".to_owned(), "Europe/Berlin".to_owned()),
            ]
        );
        assert!(s.reset_all());
        assert_eq!(s.in_force().len(), 1);
    }

    #[test]
    fn a_subject_is_part_of_the_name_from_the_greeting_on() {
        let base = Arc::new(Parameters::new(vec![("application_name".into(), "proxy".into())]));
        let startup = vec![("application_name".into(), "app".into())];
        let told = vec![("application_name".into(), "app - alice".into())];
        let mut s = SessionSettings::new(Arc::new(startup), base, None, told).showing(Some("alice".into()));
        assert_eq!(*s.in_force(), [("application_name".into(), "app - alice".into())]);
        s.reported("application_name", "app - alice");
        assert!(s.due_reports(Standing::InTransaction).is_empty());
        s.reported("application_name", "proxy");
        assert!(s.due_reports(Standing::Bare).is_empty());
        assert!(s.due_reports(Standing::Outside).is_empty());
        s.change("application_name".into(), Some("other".into()));
        s.commit();
        let due = [("application_name".to_owned(), "other - alice".to_owned())];
        assert_eq!(s.due_reports(Standing::Outside), due);
        assert_eq!(s.startup_value("application_name"), Some("app"));
    }

    #[test]
    fn a_changed_policy_moves_what_the_session_has_not_set() {
        let policy = Policy::parse("name = 'p'\nstatement_timeout = '5s'\nlock_timeout = '1s'").unwrap();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut s = settings();
        s.change("statement_timeout".into(), Some("1min".into()));
        s.change("datestyle".into(), Some("German".into()));
        s.commit();
        let startup = vec![
            pair("lock_timeout", "1000ms"),
            pair("statement_timeout", "5000ms"),
            pair("timezone", "UTC"),
        ];
        s.restart(Pairs::new(startup), &policy);
        assert_eq!(
            *s.in_force(),
            [
                pair("datestyle", "German"),
                pair("lock_timeout", "1000ms"),
                pair("statement_timeout", "5000ms"),
                pair("timezone", "UTC"),
            ]
        );
        s.restart(Pairs::new(vec![pair("timezone", "UTC")]), &Policy::trusted());
        assert_eq!(s.startup_value("lock_timeout"), None);
        assert_eq!(
            *s.in_force(),
            [pair("datestyle", "German"), pair("timezone", "UTC")]
        );
    }

    #[test]
    fn reports_that_the_prelude_causes_never_reach_the_client() {
        let mut s = settings();
        s.reported("TimeZone", "Europe/Berlin");
        assert!(s.due_reports(Standing::InTransaction).is_empty());
        s.reported("TimeZone", "Etc/UTC");
        assert!(s.due_reports(Standing::Outside).is_empty());
    }

    #[test]
    fn the_search_path_of_the_route_is_the_sessions_own() {
        let base = Arc::new(Parameters::new(vec![("search_path".into(), "public".into())]));
        let told = vec![("search_path".into(), "acme".into())];
        let mut s = SessionSettings::new(Pairs::default(), base, Some("acme".into()), told);
        s.reported("search_path", "acme");
        assert!(s.due_reports(Standing::InTransaction).is_empty());
        s.reported("search_path", "public");
        assert!(s.due_reports(Standing::Bare).is_empty());
        assert!(s.due_reports(Standing::Outside).is_empty());
        s.change("search_path".into(), Some("other".into()));
        s.commit();
        let due = [("search_path".to_owned(), "other".to_owned())];
        assert_eq!(s.due_reports(Standing::Outside), due);
    }

    #[test]
    fn a_change_inside_a_transaction_is_told_and_taken_back_with_it() {
        let mut s = settings();
        s.reported("DateStyle", "German");
        assert_eq!(
            s.due_reports(Standing::InTransaction),
            [("DateStyle".to_owned(), "German".to_owned())]
        );
        assert!(s.due_reports(Standing::InTransaction).is_empty(), "told once");
        s.reported("DateStyle", "ISO, MDY");
        assert_eq!(
            s.due_reports(Standing::Outside),
            [("DateStyle".to_owned(), "ISO, MDY".to_owned())]
        );
    }

    #[test]
    fn a_committed_change_is_not_taken_back() {
        let mut s = settings();
        s.change("datestyle".into(), Some("German".into()));
        s.reported("DateStyle", "German");
        assert_eq!(s.due_reports(Standing::InTransaction).len(), 1);
        s.commit();
        s.reported("DateStyle", "ISO, MDY");
        assert!(s.due_reports(Standing::Outside).is_empty());
        s.reset_all();
        assert_eq!(
            s.due_reports(Standing::Outside),
            [("DateStyle".to_owned(), "ISO, MDY".to_owned())]
        );
    }
}
