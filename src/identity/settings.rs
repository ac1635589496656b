//! Which settings (GUCs) tell the database who is asking, and where their values come from.

use crate::auth::json::Json;
use crate::auth::{ClaimPath, Principal};
use crate::base::TenantName;

/// Where an identity setting's value comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A claim of the token. Strings as they are, other values as JSON, numbers to the letter; absent, the default
    /// or `''`.
    Claim {
        /// Where in the claims.
        path: ClaimPath,
        /// The value when the claim is absent or null.
        default: Option<String>,
    },
    /// Always the same.
    Constant(String),
    /// The tenant's name, `''` for a session without one.
    Tenant,
    /// The role the transaction runs as.
    Role,
    /// The whole claims document as JSON, its `role` replaced by the role the transaction runs as
    /// (as PostgREST's `request.jwt.claims`).
    Claims,
}

/// The identity settings, in the order they are set.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Setting name and source.
    pub settings: Vec<(String, Source)>,
}

impl Settings {
    /// The values for one principal. Every setting gets one: an absent claim becomes `''`, so that no
    /// session inherits what another left in its place.
    pub fn values(&self, principal: &Principal, tenant: Option<&TenantName>) -> Vec<(String, String)> {
        self.settings
            .iter()
            .map(|(name, source)| (name.clone(), source.value(principal, tenant)))
            .collect()
    }
}

impl Source {
    fn value(&self, principal: &Principal, tenant: Option<&TenantName>) -> String {
        match self {
            Self::Claim { path, default } => match path.find(principal.claims().object()) {
                None | Some(Json::Null) => default.clone().unwrap_or_default(),
                Some(Json::Text(text)) => text.clone(),
                Some(other) => other.to_string(),
            },
            Self::Constant(value) => value.clone(),
            Self::Tenant => tenant.map(|t| t.as_str().to_owned()).unwrap_or_default(),
            Self::Role => principal.role().as_str().to_owned(),
            Self::Claims => principal.claims().document(principal.role().as_str()),
        }
    }
}
