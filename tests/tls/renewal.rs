//! Certificates that are renewed while the proxy runs.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use rustls::version::TLS13;

use crate::ALICE;
use crate::certificates::Authority;
use crate::client::{TlsClient, Way};
use crate::listener::stack;
use crate::support::people::alice;
use crate::support::wait_until;

#[test]
fn renewed_certificates_come_into_force_and_broken_ones_do_not() {
    let authority = Authority::new("one");
    let files = authority.issue("server", "localhost");
    let stack = stack(&files, "");
    let config = Arc::new(authority.client(&[&TLS13], None));
    let connect = || TlsClient::connect(stack.port(), Way::Request, &config).unwrap();
    let mut old = connect();
    old.login(&alice()).unwrap().unwrap();
    let first = old.shown();

    authority.issue("server", "localhost");
    wait_until("the new certificate", Duration::from_secs(20), || {
        connect().shown() != first
    });
    let second = connect().shown();
    assert_eq!(old.value("SELECT who()"), ALICE, "a session goes on as it began");

    // Half a renewal: the certificate of another key.
    let other = authority.issue("other", "localhost");
    fs::copy(&other.certificate, &files.certificate).unwrap();
    wait_until("the complaint", Duration::from_secs(20), || {
        stack.log().contains("the last good ones stay")
    });
    assert!(connect().shown() == second, "the last good one");
    // The other half.
    fs::copy(&other.key, &files.key).unwrap();
    wait_until("the third certificate", Duration::from_secs(20), || {
        connect().shown() != second
    });
    connect().login(&alice()).unwrap().unwrap();
}
