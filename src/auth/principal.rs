//! The proof that somebody is who they say they are.

use std::sync::Arc;
use std::time::SystemTime;

use super::Claims;
use super::json::{Json, Object};
use crate::base::{RoleName, TenantName};

/// Who a session is: verified claims, a permitted role, tenants.
///
/// A proof value: only [`Authenticator`](super::Authenticator) makes one, so whoever holds one need not
/// check a token again. It can be asked …
/// ```
/// use portcullis::auth::Principal;
/// fn role(principal: &Principal) -> &str {
///     principal.role().as_str()
/// }
/// ```
/// … but not be made, neither from its parts …
/// ```compile_fail
/// use portcullis::auth::Principal;
/// fn forged(honest: Principal) -> Principal {
///     Principal { role: "service_role".into(), ..honest }
/// }
/// ```
/// … nor by its own constructor:
/// ```compile_fail
/// use portcullis::auth::Principal;
/// fn forged() -> Principal {
///     Principal::anonymous("service_role".into())
/// }
/// ```
///
/// `Debug` shows no claim: they are the user's, and some of them are secrets.
pub struct Principal {
    role: RoleName,
    tenants: Box<[TenantName]>,
    claims: Claims,
    expires_at: Option<SystemTime>,
    origin: Origin,
}

/// What the end of a session hangs by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The token that it logged in with.
    Token,
    /// The client certificate that was its way in, or half of it.
    Certificate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Token,
    NoPassword,
    UsersFile,
}

impl Principal {
    /// The role its transactions run as; on the list of roles, and never `none`.
    pub fn role(&self) -> &RoleName {
        &self.role
    }

    /// The tenants the token names, in its order and each once. Empty: it names none.
    pub fn tenants(&self) -> &[TenantName] {
        &self.tenants
    }

    /// The `sub` claim, where it is a string or a number; a number as the token has it.
    pub fn subject(&self) -> Option<&str> {
        self.claims.object().get("sub").and_then(Json::as_name)
    }

    /// The verified claims as the token has them, numbers to the letter; no key is there twice. Empty for anonymous
    /// sessions.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// About how much memory the claims take, in bytes.
    pub fn claim_bytes(&self) -> usize {
        object_bytes(self.claims.object())
    }

    /// When the session must end: the token's `exp` plus the issuer's leeway, or the end of the certificate that
    /// was its way in. `None`: never.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// What has expired when `expires_at` has come.
    pub fn credential(&self) -> Credential {
        match self.origin {
            // A listed user's password has no end.
            Origin::UsersFile => Credential::Certificate,
            // Without a password there is nothing that could expire.
            Origin::Token | Origin::NoPassword => Credential::Token,
        }
    }

    /// Whether it came without a token.
    pub fn is_anonymous(&self) -> bool {
        self.origin == Origin::NoPassword
    }

    /// Somebody without a token.
    pub(super) fn anonymous(role: RoleName) -> Self {
        Self {
            role,
            tenants: Box::default(),
            claims: Claims::default(),
            expires_at: None,
            origin: Origin::NoPassword,
        }
    }

    /// One of the users that are listed by name, once they have proved who they are.
    pub(super) fn listed(role: RoleName, tenants: Vec<TenantName>, claims: Claims) -> Self {
        Self {
            role,
            tenants: tenants.into(),
            claims,
            expires_at: None,
            origin: Origin::UsersFile,
        }
    }

    /// The same, for as long as its proof is good.
    pub(super) fn until(self: &Arc<Self>, expires_at: Option<SystemTime>) -> Arc<Self> {
        if expires_at == self.expires_at {
            return Arc::clone(self);
        }
        Arc::new(Self {
            role: self.role.clone(),
            tenants: self.tenants.clone(),
            claims: self.claims.clone(),
            expires_at,
            origin: self.origin,
        })
    }

    /// Somebody whose token's signature, times, issuer and audience have been checked.
    pub(super) fn verified(
        role: RoleName,
        tenants: Vec<TenantName>,
        claims: Claims,
        expires_at: Option<SystemTime>,
    ) -> Self {
        Self {
            role,
            tenants: tenants.into(),
            claims,
            expires_at,
            origin: Origin::Token,
        }
    }
}

/// A token is at most 16 KiB, and nests no deeper than 128 levels.
fn value_bytes(value: &Json) -> usize {
    let own = match value {
        Json::Text(text) => text.len(),
        Json::Number(number) => number.as_str().len(),
        Json::Array(values) => values.iter().map(value_bytes).sum(),
        Json::Object(claims) => object_bytes(claims),
        Json::Null | Json::Bool(_) => 0,
    };
    own + size_of::<Json>()
}

fn object_bytes(claims: &Object) -> usize {
    let claims = claims.iter();
    claims
        .map(|(name, value)| name.len() + size_of::<String>() + value_bytes(value))
        .sum()
}

impl std::fmt::Debug for Principal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Principal")
            .field("role", &self.role)
            .field("tenants", &self.tenants)
            .field("expires_at", &self.expires_at)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}
