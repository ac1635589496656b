//! What no attack may change, as a superuser and the next client see it.

use std::collections::BTreeMap;

use crate::cases::forbidden_file;
use crate::routes::WHO;
use crate::support::raw::{self, RawClient};

/// Catalogs whose rows nobody may add, change or remove. A row that was written has another `xmin`.
const CATALOGS: [&str; 36] = [
    "pg_aggregate",
    "pg_am",
    "pg_attrdef",
    "pg_attribute",
    "pg_auth_members",
    "pg_authid",
    "pg_cast",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_conversion",
    "pg_db_role_setting",
    "pg_default_acl",
    "pg_description",
    "pg_enum",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_server",
    "pg_index",
    "pg_init_privs",
    "pg_language",
    "pg_largeobject_metadata",
    "pg_namespace",
    "pg_operator",
    "pg_policy",
    "pg_proc",
    "pg_publication",
    "pg_rewrite",
    "pg_seclabel",
    "pg_sequence",
    "pg_statistic_ext",
    "pg_subscription",
    "pg_trigger",
    "pg_type",
    "pg_ts_config",
    "pg_user_mapping",
];

/// The rest: other people's rows, and what the server keeps outside of its catalogs.
const MORE: &str = "\
    SELECT 'rows of others', md5(string_agg(t::text, ',' ORDER BY id)) FROM todos t WHERE NOT (tenant = 'acme' AND owner = 'alice') \
    UNION ALL SELECT 'owners of rows', string_agg(DISTINCT tenant || '/' || owner, ',') FROM todos \
    UNION ALL SELECT 'scratch of others', count(*)::text FROM scratch WHERE NOT (tenant = 'acme' AND owner = 'alice') \
    UNION ALL SELECT 'the vault', md5(string_agg(secret, ',')) FROM vault \
    UNION ALL SELECT 'the ledger', concat(last_value, is_called) FROM ledger \
    UNION ALL SELECT 'large objects', concat(count(*), md5(string_agg(data, '' ORDER BY loid, pageno))) FROM pg_largeobject \
    UNION ALL SELECT 'databases', concat(count(*), max(xmin::text::bigint)) FROM pg_database \
        WHERE datname = current_database() OR datname NOT IN ('arena', 'fort', 'twice', 'pristine') \
    UNION ALL SELECT 'prepared transactions', count(*)::text FROM pg_prepared_xacts \
    UNION ALL SELECT 'replication slots', count(*)::text FROM pg_replication_slots \
    UNION ALL SELECT 'replication origins', count(*)::text FROM pg_replication_origin \
    UNION ALL SELECT 'advisory locks', count(*)::text FROM pg_locks \
        WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// Locks that stop other people's work.
const LOCKS: &str = "\
    SELECT string_agg(DISTINCT mode || ' on ' || relation::regclass, ', ') FROM pg_locks JOIN pg_class c ON c.oid = relation \
    WHERE database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND relnamespace = 'public'::regnamespace \
        AND relkind = 'r' AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')";

/// A superuser's session that looks on, and hears what is notified.
pub(crate) struct Watch {
    superuser: RawClient,
    snapshot: String,
    before: BTreeMap<String, String>,
    /// What `random()` gives after `setseed(0.5)`.
    seeded: Vec<String>,
}

impl Watch {
    /// Remembers how things are now.
    pub(crate) fn begin(mut superuser: RawClient) -> Self {
        let catalogs: Vec<String> = CATALOGS
            .iter()
            .map(|name| {
                format!(
                    "SELECT '{name}', concat(count(*), '/', max(xmin::text::bigint)) FROM pg_catalog.{name}"
                )
            })
            .collect();
        let snapshot = format!(
            "SELECT column1 || '=' || coalesce(column2, '') FROM ({} UNION ALL {MORE}) AS s (column1, column2)",
            catalogs.join(" UNION ALL ")
        );
        superuser.values("LISTEN wire");
        superuser.values("SELECT setseed(0.5)");
        let seeded = superuser.values("SELECT random()::text FROM generate_series(1, 20)");
        superuser.values("RESET ALL");
        let mut watch = Self {
            superuser,
            snapshot,
            before: BTreeMap::new(),
            seeded,
        };
        watch.look();
        watch
    }

    /// What has changed since it last looked.
    pub(crate) fn look(&mut self) -> Vec<String> {
        let mut effects = Vec::new();
        self.superuser.send(&raw::query(&self.snapshot));
        let mut now = BTreeMap::new();
        for frame in self.superuser.until_ready() {
            match frame.tag {
                b'D' => {
                    let row = frame.row().remove(0).unwrap();
                    let (name, value) = row.split_once('=').unwrap();
                    now.insert(name.to_owned(), value.to_owned());
                }
                b'A' => effects.push("somebody was notified".to_owned()),
                b'E' => panic!("the snapshot fails: {:?}", frame.field('M')),
                _ => {}
            }
        }
        for (name, value) in &now {
            if let Some(before) = self.before.get(name).filter(|before| *before != value) {
                effects.push(format!("{name}: {before} became {value}"));
            }
        }
        self.before = now;
        if std::fs::remove_file(forbidden_file()).is_ok() {
            effects.push("a file was written".to_owned());
        }
        effects
    }

