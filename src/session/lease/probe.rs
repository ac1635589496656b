//! Asks a server what a login has to know: how it spells settings that a client gave at startup, whether it takes
//! them at all, and whether a role is a superuser.

use bytes::BytesMut;
use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::base::{CheckIn, DiscardReason, Fault, RoleName, SqlState};
use crate::pool::Lease;
use crate::session::memory::statement::WRITE_SETTING;
use crate::wire::encode::{self, NO_TYPES};
use crate::wire::frame::{self, HEAD_BYTES};
use crate::wire::notice;
use crate::wire::row::only_column;
use crate::wire::tag::server as tag;

/// Why settings could not be checked.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// The server refuses one of them.
    #[error("{0}")]
    Refused(Fault),
    /// The server connection failed.
    #[error("the connection to the server was lost")]
    Lost,
}

/// As the setting `is_superuser` has it of the role in force.
const IS_SUPERUSER: &str = "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) $1";

/// Longest answer that makes sense for a handful of settings.
const ANSWER_BYTES: usize = 1 << 20;

/// Sets each setting in one transaction that ends at once, and returns the values as the server shows them.
///
/// Not cancel safe; dropped, the lease closes its connection.
pub async fn canonical_settings(
    lease: Lease,
    settings: &[(String, String)],
) -> Result<Vec<String>, ProbeError> {
    let mut request = Vec::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "a text of our own, on a connection of its own"
    )]
    encode::parse(&mut request, "", WRITE_SETTING, NO_TYPES);
    for (name, value) in settings {
        encode::bind_text(&mut request, "", "", &[name, value]);
        encode::execute(&mut request, "");
    }
    encode::sync(&mut request);
    ask(lease, &request).await
}

/// Whether a role is a superuser; no if there is no such role.
///
/// Not cancel safe; dropped, the lease closes its connection.
pub async fn is_superuser(lease: Lease, role: &RoleName) -> Result<bool, ProbeError> {
    let mut request = Vec::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "a text of our own, on a connection of its own"
    )]
    encode::parse(&mut request, "", IS_SUPERUSER, NO_TYPES);
    encode::bind_text(&mut request, "", "", &[role.as_str()]);
    encode::execute(&mut request, "");
    encode::sync(&mut request);
    let answer = ask(lease, &request).await?;
    Ok(answer.first().is_some_and(|value| value == "t"))
}

/// Sends a batch that ends with a Sync, and returns the only column of each row.
async fn ask(mut lease: Lease, request: &[u8]) -> Result<Vec<String>, ProbeError> {
    lease.unnamed = None;
    lease
        .stream
        .write_all(request)
        .await
        .map_err(|_| ProbeError::Lost)?;
    lease.stream.flush().await.map_err(|_| ProbeError::Lost)?;

    let mut values = Vec::new();
    let mut refusal = None;
    let mut input = BytesMut::new();
    loop {
        while let Some(head) = frame::head(&input).map_err(|_| ProbeError::Lost)? {
            let Some(body) = input.get(HEAD_BYTES..HEAD_BYTES + head.body_len) else {
                break;
            };
            match head.tag {
                tag::DATA_ROW => values.extend(only_column(body)),
                tag::ERROR => refusal = Some(notice::fault(body)),
                tag::READY => {
                    let clean = body == b"I" && input.len() == HEAD_BYTES + head.body_len;
                    lease.check_in(if clean {
                        CheckIn::Reuse
                    } else {
                        CheckIn::Discard(DiscardReason::ProtocolViolation)
                    });
                    return match refusal {
                        Some(fault) => Err(ProbeError::Refused(fault)),
                        None => Ok(values),
                    };
                }
                _ => {}
            }
            let _ = input.split_to(HEAD_BYTES + head.body_len);
        }
        if input.len() > ANSWER_BYTES {
            return Err(ProbeError::Lost);
        }
        match lease.stream.read_buf(&mut input).await {
            Ok(1..) => {}
            Ok(_) | Err(_) => return Err(ProbeError::Lost),
        }
    }
}

impl From<&ProbeError> for Fault {
    fn from(error: &ProbeError) -> Self {
        match error {
            ProbeError::Refused(fault) => fault.clone(),
            ProbeError::Lost => Self::fatal(SqlState::CONNECTION_FAILURE, error.to_string()),
        }
    }
}
