//! Services and tools that have a name and a password or certificate of their own instead of a token.
//!
//! Who listens in on many attempts must not learn which names there are: a name that is asked for a password
//! without having one gets a salt that is always the same for it, the same number of rounds as others have, and
//! an exchange that takes as long and ends in the same words (`mock_scram_secret`, auth-scram.c).

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::scram::{Challenge, Proof, Scram};
use super::{
    AuthError, CertificateName, ClaimPath, Claims, NamePattern, Principal, SaslError, ScramVerifier,
    certificate,
};
use crate::base::{Drain, Event, Events, Looks, Phase, RoleName, TenantName, Told, Watched};
use aws_lc_rs::hmac::{self, HMAC_SHA256};

/// How often the file is looked at. A look is one `stat`.
const INTERVAL: Duration = Duration::from_secs(2);

/// Rounds and bytes of salt that Postgres chooses (`SCRAM_SHA_256_DEFAULT_ITERATIONS`, `SCRAM_DEFAULT_SALT_LEN`,
/// scram-common.h).
const USUAL_SHAPE: (u32, usize) = (4096, 16);

/// Somebody who may log in by name.
#[derive(Clone, Debug)]
pub struct UserSettings {
    /// The startup packet's `user`.
    pub name: String,
    /// The role its transactions run as.
    pub role: RoleName,
    /// The tenants it may enter; empty if it names none.
    pub tenants: Vec<TenantName>,
    /// What its policies are told about it, as if a token had said so. `sub` is its name, and role and tenants are
    /// where tokens have them, unless they are here.
    pub claims: Claims,
    /// Its password's verifier.
    pub verifier: Option<ScramVerifier>,
    /// Names of certificates. With any, it has to show one that carries one of them; without a verifier that
    /// is enough.
    pub certificates: Vec<CertificateName>,
}

/// Reads a users file; the error is for people.
pub type ReadUsers = dyn Fn(&Path) -> Result<Vec<UserSettings>, String> + Send + Sync;

/// A file of users, read again when it changes.
#[derive(Clone)]
pub struct UsersFile {
    /// Where it is.
    pub path: PathBuf,
    /// Reads it, and refuses what does not fit the rest of the configuration. Blocks on the file system.
    pub read: Arc<ReadUsers>,
}

/// How a user has to prove who it is.
#[derive(Debug)]
pub enum UserLogin {
    /// Its certificate has done so.
    Certified(Arc<Principal>),
    /// By its password.
    Password(Box<PasswordLogin>),
}

/// A SCRAM exchange of which the client has been told the mechanisms.
#[derive(Debug)]
pub struct PasswordLogin {
    scram: Scram,
    stake: Stake,
}

/// A SCRAM exchange of which the client's proof is awaited.
#[derive(Debug)]
pub struct PasswordProof {
    challenge: Challenge,
    stake: Stake,
}

/// What a right proof is good for.
#[derive(Debug)]
struct Stake {
    user: String,
    principal: Result<Arc<Principal>, Doom>,
}

/// Why a user is not let in. The client is not told which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doom {
    /// There is no such user.
    Unknown,
    /// The proof does not fit.
    WrongPassword,
    /// It has no password, and its certificate was not shown.
    CertificateOnly,
    /// Its certificate was not shown.
    Certificate,
}

impl fmt::Display for Doom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "there is no such user",
            Self::WrongPassword => "wrong password",
            Self::CertificateOnly => "it has no password, and none of its certificates was shown",
            Self::Certificate => "none of its certificates was shown",
        })
    }
}

/// Where tokens say role and tenants.
pub(super) struct ClaimPaths {
    pub(super) role: ClaimPath,
    pub(super) tenants: Option<ClaimPath>,
}

/// The users in force.
pub(super) struct Users {
    path: PathBuf,
    /// Names that are asked for a password whether they have one or not.
    asked: Vec<NamePattern>,
    table: Watched<Table, String>,
    events: Events,
}

struct Table {
    users: HashMap<String, User>,
    mock: Mock,
}

struct User {
    principal: Arc<Principal>,
    verifier: Option<ScramVerifier>,
    certificates: Vec<CertificateName>,
}

/// What names without a password show instead.
struct Mock {
    key: hmac::Key,
    shape: (u32, usize),
}

impl Users {
    /// Reads the file. Blocks on the file system.
    pub(super) fn new(
        file: UsersFile,
        asked: Vec<NamePattern>,
        paths: ClaimPaths,
        events: Events,
    ) -> Result<Arc<Self>, String> {
        let path = file.path.clone();
        let read = move || Ok(Table::new((file.read)(&file.path)?, &paths));
        Ok(Arc::new(Self {
            table: Watched::of(vec![path.clone()], read)?,
            path,
            asked,
            events,
        }))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.table.get().users.len()
    }

    /// How this name has to prove itself; `None` if it is nobody's and may be anything.
    pub(super) fn login(
        &self,
        name: &str,
        shown: Option<&[u8]>,
        end_point: Option<Arc<[u8]>>,
    ) -> Option<UserLogin> {
        let table = self.table.get();
        let user = table.users.get(name);
        if user.is_none() && !self.asked.iter().any(|pattern| pattern.matches(name)) {
            return None;
        }
        // Made for every name, so that it takes no less time for those that need none.
        let mock = table.mock.verifier(name);
        let expiry = |user: &User| match (shown, user.certificates.as_slice()) {
            (_, []) => Some(None),
            (Some(shown), names) => certificate::expiry_if_named(shown, names).map(Some),
            (None, _) => None,
        };
        let (verifier, principal) = match user {
            None => (mock, Err(Doom::Unknown)),
            Some(user) => match (expiry(user), &user.verifier) {
                (Some(expiry), None) => {
                    return Some(UserLogin::Certified(user.principal.until(expiry)));
                }
                (Some(expiry), Some(verifier)) => (verifier.clone(), Ok(user.principal.until(expiry))),
                (None, Some(verifier)) => (verifier.clone(), Err(Doom::Certificate)),
                (None, None) => (mock, Err(Doom::CertificateOnly)),
            },
        };
        Some(UserLogin::Password(Box::new(PasswordLogin {
            scram: Scram::new(verifier, end_point),
            stake: Stake {
                user: name.to_owned(),
                principal,
            },
        })))
    }

