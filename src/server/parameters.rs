//! What the server said about itself at login.

use super::ServerError;

/// The ParameterStatus values of a login, in the order in which the server sent them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(Box<str>, Box<str>)>);

impl Parameters {
    /// Takes names and values in the order of their report.
    pub fn new(pairs: Vec<(Box<str>, Box<str>)>) -> Self {
        Self(pairs)
    }

    /// The value of one parameter; names are compared as written.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// Every name and value, in the server's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// Notes a value; a repeated name keeps its place. Bounded by the bytes a login may send.
    pub(super) fn set(&mut self, name: Box<str>, value: Box<str>) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, current)) => *current = value,
            None => self.0.push((name, value)),
        }
    }

    /// Checks what the guard and the wire protocol rely on, whatever the login's own defaults are:
    /// text is UTF-8, backslashes in plain literals mean nothing, timestamps are integers.
    pub(super) fn check_pinned(&self) -> Result<(), ServerError> {
        for (name, wanted) in PINNED {
            let found = self.get(name);
            if found != Some(wanted) {
                return Err(ServerError::Setting {
                    name,
                    wanted,
                    found: found.map(Into::into),
                });
            }
        }
        Ok(())
    }
}

/// Settings without which a server connection is not used (PostgreSQL manual, 55.2.7: all are reported).
const PINNED: [(&str, &str); 3] = [
    ("client_encoding", "UTF8"),
    ("standard_conforming_strings", "on"),
    ("integer_datetimes", "on"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn pinned() -> Parameters {
        let mut parameters = Parameters::default();
        for (name, value) in PINNED {
            parameters.set(name.into(), value.into());
        }
        parameters
    }

    #[test]
    fn a_repeated_name_keeps_its_place_and_takes_the_last_value() {
        let mut parameters = Parameters::default();
        for (name, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
            parameters.set(name.into(), value.into());
        }
        assert_eq!(parameters.iter().collect::<Vec<_>>(), [("a", "3"), ("b", "2")]);
        assert_eq!(parameters.get("b"), Some("2"));
        assert_eq!(parameters.get("c"), None);
    }

    #[test]
    fn each_pinned_setting_is_required() {
        assert!(pinned().check_pinned().is_ok());
        for (name, _) in PINNED {
            let mut wrong = pinned();
            wrong.set(name.into(), "off".into());
            assert!(
                matches!(wrong.check_pinned(), Err(ServerError::Setting { name: found, .. }) if found == name)
            );
            let missing = Parameters(
                pinned()
                    .0
                    .into_iter()
                    .filter(|(known, _)| **known != *name)
                    .collect(),
            );
            assert!(matches!(
                missing.check_pinned(),
                Err(ServerError::Setting { found: None, .. })
            ));
        }
    }
}
