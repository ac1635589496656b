//! As much of SQL as the scripted server understands: enough for what Portcullis sends of its own, and for what tests
//! and traces ask.

use std::collections::BTreeMap;

use super::settings::Settings;

/// Why a statement fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) sqlstate: &'static str,
    pub(crate) message: String,
    /// Where in the text, counted from 1.
    pub(crate) position: Option<usize>,
}

impl Trouble {
    pub(crate) fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self {
            sqlstate,
            message: message.into(),
            position: None,
        }
    }

    /// Whether the grammar itself is violated.
    pub(crate) fn is_syntax(&self) -> bool {
        self.sqlstate == "42601"
    }

    fn at(self, position: usize) -> Self {
        Self {
            position: Some(position + 1),
            ..self
        }
    }
}

/// A statement as it has been read.
#[derive(Clone, Debug)]
pub(crate) enum Statement {
    Empty,
    Begin,
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(String),
    RollbackTo(String),
    Release(String),
    Set {
        name: String,
        value: Option<String>,
        local: bool,
    },
    ResetAll,
    Show(String),
    Discard(String),
    Deallocate(Option<String>),
    Select(Select),
    /// INSERT, UPDATE, DELETE: the tag it ends with, and the number that is written.
    Write(&'static str, Option<Number>),
    CopyIn {
        columns: usize,
    },
    CopyOut(Select),
}

impl Statement {
    /// Whether it may run in a failed block (`IsTransactionExitStmt`, postgres.c).
    pub(crate) fn ends_transaction(&self) -> bool {
        matches!(
            self,
            Self::Commit { .. } | Self::Rollback { .. } | Self::RollbackTo(_)
        )
    }

    /// The columns of its rows, if it has any.
    pub(crate) fn columns(&self) -> Option<Vec<(String, u32)>> {
        match self {
            Self::Select(select) => Some(select.columns()),
            Self::Show(name) => Some(vec![(name.clone(), TEXT)]),
            _ => None,
        }
    }

    /// Whether it reads or writes data: then it has to run as somebody.
    pub(crate) fn needs_identity(&self) -> bool {
        match self {
            Self::Select(select) | Self::CopyOut(select) => !select.is_about_settings(),
            Self::Write(..) | Self::CopyIn { .. } => true,
            _ => false,
        }
    }
}

pub(crate) const TEXT: u32 = 25;
pub(crate) const INT4: u32 = 23;

#[derive(Clone, Debug)]
pub(crate) struct Select {
    items: Vec<(Expr, String)>,
    series: Option<Series>,
    /// Rows of a table: `todos` has two of its owner.
    table: Option<String>,
}

/// The number of a row that is written.
#[derive(Clone, Debug)]
pub(crate) enum Number {
    Given(String),
    Param(usize),
}

/// `generate_series(from, to)`, and what its values are called.
#[derive(Clone, Debug)]
struct Series {
    from: Expr,
    to: Expr,
    name: String,
}

#[derive(Clone, Debug)]
enum Expr {
    Text(String),
    Int(i64),
    Null,
    Param(usize),
    Cast(Box<Expr>, u32),
    Binary(char, Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
    Column(String),
}

/// Values of parameters, and of a row's columns.
struct Row<'a> {
    params: &'a [Option<String>],
    columns: &'a [(&'a str, String)],
    settings: &'a mut Settings,
}

impl Select {
    fn columns(&self) -> Vec<(String, u32)> {
        let typed = |(expr, name): &(Expr, String)| (name.clone(), expr.oid());
        self.items.iter().map(typed).collect()
    }

    fn is_about_settings(&self) -> bool {
        let is_setting = |name: &str| matches!(name, "set_config" | "current_setting");
        let about = self
            .items
            .iter()
            .all(|(expr, _)| matches!(expr, Expr::Call(name, _) if is_setting(name)));
        about && self.table.is_none()
    }

