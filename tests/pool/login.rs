//! Logging in to servers, good and bad.

use std::time::{Duration, Instant};

use portcullis::base::{Events, Fault, Secret, SqlState};
use portcullis::net::Endpoint;
use portcullis::pool::{PoolError, Pools, Settings};
use portcullis::server::{Password, ServerError};
use tokio::net::TcpListener;

use crate::fake::{self, Fake, Then};
use crate::wire::query;
use crate::{SECOND, cluster, key, pool, role, settings};

async fn refusal(settings: Settings, database: &str) -> (PoolError, Fault) {
    let pool = Pools::new(settings, Events::none()).get(&key(database)).unwrap();
    let error = pool.checkout(&role("r")).await.unwrap_err();
    let fault = Fault::from(&error);
    (error, fault)
}

/// The error of a fake server's login.
async fn fake_refusal(piece: Vec<u8>, then: Then) -> (PoolError, Fault) {
    let fake = Fake::start(piece, then).await;
    refusal(settings(fake.endpoint, "u_trust", 1), "postgres").await
}

#[tokio::test]
async fn every_password_method_over_tcp_and_a_unix_socket() {
    for (endpoint, user) in [
        (cluster::tcp(), "u_trust"),
        (cluster::tcp(), "u_plain"),
        (cluster::tcp(), "u_md5"),
        (cluster::tcp(), "u_scram"),
        (cluster::unix(), "u_scram"),
    ] {
        let pool = pool(settings(endpoint, user, 1));
        let mut lease = pool.checkout(&role("r")).await.unwrap();
        assert_eq!(query(&mut lease, "SELECT current_user").await.values, [user]);
        assert_eq!(lease.parameters().get("application_name"), Some("portcullis"));
        assert!(lease.parameters().get("server_version").is_some());
    }
}

#[tokio::test]
async fn defaults_of_the_login_cannot_unpin_what_the_guard_relies_on() {
    let pool = pool(settings(cluster::tcp(), "u_odd", 1));
    let mut lease = pool.checkout(&role("r")).await.unwrap();
    assert_eq!(
        query(&mut lease, "SHOW standard_conforming_strings").await.values,
        ["on"]
    );
    assert_eq!(query(&mut lease, "SHOW client_encoding").await.values, ["UTF8"]);
    // The startup packet's value is the one a RESET returns to.
    query(&mut lease, "RESET ALL").await;
    assert_eq!(
        query(&mut lease, "SHOW standard_conforming_strings").await.values,
        ["on"]
    );
}

#[tokio::test]
async fn trouble_with_our_own_login_stays_inside() {
    let mut wrong = settings(cluster::tcp(), "u_scram", 1);
    wrong
        .logins
        .values_mut()
        .for_each(|login| login.password = Password::Known(Secret::new(*b"wrong")));
    let mut missing = settings(cluster::tcp(), "u_scram", 1);
    missing
        .logins
        .values_mut()
        .for_each(|login| login.password = Password::Absent);
    let rejected = settings(cluster::tcp(), "u_reject", 1);
    for settings in [wrong, missing, rejected] {
        let (error, fault) = refusal(settings, "postgres").await;
        assert_eq!(fault.sqlstate, SqlState::CONNECTION_FAILURE);
        assert!(!format!("{fault:?}").contains("u_"), "{fault:?}");
        assert!(matches!(error, PoolError::Server(_)));
    }
}

#[tokio::test]
async fn the_servers_refusals_keep_their_sqlstate() {
    let (_, fault) = refusal(settings(cluster::tcp(), "u_trust", 1), "nowhere").await;
    assert_eq!(fault.sqlstate, SqlState::INVALID_CATALOG_NAME);
    let starting = "the database system is starting up";
    let (_, fault) = fake_refusal(fake::error("57P03", starting), Then::Close).await;
    assert_eq!(
        (fault.sqlstate, &*fault.message),
        (SqlState::CANNOT_CONNECT_NOW, starting)
    );
    let (_, fault) = fake_refusal(
        fake::error("53300", "sorry, too many clients already"),
        Then::Hang,
    )
    .await;
    assert_eq!(fault.sqlstate, SqlState::TOO_MANY_CONNECTIONS);
}

