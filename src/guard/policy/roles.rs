//! Which role has which policy.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::policy::Policy;
use crate::base::{PoolMode, RoleName};

/// The policies by name, and the names of roles' policies.
#[derive(Debug)]
pub(in crate::guard) struct Roles {
    policies: HashMap<String, InMode, RandomState>,
    by_role: HashMap<RoleName, String, RandomState>,
    default_policy: String,
}

/// One policy, as it is in each mode.
#[derive(Clone, Debug)]
struct InMode {
    transaction: Arc<Policy>,
    session: Arc<Policy>,
}

impl InMode {
    fn new(policy: Policy) -> Self {
        Self {
            session: Arc::new(policy.in_session_mode()),
            transaction: Arc::new(policy),
        }
    }
}

impl Roles {
    /// A policy that is named but missing is replaced by one that allows nothing, as is one that is missing later.
    pub(in crate::guard) fn new(
        policies: Vec<Policy>,
        by_role: HashMap<RoleName, String>,
        default_policy: String,
    ) -> Self {
        let mut roles = Self {
            policies: HashMap::default(),
            by_role: by_role.into_iter().collect(),
            default_policy,
        };
        let named: Vec<String> = roles
            .by_role
            .values()
            .chain([&roles.default_policy])
            .cloned()
            .collect();
        for name in named {
            roles.put(Policy::nothing(&name));
        }
        for policy in policies {
            roles.put(policy);
        }
        roles
    }

    /// Puts a policy in the place of the one of its name.
    pub(in crate::guard) fn put(&mut self, policy: Policy) {
        self.policies
            .insert(policy.name().to_owned(), InMode::new(policy));
    }

    /// The policy of that name, as it is in transaction mode.
    pub(in crate::guard) fn named(&self, name: &str) -> Option<Arc<Policy>> {
        let policy = self.policies.get(name)?;
        Some(Arc::clone(&policy.transaction))
    }

    /// The policy of a role: its own, or the default.
    pub(in crate::guard) fn of(&self, mode: PoolMode, role: &RoleName) -> Arc<Policy> {
        let name = self.by_role.get(role).unwrap_or(&self.default_policy);
        let Some(policy) = self.policies.get(name) else {
            return Arc::new(Policy::nothing(name));
        };
        Arc::clone(match mode {
            PoolMode::Transaction => &policy.transaction,
            PoolMode::Session => &policy.session,
        })
    }
}
