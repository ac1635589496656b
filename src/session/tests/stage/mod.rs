//! A stage for sessions: the real pools, guard and sessions in front of a scripted server, all within the process and
//! with a clock of its own. Nothing waits for the system, so what takes a second elsewhere takes a millisecond here, and is
//! the same every time.
//!
//! Only public parts of the crate are used: the fuzz targets compile these files as well.

mod backend;
pub(crate) mod fuzzed;
mod record;
mod replies;
mod script;
mod server;
mod settings;
mod sql;

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

pub(crate) use backend::{Backend, Next};
pub(crate) use record::{PEOPLE, ROLE, Record};
pub(crate) use server::TERMINATE;
use server::Whims;

use portcullis::auth::{Authenticator, ClaimPath, Principal, Wanted};
use portcullis::base::memory::{Budget, Holder, Stay};
use portcullis::base::{ClientEnd, Drain, DrainHandle, Events, PoolMode, RoleName, Tenancy};
use portcullis::guard::{self, Guard};
use portcullis::net::{Endpoint, Inbox, Pipe, PipeListener, Stream};
use portcullis::pool::{self, Access, LoginSettings, PoolKey, Pools, ServerSettings, Share};
use portcullis::server::Password;
use portcullis::session::{ApplicationName, CancelRegistry, Identity, Session, Settings, Shared, Timer};
use portcullis::tenant::{
    self, Directory, DirectoryInForce, OwnName, RoleSettings, RunsAs, SharedDatabase, TenantChoice,
    TenantNeed,
};
use portcullis::wire::startup::CancelRequest;

/// What differs between stages.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Server connections.
    pub(crate) pool_size: usize,
    pub(crate) mode: PoolMode,
    /// What the server does of its own accord.
    pub(crate) whims: Vec<u8>,
    /// Bytes that a connection to the server holds each way.
    pub(crate) capacity: usize,
    /// Bytes that the server sends in one piece; 0 for all at once.
    pub(crate) piece: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            pool_size: 1,
            mode: PoolMode::Transaction,
            whims: Vec::new(),
            capacity: 64 * 1024,
            piece: 0,
        }
    }
}

/// Sessions and what they share.
pub(crate) struct Stage {
    pools: Arc<Pools>,
    sessions: Arc<Shared>,
    cancels: Arc<CancelRegistry>,
    budget: Arc<Budget>,
    principal: Arc<Principal>,
    directory: Arc<DirectoryInForce>,
    mode: PoolMode,
    server: Arc<server::Shared>,
    pub(crate) record: Arc<Mutex<Record>>,
    /// Held, or everything would stop.
    _drain: DrainHandle,
    drain: Drain,
    tasks: Vec<JoinHandle<()>>,
}

/// A runtime whose clock stands still while anything can happen, and jumps to the next deadline when nothing can.
pub(crate) fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

