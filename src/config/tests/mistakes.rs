//! Every kind of mistake is found, at its place, together with all others.

use super::*;

/// Replaces a part of the smallest configuration, adds to it, and expects exactly these complaints.
fn expect(replace: (&str, &str), add: &str, expected: &[&str]) {
    let (from, to) = replace;
    assert!(SMALL.contains(from), "{from}");
    let text = format!("{}{add}\n", SMALL.replace(from, to));
    let found = complaints(&text);
    let matches = found.len() == expected.len()
        && found
            .iter()
            .all(|complaint| expected.iter().any(|start| complaint.starts_with(start)));
    assert!(matches, "expected {expected:#?}\nfound {found:#?}\nin {text}");
}

fn added(add: &str, expected: &[&str]) {
    expect(("", ""), add, expected);
}

#[test]
fn values_of_a_wrong_type_or_size() {
    added(
        "[listen]\naddress = 6432",
        &["listen.address: must be a string, not a whole number"],
    );
    added(
        "[listen]\naddress = \"db\"",
        &["listen.address: \"db\" is not an address and port"],
    );
    added(
        "[listen]\nallow_plaintext = \"no\"",
        &["listen.allow_plaintext: must be true or false, not a string"],
    );
    added(
        "[listen]\nmax_client_conn = 0",
        &["listen.max_client_conn: must be from 1 to"],
    );
    added(
        "[listen]\nmax_client_conn = -1",
        &["listen.max_client_conn: must be from 1 to"],
    );
    added(
        "[listen]\nmax_client_conn = 1.5",
        &["listen.max_client_conn: must be a whole number, not a fraction"],
    );
    added(
        "[listen]\nmax_client_conn = 99999999999999999999999999",
        &["listen.max_client_conn: must be from 1 to"],
    );
    added(
        "[listen]\nclient_login_timeout = 0",
        &["listen.client_login_timeout: must be a time from 1ms"],
    );
    added(
        "[listen]\nexpiry_grace = \"soon\"",
        &["listen.expiry_grace: must be a time from 0s"],
    );
    added(
        "[listen]\nexpiry_grace = nan",
        &["listen.expiry_grace: must be a time"],
    );
    added(
        "[listen]\nexpiry_grace = [1]",
        &["listen.expiry_grace: must be a time"],
    );
    added(
        "[pool]\ndefault_pool_size = 0",
        &["pool.default_pool_size: must be from 1"],
    );
    added(
        "[pool]\nmin_pool_size = 21",
        &["pool.min_pool_size: is more than default_pool_size"],
    );
    added(
        "[pool]\npool_mode = \"session\"",
        &["pool.pool_mode: must be \"transaction\", not \"session\""],
    );
    added(
        "[log]\nformat = \"xml\"",
        &["log.format: must be \"text\" or \"json\", not \"xml\""],
    );
    added(
        "[log]\nlevel = \"a=b=c\"",
        &["log.level: \"a=b=c\" is not a level"],
    );
    added(
        "[admin]\naddress = \":9187\"",
        &["admin.address: \":9187\" is not an address"],
    );
    added("admin = 9187", &["tenants.tenant[0].admin: unknown key"]);
}

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
fn issuers() {
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
    let cut = SMALL.find("[[auth.issuers]]").unwrap()..SMALL.find("[[tenants").unwrap();
    expect((&SMALL[cut], ""), "", &["auth.issuers: there is none"]);
}

#[test]
fn identity_settings() {
    let key = "identity.settings";
    for (line, message) in [
        ("role = { claim = \"sub\" }", "role: a setting's name needs a dot"),
        (
            "search_path = { value = \"x\" }",
            "search_path: a setting's name needs a dot",
        ),
        (
            "app.user_id = { claim = \"sub\" }",
            "app: quote the setting's whole name, such as \"app.user_id\"",
        ),
        (
            "\"app.user id\" = { claim = \"sub\" }",
            "\"app.user id\": is no name of a setting",
        ),
        (
            "\"app..x\" = { claim = \"sub\" }",
            "\"app..x\": is no name of a setting",
        ),
        (
            "\"app.1\" = { claim = \"sub\" }",
            "\"app.1\": is no name of a setting",
        ),
        ("\"app.x\" = \"sub\"", "\"app.x\": must be a table"),
        ("\"app.x\" = {}", "\"app.x\": must be exactly one of"),
        (
            "\"app.x\" = { claim = \"sub\", tenant = true }",
            "\"app.x\": must be exactly one of",
        ),
        ("\"app.x\" = { tenant = false }", "\"app.x\".tenant: must be true"),
        (
            "\"app.x\" = { tenant = true, default = \"x\" }",
            "\"app.x\".default: only a claim",
        ),
        (
            "\"app.x\" = { claim = \"\" }",
            "\"app.x\".claim: must not be empty",
        ),
        (
            "\"app.x\" = { value = \"\\u0000\" }",
            "\"app.x\".value: must not contain NUL",
        ),
        (
            "\"app.x\" = { claims = true }\n\"app.X\" = { claims = true }",
            "\"app.x\": is there twice",
        ),
    ] {
        added(&format!("[{key}]\n{line}"), &[&format!("{key}.{message}")]);
    }
}

