//! `portcullis guard --learn`: collects the statements of a log into a registry for policies of
//! `mode = "registered"`.
//!
//! What is read, line by line:
//! * a JSON object: its text `statement`, `query` or `sql`; else its `message`, as PostgreSQL's jsonlog has it;
//! * a line of PostgreSQL's stderr log (`… LOG:  statement: …`, `… LOG:  execute name: …`, with or without a
//!   duration before it), with the lines that follow and begin with a tab; its other lines are left out;
//! * any other line is a text by itself.
//!
//! Input with a NUL among its first bytes (what one read gives) is a batch of NUL-separated texts instead. Values never reach the registry: its examples
//! have `$1`, `$2`, … in their place.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};

use serde::Serialize;

use crate::guard::{self, Fingerprint, Limits};

/// What was learnt.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    statements: BTreeMap<Fingerprint, Entry>,
    /// Texts that could not be read.
    unread: u64,
}

#[derive(Debug)]
struct Entry {
    example: String,
    count: u64,
}

/// One table of the registry's file.
#[derive(Serialize)]
struct Row<'a> {
    fingerprint: String,
    count: u64,
    example: &'a str,
}

/// Reads a log and writes the registry; says on `notes` what was left out. True if every text could be read.
///
/// # Errors
///
/// `log`, `out` or `notes` failed.
pub(super) fn learn(
    limits: &Limits,
    log: &mut dyn BufRead,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> io::Result<bool> {
    let mut learnt = Learnt::default();
    learnt.read(limits, log)?;
    learnt.write(out)?;
    if learnt.unread > 0 {
        writeln!(
            notes,
            "portcullis guard: {} texts could not be read and are left out",
            learnt.unread
        )?;
    }
    Ok(learnt.unread == 0)
}

impl Learnt {
    fn read(&mut self, limits: &Limits, log: &mut dyn BufRead) -> io::Result<()> {
        if log.fill_buf()?.contains(&0) {
            return self.read_batch(limits, log);
        }
        let mut line = Vec::new();
        // A statement of a stderr log that may go on.
        let mut open: Option<Vec<u8>> = None;
        let mut is_stderr = false;
        loop {
            line.clear();
            if log.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if let (Some(open), Some(more)) = (&mut open, text.strip_prefix(b"\t")) {
                open.push(b'\n');
                open.extend_from_slice(more);
                continue;
            }
            if let Some(whole) = open.take() {
                self.take(limits, &whole);
            }
            match Line::of(text) {
                Line::Statement(text) => self.take(limits, text.as_bytes()),
                Line::Stderr(text) => {
                    is_stderr = true;
                    open = Some(text.into());
                }
                Line::Other => {}
                Line::Plain if is_stderr => {}
                Line::Plain => self.take(limits, text),
            }
        }
        if let Some(whole) = open {
            self.take(limits, &whole);
        }
        Ok(())
    }

    /// NUL-separated texts.
    fn read_batch(&mut self, limits: &Limits, texts: &mut dyn BufRead) -> io::Result<()> {
        let mut text = Vec::new();
        while texts.read_until(0, &mut text)? > 0 {
            self.take(limits, text.strip_suffix(b"\0").unwrap_or(&text));
            text.clear();
        }
        Ok(())
    }

    fn take(&mut self, limits: &Limits, text: &[u8]) {
        let Ok(found) = guard::registrations(text, limits) else {
            self.unread += 1;
            return;
        };
        for found in found.into_iter().filter(|found| found.is_needed) {
            let entry = self.statements.entry(found.fingerprint).or_insert(Entry {
                example: found.example,
                count: 0,
            });
            entry.count += 1;
        }
    }

    /// The registry, the most frequent statements first.
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let mut rows: Vec<Row<'_>> = self
            .statements
            .iter()
            .map(|(fingerprint, entry)| Row {
                fingerprint: fingerprint.to_string(),
                count: entry.count,
                example: &entry.example,
            })
            .collect();
        rows.sort_by(|a, b| b.count.cmp(&a.count).then(a.example.cmp(b.example)));
        writeln!(
            out,
            "# Statements that \"portcullis guard --learn\" has seen, for registered_statements."
        )?;
        for row in rows {
            let table = toml::to_string(&row).map_err(io::Error::other)?;
            write!(out, "\n[[statement]]\n{table}")?;
        }
        Ok(())
    }
}

/// What a line of a log is.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    /// A text out of a JSON object.
    Statement(String),
    /// A text out of a line of PostgreSQL's stderr log, which may go on.
    Stderr(&'a [u8]),
    /// Something else that a log holds.
    Other,
    /// No log's line.
    Plain,
}

