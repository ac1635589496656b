//! Which role has which policy.

use std::collections::HashMap;
use std::sync::Arc;

use super::policy::Policy;
use crate::base::RoleName;

/// The policies by name, and the names of roles' policies.
#[derive(Debug)]
pub(super) struct Roles {
    pub(super) policies: HashMap<String, Arc<Policy>>,
    by_role: HashMap<RoleName, String>,
    default_policy: String,
}

impl Roles {
    /// A policy that is named but missing is replaced by one that allows nothing.
    pub(super) fn new(
        policies: Vec<Policy>,
        by_role: HashMap<RoleName, String>,
        default_policy: String,
    ) -> Self {
        let mut roles = Self {
            policies: HashMap::new(),
            by_role,
            default_policy,
        };
        for policy in policies {
            roles.put(policy);
        }
        let named: Vec<String> = roles
            .by_role
            .values()
            .chain([&roles.default_policy])
            .cloned()
            .collect();
        for name in named {
            let missing = || Arc::new(Policy::nothing(&name));
            roles.policies.entry(name.clone()).or_insert_with(missing);
        }
        roles
    }

    /// Puts a policy in the place of the one of its name.
    pub(super) fn put(&mut self, policy: Policy) {
        self.policies.insert(policy.name().to_owned(), Arc::new(policy));
    }

    /// The policy of a role: its own, or the default.
    pub(super) fn of(&self, role: &RoleName) -> Arc<Policy> {
        let name = self.by_role.get(role).unwrap_or(&self.default_policy);
        match self.policies.get(name) {
            Some(policy) => Arc::clone(policy),
            None => Arc::new(Policy::nothing(name)),
        }
    }
}
