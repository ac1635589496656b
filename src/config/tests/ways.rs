//! Ways in besides a token as the password: what their keys say, and what is wrong with them.

use std::fs;

use postgres_protocol::password::scram_sha_256;
use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;
use crate::client::TlsDemand;

/// A folder with a users file, a certificate and its key.
fn folder(users: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    for (name, text) in [
        ("a.crt", certificate.pem()),
        ("a.key", key.serialize_pem()),
        ("users.toml", users.to_owned()),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// The smallest configuration with these keys in [auth] and more at its end; `F/` is the folder.
fn with(folder: &TempDir, auth: &str, more: &str) -> String {
    let text = SMALL.replace("tenant_id\"\n", &format!("tenant_id\"\n{auth}\n")) + more;
    text.replace("F/", &format!("{}/", folder.path().display()))
}

const USERS: &str = "users_file = 'F/users.toml'";
const TLS: &str = "[listen.tls]\ncertificate = 'F/a.crt'\nkey = 'F/a.key'\nclient_ca = 'F/a.crt'\nclient_certificate = 'optional'\n";

#[test]
fn users() {
    let secret = scram_sha_256(b"hunter2");
    let folder = folder(&format!(
        "[[user]]\nname = 'bi'\nscram_secret = '{secret}'\nrole = 'authenticated'\n\
         tenants = ['acme', 'globex']\nclaims = {{ team = 'numbers', levels = [+1, 2.50, 1e3, 110_169_484_474_386_276_334, 0xff, true], more = {{ x = -1 }} }}\n\
         [[user]]\nname = 'billing'\nrole = 'authenticated'\ntenants = 'acme'\n\
         certificate = ['cn:billing', 'uri:spiffe://example.com/billing']\n"
    ));
    fs::write(folder.path().join("secret"), format!("{secret}\n")).unwrap();
    let auth = format!("{USERS}\nscram_users = ['svc_*', 'etl']");
    let config = parse(&with(&folder, &auth, TLS)).unwrap();
    let ways = &config.auth.ways;
    let file = ways.users.as_ref().unwrap();
    let users = (file.read)(&file.path).unwrap();
    let [bi, billing] = users.as_slice() else { panic!() };
    assert_eq!((bi.name.as_str(), bi.role.as_str()), ("bi", "authenticated"));
    assert_eq!(bi.tenants, ["acme".into(), "globex".into()]);
    assert_eq!(
        bi.claims.document("r"),
        "{\"levels\":[1,2.50,1e3,110169484474386276334,255,true],\"more\":{\"x\":-1},\"team\":\"numbers\",\"role\":\"r\"}"
    );
    assert!(bi.verifier.is_some() && bi.certificates.is_empty());
    assert!(billing.verifier.is_none());
    let names: Vec<String> = billing.certificates.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["cn:billing", "uri:spiffe://example.com/billing"]);
    assert!(ways.scram_names.iter().any(|name| name.matches("svc_x")));
    let shown = config.describe();
    assert!(
        shown.contains("auth.users_file") && !shown.contains("SCRAM-SHA-256$"),
        "{shown}"
    );

    // Read again, it is checked again.
    fs::write(
        &file.path,
        "[[user]]\nname = 'bi'\nscram_secret = { file = 'secret' }\nrole = 'authenticated'\n",
    )
    .unwrap();
    assert_eq!((file.read)(&file.path).unwrap().len(), 1);
    fs::write(
        &file.path,
        "[[user]]\nname = 'bi'\nscram_secret = 'hunter2'\nrole = 'x'\n",
    )
    .unwrap();
    let error = (file.read)(&file.path).unwrap_err();
    assert!(
        error.contains("there is no [roles.x]") && error.contains("no SCRAM verifier"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
    fs::remove_file(&file.path).unwrap();
    assert!((file.read)(&file.path).is_err());
}

#[test]
fn users_are_enough() {
    let secret = scram_sha_256(b"hunter2");
    let folder = folder(&format!(
        "[[user]]\nname = 'bi'\nscram_secret = '{secret}'\nrole = 'authenticated'\ntenants = 'acme'\n"
    ));
    let text = with(&folder, USERS, "");
    let (before, after) = text.split_once("[[auth.issuers]]").unwrap();
    let (_, after) = after.split_once("[[tenants.tenant]]").unwrap();
    let text = format!("{before}[[tenants.tenant]]{after}");
    parse(&text).unwrap();
    // They name tenants even where tokens do not.
    parse(&text.replace("tenant_claim = \"tenant_id\"", "")).unwrap();
    let nobody = complaints(&text.replace("users_file", "scram_users"));
    assert!(
        nobody
            .iter()
            .any(|it| it.starts_with("auth.issuers: there is none")),
        "{nobody:?}"
    );
    assert!(
        nobody
            .iter()
            .any(|it| it.starts_with("auth.scram_users: needs users_file")),
        "{nobody:?}"
    );
}

#[test]
fn the_example_of_a_users_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/users.toml");
    let folder = folder(&fs::read_to_string(path).unwrap());
    let config = parse(&with(&folder, USERS, "")).unwrap();
    let file = config.auth.ways.users.unwrap();
    assert_eq!((file.read)(&file.path).unwrap()[0].name, "metabase");
    // What is commented out is right as well.
    let text = fs::read_to_string(path).unwrap();
    let (before, after) = text.split_once("# [[user]]").unwrap();
    let (entry, _) = after.split_once("#\n").unwrap();
    let entry = entry
        .replace("\n# ", "\n")
        .replace("service_role", "authenticated");
    fs::write(&file.path, format!("{before}[[user]]{entry}")).unwrap();
    parse(&with(&folder, USERS, TLS)).unwrap();
}

#[test]
fn mistakes_of_users() {
    let secret = scram_sha_256(b"hunter2");
    let good = format!("scram_secret = '{secret}'\nrole = 'authenticated'\n");
    let md5 = format!("md5{}", "0".repeat(32));
    for (users, expected) in [
        (format!("[[user]]\n{good}"), vec!["user[0].name: is missing"]),
        (
            format!("[[user]]\nname = ''\n{good}"),
            vec!["user[0].name: must not be empty"],
        ),
        (
            format!("[[user]]\nname = 'authenticated'\n{good}"),
            vec!["user[0].name: \"authenticated\" is a role as well"],
        ),
        (
            format!("[[user]]\nname = 'a'\n{good}[[user]]\nname = 'a'\n{good}"),
            vec!["user[1].name: \"a\" is there twice"],
        ),
        (
            "[[user]]\nname = 'a'".to_owned(),
            vec![
                "user[0].role: is missing",
                "user[0].scram_secret: is missing: a user needs",
            ],
        ),
        (
            good.replace("authenticated", "authentcated") + "name = 'a'",
            vec!["user[0].role: there is no [roles.authentcated]; did you mean \"authenticated\"?"],
        ),
        (
            good.replace(&secret, "hunter2") + "name = 'a'",
            vec!["user[0].scram_secret: is no SCRAM verifier"],
        ),
        (
            good.replace(&secret, &md5) + "name = 'a'",
            vec!["user[0].scram_secret: is an MD5 hash"],
        ),
        (
            good.replace("4096", "many") + "name = 'a'",
            vec!["user[0].scram_secret: is a broken SCRAM verifier"],
        ),
        (
            good.clone() + "name = 'a'\npassword = 'x'",
            vec!["user[0].password: unknown key"],
        ),
        (
            good.clone() + "name = 'a'\nclaims = 'x'",
            vec!["user[0].claims: must be a table"],
        ),
        (
            good.clone() + "name = 'a'\nclaims = { since = 2024-01-01 }",
            vec!["user[0].claims: must hold what JSON can"],
        ),
        (
            good.clone() + "name = 'a'\ntenants = [1]",
            vec!["user[0].tenants[0]: must be a string"],
        ),
        (
            good.clone() + "name = 'a'\ncertificate = ['a', 'ip:1.1.1.1']",
            vec![
                "user[0].certificate[0]: must be \"cn:…\"",
                "user[0].certificate[1]: must be",
            ],
        ),
        (
            good.clone() + "name = 'a'\ncertificate = []",
            vec!["user[0].certificate: must name at least one"],
        ),
        (
            "users = []".to_owned(),
            vec!["users: unknown key; did you mean user?"],
        ),
        ("[[user]".to_owned(), vec![": not valid TOML"]),
    ] {
        let users = if users.starts_with("scram_secret") {
            format!("[[user]]\n{users}")
        } else {
            users
        };
        let folder = folder(&users);
        let found = complaints(&with(&folder, USERS, TLS));
        let matches = found.len() == expected.len()
            && std::iter::zip(&found, &expected).all(|(found, start)| found.starts_with(start));
        assert!(matches, "{users}: expected {expected:#?}, found {found:#?}");
        assert!(!format!("{found:?}").contains("hunter2"));
    }
    let folder = folder("[[user]]\nname = 'a'\nrole = 'authenticated'\ncertificate = 'cn:a'");
    let found = complaints(&with(&folder, USERS, ""));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with("user[0].certificate: needs client_ca"),
        "{found:?}"
    );
    let found = complaints(&with(&folder, "users_file = 'F/none.toml'", TLS));
    assert!(found.len() == 1 && found[0].contains("cannot read"), "{found:?}");
}

#[test]
fn oauth() {
    let config = |keys: &str| format!("{SMALL}[auth.oauth]\n{keys}");
    let oauth = parse(&config("issuer = 'https://id.example.com/'\nusers = ['*@oauth']")).unwrap();
    let oauth = oauth.auth.ways.oauth.unwrap();
    assert_eq!(
        (oauth.issuer.as_str(), oauth.scope.as_str()),
        ("https://id.example.com/", "openid")
    );
    assert!(oauth.users[0].matches("x@oauth"));
    for (keys, expected) in [
        ("", "auth.oauth.issuer: is missing"),
        (
            "issuer = 'http://id.example.com'",
            "auth.oauth.issuer: must start with https://",
        ),
        ("issuer = 'id'", "auth.oauth.issuer: is not a URL"),
        (
            "issuer = 'https://id'\nscope = 'a  b'",
            "auth.oauth.scope: must be scopes",
        ),
        (
            "issuer = 'https://id'\nscope = '\"'",
            "auth.oauth.scope: must be scopes",
        ),
        (
            "issuer = 'https://id'\nusers = ['a*b*']",
            "auth.oauth.users[0]: must be a user's name",
        ),
        (
            "issuer = 'https://id'\nclient_id = 'x'",
            "auth.oauth.client_id: unknown key",
        ),
    ] {
        let found = complaints(&config(keys));
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{keys}: {found:?}"
        );
    }
}

