//! One connection of the scripted server: the protocol of `PostgresMain` (postgres.c) without I/O. Messages in, bytes
//! out; what it has been made to run, and as whom, goes on record.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::record::Record;
use super::settings::{REPORTED, Settings};
use super::sql::{self, INT4, Number, Read, Select, Statement, Trouble};

/// What the server does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// It takes the next message.
    Listen,
    /// It works for so long, unless it is cancelled; then [`Backend::wake`].
    Work(Duration),
    /// It closes the connection.
    Close,
}

/// The transaction block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    None,
    Open,
    Failed,
}

#[derive(Debug)]
struct Portal {
    read: Arc<Read>,
    text: Arc<str>,
    params: Vec<Option<String>>,
    /// The rows that are left, once it runs.
    rows: Option<std::vec::IntoIter<Result<Vec<Option<String>>, Trouble>>>,
    /// Savepoints there were when it was made.
    depth: usize,
}

/// COPY FROM STDIN under way.
#[derive(Debug)]
struct CopyIn {
    columns: usize,
    data: Vec<u8>,
    /// What is left of the Query that it is part of.
    rest: Option<Vec<String>>,
}

/// What a pause interrupts.
#[derive(Debug)]
struct Working {
    portal: String,
    limit: u32,
}

pub(crate) struct Backend {
    record: Arc<Mutex<Record>>,
    settings: Settings,
    reported: HashMap<&'static str, String>,
    block: Block,
    statements: HashMap<String, (Arc<Read>, Arc<str>)>,
    portals: HashMap<String, Portal>,
    /// After an error of the extended protocol: messages are skipped up to Sync.
    skipping: bool,
    copy: Option<CopyIn>,
    working: Option<Working>,
    /// An error that the next Execute of somebody's statement ends with, unless it is their last.
    pub(crate) mischief: Option<Trouble>,
    out: Vec<u8>,
    /// How much of `out` may leave.
    flushed: usize,
}

impl Backend {
    /// A connection that has logged in.
    pub(crate) fn new(record: Arc<Mutex<Record>>) -> Self {
        let reported = REPORTED.iter().map(|(name, value)| (*name, (*value).to_owned()));
        Self {
            record,
            settings: Settings::default(),
            reported: reported.collect(),
            block: Block::None,
            statements: HashMap::new(),
            portals: HashMap::new(),
            skipping: false,
            copy: None,
            working: None,
            mischief: None,
            out: Vec::new(),
            flushed: 0,
        }
    }

    /// Somebody who needs no proxy: the login itself has the role and the identity.
    pub(crate) fn standing_as(record: Arc<Mutex<Record>>, identity: &[(String, String)]) -> Self {
        Self {
            settings: Settings::of_login(identity),
            ..Self::new(record)
        }
    }

    /// The bytes that may leave by now.
    pub(crate) fn take_sent(&mut self) -> Vec<u8> {
        let rest = self.out.split_off(std::mem::take(&mut self.flushed));
        std::mem::replace(&mut self.out, rest)
    }

    /// Everything may leave, as when a buffer is full.
    pub(crate) fn flush(&mut self) {
        self.flushed = self.out.len();
    }

    /// Says something unasked: a notice, a notification, last words.
    pub(crate) fn say(&mut self, tag: u8, body: &[u8]) {
        message(&mut self.out, tag, body);
        self.flush();
    }

