//! The code that end users run in a database, as far as they can reach it.

use std::collections::HashSet;

use tokio_postgres::Client;

use super::Wanted;
use super::words::Words;

/// The query that reads it.
const CODE: &str = include_str!("../../policies/sql/code.sql");

/// What end users run with their own rights.
#[derive(Debug)]
pub(super) struct Code {
    pieces: Vec<Piece>,
}

/// One function, view, policy or the like.
#[derive(Debug)]
pub(super) struct Piece {
    /// What it is and its name, for people.
    pub(super) label: String,
    /// What other code calls it.
    name: Option<String>,
    pub(super) words: Words,
    is_reached: bool,
}

impl Code {
    /// Reads the code of the session's database.
    ///
    /// Cancel safe: it changes nothing.
    pub(super) async fn read(client: &Client, wanted: &Wanted) -> Result<Self, tokio_postgres::Error> {
        let logins: Vec<&str> = wanted.logins().collect();
        let rows = client
            .query(CODE, &[&logins, &wanted.end_users, &wanted.keepers])
            .await?;
        let mut pieces = Vec::with_capacity(rows.len());
        for row in &rows {
            let (kind, object): (&str, &str) = (row.try_get("kind")?, row.try_get("object")?);
            let source: Option<&str> = row.try_get("source")?;
            pieces.push(Piece {
                label: format!("{kind} {object}"),
                name: row.try_get("name")?,
                words: Words::read(row.try_get("language")?, source.unwrap_or_default()),
                is_reached: row.try_get("is_root")?,
            });
        }
        Ok(Self::reached(pieces))
    }

    /// Only what end users reach: what they may run, and what that names.
    fn reached(mut pieces: Vec<Piece>) -> Self {
        let mut seen = HashSet::new();
        loop {
            let callers: Vec<usize> = (0..pieces.len())
                .filter(|at| pieces.get(*at).is_some_and(|piece| piece.is_reached) && seen.insert(*at))
                .collect();
            if callers.is_empty() {
                break;
            }
            let mut named: Vec<(usize, String)> = Vec::new();
            for (at, piece) in pieces.iter().enumerate().filter(|(_, piece)| !piece.is_reached) {
                let Some(name) = piece.name.as_deref() else {
                    continue;
                };
                let mut callers = callers.iter().filter_map(|at| pieces.get(*at));
                if let Some(caller) = callers.find(|caller| caller.words.mentions(name)) {
                    named.push((at, format!("{} by way of {}", caller.label, piece.label)));
                }
            }
            for (at, label) in named {
                if let Some(piece) = pieces.get_mut(at) {
                    piece.is_reached = true;
                    piece.label = label;
                }
            }
        }
        pieces.retain(|piece| piece.is_reached);
        Self { pieces }
    }

    /// The first piece of which that is true.
    pub(super) fn find(&self, is_true: impl Fn(&Words) -> bool) -> Option<&Piece> {
        self.pieces.iter().find(|piece| is_true(&piece.words))
    }
}

#[cfg(test)]
impl Code {
    /// Code of this one function.
    pub(super) fn of(source: &str) -> Self {
        Self::reached(vec![Piece {
            label: "function f()".to_owned(),
            name: None,
            words: Words::read("plpgsql", source),
            is_reached: true,
        }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_names_is_not_reached() {
        let piece = |name: &str, source: &str, is_reached| Piece {
            label: name.to_owned(),
            name: Some(name.to_owned()),
            words: Words::read("sql", source),
            is_reached,
        };
        let code = Code::reached(vec![
            piece("third", "SELECT pg_notify('a', 'b')", false),
            piece("first", "SELECT second()", true),
            piece("second", "SELECT third()", false),
            piece("alone", "SELECT set_config('a', 'b', true)", false),
        ]);
        assert_eq!(
            code.find(|words| words.mentions("pg_notify")).unwrap().label,
            "first by way of second by way of third"
        );
        assert!(code.find(|words| words.mentions("set_config")).is_none());
    }
}