    /// What constants come to is worked out when a statement is planned.
    pub(crate) fn plan(&self, params: &[Option<String>], settings: &mut Settings) -> Result<(), Trouble> {
        for (expr, _) in self.items.iter().filter(|(expr, _)| expr.is_constant()) {
            let columns = &[];
            expr.eval(&mut Row {
                params,
                columns,
                settings,
            })?;
        }
        Ok(())
    }

    /// All rows; the last may be the error that ends them.
    pub(crate) fn run(
        &self,
        params: &[Option<String>],
        settings: &mut Settings,
    ) -> Vec<Result<Vec<Option<String>>, Trouble>> {
        let sources = match self.sources(params, settings) {
            Ok(sources) => sources,
            Err(trouble) => return vec![Err(trouble)],
        };
        let mut rows = Vec::new();
        for columns in sources {
            let columns: Vec<(&str, String)> = columns
                .iter()
                .map(|(name, value)| (name.as_str(), value.clone()))
                .collect();
            let mut row = Row {
                params,
                columns: &columns,
                settings,
            };
            let values: Result<Vec<_>, _> = self.items.iter().map(|(expr, _)| expr.eval(&mut row)).collect();
            let failed = values.is_err();
            rows.push(values);
            if failed {
                break;
            }
        }
        rows
    }

    fn sources(
        &self,
        params: &[Option<String>],
        settings: &mut Settings,
    ) -> Result<Vec<Vec<(String, String)>>, Trouble> {
        if self.table.as_deref().is_some_and(|table| table != "todos") {
            return Ok(vec![Vec::new()]);
        }
        if self.table.is_some() {
            let user = settings.get("app.user_id");
            let rows = ["one", "two"].map(|which| vec![("title".to_owned(), format!("{user} {which}"))]);
            return Ok(rows.into());
        }
        let Some(series) = &self.series else {
            return Ok(vec![Vec::new()]);
        };
        let mut bound = |expr: &Expr| {
            let value = expr.eval(&mut Row {
                params,
                columns: &[],
                settings,
            })?;
            integer(&value.unwrap_or_default())
        };
        let (from, to) = (bound(&series.from)?, bound(&series.to)?);
        Ok((from..=to)
            .map(|n| vec![(series.name.clone(), n.to_string())])
            .collect())
    }
}

/// `int4in`.
fn integer(text: &str) -> Result<i64, Trouble> {
    let wrong = || {
        Trouble::new(
            "22P02",
            format!("invalid input syntax for type integer: \"{text}\""),
        )
    };
    text.trim().parse().map_err(|_| wrong())
}

impl Expr {
    fn oid(&self) -> u32 {
        match self {
            Self::Int(_) | Self::Column(_) => INT4,
            Self::Binary('|', ..) => TEXT,
            Self::Binary(..) => INT4,
            Self::Cast(_, oid) => *oid,
            Self::Text(_) | Self::Null | Self::Param(_) | Self::Call(..) => TEXT,
        }
    }

    fn is_constant(&self) -> bool {
        match self {
            Self::Text(_) | Self::Int(_) | Self::Null | Self::Param(_) => true,
            Self::Cast(expr, _) => expr.is_constant(),
            Self::Binary(_, left, right) => left.is_constant() && right.is_constant(),
            Self::Call(..) | Self::Column(_) => false,
        }
    }

    fn eval(&self, row: &mut Row<'_>) -> Result<Option<String>, Trouble> {
        Ok(match self {
            Self::Text(text) => Some(text.clone()),
            Self::Int(number) => Some(number.to_string()),
            Self::Null => None,
            Self::Param(number) => row.params.get(number - 1).cloned().flatten(),
            Self::Cast(expr, oid) => {
                let value = expr.eval(row)?;
                match value {
                    Some(value) if *oid == INT4 => Some(integer(&value)?.to_string()),
                    value => value,
                }
            }
            Self::Column(name) => {
                let column = row.columns.iter().find(|(known, _)| known == name);
                column.map(|(_, value)| value.clone())
            }
            Self::Binary(op, left, right) => {
                let (Some(left), Some(right)) = (left.eval(row)?, right.eval(row)?) else {
                    return Ok(None);
                };
                Some(binary(*op, &left, &right)?)
            }
            Self::Call(name, args) => {
                let args: Result<Vec<_>, _> = args.iter().map(|arg| arg.eval(row)).collect();
                call(name, &args?, row.settings)?
            }
        })
    }
}

