//! An application's code never runs as the login role, which may become anybody. What only sets settings is bound as
//! that role, so nothing of the application's may run at its Bind: no check of a domain, no function or operator that is
//! nearer on the search path or fits better.

use std::fs;

use crate::support::people::alice;
use crate::support::postgres::cluster;
use crate::support::proxy::{Stack, StackOptions};
use crate::support::raw::{Frame, RawClient, bind, describe, execute, parse, sync};
use crate::{ALICE, MODES, VERSIONS};

/// Everything here says so when it runs as the login role.
const APPLICATION: &str = "
    CREATE SCHEMA own_code;
    GRANT USAGE ON SCHEMA own_code TO PUBLIC;
    CREATE FUNCTION own_code.caught(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
        IF current_user = 'portcullis_app' THEN RAISE EXCEPTION 'ran as the login role' USING ERRCODE = 'XX999'; END IF;
        RETURN $1; END $$;
    CREATE DOMAIN own_code.spy AS text CHECK (own_code.caught(VALUE) IS NOT NULL);
    CREATE DOMAIN own_code.spies AS own_code.spy[];
    CREATE TYPE own_code.pair AS (a own_code.spy);
    CREATE FUNCTION own_code.set_config(text, varchar, boolean) RETURNS text IMMUTABLE LANGUAGE sql
        AS $$ SELECT own_code.caught('varchar') $$;
    CREATE FUNCTION own_code.set_config(text, text, boolean) RETURNS text IMMUTABLE LANGUAGE sql
        AS $$ SELECT own_code.caught('text') $$;
    CREATE FUNCTION own_code.current_setting(text) RETURNS text IMMUTABLE LANGUAGE sql
        AS $$ SELECT own_code.caught('current') $$;
    CREATE FUNCTION own_code.pg_show_all_settings() RETURNS TABLE (name text) IMMUTABLE LANGUAGE sql
        AS $$ SELECT own_code.caught('bytea_output') $$;
    CREATE FUNCTION own_code.same(text, text) RETURNS boolean IMMUTABLE LANGUAGE sql
        AS $$ SELECT own_code.caught($1) IS NOT NULL $$;
    CREATE OPERATOR own_code.= (LEFTARG = text, RIGHTARG = text, FUNCTION = own_code.same);
";

/// Text of an error that none of it may cause.
fn caught(frames: &[Frame]) -> Option<String> {
    let mut errors = frames.iter().filter(|frame| frame.tag == b'E');
    errors
        .find(|frame| frame.sqlstate() == "XX999")
        .and_then(|frame| frame.field('M'))
}

fn all(client: &mut RawClient, messages: &[Vec<u8>]) -> Vec<Frame> {
    client.send(&messages.concat());
    client.until_ready()
}

#[test]
fn an_applications_code_never_runs_as_the_login_role() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    let policy = "name = 'own'\nstatements = ['SELECT', 'SET', 'RESET', 'SHOW']\n\
                  settable = ['search_path', 'jit', 'timezone', 'bytea_output']\n";
    fs::write(&file, policy).unwrap();
    for version in VERSIONS {
        let Some(postgres) = cluster(version) else {
            continue;
        };
        let mut superuser = postgres.superuser("shop");
        superuser.values(APPLICATION);
        let oid = |name: &str| -> u32 {
            let oid = postgres.ask(&format!("SELECT '{name}'::regtype::oid")).remove(0);
            oid.parse().unwrap()
        };
        let types = [
            "own_code.spy",
            "own_code.spies",
            "own_code.pair",
            "varchar",
            "bpchar",
            "name",
            "text",
        ]
        .map(oid);
        for mode in MODES {
            let options = StackOptions {
                postgres: version,
                ..StackOptions::pool(1).with(&format!(
                    "pool.pool_mode = '{mode}'\n[guard]\npolicies = ['{}']\ndefault_policy = 'own'\n\
                     [[tenants.tenant]]\nname = 'acme'\nserver = 'main'\ndatabase = 'shop'\nshared = true",
                    file.display()
                ))
            };
            let mut stack = Stack::start(&options);
            let mut client = stack.login(&alice());
            for path in [
                "public",
                "own_code, pg_catalog",
                "pg_catalog, own_code",
                "own_code",
            ] {
                client.values(&format!("SET search_path = {path}"));
                for oid in types {
                    declared(&mut client, oid, path);
                }
                for sql in [
                    "SELECT set_config('jit', 'off', true)",
                    "SELECT set_config('jit', 'off', false), current_setting('jit')",
                    "SELECT current_setting('jit') AS cur, set_config('jit', 'off', false) AS new",
                    "SELECT set_config('bytea_output', 'hex', false) FROM pg_show_all_settings() WHERE name = 'bytea_output'",
                ] {
                    let seen = client.query(sql);
                    assert_eq!(seen.as_ref().err().map(Frame::sqlstate), None, "{sql} on {path}");
                    let batch = [
                        parse("s", sql, &[]),
                        bind("", "s", &[]),
                        describe('P', ""),
                        execute("", 0),
                        sync(),
                    ];
                    for _ in 0..2 {
                        let frames = all(&mut client, &batch);
                        assert_eq!(caught(&frames), None, "{sql} on {path}");
                        let batch = [crate::support::raw::close('S', "s"), sync()];
                        all(&mut client, &batch);
                    }
                }
            }
            client.values("SET search_path = public");
            assert_eq!(client.value("SELECT who()"), ALICE);
            stack.assert_well();
        }
        superuser.values("DROP SCHEMA own_code CASCADE");
    }
}

/// A parameter of this type in a query that sets a setting.
fn declared(client: &mut RawClient, oid: u32, path: &str) {
    for sql in [
        "SELECT set_config('jit', $1, false)",
        "SELECT set_config('jit', $1, true)",
    ] {
        for name in ["", "named"] {
            let frames = all(
                client,
                &[
                    parse(name, sql, &[oid]),
                    describe('S', name),
                    bind("", name, &[Some(b"off")]),
                    execute("", 0),
                    sync(),
                    crate::support::raw::close('S', "named"),
                    sync(),
                ],
            );
            client.until_ready();
            assert_eq!(caught(&frames), None, "{sql} with {oid} as {name:?} on {path}");
        }
    }
}

/// A type that cannot be read as the login role is no reason to fail where the caller may set what it wants.
#[test]
fn errors_point_into_the_text_that_came() {
    for stack in crate::stacks_of_one_in_both_modes() {
        let mut client = stack.login(&alice());
        let sql = "SELECT current_setting('jit'), set_config('jit', $1, true)";
        let frames = all(&mut client, &[parse("", sql, &[23]), sync()]);
        let error = frames.iter().find(|frame| frame.tag == b'E').unwrap();
        let position: usize = error.field('P').unwrap().parse().unwrap();
        assert_eq!(
            (error.sqlstate().as_str(), &sql[position - 1..position + 9]),
            ("42883", "set_config")
        );
    }
}
