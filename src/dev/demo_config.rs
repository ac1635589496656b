//! The configuration that the demonstration runs with: the same files that `portcullis serve` reads.

use std::path::Path;

use super::seed::{Passwords, TENANTS};
use super::signing::ISSUER;

/// What differs from run to run.
pub(super) struct Facts<'a> {
    /// Port of the proxy on 127.0.0.1.
    pub(super) listen_port: u16,
    /// Port of Postgres on 127.0.0.1.
    pub(super) server_port: u16,
    /// The logins' passwords.
    pub(super) passwords: &'a Passwords,
    /// The file that holds the signing key.
    pub(super) signing_key: &'a Path,
}

/// The text of `portcullis.toml`. It holds the logins' passwords.
pub(super) fn portcullis_toml(facts: &Facts<'_>) -> String {
    let Facts {
        listen_port,
        server_port,
        passwords,
        signing_key,
    } = facts;
    let (app, service) = (quote(&passwords.app), quote(&passwords.service));
    let (issuer, signing_key) = (quote(ISSUER), quote(&signing_key.to_string_lossy()));
    format!(
        r#"# Written by `portcullis dev` for one run.
[listen]
address = "127.0.0.1:{listen_port}"

[log]
level = "warn"

[servers.main]
host = "127.0.0.1"
port = {server_port}

# Two logins: a session of an end user can never become service_role.
[logins.app]
user = "portcullis_app"
password = {app}

[logins.service]
user = "portcullis_service"
password = {service}

[roles.anon]
login = "app"
policy = "end_user"
any_tenant = true

[roles.authenticated]
login = "app"
policy = "end_user"

[roles.service_role]
login = "service"
policy = "trusted"
any_tenant = true

[auth]
role_claim = "role"
tenant_claim = "tenant"
anonymous_role = "anon"

[[auth.issuers]]
issuer = {issuer}
audience = [{issuer}]
algorithms = ["HS256"]
secret = {{ file = {signing_key} }}

# What the policies of the demonstration read.
[identity.settings]
"app.user_id" = {{ claim = "sub" }}
"app.tenant" = {{ tenant = true }}
"app.role" = {{ claim = "role", default = "anon" }}
"request.jwt.claims" = {{ claims = true }}

[tenants]
file = "tenants.toml"
"#
    )
}

/// The text of `tenants.toml`: each tenant has a database of its own.
pub(super) fn tenants_toml() -> String {
    let entry = |name: &str| {
        let name = quote(name);
        format!("\n[[tenant]]\nname = {name}\nserver = \"main\"\ndatabase = {name}\n")
    };
    let entries: String = TENANTS.iter().map(|tenant| entry(tenant.name)).collect();
    format!("# Written by `portcullis dev` for one run.\n{entries}")
}

/// A TOML string, whatever is in it.
fn quote(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_path_and_password_survive() {
        let passwords = Passwords {
            app: "a\"b\\c".to_owned(),
            service: "d\n'e".to_owned(),
        };
        let path = Path::new("/tmp/it's a \"key\"");
        let facts = Facts {
            listen_port: 6432,
            server_port: 5555,
            passwords: &passwords,
            signing_key: path,
        };
        let parsed: toml::Table = portcullis_toml(&facts).parse().unwrap();
        assert_eq!(parsed["logins"]["app"]["password"].as_str(), Some("a\"b\\c"));
        assert_eq!(parsed["logins"]["service"]["password"].as_str(), Some("d\n'e"));
        assert_eq!(
            parsed["auth"]["issuers"][0]["secret"]["file"].as_str(),
            path.to_str()
        );
        assert_eq!(parsed["servers"]["main"]["port"].as_integer(), Some(5555));
    }

    #[test]
    fn every_tenant_is_listed() {
        let parsed: toml::Table = tenants_toml().parse().unwrap();
        let names: Vec<_> = parsed["tenant"]
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t["name"].as_str())
            .collect();
        assert_eq!(names, [Some("acme"), Some("globex")]);
    }
}