fn binary(op: char, left: &str, right: &str) -> Result<String, Trouble> {
    if op == '|' {
        return Ok(format!("{left}{right}"));
    }
    let (left, right) = (integer(left)?, integer(right)?);
    let result = match op {
        '+' => left.checked_add(right),
        '-' => left.checked_sub(right),
        '*' => left.checked_mul(right),
        _ if right == 0 => return Err(Trouble::new("22012", "division by zero")),
        _ => left.checked_div(right),
    };
    let result = result.filter(|result| i32::try_from(*result).is_ok());
    result
        .map(|result| result.to_string())
        .ok_or_else(|| Trouble::new("22003", "integer out of range"))
}

fn call(name: &str, args: &[Option<String>], settings: &mut Settings) -> Result<Option<String>, Trouble> {
    let arg = |index: usize| args.get(index).cloned().flatten().unwrap_or_default();
    Ok(match name {
        "who" => Some(settings.who()),
        "current_setting" => Some(settings.get(&arg(0))),
        "set_config" => {
            let is_local = arg(2) == "true";
            settings.set(&arg(0), Some(&arg(1)), is_local)?;
            Some(arg(1))
        }
        "count" => Some(settings.rows().len().to_string()),
        "string_agg" => {
            let row = |[number, text, owner]: &[String; 3]| {
                if text.is_empty() {
                    number.clone()
                } else {
                    format!("{text}{owner}")
                }
            };
            let rows: Vec<String> = settings.rows().iter().map(row).collect();
            (!rows.is_empty()).then(|| rows.join(","))
        }
        // What is over by now: the server has slept before.
        "pg_sleep" => Some(String::new()),
        "repeat" => Some(arg(0).repeat(arg(1).parse().unwrap_or(0))),
        _ => return Err(Trouble::new("42883", format!("function {name}() does not exist"))),
    })
}

/// What a text says, and the types of its parameters.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) statement: Statement,
    pub(crate) params: Vec<u32>,
    /// How long it takes, in milliseconds.
    pub(crate) sleeps: Option<u64>,
}

/// The statements of a text.
pub(crate) fn split(sql: &str) -> Vec<String> {
    let tokens = lex(sql);
    let parts = tokens.split(|(token, _)| *token == Token::Op(';'));
    let texts = parts.filter_map(|part| {
        let (_, start) = part.first()?;
        let after = tokens
            .iter()
            .find(|(token, at)| at > start && *token == Token::Op(';'));
        Some(sql[*start..after.map_or(sql.len(), |(_, at)| *at)].to_owned())
    });
    texts.collect()
}

/// Reads a text as Parse does, given the types that the client says.
pub(crate) fn read(sql: &str, given: &[u32]) -> Result<Read, Trouble> {
    let tokens = lex(sql);
    let end = tokens.iter().rposition(|(token, _)| *token != Token::Op(';'));
    let tokens = end.map_or(&[][..], |end| &tokens[..=end]);
    if tokens.iter().any(|(token, _)| *token == Token::Op(';')) && !tokens.starts_with(&[(Token::Op(';'), 0)])
    {
        return Err(Trouble::new(
            "42601",
            "cannot insert multiple commands into a prepared statement",
        ));
    }
    let mut parser = Parser {
        tokens,
        at: 0,
        text: sql,
        params: BTreeMap::new(),
        columns: Vec::new(),
        sleeps: None,
    };
    for (index, oid) in given.iter().enumerate().filter(|(_, oid)| **oid != 0) {
        parser.params.insert(index + 1, Some(*oid));
    }
    let statement = parser.statement()?;
    if parser.at < tokens.len() {
        return Err(parser.syntax_error());
    }
    let most = parser.params.keys().max().copied().unwrap_or(0);
    let params = (1..=most)
        .map(|number| parser.params.get(&number).copied().flatten().unwrap_or(TEXT))
        .collect();
    Ok(Read {
        statement,
        params,
        sleeps: parser.sleeps,
    })
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Number(String),
    Param(usize),
    Cast,
    Concat,
    Op(char),
}

