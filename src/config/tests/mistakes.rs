//! Mistakes in single values, and how all of them are listed together.

use super::*;

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
        "[pool]\napplication_name_add_principal = 1",
        &["pool.application_name_add_principal: must be true or false, not a whole number"],
    );
    added(
        "[pool]\nauto_prepare = \"yes\"",
        &["pool.auto_prepare: must be true or false, not a string"],
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
}

#[test]
fn budgets_and_plans() {
    let main = (
        "host = \"db.example.com\"",
        "host = \"db.example.com\"\nreserved_connections = 5",
    );
    expect(
        main,
        "",
        &["servers.main.reserved_connections: needs max_connections"],
    );
    expect(
        (main.0, &format!("{}\nmax_connections = 5", main.1)),
        "",
        &["servers.main.reserved_connections: must be less than max_connections"],
    );
    expect((main.0, &format!("{}\nmax_connections = 6", main.1)), "", &[]);
    expect(
        (
            main.0,
            "host = \"db\"\nmax_concurrent_logins = 0\nmax_waiting = -1",
        ),
        "",
        &[
            "servers.main.max_concurrent_logins: must be from 1",
            "servers.main.max_waiting: must be from 0",
        ],
    );
    added(
        "[plans.a]\nweight = 0\nfloor = 3\ncap = 2\nburst = true\nquota = 1",
        &[
            "plans.a.weight: must be from 1 to 1000",
            "plans.a.burst: must be a whole number",
            "plans.a.floor: is more than the cap",
            "plans.a.quota: unknown key; known here: burst, cap, floor, weight",
        ],
    );
    added(
        "[plans.a]\nburst = 1\n[plans.b]\nfloor = 9\n[pool]\nmax_tenant_server_conn = 8",
        &["plans.b.floor: is more than the cap"],
    );
    added("[plans.a]\nburst = 1", &["plans.a.burst: needs a cap"]);
    added(
        "plan = \"gold\"",
        &["tenants.tenant[0].plan: there is no [plans.gold]; there is none"],
    );
    added(
        "plan = \"god\"\nrank = 0\n[plans.gold]",
        &[
            "tenants.tenant[0].plan: there is no [plans.god]; did you mean \"gold\"?",
            "tenants.tenant[0].rank: must be from 1",
        ],
    );
}

#[test]
fn times_and_choices() {
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
        "[pool]\npool_mode = \"statement\"",
        &["pool.pool_mode: must be \"transaction\" or \"session\", not \"statement\""],
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
fn unknown_keys_are_found_at_every_level() {
    let text = format!(
        "lisen = 1\n{SMALL}\n[listen]\nadress = \"x\"\n[servers.other]\nhost = \"x\"\nsslmod = \"require\"\n\
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
            "servers.other.sslmod: unknown key; did you mean sslmode?",
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
