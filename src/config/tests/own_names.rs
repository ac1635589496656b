//! Roles and logins that are named after tenants: which names meet.

use super::*;
use crate::base::{RoleName, TenantName};
use crate::tenant::Directory;

/// Two roles of end users, a trusted one, and what else is said.
fn with(roles: &str, tenants: &str) -> String {
    let small = SMALL.split("[[tenants.tenant]]").next().unwrap_or_default();
    format!(
        "{small}[roles.service]\nlogin = \"service\"\npolicy = \"trusted\"\nany_tenant = true\n\
         [logins.service]\nuser = \"portcullis_service\"\n{roles}\n{tenants}"
    )
}

fn pattern(role: &str) -> String {
    format!(
        "[[tenants.pattern]]\nmatch = \"*\"\ndatabase = \"app\"\nschema = \"s_{{tenant}}\"\nrole = \"{role}\"\n"
    )
}

fn listed(name: &str, role: &str) -> String {
    format!(
        "[[tenants.tenant]]\nname = \"{name}\"\ndatabase = \"app\"\nschema = \"s_{name}\"\nrole = \"{role}\"\n"
    )
}

const MEMBER: &str = "[roles.authenticated_admin]\nlogin = \"app\"";

#[test]
fn a_session_runs_as_its_tenants_role() {
    let config = parse(&with("", &pattern("{role}_{tenant}"))).unwrap_or_else(|error| panic!("{error}"));
    let directory = Directory::new(config.tenants);
    let route = |role: &str, tenant: &str| {
        let tenants = [TenantName::from(tenant)];
        directory.route_for(&RoleName::from(role), &tenants, tenant)
    };
    let acme = route("authenticated", "Acme").unwrap();
    assert_eq!(
        (acme.role.as_str(), acme.login.as_str()),
        ("authenticated_Acme", "app")
    );
    assert_eq!(acme.login_tenant, None);
    // Trusted roles are meant to reach every tenant.
    assert_eq!(route("service", "acme").unwrap().role.as_str(), "service");
    let long = "x".repeat(48);
    assert_eq!(route("authenticated", &long).unwrap().role.as_str().len(), 62);
    let config =
        parse(&with("", &pattern("a_longer_{role}_{tenant}"))).unwrap_or_else(|error| panic!("{error}"));
    let directory = Directory::new(config.tenants);
    let refused = directory.route_for(&"authenticated".into(), &[long.as_str().into()], &long);
    assert!(refused.unwrap_err().to_string().contains("longer than 63 bytes"));
}

#[test]
fn a_login_may_be_the_tenants_own() {
    let logins = "[logins.own]\nuser = \"login_{tenant}\"\npassword = { file = \"/run/secrets/{tenant}\" }\n\
                  [roles.member]\nlogin = \"own\"";
    let config = parse(&with(logins, &pattern("{role}.{tenant}"))).unwrap_or_else(|error| panic!("{error}"));
    let login = &config.pool.logins["own"];
    let (user, password) = login.of(Some(&"acme".into())).unwrap();
    assert_eq!(user, "login_acme");
    assert!(format!("{password:?}").contains("/run/secrets/acme"));
    for odd in ["../etc", "a/b", "", "x\0"] {
        assert!(login.of(Some(&odd.into())).is_none(), "{odd:?}");
    }
    assert!(login.of(None).is_none());
    let directory = Directory::new(config.tenants);
    let route = directory
        .route_for(&"member".into(), &["acme".into()], "acme")
        .unwrap();
    assert_eq!(route.login_tenant, Some("acme".into()));
}

