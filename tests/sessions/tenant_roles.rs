//! A schema per tenant with a role per tenant, and with a login per tenant: what the server itself refuses when a
//! function of the application runs text that it is given, which no guard can read.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::people::{Person, person};
use crate::support::postgres::{Postgres, Version, cluster};
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::RawClient;
use crate::support::wait_until;
use crate::{MODES, VERSIONS};

/// A database whose owner is no superuser, as on RDS, with the schemas of two tenants in it and a function that runs
/// what it is given. Tenants and roles are named after the test: roles are the whole cluster's.
struct Fleet {
    postgres: &'static Postgres,
    version: Version,
    name: &'static str,
}

impl Fleet {
    /// One on every version there is.
    fn all(name: &'static str) -> impl Iterator<Item = Self> {
        VERSIONS.into_iter().filter_map(move |version| {
            let fleet = Self {
                postgres: cluster(version)?,
                version,
                name,
            };
            fleet.found();
            Some(fleet)
        })
    }

    fn found(&self) {
        let name = self.name;
        let mut root = self.postgres.superuser("postgres");
        root.values(&format!("CREATE ROLE owner_{name} LOGIN CREATEROLE"));
        for role in ["authenticated", "member", "anon"] {
            root.values(&format!("GRANT {role} TO owner_{name} WITH ADMIN OPTION"));
        }
        root.values(&format!("CREATE DATABASE {name} OWNER owner_{name}"));
        // What a policy must not see of an owner is not what is looked at here.
        let mut owner = self.owner();
        owner.values(
            "CREATE FUNCTION run(VARIADIC statements text[]) RETURNS text LANGUAGE plpgsql AS $$ DECLARE answer text; \
                 statement text; BEGIN FOREACH statement IN ARRAY statements LOOP \
                 IF statement ~ '^SELECT' THEN EXECUTE statement INTO answer; ELSE EXECUTE statement; END IF; \
                 END LOOP; RETURN answer; END $$; \
             CREATE TABLE board (tenant text, line text); ALTER TABLE board ENABLE ROW LEVEL SECURITY; \
             CREATE POLICY own ON board TO authenticated USING (tenant = current_setting('app.tenant')); \
             GRANT SELECT ON board TO authenticated; GRANT USAGE ON SCHEMA public TO authenticated, member, anon",
        );
        for tenant in ["a", "b"] {
            self.settle(tenant);
        }
    }

    /// Makes the schema of a tenant, as an application would: nothing is granted.
    fn settle(&self, tenant: &str) {
        let tenant = self.tenant(tenant);
        self.owner().values(&format!(
            "CREATE SCHEMA s_{tenant}; CREATE TABLE s_{tenant}.notes (id bigserial, title text); \
             INSERT INTO s_{tenant}.notes (title) VALUES ('of {tenant}'); INSERT INTO board VALUES ('{tenant}', 'for {tenant}')"
        ));
    }

    /// What an application without roles per tenant grants.
    fn share(&self) {
        for tenant in ["a", "b"] {
            let tenant = self.tenant(tenant);
            self.owner().values(&format!(
                "GRANT USAGE ON SCHEMA s_{tenant} TO authenticated; \
                 GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA s_{tenant} TO authenticated; \
                 GRANT SELECT (title) ON s_{tenant}.notes TO anon; \
                 GRANT USAGE ON ALL SEQUENCES IN SCHEMA s_{tenant} TO authenticated; \
                 ALTER DEFAULT PRIVILEGES IN SCHEMA s_{tenant} GRANT SELECT ON TABLES TO authenticated"
            ));
        }
    }

    fn tenant(&self, tenant: &str) -> String {
        format!("{}_{tenant}", self.name)
    }

    fn who(&self, tenant: &str) -> Person {
        person("somebody", &self.tenant(tenant))
    }

    fn owner(&self) -> RawClient {
        let (folder, port) = (self.postgres.socket_folder(), self.postgres.port());
        RawClient::try_unix(folder, port, &format!("owner_{}", self.name), self.name)
            .unwrap_or_else(|why| panic!("{}", why.describe()))
    }

    /// A proxy with a pool of one, where the placement says `more`.
    fn stack(&self, more: &str, mode: &str, config: &str) -> Stack {
        self.stack_for(&format!("{}_*", self.name), more, mode, config)
    }

