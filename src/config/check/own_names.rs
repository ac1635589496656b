//! Roles and logins that are named after tenants: no two of them may come to the same name, nor to a configured one.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::base::{LoginName, RoleName, ServerName, TenantName};
use crate::pool;
use crate::tenant::{
    OwnName, Pattern, Placement, RoleSettings, RunsAs, Settings, Shape, TENANT_MARK, is_plain_name,
};

use super::super::raw::Section;

/// Notes where names would meet, and keeps the configured names from what is only known when a tenant comes.
pub(super) fn told_apart(top: &Section<'_>, mut settings: Settings, pool: &pool::Settings) -> Settings {
    let roles = settings.roles.keys().map(|role| role.as_str().into());
    let users = pool.logins.values().map(|login| &login.user);
    let users = users.filter(|user| !user.contains(TENANT_MARK));
    settings.taken = roles.chain(users.map(|user| user.as_str().into())).collect();
    let names = Names::of(top, &settings);
    names.one_role_each();
    let listed = names.listed();
    names.patterns(&listed);
    names.password_files(pool);
    settings
}

/// What a name is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owner<'a> {
    /// The transactions of a role at a tenant's.
    Role(&'a RoleName, &'a TenantName),
    /// The connections of a tenant.
    Login(&'a TenantName),
}

/// A name that many tenants have, each its own.
struct Fleet<'a> {
    shape: Shape,
    /// How the names of these tenants begin.
    prefix: &'a str,
    /// The server; `None` for all.
    server: Option<&'a ServerName>,
    /// The pattern and role; `None` for a login.
    role: Option<(&'a Pattern, &'a RoleName)>,
}

struct Names<'a> {
    top: &'a Section<'a>,
    settings: &'a Settings,
    /// Roles of end users, by name.
    end_users: Vec<(&'a RoleName, &'a RoleSettings)>,
    /// All roles, by name.
    roles: Vec<(&'a RoleName, &'a RoleSettings)>,
}

impl<'a> Names<'a> {
    fn of(top: &'a Section<'a>, settings: &'a Settings) -> Self {
        let mut roles: Vec<_> = settings.roles.iter().collect();
        roles.sort_by_key(|(name, _)| *name);
        let is_end_user = |(_, role): &(&RoleName, &RoleSettings)| role.runs_as == RunsAs::TenantsRole;
        Self {
            top,
            settings,
            end_users: roles.iter().copied().filter(is_end_user).collect(),
            roles,
        }
    }

    /// Two roles of tokens that became one in the server would have each other's rights.
    fn one_role_each(&self) {
        if self.end_users.len() < 2 {
            return;
        }
        let shares = |place: &Placement| place.role.as_ref().is_some_and(|role| !role.names_role());
        let listed = self.settings.tenants.iter().filter(|(_, place)| shares(place));
        let pattern = self
            .settings
            .patterns
            .iter()
            .find(|pattern| shares(&pattern.template));
        let whose = listed
            .map(|(tenant, _)| format!("tenant {tenant}"))
            .min()
            .or_else(|| pattern.map(|pattern| format!("\"{}*\"", pattern.prefix)));
        if let Some(whose) = whose {
            self.top.mistake_path(
                "tenants",
                format!(
                    "the role of {whose} would be the same for several roles of tokens, whose rights differ: put \
                     {{role}} into it"
                ),
            );
        }
    }