    /// Takes one message.
    pub(crate) fn take(&mut self, tag: u8, body: &[u8]) -> Next {
        if self.copy.is_some() {
            return self.take_copy(tag, body);
        }
        if self.skipping && b"PBDECQHFdcf".contains(&tag) {
            return Next::Listen;
        }
        let mut fields = Fields(body);
        let done = match tag {
            b'P' => self.parse(&mut fields),
            b'B' => self.bind(&mut fields),
            b'D' => self.describe(&mut fields),
            b'E' => {
                let (portal, limit) = (fields.text(), fields.u32());
                return self.execute(portal, limit);
            }
            b'C' => {
                self.close(&mut fields);
                Ok(())
            }
            b'Q' => {
                let sql = fields.text();
                self.record.lock().queries.push(sql.clone());
                return self.query(&sql);
            }
            b'F' => {
                // No function can be called by its number.
                let oid = fields.u32();
                let missing = Trouble::new("42883", format!("function with OID {oid} does not exist"));
                let failed = self.check_failed(&Statement::Empty).err();
                self.fail(&failed.unwrap_or(missing), false);
                self.ready();
                Ok(())
            }
            b'H' => {
                self.flush();
                Ok(())
            }
            b'S' => {
                self.skipping = false;
                self.finish();
                self.ready();
                Ok(())
            }
            b'X' => return Next::Close,
            // What is left of a COPY that has failed.
            b'd' | b'c' | b'f' => Ok(()),
            other => {
                self.record
                    .lock()
                    .faults
                    .push(format!("a message of type {:?}", char::from(other)));
                self.last_words("08P01", &format!("invalid frontend message type {other}"));
                return Next::Close;
            }
        };
        if let Err(trouble) = done {
            self.fail(&trouble, true);
        }
        Next::Listen
    }

    /// Work is over, or has been cancelled.
    pub(crate) fn wake(&mut self, cancelled: bool) -> Next {
        let Some(working) = self.working.take() else {
            return Next::Listen;
        };
        if cancelled {
            self.fail(
                &Trouble::new("57014", "canceling statement due to user request"),
                true,
            );
            return Next::Listen;
        }
        self.run(&working.portal, working.limit)
    }

    // ---- the extended protocol ------------------------------------------------------------------------

    fn check_failed(&self, statement: &Statement) -> Result<(), Trouble> {
        if self.block == Block::Failed && !statement.ends_transaction() {
            let words = "current transaction is aborted, commands ignored until end of transaction block";
            return Err(Trouble::new("25P02", words));
        }
        Ok(())
    }

    fn parse(&mut self, fields: &mut Fields<'_>) -> Result<(), Trouble> {
        self.settings.begin();
        let (name, text) = (fields.text(), fields.text());
        let types: Vec<u32> = (0..fields.u16()).map(|_| fields.u32()).collect();
        if name.is_empty() {
            self.statements.remove("");
        }
        self.record.lock().parsed.push(text.clone());
        let read = match sql::read(&text, &types) {
            // A failed block comes ahead of what only the catalog tells.
            Err(trouble) if trouble.sqlstate != "42601" && self.block == Block::Failed => {
                self.check_failed(&Statement::Empty)?;
                return Err(trouble);
            }
            read => read?,
        };
        if !matches!(read.statement, Statement::Empty) {
            self.check_failed(&read.statement)?;
        }
        if !name.is_empty() && self.statements.contains_key(&name) {
            return Err(Trouble::new(
                "42P05",
                format!("prepared statement \"{name}\" already exists"),
            ));
        }
        self.statements.insert(name, (Arc::new(read), text.into()));
        message(&mut self.out, b'1', &[]);
        Ok(())
    }

    fn statement(&self, name: &str) -> Result<(Arc<Read>, Arc<str>), Trouble> {
        let missing = || match name {
            "" => Trouble::new("26000", "unnamed prepared statement does not exist"),
            _ => Trouble::new("26000", format!("prepared statement \"{name}\" does not exist")),
        };
        self.statements.get(name).cloned().ok_or_else(missing)
    }

