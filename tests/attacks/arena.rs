//! Where the attacks take place: a database, the proxy with one server connection, attacker and next client.

use std::time::Duration;

use crate::cases::Case;
use crate::routes::{Route, VAULT, WHO};
use crate::startup::LoginCase;
use crate::support::people::{alice, bob};
use crate::support::postgres::{Postgres, Version, cluster};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{self, RawClient};
use crate::watch::{Found, Watch, converse, told};
use crate::wire::WireCase;

/// Whether the database stands on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// As an application made it, with far too many rights.
    Arena,
    /// The same after `portcullis harden`.
    Fort,
}

/// Everything the attacks need.
pub(crate) struct Arena {
    stack: Stack,
    watch: Watch,
    alice: String,
    bob: String,
    who: String,
    found: Found,
}

impl Ground {
    fn database(self) -> &'static str {
        match self {
            Self::Arena => "arena",
            Self::Fort => "fort",
        }
    }
}

/// Makes the database of the attacks on a cluster.
pub(crate) fn make_database(postgres: &Postgres, name: &str) {
    let mut superuser = postgres.superuser("postgres");
    superuser.values(&format!("CREATE DATABASE {name} TEMPLATE shop"));
    superuser.values(&format!("GRANT ALL ON DATABASE {name} TO PUBLIC"));
    postgres.superuser(name).values(include_str!("schema.sql"));
}

impl Arena {
    /// Makes the database and starts the proxy in front of it.
    pub(crate) fn open(version: Version, ground: Ground) -> Self {
        let postgres = cluster(version).expect("a cluster of that version");
        let database = ground.database();
        make_database(postgres, database);
        let policy = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/attacks/policy.toml");
        let tenant = |name: &str| {
            format!(
                "[[tenants.tenant]]\nname = {name:?}\nserver = \"main\"\ndatabase = {database:?}\nshared = true\n"
            )
        };
        let options = StackOptions {
            postgres: version,
            ..StackOptions::pool(1)
        };
        let options = options
            .with(&format!("[guard]\npolicies = [{policy:?}]"))
            .with(&[tenant("acme"), tenant("globex")].concat());
        let stack = Stack::start(&options);
        if ground == Ground::Fort {
            postgres.harden(&[database], &stack.config_path(), &[]);
        }
        let (alice, bob) = (alice().token(), bob().token());
        let mut client = RawClient::login(stack.port(), "bob", "globex", &bob);
        let found = Found::by(&mut client).unwrap_or_else(|why| panic!("the next client: {why}"));
        drop(client);
        let mut client = RawClient::login(stack.port(), "alice", "acme", &alice);
        let who = client.value(WHO);
        drop(client);
        Self {
            stack,
            watch: Watch::begin(postgres.superuser(database)),
            alice,
            bob,
            who,
            found,
        }
    }

    /// Runs a statement by every route and gives its effects.
    pub(crate) fn attack(&mut self, case: &Case) -> Vec<String> {
        let mut effects = Vec::new();
        let mut client = self.attacker();
        for route in Route::ALL {
            let Some(packets) = route.packets(&case.text) else {
                continue;
            };
            let mut said = converse(&mut client, &packets);
            if matches!(route, Route::Simple) {
                // What a transaction left open holds: nobody else can look while it has the connection.
                client.send(&[raw::query("BEGIN"), raw::query(&case.text)].concat());
                crate::watch::listen(&mut client, 2, &mut said);
                effects.extend(self.watch.locks());
            }
            let found = self.judge(&mut client, said);
            if !found.is_empty() {
                effects.push(format!("{route:?}: {}", found.join(", ")));
                client = self.attacker();
            }
        }
        drop(client);
        effects.extend(self.aftermath());
        effects
    }

    /// The same for bytes that are no ordinary statement.
    pub(crate) fn attack_by_bytes(&mut self, case: &WireCase) -> Vec<String> {
        let mut client = self.attacker();
        let mut said = Vec::new();
        (case.attack)(&self.stack, &mut client, &mut said);
        let mut effects = told(&said, &self.who);
        drop(client);
        effects.extend(self.aftermath());
        effects
    }

    /// The same for what is said before the first statement. It may be let in, but then as somebody it is.
    pub(crate) fn attack_by_login(&mut self, case: &LoginCase) -> Vec<String> {
        let mut effects = Vec::new();
        let token = (case.token)();
        let options: Vec<(&str, &str)> = case.options.to_vec();
        if let Ok(mut client) = RawClient::try_login(self.stack.port(), &options, Some(&token)) {
            let packets =
                [WHO, crate::routes::TITLES, VAULT, "RESET ALL", WHO].map(|sql| (raw::query(sql), 1));
            let said = converse(&mut client, &packets);
            let who = (case.who)();
            effects.extend(told(&said, &format!("WHO:{who}")));
        }
        effects.extend(self.aftermath());
        effects
    }

    /// The proxy has neither ended nor panicked.
    pub(crate) fn assert_well(&mut self) {
        self.stack.assert_well();
    }

    fn attacker(&self) -> RawClient {
        let mut client = RawClient::login(self.stack.port(), "alice", "acme", &self.alice);
        client.set_patience(Duration::from_secs(15));
        client
    }

    /// The attacker uses what it has got, if anything; then it must be itself, outside of a transaction.
    fn judge(&self, client: &mut RawClient, mut said: Vec<u8>) -> Vec<String> {
        let packets = ["ROLLBACK", VAULT, WHO].map(|sql| (raw::query(sql), 1));
        let last = converse(client, &packets);
        let is_itself = String::from_utf8_lossy(&last).contains(&self.who);
        said.extend(last);
        let mut effects = told(&said, &self.who);
        if !is_itself {
            effects.push("it does not know who it is".to_owned());
        }
        effects
    }

    /// What superuser and next client see.
    fn aftermath(&mut self) -> Vec<String> {
        let mut next = RawClient::login(self.stack.port(), "bob", "globex", &self.bob);
        let found = Found::by(&mut next);
        // Looked at afterwards: an attacker who is gone is rolled back by then.
        self.watch.wait_for_locks();
        let mut effects = self.watch.look();
        effects.extend(self.watch.differences(&self.found, &found));
        effects
    }
}