impl<'a> Line<'a> {
    fn of(line: &'a [u8]) -> Self {
        if line.trim_ascii().is_empty() {
            return Self::Other;
        }
        if line.starts_with(b"{") {
            return serde_json::from_slice::<serde_json::Value>(line).map_or(Self::Plain, |object| {
                let text = |key: &str| object.get(key).and_then(serde_json::Value::as_str);
                let statement = ["statement", "query", "sql"].into_iter().find_map(text);
                match statement.or_else(|| logged(text("message")?)) {
                    Some(statement) => Self::Statement(statement.to_owned()),
                    None => Self::Other,
                }
            });
        }
        let Ok(text) = std::str::from_utf8(line) else {
            return Self::Plain;
        };
        match text.split_once("LOG:  ") {
            Some((_, message)) => logged(message).map_or(Self::Other, |text| Self::Stderr(text.as_bytes())),
            None => Self::Plain,
        }
    }
}

/// The statement of a message of PostgreSQL's log: `statement: …`, `execute name: …`, with a duration before it or
/// not (`exec_simple_query`, `exec_execute_message` of postgres.c). Its Parse and Bind are the same statement again.
fn logged(message: &str) -> Option<&str> {
    let message = match message.strip_prefix("duration: ") {
        Some(rest) => rest.split_once(" ms  ")?.1,
        None => message,
    };
    if let Some(statement) = message.strip_prefix("statement: ") {
        return Some(statement);
    }
    let named = message
        .strip_prefix("execute fetch from ")
        .or_else(|| message.strip_prefix("execute "))?;
    Some(named.split_once(": ")?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(log: &str) -> (String, String) {
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        learn(&Limits::default(), &mut log.as_bytes(), &mut out, &mut notes).unwrap();
        (String::from_utf8(out).unwrap(), String::from_utf8(notes).unwrap())
    }

    fn examples(log: &str) -> Vec<(i64, String)> {
        let table: toml::Table = learnt(log).0.parse().unwrap();
        let Some(rows) = table.get("statement") else {
            return Vec::new();
        };
        let row = |row: &toml::Value| {
            (
                row["count"].as_integer().unwrap(),
                row["example"].as_str().unwrap().into(),
            )
        };
        rows.as_array().unwrap().iter().map(row).collect()
    }

    #[test]
    fn statements_are_counted_without_their_values() {
        let log = "SELECT a FROM t WHERE b = 'secret'\nselect a from t where b = $1\nBEGIN; SELECT 1; COMMIT\n\nSELECT '\n";
        assert_eq!(
            examples(log),
            [
                (2, "select a from t where b = $1".into()),
                (1, "select $1".into())
            ]
        );
        let (out, notes) = learnt(log);
        assert!(!out.contains("secret") && notes.contains("1 texts"), "{notes}");
    }

    #[test]
    fn logs_are_read_in_their_forms() {
        let wanted = [(1, "select $1".to_owned())];
        for log in [
            "{\"statement\": \"SELECT 1\"}\n{\"level\": \"info\"}",
            "{\"message\": \"duration: 0.1 ms  execute S_1: SELECT 1\", \"pid\": 3}",
            "2026-01-01 UTC [7] LOG:  statement: SELECT\n\t1\n2026-01-01 UTC [7] ERROR:  no\nmore of it\n",
            "x LOG:  duration: 0.1 ms  execute <unnamed>: SELECT 1\nx DETAIL:  parameters: $1 = 'x'\n",
            "x LOG:  duration: 0.1 ms\nx LOG:  execute fetch from a/b: SELECT 1",
            "SELECT\n1\0",
            "SELECT\n1",
        ] {
            if log == "SELECT\n1" {
                assert_eq!(examples(log), [(1, "$1".to_owned()), (1, "select".to_owned())]);
            } else {
                assert_eq!(examples(log), wanted, "{log:?}");
            }
        }
        assert_eq!(examples("SELECT 1\0SELECT\n2\0SELECT a\0").len(), 2);
        assert_eq!(examples("SELECT 1\0SELECT b").len(), 2);
    }

    #[test]
    fn what_was_learnt_is_a_registry_that_a_policy_takes() {
        let (registry, _) =
            learnt("SELECT \"Weird\" FROM t WHERE a IN (1, 2)\nDELETE FROM t WHERE a = E'\\''\n");
        let keys = "name = 'p'\nstatements = ['SELECT']\nmode = 'registered'\nregistered_statements = ['r']";
        let policy = guard::Policy::parse_with(keys, &mut |_| Ok(registry.clone())).unwrap();
        let guard = guard::Guard::new(guard::Settings {
            policies: vec![policy],
            ..guard::Settings::default()
        });
        let judged = |text: &str| guard.judge(&guard.policy("p").unwrap(), text.as_bytes()).is_ok();
        assert!(judged("select \"Weird\" from T where a in (5)"));
        assert!(!judged("select weird from t where a in (5)"));
    }
}