    fn bind(&mut self, fields: &mut Fields<'_>) -> Result<(), Trouble> {
        self.settings.begin();
        let (portal, name) = (fields.text(), fields.text());
        let (read, text) = self.statement(&name)?;
        for _ in 0..fields.u16() {
            fields.u16();
        }
        let params: Vec<Option<String>> = (0..fields.u16()).map(|_| fields.value()).collect();
        if params.len() != read.params.len() {
            return Err(Trouble::new(
                "08P01",
                format!(
                    "bind message supplies {} parameters, but prepared statement \"{name}\" requires {}",
                    params.len(),
                    read.params.len()
                ),
            ));
        }
        if self.block == Block::Failed && !(read.statement.ends_transaction() && params.is_empty()) {
            self.check_failed(&Statement::Empty)?;
        }
        if portal.is_empty() {
            self.portals.remove("");
        } else if self.portals.contains_key(&portal) {
            return Err(Trouble::new(
                "42P03",
                format!("cursor \"{portal}\" already exists"),
            ));
        }
        for (value, _) in params.iter().zip(&read.params).filter(|(_, oid)| **oid == INT4) {
            if let Some(value) = value
                && value.trim().parse::<i32>().is_err()
            {
                let words = format!("invalid input syntax for type integer: \"{value}\"");
                return Err(Trouble::new("22P02", words));
            }
        }
        self.witness("bound", &read.statement, &text);
        if let Statement::Select(select) | Statement::CopyOut(select) = &read.statement {
            select.plan(&params, &mut self.settings)?;
        }
        let depth = self.settings.savepoints();
        self.portals.insert(
            portal,
            Portal {
                read,
                text,
                params,
                rows: None,
                depth,
            },
        );
        message(&mut self.out, b'2', &[]);
        Ok(())
    }

    /// Puts on record what is done as whom.
    fn witness(&self, what: &str, statement: &Statement, text: &str) {
        if !statement.needs_identity() {
            return;
        }
        let mut record = self.record.lock();
        record.witness(
            what,
            text,
            self.settings.role(),
            &self.settings.get("app.user_id"),
        );
    }

    fn describe(&mut self, fields: &mut Fields<'_>) -> Result<(), Trouble> {
        self.settings.begin();
        let kind = fields.byte();
        let name = fields.text();
        let read = if kind == b'S' {
            let (read, _) = self.statement(&name)?;
            if read.statement.columns().is_some() {
                self.check_failed(&read.statement)?;
            }
            let mut body = count(read.params.len());
            for oid in &read.params {
                body.extend_from_slice(&oid.to_be_bytes());
            }
            message(&mut self.out, b't', &body);
            read
        } else {
            let portal = self.portals.get(&name).ok_or_else(|| no_portal(&name))?;
            let read = Arc::clone(&portal.read);
            if read.statement.columns().is_some() {
                self.check_failed(&read.statement)?;
            }
            read
        };
        self.describe_rows(&read.statement);
        Ok(())
    }

    fn describe_rows(&mut self, statement: &Statement) {
        let Some(columns) = statement.columns() else {
            return message(&mut self.out, b'n', &[]);
        };
        let mut body = count(columns.len());
        for (name, oid) in columns {
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(&[0; 7]);
            body.extend_from_slice(&oid.to_be_bytes());
            body.extend_from_slice(&if oid == INT4 { 4_u16 } else { u16::MAX }.to_be_bytes());
            body.extend_from_slice(&u32::MAX.to_be_bytes());
            body.extend_from_slice(&[0; 2]);
        }
        message(&mut self.out, b'T', &body);
    }

    fn close(&mut self, fields: &mut Fields<'_>) {
        let kind = fields.byte();
        let name = fields.text();
        if kind == b'S' {
            self.statements.remove(&name);
        } else {
            self.portals.remove(&name);
        }
        message(&mut self.out, b'3', &[]);
    }

    fn execute(&mut self, name: String, limit: u32) -> Next {
        if let Some(portal) = self.portals.get(&name)
            && let Some(sleep) = portal.read.sleeps
            && portal.rows.is_none()
            && self.block != Block::Failed
        {
            self.flush();
            self.working = Some(Working { portal: name, limit });
            return Next::Work(Duration::from_millis(sleep));
        }
        self.run(&name, limit)
    }

    fn run(&mut self, name: &str, limit: u32) -> Next {
        match self.run_portal(name, limit) {
            Ok(()) => {}
            Err(trouble) => self.fail(&trouble, true),
        }
        Next::Listen
    }