    fn stack_for(&self, tenants: &str, more: &str, mode: &str, config: &str) -> Stack {
        let name = self.name;
        let config = format!(
            "pool.pool_mode = \"{mode}\"\ntenants.tenant = []\n\
             tenants.pattern = [{{ match = \"{tenants}\", database = \"{name}\", schema = \"s_{{tenant}}\", \
             extra_search_path = [\"public\"]{more} }}]\n{config}"
        );
        let options = StackOptions {
            postgres: self.version,
            ..StackOptions::pool(1).with(&config)
        };
        Stack::start(&options)
    }

    /// `portcullis harden` as the owner; what it says, and whether all went well.
    fn harden(&self, stack: &Stack, more: &[&str]) -> (String, bool) {
        let (folder, port, name) = (
            self.postgres.socket_folder().display(),
            self.postgres.port(),
            self.name,
        );
        let url = format!("host={folder} port={port} user=owner_{name} dbname={name}");
        portcullis(
            "harden",
            &stack.config_path(),
            &[&["--database", &url], more].concat(),
        )
    }

    /// The roles of both tenants, made by the owner.
    fn own_roles(&self, stack: &Stack) -> String {
        let (a, b) = (self.tenant("a"), self.tenant("b"));
        let (said, well) = self.harden(stack, &["--tenant", &a, "--tenant", &b]);
        assert!(well, "{:?}: {said}", self.version);
        said
    }
}

/// A command over a configuration: what it says, and whether it succeeds.
fn portcullis(command: &str, config: &Path, more: &[&str]) -> (String, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .arg(command)
        .arg("--config")
        .arg(config)
        .args(more)
        .output()
        .expect("portcullis");
    let said = [output.stdout, output.stderr].concat();
    (
        String::from_utf8_lossy(&said).into_owned(),
        output.status.success(),
    )
}

const OWN_ROLE: &str = ", role = \"{role}_{tenant}\"";

#[test]
fn text_that_a_function_runs_stays_in_its_tenant() {
    for fleet in Fleet::all("confined") {
        let (a, b) = (fleet.tenant("a"), fleet.tenant("b"));
        let steal = format!("SELECT run('SELECT title FROM s_{b}.notes')");
        // The control: with one role for all tenants the attack works.
        fleet.share();
        let shared = fleet.stack("", "transaction", "");
        assert_eq!(shared.login(&fleet.who("a")).value(&steal), format!("of {b}"));
        drop(shared);
        let stack = fleet.stack(OWN_ROLE, "transaction", "");
        // One role hardens a database: what it changes is that role's to put back.
        let tenants = ["--tenant", &a, "--tenant", &b];
        fleet
            .postgres
            .harden(&[fleet.name], &stack.config_path(), &tenants);
        drop(stack);
        for mode in ["transaction", "session", "hardened"] {
            let stack = fleet.stack(OWN_ROLE, mode.replace("hardened", "transaction").as_str(), "");
            if mode == "hardened" {
                fleet.postgres.harden(&[fleet.name], &stack.config_path(), &[]);
                let said = fleet.postgres.harden(&[fleet.name], &stack.config_path(), &[]);
                assert!(said.contains("0 mended, 0 failed"), "{said}");
                let odd = format!("it may become authenticated_{a}");
                assert!(!said.contains(&odd), "{said}");
            }
            let mut client = stack.login(&fleet.who("a"));
            assert_eq!(client.value("SELECT title FROM notes"), format!("of {a}"));
            assert_eq!(client.value("SELECT current_user"), format!("authenticated_{a}"));
            assert_eq!(client.value("SHOW role"), format!("authenticated_{a}"));
            // The token's role is what claims and settings say.
            assert_eq!(
                client.value("SELECT current_setting('request.jwt.claims')::json ->> 'role'"),
                "authenticated"
            );
            assert_eq!(client.sqlstate(&steal), "42501");
            for text in [
                format!("SELECT nextval(''s_{b}.notes_id_seq'')::text"),
                format!("SELECT query_to_xml(''TABLE s_{b}.notes'', true, true, '''')::text"),
                format!("INSERT INTO s_{b}.notes (title) VALUES (''x'')"),
            ] {
                assert_eq!(
                    client.sqlstate(&format!("SELECT run('{text}')")),
                    "42501",
                    "{text}"
                );
            }
            // What needs no name: statistics, and a sequence by its number.
            let sequence = fleet
                .owner()
                .value(&format!("SELECT 's_{b}.notes_id_seq'::regclass::oid::text"));
            assert_eq!(
                client.sqlstate(&format!(
                    "SELECT run('SELECT nextval({sequence}::oid::regclass)::text')"
                )),
                "42501"
            );
            // RLS: a policy TO the token's role, and its grants, hold for the tenant's.
            assert_eq!(client.values("SELECT line FROM board"), [format!("for {a}")]);
            // The other roles of a token are no way around it.
            for role in ["authenticated", "member", "anon"] {
                let text = format!("SELECT run('SET ROLE {role}', 'SELECT title FROM s_{b}.notes')");
                assert_eq!(client.sqlstate(&text), "42501", "{role}");
            }
        }
    }
}