    /// Looks at the file now and then, at once on SIGHUP, until the drain begins, and puts changes into force. A file that cannot be
    /// used leaves the users as they were. Cancel safe.
    pub(super) async fn run(self: Arc<Self>, drain: Drain) {
        let mut told = Told::default();
        let mut looks = Looks::every(INTERVAL, drain, Phase::Draining);
        while looks.next().await.is_some() {
            let users = Arc::clone(&self);
            let Ok(outcome) = tokio::task::spawn_blocking(move || users.table.refresh()).await else {
                continue;
            };
            if told.is_news(&outcome) {
                self.events.emit(&Event::UsersReloaded {
                    file: &self.path.display().to_string(),
                    error: outcome.as_ref().err().map(String::as_str),
                });
            }
        }
    }
}

impl PasswordLogin {
    /// The mechanisms to offer, best first.
    pub fn mechanisms(&self) -> Vec<&'static str> {
        self.scram.mechanisms()
    }

    /// Takes the client's first message; gives what to answer.
    ///
    /// # Errors
    /// The mechanism was not offered, or the message has not its form.
    pub fn challenge(self, mechanism: &[u8], message: &[u8]) -> Result<(PasswordProof, String), AuthError> {
        let (challenge, answer) = self.scram.challenge(mechanism, message)?;
        let proof = PasswordProof {
            challenge,
            stake: self.stake,
        };
        Ok((proof, answer))
    }
}

impl PasswordProof {
    /// Takes the client's proof; gives who it is, and the proof that we know its password too.
    ///
    /// # Errors
    /// The message has not its form, or the client is not to be let in; it is not told why.
    pub fn check(self, message: &[u8]) -> Result<(Arc<Principal>, String), AuthError> {
        let proof = self.challenge.check(message)?;
        let refused = |why| AuthError::UserRefused {
            user: clipped(&self.stake.user),
            why,
        };
        match (self.stake.principal, proof) {
            (Ok(principal), Proof::Good(answer)) => Ok((principal, answer)),
            (Err(doom), _) => Err(refused(doom)),
            (Ok(_), Proof::Wrong) => Err(refused(Doom::WrongPassword)),
        }
    }
}

impl From<SaslError> for AuthError {
    fn from(error: SaslError) -> Self {
        Self::Sasl(error)
    }
}

impl Table {
    fn new(settings: Vec<UserSettings>, paths: &ClaimPaths) -> Self {
        let mock = Mock::new(&settings);
        let users = settings.into_iter().map(|user| {
            let claims = paths.claims(&user);
            let made = User {
                principal: Arc::new(Principal::listed(user.role, user.tenants, claims)),
                verifier: user.verifier,
                certificates: user.certificates,
            };
            (user.name, made)
        });
        Self {
            users: users.collect(),
            mock,
        }
    }
}

impl ClaimPaths {
    /// What a token of this user would say.
    fn claims(&self, user: &UserSettings) -> Claims {
        let mut claims = user.claims.clone();
        let tenants: Vec<&str> = user.tenants.iter().map(TenantName::as_str).collect();
        claims.add(&ClaimPath::named("sub"), &[&user.name]);
        claims.add(&self.role, &[user.role.as_str()]);
        if let Some(path) = &self.tenants {
            claims.add(path, &tenants);
        }
        claims
    }
}

impl Mock {
    fn new(users: &[UserSettings]) -> Self {
        let verifiers = users
            .iter()
            .filter_map(|user| Some((user.name.as_str(), user.verifier.as_ref()?)));
        let mut shapes: HashMap<_, usize> = HashMap::new();
        for (_, verifier) in verifiers.clone() {
            *shapes.entry(verifier.shape()).or_default() += 1;
        }
        let shape = shapes
            .into_iter()
            .max_by_key(|(shape, count)| (*count, *shape))
            .map_or(USUAL_SHAPE, |(shape, _)| shape);
        // A secret that replicas share and a restart keeps: otherwise the names whose salt has changed would be
        // those that have no password.
        let first = verifiers.min_by_key(|(name, _)| *name);
        let key = match first {
            Some((_, verifier)) => hmac::Key::new(HMAC_SHA256, verifier.server_key()),
            None => hmac::Key::new(HMAC_SHA256, &rand::random::<[u8; 32]>()),
        };
        Self { key, shape }
    }

    fn verifier(&self, name: &str) -> ScramVerifier {
        let (iterations, salt_len) = self.shape;
        let mut salt = Vec::new();
        for block in 0_u32.. {
            if salt.len() >= salt_len {
                break;
            }
            let text = [b"salt of ", &block.to_be_bytes()[..], name.as_bytes()].concat();
            salt.extend_from_slice(hmac::sign(&self.key, &text).as_ref());
        }
        salt.truncate(salt_len);
        ScramVerifier::mock(iterations, salt)
    }
}

impl fmt::Debug for UsersFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UsersFile").field(&self.path).finish()
    }
}

/// A name fit for a message: what a startup packet can hold is longer than any name.
fn clipped(name: &str) -> String {
    const NAME_CHARS: usize = 63;
    name.chars().take(NAME_CHARS).collect()
}