fn lex(sql: &str) -> Vec<(Token, usize)> {
    let bytes = sql.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    let run = |from: usize, is: fn(u8) -> bool| from + bytes[from..].iter().take_while(|b| is(**b)).count();
    while at < bytes.len() {
        let start = at;
        let token = match bytes[at] {
            b' ' | b'\n' | b'\t' | b'\r' => {
                at += 1;
                continue;
            }
            b'-' if bytes[at..].starts_with(b"--") => {
                at = run(at, |b| b != b'\n');
                continue;
            }
            b'\'' | b'"' => {
                let quote = bytes[at];
                let mut text = String::new();
                at += 1;
                while at < bytes.len() {
                    let end = at + bytes[at..].iter().take_while(|b| **b != quote).count();
                    text.push_str(&sql[at..end]);
                    at = end + 1;
                    if bytes.get(at) != Some(&quote) {
                        break;
                    }
                    text.push(char::from(quote));
                    at += 1;
                }
                if quote == b'\'' {
                    Token::Text(text)
                } else {
                    Token::Word(text)
                }
            }
            b'$' => {
                at = run(at + 1, |b| b.is_ascii_digit());
                Token::Param(sql[start + 1..at].parse().unwrap_or(0))
            }
            b'0'..=b'9' => {
                at = run(at, |b| b.is_ascii_digit());
                Token::Number(sql[start..at].to_owned())
            }
            b if b.is_ascii_alphabetic() || b == b'_' || b >= 0x80 => {
                at = run(at, |b| b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80);
                Token::Word(sql[start..at].to_ascii_lowercase())
            }
            b':' if bytes.get(at + 1) == Some(&b':') => {
                at += 2;
                Token::Cast
            }
            b'|' if bytes.get(at + 1) == Some(&b'|') => {
                at += 2;
                Token::Concat
            }
            other => {
                at += 1;
                Token::Op(char::from(other))
            }
        };
        tokens.push((token, start));
    }
    tokens
}

struct Parser<'a> {
    tokens: &'a [(Token, usize)],
    at: usize,
    text: &'a str,
    /// Types that are known.
    params: BTreeMap<usize, Option<u32>>,
    /// Columns that may be named.
    columns: Vec<String>,
    sleeps: Option<u64>,
}

