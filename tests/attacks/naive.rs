//! A pooler that does what many applications do: sets the identity at the start of each transaction, judges
//! nothing, and gives the connection to the next client as it is.

use std::time::Duration;

use crate::arena::make_database;
use crate::routes::{TITLES, WHO};
use crate::support::people::{Person, alice, bob};
use crate::support::postgres::Postgres;
use crate::support::raw::{self, RawClient};
use crate::watch::{Found, Watch, converse, told};

/// The pooler, with one server connection for each attack.
pub(crate) struct Pooler<'a> {
    postgres: &'a Postgres,
    watch: Option<Watch>,
    who: String,
    found: Option<Found>,
}

impl<'a> Pooler<'a> {
    /// In front of a server of its own, which the attacks may ruin.
    pub(crate) fn open(postgres: &'a Postgres) -> Self {
        make_database(postgres, "arena");
        let mut superuser = postgres.superuser("postgres");
        superuser.values("CREATE DATABASE pristine TEMPLATE arena");
        let mut pooler = Self {
            postgres,
            watch: None,
            who: String::new(),
            found: None,
        };
        let mut connection = pooler.connection();
        begin_as(&mut connection, &alice());
        pooler.who = connection.value(WHO);
        connection.values("COMMIT");
        let mut connection = pooler.connection();
        begin_as(&mut connection, &bob());
        pooler.found = Some(Found::by(&mut connection).unwrap());
        pooler.watch = Some(Watch::begin(postgres.superuser("arena")));
        pooler
    }

    /// Runs a statement as alice, looks on as a superuser, then serves bob on the same connection.
    pub(crate) fn attack(&mut self, text: &str) -> Vec<String> {
        let mut connection = self.connection();
        connection.set_patience(Duration::from_secs(5));
        begin_as(&mut connection, &alice());
        let first = [text, WHO, TITLES].map(|sql| (raw::query(sql), 1));
        let mut said = converse(&mut connection, &first);
        let mut watch = self.watch.take().expect("begun");
        let mut effects = watch.locks();
        said.extend(converse(&mut connection, &[(raw::query("COMMIT"), 1)]));
        effects.extend(told(&said, &self.who));
        let ruined = watch.look();
        let found = match connection.query(&prelude(&bob())) {
            Ok(_) => Found::by(&mut connection),
            Err(error) => Err(format!("{:?}", error.field('M'))),
        };
        effects.extend(watch.differences(self.found.as_ref().expect("begun"), &found));
        drop(connection);
        if ruined.is_empty() {
            self.watch = Some(watch);
        } else {
            drop(watch);
            self.restore();
            effects.extend(ruined);
        }
        effects
    }

    fn connection(&self) -> RawClient {
        RawClient::try_unix(
            self.postgres.socket_folder(),
            self.postgres.port(),
            "portcullis_app",
            "arena",
        )
        .unwrap_or_else(|why| panic!("{}", why.describe()))
    }

    fn restore(&mut self) {
        let mut superuser = self.postgres.superuser("postgres");
        superuser.values("DROP DATABASE arena WITH (FORCE)");
        superuser.values("CREATE DATABASE arena TEMPLATE pristine");
        superuser.values("GRANT ALL ON DATABASE arena TO PUBLIC");
        for role in ["authenticated", "portcullis_app"] {
            superuser.values(&format!("ALTER ROLE {role} RESET ALL"));
        }
        self.watch = Some(Watch::begin(self.postgres.superuser("arena")));
    }
}

fn prelude(person: &Person) -> String {
    let Person { name, tenant } = person;
    format!(
        "ROLLBACK; BEGIN; SELECT pg_catalog.set_config('app.user_id', '{name}', true), \
         pg_catalog.set_config('app.tenant', '{tenant}', true), pg_catalog.set_config('app.role', 'authenticated', true), \
         pg_catalog.set_config('request.jwt.claims', '{{}}', true); SET LOCAL ROLE authenticated"
    )
}

fn begin_as(connection: &mut RawClient, person: &Person) {
    connection.values(&prelude(person));
}