#[test]
fn the_next_client_is_its_own_tenant() {
    for fleet in Fleet::all("next") {
        for mode in MODES {
            let stack = fleet.stack(OWN_ROLE, mode, "pool.auto_prepare = true");
            fleet.own_roles(&stack);
            for round in 0..3 {
                for tenant in ["a", "b"] {
                    let mut client = stack.login(&fleet.who(tenant));
                    let of = format!("of {}", fleet.tenant(tenant));
                    // The same text, prepared and shared, and one that is prepared by itself where it repeats.
                    client.values("PREPARE mine AS SELECT title FROM notes WHERE id > 0");
                    assert_eq!(client.values("EXECUTE mine"), [of.as_str()], "{mode} {round}");
                    for id in 1..3 {
                        let rows = client.values(&format!("SELECT title FROM notes WHERE id = {id}"));
                        assert_eq!(rows.first().map(String::as_str), (id == 1).then_some(of.as_str()));
                    }
                    assert_eq!(
                        client.value("SELECT current_user"),
                        format!("authenticated_{}", fleet.tenant(tenant))
                    );
                    // What a function leaves behind is not what the next one is.
                    let _ = client.query(&format!(
                        "SELECT run('SET ROLE authenticated_{}')",
                        fleet.tenant("a")
                    ));
                    client.values("BEGIN; SELECT 1");
                    client.vanish();
                }
            }
        }
    }
}

/// One login that is a member of all tenants' roles is no wall against a function that runs `SET ROLE`; a login of
/// each tenant's own is.
#[test]
fn a_login_of_its_own_keeps_a_function_from_another_role() {
    for fleet in Fleet::all("alone") {
        let (a, b) = (fleet.tenant("a"), fleet.tenant("b"));
        let steal = format!("SELECT run('SET ROLE authenticated_{b}', 'SELECT title FROM s_{b}.notes')");
        let stack = fleet.stack(OWN_ROLE, "transaction", "");
        fleet.own_roles(&stack);
        assert_eq!(
            stack.login(&fleet.who("a")).value(&steal),
            format!("of {b}"),
            "the control"
        );
        drop(stack);

        let folder = tempfile::tempdir().unwrap();
        for tenant in [&a, &b] {
            std::fs::write(
                folder.path().join(format!("{tenant}.pw")),
                format!("secret-{tenant}\n"),
            )
            .unwrap();
            let mut root = fleet.postgres.superuser("postgres");
            root.values(&format!(
                "CREATE ROLE login_{tenant} LOGIN NOINHERIT PASSWORD 'secret-{tenant}'"
            ));
        }
        let login = format!(
            "logins.own = {{ user = \"login_{{tenant}}\", password = {{ file = \"{}/{{tenant}}.pw\" }} }}\n\
             roles.authenticated.login = \"own\"\nroles.member.login = \"own\"\nroles.anon.login = \"own\"",
            folder.path().display()
        );
        for mode in MODES {
            let stack = fleet.stack(OWN_ROLE, mode, &login);
            fleet.own_roles(&stack);
            for tenant in ["a", "b"] {
                let mut client = stack.login(&fleet.who(tenant));
                assert_eq!(
                    client.value("SELECT title FROM notes"),
                    format!("of {}", fleet.tenant(tenant))
                );
                assert_eq!(
                    client.value("SELECT session_user"),
                    format!("login_{}", fleet.tenant(tenant))
                );
            }
            let mut client = stack.login(&fleet.who("a"));
            assert_eq!(client.sqlstate(&steal), "42501");
            assert_eq!(
                client.sqlstate(&format!("SELECT run('SET SESSION AUTHORIZATION login_{b}')")),
                "42501"
            );
            drop(client);
            let (said, well) = portcullis("check", &stack.config_path(), &[]);
            assert!(said.contains("kept apart by the server") && well, "{said}");
            // A login that got into the other's role is found.
            fleet
                .owner()
                .values(&format!("GRANT authenticated_{b} TO login_{a}"));
            let (said, well) = portcullis("check", &stack.config_path(), &[]);
            let found = format!("login login_{a} of one tenant may become authenticated_{b} of another");
            assert!(said.contains(&found) && !well, "{said}");
            fleet
                .owner()
                .values(&format!("REVOKE authenticated_{b} FROM login_{a}"));
            // A tenant without a password file.
            let token = person("x", &fleet.tenant("c")).token();
            let (sqlstate, message, _) = stack.refusal(&token, &fleet.tenant("c"));
            assert_eq!(
                (sqlstate.as_str(), message.as_str()),
                ("08006", "the gateway's login to the database server failed")
            );
            wait_until("the reason in the log", Duration::from_secs(20), || {
                stack.log().contains("password file")
            });
        }
    }
}