#[tokio::test]
async fn an_unknown_server_or_login_is_named_to_the_operator_only() {
    let pools = Pools::new(settings(cluster::tcp(), "u_trust", 1), Events::none());
    let mut elsewhere = key("postgres");
    elsewhere.server = "other".into();
    assert!(matches!(pools.get(&elsewhere), Err(PoolError::UnknownServer(name)) if name.as_str() == "other"));
    let mut nobody = key("postgres");
    nobody.login = "other".into();
    assert!(matches!(pools.get(&nobody), Err(PoolError::UnknownLogin(_))));
}

#[tokio::test]
async fn a_server_that_is_down() {
    // A port that was free a moment ago, and a socket that never was.
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for endpoint in [
        Endpoint::Tcp {
            host: "127.0.0.1".into(),
            port,
        },
        Endpoint::Unix("/nonexistent/.s.PGSQL.1".into()),
    ] {
        let began = Instant::now();
        let (error, fault) = refusal(settings(endpoint, "u_trust", 1), "postgres").await;
        assert!(matches!(&error, PoolError::Server(cause) if matches!(**cause, ServerError::Connect(_))));
        assert_eq!(fault.sqlstate, SqlState::CONNECTION_FAILURE);
        assert!(began.elapsed() < 5 * SECOND);
    }
}

#[tokio::test]
async fn a_server_that_says_nothing() {
    for piece in [Vec::new(), fake::message(b'R', &[0; 4])] {
        let fake = Fake::start(piece, Then::Hang).await;
        let mut settings = settings(fake.endpoint, "u_trust", 1);
        settings.server_connect_timeout = Duration::from_millis(200);
        let began = Instant::now();
        let (error, fault) = refusal(settings, "postgres").await;
        assert!(matches!(&error, PoolError::Server(cause) if matches!(**cause, ServerError::Timeout(_))));
        assert_eq!(fault.sqlstate, SqlState::CONNECTION_FAILURE);
        assert!(began.elapsed() < 2 * SECOND);
    }
}

#[tokio::test]
async fn servers_that_are_not_postgres_or_break_its_protocol() {
    let endless = fake::message(b'N', &[b'x'; 20_000]).repeat(100);
    for piece in [
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        b"S\xff\xff\xff\xff".to_vec(),
        fake::message(b'D', b"\0\0"),
        fake::message(b'Z', b"I"),
        [fake::greeting(&fake::PINNED), fake::message(b'C', b"SELECT 1\0")].concat(),
        [fake::message(b'R', &[0; 4]), endless].concat(),
    ] {
        let (error, fault) = fake_refusal(piece, Then::Hang).await;
        let is_protocol =
            matches!(&error, PoolError::Server(cause) if matches!(**cause, ServerError::Protocol(_)));
        assert!(is_protocol, "{error:?}");
        assert_eq!(fault.sqlstate, SqlState::CONNECTION_FAILURE);
    }
    let (error, _) = fake_refusal(fake::message(b'R', &[0; 4]), Then::Close).await;
    assert!(
        matches!(&error, PoolError::Server(cause) if matches!(**cause, ServerError::Lost(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_with_other_settings_is_not_used() {
    for name in 0..fake::PINNED.len() {
        let mut settings = fake::PINNED;
        settings[name].1 = "other";
        let (error, fault) = fake_refusal(fake::greeting(&settings), Then::Hang).await;
        assert!(matches!(&error, PoolError::Server(cause) if matches!(**cause, ServerError::Setting { .. })));
        assert!(fault.message.contains(settings[name].0), "{fault:?}");
    }
}

#[tokio::test]
async fn a_notice_behind_the_greeting_is_no_offence() {
    let piece = [
        fake::greeting(&fake::PINNED),
        fake::message(b'S', b"TimeZone\0UTC\0"),
    ]
    .concat();
    let fake = Fake::start(piece, Then::Hang).await;
    let pool = pool(settings(fake.endpoint, "u_trust", 1));
    let lease = pool.checkout(&role("r")).await.unwrap();
    assert_eq!(lease.parameters().get("TimeZone"), Some("UTC"));
}
