//! From a password to a principal.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use foldhash::fast::RandomState;
use jsonwebtoken::AlgorithmFamily;
use moka::sync::Cache;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::grant::{self, RoleRule};
use super::key_store::{Edition, KeyStore};
use super::keys::KeySet;
use super::token::{self, Token, Validity};
use super::users::{ClaimPaths, Users};
use super::{
    AuthError, AuthSetupError, Bearer, ClaimPath, Claims, IssuerSettings, KeySource, NamePattern, Place,
    Principal, Settings, SetupMistake, SetupReason, UserLogin, Ways,
};
use crate::base::{Drain, Events, RoleName};

/// Checks tokens and makes principals. Shared by all clients; a reload makes a new one.
pub struct Authenticator {
    issuers: Vec<Issuer>,
    roles: RoleRule,
    tenant_claim: Option<ClaimPath>,
    anonymous_role: Option<RoleName>,
    verified: Cache<CacheKey, Arc<Verified>, RandomState>,
    users: Option<Arc<Users>>,
    bearer: Option<Bearer>,
    certificate_roles: BTreeSet<RoleName>,
}

/// What the client said in its startup message.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The user: the wanted role if it is a listed one, free text otherwise.
    pub user: &'a str,
    /// The database. It names the tenant and is judged when the session is routed, not here.
    pub database: &'a str,
}

/// The state of one issuer's keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetReport {
    /// The issuer.
    pub issuer: String,
    /// How many usable keys are in force.
    pub keys: usize,
    /// Why the last refresh failed, if it did.
    pub error: Option<String>,
}

struct Issuer {
    settings: IssuerSettings,
    keys: Arc<KeyStore>,
}

/// One token may log in as several roles, so the role is part of the key. The user's name is not unless it is
/// a listed role: otherwise one token could fill the cache.
#[derive(PartialEq, Eq, Hash)]
struct CacheKey {
    token_sha256: [u8; 32],
    wanted: Option<RoleName>,
}

struct Verified {
    principal: Arc<Principal>,
    validity: Validity,
    issuer: usize,
    /// Of the key set that verified it.
    generation: u64,
}

impl Authenticator {
    /// Checks the settings and reads the keys that are on this machine. A key set URL is fetched by
    /// [`Authenticator::run`] or at the first login that needs it, so its endpoint may be down now.
    ///
    /// # Errors
    /// Every mistake in the settings.
    pub fn new(settings: Settings, events: Events) -> Result<Arc<Self>, AuthSetupError> {
        let mut mistakes = check(&settings);
        let mut issuers = Vec::new();
        for (index, issuer) in settings.issuers.into_iter().enumerate() {
            match KeyStore::new(&issuer.issuer, &issuer.keys, events.clone()) {
                Ok(keys) => {
                    mistakes.extend(check_fit(index, &issuer, &keys));
                    issuers.push(Issuer {
                        settings: issuer,
                        keys,
                    });
                }
                Err(reason) => mistakes.push(SetupMistake {
                    place: Place::Keys(index),
                    reason,
                }),
            }
        }
        let Ways {
            users,
            mut scram_names,
            oauth,
            certificate_roles,
        } = settings.ways;
        if issuers.is_empty() && settings.anonymous_role.is_none() {
            scram_names.extend(NamePattern::parse("*"));
        }
        let paths = ClaimPaths {
            role: settings.role_claim.clone(),
            tenants: settings.tenant_claim.clone(),
        };
        let users = users
            .map(|file| Users::new(file, scram_names, paths, events))
            .transpose();
        let users = users.unwrap_or_else(|reason| {
            mistakes.push(SetupMistake {
                place: Place::Users,
                reason: SetupReason::Users(reason),
            });
            None
        });
        if !mistakes.is_empty() {
            return Err(AuthSetupError { mistakes });
        }
        Ok(Arc::new(Self {
            issuers,
            roles: RoleRule {
                claim: settings.role_claim,
                default: settings.default_role,
                allowed: settings.roles,
            },
            tenant_claim: settings.tenant_claim,
            anonymous_role: settings.anonymous_role,
            verified: Cache::builder()
                .max_capacity(settings.token_cache_bytes)
                .weigher(|_, verified: &Arc<Verified>| weight(&verified.principal))
                .build_with_hasher(RandomState::default()),
            users,
            bearer: oauth.map(Bearer::new),
            certificate_roles,
        }))
    }

    /// Says who the client is. The password is the token; none, or an empty one, asks for the anonymous role.
    ///
    /// Waits for the network only where a key set was never fetched or the token's key id is unknown, and
    /// then at most for the fetch's timeout. Cancel safe.
    ///
    /// # Errors
    /// See [`AuthError`]; none repeats the token.
    pub async fn authenticate(
        &self,
        password: Option<&[u8]>,
        wanted: &Wanted<'_>,
    ) -> Result<Arc<Principal>, AuthError> {
        self.authenticate_at(password, wanted, SystemTime::now()).await
    }

    /// Whether a session without a password is let in.
    pub fn allows_anonymous(&self) -> bool {
        self.anonymous_role.is_some()
    }

