//! The routing rule, case by case.

use std::sync::Arc;

use proptest::prelude::*;

use super::super::{OwnName, Pattern, RunsAs, Separation};
use super::*;

fn placement(database: &str, separation: Separation) -> Placement {
    Placement {
        server: "main".into(),
        database: database.into(),
        separation,
        pool_mode: None,
        role: None,
    }
}

/// acme has a database, globex a schema, initech shares; `proj_*` is a fleet; `app` is shared by name.
fn directory() -> Directory {
    let schema = Separation::Schema {
        schema: "globex".into(),
        extra: Arc::from(["public".into()]),
    };
    Directory::new(Settings {
        tenants: [
            ("acme".into(), placement("acme_db", Separation::Database)),
            ("globex".into(), placement("app_db", schema)),
            ("initech".into(), placement("app_db", Separation::Shared)),
        ]
        .into(),
        patterns: vec![Pattern {
            prefix: "proj_".into(),
            template: placement("fleet_{tenant}", Separation::Database),
            plan: Some("fleet".into()),
        }],
        databases: [
            ("app".into(), shared("app_db", TenantNeed::Required)),
            ("lobby".into(), shared("lobby_db", TenantNeed::Optional)),
        ]
        .into(),
        roles: [
            ("member".into(), role("app", TenantChoice::FromToken)),
            ("service".into(), role("service", TenantChoice::Any)),
        ]
        .into(),
        plans: [("acme".into(), "gold".into())].into(),
        ranked: vec!["globex".into(), "acme".into()],
        pool_mode: PoolMode::Transaction,
        taken: HashSet::new(),
    })
}

fn shared(database: &str, tenant: TenantNeed) -> SharedDatabase {
    SharedDatabase {
        server: "main".into(),
        database: database.into(),
        tenant,
        pool_mode: None,
    }
}

fn role(login: &str, choice: TenantChoice) -> RoleSettings {
    RoleSettings {
        login: login.into(),
        user: OwnName::new(format!("login_{login}")),
        runs_as: RunsAs::TenantsRole,
        choice,
        pool_mode: None,
    }
}

fn try_route(role: &str, tenants: &[&str], database: &str) -> Result<Arc<Route>, RouteError> {
    let tenants: Vec<TenantName> = tenants.iter().map(|name| TenantName::from(*name)).collect();
    directory().route_for(&RoleName::from(role), &tenants, database)
}

/// Database, tenant and search_path of a route that must exist.
fn routed(role: &str, tenants: &[&str], database: &str) -> (String, Option<String>, Option<String>) {
    let route = try_route(role, tenants, database).unwrap();
    (
        route.database.to_string(),
        route.tenant.as_ref().map(ToString::to_string),
        route.search_path.clone(),
    )
}