#[test]
fn guards() {
    added(
        "[guard]\npolicies = [\"none.toml\"]",
        &["guard.policies[0]: cannot read none.toml"],
    );
    added(
        "[guard]\ndefault_policy = \"none\"",
        &["guard.default_policy: there is no policy \"none\"; there are"],
    );
    added(
        "[guard]\ndefault_policy = \"trusted\"",
        &["guard.default_policy: \"trusted\" is trusted"],
    );
}

#[test]
fn tenants() {
    let tenant = "[[tenants.tenant]]\nname = \"b\"\n";
    let key = "tenants.tenant[1]";
    for (lines, message) in [
        (
            "database = \"acme\"",
            "database: acme on main belongs to tenant acme already",
        ),
        (
            "database = \"acme\"\nschema = \"b\"",
            "database: acme on main belongs to tenant acme",
        ),
        (
            "database = \"acme\"\nshared = true\n[identity.settings]\n\"a.t\" = { tenant = true }",
            "database: acme on main",
        ),
        (
            "server = \"mian\"",
            "server: there is no [servers.mian]; did you mean \"main\"?",
        ),
        ("schema = \"b\"", "database: is missing"),
        ("shared = true", "database: is missing"),
        ("extra_search_path = [\"x\"]", "extra_search_path: needs a schema"),
        (
            "shared = true\nschema = \"b\"\ndatabase = \"x\"",
            "schema: a tenant has a schema to itself",
        ),
        (
            "database = \"{tenant}\"",
            "database: {tenant} is for a [[pattern]]",
        ),
        ("database = \"a\\u0000b\"", "database: must not contain control"),
    ] {
        added(&format!("{tenant}{lines}"), &[&format!("{key}.{message}")]);
    }
    added(
        "[[tenants.tenant]]\nname = \"acme\"",
        &["tenants.tenant[1].name: acme is there twice"],
    );
    added("[[tenants.tenant]]", &["tenants.tenant[1].name: is missing"]);
    added(
        "[[tenants.database]]\nname = \"acme\"",
        &["tenants.tenant[0].name: acme is the name of a [[database]]"],
    );
    added(
        "[[tenants.database]]\nname = \"x\"\ntenant = \"no\"",
        &["tenants.database[0].tenant: must be"],
    );
    let schema = "[[tenants.tenant]]\nname = \"N\"\ndatabase = \"d\"\nschema = \"s\"\n";
    added(
        &format!("{}{}", schema.replace('N', "x"), schema.replace('N', "y")),
        &["tenants.tenant[2].schema: s belongs to tenant x already"],
    );
    added(
        "[[tenants.tenant]]\nname = \"x\"\ndatabase = \"d\"\nshared = true",
        &["identity.settings: tenants share tables"],
    );
    let all = "[[tenants.tenant]]\nname = \"acme\"";
    expect((all, ""), "", &["tenants: there is nothing to connect to"]);
    expect(
        (all, "[tenants]\nfile = \"none.toml\""),
        "",
        &["tenants.file: cannot read none.toml"],
    );
    expect(
        ("tenant_claim = \"tenant_id\"", ""),
        "",
        &["auth.tenant_claim: is missing: no session could"],
    );
    let two = "[servers.other]\nhost = \"x\"";
    added(
        two,
        &["tenants.tenant[0].server: is missing: there is more than one server"],
    );
}