#[test]
fn an_owner_that_is_no_superuser_makes_the_roles_once() {
    for fleet in Fleet::all("made") {
        let (a, b) = (fleet.tenant("a"), fleet.tenant("b"));
        let stack = fleet.stack(OWN_ROLE, "transaction", "");
        let (said, well) = portcullis("check", &stack.config_path(), &[]);
        assert!(!well && said.contains("there is no such role"), "{said}");
        let (script, _) = fleet.harden(&stack, &["--dry-run"]);
        assert!(
            script.contains(&format!("CREATE ROLE authenticated_{a} NOLOGIN;")),
            "{script}"
        );
        let said = fleet.own_roles(&stack);
        assert!(said.contains("mended"), "{said}");
        let (said, well) = portcullis("check", &stack.config_path(), &[]);
        assert!(
            well && said.contains("2 tenants have roles of their own"),
            "{said}"
        );
        // Again: nothing to do. What the owner takes back stays taken.
        fleet
            .owner()
            .values(&format!("REVOKE DELETE ON s_{a}.notes FROM authenticated_{a}"));
        for _ in 0..2 {
            let said = fleet.own_roles(&stack);
            assert!(
                said.contains("0 mended, 0 failed") && !said.contains("mended   "),
                "{said}"
            );
        }
        let may = |role: &str, what: &str| {
            let ask = format!("SELECT has_table_privilege('{role}', 's_{a}.notes', '{what}')");
            fleet.owner().value(&ask) == "t"
        };
        assert!(
            may(&format!("authenticated_{a}"), "UPDATE") && !may(&format!("authenticated_{a}"), "DELETE")
        );
        assert!(!may(&format!("authenticated_{b}"), "SELECT") && !may("authenticated", "SELECT"));
        // Tables that come later, and their sequences, are the tenant's too.
        fleet
            .owner()
            .values(&format!("CREATE TABLE s_{a}.later (id bigserial, n int)"));
        let mut client = stack.login(&fleet.who("a"));
        assert_eq!(client.value("INSERT INTO later (n) VALUES (7) RETURNING n"), "7");
        assert_eq!(client.values("UPDATE later SET n = 8 RETURNING n"), ["8"]);
        // A new tenant: its schema, then its roles.
        let c = fleet.tenant("c");
        let (said, well) = fleet.harden(&stack, &["--tenant", &c]);
        assert!(!well && said.contains("its schema is not there"), "{said}");
        fleet.settle("c");
        let (said, well) = fleet.harden(&stack, &["--tenant", &c]);
        assert!(well, "{said}");
        assert_eq!(
            stack.login(&fleet.who("c")).value("SELECT title FROM notes"),
            format!("of {c}")
        );
        // And gone again.
        let (said, well) = fleet.harden(&stack, &["--drop-tenant", &c]);
        assert!(well, "{said}");
        let left = format!("SELECT count(*)::text FROM pg_roles WHERE rolname LIKE '%{c}'");
        assert_eq!(fleet.owner().value(&left), "0");
        assert_eq!(
            fleet.owner().value(&format!("SELECT title FROM s_{c}.notes")),
            format!("of {c}")
        );
        assert_eq!(stack.login(&fleet.who("c")).sqlstate("SELECT 1"), "22023");
        let (said, well) = fleet.harden(&stack, &["--drop-tenant", &c]);
        assert!(well, "again: {said}");
    }
}