/// What somebody's transactions know of them.
pub(crate) fn identity_of(name: &str) -> Vec<(String, String)> {
    let tenant = PEOPLE
        .iter()
        .find(|(known, _)| *known == name)
        .map_or("", |(_, tenant)| tenant);
    let values = [("app.user_id", name), ("app.tenant", tenant)];
    values
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

impl Stage {
    /// Sets the stage; within a runtime.
    pub(crate) fn set(plan: Plan) -> Self {
        let listener = PipeListener::bind(plan.capacity);
        let endpoint = Endpoint::Unix(listener.path().to_owned());
        let server = Arc::new(server::Shared {
            whims: Mutex::new(Whims::new(&plan.whims)),
            piece: plan.piece,
            ..server::Shared::default()
        });
        let record = Arc::clone(&server.record);
        let events = Events::none();
        let budget = Budget::unlimited();
        let guard = Arc::new(Guard::new(guard::Settings {
            identity_settings: vec!["app.*".into()],
            cache_bytes: 1 << 20,
            ..guard::Settings::default()
        }));
        let pools = Pools::new(pool_settings(&plan, endpoint), events.clone());
        let sessions = Shared::new(
            session_settings(),
            guard,
            Arc::clone(&pools),
            &budget,
            1,
            1,
            events.clone(),
        );
        let (handle, drain) = DrainHandle::new();
        let tasks = vec![
            tokio::spawn(server::serve(listener, Arc::clone(&server))),
            tokio::spawn(Arc::clone(&pools).run(drain.clone())),
        ];
        Self {
            pools,
            sessions,
            cancels: CancelRegistry::new(events),
            budget,
            principal: principal(),
            directory: directory(plan.mode),
            mode: plan.mode,
            server,
            record,
            _drain: handle,
            drain,
            tasks,
        }
    }

    fn key(&self) -> PoolKey {
        PoolKey {
            server: "main".into(),
            database: "shop".into(),
            login: "app".into(),
            login_tenant: None,
            mode: self.mode,
        }
    }

    /// Begins a session of somebody. Its client has the other end of the connection, which holds so many bytes each way.
    pub(crate) async fn enter(&self, name: &str, capacity: usize) -> Entered {
        let (near, far) = Pipe::pair(capacity);
        let key = self.key();
        let pool = self.pools.enter(&key, None, None, Tenancy::Sole).expect("a pool");
        let account = self.budget.account(Holder::Role(ROLE.into()));
        let parameters = loop {
            // A server with whims may refuse a login.
            match pool.parameters().await {
                Ok(parameters) => break parameters,
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        };
        let (route, tenure) = self.directory.route(&self.principal, "shop").expect("a route");
        let identity = Identity {
            principal: Arc::clone(&self.principal),
            route,
            tenure,
            pool,
            values: identity_of(name),
            startup: Arc::default(),
            told: Vec::new(),
            parameters,
            stay: Stay::begin(&account, 0, 0).expect("room"),
        };
        let ticket = self.cancels.register(0);
        let cancel = CancelRequest {
            pid: ticket.pid(),
            secret: ticket.secret().to_vec(),
        };
        let mut session = Session::new(
            Arc::clone(&self.sessions),
            Stream::Pipe(near),
            Inbox::default(),
            identity,
            ticket,
            Timer::default(),
            self.drain.clone(),
        );
        Entered {
            stream: Stream::Pipe(far),
            cancel,
            end: tokio::spawn(async move { session.run().await }),
        }
    }

    /// The server has these whims from now on.
    pub(crate) fn vex(&self, whims: &[u8]) {
        *self.server.whims.lock() = Whims::new(whims);
    }

    /// Passes a cancel request on.
    pub(crate) async fn cancel(&self, request: &CancelRequest) {
        self.cancels.cancel(request).await;
    }

    /// Server connections in use, those under way, and clients that wait for one.
    pub(crate) fn busy(&self) -> [usize; 3] {
        let sum = |of: fn(&pool::ServerSnapshot) -> usize| self.pools.servers().iter().map(of).sum();
        [
            sum(|server| server.leased),
            sum(|server| server.connecting),
            sum(|server| server.waiting),
        ]
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A client's side of a session.
pub(crate) struct Entered {
    pub(crate) stream: Stream,
    pub(crate) cancel: CancelRequest,
    pub(crate) end: JoinHandle<ClientEnd>,
}

fn pool_settings(plan: &Plan, endpoint: Endpoint) -> pool::Settings {
    let server = ServerSettings {
        endpoint,
        tls: None,
        budget: pool::Budget::default(),
    };
    let login = LoginSettings {
        user: "app".into(),
        password: Password::Absent,
        default_pool_size: None,
        min_pool_size: None,
        access: Access::EndUser,
    };
    pool::Settings {
        servers: [("main".into(), server)].into(),
        logins: [("app".into(), login)].into(),
        plans: Default::default(),
        default_share: Share::default(),
        default_pool_size: plan.pool_size,
        min_pool_size: 0,
        query_wait_timeout: Duration::from_secs(120),
        server_lifetime: Duration::from_secs(3600),
        server_idle_timeout: Duration::from_secs(600),
        server_connect_timeout: Duration::from_secs(15),
        server_login_retry: Duration::from_secs(1),
        server_prepared_statements: 20,
    }
}

fn session_settings() -> Settings {
    Settings {
        expiry_grace: Duration::from_secs(30),
        idle_transaction_timeout: Some(Duration::from_secs(60)),
        pace: None,
        client_idle_timeout: None,
        judge_wait_timeout: None,
        max_statement_bytes: 1 << 20,
        application_name: ApplicationName::default(),
    }
}

/// Where the role's sessions go.
fn directory(mode: PoolMode) -> Arc<DirectoryInForce> {
    let shop = SharedDatabase {
        server: "main".into(),
        database: "shop".into(),
        tenant: TenantNeed::Optional,
        pool_mode: None,
    };
    let role = RoleSettings {
        login: "app".into(),
        user: OwnName::new("app".to_owned()),
        runs_as: RunsAs::TenantsRole,
        choice: TenantChoice::FromToken,
        pool_mode: None,
    };
    DirectoryInForce::new(Directory::new(tenant::Settings {
        tenants: Default::default(),
        patterns: Vec::new(),
        databases: [("shop".into(), shop)].into(),
        roles: [(ROLE.into(), role)].into(),
        plans: Default::default(),
        ranked: Vec::new(),
        pool_mode: mode,
        taken: Default::default(),
    }))
}

/// Somebody with the role: who they are is said by their identity's values.
fn principal() -> Arc<Principal> {
    let settings = portcullis::auth::Settings {
        issuers: Vec::new(),
        role_claim: ClaimPath::named("role"),
        default_role: None,
        roles: [RoleName::new(ROLE)].into_iter().collect(),
        tenant_claim: None,
        anonymous_role: Some(ROLE.into()),
        token_cache_bytes: 0,
        ways: Default::default(),
    };
    let authenticator = Authenticator::new(settings, Events::none()).expect("settings without mistakes");
    let wanted = Wanted {
        user: "somebody",
        database: "shop",
    };
    let mut login = pin!(authenticator.authenticate(None, &wanted));
    match login.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(principal) => principal.expect("an anonymous session"),
        Poll::Pending => panic!("waits for something"),
    }
}
