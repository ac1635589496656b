//! Mutations that keep a statement a statement: random bytes hardly ever make one that a server runs.

use std::cell::RefCell;

use portcullis::guard::{Limits, SeenToken, tokens};

/// Operands to put in the place of others: what should be refused wherever it stands, and what is harmless.
const OPERANDS: &[&str] = &[
    "set_config('role', 'member', true)",
    "set_config('TimeZone', 'UTC', false)",
    "pg_catalog.set_config('app.tenant', 'globex', true)",
    "\"set_config\"('role', 'member', false)",
    "U&\"set\\005fconfig\"('role', 'member', true)",
    "(4242::bigint).pg_advisory_lock",
    "pg_advisory_lock(4242)",
    "pg_try_advisory_xact_lock(1)",
    "TREAT(4242::bigint AS pg_advisory_lock)",
    "query_to_xml('CREATE TABLE a ()', true, true, '')",
    "ts_stat('SELECT ''a''::tsvector')",
    "run_text('SET LOCAL ROLE member')",
    "('SET LOCAL ROLE member'::text).run_text",
    "lo_create(0)",
    "lo_get(4242)",
    "setval('ledger', 7)",
    "nextval('ledger')",
    "pg_notify('wire', 'x')",
    "current_setting('app.tenant')",
    "pg_export_snapshot()",
    "random()",
    "who()",
    "(SELECT count(*) FROM todos)",
    "(SELECT title FROM todos LIMIT 1)",
    "ARRAY[1, 2]",
    "ROW(1, 'a')",
    "'a'::text",
    "1::bigint",
    "NULL",
    "title",
    "id",
    "todos",
    "scratch",
    "pg_settings",
    "generate_series(1, 2)",
    "unnest(ARRAY[4242::bigint])",
    "lower('A')",
    "now()",
    "g.pg_advisory_lock",
    "todos.lo_get",
    "$1",
    "*",
];

/// What a whole query can stand in, `@` for itself.
const FRAMES: &[&str] = &[
    "SELECT * FROM (@) AS w",
    "WITH w AS (@) SELECT * FROM w",
    "WITH w AS MATERIALIZED (@) SELECT 1 FROM w, todos",
    "COPY (@) TO STDOUT",
    "EXPLAIN @",
    "DECLARE c CURSOR FOR @",
    "SELECT EXISTS (@)",
    "SELECT ARRAY(@)",
    "@ UNION ALL @",
    "INSERT INTO scratch (run, n, body) @",
    "SELECT g.* FROM generate_series(1, 2) AS g, LATERAL (@) AS w",
    "@ LIMIT 1",
    "@ ORDER BY 1",
    "@ RETURNING *",
    "@ FOR UPDATE",
    "SELECT (@)",
    "(@)",
];

/// Most statements and operands that are kept.
const KEPT: usize = 2_000;

/// Statements that a server has run, and their operands.
#[derive(Default)]
struct Seen {
    statements: Vec<String>,
    operands: Vec<String>,
}

thread_local! {
    static SEEN: RefCell<Seen> = RefCell::default();
}

/// A statement has run: worth going on from.
pub fn remember(sql: &str) {
    SEEN.with_borrow_mut(|seen| {
        let at = seen.statements.len() + sql.len();
        keep(&mut seen.statements, sql, at);
        for (at, (start, end)) in operands(sql).into_iter().enumerate() {
            keep(&mut seen.operands, &sql[start..end], at + sql.len());
        }
    });
}

/// Beyond the limit a new one takes some other's place.
fn keep(list: &mut Vec<String>, text: &str, at: usize) {
    if text.len() > 300 || list.iter().any(|kept| kept == text) {
        return;
    }
    if list.len() < KEPT {
        list.push(text.to_owned());
    } else if let Some(place) = list.get_mut(at.wrapping_mul(7_919) % KEPT) {
        text.clone_into(place);
    }
}

/// Another statement, made from this one or from one that has run; `None` if there is nothing to be made.
pub fn mutated(text: &[u8], seed: u32) -> Option<String> {
    let mut random = Random(u64::from(seed) << 1 | 1);
    SEEN.with_borrow(|seen| {
        let mut sql = match random.pick(&seen.statements) {
            Some(kept) if random.below(3) > 0 => kept.clone(),
            _ => String::from_utf8(text.to_vec()).ok()?,
        };
        for _ in 0..=random.below(3) {
            let places = operands(&sql);
            let (start, end) = *random.pick(&places)?;
            let fresh = match random.below(4) {
                0 => (*random.pick(OPERANDS)?).to_owned(),
                1 => random.pick(&seen.operands).cloned()?,
                2 => {
                    let (start, end) = *random.pick(&places)?;
                    sql.get(start..end)?.to_owned()
                }
                _ => format!("{}, {}", sql.get(start..end)?, random.pick(OPERANDS)?),
            };
            sql.replace_range(start..end, &fresh);
        }
        if random.below(4) == 0 {
            let trimmed = sql.trim_end_matches([';', ' ', '\n']);
            sql = random.pick(FRAMES)?.replace('@', trimmed);
        }
        Some(sql)
    })
}

/// Where operands stand: names, calls, literals and groups in parentheses. Corpus and frames write keywords in
/// capitals, which are left alone.
fn operands(sql: &str) -> Vec<(usize, usize)> {
    let Ok(tokens) = tokens(sql.as_bytes(), &Limits::default()) else {
        return Vec::new();
    };
    let is = |at: usize, text: &str| {
        tokens
            .get(at)
            .is_some_and(|t: &SeenToken| &sql[t.start..t.end] == text)
    };
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let source = &sql[token.start..token.end];
        let is_keyword =
            token.kind == "word" && source.len() > 1 && !source.contains(|c: char| c.is_lowercase());
        let (first, mut last) = match token.kind {
            "operator" => continue,
            "character" if source != "(" => continue,
            _ if is_keyword && !is(at + 1, "(") => continue,
            "character" => (at, at),
            _ => (at, if is(at + 1, "(") { at + 1 } else { at }),
        };
        if is(last, "(") {
            let mut depth = 0_usize;
            let close = (last..tokens.len()).find(|at| {
                depth = depth + usize::from(is(*at, "(")) - usize::from(is(*at, ")") && depth > 0);
                depth == 0
            });
            let Some(close) = close else { continue };
            last = close;
        }
        if let (Some(first), Some(last)) = (tokens.get(first), tokens.get(last)) {
            found.push((first.start, last.end));
        }
    }
    found
}

/// Marsaglia's xorshift: enough to choose by.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit.max(1)
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        list.get(self.below(list.len()))
    }
}
