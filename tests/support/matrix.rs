//! Every message in every state, and what Postgres answers: `tests/sessions/matrix.txt` has it as it was recorded. The
//! proxy is held against it before real servers (`tests/sessions/matrix.rs`) and in process (`session::tests::matrix`).

use super::messages::message;
use super::trace::{Peer, encode_line, render, spell, tokens};

/// How a session comes into a state.
const STATES: [(&str, &[&str]); 12] = [
    ("idle", &[]),
    ("in a block", &["Query BEGIN"]),
    ("in a failed block", &["Query BEGIN", "Query \"SELECT 1/0\""]),
    (
        "behind a portal without Sync",
        &["Parse s \"SELECT $1::text\"", "Bind p s a"],
    ),
    (
        "behind a statement that has run, without Sync",
        &[
            "Parse s \"SELECT n FROM generate_series(1, 3) AS n\"",
            "Bind p s",
            "Execute p 1",
        ],
    ),
    (
        "in a block, behind a portal without Sync",
        &["Query BEGIN", "Parse s \"SELECT $1::text\"", "Bind p s a"],
    ),
    (
        "behind a setting without Sync",
        &["Parse s \"SET lock_timeout = '7s'\"", "Bind p s", "Execute p 0"],
    ),
    (
        "skipping to a Sync",
        &[
            "Parse s \"SELECT $1::text\"",
            "Bind p s a",
            "Parse t \"SELECT nonsense\"",
        ],
    ),
    (
        "in COPY FROM STDIN",
        &["Query \"COPY scratch_in (run, n, body) FROM STDIN\""],
    ),
    (
        "in COPY FROM STDIN of the extended protocol",
        &[
            "Parse s \"COPY scratch_in (run, n, body) FROM STDIN\"",
            "Bind p s",
            "Execute p 0",
        ],
    ),
    (
        "in COPY FROM STDIN within a block",
        &[
            "Query BEGIN",
            "Query \"COPY scratch_in (run, n, body) FROM STDIN\"",
        ],
    ),
    (
        "in COPY TO STDOUT",
        &["Query \"COPY (SELECT generate_series(1, 3)) TO STDOUT\""],
    ),
];

/// Every message that a client can send after its login; `p` and `y` are no messages at that point.
const MESSAGES: [&str; 29] = [
    "Query \"SELECT 2\"",
    "Query \"\"",
    "Query \"SELECT 2; SELECT 3\"",
    "Query COMMIT",
    "Query \"SELECT nonsense\"",
    "Query \"SHOW lock_timeout\"",
    "Parse s \"SELECT 3\"",
    "Parse u \"SELECT 3\"",
    "Parse \"\" \"SELECT nonsense\"",
    "Parse \"\" COMMIT",
    "Bind q s b",
    "Bind p s b",
    "Bind \"\" \"\"",
    "Bind q none",
    "Describe S s",
    "Describe S none",
    "Describe P p",
    "Describe P \"\"",
    "Execute p 0",
    "Execute p 1",
    "Execute none 0",
    "Close S s",
    "Close P p",
    "Flush",
    "Sync",
    "CopyData \"x\\t1\\tbody\\n\"",
    "CopyDone",
    "CopyFail why",
    "FunctionCall 4",
];

/// No messages, or the last one.
const ENDS: [u8; 3] = [b'p', b'y', b'X'];

/// Whatever went before: the session is as new, and says so.
const END: [&str; 6] = [
    "CopyFail late",
    "Sync",
    "Query ROLLBACK",
    "Query \"RESET ALL\"",
    "Query \"DEALLOCATE ALL\"",
    "Query \"SELECT 'the end'\"",
];

