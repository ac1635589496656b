//! The settings of a scripted server's session: what a transaction changes goes back with it, what is local ends with it.

use std::collections::BTreeMap;

use super::sql::Trouble;

type Values = BTreeMap<String, String>;

/// What is in force now.
#[derive(Clone, Debug, Default)]
struct InForce {
    session: Values,
    local: Values,
    /// The rows of `scratch`, as far as this connection has written them: number, text, owner.
    rows: Vec<[String; 3]>,
}

#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// What the login itself has, in place of the server's defaults.
    of_login: Values,
    now: InForce,
    /// As it was when the transaction began.
    before: Option<InForce>,
    savepoints: Vec<(String, InForce)>,
}

/// Settings that the client is told of when they change (`GUC_REPORT`), with their defaults.
pub(crate) const REPORTED: [(&str, &str); 8] = [
    ("client_encoding", "UTF8"),
    ("standard_conforming_strings", "on"),
    ("integer_datetimes", "on"),
    ("server_version", "15.0"),
    ("DateStyle", "ISO, MDY"),
    ("TimeZone", "UTC"),
    ("IntervalStyle", "postgres"),
    ("application_name", ""),
];

impl Settings {
    /// The value of a setting, or its default.
    pub(crate) fn get(&self, name: &str) -> String {
        let name = name.to_ascii_lowercase();
        let mut layers = [&self.now.local, &self.now.session, &self.of_login].into_iter();
        let value = layers.find_map(|layer| layer.get(&name));
        value.cloned().unwrap_or_else(|| default_of(&name).to_owned())
    }

    /// Those of a login that has values of its own.
    pub(crate) fn of_login(values: &[(String, String)]) -> Self {
        Self {
            of_login: values.iter().cloned().collect(),
            ..Self::default()
        }
    }

    /// The role in force; `None` for the login's own.
    pub(crate) fn role(&self) -> Option<String> {
        let role = self.get("role");
        (!role.is_empty() && role != "none").then_some(role)
    }

    /// Who the caller is, as the demo schema's `who()` tells it.
    pub(crate) fn who(&self) -> String {
        let role = self.role().unwrap_or_else(|| "login".into());
        format!("{role}|{}|{}", self.get("app.user_id"), self.get("app.tenant"))
    }

    /// Sets a value, or takes it back to its default.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>, local: bool) -> Result<(), Trouble> {
        let name = name.to_ascii_lowercase();
        if name == "lock_timeout"
            && value.is_some_and(|value| !value.starts_with(|c: char| c.is_ascii_digit()))
        {
            let message = format!(
                "invalid value for parameter \"{name}\": \"{}\"",
                value.unwrap_or_default()
            );
            return Err(Trouble::new("22023", message));
        }
        if local {
            self.now.local.insert(
                name.clone(),
                value.unwrap_or_else(|| default_of(&name)).to_owned(),
            );
            return Ok(());
        }
        self.now.local.remove(&name);
        match value {
            Some(value) => self.now.session.insert(name, value.to_owned()),
            None => self.now.session.remove(&name),
        };
        Ok(())
    }

    pub(crate) fn reset_all(&mut self) {
        self.now.session.clear();
        self.now.local.clear();
    }

    /// Writes a row.
    pub(crate) fn write(&mut self, number: &str, text: &str) {
        let owner = format!("{}{}", self.get("app.user_id"), self.get("app.tenant"));
        self.now.rows.push([number.to_owned(), text.to_owned(), owner]);
    }

    /// The rows that have been written.
    pub(crate) fn rows(&self) -> &[[String; 3]] {
        &self.now.rows
    }

    /// A transaction is under way from now on, if there is none.
    pub(crate) fn begin(&mut self) {
        self.before.get_or_insert_with(|| self.now.clone());
    }

    pub(crate) fn commit(&mut self) {
        self.before = None;
        self.savepoints.clear();
        self.now.local.clear();
    }

    pub(crate) fn rollback(&mut self) {
        if let Some(before) = self.before.take() {
            self.now = before;
        }
        self.savepoints.clear();
        self.now.local.clear();
    }

    /// The transaction has failed: what it set since its last savepoint is undone.
    pub(crate) fn fail(&mut self) {
        let back = self
            .savepoints
            .last()
            .map(|(_, state)| state)
            .or(self.before.as_ref());
        if let Some(back) = back {
            self.now = back.clone();
        }
    }

    pub(crate) fn savepoint(&mut self, name: &str) {
        self.savepoints.push((name.to_owned(), self.now.clone()));
    }

    /// How many savepoints there are up to this one.
    fn depth(&self, name: &str) -> Result<usize, Trouble> {
        let found = self.savepoints.iter().rposition(|(known, _)| known == name);
        let missing = || Trouble::new("3B001", format!("savepoint \"{name}\" does not exist"));
        found.map(|index| index + 1).ok_or_else(missing)
    }

    pub(crate) fn savepoints(&self) -> usize {
        self.savepoints.len()
    }

    pub(crate) fn release(&mut self, name: &str) -> Result<(), Trouble> {
        let depth = self.depth(name)?;
        self.savepoints.truncate(depth - 1);
        Ok(())
    }

    pub(crate) fn roll_back_to(&mut self, name: &str) -> Result<(), Trouble> {
        let depth = self.depth(name)?;
        self.savepoints.truncate(depth);
        self.now = self.savepoints[depth - 1].1.clone();
        Ok(())
    }
}

fn default_of(name: &str) -> &'static str {
    let reported = REPORTED
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    match name {
        "role" => "none",
        "lock_timeout" | "statement_timeout" => "0",
        _ => reported.map_or("", |(_, value)| value),
    }
}
