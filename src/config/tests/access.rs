//! Mistakes in who may log in, and where to.

use super::*;
use crate::base::PoolMode;

#[test]
fn servers_and_logins() {
    let host = ("host = \"db.example.com\"", "port = 5433");
    expect(host, "", &["servers.main.host: is missing"]);
    expect(
        ("host = \"db", "port = 70000\nhost = \"db"),
        "",
        &["servers.main.port: must be from 1 to 65535"],
    );
    expect(
        ("db.example.com", "user@db"),
        "",
        &["servers.main.host: must be a host name"],
    );
    expect(
        ("db.example.com", &format!("/{}", "d".repeat(120))),
        "",
        &["servers.main.host: the socket's path is longer"],
    );
    expect(
        ("user = \"portcullis_app\"", ""),
        "",
        &["logins.app.user: is missing"],
    );
    expect(
        ("\"portcullis_app\"", &format!("\"{}\"", "u".repeat(64))),
        "",
        &["logins.app.user: is longer than 63 bytes"],
    );
    let size = "user = \"portcullis_app\"\nmin_pool_size = 30";
    expect(
        ("user = \"portcullis_app\"", size),
        "",
        &["logins.app.min_pool_size: is more"],
    );
}

#[test]
fn secrets() {
    let secret = "{ env = \"SECRET\" }";
    let key = "auth.issuers[0].secret";
    expect(
        (secret, "{ env = \"NONE\" }"),
        "",
        &[&format!("{key}.env: the environment variable NONE is not set")],
    );
    expect(
        (secret, "{ env = \"A=B\" }"),
        "",
        &[&format!("{key}.env: must be the name")],
    );
    expect(
        (secret, "{ env = \"EMPTY\" }"),
        "",
        &[&format!("{key}: the secret is empty")],
    );
    expect((secret, "\"\""), "", &[&format!("{key}: the secret is empty")]);
    expect(
        (secret, "{ file = \"/nonexistent\" }"),
        "",
        &[&format!("{key}.file: cannot read /nonexistent")],
    );
    expect(
        (secret, "{ file = \"/dev/zero\" }"),
        "",
        &[&format!("{key}.file: /dev/zero is larger")],
    );
    expect(
        (secret, "{}"),
        "",
        &[&format!("{key}: must be the secret itself")],
    );
    expect(
        (secret, "{ env = \"SECRET\", file = \"x\" }"),
        "",
        &[&format!("{key}: must be the secret itself")],
    );
    expect((secret, "7"), "", &[&format!("{key}: must be a string")]);
    expect(
        (secret, "{ env = \"SECRET\", path = \"x\" }"),
        "",
        &[&format!("{key}.path: unknown key; known here: env, file")],
    );
    expect(
        (secret, "{ env = \"SHORT\" }"),
        "",
        &[&format!("{key}: has 7 bytes; HS256 needs at least 32")],
    );
    for complaint in complaints(&SMALL.replace(secret, "\"hunter2\"")) {
        assert!(!complaint.contains("hunter2"), "{complaint}");
    }
}

#[test]
fn roles() {
    let role = "[roles.authenticated]\nlogin = \"app\"";
    for name in [
        "none",
        "None",
        "public",
        "pg_monitor",
        "portcullis_app",
        "\"\"",
        &"r".repeat(64),
    ] {
        let key = if name.is_empty() { "\"\"" } else { name };
        expect(
            (role, &format!("{role}\n[roles.{name}]\nlogin = \"app\"")),
            "",
            &[&format!("roles.{key}: ")],
        );
    }
    expect(
        (role, "[roles.a]\nlogin = \"ap\""),
        "",
        &["roles.a.login: there is no [logins.ap]; did you mean \"app\"?"],
    );
    expect((role, "[roles.a]"), "", &["roles.a.login: is missing"]);
    expect((role, ""), "", &["roles: there is none"]);
    expect(
        (role, &format!("{role}\npolicy = \"endusers\"")),
        "",
        &["roles.authenticated.policy: there is no policy \"endusers\"; did you mean \"end_user\"?"],
    );
    let trusted = format!("{role}\n[roles.boss]\nlogin = \"app\"\npolicy = \"trusted\"");
    expect(
        (role, &trusted),
        "",
        &[
            "roles.boss.login: a trusted role must not log in as \"portcullis_app\", as roles.authenticated.login does",
        ],
    );
    // The same Postgres role under another name is no login of its own.
    let twin = format!(
        "[logins.twin]\nuser = \"portcullis_app\"\n{}",
        trusted.replace("boss]\nlogin = \"app\"", "boss]\nlogin = \"twin\"")
    );
    expect((role, &twin), "", &["roles.boss.login: a trusted role"]);
    let apart = format!(
        "[logins.boss]\nuser = \"boss_login\"\n{}",
        trusted.replace("boss]\nlogin = \"app\"", "boss]\nlogin = \"boss\"")
    );
    expect((role, &apart), "", &[]);
    for key in ["anonymous_role", "default_role"] {
        let auth = format!("[auth]\n{key} = \"boss\"");
        let text = SMALL.replace(role, &apart).replace("[auth]", &auth);
        assert!(
            complaints(&text)[0].starts_with(&format!("auth.{key}: boss is trusted")),
            "{text}"
        );
        let auth = format!("[auth]\n{key} = \"authentcated\"");
        expect(
            ("[auth]", &auth),
            "",
            &[&format!(
                "auth.{key}: there is no [roles.authentcated]; did you mean"
            )],
        );
    }
}