/// What was granted to the roles that tenants share goes to the tenant's own, and to nobody else.
#[test]
fn grants_of_shared_roles_become_the_tenants() {
    for fleet in Fleet::all("taken") {
        fleet.share();
        let (a, b) = (fleet.tenant("a"), fleet.tenant("b"));
        fleet.owner().values(&format!(
            "CREATE TABLE s_{a}.secrets (x int); REVOKE ALL ON s_{a}.secrets FROM authenticated"
        ));
        fleet.owner().values(&format!(
            "GRANT USAGE ON SCHEMA s_{a} TO PUBLIC; GRANT SELECT ON s_{a}.notes TO PUBLIC"
        ));
        let stack = fleet.stack(OWN_ROLE, "transaction", "");
        // First the tenants' roles get what they need, while sessions still run as the shared one.
        let (said, well) = fleet.harden(&stack, &["--add-only"]);
        assert!(well, "{said}");
        let read = format!("of {a}");
        assert_eq!(
            stack.login(&fleet.who("a")).value("SELECT title FROM notes"),
            read
        );
        let shared = fleet.stack("", "transaction", "");
        assert_eq!(
            shared.login(&fleet.who("a")).value("SELECT title FROM notes"),
            read
        );
        drop(shared);
        fleet.own_roles(&stack);
        let may = |role: &str, what: &str, table: &str| {
            let ask = format!(
                "SELECT has_schema_privilege('{role}', 's_{a}', 'USAGE') \
                AND has_table_privilege('{role}', 's_{a}.{table}', '{what}')"
            );
            fleet.owner().value(&ask) == "t"
        };
        let own = format!("authenticated_{a}");
        assert!(may(&own, "SELECT", "notes") && may(&own, "INSERT", "notes"));
        // Nobody had these.
        assert!(!may(&own, "UPDATE", "notes") && !may(&own, "SELECT", "secrets"));
        assert!(!may(&format!("anon_{a}"), "INSERT", "notes"));
        assert!(may(&format!("anon_{a}"), "SELECT", "notes"));
        // A trusted role keeps what PUBLIC loses.
        assert!(may("service_role", "SELECT", "notes"));
        for role in ["authenticated", "anon", "member", &format!("authenticated_{b}")] {
            let ask = format!(
                "SELECT has_schema_privilege('{role}', 's_{a}', 'USAGE') \
                OR has_any_column_privilege('{role}', 's_{a}.notes', 'SELECT') \
                OR has_sequence_privilege('{role}', 's_{a}.notes_id_seq', 'USAGE')"
            );
            assert_eq!(fleet.owner().value(&ask), "f", "{role}");
        }
        // Tables to come, as they were to be for the shared role.
        fleet.owner().values(&format!("CREATE TABLE s_{a}.later (x int)"));
        assert!(
            may(&own, "SELECT", "later")
                && !may(&own, "INSERT", "later")
                && !may("authenticated", "SELECT", "later")
        );
        // A migration that grants to the shared role again, and one to a stranger.
        fleet.owner().values(&format!(
            "GRANT UPDATE ON s_{a}.later TO authenticated; GRANT USAGE ON SCHEMA s_{a} TO authenticated_{b}"
        ));
        let (said, well) = portcullis("check", &stack.config_path(), &[]);
        assert!(
            !well && said.contains(&format!("authenticated_{b} may use it")),
            "{said}"
        );
        fleet.own_roles(&stack);
        assert!(may(&own, "UPDATE", "later") && !may(&format!("authenticated_{b}"), "UPDATE", "later"));
        let said = fleet.own_roles(&stack);
        assert!(said.contains("0 mended, 0 failed"), "{said}");
    }
}