    fn run_portal(&mut self, name: &str, limit: u32) -> Result<(), Trouble> {
        let portal = self.portals.get(name).ok_or_else(|| no_portal(name))?;
        let (read, text) = (Arc::clone(&portal.read), Arc::clone(&portal.text));
        let params = portal.params.clone();
        if let Statement::Empty = read.statement {
            message(&mut self.out, b'I', &[]);
            return Ok(());
        }
        self.settings.begin();
        self.check_failed(&read.statement)?;
        self.witness("run", &read.statement, &text);
        if read.statement.needs_identity()
            && !text.contains("the end")
            && let Some(trouble) = self.mischief.take()
        {
            return Err(trouble);
        }
        match &read.statement {
            Statement::Select(select) => self.rows(name, select, limit),
            Statement::Show(setting) => {
                let value = self.settings.get(setting);
                row(&mut self.out, &[Some(value)]);
                self.complete("SHOW");
                Ok(())
            }
            other => {
                if self.portals.get(name).is_some_and(|portal| portal.rows.is_some()) {
                    return Err(Trouble::new("55000", format!("portal \"{name}\" cannot be run")));
                }
                if let Some(portal) = self.portals.get_mut(name) {
                    portal.rows = Some(Vec::new().into_iter());
                }
                self.command(other, &params)
            }
        }
    }

    fn rows(&mut self, name: &str, select: &Select, limit: u32) -> Result<(), Trouble> {
        let Some(portal) = self.portals.get_mut(name) else {
            return Ok(());
        };
        let params = &portal.params;
        let settings = &mut self.settings;
        let rows = portal
            .rows
            .get_or_insert_with(|| select.run(params, settings).into_iter());
        let most = if limit == 0 { u32::MAX } else { limit };
        let mut sent = 0;
        while sent < most {
            match rows.next() {
                None => {
                    self.complete(&format!("SELECT {sent}"));
                    return Ok(());
                }
                Some(values) => row(&mut self.out, &values?),
            }
            sent += 1;
        }
        message(&mut self.out, b's', &[]);
        Ok(())
    }

    fn complete(&mut self, tag: &str) {
        message(&mut self.out, b'C', &[tag.as_bytes(), &[0]].concat());
    }

    /// What has no rows.
    fn command(&mut self, statement: &Statement, params: &[Option<String>]) -> Result<(), Trouble> {
        match statement {
            Statement::Begin => {
                if self.block == Block::Open {
                    self.warn("25001", "there is already a transaction in progress");
                }
                self.complete("BEGIN");
                self.block = Block::Open;
            }
            Statement::Commit { chain } | Statement::Rollback { chain } => {
                let commits = matches!(statement, Statement::Commit { .. });
                return self.end(commits, *chain);
            }
            Statement::Savepoint(name) => {
                self.needs_block("SAVEPOINT")?;
                self.settings.savepoint(name);
                self.complete("SAVEPOINT");
            }
            Statement::Release(name) => {
                self.needs_block("RELEASE SAVEPOINT")?;
                self.settings.release(name)?;
                self.complete("RELEASE");
            }
            Statement::RollbackTo(name) => {
                self.needs_block("ROLLBACK TO SAVEPOINT")?;
                self.settings.roll_back_to(name)?;
                let depth = self.settings.savepoints();
                self.portals.retain(|_, portal| portal.depth < depth);
                self.block = Block::Open;
                self.complete("ROLLBACK");
            }
            Statement::Set { name, value, local } => {
                if name != "transaction" {
                    self.settings.set(name, value.as_deref(), *local)?;
                }
                self.complete("SET");
            }
            Statement::ResetAll => {
                self.settings.reset_all();
                self.complete("RESET");
            }
            Statement::Discard(what) => self.discard(what)?,
            Statement::Deallocate(name) => {
                match name {
                    Some(name) => {
                        self.statement(name)?;
                        self.statements.remove(name);
                    }
                    None => self.statements.clear(),
                }
                self.complete(if name.is_some() {
                    "DEALLOCATE"
                } else {
                    "DEALLOCATE ALL"
                });
            }
            Statement::Write(tag, number) => {
                let value = match number {
                    Some(Number::Given(number)) => number.clone(),
                    Some(Number::Param(param)) => {
                        params.get(param - 1).cloned().flatten().unwrap_or_default()
                    }
                    None => String::new(),
                };
                self.settings.write(&value, "");
                self.complete(tag);
            }
            Statement::CopyIn { columns } => {
                let formats = vec![0; 2 * columns];
                message(
                    &mut self.out,
                    b'G',
                    &[&[0][..], &count(*columns), &formats].concat(),
                );
                self.flush();
                self.copy = Some(CopyIn {
                    columns: *columns,
                    data: Vec::new(),
                    rest: None,
                });
            }
            Statement::CopyOut(select) => self.copy_out(select)?,
            Statement::Empty | Statement::Show(_) | Statement::Select(_) => {}
        }
        Ok(())
    }

