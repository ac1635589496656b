//! The demonstration: two tenants, their users' tokens, and the lines to paste.

use std::path::{Path, PathBuf};

use super::demo_config::{Facts, portcullis_toml, tenants_toml};
use super::folder::write_private;
use super::seed::{Passwords, harden, seed};
use super::signing::{SigningKey, random_text};
use super::{Cluster, DevError};
use crate::config::Config;
use crate::harden::Wanted;

/// The user that stands for nobody: its name is that of the anonymous role, and it has no token.
const ANONYMOUS: &str = "anon";

/// Who may try the demonstration, and where.
const USERS: [(&str, &str); 3] = [("alice", "acme"), ("bob", "globex"), (ANONYMOUS, "acme")];

/// Everything that the proxy and its user need to know about the demonstration.
#[derive(Debug)]
pub struct Demo {
    /// The configuration file that the proxy is to run with.
    pub config_path: PathBuf,
    /// The file that holds the key of the tokens.
    pub signing_key: PathBuf,
    /// How to connect: alice, bob, then nobody in particular.
    pub urls: Vec<DemoUrl>,
}

/// One way to connect.
#[derive(Clone, Debug)]
pub struct DemoUrl {
    /// The user, e.g. `alice`.
    pub user: &'static str,
    /// The tenant, e.g. `acme`.
    pub tenant: &'static str,
    /// The connection URL. It holds the token.
    pub url: String,
    /// A shell command that connects.
    pub line: String,
}

impl DemoUrl {
    /// Whether it connects without a token.
    pub fn is_anonymous(&self) -> bool {
        self.user == ANONYMOUS
    }

    /// The environment variable that carries the URL to a script, e.g. `PORTCULLIS_URL_ALICE`.
    pub fn variable(&self) -> String {
        format!("PORTCULLIS_URL_{}", self.user.to_ascii_uppercase())
    }
}

impl Demo {
    /// Fills the cluster, signs the tokens and writes the configuration of a proxy on 127.0.0.1:`listen_port`.
    ///
    /// # Errors
    /// [`DevError::Database`], [`DevError::Io`] or [`DevError::Token`].
    ///
    /// Cancel safe: a later call does what is missing.
    pub async fn prepare(cluster: &Cluster, listen_port: u16) -> Result<Self, DevError> {
        let passwords = Passwords {
            app: random_text(),
            service: random_text(),
        };
        seed(cluster, &passwords).await?;
        let key = SigningKey::load_or_make(&cluster.home().join("signing_key"))?;
        let facts = Facts {
            listen_port,
            server_port: cluster.port(),
            passwords: &passwords,
            signing_key: key.path(),
        };
        let config_path = cluster.run_dir().join("portcullis.toml");
        write_private(&config_path, &portcullis_toml(&facts))?;
        write_private(&cluster.run_dir().join("tenants.toml"), &tenants_toml())?;
        let config = Config::load(&config_path).map_err(|error| DevError::Config(error.to_string()))?;
        harden(cluster, &Wanted::of(&config)).await?;
        let psql = psql_program(cluster.binaries().folder());
        let mut urls = Vec::with_capacity(USERS.len());
        for (user, tenant) in USERS {
            let credentials = if user == ANONYMOUS {
                user.to_owned()
            } else {
                format!("{user}:{}", key.token(user, tenant)?)
            };
            let url = format!("postgres://{credentials}@127.0.0.1:{listen_port}/{tenant}");
            let line = format!("{psql} \"{url}\"");
            urls.push(DemoUrl {
                user,
                tenant,
                url,
                line,
            });
        }
        Ok(Self {
            config_path,
            signing_key: key.path().to_owned(),
            urls,
        })
    }
}

/// `psql` where a shell finds it, else the one beside the server's programs where there is one.
fn psql_program(server_folder: &Path) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beside = server_folder.join("psql");
    if std::env::split_paths(&path).any(|folder| folder.join("psql").is_file()) || !beside.is_file() {
        return "psql".to_owned();
    }
    shell_word(&beside.to_string_lossy())
}

/// A word that a shell takes as it stands.
fn shell_word(text: &str) -> String {
    if text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/-_.@+".contains(c))
    {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_spaces_are_quoted_for_the_shell() {
        assert_eq!(shell_word("/usr/bin/psql"), "/usr/bin/psql");
        assert_eq!(shell_word("/Program Files/psql"), "'/Program Files/psql'");
        assert_eq!(shell_word("/it's/psql"), r"'/it'\''s/psql'");
    }

    #[test]
    fn variables_are_upper_case() {
        let url = DemoUrl {
            user: "alice",
            tenant: "acme",
            url: String::new(),
            line: String::new(),
        };
        assert_eq!(url.variable(), "PORTCULLIS_URL_ALICE");
    }
}