#[test]
fn check_fails_where_nothing_but_the_guard_keeps_tenants_apart() {
    for fleet in Fleet::all("judged") {
        let (a, b) = (fleet.tenant("a"), fleet.tenant("b"));
        let stack = fleet.stack("", "transaction", "");
        let check = || portcullis("check", &stack.config_path(), &[]);
        // Nobody has been granted anything: nothing to cross into.
        let (said, well) = check();
        assert!(well && said.contains("kept apart by the server"), "{said}");
        fleet.share();
        let (said, well) = check();
        assert!(
            !well && said.contains("may use s_") && said.contains("as authenticated"),
            "{said}"
        );
        // The guard's visitors may enter any tenant anyway.
        assert!(!said.contains("as anon"), "{said}");
        // Row security is a wall,
        for tenant in [&a, &b] {
            fleet
                .owner()
                .values(&format!("ALTER TABLE s_{tenant}.notes ENABLE ROW LEVEL SECURITY"));
        }
        let (said, well) = check();
        assert!(well, "{said}");
        // unless a view goes around it.
        fleet.owner().values(&format!("CREATE VIEW s_{b}.all_notes AS TABLE s_{b}.notes; GRANT SELECT ON s_{b}.all_notes TO authenticated"));
        let (said, well) = check();
        assert!(!well && said.contains(&format!("s_{b}.all_notes")), "{said}");
        fleet
            .owner()
            .values(&format!("ALTER VIEW s_{b}.all_notes SET (security_invoker)"));
        assert!(check().1);
        // Rights that come by another membership count.
        fleet.owner().values(&format!(
            "CREATE TABLE s_{b}.plain (x int); REVOKE ALL ON s_{b}.plain FROM authenticated"
        ));
        assert!(check().1);
        let mut root = fleet.postgres.superuser(fleet.name);
        root.values(&format!(
            "CREATE ROLE readers_{}; GRANT USAGE ON SCHEMA s_{b} TO readers_{0}; \
            GRANT SELECT ON s_{b}.plain TO readers_{0}; GRANT readers_{0} TO member",
            fleet.name
        ));
        let (said, well) = check();
        assert!(!well && said.contains("as member"), "{said}");
        root.values(&format!("REVOKE readers_{} FROM member", fleet.name));
    }
}

#[test]
fn names_that_are_traps_get_no_session() {
    for fleet in Fleet::all("trap") {
        let own = ", role = \"{tenant}\"";
        let one_role = "roles.member.policy = \"trusted\"\nroles.member.login = \"service\"\n\
                        roles.anon.policy = \"trusted\"\nroles.anon.login = \"service\"\n\
                        auth.anonymous_role = \"authenticated\"";
        let stack = fleet.stack_for("*", own, "transaction", one_role);
        for (tenant, why) in [
            ("none", "keyword"),
            ("NONE", "keyword"),
            ("public", "keyword"),
            ("pg_monitor", "pg_"),
            ("service_role", "has a role or login of that name"),
            ("authenticated", "has a role or login of that name"),
            ("portcullis_app", "has a role or login of that name"),
            ("portcullis_service", "has a role or login of that name"),
        ] {
            let token = person("x", tenant).token();
            let (sqlstate, message, hint) = stack.refusal(&token, tenant);
            assert_eq!(sqlstate, "28000", "{tenant}: {message}");
            assert!(message.contains(why) && !hint.is_empty(), "{tenant}: {message}");
        }
        drop(stack);
        let long = "x".repeat(48);
        let name = "a_role_whose_name_is_long";
        let role = ", role = \"{role}.{tenant}\"";
        let stack = fleet.stack_for("*", role, "transaction", &format!("roles.{name}.login = \"app\""));
        let token = person("x", &long).token_with(&[("role", json!(name))]);
        let (sqlstate, message, _) = stack.refusal(&token, &long);
        assert!(
            sqlstate == "28000" && message.contains("longer than 63 bytes"),
            "{message}"
        );
    }
}