#[test]
fn pool_modes() {
    let wrong = "must be \"transaction\" or \"session\", not \"statement\"";
    let role = ("login = \"app\"", "login = \"app\"\npool_mode = \"statement\"");
    expect(role, "", &[&format!("roles.authenticated.pool_mode: {wrong}")]);
    let tenant = "pool_mode = \"statement\"";
    added(tenant, &[&format!("tenants.tenant[0].pool_mode: {wrong}")]);
    added(
        "pool_mode = true",
        &["tenants.tenant[0].pool_mode: must be a string"],
    );
    let pattern = "[[tenants.pattern]]\nmatch = \"p_*\"\npool_mode = \"x\"";
    added(pattern, &["tenants.pattern[0].pool_mode: must be"]);
    let database = "[[tenants.database]]\nname = \"app\"\npool_mode = \"x\"";
    added(database, &["tenants.database[0].pool_mode: must be"]);

    let text = SMALL.replace("name = \"acme\"", "name = \"acme\"\npool_mode = \"session\"");
    let mode_of = |text: &str| {
        let config = parse(text).unwrap();
        let directory = crate::tenant::Directory::new(config.tenants);
        let route = directory.route_for(&"authenticated".into(), &["acme".into()], "acme");
        route.unwrap().mode
    };
    assert_eq!(mode_of(SMALL), PoolMode::Transaction);
    assert_eq!(mode_of(&text), PoolMode::Session);
    assert_eq!(
        mode_of(&format!("{SMALL}[pool]\npool_mode = \"session\"")),
        PoolMode::Session
    );
    let by_role = text.replace("login = \"app\"", "login = \"app\"\npool_mode = \"transaction\"");
    assert_eq!(mode_of(&by_role), PoolMode::Transaction);
}

#[test]
fn algorithms() {
    let secret = "secret = { env = \"SECRET\" }";
    let none = "algorithms = [\"HS256\", \"none\", \"HS1\"]\n";
    expect(
        (secret, &format!("{none}{secret}")),
        "",
        &[
            "auth.issuers[0].algorithms[1]: \"none\" is not allowed",
            "auth.issuers[0].algorithms[2]: \"HS1\" is not known",
        ],
    );
    expect(
        (secret, &format!("algorithms = []\n{secret}")),
        "",
        &["auth.issuers[0].algorithms: must name"],
    );
    expect(
        (secret, &format!("algorithms = \"RS256\"\n{secret}")),
        "",
        &["auth.issuers[0].algorithms: RS256 needs a public key"],
    );
    expect(
        (secret, "algorithms = [\"HS256\"]\njwks_url = \"https://a.b/c\""),
        "",
        &["auth.issuers[0].algorithms[0]: HS256 needs a secret"],
    );
    expect(
        (secret, "jwks_url = \"https://a.b/c\""),
        "",
        &["auth.issuers[0].algorithms: is missing"],
    );
}