    /// The names of listed tenants, on which server.
    fn listed(&self) -> HashMap<(&'a ServerName, String), Owner<'a>> {
        let mut names: HashMap<_, Owner<'a>> = HashMap::new();
        let mut listed: Vec<_> = self.settings.tenants.iter().collect();
        listed.sort_by_key(|(tenant, _)| *tenant);
        for (tenant, place) in listed {
            for (role, settings) in &self.roles {
                let own_login = settings.user.names_tenant();
                let own_role = place.role.is_some() && settings.runs_as == RunsAs::TenantsRole;
                if !own_login && !own_role {
                    continue;
                }
                let (name, user) = match self
                    .settings
                    .own_names(role, settings, tenant, place.role.as_ref())
                {
                    Ok(made) => made,
                    Err(trap) => {
                        self.mistake(format!(
                            "tenant {tenant} cannot have a role or login of its own for {role}: {trap}"
                        ));
                        continue;
                    }
                };
                let role = (own_role, name.as_str().to_owned(), Owner::Role(role, tenant));
                let login = (own_login, user, Owner::Login(tenant));
                for (_, name, owner) in [role, login].into_iter().filter(|(is_own, ..)| *is_own) {
                    match names.entry((&place.server, name)) {
                        Entry::Vacant(free) => {
                            free.insert(owner);
                        }
                        Entry::Occupied(taken) if *taken.get() != owner => {
                            let name = &taken.key().1;
                            self.mistake(format!("{} and {owner} would both be {name:?}", taken.get()));
                        }
                        Entry::Occupied(_) => {}
                    }
                }
            }
        }
        names
    }

    /// The names of patterns' tenants, beside each other and beside listed ones.
    fn patterns(&self, listed: &HashMap<(&'a ServerName, String), Owner<'a>>) {
        let fleets = self.fleets();
        for (at, one) in fleets.iter().enumerate() {
            for other in fleets.iter().skip(at + 1) {
                if one.meets(other) {
                    self.mistake(format!(
                        "{one} and {other} could come to the same name: set them apart by a \
                         character that no tenant's name has, as in \"{{role}}.{TENANT_MARK}\""
                    ));
                }
            }
        }
        let mut listed: Vec<_> = listed.iter().collect();
        listed.sort_by_key(|((_, name), _)| name);
        for ((server, name), owner) in listed {
            let guest = fleets.iter().find_map(|fleet| {
                let tenant = fleet.shape.tenant_of(name)?;
                (fleet.is_on(server) && self.has(fleet, &tenant, owner)).then_some((fleet, tenant))
            });
            if let Some((fleet, tenant)) = guest {
                self.mistake(format!(
                    "{owner} would be {name:?}, as {fleet} would for tenant {tenant}"
                ));
            }
        }
    }

    /// Whether a tenant that is not the owner itself would have its name of this fleet.
    fn has(&self, fleet: &Fleet<'_>, tenant: &TenantName, owner: &Owner<'_>) -> bool {
        let by_pattern = tenant.as_str().starts_with(fleet.prefix)
            && is_plain_name(tenant.as_str())
            && !self.settings.tenants.contains_key(tenant);
        match (fleet.role, owner) {
            (None, Owner::Login(whose)) if *whose == tenant => false,
            // Names of listed tenants have been compared with each other.
            (None, _) => {
                let mut patterns = self.settings.patterns.iter();
                by_pattern && patterns.any(|pattern| tenant.as_str().starts_with(&*pattern.prefix))
            }
            (Some(_), _) => by_pattern,
        }
    }

    fn fleets(&self) -> Vec<Fleet<'a>> {
        let mut fleets = Vec::new();
        for pattern in &self.settings.patterns {
            let named = self.end_users.iter().filter_map(|(role, _)| {
                let shape = pattern.template.role.as_ref()?.shape(role)?;
                Some((shape, *role))
            });
            fleets.extend(named.map(|(shape, role)| Fleet {
                shape,
                prefix: &pattern.prefix,
                server: Some(&pattern.template.server),
                role: Some((pattern, role)),
            }));
        }
        let mut users: Vec<&OwnName> = self.roles.iter().map(|(_, role)| &role.user).collect();
        users.sort_by_key(|user| user.as_str());
        // Roles of one login, and logins of one user: the same name for the same tenant.
        users.dedup();
        let nobody = RoleName::from("");
        fleets.extend(
            users
                .into_iter()
                .filter_map(|user| user.shape(&nobody))
                .map(|shape| Fleet {
                    shape,
                    prefix: "",
                    server: None,
                    role: None,
                }),
        );
        fleets
    }

    /// A file that is named after the tenant needs a tenant whose name is no path.
    fn password_files(&self, pool: &pool::Settings) {
        let in_file = |(name, login): &(&LoginName, &pool::LoginSettings)| {
            let used = self.settings.roles.values().any(|role| role.login == **name);
            used && matches!(&login.password, crate::server::Password::InFile(_))
        };
        let Some((login, _)) = pool.logins.iter().find(in_file) else {
            return;
        };
        let odd = self
            .settings
            .tenants
            .keys()
            .filter(|tenant| !is_plain_name(tenant.as_str()));
        if let Some(tenant) = odd.min() {
            self.mistake(format!(
                "tenant {tenant} cannot have a password file of [logins.{login}]: only names of A-Z a-z 0-9 _ - \
                 become part of a path"
            ));
        }
    }

    fn mistake(&self, message: String) {
        self.top.mistake_path("tenants", message);
    }
}

impl Fleet<'_> {
    fn is_on(&self, server: &ServerName) -> bool {
        self.server.is_none_or(|own| own == server)
    }

    /// Whether some tenant's name here could be another tenant's there.
    fn meets(&self, other: &Self) -> bool {
        let apart = matches!((self.server, other.server), (Some(a), Some(b)) if a != b);
        if apart {
            return false;
        }
        // The same name for the same tenant, which has one placement and there one role of that name; but a role must
        // not be the login.
        if self.shape == other.shape {
            return self.role.is_some() != other.role.is_some();
        }
        let (one, two) = (&self.shape, &other.shape);
        let begins = |fleet: &Self| format!("{}{}", fleet.shape.before, fleet.prefix);
        let overlap = |a: &str, b: &str| a.starts_with(b) || b.starts_with(a);
        if !overlap(&begins(self), &begins(other)) {
            return false;
        }
        if !(one.after.ends_with(&*two.after) || two.after.ends_with(&*one.after)) {
            return false;
        }
        // What one has more than the other would have to be part of the other's tenant.
        let more = |a: &str, b: &str| {
            let (long, short) = if a.len() > b.len() { (a, b) } else { (b, a) };
            long.get(short.len()..).unwrap_or_default().to_owned()
        };
        let ahead = more(&one.before, &two.before);
        let reversed = |text: &str| text.chars().rev().collect::<String>();
        let behind = more(&reversed(&one.after), &reversed(&two.after));
        let within = |text: &str| {
            text.bytes()
                .all(|byte| is_plain_name(&char::from(byte).to_string()))
        };
        within(&ahead) && within(&behind)
    }
}

impl std::fmt::Display for Owner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Role(role, tenant) => write!(f, "role {role} of tenant {tenant}"),
            Self::Login(tenant) => write!(f, "the login of tenant {tenant}"),
        }
    }
}

impl std::fmt::Display for Fleet<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.role {
            Some((pattern, role)) => write!(f, "role {role} of tenants \"{}*\"", pattern.prefix),
            None => write!(
                f,
                "the login of tenants, {:?}",
                self.shape.before.clone() + TENANT_MARK + &self.shape.after
            ),
        }
    }
}