    fn needs_block(&self, what: &str) -> Result<(), Trouble> {
        if self.block == Block::None {
            return Err(Trouble::new(
                "25P01",
                format!("{what} can only be used in transaction blocks"),
            ));
        }
        Ok(())
    }

    fn end(&mut self, commits: bool, chain: bool) -> Result<(), Trouble> {
        if chain && self.block == Block::None {
            let what = if commits { "COMMIT" } else { "ROLLBACK" };
            return Err(Trouble::new(
                "25P01",
                format!("{what} AND CHAIN can only be used in transaction blocks"),
            ));
        }
        if self.block == Block::None {
            self.warn("25P01", "there is no transaction in progress");
        }
        let commits = commits && self.block != Block::Failed;
        self.complete(if commits { "COMMIT" } else { "ROLLBACK" });
        self.block = if chain { Block::Open } else { Block::None };
        self.end_transaction(commits);
        if chain {
            self.settings.begin();
        }
        Ok(())
    }

    fn end_transaction(&mut self, commits: bool) {
        if commits {
            self.settings.commit();
        } else {
            self.settings.rollback();
        }
        self.portals.clear();
    }

    fn discard(&mut self, what: &str) -> Result<(), Trouble> {
        if what == "all" {
            if self.block != Block::None {
                return Err(Trouble::new(
                    "25001",
                    "DISCARD ALL cannot run inside a transaction block",
                ));
            }
            self.settings.reset_all();
            self.statements.clear();
        }
        self.complete(&format!("DISCARD {}", what.to_ascii_uppercase()));
        Ok(())
    }

    /// The end of an implicit transaction.
    fn finish(&mut self) {
        if self.block == Block::None {
            self.end_transaction(true);
        }
    }

    // ---- COPY -----------------------------------------------------------------------------------------

    fn copy_out(&mut self, select: &Select) -> Result<(), Trouble> {
        message(&mut self.out, b'H', &[0, 0, 1, 0, 0]);
        let rows = select.run(&[], &mut self.settings);
        let sent = rows.len();
        for values in rows {
            let values: Vec<String> = values?
                .into_iter()
                .map(|value| value.unwrap_or_else(|| "\\N".into()))
                .collect();
            message(&mut self.out, b'd', format!("{}\n", values.join("\t")).as_bytes());
        }
        message(&mut self.out, b'c', &[]);
        self.complete(&format!("COPY {sent}"));
        Ok(())
    }

