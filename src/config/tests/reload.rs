//! The tenants file, read again while the process runs by the configuration that named it.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::super::TenantsFile;
use super::{Config, SMALL, environment};
use crate::base::Look;
use crate::tenant::Settings;

/// A configuration with one tenant of its own and a file of others.
struct Setup {
    file: TenantsFile,
    path: PathBuf,
    _folder: TempDir,
}

fn setup(extra: &str, tenants: &str) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tenants.toml");
    fs::write(&path, tenants).unwrap();
    let text = format!("{extra}\n{SMALL}\n[tenants]\nfile = \"tenants.toml\"\n").replace(
        "[[tenants.tenant]]\nname = \"acme\"\n\n[tenants]\n",
        "[tenants]\ntenant = [{ name = \"acme\" }]\n",
    );
    let config = Config::parse(text, &folder.path().join("portcullis.toml"), environment);
    let config = config.unwrap_or_else(|error| panic!("{error}"));
    Setup {
        file: config.tenants_file.unwrap(),
        path,
        _folder: folder,
    }
}

impl Setup {
    /// What is made of the file with this text: the directory, or the mistakes.
    fn written(&mut self, text: &str) -> Result<Settings, Vec<String>> {
        fs::write(&self.path, text).unwrap();
        let read = self.file.refresh(Look::Asked).expect("the file has changed");
        read.map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
    }

    fn complaint(&mut self, text: &str) -> String {
        self.written(text).unwrap_err().join("\n")
    }
}

fn tenant(name: &str, rest: &str) -> String {
    format!("[[tenant]]\nname = \"{name}\"\n{rest}\n")
}

#[test]
fn a_changed_file_makes_the_directory_that_a_restart_would() {
    let mut setup = setup("", &tenant("globex", ""));
    assert!(setup.file.refresh(Look::Asked).is_none());
    let both = tenant("globex", "") + &tenant("initech", "rank = 1");
    let directory = setup.written(&both).unwrap();
    assert_eq!(directory.tenants.len(), 3);
    assert!(directory.tenants.contains_key("acme") && directory.tenants.contains_key("initech"));
    assert_eq!(directory.ranked, ["initech".into()]);
    // Roles and taken names come from the configuration.
    assert!(directory.roles.contains_key("authenticated") && directory.taken.contains("portcullis_app"));
    let fewer = setup.written("# none\n").unwrap();
    assert_eq!(fewer.tenants.len(), 1);
    assert!(setup.file.refresh(Look::Asked).is_none());
}

#[test]
fn a_file_with_a_mistake_makes_none_and_is_told_once() {
    let mut setup = setup("", &tenant("globex", ""));
    for (text, complaint) in [
        ("[[tenant]\n".to_owned(), "tenants.toml:1: not valid TOML"),
        (tenant("x", "server = \"other\""), "there is no [servers.other]"),
        (tenant("x", "plan = \"gold\""), "there is no [plans.gold]"),
        (tenant("acme", ""), "acme is there twice"),
        (
            tenant("x", "database = \"acme\""),
            "acme on main belongs to tenant acme",
        ),
        (
            tenant("x", "shared = true\ndatabase = \"app\""),
            "tenants share tables",
        ),
        (tenant("x", "nonsense = 1"), "unknown key"),
        (
            tenant("x", "role = \"authenticated\""),
            "has a role or login of that name",
        ),
        (
            tenant("x", "database = \"app\"\nschema = \"s\"")
                + &tenant("y", "database = \"app\"\nschema = \"s\""),
            "s belongs to tenant x already",
        ),
        (
            "[[pattern]]\nmatch = \"*\"\ndatabase = \"{tenant}\"\n".to_owned()
                + &tenant("x", "database = \"y\""),
            "would put tenant y where tenant x is by itself",
        ),
    ] {
        let said = setup.complaint(&text);
        assert!(
            said.contains(complaint) && said.contains("tenants.toml"),
            "{said}"
        );
        assert!(setup.file.refresh(Look::Asked).is_none(), "told once");
        assert!(setup.file.refresh(Look::Round).is_none(), "told once");
    }
    fs::remove_file(&setup.path).unwrap();
    assert!(matches!(setup.file.refresh(Look::Asked), Some(Err(_))));
    assert!(setup.file.refresh(Look::Asked).is_none(), "told once");
    assert_eq!(setup.written(&tenant("globex", "")).unwrap().tenants.len(), 2);
}

#[test]
fn a_file_that_is_being_written_is_left_alone() {
    let mut setup = setup("", &tenant("globex", ""));
    fs::write(&setup.path, tenant("half", "")).unwrap();
    assert!(
        setup.file.refresh(Look::Round).is_none(),
        "it has only just changed"
    );
    fs::write(&setup.path, tenant("half", "") + &tenant("more", "")).unwrap();
    assert!(setup.file.refresh(Look::Round).is_none(), "it goes on changing");
    let settled = setup.file.refresh(Look::Round).unwrap().unwrap();
    assert_eq!(settled.tenants.len(), 3);
    assert!(setup.file.refresh(Look::Round).is_none());
}

/// What tenants need of the rest of the configuration is what the process runs by.
#[test]
fn tenants_that_share_are_let_in_where_a_setting_tells_them_apart() {
    let told = "[identity.settings]\n\"app.tenant_id\" = { tenant = true }\n";
    let mut setup = setup(told, &tenant("globex", ""));
    let shared = tenant("x", "shared = true\ndatabase = \"app\"");
    assert_eq!(setup.written(&shared).unwrap().tenants.len(), 2);
}
