//! Client certificates: as the way in, as half of it, and as what a role wants.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use postgres_protocol::password::scram_sha_256;
use rcgen::{CertificateParams, DnType, SanType};
use rustls::version::TLS13;

use crate::certificates::{Authority, Files};
use crate::client::{TlsClient, Way};
use crate::sasl::Wire as _;
use crate::support::people::{alice, in_seconds};
use crate::support::raw::{RawClient, VERSION_3_0, startup};
use crate::{ALICE, Bed, fails, stdout};

/// One authority for the proxy, one for its clients.
struct Authorities {
    servers: Authority,
    clients: Authority,
}

impl Authorities {
    fn new() -> Self {
        Self {
            servers: Authority::new("servers"),
            clients: Authority::new("clients"),
        }
    }

    fn bed(&self, users: &str, demand: &str, more: &str) -> Bed {
        let ca = self.clients.ca();
        let keys = format!(
            "listen.tls.client_ca = '{}'\nlisten.tls.client_certificate = '{demand}'",
            ca.display()
        );
        Bed::new(
            users,
            Some((&self.servers.issue("server", "localhost"), &keys)),
            more,
        )
    }

    /// A client's certificate with this common name and these other names.
    fn client(&self, file: &str, common_name: &str, others: Vec<SanType>) -> Files {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.subject_alt_names = others;
        self.clients.issue_as(file, params)
    }
}

