//! What a client is told before its first query: versions, parameters, its cancel key.

use bytes::{Bytes, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::startup::{Authentication, NegotiateProtocolVersion};

use crate::base::Fault;
use crate::server::Parameters;
use crate::session::CancelTicket;
use crate::tenant::Route;
use crate::wire::encode::{self, TransactionStatus};
use crate::wire::notice;
use crate::wire::startup::Startup;

/// Whether the role of a session stands above all rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    /// It does.
    Superuser,
    /// It does not.
    Ordinary,
}

/// Appends NegotiateProtocolVersion if the client asked for more than there is.
pub(super) fn negotiate(out: &mut Vec<u8>, startup: &Startup) {
    let unknown = startup.unknown_options();
    let minor = startup.negotiated_minor();
    if minor != startup.minor || !unknown.is_empty() {
        let version = (3 << 16) | i32::from(minor);
        put(out, &NegotiateProtocolVersion::new(version, unknown));
    }
}

/// Appends the request for a password in clear text.
pub(super) fn ask_for_password(out: &mut Vec<u8>) {
    encode::ask_for_password(out);
}

/// Appends the offer of SASL mechanisms, best first.
pub(super) fn offer(out: &mut Vec<u8>, mechanisms: &[&str]) {
    let names = mechanisms.iter().map(|name| (*name).to_owned()).collect();
    put(out, &Authentication::SASL(names));
}

/// Appends a message of a SASL exchange that goes on.
pub(super) fn sasl_continue(out: &mut Vec<u8>, message: &str) {
    put(
        out,
        &Authentication::SASLContinue(Bytes::copy_from_slice(message.as_bytes())),
    );
}

/// Appends the last message of a SASL exchange that has succeeded.
pub(super) fn sasl_final(out: &mut Vec<u8>, message: &str) {
    put(
        out,
        &Authentication::SASLFinal(Bytes::copy_from_slice(message.as_bytes())),
    );
}

/// Appends all that follows a successful login.
pub(super) fn welcome(
    out: &mut Vec<u8>,
    remark: Option<&Fault>,
    parameters: &Parameters,
    told: &[(String, String)],
    ticket: &CancelTicket,
) {
    encode::authentication_ok(out);
    if let Some(remark) = remark {
        notice::notice(out, remark);
    }
    for (name, value) in parameters.iter() {
        let value = told
            .iter()
            .find(|(known, _)| known == name)
            .map_or(value, |(_, value)| value);
        encode::parameter_status(out, name, value);
    }
    encode::backend_key_data(out, ticket.pid(), ticket.secret());
    encode::ready(out, TransactionStatus::Idle);
}

/// Where this session's parameters differ from those of a fresh server connection: its own settings, the
/// route's search path, and the role in place of the login.
pub(super) fn differences(
    parameters: &Parameters,
    route: &Route,
    rank: Rank,
    settings: &[(String, String)],
) -> Vec<(String, String)> {
    let set = |name: &str| {
        let mut settings = settings.iter();
        let found = settings.find(|(set, _)| set.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    };
    let mut told: Vec<(String, String)> = parameters
        .iter()
        .filter_map(|(name, _)| {
            let value = match name {
                "session_authorization" => Some(route.role.as_str().to_owned()),
                "is_superuser" => Some(if rank == Rank::Superuser { "on" } else { "off" }.to_owned()),
                "search_path" => set(name).or_else(|| route.search_path.clone()),
                _ => set(name),
            };
            value.map(|value| (name.to_owned(), value))
        })
        .collect();
    told.sort();
    told
}

fn put(out: &mut Vec<u8>, message: &impl Message) {
    let mut frame = BytesMut::new();
    // Encoding fails only for messages over their bound; these are small.
    if message.encode(&mut frame).is_ok() {
        out.extend_from_slice(&frame);
    }
}
