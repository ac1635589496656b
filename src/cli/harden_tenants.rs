//! Part of `portcullis harden`: the roles that tenants have of their own in a database.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use crate::base::{ServerName, TenantName};
use crate::config::Config;
use crate::harden::{farewell, reason, schemas};
use crate::tenant::{Directory, Resident};

/// The tenants of a database that the configuration may mean.
#[derive(Debug)]
pub(super) struct Tenants {
    pub(super) directory: Directory,
    server: Option<ServerName>,
}

impl Tenants {
    pub(super) fn new(config: &Config, server: Option<&str>) -> Result<Self, String> {
        let server = server.map(ServerName::from);
        if let Some(name) = &server
            && !config.pool.servers.contains_key(name)
        {
            return Err(format!("--server: there is no [servers.{name}]"));
        }
        Ok(Self {
            directory: Directory::new(config.tenants.clone()),
            server,
        })
    }

    /// The tenants in this session's database; those alone that are `named`, if any are.
    pub(super) async fn of(
        &self,
        client: &Client,
        database: &str,
        named: &[String],
    ) -> Result<Vec<Resident>, String> {
        let failed = |error: tokio_postgres::Error| format!("database {database}: {}", reason(&error));
        let schemas = schemas(client).await.map_err(failed)?;
        let servers: Vec<ServerName> = match &self.server {
            Some(server) => vec![server.clone()],
            None => self.servers(),
        };
        let mut homes = servers
            .iter()
            .map(|server| self.directory.residents(server, database, &schemas));
        let mut homes: Vec<Vec<Resident>> = homes.by_ref().filter(|home| !home.is_empty()).collect();
        if homes.len() > 1 {
            return Err(format!(
                "database {database}: several servers of the configuration have tenants in a database of that name; \
                 say which with --server"
            ));
        }
        let mut residents = homes.pop().unwrap_or_default();
        for name in named {
            if !residents.iter().any(|resident| resident.tenant.as_str() == name) {
                return Err(format!(
                    "database {database}: tenant {name} has no place here, or its schema is not there"
                ));
            }
        }
        if !named.is_empty() {
            residents.retain(|resident| named.iter().any(|name| resident.tenant.as_str() == name));
        }
        for resident in &residents {
            if let Some((role, trap)) = resident.refused.first() {
                super::harden_report::say(&format!(
                    "advice   tenant {}: cannot have a role or login of its own for {role}: {trap}",
                    resident.tenant
                ));
            }
        }
        Ok(residents)
    }

    /// What it takes to take away the roles of a tenant, whose schema may be gone.
    pub(super) async fn farewell(
        &self,
        client: &Client,
        database: &str,
        tenant: &str,
    ) -> Result<Vec<String>, String> {
        let failed = |error: tokio_postgres::Error| format!("database {database}: {}", reason(&error));
        let resident = self
            .directory
            .resident_named(&TenantName::from(tenant))
            .ok_or_else(|| format!("no entry and no pattern of the configuration places tenant {tenant}"))?;
        farewell(client, &resident).await.map_err(failed)
    }

    fn servers(&self) -> Vec<ServerName> {
        let settings = self.directory.settings();
        let listed = settings.tenants.values().map(|place| &place.server);
        let patterns = settings.patterns.iter().map(|pattern| &pattern.template.server);
        let names: BTreeSet<&ServerName> = listed.chain(patterns).collect();
        names.into_iter().cloned().collect()
    }
}