#[test]
fn a_tenant_is_routed_to_its_placement() {
    assert_eq!(
        routed("member", &["acme"], "acme"),
        ("acme_db".into(), Some("acme".into()), None)
    );
    assert_eq!(
        routed("member", &["acme", "globex"], "globex"),
        (
            "app_db".into(),
            Some("globex".into()),
            Some(r#""globex", "public""#.into())
        )
    );
    assert_eq!(
        routed("member", &["initech"], "initech"),
        ("app_db".into(), Some("initech".into()), None)
    );
    assert_eq!(
        routed("member", &["proj_7"], "proj_7"),
        ("fleet_proj_7".into(), Some("proj_7".into()), None)
    );
}

#[test]
fn the_role_decides_the_login() {
    assert_eq!(
        try_route("member", &["acme"], "acme").unwrap().login.as_str(),
        "app"
    );
    assert_eq!(
        try_route("service", &[], "acme").unwrap().login.as_str(),
        "service"
    );
    assert_eq!(
        try_route("nobody", &["acme"], "acme"),
        Err(RouteError::UnknownRole("nobody".into()))
    );
}

#[test]
fn a_shared_database_takes_the_tenant_from_the_token() {
    assert_eq!(
        routed("member", &["initech"], "app"),
        ("app_db".into(), Some("initech".into()), None)
    );
    // The tenant's own placement decides, not the shared database's.
    assert_eq!(routed("member", &["acme"], "app").0, "acme_db");
    assert_eq!(
        try_route("member", &["acme", "initech"], "app"),
        Err(RouteError::Ambiguous(2))
    );
    assert_eq!(
        try_route("member", &["unlisted"], "app"),
        Err(RouteError::UnknownTenant("unlisted".into()))
    );
}

#[test]
fn a_token_with_tenants_cannot_tell_which_others_exist() {
    for role in ["member", "service"] {
        for database in ["globex", "proj_1", "no_such", "app_db", "", "acme_db"] {
            assert_eq!(
                try_route(role, &["acme"], database),
                Err(RouteError::NotYours(database.into())),
                "{role} {database}"
            );
        }
    }
}

#[test]
fn without_a_tenant_only_a_free_role_may_choose_one() {
    for database in ["acme", "no_such", "proj_1", "app", ""] {
        assert_eq!(
            try_route("member", &[], database),
            Err(RouteError::NoTenant("member".into())),
            "{database}"
        );
    }
    assert_eq!(routed("service", &[], "acme").1.as_deref(), Some("acme"));
    assert_eq!(routed("service", &[], "proj_1").0, "fleet_proj_1");
    assert_eq!(routed("service", &[], "app"), ("app_db".into(), None, None));
    assert_eq!(
        try_route("service", &[], "no_such"),
        Err(RouteError::UnknownDatabase("no_such".into()))
    );
}

#[test]
fn a_database_that_needs_no_tenant_lets_everybody_in() {
    assert_eq!(routed("member", &[], "lobby"), ("lobby_db".into(), None, None));
    assert_eq!(routed("member", &["acme"], "lobby").1.as_deref(), Some("acme"));
}

#[test]
fn without_any_tenants_an_unknown_database_is_just_unknown() {
    let mut settings = directory().settings.clone();
    settings.tenants.clear();
    settings.patterns.clear();
    let directory = Directory::new(settings);
    assert_eq!(
        directory.route_for(&"member".into(), &[], "no_such"),
        Err(RouteError::UnknownDatabase("no_such".into()))
    );
}

#[test]
fn a_token_cannot_reach_outside_a_pattern() {
    for tenant in ["proj_a b", "proj_\"; drop", "proj_{tenant}", "proj_/../acme"] {
        assert_eq!(
            try_route("member", &[tenant], tenant),
            Err(RouteError::UnknownDatabase(tenant.into()))
        );
    }
}

#[test]
fn routes_are_shared_and_their_number_is_bounded() {
    let directory = directory();
    let first = directory.route_for(&"service".into(), &[], "acme").unwrap();
    let second = directory
        .route_for(&"service".into(), &["acme".into()], "acme")
        .unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    for number in 0..ROUTES.get() + 100 {
        directory
            .route_for(&"service".into(), &[], &format!("proj_{number}"))
            .unwrap();
    }
    assert_eq!(directory.routes.lock().len(), ROUTES.get());
}

proptest! {
    #[test]
    fn a_token_that_names_tenants_never_leaves_them(
        tenants in prop::collection::vec("(acme|globex|initech|proj_[0-9]|ghost)", 1..4),
        database in "(acme|globex|initech|proj_[0-9]|ghost|app|lobby|app_db|[a-z]{0,3})",
        role in "(member|service)",
    ) {
        let named: Vec<&str> = tenants.iter().map(String::as_str).collect();
        if let Ok(route) = try_route(&role, &named, &database) {
            let tenant = route.tenant.as_ref().map(TenantName::as_str);
            prop_assert!(tenant.is_some_and(|tenant| named.contains(&tenant)));
        }
    }
}

#[test]
fn the_role_decides_the_mode_before_the_place_and_both_before_the_default() {
    use PoolMode::{Session, Transaction};
    let mode = |default, of_place, of_role| {
        let mut settings = directory().settings;
        settings.pool_mode = default;
        let member = settings.roles.get_mut(&RoleName::from("member")).unwrap();
        member.pool_mode = of_role;
        let acme = settings.tenants.get_mut(&TenantName::from("acme")).unwrap();
        acme.pool_mode = of_place;
        settings.patterns[0].template.pool_mode = of_place;
        let lobby = settings.databases.get_mut(&DatabaseName::from("lobby")).unwrap();
        lobby.pool_mode = of_place;
        let uses_session_mode = settings.uses_session_mode();
        let directory = Directory::new(settings);
        let role = RoleName::from("member");
        let acme = directory.route_for(&role, &["acme".into()], "acme").unwrap();
        let fleet = directory.route_for(&role, &["proj_1".into()], "proj_1").unwrap();
        let lobby = directory.route_for(&role, &[], "lobby").unwrap();
        assert!(acme.mode == fleet.mode && fleet.mode == lobby.mode);
        assert!(uses_session_mode || acme.mode == Transaction);
        assert_eq!(
            uses_session_mode,
            [Some(default), of_place, of_role].contains(&Some(Session))
        );
        acme.mode
    };
    assert_eq!(mode(Transaction, None, None), Transaction);
    assert_eq!(mode(Session, None, None), Session);
    assert_eq!(mode(Transaction, Some(Session), None), Session);
    assert_eq!(mode(Transaction, Some(Session), Some(Transaction)), Transaction);
    assert_eq!(mode(Session, Some(Transaction), None), Transaction);
    assert_eq!(mode(Transaction, None, Some(Session)), Session);
}

#[test]
fn ranked_tenants_come_in_order_and_each_spot_once() {
    let spots: Vec<(String, String)> = directory()
        .ranked()
        .into_iter()
        .map(|spot| (spot.database.to_string(), spot.login.to_string()))
        .collect();
    let spot = |database: &str, login: &str| (database.to_owned(), login.to_owned());
    assert_eq!(
        spots,
        [
            spot("app_db", "app"),
            spot("app_db", "service"),
            spot("acme_db", "app"),
            spot("acme_db", "service")
        ]
    );
}

/// What becomes of the sessions of one directory when another one is put into force.
#[test]
fn a_session_stays_where_it_would_be_sent_today_and_where_nobody_else_has_come() {
    let stays = |(role, tenants, database): (&str, &[&str], &str), change: &dyn Fn(&mut Settings)| {
        let before = directory();
        let tenants: Vec<TenantName> = tenants.iter().map(|name| TenantName::from(*name)).collect();
        let route = before.route_for(&role.into(), &tenants, database).unwrap();
        let mut settings = before.settings().clone();
        change(&mut settings);
        Directory::new(settings).keeps(&role.into(), &tenants, &route)
    };
    let in_schema = |database: &str, schema: &str, extra: &[&str]| {
        placement(
            database,
            Separation::Schema {
                schema: schema.into(),
                extra: extra.iter().map(|name| Box::from(*name)).collect(),
            },
        )
    };
    let add = |tenant: &'static str, place: Placement| {
        move |settings: &mut Settings| {
            settings.tenants.insert(tenant.into(), place.clone());
        }
    };
    let acme: (&str, &[&str], &str) = ("member", &["acme"], "acme");
    let globex: (&str, &[&str], &str) = ("member", &["globex"], "app");
    let initech: (&str, &[&str], &str) = ("member", &["initech"], "initech");
    let fleet: (&str, &[&str], &str) = ("member", &["proj_7"], "proj_7");
    let lobby: (&str, &[&str], &str) = ("member", &[], "lobby");
    let everybody = [acme, globex, initech, fleet, lobby];

    for session in everybody {
        assert!(stays(session, &|_| {}), "{session:?}");
        let elsewhere = add("new", placement("new_db", Separation::Database));
        assert!(stays(session, &elsewhere), "{session:?}");
        let rank = |settings: &mut Settings| {
            settings.ranked.clear();
            settings.plans.clear();
            settings.pool_mode = PoolMode::Session;
        };
        assert!(stays(session, &rank), "{session:?}");
        // Those that have no schema of their own in that database could name the new one.
        let beside = add("new", in_schema("app_db", "new", &[]));
        assert_eq!(stays(session, &beside), session != initech, "{session:?}");
        let in_lobby = add("new", in_schema("lobby_db", "new", &[]));
        assert_eq!(stays(session, &in_lobby), session != lobby, "{session:?}");
        let removed = |settings: &mut Settings| {
            settings.tenants.clear();
            settings.patterns.clear();
            settings.databases.clear();
        };
        assert!(!stays(session, &removed), "{session:?}");
    }
    for (tenant, place, session, expected) in [
        ("acme", placement("acme_db", Separation::Database), acme, true),
        ("acme", placement("moved", Separation::Database), acme, false),
        ("acme", in_schema("acme_db", "acme", &[]), acme, false),
        ("globex", in_schema("app_db", "moved", &["public"]), globex, false),
        (
            "globex",
            in_schema("app_db", "globex", &["public", "more"]),
            globex,
            true,
        ),
        ("globex", in_schema("app_db", "globex", &[]), globex, false),
        (
            "proj_7",
            placement("fleet_proj_7", Separation::Database),
            fleet,
            true,
        ),
        ("proj_7", placement("own", Separation::Database), fleet, false),
    ] {
        assert_eq!(stays(session, &add(tenant, place)), expected, "{tenant}");
    }
    let own_role = |settings: &mut Settings| {
        let globex = settings.tenants.get_mut("globex").unwrap();
        globex.role = Some(OwnName::new("{role}_{tenant}"));
    };
    assert!(!stays(globex, &own_role));
    assert!(stays(initech, &own_role));
    // Handed over: the database of the one who has gone is another's now.
    let renamed = |settings: &mut Settings| {
        let place = settings.tenants.remove("acme").unwrap();
        settings.tenants.insert("acme2".into(), place);
    };
    assert!(!stays(acme, &renamed));
    // Trusted roles are held to no schemas.
    let service: (&str, &[&str], &str) = ("service", &[], "initech");
    let beside = add("new", in_schema("app_db", "new", &[]));
    assert!(!stays(service, &beside));
    let trusted = |settings: &mut Settings| {
        beside(settings);
        settings.roles.get_mut("service").unwrap().runs_as = RunsAs::Itself;
    };
    assert!(stays(service, &trusted));
}