    /// How a user has to prove itself who is known by name; `None` for names that may be anything. `shown` is the
    /// client's certificate in DER form, which TLS has checked; `end_point` is what a login over this channel
    /// is bound to, where it can be.
    pub fn user(&self, name: &str, shown: Option<&[u8]>, end_point: Option<Arc<[u8]>>) -> Option<UserLogin> {
        self.users.as_ref()?.login(name, shown, end_point)
    }

    /// How many users the users file has; `None` if there is no file.
    pub fn users(&self) -> Option<usize> {
        self.users.as_ref().map(|users| users.len())
    }

    /// OAUTHBEARER, where it is configured.
    pub fn bearer(&self) -> Option<&Bearer> {
        self.bearer.as_ref()
    }

    /// OAUTHBEARER for a user who has not asked for it, where it is configured so.
    pub fn bearer_for(&self, user: &str) -> Option<&Bearer> {
        self.bearer.as_ref().filter(|bearer| bearer.is_for(user))
    }

    /// Whether a client with this certificate, or none, may have the role of its principal.
    ///
    /// # Errors
    /// The role must not be had without a certificate.
    pub fn check_certificate(&self, principal: &Principal, shown: Option<&[u8]>) -> Result<(), AuthError> {
        if shown.is_none() && self.certificate_roles.contains(principal.role()) {
            return Err(AuthError::CertificateNeeded(principal.role().clone()));
        }
        Ok(())
    }

    /// Keeps the key sets and the users fresh in the background until the drain begins. Cancel safe.
    pub async fn run(self: Arc<Self>, drain: Drain) {
        let mut refreshers = JoinSet::new();
        for issuer in &self.issuers {
            refreshers.spawn(Arc::clone(&issuer.keys).run(drain.clone()));
        }
        if let Some(users) = &self.users {
            refreshers.spawn(Arc::clone(users).run(drain.clone()));
        }
        while refreshers.join_next().await.is_some() {}
    }

    /// Refreshes every key set that the intervals allow to and says how each is: for `check` and for
    /// readiness. Cancel safe.
    pub async fn refresh(&self) -> Vec<KeySetReport> {
        let mut refreshes = JoinSet::new();
        for issuer in &self.issuers {
            let keys = Arc::clone(&issuer.keys);
            refreshes.spawn(async move { keys.refresh().await });
        }
        while refreshes.join_next().await.is_some() {}
        self.key_sets()
    }

    /// How every key set is, without waiting for anything.
    pub fn key_sets(&self) -> Vec<KeySetReport> {
        let report = |issuer: &Issuer| KeySetReport {
            issuer: issuer.settings.issuer.clone(),
            keys: issuer.keys.edition().map_or(0, |edition| edition.keys.len()),
            error: issuer.keys.failure(),
        };
        self.issuers.iter().map(report).collect()
    }

    pub(super) async fn authenticate_at(
        &self,
        password: Option<&[u8]>,
        wanted: &Wanted<'_>,
        now: SystemTime,
    ) -> Result<Arc<Principal>, AuthError> {
        let password = match password {
            None | Some([]) => return self.anonymous(wanted).map(Arc::new),
            Some(password) => password,
        };
        let key = CacheKey {
            token_sha256: Sha256::digest(password).into(),
            wanted: self.roles.wanted(wanted.user).cloned(),
        };
        if let Some(verified) = self.verified.get(&key)
            && self.is_current(&verified).await
        {
            verified.validity.check(now)?;
            return Ok(Arc::clone(&verified.principal));
        }
        let verified = self.verify(password, key.wanted.as_ref(), now).await?;
        let principal = Arc::clone(&verified.principal);
        self.verified.insert(key, Arc::new(verified));
        Ok(principal)
    }

    fn anonymous(&self, wanted: &Wanted<'_>) -> Result<Principal, AuthError> {
        let role = self.anonymous_role.as_ref().ok_or(AuthError::NoToken)?;
        match self.roles.wanted(wanted.user) {
            Some(other) if other != role => Err(AuthError::RoleNeedsToken(other.clone())),
            _ => Ok(Principal::anonymous(role.clone())),
        }
    }

    /// Whether the keys that verified a token are still in force.
    async fn is_current(&self, verified: &Verified) -> bool {
        let Some(issuer) = self.issuers.get(verified.issuer) else {
            return false;
        };
        let edition = issuer.keys.fresh_edition().await;
        edition.is_some_and(|edition| edition.generation == verified.generation)
    }

