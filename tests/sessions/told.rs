//! What consumers of events are told of a session: whose it is, with everything that happens in it.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use portcullis::auth::Authenticator;
use portcullis::base::memory::Budget;
use portcullis::base::{DrainHandle, Event, Events, Observe, Phase, VerdictKind, Who};
use portcullis::client::{Gateway, GatewayParts};
use portcullis::config::Config;
use portcullis::guard::Guard;
use portcullis::pool::Pools;
use portcullis::session::Shared;
use portcullis::tenant::{Directory, DirectoryInForce};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::support::people::{Person, alice, bob};
use crate::support::postgres::{Version, cluster, free_port};
use crate::support::proxy::ordinary_config;
use crate::support::raw::{RawClient, bind, execute, parse, sync};
use crate::support::wait_until;

/// What was told, and of whom: tenant, role and subject.
type Told = (&'static str, Option<[String; 3]>);

/// A consumer that meters and audits.
#[derive(Default)]
struct Ledger(Mutex<Vec<Told>>);

impl Observe for Ledger {
    fn observe(&self, event: &Event<'_>, who: Option<&dyn Who>) {
        let what = match event {
            Event::LoggedIn { .. } => "login",
            Event::Verdict {
                kind: VerdictKind::Allow,
                ..
            } => "allowed",
            Event::Verdict { .. } => "refused",
            Event::ErrorSent { .. } => "error",
            Event::TransactionDone { .. } => "transaction",
            Event::ClientClosed { .. } => "closed",
            _ => return,
        };
        let of = who.map(|who| {
            let tenant = who.tenant().map(ToString::to_string);
            let subject = who.subject().map(str::to_owned);
            [tenant, Some(who.role().to_string()), subject].map(Option::unwrap_or_default)
        });
        self.0.lock().push((what, of));
    }
}

impl Ledger {
    /// What was told of somebody, in order.
    fn of(&self, who: &Person) -> Vec<&'static str> {
        let wanted = [who.tenant.clone(), "authenticated".to_owned(), who.name.clone()];
        let told = self.0.lock();
        let theirs = told.iter().filter(|(_, of)| of.as_ref() == Some(&wanted));
        theirs.map(|(what, _)| *what).collect()
    }
}

/// A proxy in this process whose events go to a consumer of the test's.
fn serve(runtime: &Runtime, port: u16, events: &Events) -> DrainHandle {
    let postgres = cluster(Version::Installed).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("portcullis.toml");
    fs::write(&path, ordinary_config(port, postgres.port(), 1).to_string()).unwrap();
    let config = Config::load(&path).unwrap();
    let (handle, drain) = DrainHandle::new();
    runtime.block_on(async {
        let budget = Budget::new(256 << 20, 100);
        let pools = Pools::new(config.pool, events.clone());
        let guard = Arc::new(Guard::new(config.guard));
        let gateway = Gateway::new(GatewayParts {
            settings: config.client,
            authenticator: Authenticator::new(config.auth, events.clone()).unwrap(),
            directory: DirectoryInForce::new(Directory::new(config.tenants)),
            pools: Arc::clone(&pools),
            identity: config.identity,
            sessions: Shared::new(config.session, guard, pools, &budget, 1, 1, events.clone()),
            budget,
            anonymous_role: None,
            events: events.clone(),
        });
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        tokio::spawn(gateway.serve(listener, drain));
    });
    handle
}

#[test]
fn every_event_of_a_session_says_whose_it_is() {
    let runtime = Runtime::new().unwrap();
    let ledger = Arc::new(Ledger::default());
    let port = free_port();
    let handle = serve(&runtime, port, &Events::new(Arc::clone(&ledger) as _));
    let login = |who: &Person| RawClient::login(port, &who.name, &who.tenant, &who.token());
    let (mut of_acme, mut of_globex) = (login(&alice()), login(&bob()));
    // By turns, on one server connection.
    assert_eq!(of_acme.value("SELECT 1"), "1");
    assert_eq!(of_globex.sqlstate("DROP TABLE todos"), "42501");
    assert_eq!(of_acme.sqlstate("SELECT 1 / 0"), "22012");
    of_globex.send(
        &[
            parse("", "SELECT 1", &[]),
            bind("", "", &[]),
            execute("", 0),
            sync(),
        ]
        .concat(),
    );
    of_globex.until_ready();
    drop((of_acme, of_globex));
    wait_until("their ends", Duration::from_secs(10), || {
        [alice(), bob()]
            .iter()
            .all(|who| ledger.of(who).last() == Some(&"closed"))
    });
    assert_eq!(
        ledger.of(&alice()),
        [
            "login",
            "allowed",
            "transaction",
            "allowed",
            "error",
            "transaction",
            "closed"
        ]
    );
    assert_eq!(
        ledger.of(&bob()),
        ["login", "refused", "error", "allowed", "transaction", "closed"]
    );
    assert!(
        ledger.0.lock().iter().all(|(_, of)| of.is_some()),
        "{:?}",
        ledger.0.lock()
    );
    handle.advance(Phase::Stopping);
}
