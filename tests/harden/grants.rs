//! Grants that a person has made, code that needs what identity is set with, and what is changed between a run and its
//! undoing.

use crate::support::postgres::Version;
use crate::{Ground, says, state};

/// Makes a database with one table and runs some SQL in it.
fn database(ground: &Ground, name: &str, sql: &str) {
    ground
        .postgres
        .superuser("postgres")
        .values(&format!("CREATE DATABASE {name}"));
    let mut superuser = ground.postgres.superuser(name);
    superuser.values("CREATE TABLE notes (a int, b int); GRANT SELECT ON notes TO authenticated");
    superuser.values(sql);
}

/// Whether a role may call a function.
fn may_call(ground: &Ground, database: &str, role: &str, function: &str) -> bool {
    let sql = format!("SELECT has_function_privilege('{role}', '{function}', 'EXECUTE')");
    ground.postgres.superuser(database).value(&sql) == "t"
}

const NOTIFY: &str = "pg_catalog.pg_notify(text, text)";
const SET_CONFIG: &str = "pg_catalog.set_config(text, text, boolean)";

#[test]
fn what_a_person_has_granted_stays() {
    let ground = Ground::new(Version::Installed).unwrap();
    let granted = "GRANT EXECUTE ON FUNCTION pg_export_snapshot() TO authenticated";
    database(&ground, "handed", granted);
    let (success, first) = ground.harden("handed", &[]);
    assert!(
        success
            && says(
                &first,
                "advice",
                "pg_export_snapshot(): authenticated may call it, by a grant"
            ),
        "{first}"
    );
    assert!(may_call(
        &ground,
        "handed",
        "authenticated",
        "pg_export_snapshot()"
    ));
    assert!(!may_call(&ground, "handed", "member", "pg_export_snapshot()"));
    assert!(!may_call(&ground, "handed", "authenticated", NOTIFY));

    let mut superuser = ground.postgres.superuser("handed");
    superuser.values(&format!("GRANT EXECUTE ON FUNCTION {NOTIFY} TO authenticated"));
    let (success, second) = ground.harden("handed", &[]);
    assert!(success && second.contains(": 0 mended, 0 failed"), "{second}");
    assert!(may_call(&ground, "handed", "authenticated", NOTIFY));

    // A role made later, and one of an end user: asked for, given, and given once.
    superuser.values("CREATE ROLE later LOGIN");
    for role in ["later", "member"] {
        assert!(!may_call(&ground, "handed", role, NOTIFY));
        let (success, kept) = ground.harden("handed", &["--keep", role]);
        assert!(
            success && says(&kept, "mended", &format!("{role} is to keep it")),
            "{kept}"
        );
        assert!(may_call(&ground, "handed", role, NOTIFY));
        for more in [&["--keep", role][..], &[]] {
            if role == "member" && more.is_empty() {
                continue;
            }
            let (success, again) = ground.harden("handed", more);
            assert!(
                success && again.contains(": 0 mended, 0 failed"),
                "{more:?}: {again}"
            );
        }
        assert!(may_call(&ground, "handed", role, NOTIFY));
        assert!(!may_call(
            &ground,
            "handed",
            role,
            "pg_catalog.pg_read_file(text)"
        ));
    }
    // Nobody has said that this one may set identity: the wall is not there.
    superuser.values(&format!("GRANT EXECUTE ON FUNCTION {SET_CONFIG} TO anon"));
    let (success, open) = ground.harden("handed", &["--keep", "member"]);
    assert!(
        !success && says(&open, "gap", "anon may call it and so be whoever it says"),
        "{open}"
    );
}

#[test]
fn a_role_that_is_missing_stops_it() {
    let ground = Ground::new(Version::Installed).unwrap();
    let picture = state::of(&ground.postgres, Version::Installed, "umbrella");
    let (success, said) = ground.harden("umbrella", &["--keep", "nobody_there"]);
    assert!(
        !success && said.contains("there is no role nobody_there"),
        "{said}"
    );
    state::assert_same(
        &picture,
        &state::of(&ground.postgres, Version::Installed, "umbrella"),
    );
}