/// All that comes back up to the end.
pub(crate) fn answers(client: &mut impl Peer, state: &[&str], last: &[u8]) -> Vec<Vec<String>> {
    let mut bytes: Vec<u8> = state.iter().flat_map(|line| encode_line(line)).collect();
    bytes.extend_from_slice(last);
    for line in END {
        bytes.extend_from_slice(&encode_line(line));
    }
    client.send(&bytes);
    let mut seen = Vec::new();
    let mut ends = false;
    while let Ok(frame) = client.try_read() {
        seen.push(render(&frame));
        ends |= seen
            .last()
            .is_some_and(|tokens| tokens.get(1).is_some_and(|value| value == "the end"));
        if ends && frame.tag == b'Z' {
            return seen;
        }
    }
    seen.push(vec!["closed".to_owned()]);
    seen
}

pub(crate) fn closed(answers: &[Vec<String>]) -> bool {
    answers.last().is_some_and(|tokens| tokens[0] == "closed")
}

/// Why two answers need not be the same; `None` if they must.
pub(crate) fn may_differ(
    state: &str,
    message: &str,
    direct: &[Vec<String>],
    through: &[Vec<String>],
) -> Option<&'static str> {
    let says =
        |answers: &[Vec<String>], words: &str| answers.iter().flatten().any(|token| token.contains(words));
    let unexpected = "unexpected message type";
    if says(direct, "unexpected state STARTED") {
        return Some("PostgreSQL 18 takes ReadyForQuery for T there, and fails by itself");
    }
    if says(direct, "protocol synchronization was lost") {
        if message == "Close S s" {
            return Some("a statement's name is closed without the server");
        }
        let fails = says(through, unexpected) || closed(through);
        return fails.then_some("what does not belong into COPY data fails the COPY, not the session");
    }
    if message.starts_with("a message of type") {
        let both = closed(direct) && closed(through);
        return both.then_some("what came right before the end of a session may go unanswered");
    }
    match (state, message) {
        ("behind a setting without Sync", "Query COMMIT") => {
            Some("a SET has a block of ours, which COMMIT ends without a warning")
        }
        ("behind a setting without Sync", "Execute p 0" | "Execute p 1") => {
            Some("a portal of a SET may be executed twice")
        }
        _ => None,
    }
}

/// Which functions may be called by number is the guard's to say, in its own words.
pub(crate) fn comparable(message: &str, answers: &[Vec<String>]) -> Vec<Vec<String>> {
    let mut answers = answers.to_vec();
    for tokens in &mut answers {
        if message.starts_with("FunctionCall") && tokens[0] == "ErrorResponse" {
            tokens.truncate(2);
        }
    }
    answers
}

/// A state and a message.
pub(crate) struct Case {
    pub(crate) state: &'static str,
    pub(crate) lines: &'static [&'static str],
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let messages = MESSAGES.map(|line| (line.to_owned(), encode_line(line)));
    let ends = ENDS.map(|tag| {
        (
            format!("a message of type {:?}", char::from(tag)),
            message(tag, &[]),
        )
    });
    let named: Vec<(String, Vec<u8>)> = messages.into_iter().chain(ends).collect();
    let of_state = |(state, lines): &(&'static str, &'static [&'static str])| {
        let (state, lines) = (*state, *lines);
        let case = move |(name, bytes): &(String, Vec<u8>)| Case {
            state,
            lines,
            name: name.clone(),
            bytes: bytes.clone(),
        };
        named.iter().map(case).collect::<Vec<_>>()
    };
    STATES.iter().flat_map(of_state).collect()
}

/// What came back, message by message.
type Answers = Vec<Vec<String>>;

/// What Postgres answers in every case.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Book {
    entries: Vec<Entry>,
}

/// What one case is answered with.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    state: String,
    /// The message, and behind ` @` the version that alone answers so.
    name: String,
    answers: Answers,
}

/// Where the book is, from the repository's root.
pub(crate) const BOOK: &str = "tests/sessions/matrix.txt";

const PREFACE: &str = "\
# What PostgreSQL answers to every message in every state: a state behind `==`, a message behind `--`, then the answers,
# of which the first and the last may be those of all messages of that state (`first`, `last`). A message with ` @` is
# answered otherwise by that version. Written by `PORTCULLIS_TEST_RECORD=1 cargo test --test sessions -- matrix`.
";

