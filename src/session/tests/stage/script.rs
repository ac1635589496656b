//! What clients on stage do: bytes of a fuzzer, made into messages, pauses, cancels and departures.

use portcullis::wire::encode;

/// A client's next move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// It sends a message.
    Send(u8, Vec<u8>),
    /// It waits for so many milliseconds.
    Pause(u64),
    /// It asks for what it runs to be cancelled.
    Cancel,
    /// It is gone without a word.
    Vanish,
}

/// Everything that is done on a stage.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) pool_size: usize,
    pub(crate) keeps_connections: bool,
    /// Bytes that connections hold, to the server and to clients.
    pub(crate) capacities: [usize; 2],
    /// Bytes that servers and clients send in one piece; 0 for all at once.
    pub(crate) pieces: [usize; 2],
    pub(crate) whims: Vec<u8>,
    pub(crate) clients: Vec<Part>,
}

/// What one client does.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) acts: Vec<Act>,
    /// Whether Postgres itself would answer the same.
    pub(crate) is_plain: bool,
}

/// Bytes of a fuzzer; zeros once they are spent.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn next(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.next()) % all.len()]
    }
}

/// Moves of all clients together, at most.
const ACTS: usize = 200;

impl Script {
    /// Makes a script of any bytes.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut choices = Choices(bytes);
        let names = &["alice", "bob", "carol"][..choices.of(&[1, 2, 2, 3])];
        let mut script = Self {
            pool_size: choices.of(&[1, 1, 2]),
            keeps_connections: choices.of(&[false, false, false, true]),
            capacities: [
                choices.of(&[1 << 20, 8192, 300, 40]),
                choices.of(&[1 << 20, 8192, 300, 40]),
            ],
            pieces: [choices.of(&[0, 0, 1000, 17, 3]), choices.of(&[0, 0, 100, 7, 1])],
            whims: Vec::new(),
            clients: Vec::new(),
        };
        for _ in 0..choices.of(&[0, 0, 10, 40]) {
            script.whims.push(choices.next());
        }
        let part = |name: &&'static str| Part {
            name,
            acts: Vec::new(),
            is_plain: script.whims.is_empty(),
        };
        script.clients = names.iter().map(part).collect();
        for _ in 0..ACTS {
            if choices.0.is_empty() {
                break;
            }
            let who = usize::from(choices.next()) % names.len();
            if let Some(part) = script.clients.get_mut(who) {
                part.act(&mut choices);
            }
        }
        script
    }
}

/// What a text is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It can be prepared and run any way.
    Any,
    /// Only as a Query: several statements, or what is answered otherwise elsewhere.
    QueryOnly,
    /// Not as a Query: it has parameters.
    PrepareOnly,
    /// Portcullis refuses it.
    Refused,
}

/// `NAME` stands for the client's own.
const TEXTS: [(&str, Kind); 30] = [
    ("SELECT who()", Kind::Any),
    ("SELECT 'NAME', who()", Kind::Any),
    ("SELECT $1::text, who()", Kind::PrepareOnly),
    ("SELECT n, who() FROM generate_series(1, 5) AS n", Kind::Any),
    ("SELECT 1/0", Kind::Any),
    ("SELECT nonsense", Kind::Any),
    ("SELEC 1", Kind::Any),
    ("INSERT INTO scratch (run, n) VALUES ('NAME', 1)", Kind::Any),
    ("BEGIN", Kind::Any),
    ("COMMIT", Kind::Any),
    ("ROLLBACK", Kind::Any),
    ("SAVEPOINT a", Kind::Any),
    ("ROLLBACK TO a", Kind::Any),
    ("RELEASE a", Kind::Any),
    ("COMMIT AND CHAIN", Kind::Any),
    ("SHOW lock_timeout", Kind::Any),
    ("SELECT repeat('NAME', 1500)", Kind::Any),
    (
        "SELECT 1/(3 - n), who() FROM generate_series(1, 5) AS n",
        Kind::Any,
    ),
    ("", Kind::Any),
    ("SET lock_timeout = '7s'", Kind::QueryOnly),
    ("SET LOCAL lock_timeout = '5s'", Kind::QueryOnly),
    ("SET TimeZone = 'CET'", Kind::QueryOnly),
    ("RESET ALL", Kind::QueryOnly),
    ("SELECT 1; SELECT who()", Kind::QueryOnly),
    ("SELECT 1; BEGIN; SELECT who()", Kind::QueryOnly),
    ("SELECT who(); COMMIT; SELECT who()", Kind::QueryOnly),
    (
        "INSERT INTO scratch (run, n) VALUES ('NAME', 2); SELECT 1/0; SELECT who()",
        Kind::QueryOnly,
    ),
    (
        "COPY (SELECT n, who() FROM generate_series(1, 3) AS n) TO STDOUT",
        Kind::Any,
    ),
    ("SET ROLE service_role", Kind::Refused),
    ("SELECT 1; SET ROLE service_role; SELECT who()", Kind::Refused),
];

