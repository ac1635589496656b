//! A binding and the messages that put it into force.

use crate::base::RoleName;
use crate::wire::encode;

/// What a binding is made of.
#[derive(Debug)]
pub struct BindingParts<'a> {
    /// Settings of the session (TimeZone and the like).
    pub session: &'a [(String, String)],
    /// The search path of the route, where it has one; a session that may set its own has that instead.
    pub search_path: Option<&'a str>,
    /// Identity settings.
    pub identity: &'a [(String, String)],
    /// The role.
    pub role: &'a RoleName,
}

/// What a transaction runs as: role and settings, in the form that the prelude needs.
///
/// Names are part of the statement's text, values are bound parameters: nothing a client or a token says
/// is ever read as SQL. The role comes ahead of the session's own settings, so that it takes the role's right
/// to set them, as their SET did; the identity comes last and overrides whatever was set before. All in one
/// statement: the right to call `set_config` is asked when it starts, and the role needs none (threats:
/// hardening revokes it).
#[derive(Debug)]
pub struct Binding {
    /// The Bind's values, encoded once for all transactions that run as this.
    values: Box<[u8]>,
}

/// Proof that a binding is in force in the server's current transaction. Only [`Binding::put_prelude`]
/// makes one.
///
/// ```compile_fail
/// let bound = portcullis::identity::Bound { private: () };
/// ```
#[derive(Debug)]
pub struct Bound {
    #[expect(dead_code, reason = "keeps other modules from making one")]
    private: (),
}

/// Room for the text of an ordinary prelude, and for its values, so that they do not grow step by step.
const TEXT_BYTES: usize = 512;
const VALUES_BYTES: usize = 256;

/// Settings by which a session would be somebody else.
const ROLE_SETTINGS: [&str; 2] = ["role", "session_authorization"];

/// The text of a statement that opens a transaction. Only this module writes one, and no value of a client or a token
/// is read as SQL in it.
#[derive(Debug)]
pub struct PreludeText(String);

/// A session's defaults for transaction modes, and the settings that they become. The order is that of the
/// settings.
const MODES: [(&str, &str); 3] = [
    ("default_transaction_deferrable", "transaction_deferrable"),
    ("default_transaction_isolation", "transaction_isolation"),
    ("default_transaction_read_only", "transaction_read_only"),
];

impl PreludeText {
    /// Those that set the transaction's modes where the session has defaults of its own.
    pub fn of_modes(parts: &BindingParts<'_>) -> impl Iterator<Item = Self> {
        parts.session.iter().filter_map(|(name, value)| {
            let (_, mode) = MODES.iter().find(|(default, _)| default == name)?;
            // A plain SET: the server warns about SET LOCAL and SET TRANSACTION outside of a block, in its log
            // too. It leaves nothing behind, since every transaction begins with the defaults
            // (`StartTransaction`, xact.c).
            let mut sql = format!("SET {mode} TO '");
            push_doubling_quotes(&mut sql, value);
            sql.push('\'');
            Some(Self(sql))
        })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<PreludeText> for std::sync::Arc<str> {
    fn from(text: PreludeText) -> Self {
        text.0.into()
    }
}

impl Binding {
    /// Puts the parts in their order. With it comes the text of the statement that takes its values: prepared once
    /// per server connection, the same for all sessions that set the same names.
    pub fn new(parts: &BindingParts<'_>) -> (Self, PreludeText) {
        let path = parts.search_path.map(|path| ("search_path", path));
        // The guard lets no session set these; should one slip through, it still ends here.
        let session = parts
            .session
            .iter()
            .filter(|(name, _)| !ROLE_SETTINGS.iter().any(|role| name.eq_ignore_ascii_case(role)));
        let pairs = path.into_iter().chain([("role", parts.role.as_str())]).chain(
            session
                .chain(parts.identity)
                .map(|(n, v)| (n.as_str(), v.as_str())),
        );
        let mut sql = String::with_capacity(TEXT_BYTES);
        sql.push_str("SELECT ");
        let mut values = Vec::with_capacity(2 + parts.session.len() + parts.identity.len());
        for (name, value) in pairs {
            if !values.is_empty() {
                sql.push_str(", ");
            }
            values.push(value);
            sql.push_str("pg_catalog.set_config('");
            push_doubling_quotes(&mut sql, name);
            sql.push_str("', $");
            push_number(&mut sql, values.len());
            sql.push_str(", true)");
        }
        let mut encoded = Vec::with_capacity(VALUES_BYTES);
        encode::text_values(&mut encoded, &values);
        let values = encoded.into_boxed_slice();
        (Self { values }, PreludeText(sql))
    }

    /// Appends the prelude, Bind and Execute of the prepared `statement` on `portal`. The server answers
    /// BindComplete, one DataRow and CommandComplete.
    pub fn put_prelude(&self, out: &mut Vec<u8>, portal: &str, statement: &str) -> Bound {
        encode::bind_head(out, portal.as_bytes(), statement, self.values.len());
        out.extend_from_slice(&self.values);
        encode::execute(out, portal);
        Bound { private: () }
    }
}

/// Decimal digits: the formatting of the standard library takes as long as all the rest of a binding.
fn push_number(out: &mut String, number: usize) {
    if number >= 10 {
        push_number(out, number / 10);
    }
    out.extend(char::from_digit((number % 10) as u32, 10));
}

fn push_doubling_quotes(out: &mut String, text: &str) {
    for (index, part) in text.split('\'').enumerate() {
        if index > 0 {
            out.push_str("''");
        }
        out.push_str(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_comes_last_and_values_are_parameters() {
        let (binding, sql) = Binding::new(&BindingParts {
            session: &[
                ("Role".into(), "postgres".into()),
                ("session_authorization".into(), "postgres".into()),
                ("TimeZone".into(), "UTC".into()),
            ],
            search_path: Some("\"acme\""),
            identity: &[("app.user_id".into(), "x'); RESET ROLE; --".into())],
            role: &RoleName::new("authenticated"),
        });
        assert_eq!(
            sql.as_str(),
            "SELECT pg_catalog.set_config('search_path', $1, true), \
             pg_catalog.set_config('role', $2, true), \
             pg_catalog.set_config('TimeZone', $3, true), \
             pg_catalog.set_config('app.user_id', $4, true)"
        );
        let values =
            b"\0\x04\0\0\0\x06\"acme\"\0\0\0\x0dauthenticated\0\0\0\x03UTC\0\0\0\x13x'); RESET ROLE; --";
        assert!(binding.values.windows(values.len()).any(|part| part == values));
    }

    #[test]
    fn parameters_are_numbered_in_decimal() {
        for number in [0, 1, 9, 10, 99, 100, 65_535] {
            let mut text = String::new();
            push_number(&mut text, number);
            assert_eq!(text, number.to_string());
        }
    }

    #[test]
    fn a_quote_in_a_name_stays_inside_the_literal() {
        let (_, sql) = Binding::new(&BindingParts {
            session: &[("a'b".into(), String::new())],
            search_path: None,
            identity: &[],
            role: &RoleName::new("r"),
        });
        assert!(
            sql.as_str()
                .ends_with(", pg_catalog.set_config('a''b', $2, true)")
        );
    }
}