impl Book {
    /// Reads it from the repository.
    pub(crate) fn load() -> Self {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(BOOK);
        Self::parse(&std::fs::read_to_string(path).expect("the book of answers"))
    }

    fn parse(text: &str) -> Self {
        let mut book = Self::default();
        let (mut state, mut first, mut last) = (String::new(), Answers::new(), Answers::new());
        let mut open: Option<Entry> = None;
        let mut close = |open: &mut Option<Entry>, last: &Answers| {
            if let Some(mut entry) = open.take() {
                entry.answers.extend(last.iter().cloned());
                book.entries.push(entry);
            }
        };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix("== ") {
                close(&mut open, &last);
                state = name.to_owned();
                (first, last) = Default::default();
            } else if let Some(answer) = line.strip_prefix("first ") {
                first.push(tokens(answer));
            } else if let Some(answer) = line.strip_prefix("last ") {
                last.push(tokens(answer));
            } else if let Some(name) = line.strip_prefix("-- ") {
                close(&mut open, &last);
                let (state, name) = (state.clone(), name.to_owned());
                open = Some(Entry {
                    state,
                    name,
                    answers: first.clone(),
                });
            } else if let Some(entry) = open.as_mut().filter(|_| !line.is_empty()) {
                entry.answers.push(tokens(line));
            }
        }
        close(&mut open, &last);
        book
    }

    /// As a file.
    pub(crate) fn render(&self) -> String {
        let mut text = PREFACE.to_owned();
        for entries in self.entries.chunk_by(|one, next| one.state == next.state) {
            text.push_str(&format!("\n== {}\n", entries[0].state));
            let shared = |count: usize, all: &dyn Fn(&Answers, usize) -> Option<Vec<String>>| {
                (0..count)
                    .take_while(|at| {
                        let one = all(&entries[0].answers, *at);
                        entries.iter().all(|entry| all(&entry.answers, *at) == one)
                    })
                    .count()
            };
            let shortest = entries.iter().map(|entry| entry.answers.len()).min().unwrap_or(0);
            let first = shared(shortest, &|answers, at| answers.get(at).cloned());
            let last = shared(shortest - first, &|answers, at| {
                answers.get(answers.len() - 1 - at).cloned()
            });
            let one = &entries[0].answers;
            for answer in &one[..first] {
                text.push_str(&format!("first {}\n", spell(answer)));
            }
            for answer in &one[one.len() - last..] {
                text.push_str(&format!("last {}\n", spell(answer)));
            }
            for entry in entries {
                text.push_str(&format!("-- {}\n", entry.name));
                for answer in &entry.answers[first..entry.answers.len() - last] {
                    text.push_str(&spell(answer));
                    text.push('\n');
                }
            }
        }
        text
    }

    /// Takes down what a version has answered. One that answers as another before it has no entry of its own.
    pub(crate) fn note(&mut self, case: &Case, version: &str, answers: &Answers) {
        let known = self.entries.iter().rposition(|entry| {
            let name = entry.name.split(" @").next().unwrap_or_default();
            entry.state == case.state && name == case.name
        });
        let name = match known {
            None => case.name.clone(),
            Some(_) if self.of(case, version) == Some(answers) => return,
            Some(_) => format!("{} @{version}", case.name),
        };
        let entry = Entry {
            state: case.state.to_owned(),
            name,
            answers: answers.clone(),
        };
        let at = known.map_or(self.entries.len(), |at| at + 1);
        self.entries.insert(at, entry);
    }

    /// What a version answers.
    pub(crate) fn of(&self, case: &Case, version: &str) -> Option<&Answers> {
        let own = format!("{} @{version}", case.name);
        let named = |name: &str| {
            let found = self
                .entries
                .iter()
                .find(|entry| entry.state == case.state && entry.name == name);
            found.map(|entry| &entry.answers)
        };
        named(&own).or_else(|| named(&case.name))
    }
}