#[test]
fn names_that_meet_are_mistakes() {
    let own_login = "[logins.own]\nuser = \"authenticated_{tenant}\"\n[roles.member]\nlogin = \"own\"";
    for (roles, tenants, message) in [
        // (authenticated, admin_x) and (authenticated_admin, x).
        (MEMBER, pattern("{role}_{tenant}"), "could come to the same name"),
        ("", pattern("user"), "every tenant would get the same role"),
        ("", pattern("{role}"), ""),
        (
            MEMBER,
            pattern("{tenant}"),
            "the same for several roles of tokens",
        ),
        ("", pattern("{tenant}"), ""),
        (
            "",
            pattern("{role}_{user}"),
            "only {tenant} and {role}, each once",
        ),
        (
            "",
            pattern("{tenant}_{tenant}"),
            "only {tenant} and {role}, each once",
        ),
        (
            "",
            pattern(&format!("{}{{tenant}}", "x".repeat(63))),
            "longer than 63 bytes",
        ),
        // A character that no tenant's name has.
        (MEMBER, pattern("{role}.{tenant}"), ""),
        (MEMBER, pattern("{tenant}.{role}"), ""),
        (
            MEMBER,
            listed("a", "{role}_{tenant}") + &listed("admin_a", "{role}_{tenant}"),
            "would both be \"authenticated_admin_a\"",
        ),
        (
            MEMBER,
            listed("a", "{role}_{tenant}") + &listed("b", "{role}_{tenant}"),
            "",
        ),
        (
            "",
            listed("a", "x_b") + &listed("b", "x_{tenant}"),
            "would both be \"x_b\"",
        ),
        (
            "",
            listed("a", "x_b") + &pattern("x_{tenant}"),
            "as role authenticated of tenants \"*\" would for tenant b",
        ),
        ("", listed("a", "x_a") + &pattern("x_{tenant}"), ""),
        ("", listed("a", "service"), "has a role or login of that name"),
        (
            "",
            listed("a", "portcullis_service"),
            "has a role or login of that name",
        ),
        ("", listed("a", "None"), "a keyword to Postgres"),
        ("", listed("a", "pg_{tenant}"), "are Postgres's own"),
        (
            "",
            listed(&"a".repeat(50), "{role}_{tenant}"),
            "longer than 63 bytes",
        ),
        (
            own_login,
            pattern("{role}_{tenant}"),
            "could come to the same name",
        ),
        (
            own_login,
            listed("a", "{role}_{tenant}"),
            "would both be \"authenticated_a\"",
        ),
        (
            "[logins.own]\nuser = \"x_{tenant}\"\npassword = { file = \"/s/{tenant}\" }\n[roles.member]\nlogin = \"own\"",
            listed("a.b", "{role}.{tenant}"),
            "cannot have a password file",
        ),
        (
            "[logins.own]\nuser = \"x\"\npassword = { file = \"/s/{tenant}\" }\n[roles.member]\nlogin = \"own\"",
            String::new() + &listed("a", "{role}.{tenant}"),
            "{tenant} needs a user that has it as well",
        ),
        (
            "[logins.own]\nuser = \"{role}_{tenant}\"\n[roles.member]\nlogin = \"own\"",
            listed("a", "{role}.{tenant}"),
            "only {tenant}, each once",
        ),
    ] {
        let said = complaints(&with(roles, &tenants)).join("\n");
        match message {
            "" => assert_eq!(said, "", "{roles} {tenants}"),
            _ => assert!(said.contains(message), "{roles} {tenants}: {said}"),
        }
    }
}

/// Patterns that place different tenants may still name their roles alike.
#[test]
fn patterns_are_compared_with_each_other() {
    let two = |one: &str, other: &str| {
        let entry = |start: &str, role: &str| {
            format!(
                "[[tenants.pattern]]\nmatch = \"{start}*\"\ndatabase = \"app\"\nschema = \"s_{{tenant}}\"\nrole = \"{role}\"\n"
            )
        };
        complaints(&with("", &(entry("eu_", one) + &entry("", other)))).join("\n")
    };
    assert_eq!(two("{role}_{tenant}", "{role}_{tenant}"), "");
    assert!(two("x_{tenant}", "x_eu_{tenant}").contains("could come to the same name"));
    assert!(two("x_{tenant}", "{tenant}").contains("could come to the same name"));
    assert_eq!(two("x.{tenant}", "{tenant}"), "");
    assert_eq!(two("x_{tenant}", "y_{tenant}"), "");
}
