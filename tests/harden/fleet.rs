//! Every database of a configuration, those that a pattern means included.

use std::process::Command;

use crate::Ground;
use crate::support::postgres::Version;

/// `portcullis check`: whether it is content, and what it says.
fn check(ground: &Ground) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    let output = command
        .arg("check")
        .arg("--config")
        .arg(&ground.config)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.success(), said)
}

/// Puts these tenants in the place of those of the ordinary configuration.
fn tenants(ground: &Ground, entries: &str) {
    let config = std::fs::read_to_string(&ground.config).unwrap();
    let mut config: toml::Table = config.parse().unwrap();
    let tenants: toml::Table = entries.parse().unwrap();
    config.insert("tenants".to_owned(), toml::Value::Table(tenants));
    std::fs::write(&ground.config, config.to_string()).unwrap();
}

const PATTERN: &str = "[[pattern]]\nmatch = \"t*\"\nserver = \"main\"\ndatabase = \"db_{tenant}\"\n";

#[test]
fn all_means_every_database_of_the_configuration() {
    let ground = Ground::new(Version::Installed).unwrap();
    let mut superuser = ground.postgres.superuser("postgres");
    for name in ["db_t1", "db_t2", "db_x1", "lonely"] {
        superuser.values(&format!("CREATE DATABASE {name}"));
    }
    let listed = "[[tenant]]\nname = \"lonely\"\nserver = \"main\"\ndatabase = \"lonely\"\n";
    tenants(&ground, &[listed, PATTERN].concat());
    let is_hardened = |database: &str| {
        let sql =
            "SELECT has_function_privilege('authenticated', 'set_config(text, text, boolean)', 'EXECUTE')";
        ground.postgres.superuser(database).value(sql) == "f"
    };
    let harden = |more: &[&str]| {
        let (success, said) = ground.harden("postgres", more);
        assert!(success, "{more:?}: {said}");
        said
    };
    let said = harden(&["--all"]);
    let hardened = ["db_t1", "db_t2", "lonely"].map(is_hardened);
    assert_eq!(hardened, [true; 3], "{said}");
    assert!(
        !is_hardened("db_x1") && !is_hardened("postgres") && !is_hardened("shop"),
        "{said}"
    );
    let (success, looked) = check(&ground);
    assert!(
        success && looked.contains("pattern db_{tenant} on main: 2 databases, looking at db_t1, db_t2"),
        "{looked}"
    );
    let second = harden(&["--all"]);
    assert_eq!(second.matches("nothing was changed").count(), 3, "{second}");
    let undone = harden(&["--all", "--undo"]);
    assert!(
        !["db_t1", "db_t2", "lonely"].into_iter().any(is_hardened),
        "{undone}"
    );
    // A database that is listed and not there is no success.
    superuser.values("DROP DATABASE lonely");
    let (success, said) = ground.harden("postgres", &["--all"]);
    assert!(
        !success && said.contains("lonely") && is_hardened("db_t1"),
        "{said}"
    );
}

#[test]
fn check_tries_logins_where_tenants_come_by_pattern_alone() {
    let ground = Ground::new(Version::Installed).unwrap();
    tenants(&ground, PATTERN);
    // None of the pattern's databases is there yet.
    let (success, said) = check(&ground);
    assert!(
        success && said.contains("no database of it is there yet"),
        "{said}"
    );
    assert!(
        said.contains("login app on main: the server takes its password"),
        "{said}"
    );
    let config = std::fs::read_to_string(&ground.config).unwrap();
    let wrong = |login: &str| {
        let config = config.replace(&format!("{login}-login-password"), "not-the-password");
        std::fs::write(&ground.config, config).unwrap();
        let (success, said) = check(&ground);
        assert!(!success && said.contains("28P01"), "{login}: {said}");
    };
    wrong("app");
    wrong("service");
    // Of many it looks at some; either login counts.
    let mut superuser = ground.postgres.superuser("postgres");
    for number in 1..6 {
        superuser.values(&format!("CREATE DATABASE db_t{number}"));
    }
    wrong("app");
    wrong("service");
    std::fs::write(&ground.config, config.as_str()).unwrap();
    let (success, said) = check(&ground);
    assert!(
        success && said.contains("5 databases, looking at db_t1, db_t2, db_t3"),
        "{said}"
    );
    assert!(
        said.contains("login service on main/db_t3: connects") && !said.contains("db_t4: connects"),
        "{said}"
    );
}
