//! The files in `config/` load, and say what the code does.

use std::path::PathBuf;
use std::time::Duration;

use super::super::files;
use super::super::raw::Origin;
use super::*;
use crate::base::{RoleName, TenantName};
use crate::tenant::Directory;

fn shipped(path: &str) -> Config {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("config")
        .join(path);
    let text = files::read_text(&path, files::LARGE).unwrap();
    Config::parse(text, &path, environment).unwrap_or_else(|error| panic!("{error}"))
}

/// Database, search_path and tenant of a route.
fn routed(
    config: &Config,
    role: &str,
    tenants: &[&str],
    database: &str,
) -> (String, Option<String>, Option<String>) {
    let tenants: Vec<TenantName> = tenants.iter().map(|name| TenantName::from(*name)).collect();
    let directory = Directory::new(config.tenants.clone());
    let route = directory
        .route_for(&RoleName::from(role), &tenants, database)
        .unwrap();
    (
        route.database.to_string(),
        route.search_path.clone(),
        route.tenant.as_ref().map(ToString::to_string),
    )
}

#[test]
fn the_smallest_configuration_has_defaults() {
    let config = parse(SMALL).unwrap();
    assert_eq!(config.client.address, ([127, 0, 0, 1], 6432).into());
    assert_eq!(config.client.max_tenant_client_conn, None);
    assert_eq!(config.session.client_idle_timeout, None);
    assert_eq!(
        config.session.idle_transaction_timeout,
        Some(Duration::from_secs(60))
    );
    assert_eq!(config.pool.default_pool_size, 20);
    assert!(config.admin.is_none());
    assert_eq!(
        config.auth.issuers[0].algorithms,
        [jsonwebtoken::Algorithm::HS256]
    );
    assert_eq!(config.warnings, []);
    assert_eq!(routed(&config, "authenticated", &["acme"], "acme").0, "acme");
}

#[test]
fn tenants_have_plans_and_ranks() {
    let fleet = "plan = \"gold\"\nrank = 2\n[[tenants.tenant]]\nname = \"globex\"\nrank = 1\n\
                 [[tenants.pattern]]\nmatch = \"t_*\"\nplan = \"small\"\n\
                 [plans.gold]\nweight = 4\nfloor = 2\n[plans.small]\ncap = 3\nburst = 1\n\
                 [pool]\nmax_tenant_server_conn = 10";
    let config = parse(&format!("{SMALL}{fleet}")).unwrap();
    let ranked: Vec<&str> = config.tenants.ranked.iter().map(TenantName::as_str).collect();
    assert_eq!(ranked, ["globex", "acme"]);
    let directory = Directory::new(config.tenants.clone());
    let plan = |tenant: &str| {
        let tenants = [TenantName::from(tenant)];
        let route = directory
            .route_for(&"authenticated".into(), &tenants, tenant)
            .unwrap();
        route.plan.as_ref().map(ToString::to_string)
    };
    assert_eq!(plan("acme").as_deref(), Some("gold"));
    assert_eq!(plan("globex"), None);
    assert_eq!(plan("t_1").as_deref(), Some("small"));
    let pool = &config.pool;
    assert_eq!(
        (
            pool.plans["gold"].cap,
            pool.plans["small"].cap,
            pool.default_share.cap
        ),
        (Some(10), Some(3), Some(10))
    );
    let default = parse(&format!("{SMALL}[plans.default]\ncap = 7")).unwrap();
    assert_eq!(default.pool.default_share.cap, Some(7));
}

#[test]
fn only_logins_of_trusted_roles_are_trusted() {
    let config = shipped("portcullis.toml");
    let access = |login: &str| config.pool.logins[login].access;
    assert_eq!(access("app"), crate::pool::Access::EndUser);
    assert_eq!(access("service"), crate::pool::Access::Trusted);
}

#[test]
fn the_documented_configuration_loads() {
    let config = shipped("portcullis.toml");
    assert_eq!(config.warnings, []);
    assert_eq!(routed(&config, "authenticated", &["acme"], "acme").0, "acme");
    assert_eq!(
        routed(&config, "authenticated", &["globex"], "globex")
            .1
            .as_deref(),
        Some(r#""globex", "extensions""#)
    );
    assert_eq!(routed(&config, "authenticated", &["initech"], "app").0, "shared");
    assert_eq!(routed(&config, "service_role", &[], "proj_1").0, "tenant_proj_1");
}

#[test]
fn the_conventions_of_platforms_load() {
    let atelier = shipped("examples/schema_per_project.toml");
    assert_eq!(
        routed(&atelier, "authenticated", &["blog", "shop"], "blog"),
        (
            "atelier".into(),
            Some(r#""project_blog", "public""#.into()),
            Some("blog".into())
        )
    );
    assert_eq!(routed(&atelier, "anon", &[], "shop").2.as_deref(), Some("shop"));

    let orgs = shipped("examples/database_per_org.toml");
    assert_eq!(routed(&orgs, "viewer", &["acme"], "acme").0, "org_acme");
    assert_eq!(routed(&orgs, "owner", &["globex"], "globex").0, "globex");

    let roles = shipped("examples/authenticator_roles.toml");
    for role in ["owner", "admin", "staff", "member", "anon"] {
        assert_eq!(routed(&roles, role, &[], "app"), ("app".into(), None, None));
    }

    let claims = shipped("examples/supabase_claims.toml");
    assert_eq!(
        routed(&claims, "authenticated", &["acme"], "postgres"),
        ("postgres".into(), None, Some("acme".into()))
    );
    assert_eq!(routed(&claims, "anon", &[], "postgres").2, None);
    assert_eq!(
        routed(&claims, "service_role", &[], "acme").2.as_deref(),
        Some("acme")
    );
}

#[test]
fn no_example_is_left_untested() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/examples");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "authenticator_roles.toml",
            "database_per_org.toml",
            "schema_per_project.toml",
            "supabase_claims.toml"
        ]
    );
}