    /// Checks everything about a token. The signature comes before any claim but `iss`, which only chooses
    /// the keys, so that nobody learns from a forged token what a real one must say.
    async fn verify(
        &self,
        password: &[u8],
        wanted: Option<&RoleName>,
        now: SystemTime,
    ) -> Result<Verified, AuthError> {
        let token = Token::parse(password)?;
        let name = token.issuer()?;
        let (index, issuer) = self
            .issuers
            .iter()
            .enumerate()
            .find(|(_, issuer)| issuer.settings.issuer == name)
            .ok_or_else(|| token::unknown_issuer(name))?;
        let generation = issuer.check_signature(&token).await?;
        let validity = Validity::read(&token.claims, &issuer.settings)?;
        validity.check(now)?;
        token::check_audience(&token.claims, &issuer.settings.audience)?;
        let claims = Claims::new(token.claims)?;
        let role = self.roles.resolve(claims.object(), wanted)?;
        let tenants = match &self.tenant_claim {
            Some(claim) => grant::tenants(claim, claims.object())?,
            None => Vec::new(),
        };
        let principal = Principal::verified(role, tenants, claims, validity.expires_at);
        Ok(Verified {
            principal: Arc::new(principal),
            validity,
            issuer: index,
            generation,
        })
    }
}

impl Issuer {
    /// Checks the signature and returns the generation of the keys that did.
    async fn check_signature(&self, token: &Token<'_>) -> Result<u64, AuthError> {
        if !self.settings.algorithms.contains(&token.algorithm) {
            return Err(AuthError::AlgorithmNotAllowed(token.algorithm));
        }
        let edition = self.keys.fresh_edition().await;
        let edition = edition.ok_or_else(|| self.keys_unavailable())?;
        match check_with(&edition, token) {
            // The issuer may have begun to use a new key since our last look.
            Err(AuthError::UnknownKey) => {
                self.keys.refresh().await;
                let edition = self.keys.edition().ok_or_else(|| self.keys_unavailable())?;
                check_with(&edition, token)
            }
            outcome => outcome,
        }
    }

    fn keys_unavailable(&self) -> AuthError {
        AuthError::KeysUnavailable {
            issuer: self.settings.issuer.clone(),
        }
    }
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator")
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}

fn check_with(edition: &Edition, token: &Token<'_>) -> Result<u64, AuthError> {
    let candidates = edition
        .keys
        .candidates(token.algorithm, token.key_id.as_deref())?;
    if candidates.into_iter().any(|key| token.is_signed_by(key)) {
        Ok(edition.generation)
    } else {
        Err(AuthError::BadSignature)
    }
}

/// About what a principal takes in memory: parsed claims are a few times their text.
fn weight(principal: &Principal) -> u32 {
    const FIXED_BYTES: usize = 512;
    let text = principal.claims().document("");
    u32::try_from(FIXED_BYTES + 4 * text.len()).unwrap_or(u32::MAX)
}

/// Mistakes in the settings, the keys aside.
fn check(settings: &Settings) -> Vec<SetupMistake> {
    let mut mistakes = Vec::new();
    let mut mistake = |place, reason| mistakes.push(SetupMistake { place, reason });
    if settings.issuers.is_empty() && settings.anonymous_role.is_none() && settings.ways.users.is_none() {
        mistake(Place::Issuers, SetupReason::NobodyCanLogIn);
    }
    let mut names = BTreeSet::new();
    for (index, issuer) in settings.issuers.iter().enumerate() {
        if issuer.issuer.is_empty() {
            mistake(Place::Issuer(index), SetupReason::EmptyIssuer);
        } else if !names.insert(issuer.issuer.as_str()) {
            let name = issuer.issuer.clone();
            mistake(Place::Issuer(index), SetupReason::DuplicateIssuer(name));
        }
        let is_hmac = |algorithm: &jsonwebtoken::Algorithm| algorithm.family() == AlgorithmFamily::Hmac;
        if issuer.algorithms.is_empty() {
            mistake(Place::Algorithms(index), SetupReason::NoAlgorithms);
        } else if matches!(issuer.keys, KeySource::JwksUrl { .. }) && issuer.algorithms.iter().all(is_hmac) {
            mistake(Place::Algorithms(index), SetupReason::HmacFromUrl);
        }
    }
    if !settings.issuers.is_empty() && settings.roles.is_empty() {
        mistake(Place::Roles, SetupReason::NoRoles);
    }
    if let Some(role) = &settings.default_role
        && !settings.roles.contains(role)
    {
        let role = role.as_str().to_owned();
        mistake(Place::DefaultRole, SetupReason::RoleNotListed(role));
    }
    let listed = settings.roles.iter().map(|role| (role, Place::Roles));
    let anonymous = settings
        .anonymous_role
        .iter()
        .map(|role| (role, Place::AnonymousRole));
    let names = listed.chain(anonymous);
    mistakes.extend(names.filter_map(|(role, place)| grant::check_role_name(role, place).err()));
    mistakes
}

/// Whether an issuer with one configured key can verify anything at all.
fn check_fit(index: usize, issuer: &IssuerSettings, keys: &KeyStore) -> Option<SetupMistake> {
    let edition = keys.edition()?;
    let KeySet::Single(key) = &edition.keys else {
        return None;
    };
    let fits = issuer
        .algorithms
        .iter()
        .any(|algorithm| key.can_verify(*algorithm));
    (!fits && !issuer.algorithms.is_empty()).then(|| SetupMistake {
        place: Place::Algorithms(index),
        reason: SetupReason::AlgorithmsDoNotFit(format!("{:?}", key.algorithms())),
    })
}
