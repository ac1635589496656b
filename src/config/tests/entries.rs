//! Mistakes in what a session becomes and where it lands.

use super::*;

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
        "[guard]\nreserved_prefixes = [\"a.\", \"b.*\", \"\", \"*\", \"c d\"]",
        &[
            "guard.reserved_prefixes[2]: must not be empty",
            "guard.reserved_prefixes[3]: must be how names",
            "guard.reserved_prefixes[4]: must be how names",
        ],
    );
    let prefixes = format!(
        "{SMALL}[guard]\nreserved_prefixes = [\"a.\", \"b.*\"]\n[identity.settings]\n\"c.d\" = {{ role = true }}"
    );
    assert_eq!(
        parse(&prefixes).unwrap().guard.identity_settings,
        ["c.d", "a.*", "b.*"]
    );
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
}

#[test]
fn tenants_together() {
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
fn plans_of_tokens() {
    let claim = (
        "tenant_claim = \"tenant_id\"",
        "tenant_claim = \"tenant_id\"\nplan_claim = \"plan\"",
    );
    expect(
        claim,
        "",
        &["auth.plan_claim: there is no plan that it could name"],
    );
    expect(claim, "[plans.gold]\nweight = 2", &[]);
    let crooked = (
        "tenant_claim = \"tenant_id\"",
        "tenant_claim = \"tenant_id\"\nplan_claim = \"$\"",
    );
    expect(crooked, "[plans.gold]", &["auth.plan_claim: "]);
    let alone = ("tenant_claim = \"tenant_id\"", "plan_claim = \"plan\"");
    let roles = "[roles.chooses]\nlogin = \"app\"\nany_tenant = true\n[plans.gold]";
    expect(alone, roles, &["auth.plan_claim: needs tenant_claim"]);
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