const NAMES: [&str; 4] = ["", "s", "t", "u"];

impl Part {
    fn send(&mut self, tag: u8, body: impl Into<Vec<u8>>) {
        self.acts.push(Act::Send(tag, body.into()));
    }

    fn text(&mut self, choices: &mut Choices<'_>, wanted: &[Kind]) -> String {
        // The first is good for all.
        let (text, kind) = loop {
            let (text, kind) = choices.of(&TEXTS);
            if wanted.contains(&kind) {
                break (text, kind);
            }
        };
        self.is_plain &= kind != Kind::Refused;
        text.replace("NAME", self.name)
    }

    fn act(&mut self, choices: &mut Choices<'_>) {
        match choices.next() {
            0..=49 => {
                let text = self.text(choices, &[Kind::Any, Kind::QueryOnly, Kind::Refused]);
                self.send(b'Q', cstring(&text));
            }
            50..=84 => {
                let text = self.text(choices, &[Kind::Any, Kind::PrepareOnly, Kind::Refused]);
                let name = choices.of(&NAMES);
                self.send(b'P', [cstring(name), cstring(&text), vec![0, 0]].concat());
            }
            85..=119 => {
                let (portal, name) = (choices.of(&NAMES), choices.of(&NAMES));
                let values: &[&str] = choices.of(&[&[], &["7"]]);
                let mut out = Vec::new();
                encode::bind_text(&mut out, portal, name, values);
                self.send(b'B', &out[5..]);
            }
            120..=134 => {
                let kind = choices.of(b"SP");
                let name = cstring(choices.of(&NAMES));
                self.send(b'D', [vec![kind], name].concat());
            }
            135..=169 => {
                let limit = choices.of(&[0_u32, 0, 1, 2]);
                let name = cstring(choices.of(&NAMES));
                self.send(b'E', [name, limit.to_be_bytes().to_vec()].concat());
            }
            170..=179 => {
                let kind = choices.of(b"SP");
                let name = cstring(choices.of(&NAMES));
                self.send(b'C', [vec![kind], name].concat());
            }
            180..=209 => self.send(b'S', []),
            210..=217 => self.send(b'H', []),
            218..=228 => self.copy(choices),
            229..=240 => self.acts.push(Act::Pause(u64::from(choices.next()) * 37)),
            241..=244 => self.sleep(),
            245..=248 => {
                self.is_plain = false;
                self.acts.push(Act::Cancel);
            }
            249..=250 => {
                self.is_plain = false;
                self.acts.push(Act::Vanish);
            }
            251..=255 => {
                // A prepared statement as drivers run it.
                let text = self.text(choices, &[Kind::Any]);
                self.send(b'P', [cstring(""), cstring(&text), vec![0, 0]].concat());
                let mut out = Vec::new();
                encode::bind_text::<&str>(&mut out, "", "", &[]);
                self.send(b'B', &out[5..]);
                self.send(b'D', &b"P\0"[..]);
                self.send(b'E', [0; 5]);
                self.send(b'S', []);
            }
        }
    }

    /// A statement that takes a while, and maybe a cancel in the middle of it.
    fn sleep(&mut self) {
        self.send(b'Q', cstring("SELECT pg_sleep(3)"));
        self.acts.push(Act::Pause(1000));
    }

    /// A COPY with its data. Where it does not come to that, the data is ignored.
    fn copy(&mut self, choices: &mut Choices<'_>) {
        let text = "COPY scratch_in (run, n, body) FROM STDIN";
        match choices.of(&[0, 1, 2]) {
            0 => self.send(b'Q', cstring(text)),
            1 => self.send(b'Q', cstring(&format!("SELECT 1; {text}; SELECT who()"))),
            _ => {
                self.send(b'P', [cstring("c"), cstring(text), vec![0, 0]].concat());
                let mut out = Vec::new();
                encode::bind_text::<&str>(&mut out, "c", "c", &[]);
                self.send(b'B', &out[5..]);
                self.send(b'E', [cstring("c"), vec![0; 4]].concat());
                if choices.of(&[false, true]) {
                    self.send(b'S', []);
                }
            }
        }
        for _ in 0..choices.of(&[1, 0, 3]) {
            let line = choices.of(&["x\t1\tbody\n", "x\t2\tbo", "dy\n", "x\tno number\tbody\n"]);
            self.send(b'd', line.as_bytes());
        }
        match choices.of(&[true, true, false]) {
            true => self.send(b'c', []),
            false => self.send(b'f', cstring("why not")),
        }
        if choices.of(&[true, false]) {
            self.send(b'S', []);
        }
    }
}

/// A text as messages have it.
pub(crate) fn cstring(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}