    /// Waits a little for the locks of a server process that is just being ended.
    pub(crate) fn wait_for_locks(&mut self) {
        let count = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        for _ in 0..40 {
            if self.superuser.value(count) == "0" {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Locks that are held now and stop other people's work.
    pub(crate) fn locks(&mut self) -> Vec<String> {
        let held = self.superuser.value(LOCKS);
        if held == "NULL" {
            Vec::new()
        } else {
            vec![format!("locks: {held}")]
        }
    }

    /// What the next client finds that it should not. `expected` is what it found before the attack.
    pub(crate) fn differences(&self, expected: &Found, found: &Result<Found, String>) -> Vec<String> {
        let found = match found {
            Ok(found) => found,
            Err(why) => return vec![format!("the next client fails: {why}")],
        };
        let mut effects = Vec::new();
        for (line, before) in found.lines.iter().zip(&expected.lines) {
            if line != before {
                effects.push(format!("the next client finds {line} instead of {before}"));
            }
        }
        if found.lines.len() != expected.lines.len() {
            effects.push("the next client finds more or fewer settings".to_owned());
        }
        if self.seeded.contains(&found.random) {
            effects.push("the next client's random numbers are known".to_owned());
        }
        effects
    }
}

/// What a client finds on its connection.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    lines: Vec<String>,
    random: String,
}

/// The client's own look around: who it is, its rows, every setting, and what an earlier client may have left.
const LOOK_AROUND: &str = "\
    SELECT 'rows=' || coalesce(string_agg(title, ',' ORDER BY id), '') FROM todos \
    UNION ALL SELECT 'residue=' || residue() \
    UNION ALL SELECT 'temporary schema=' || pg_my_temp_schema() \
    UNION ALL SELECT 'invented=' || coalesce(current_setting('app.is_admin', true), '') \
    UNION ALL SELECT 'old claim=' || coalesce(current_setting('request.jwt.claim.sub', true), '') \
    UNION ALL SELECT 'random=' || random() \
    UNION ALL SELECT s FROM (SELECT name || '=' || coalesce(setting, 'NULL') AS s FROM pg_settings \
        WHERE name !~ '[.]' ORDER BY name) AS s";

impl Found {
    /// Looks around on a client's session; `Err` if it cannot.
    pub(crate) fn by(client: &mut RawClient) -> Result<Self, String> {
        let mut ask = |sql: &str| {
            let answer = client.query(sql);
            answer.map_err(|error| format!("{} {:?}: {sql:.60}", error.sqlstate(), error.field('M')))
        };
        let mut lines = ask(WHO)?;
        let seen = ask(LOOK_AROUND)?;
        let (random, rest): (Vec<String>, Vec<String>) =
            seen.into_iter().partition(|line| line.starts_with("random="));
        lines.extend(rest);
        Ok(Self {
            lines,
            random: random.concat().replace("random=", ""),
        })
    }
}

/// What the attacker was told that it must not be told, and whether it still is itself.
pub(crate) fn told(said: &[u8], who: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(said);
    let mut effects = Vec::new();
    if let Some(at) = text.find("SECRET-") {
        let leak: String = text[at..].chars().take(24).collect();
        effects.push(format!("it reads {leak}"));
    }
    if text.contains("Rows Removed") {
        effects.push("it learns of rows that a policy hides".to_owned());
    }
    for answer in text.match_indices("WHO:").map(|(at, _)| &text[at..]) {
        if !answer.starts_with(who) {
            let is: String = answer.chars().take(who.len() + 8).collect();
            effects.push(format!("it is {is:?}"));
            break;
        }
    }
    effects
}

/// Sends packets one after the other and gives all that comes back.
pub(crate) fn converse(client: &mut RawClient, packets: &[(Vec<u8>, usize)]) -> Vec<u8> {
    let mut said = Vec::new();
    for (packet, times_ready) in packets {
        client.send(packet);
        listen(client, *times_ready, &mut said);
    }
    said
}

/// Reads until the session has become ready that often, or has ended. Data that a COPY asks for is refused.
pub(crate) fn listen(client: &mut RawClient, mut times_ready: usize, said: &mut Vec<u8>) {
    while times_ready > 0 {
        let Ok(frame) = client.try_read() else { return };
        match frame.tag {
            b'Z' => times_ready -= 1,
            b'G' => client.send(&[raw::message(b'f', b"no\0"), raw::sync()].concat()),
            _ => {}
        }
        // Columns of a row are told apart by what is no text.
        said.extend_from_slice(&frame.body);
        said.push(0);
    }
}