#[test]
fn keys() {
    let secret = "secret = { env = \"SECRET\" }";
    expect(
        (secret, "algorithms = \"ES256\""),
        "",
        &["auth.issuers[0].jwks_url: is missing"],
    );
    expect(
        (secret, &format!("{secret}\njwks_url = \"https://a.b/c\"")),
        "",
        &["auth.issuers[0].jwks_url: an issuer needs exactly one of"],
    );
    expect(
        (secret, &format!("{secret}\njwks_timeout = 1")),
        "",
        &["auth.issuers[0].jwks_timeout: needs jwks_url"],
    );
    for (url, message) in [
        ("http://a.b/c", "must start with https://"),
        ("ftp://127.0.0.1/", "must start with https://"),
        ("http://localhost.evil.example/", "must start with https://"),
        ("https://me:pw@a.b/c", "must not hold a name or password"),
        ("a.b/c", "is not a URL"),
    ] {
        let keys = format!("algorithms = [\"ES256\"]\njwks_url = \"{url}\"");
        expect(
            (secret, &keys),
            "",
            &[&format!("auth.issuers[0].jwks_url: {message}")],
        );
    }
    for url in [
        "http://127.0.0.1:8080/keys",
        "http://[::1]/keys",
        "http://localhost/keys",
    ] {
        expect(
            (secret, &format!("algorithms = [\"ES256\"]\njwks_url = \"{url}\"")),
            "",
            &[],
        );
    }
    for (file, message) in [
        (
            "public_key_file = \"Cargo.toml\"",
            "auth.issuers[0].public_key_file: is not a PEM file",
        ),
        (
            "public_key_file = \"none.pem\"",
            "auth.issuers[0].public_key_file: cannot read none.pem",
        ),
        (
            "jwks_file = \"Cargo.toml\"",
            "auth.issuers[0].jwks_file: is not JSON",
        ),
    ] {
        expect(
            (secret, &format!("algorithms = \"ES256\"\n{file}")),
            "",
            &[message],
        );
    }
}

#[test]
fn issuers() {
    let secret = "secret = { env = \"SECRET\" }";
    expect(
        ("audience = [\"portcullis\"]", ""),
        "",
        &["auth.issuers[0].audience: is missing"],
    );
    expect(
        ("[\"portcullis\"]", "[]"),
        "",
        &["auth.issuers[0].audience: must name at least one"],
    );
    expect(
        ("issuer = \"https://auth.example.com/\"", ""),
        "",
        &["auth.issuers[0].issuer: is missing"],
    );
    let twice = "[[auth.issuers]]\nissuer = \"https://auth.example.com/\"\naudience = \"x\"\nsecret = { env = \"SECRET\" }";
    added(
        twice,
        &["auth.issuers[1].issuer: \"https://auth.example.com/\" is there twice"],
    );
    expect(
        (secret, &format!("{secret}\nleeway = \"1h\"")),
        "",
        &["auth.issuers[0].leeway: must be a time"],
    );
    for (keys, message) in [
        // What only `auth` itself can tell, by reading the key.
        (
            "algorithms = \"ES256\"\npublic_key_file = \"src/auth/testdata/rsa.pub.pem\"",
            "auth.issuers[0].algorithms: none of the algorithms fits the key",
        ),
        (
            "algorithms = \"RS256\"\npublic_key_file = \"src/auth/testdata/rsa_short.pub.pem\"",
            "auth.issuers[0].public_key_file: not a usable public key",
        ),
        (
            "algorithms = \"RS256\"\npublic_key_file = \"src/auth/testdata/rsa.key.pem\"",
            "auth.issuers[0].public_key_file: holds a private key",
        ),
        (
            "secret = \"-----BEGIN PUBLIC KEY-----\\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\"",
            "auth.issuers[0].secret: the secret is a PEM file",
        ),
    ] {
        expect((secret, keys), "", &[message]);
    }
    let cut = SMALL.find("[[auth.issuers]]").unwrap()..SMALL.find("[[tenants").unwrap();
    expect((&SMALL[cut], ""), "", &["auth.issuers: there is none"]);
}

#[test]
fn replication_is_for_trusted_roles_in_session_mode() {
    let with = |role: &str, keys: &str| {
        let own =
            "[logins.boss]\nuser = \"portcullis_boss\"\n[roles.boss]\nlogin = \"boss\"\npolicy = \"trusted\"";
        let text = format!("{SMALL}\n{own}\n");
        let entry = format!("[roles.{role}]\n");
        text.replace(&entry, &format!("{entry}{keys}\n"))
    };
    let allowed = with("boss", "replication = true\npool_mode = \"session\"");
    let roles = parse(&allowed).unwrap().client.replication_roles;
    assert!(roles.contains("boss") && roles.len() == 1);
    let off = with("boss", "replication = false");
    assert!(parse(&off).unwrap().client.replication_roles.is_empty());
    let trusted = "is for trusted roles alone";
    let mode = "needs pool_mode = \"session\" in the same entry";
    for (role, keys, expected) in [
        ("boss", "replication = true", &[mode][..]),
        ("boss", "replication = true\npool_mode = \"transaction\"", &[mode]),
        (
            "authenticated",
            "replication = true\npool_mode = \"session\"",
            &[trusted],
        ),
        ("authenticated", "replication = true", &[trusted, mode]),
        ("boss", "replication = \"database\"", &["must be true or false"]),
    ] {
        let found = complaints(&with(role, keys));
        assert_eq!(found.len(), expected.len(), "{keys}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                found.starts_with(&format!("roles.{role}.replication: {expected}")),
                "{found}"
            );
        }
    }
}