    fn take_copy(&mut self, tag: u8, body: &[u8]) -> Next {
        let Some(mut copy) = self.copy.take() else {
            return Next::Listen;
        };
        match tag {
            b'd' => {
                copy.data.extend_from_slice(body);
                let whole = copy
                    .data
                    .iter()
                    .rposition(|byte| *byte == b'\n')
                    .map_or(0, |end| end + 1);
                match check_lines(&copy.data[..whole], copy.columns) {
                    Ok(_) => self.copy = Some(copy),
                    Err(trouble) => return self.end_copy(copy, Err(trouble)),
                }
            }
            b'c' => {
                let lines = check_lines(&copy.data, copy.columns);
                if lines.is_ok() {
                    for line in String::from_utf8_lossy(&copy.data).lines() {
                        let mut fields = line.split('\t').skip(1);
                        let number = fields.next().unwrap_or_default();
                        self.settings.write(number, fields.next().unwrap_or_default());
                    }
                }
                return self.end_copy(copy, lines);
            }
            b'f' => {
                let why = Fields(body).text();
                let trouble = Trouble::new("57014", format!("COPY from stdin failed: {why}"));
                return self.end_copy(copy, Err(trouble));
            }
            b'S' | b'H' => self.copy = Some(copy),
            other => {
                self.record
                    .lock()
                    .faults
                    .push(format!("{:?} within COPY", char::from(other)));
                let words = format!("unexpected message type 0x{other:02X} during COPY from stdin");
                self.fail(&Trouble::new("08P01", words), true);
                let lost = "terminating connection because protocol synchronization was lost";
                self.last_words("08P01", lost);
                return Next::Close;
            }
        }
        Next::Listen
    }

    fn end_copy(&mut self, copy: CopyIn, lines: Result<usize, Trouble>) -> Next {
        let failed = lines.is_err();
        match lines {
            Ok(lines) => self.complete(&format!("COPY {lines}")),
            Err(trouble) => self.fail(&trouble, copy.rest.is_none()),
        }
        match copy.rest {
            None => Next::Listen,
            Some(_) if failed => self.go_on(Vec::new()),
            Some(rest) => self.go_on(rest),
        }
    }

    // ---- the simple protocol: what pools say ------------------------------------------------------------

    fn query(&mut self, sql: &str) -> Next {
        self.statements.remove("");
        // The list of what a session has left: nothing.
        if sql.starts_with("SELECT 'listens'") {
            message(&mut self.out, b'T', &count(0));
            self.complete("SELECT 0");
            self.ready();
            return Next::Listen;
        }
        let statements = sql::split(sql);
        if statements.is_empty() {
            message(&mut self.out, b'I', &[]);
        }
        // Nothing runs where one of them cannot be read.
        let unread = statements
            .iter()
            .find_map(|text| sql::read(text, &[]).err().filter(Trouble::is_syntax));
        if let Some(trouble) = unread {
            self.fail(&trouble, false);
            self.ready();
            return Next::Listen;
        }
        self.go_on(statements)
    }

    /// Runs what is left of a Query.
    fn go_on(&mut self, mut statements: Vec<String>) -> Next {
        while !statements.is_empty() {
            let text = statements.remove(0);
            if let Err(trouble) = self.run_simple(&text) {
                self.fail(&trouble, false);
                break;
            }
            if let Some(copy) = &mut self.copy {
                copy.rest = Some(statements);
                return Next::Listen;
            }
        }
        self.finish();
        self.ready();
        Next::Listen
    }

    fn run_simple(&mut self, text: &str) -> Result<(), Trouble> {
        self.settings.begin();
        let read = match sql::read(text, &[]) {
            Err(_) if self.block == Block::Failed => return self.check_failed(&Statement::Empty),
            read => read?,
        };
        self.check_failed(&read.statement)?;
        // It runs on the unnamed portal (`exec_simple_query`).
        self.portals.remove("");
        self.witness("run by Query", &read.statement, text);
        if let Statement::Select(select) | Statement::CopyOut(select) = &read.statement {
            select.plan(&[], &mut self.settings)?;
        }
        if read.statement.columns().is_none() {
            return self.command(&read.statement, &[]);
        }
        self.describe_rows(&read.statement);
        match &read.statement {
            Statement::Select(select) => {
                let rows = select.run(&[], &mut self.settings);
                let sent = rows.len();
                for values in rows {
                    row(&mut self.out, &values?);
                }
                self.complete(&format!("SELECT {sent}"));
            }
            Statement::Show(setting) => {
                let value = self.settings.get(setting);
                row(&mut self.out, &[Some(value)]);
                self.complete("SHOW");
            }
            _ => {}
        }
        Ok(())
    }