#[test]
fn client_certificates() {
    let folder = folder("");
    let tls = |more: &str| {
        let text = TLS.replace("client_certificate = 'optional'\n", more);
        with(&folder, "", &text)
    };
    let demand = |more: &str| parse(&tls(more)).unwrap().client.tls.unwrap().demand;
    assert_eq!(demand(""), TlsDemand::Require);
    assert_eq!(demand("client_certificate = 'require'"), TlsDemand::Require);
    assert_eq!(demand("client_certificate = 'optional'"), TlsDemand::Allow);
    assert_eq!(
        demand("client_certificate = 'optional'\nmode = 'require'"),
        TlsDemand::Require
    );
    for (text, expected) in [
        (
            tls("mode = 'allow'"),
            "listen.tls.mode: must be \"require\" with client_ca",
        ),
        (
            tls("client_certificate = 'maybe'"),
            "listen.tls.client_certificate: must be \"require\" or \"optional\"",
        ),
        (
            tls("").replace("client_ca = ", "client_certificate = 'require' #"),
            "listen.tls.client_certificate: needs client_ca",
        ),
        (
            SMALL.replace("login = \"app\"", "login = \"app\"\nrequire_certificate = true"),
            "roles.authenticated.require_certificate: needs client_ca",
        ),
    ] {
        let found = complaints(&text);
        assert!(
            found.len() == 1 && found[0].starts_with(expected),
            "{text}: {found:?}"
        );
    }
    let roles = tls("").replace("login = \"app\"", "login = \"app\"\nrequire_certificate = true");
    let config = parse(&roles).unwrap();
    assert!(config.auth.ways.certificate_roles.contains("authenticated"));
}