/// Tables that there are, and how many columns a COPY to them has at least.
const TABLES: [&str; 3] = ["scratch", "scratch_in", "todos"];

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    fn takes(&mut self, token: &Token) -> bool {
        let is = self.peek() == Some(token);
        self.at += usize::from(is);
        is
    }

    fn takes_word(&mut self, word: &str) -> bool {
        self.takes(&Token::Word(word.to_owned()))
    }

    fn takes_op(&mut self, op: char) -> bool {
        self.takes(&Token::Op(op))
    }

    fn expect_op(&mut self, op: char) -> Result<(), Trouble> {
        if self.takes_op(op) {
            Ok(())
        } else {
            Err(self.syntax_error())
        }
    }

    fn syntax_error(&self) -> Trouble {
        match self.tokens.get(self.at) {
            None => Trouble::new("42601", "syntax error at end of input").at(self.text.len()),
            Some((_, start)) => {
                let end = self
                    .tokens
                    .get(self.at + 1)
                    .map_or(self.text.len(), |(_, next)| *next);
                let near = self.text[*start..end].trim_end();
                Trouble::new("42601", format!("syntax error at or near \"{near}\"")).at(*start)
            }
        }
    }

    fn word(&mut self) -> Result<String, Trouble> {
        match self.peek() {
            Some(Token::Word(word)) => {
                let word = word.clone();
                self.at += 1;
                Ok(word)
            }
            _ => Err(self.syntax_error()),
        }
    }

    fn statement(&mut self) -> Result<Statement, Trouble> {
        let Some(first) = self.peek().cloned() else {
            return Ok(Statement::Empty);
        };
        let Token::Word(first) = first else {
            return Err(self.syntax_error());
        };
        self.at += 1;
        Ok(match first.as_str() {
            "begin" | "start" => {
                self.at = self.tokens.len();
                Statement::Begin
            }
            "commit" | "end" => Statement::Commit { chain: self.chain() },
            "rollback" if self.takes_word("to") => {
                self.takes_word("savepoint");
                Statement::RollbackTo(self.word()?)
            }
            "rollback" | "abort" => Statement::Rollback { chain: self.chain() },
            "savepoint" => Statement::Savepoint(self.word()?),
            "release" => {
                self.takes_word("savepoint");
                Statement::Release(self.word()?)
            }
            "set" => self.set()?,
            "reset" if self.takes_word("all") => Statement::ResetAll,
            "reset" => Statement::Set {
                name: self.name()?,
                value: None,
                local: false,
            },
            "show" => Statement::Show(self.name()?),
            "discard" => Statement::Discard(self.word()?),
            "deallocate" => {
                self.takes_word("prepare");
                let name = self.word()?;
                Statement::Deallocate((name != "all").then_some(name))
            }
            "select" => Statement::Select(self.select()?),
            "values" => Statement::Select(self.values()?),
            "insert" => self.write("INSERT 0 1")?,
            "update" => self.write("UPDATE 1")?,
            "delete" => self.write("DELETE 1")?,
            "copy" => self.copy()?,
            _ => {
                self.at -= 1;
                return Err(self.syntax_error());
            }
        })
    }

    fn chain(&mut self) -> bool {
        let chain = self.takes_word("and") && !self.takes_word("no");
        if chain || self.takes_word("chain") {
            self.takes_word("chain");
        }
        chain
    }

    /// A setting's name, which may have a dot in it.
    fn name(&mut self) -> Result<String, Trouble> {
        let mut name = self.word()?;
        while self.takes_op('.') {
            name = format!("{name}.{}", self.word()?);
        }
        Ok(name)
    }

    fn set(&mut self) -> Result<Statement, Trouble> {
        let local = self.takes_word("local");
        self.takes_word("session");
        if self.takes_word("transaction") {
            self.at = self.tokens.len();
            return Ok(Statement::Set {
                name: "transaction".into(),
                value: None,
                local: true,
            });
        }
        if self.takes_word("role") {
            let role = self.word()?;
            return Ok(Statement::Set {
                name: "role".into(),
                value: Some(role),
                local,
            });
        }
        let name = self.name()?;
        if !(self.takes_op('=') || self.takes_word("to")) {
            return Err(self.syntax_error());
        }
        let value = match self.peek().cloned() {
            Some(Token::Word(word)) => (word != "default").then_some(word),
            Some(Token::Text(text) | Token::Number(text)) => Some(text),
            _ => return Err(self.syntax_error()),
        };
        self.at += 1;
        Ok(Statement::Set { name, value, local })
    }

    fn table(&mut self) -> Result<String, Trouble> {
        let at = self.tokens.get(self.at).map_or(0, |(_, at)| *at);
        let name = self.name()?;
        if TABLES.contains(&name.as_str()) {
            return Ok(name);
        }
        Err(Trouble::new("42P01", format!("relation \"{name}\" does not exist")).at(at))
    }

    fn write(&mut self, tag: &'static str) -> Result<Statement, Trouble> {
        let _ = self.takes_word("into") || self.takes_word("from");
        self.table()?;
        // Of the rest, the last number is the one that is written.
        let mut number = None;
        for (token, _) in &self.tokens[self.at..] {
            match token {
                Token::Param(param) => {
                    self.params.entry(*param).or_insert(Some(INT4));
                    number = Some(Number::Param(*param));
                }
                Token::Number(given) => number = Some(Number::Given(given.clone())),
                _ => {}
            }
        }
        self.at = self.tokens.len();
        Ok(Statement::Write(tag, number))
    }

    fn copy(&mut self) -> Result<Statement, Trouble> {
        if self.takes_op('(') {
            let select = match self.word()?.as_str() {
                "values" => self.values()?,
                _ => self.select()?,
            };
            self.expect_op(')')?;
            self.at = self.tokens.len();
            return Ok(Statement::CopyOut(select));
        }
        self.table()?;
        let mut columns = 0;
        if self.takes_op('(') {
            while !self.takes_op(')') {
                self.word()?;
                self.takes_op(',');
                columns += 1;
            }
        }
        if !(self.takes_word("from") && self.takes_word("stdin")) {
            return Err(self.syntax_error());
        }
        self.at = self.tokens.len();
        Ok(Statement::CopyIn { columns })
    }

    fn values(&mut self) -> Result<Select, Trouble> {
        self.expect_op('(')?;
        let expr = self.expr()?;
        self.expect_op(')')?;
        Ok(Select {
            items: vec![(expr, "column1".into())],
            series: None,
            table: None,
        })
    }

    fn select(&mut self) -> Result<Select, Trouble> {
        let start = self.at;
        let (mut series, mut table) = (None, None);
        // What stands behind FROM says what may be named ahead of it.
        let from = self.tokens[start..]
            .iter()
            .position(|(token, _)| *token == Token::Word("from".into()));
        let close = self.tokens[start..]
            .iter()
            .rposition(|(token, _)| *token == Token::Op(')'));
        if let Some(from) = from.map(|from| start + from) {
            self.at = from + 1;
            if self.takes_word("generate_series") {
                series = Some(self.series()?);
            } else {
                table = Some(self.table()?);
                self.columns.push("title".into());
                self.columns.push("*".into());
            }
            // The parenthesis is that of a COPY.
            let is_nested = matches!(self.tokens.first(), Some((Token::Word(word), _)) if word == "copy");
            let end = if is_nested {
                close.map(|close| start + close)
            } else {
                None
            };
            let end = end.unwrap_or(self.tokens.len());
            let after = self.tokens;
            self.tokens = &after[..from];
            self.at = start;
            let items = self.items(&mut series)?;
            if self.at < from {
                return Err(self.syntax_error());
            }
            self.tokens = after;
            self.at = end;
            return Ok(Select { items, series, table });
        }
        let items = self.items(&mut series)?;
        Ok(Select { items, series, table })
    }

    fn series(&mut self) -> Result<Series, Trouble> {
        self.expect_op('(')?;
        let from = self.expr()?;
        self.expect_op(',')?;
        let to = self.expr()?;
        self.expect_op(')')?;
        self.takes_word("as");
        let name = match self.peek() {
            Some(Token::Word(_)) => self.word()?,
            _ => "generate_series".into(),
        };
        self.columns.push(name.clone());
        Ok(Series { from, to, name })
    }

    fn items(&mut self, series: &mut Option<Series>) -> Result<Vec<(Expr, String)>, Trouble> {
        let mut items = Vec::new();
        while self.at < self.tokens.len() && self.peek() != Some(&Token::Op(')')) {
            if self.takes_word("generate_series") {
                let found = self.series()?;
                items.push((Expr::Column(found.name.clone()), found.name.clone()));
                *series = Some(found);
            } else {
                let expr = self.expr()?;
                let name = if self.takes_word("as") {
                    self.word()?
                } else {
                    name_of(&expr)
                };
                items.push((expr, name));
            }
            if !self.takes_op(',') {
                break;
            }
        }
        Ok(items)
    }

    fn expr(&mut self) -> Result<Expr, Trouble> {
        let mut left = self.operand()?;
        loop {
            let op = match self.peek() {
                Some(Token::Op(op @ ('+' | '-' | '*' | '/'))) => *op,
                Some(Token::Concat) => '|',
                _ => return Ok(left),
            };
            self.at += 1;
            let right = self.operand()?;
            left = Expr::Binary(op, Box::new(left), Box::new(right));
        }
    }

    fn operand(&mut self) -> Result<Expr, Trouble> {
        let at = self.tokens.get(self.at).map_or(0, |(_, at)| *at);
        let mut expr = match self.peek().cloned() {
            Some(Token::Text(text)) => Expr::Text(text),
            Some(Token::Number(number)) => Expr::Int(number.parse().unwrap_or(0)),
            Some(Token::Param(number)) if number > 0 => {
                self.params.entry(number).or_insert(None);
                Expr::Param(number)
            }
            Some(Token::Op('(')) => {
                self.at += 1;
                let expr = self.expr()?;
                if self.peek() != Some(&Token::Op(')')) {
                    return Err(self.syntax_error());
                }
                expr
            }
            Some(Token::Word(word)) => self.named(word, at)?,
            _ => return Err(self.syntax_error()),
        };
        self.at += 1;
        while self.takes(&Token::Cast) {
            let oid = match self.word()?.as_str() {
                "int" | "int4" | "integer" => INT4,
                _ => TEXT,
            };
            if let Expr::Param(number) = expr {
                self.params
                    .entry(number)
                    .and_modify(|known| *known = known.or(Some(oid)));
            }
            expr = Expr::Cast(Box::new(expr), oid);
        }
        Ok(expr)
    }

    /// A word that is an operand; leaves its last token to be taken.
    fn named(&mut self, word: String, at: usize) -> Result<Expr, Trouble> {
        match word.as_str() {
            "null" => return Ok(Expr::Null),
            "true" | "false" => return Ok(Expr::Text(word)),
            _ => {}
        }
        self.at += 1;
        let mut name = word;
        while self.takes_op('.') {
            name = self.word()?;
        }
        if !self.takes_op('(') {
            self.at -= 1;
            if self.columns.contains(&name) {
                return Ok(Expr::Column(name));
            }
            return Err(Trouble::new("42703", format!("column \"{name}\" does not exist")).at(at));
        }
        let mut args = Vec::new();
        if matches!(name.as_str(), "count" | "string_agg") {
            // What is counted is the rows of a table.
            let mut depth = 0;
            while let Some(token) = self.peek() {
                match token {
                    Token::Op('(') => depth += 1,
                    Token::Op(')') if depth == 0 => break,
                    Token::Op(')') => depth -= 1,
                    _ => {}
                }
                self.at += 1;
            }
        }
        while self.peek() != Some(&Token::Op(')')) {
            args.push(self.expr()?);
            if !self.takes_op(',') && self.peek() != Some(&Token::Op(')')) {
                return Err(self.syntax_error());
            }
        }
        if name == "pg_sleep"
            && let Some(Expr::Int(seconds)) = args.first()
        {
            self.sleeps = Some(1000 * seconds.unsigned_abs());
        }
        Ok(Expr::Call(name, args))
    }
}

fn name_of(expr: &Expr) -> String {
    match expr {
        Expr::Call(name, _) | Expr::Column(name) => name.clone(),
        Expr::Cast(inner, oid) => match &**inner {
            Expr::Call(name, _) | Expr::Column(name) => name.clone(),
            _ if *oid == INT4 => "int4".into(),
            _ => "text".into(),
        },
        _ => "?column?".into(),
    }
}