    // ---- what is said -----------------------------------------------------------------------------------

    fn ready(&mut self) {
        for (name, _) in REPORTED {
            let value = self.settings.get(name);
            if self.reported.get(name) != Some(&value) {
                message(&mut self.out, b'S', format!("{name}\0{value}\0").as_bytes());
                self.reported.insert(name, value);
            }
        }
        let status = match self.block {
            Block::None => b'I',
            Block::Open => b'T',
            Block::Failed => b'E',
        };
        message(&mut self.out, b'Z', &[status]);
        self.flush();
    }

    fn fail(&mut self, trouble: &Trouble, extended: bool) {
        notice(&mut self.out, b'E', "ERROR", trouble);
        self.flush();
        self.skipping = extended;
        match self.block {
            Block::None => self.end_transaction(false),
            Block::Open => {
                self.settings.fail();
                self.block = Block::Failed;
            }
            Block::Failed => {}
        }
    }

    fn warn(&mut self, sqlstate: &'static str, words: &str) {
        notice(&mut self.out, b'N', "WARNING", &Trouble::new(sqlstate, words));
    }

    /// An error that ends the connection.
    pub(crate) fn last_words(&mut self, sqlstate: &'static str, words: &str) {
        notice(&mut self.out, b'E', "FATAL", &Trouble::new(sqlstate, words));
        self.flush();
    }

    /// A notice in the middle of things.
    pub(crate) fn remark(&mut self) {
        notice(
            &mut self.out,
            b'N',
            "NOTICE",
            &Trouble::new("00000", "by the way"),
        );
    }
}

fn no_portal(name: &str) -> Trouble {
    Trouble::new("34000", format!("portal \"{name}\" does not exist"))
}

/// How many lines of copy data there are.
fn check_lines(data: &[u8], columns: usize) -> Result<usize, Trouble> {
    let text = String::from_utf8_lossy(data);
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        if fields.len() < columns {
            return Err(Trouble::new(
                "22P04",
                format!("missing data for column \"{}\"", fields.len()),
            ));
        }
        if let Some(number) = fields.get(1)
            && columns > 1
            && number.parse::<i32>().is_err()
        {
            let words = format!("invalid input syntax for type integer: \"{number}\"");
            return Err(Trouble::new("22P02", words));
        }
    }
    Ok(text.lines().count())
}

fn notice(out: &mut Vec<u8>, tag: u8, severity: &str, trouble: &Trouble) {
    let Trouble {
        sqlstate,
        message: words,
        position,
    } = trouble;
    let mut body = format!("S{severity}\0V{severity}\0C{sqlstate}\0M{words}\0");
    if let Some(position) = position {
        body.push_str(&format!("P{position}\0"));
    }
    body.push('\0');
    message(out, tag, body.as_bytes());
}

fn row(out: &mut Vec<u8>, values: &[Option<String>]) {
    let mut body = count(values.len());
    for value in values {
        match value {
            Some(value) => {
                body.extend_from_slice(&(value.len() as u32).to_be_bytes());
                body.extend_from_slice(value.as_bytes());
            }
            None => body.extend_from_slice(&u32::MAX.to_be_bytes()),
        }
    }
    message(out, b'D', &body);
}

fn count(number: usize) -> Vec<u8> {
    (number as u16).to_be_bytes().to_vec()
}

/// Appends a message.
pub(crate) fn message(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    out.extend_from_slice(body);
}

/// Reads the fields of a message; what is not there reads as nothing.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (head, rest) = self.0.split_at(N.min(self.0.len()));
        self.0 = rest;
        head.try_into().unwrap_or([0; N])
    }

    fn byte(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take())
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }

    fn text(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let text = String::from_utf8_lossy(&self.0[..end]).into_owned();
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        text
    }

    fn value(&mut self) -> Option<String> {
        let length = self.u32();
        if length == u32::MAX {
            return None;
        }
        let (value, rest) = self.0.split_at((length as usize).min(self.0.len()));
        self.0 = rest;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}