#[test]
fn every_key_and_its_default_are_documented() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config/portcullis.toml");
    let documented = files::read_text(&path, files::LARGE).unwrap();
    let jwks = SMALL.replace(
        "secret = { env = \"SECRET\" }",
        "jwks_url = \"https://a.b/c\"\nalgorithms = [\"ES256\"]",
    );
    let oauth = "[auth.oauth]\nissuer = \"https://a.b\"\n";
    for config in [
        parse(SMALL).unwrap(),
        parse(&format!("{jwks}{oauth}[admin]")).unwrap(),
    ] {
        for effective in &config.effective {
            let key = effective.key.rsplit('.').next().unwrap();
            if effective.origin == Origin::Default {
                let line = format!("{key} = {}", effective.value);
                assert!(documented.contains(&line), "{line}");
            }
        }
    }
}

#[test]
fn the_description_has_every_key_but_no_secret() {
    let config = shipped("portcullis.toml");
    let described = config.describe();
    for line in [
        "listen.address = \"127.0.0.1:6432\"\n",
        "pool.default_pool_size = 20  # default\n",
        "logins.service.default_pool_size = 5\n",
        "logins.app.password = <secret from environment PORTCULLIS_APP_PASSWORD>\n",
        "auth.issuers[0].secret = <secret from environment PORTCULLIS_JWT_SECRET>\n",
        "identity.settings.\"app.tenant_id\" = { tenant = true }\n",
        "roles.service_role.any_tenant = true\n",
        "# 3 tenants, 1 patterns, 1 shared databases\n",
    ] {
        assert!(described.contains(line), "{line}\n{described}");
    }
    assert!(!described.contains(SECRET));
    assert!(!format!("{config:?}").contains(SECRET));
    let plain = parse(&SMALL.replace("{ env = \"SECRET\" }", &format!("{SECRET:?}"))).unwrap();
    assert!(plain.describe().contains("auth.issuers[0].secret = <secret>\n"));
    assert!(!format!("{plain:?}").contains(SECRET));
}

#[test]
fn files_are_found_beside_the_file_that_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "tenants.toml",
        "[[tenant]]\nname = \"acme\"\n[[tenant]]\nname = \"acme\"\nshard = 1\n",
    );
    write("secret", &format!("{SECRET}\r\n"));
    let text = SMALL
        .replace("{ env = \"SECRET\" }", "{ file = \"secret\" }")
        .replace(
            "[[tenants.tenant]]\nname = \"acme\"",
            "[tenants]\nfile = \"tenants.toml\"",
        );
    let path = folder.path().join("portcullis.toml");
    std::fs::write(&path, &text).unwrap();
    let error = Config::load(&path).unwrap_err();
    let shown = error.to_string().replace(&*folder.path().to_string_lossy(), "");
    assert_eq!(
        shown,
        "/tenants.toml:4: tenant[1].name: acme is there twice\n\
         /tenants.toml:5: tenant[1].shard: unknown key; did you mean shared?"
    );
    write("tenants.toml", "[[tenant]]\nname = \"acme\"\n");
    let config = Config::load(&path).unwrap();
    let crate::auth::KeySource::Secret(secret) = &config.auth.issuers[0].keys else {
        panic!("{:?}", config.auth.issuers[0].keys);
    };
    assert_eq!(secret.expose(), SECRET.as_bytes());
}

#[test]
fn a_file_that_cannot_be_read_is_one_mistake() {
    let error = Config::load(std::path::Path::new("/nonexistent/portcullis.toml")).unwrap_err();
    assert_eq!(error.mistakes.len(), 1);
    assert!(
        error
            .to_string()
            .contains("cannot read /nonexistent/portcullis.toml"),
        "{error}"
    );
}

#[test]
fn fifty_thousand_tenants_load() {
    let mut text = SMALL.to_owned();
    for number in 0..50_000 {
        text.push_str(&format!(
            "[[tenants.tenant]]\nname = \"t{number}\"\nschema = \"s{number}\"\ndatabase = \"fleet\"\n"
        ));
    }
    let config = parse(&text).unwrap();
    assert_eq!(config.tenants.tenants.len(), 50_001);
    assert_eq!(
        routed(&config, "authenticated", &["t49999"], "t49999")
            .1
            .as_deref(),
        Some("\"s49999\"")
    );
}