fn shown(files: &Files) -> String {
    format!(
        "sslmode=require sslcert={} sslkey={}",
        files.certificate.display(),
        files.key.display()
    )
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn user(name: &str, role: &str, certificate: &str) -> String {
    format!("[[user]]\nname = '{name}'\ncertificate = {certificate}\nrole = '{role}'\ntenants = ['acme']\n")
}

#[test]
fn a_certificate_is_enough_for_its_user() {
    let authorities = Authorities::new();
    let users = user("alice", "authenticated", "'cn:alice.test'")
        + &user(
            "billing",
            "service_role",
            "['uri:spiffe://shop.test/billing', 'dns:billing.test']",
        );
    let bed = authorities.bed(&users, "optional", "");
    let by_name = authorities.client("alice", "alice.test", vec![]);
    let by_uri = authorities.client("billing", "x", vec![uri("spiffe://shop.test/billing")]);
    let output = bed.psql("", &format!("user=alice {}", shown(&by_name)));
    assert_eq!(stdout(&output), ALICE, "neither token nor password");
    let output = bed.psql("", &format!("user=billing {}", shown(&by_uri)));
    assert_eq!(stdout(&output), "service_role|billing|acme");

    // A certificate is good for its own user, by its own kind of name, and for nothing else.
    let stranger = authorities.client(
        "stranger",
        "spiffe://shop.test/billing",
        vec![uri("cn:alice.test")],
    );
    for (name, files) in [
        ("alice", &by_uri),
        ("billing", &by_name),
        ("alice", &stranger),
        ("billing", &stranger),
    ] {
        let output = bed.psql("guess", &format!("user={name} {}", shown(files)));
        fails(&output, "password authentication failed");
    }
    fails(
        &bed.psql("guess", "user=alice sslmode=require"),
        "password authentication failed",
    );
    fails(
        &bed.psql("guess", "user=alice sslmode=disable"),
        "password authentication failed",
    );
    let output = bed.psql(&alice().token(), &format!("user=x {}", shown(&stranger)));
    assert_eq!(
        stdout(&output),
        ALICE,
        "others have their tokens, with or without a certificate"
    );
    assert_eq!(
        stdout(&bed.psql(&alice().token(), "user=x sslmode=require")),
        ALICE
    );
    assert_eq!(
        stdout(&bed.psql(&alice().token(), "user=x sslmode=disable")),
        ALICE
    );

    // Signed by nobody we know: out, although a certificate is optional.
    let others = Authority::new("others");
    let forged = others.issue("alice", "alice.test");
    let output = bed.psql("", &format!("user=alice {}", shown(&forged)));
    assert!(!output.status.success());
}

#[test]
fn with_a_password_both_are_needed() {
    let authorities = Authorities::new();
    let secret = scram_sha_256(b"secret");
    let users = user("alice", "authenticated", "'cn:alice'") + &format!("scram_secret = '{secret}'\n");
    let bed = authorities.bed(&users, "optional", "");
    let mine = shown(&authorities.client("alice", "alice", vec![]));
    let other = shown(&authorities.client("other", "other", vec![]));
    let output = bed.psql("secret", &format!("user=alice {mine} channel_binding=require"));
    assert_eq!(stdout(&output), ALICE);
    for (password, options) in [
        ("wrong", mine.as_str()),
        ("secret", &other),
        ("secret", "sslmode=require"),
        ("secret", "sslmode=disable"),
    ] {
        let output = bed.psql(password, &format!("user=alice {options}"));
        fails(&output, "password authentication failed for user \"alice\"");
    }
}

#[test]
fn a_role_may_want_a_certificate_whatever_the_way_in() {
    let authorities = Authorities::new();
    let roles = "roles.authenticated.require_certificate = true\nroles.anon.require_certificate = true";
    let bed = authorities.bed("", "optional", roles);
    let known = shown(&authorities.client("any", "any", vec![]));
    let token = alice().token();
    assert_eq!(stdout(&bed.psql(&token, &format!("user=x {known}"))), ALICE);
    for options in [
        "user=x sslmode=require",
        "user=x sslmode=disable",
        "user=anon sslmode=require",
    ] {
        fails(&bed.psql(&token, options), "needs a client certificate");
    }
    // Nor does a token in the options go around it.
    let mut client = RawClient::connect(bed.port());
    client.begin("x", &[("portcullis.token", &token)]);
    assert_eq!(client.answer().sqlstate(), "28000");
    // Other roles are as before.
    let member = alice().token_with(&[("role", serde_json::json!("member"))]);
    assert_eq!(
        stdout(&bed.psql(&member, "user=x sslmode=disable")),
        "member|alice|acme"
    );
}

#[test]
fn a_certificate_that_is_required_is_required_of_everybody() {
    let authorities = Authorities::new();
    let bed = authorities.bed(&user("alice", "authenticated", "'cn:alice'"), "require", "");
    let mine = shown(&authorities.client("alice", "alice", vec![]));
    assert_eq!(stdout(&bed.psql("", &format!("user=alice {mine}"))), ALICE);
    assert_eq!(
        stdout(&bed.psql(&alice().token(), &format!("user=x {mine}"))),
        ALICE
    );
    for options in ["sslmode=require", "sslmode=disable"] {
        assert!(
            !bed.psql(&alice().token(), &format!("user=x {options}"))
                .status
                .success()
        );
    }
}

#[test]
fn a_resumed_session_is_still_the_one_that_showed_its_certificate() {
    let authorities = Authorities::new();
    let bed = authorities.bed(&user("alice", "authenticated", "'cn:alice'"), "optional", "");
    let files = authorities.client("alice", "alice", vec![]);
    let config = Arc::new(authorities.servers.client(&[&TLS13], Some(&files)));
    let resumed = [(); 2].map(|()| {
        let mut client = TlsClient::connect(bed.port(), Way::Request, &config).unwrap();
        client
            .send(&startup(VERSION_3_0, &[("user", "alice"), ("database", "acme")]))
            .unwrap();
        assert_eq!(client.answer().tag, b'Z');
        client.is_resumed()
    });
    assert_eq!(resumed, [false, true]);
}

#[test]
fn a_certificate_is_good_until_it_ends() {
    let authorities = Authorities::new();
    let bed = authorities.bed(&user("alice", "authenticated", "'cn:alice'"), "optional", "");
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "alice");
    let life = Duration::from_secs(u64::try_from(in_seconds(4)).unwrap());
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + life;
    let files = authorities.clients.issue_as("short", params);
    let config = Arc::new(authorities.servers.client(&[&TLS13], Some(&files)));
    let connect = || {
        let mut client = TlsClient::connect(bed.port(), Way::Request, &config)?;
        client.begin("alice", &[]);
        Ok::<_, std::io::Error>(client)
    };
    let mut client = connect().unwrap();
    assert_eq!(client.answer().tag, b'Z');
    assert_eq!(client.value("SELECT who()"), ALICE);
    // The session ends with it, as another does with its token …
    let ended = client.answer();
    assert_eq!(ended.sqlstate(), "57P01", "{ended:?}");
    let told = ended.field('M').unwrap_or_default();
    assert!(told.contains("client certificate has expired"), "{told}");
    std::thread::sleep(Duration::from_millis(1_100));
    // … and a resumed one does not bring it back.
    let mut again = connect().unwrap();
    assert!(again.is_resumed());
    let refused = again.answer();
    assert_eq!(refused.sqlstate(), "28000", "{refused:?}");
    let told = refused.field('M').unwrap_or_default();
    assert!(told.contains("certificate expired"), "{told}");
}

#[test]
fn hostile_certificates_break_nothing() {
    let authorities = Authorities::new();
    let bed = authorities.bed(&user("alice", "authenticated", "'cn:alice'"), "optional", "");
    let many = (0..300)
        .map(|n| SanType::DnsName(format!("h{n}.test").as_str().try_into().unwrap()))
        .collect();
    let odd = [
        authorities.client("many", "x", many),
        authorities.client("nul", "alice\0.evil", vec![]),
        authorities.client("empty", "", vec![]),
        authorities.client("long", &"a".repeat(5_000), vec![uri(&"u".repeat(3_000))]),
    ];
    for files in &odd {
        // psql cannot hold all of them; a raw client can.
        let config = Arc::new(authorities.servers.client(&[&TLS13], Some(files)));
        let Ok(mut client) = TlsClient::connect(bed.port(), Way::Request, &config) else {
            continue;
        };
        client.begin("alice", &[]);
        if let Ok(frame) = client.get() {
            assert_ne!(frame.body, [0, 0, 0, 0], "{files:?} let in");
        }
    }
    let cut = odd[0].certificate.with_extension("cut");
    fs::write(
        &cut,
        b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    assert_eq!(stdout(&bed.psql(&alice().token(), "user=x")), ALICE);
}