#[test]
fn code_that_sets_settings_leaves_the_wall_open_and_that_is_said() {
    let ground = Ground::new(Version::Installed).unwrap();
    let remember = "CREATE FUNCTION remember(v text) RETURNS text LANGUAGE sql \
                    AS $$ SELECT set_config('app.last', v, true) $$";
    database(&ground, "settings", remember);
    let (success, said) = ground.harden("settings", &[]);
    assert!(!success, "{said}");
    assert!(
        says(
            &said,
            "advice",
            "set_config(text, text, boolean): anyone may call it, which stays: function public.remember"
        ),
        "{said}"
    );
    assert!(
        says(
            &said,
            "gap",
            "authenticated may call it and so be whoever it says"
        ),
        "{said}"
    );
    assert!(!says(&said, "mended", "set_config"), "{said}");
    let mut superuser = ground.postgres.superuser("settings");
    superuser.values("SET ROLE authenticated");
    assert_eq!(superuser.value("SELECT remember('x')"), "x");
    superuser.values("RESET ROLE");
    // With its owner's rights it needs nobody else's.
    superuser.values("ALTER FUNCTION remember(text) SECURITY DEFINER");
    let (success, said) = ground.harden("settings", &[]);
    assert!(success && says(&said, "mended", "set_config"), "{said}");
    superuser.values("SET ROLE authenticated");
    assert_eq!(superuser.value("SELECT remember('y')"), "y");
}

#[test]
fn undoing_puts_back_what_was_taken_and_nothing_else() {
    let ground = Ground::new(Version::Installed).unwrap();
    let granted = "
        GRANT ALL ON notes TO portcullis_app;
        GRANT SELECT (a), REFERENCES (b) ON notes TO portcullis_app WITH GRANT OPTION;
        GRANT SELECT ON notes TO member;
        GRANT ALL ON notes TO anon WITH GRANT OPTION;
        GRANT ALL ON DATABASE taken TO authenticated, PUBLIC;
        GRANT CREATE ON SCHEMA public TO member, PUBLIC;
        ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, PUBLIC;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT TRUNCATE ON TABLES TO member;
        ALTER ROLE portcullis_app INHERIT;
        GRANT anon TO portcullis_app WITH ADMIN OPTION;
        CREATE SEQUENCE numbers; GRANT UPDATE ON SEQUENCE numbers TO member";
    database(&ground, "taken", granted);
    let picture = state::of(&ground.postgres, Version::Installed, "taken");
    let (success, said) = ground.harden("taken", &[]);
    assert!(
        success && says(&said, "mended", "portcullis_app has rights of its own"),
        "{said}"
    );
    // Two runs are undone together.
    let mut superuser = ground.postgres.superuser("taken");
    superuser.values("GRANT TRUNCATE ON notes TO authenticated");
    let (success, said) = ground.harden("taken", &[]);
    assert!(
        success && says(&said, "mended", "authenticated has TRUNCATE"),
        "{said}"
    );
    let (success, said) = ground.harden("taken", &["--undo"]);
    assert!(success, "{said}");
    superuser.values("REVOKE TRUNCATE ON notes FROM authenticated");
    state::assert_same(
        &picture,
        &state::of(&ground.postgres, Version::Installed, "taken"),
    );

    // What others have changed meanwhile is theirs, and what is gone is no obstacle.
    superuser.values("CREATE TABLE gone (a int); GRANT ALL ON gone TO anon");
    assert!(ground.harden("taken", &[]).0);
    superuser.values(&format!(
        "DROP TABLE gone; CREATE ROLE newcomer; GRANT EXECUTE ON FUNCTION {NOTIFY} TO newcomer; \
         GRANT SELECT ON notes TO portcullis_app"
    ));
    let (success, said) = ground.harden("taken", &["--undo"]);
    assert!(
        success && says(&said, "skipped", "TABLE public.gone: is gone"),
        "{said}"
    );
    assert!(may_call(&ground, "taken", "newcomer", NOTIFY) && may_call(&ground, "taken", "member", NOTIFY));
}