#[test]
fn patterns() {
    let pattern = "[[tenants.pattern]]\nmatch = \"p*\"\n";
    let key = "tenants.pattern[0]";
    for (lines, message) in [
        (
            "database = \"x\"",
            "database: every tenant would get the same place",
        ),
        (
            "database = \"x\"\nschema = \"s\"",
            "database: every tenant would get the same place",
        ),
        (
            "database = \"x_{tenent}\"",
            "database: only {tenant} may stand between braces",
        ),
        (
            "database = \"a_long_name_in_front_{tenant}\"",
            "database: is too long",
        ),
        ("schema = \"s_{tenant}\"", "database: is missing"),
    ] {
        added(&format!("{pattern}{lines}"), &[&format!("{key}.{message}")]);
    }
    for wrong in ["p", "*p", "p**", "p q*"] {
        added(
            &format!("[[tenants.pattern]]\nmatch = \"{wrong}\"\ndatabase = \"d_{{tenant}}\""),
            &[&format!("{key}.match: must be \"*\"")],
        );
    }
    added(
        &format!(
            "{pattern}database = \"a_{{tenant}}\"\n{}database = \"b_{{tenant}}\"",
            pattern.replace("p*", "pq*")
        ),
        &["tenants.pattern[1].match: never matches: \"p*\" comes before it"],
    );
    // acme is by itself in a database that the pattern would give to another tenant.
    let acme = ("name = \"acme\"", "name = \"acme\"\ndatabase = \"t_p1\"");
    expect(
        acme,
        &format!("{pattern}database = \"t_{{tenant}}\""),
        &["tenants.pattern: \"p*\" would put tenant p1 where"],
    );
    expect(acme, &format!("{pattern}database = \"u_{{tenant}}\""), &[]);
    expect(
        acme,
        &format!("{pattern}database = \"t_p1\"\nschema = \"s_{{tenant}}\""),
        &["tenants.pattern: \"p*\" would put other tenants where tenant acme is by itself"],
    );
}

#[test]
fn unknown_keys_are_found_at_every_level() {
    let text = format!(
        "lisen = 1\n{SMALL}\n[listen]\nadress = \"x\"\n[servers.other]\nhost = \"x\"\nsslmode = \"require\"\n\
         [pool]\ndefault_poolsize = 1\n[guard]\npolicy = []\n[identity]\nsetting = 1\n"
    )
    .replace(
        "[[tenants.tenant]]",
        "[[tenants.tenant]]\nserver = \"main\"\nnam = \"x\"",
    );
    assert_eq!(
        complaints(&text),
        [
            "lisen: unknown key; did you mean listen?",
            "tenants.tenant[0].nam: unknown key; did you mean name?",
            "listen.adress: unknown key; did you mean address?",
            "servers.other.sslmode: unknown key; known here: host, port",
            "pool.default_poolsize: unknown key; did you mean default_pool_size?",
            "guard.policy: unknown key; known here: cache_bytes, default_policy, policies, reserved_prefixes",
            "identity.setting: unknown key; did you mean settings?",
        ]
    );
}

#[test]
fn all_mistakes_come_at_once_in_the_order_of_lines() {
    let text = r#"
[listen]
address = "nowhere"
max_client_conn = "many"

[servers.main]
port = 0

[logins.app]
user = ""
password = { env = "NONE" }

[roles.none]
login = "ap"

[auth]
default_role = "boss"
[[auth.issuers]]
issuer = "a"
audience = "b"
algorithms = ["none"]
secret = "short"
tokens = 1
"#;
    let error = parse(text).unwrap_err();
    let places: Vec<(Option<usize>, &str)> =
        error.mistakes.iter().map(|m| (m.line, m.key.as_str())).collect();
    assert_eq!(
        places,
        [
            (None, "tenants"),
            (Some(3), "listen.address"),
            (Some(4), "listen.max_client_conn"),
            (Some(6), "servers.main.host"),
            (Some(7), "servers.main.port"),
            (Some(10), "logins.app.user"),
            (Some(11), "logins.app.password.env"),
            (Some(13), "roles.none"),
            (Some(14), "roles.none.login"),
            (Some(17), "auth.default_role"),
            (Some(21), "auth.issuers[0].algorithms[0]"),
            (Some(23), "auth.issuers[0].tokens"),
        ]
    );
}

#[test]
fn syntax_errors_have_line_and_column() {
    let error = parse("[listen]\naddress = \n[pool\nx = 'y\n").unwrap_err();
    assert!(error.mistakes.len() > 1, "{error}");
    let first = &error.mistakes[0];
    assert_eq!(first.line, Some(2));
    assert!(first.message.starts_with("not valid TOML: "), "{first}");
    assert!(
        first.message.ends_with(')') && first.message.contains("(column "),
        "{first}"
    );
    let twice = parse("[listen]\n[listen]\n").unwrap_err();
    assert_eq!(twice.mistakes[0].line, Some(2), "{twice}");
}

#[test]
fn what_is_only_doubtful_is_a_warning() {
    let text = format!("{SMALL}\n[listen]\naddress = \"0.0.0.0:6432\"");
    let warnings = parse(&text).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].key, "listen.address");
    let allowed = parse(&format!("{text}\nallow_plaintext = true")).unwrap();
    assert_eq!(allowed.warnings, []);
    let for_ever = SMALL.replace("audience =", "require_exp = false\naudience =");
    assert_eq!(
        parse(&for_ever).unwrap().warnings[0].key,
        "auth.issuers[0].require_exp"
    );
}
