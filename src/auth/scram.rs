//! The server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), as PostgreSQL speaks it
//! (PostgreSQL manual, 54.3.1; `auth-scram.c`): no I/O, each step takes one message and gives the next.

mod verifier;

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use verifier::{BadVerifier, ScramVerifier};

use super::SaslError;

/// Bytes of SHA-256, and so of every key and proof.
const KEY_BYTES: usize = 32;

/// Random bytes of a server's nonce (`SCRAM_RAW_NONCE_LEN`, scram-common.h).
const NONCE_BYTES: usize = 18;

/// The mechanisms' names (RFC 7677, 4), the one that binds to the channel first, as libpq expects.
const PLUS: &str = "SCRAM-SHA-256-PLUS";
const PLAIN: &str = "SCRAM-SHA-256";

/// The one kind of channel binding that is spoken (RFC 5929, 4).
const BINDING: &str = "tls-server-end-point";

/// An exchange in which the client speaks next.
#[derive(Debug)]
pub(super) struct Scram {
    verifier: ScramVerifier,
    /// What binds to the channel; `None` where it cannot be bound to.
    end_point: Option<Arc<[u8]>>,
}

/// An exchange in which the client has to prove that it knows the password.
#[derive(Debug)]
pub(super) struct Challenge {
    verifier: ScramVerifier,
    /// What `c=` has to be.
    binding: String,
    bound: Bound,
    nonce: String,
    /// The first two thirds of AuthMessage (RFC 5802, 3).
    transcript: String,
}

/// Whether the exchange is bound to its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Yes,
    No,
}

/// What a proof comes to. It is checked to the end in any case, so that it takes the same time.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// It fits; the message proves to the client that we know the password too.
    Good(String),
    /// It does not.
    Wrong,
}

impl Scram {
    pub(super) fn new(verifier: ScramVerifier, end_point: Option<Arc<[u8]>>) -> Self {
        Self { verifier, end_point }
    }

    /// What is offered, best first.
    pub(super) fn mechanisms(&self) -> Vec<&'static str> {
        match self.end_point {
            Some(_) => vec![PLUS, PLAIN],
            None => vec![PLAIN],
        }
    }

    /// Takes the client-first-message; gives the server-first-message.
    pub(super) fn challenge(
        self,
        mechanism: &[u8],
        message: &[u8],
    ) -> Result<(Challenge, String), SaslError> {
        let nonce = STANDARD.encode(rand::random::<[u8; NONCE_BYTES]>());
        self.challenge_with(mechanism, message, &nonce)
    }

    fn challenge_with(
        self,
        mechanism: &[u8],
        message: &[u8],
        server_nonce: &str,
    ) -> Result<(Challenge, String), SaslError> {
        let end_point = match (mechanism, self.end_point) {
            (mechanism, Some(end_point)) if mechanism == PLUS.as_bytes() => Some(end_point),
            (mechanism, Some(_)) if mechanism == PLAIN.as_bytes() => {
                // Who could bind and thinks that we cannot has been lied to on the way (RFC 5802, 6).
                if message.first() == Some(&b'y') {
                    return Err(SaslError::Downgrade);
                }
                None
            }
            (mechanism, None) if mechanism == PLAIN.as_bytes() => None,
            _ => return Err(SaslError::Mechanism),
        };
        let first = ClientFirst::parse(message)?;
        let bound = if end_point.is_some() {
            Bound::Yes
        } else {
            Bound::No
        };
        first.check_flag(bound)?;
        let mut binding = first.gs2_header.as_bytes().to_vec();
        binding.extend(end_point.iter().flat_map(|end_point| end_point.iter()));
        let nonce = format!("{}{server_nonce}", first.nonce);
        let (salt, iterations) = (STANDARD.encode(&self.verifier.salt), self.verifier.iterations);
        let answer = format!("r={nonce},s={salt},i={iterations}");
        let challenge = Challenge {
            binding: STANDARD.encode(binding),
            bound,
            transcript: format!("{},{answer}", first.bare),
            nonce,
            verifier: self.verifier,
        };
        Ok((challenge, answer))
    }
}

impl Challenge {
    /// Takes the client-final-message.
    pub(super) fn check(self, message: &[u8]) -> Result<Proof, SaslError> {
        let message = text(message)?;
        // The proof comes last, and nothing in it can look like an attribute.
        let (unproved, proof) = message
            .rsplit_once(",p=")
            .ok_or(SaslError::Malformed("there is no proof"))?;
        let mut attributes = unproved.split(',');
        let binding = attribute(attributes.next(), "c=")?;
        if binding != self.binding {
            return Err(match self.bound {
                Bound::Yes => SaslError::WrongChannel,
                Bound::No => SaslError::Malformed("unexpected channel binding"),
            });
        }
        if attribute(attributes.next(), "r=")? != self.nonce {
            return Err(SaslError::Nonce);
        }
        extensions(attributes)?;
        let proof = STANDARD.decode(proof).ok().filter(|it| it.len() == KEY_BYTES);
        let proof = proof.ok_or(SaslError::Malformed("the proof is not 32 bytes in base64"))?;
        let transcript = format!("{},{unproved}", self.transcript);
        Ok(self.verifier.check(&proof, transcript.as_bytes()))
    }
}

impl ScramVerifier {
    /// RFC 5802, 3: the client has XORed its key with a signature that we can make as well.
    fn check(&self, proof: &[u8], transcript: &[u8]) -> Proof {
        let sign = |key| hmac::sign(&hmac::Key::new(HMAC_SHA256, key), transcript);
        let signature = sign(&self.stored_key);
        let client_key: Vec<u8> = std::iter::zip(proof, signature.as_ref())
            .map(|(ours, theirs)| ours ^ theirs)
            .collect();
        let stored_key = digest(&SHA256, &client_key);
        let answer = format!("v={}", STANDARD.encode(sign(&self.server_key)));
        match verify_slices_are_equal(stored_key.as_ref(), &self.stored_key) {
            Ok(()) => Proof::Good(answer),
            Err(_) => Proof::Wrong,
        }
    }
}

/// RFC 5802, 7: `gs2-header client-first-message-bare`.
struct ClientFirst<'a> {
    gs2_header: &'a str,
    bare: &'a str,
    nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    fn parse(message: &'a [u8]) -> Result<Self, SaslError> {
        let message = text(message)?;
        let malformed = SaslError::Malformed("there is no GS2 header");
        let mut parts = message.splitn(3, ',');
        let (Some(flag), Some(authzid), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed);
        };
        if authzid.starts_with('a') {
            return Err(SaslError::AuthorizationIdentity);
        }
        if !authzid.is_empty() {
            return Err(malformed);
        }
        let gs2_header = message.get(..flag.len() + 2).ok_or(malformed)?;
        if bare.starts_with('m') {
            return Err(SaslError::Extension);
        }
        let mut attributes = bare.split(',');
        // The name of the startup packet counts; this one is ignored, as by the server.
        attribute(attributes.next(), "n=")?;
        let nonce = attribute(attributes.next(), "r=")?;
        let printable = |byte: u8| byte.is_ascii_graphic() && byte != b',';
        if nonce.is_empty() || !nonce.bytes().all(printable) {
            return Err(SaslError::Malformed("unprintable characters in the nonce"));
        }
        extensions(attributes)?;
        Ok(Self {
            gs2_header,
            bare,
            nonce,
        })
    }

    /// Whether the client's word on channel binding goes with the mechanism it has chosen.
    fn check_flag(&self, bound: Bound) -> Result<(), SaslError> {
        let flag = self.gs2_header.split(',').next().unwrap_or_default();
        match (flag, bound) {
            ("n" | "y", Bound::No) => Ok(()),
            ("n" | "y", Bound::Yes) => {
                Err(SaslError::Malformed("SCRAM-SHA-256-PLUS without channel binding"))
            }
            (flag, Bound::Yes) if flag.strip_prefix("p=") == Some(BINDING) => Ok(()),
            (flag, Bound::Yes) if flag.starts_with("p=") => Err(SaslError::BindingType),
            (flag, Bound::No) if flag.starts_with("p=") => {
                Err(SaslError::Malformed("channel binding without SCRAM-SHA-256-PLUS"))
            }
            _ => Err(SaslError::Malformed("unexpected channel-binding flag")),
        }
    }
}

/// The value of an attribute that has to be next.
fn attribute<'a>(part: Option<&'a str>, name: &'static str) -> Result<&'a str, SaslError> {
    part.and_then(|part| part.strip_prefix(name))
        .ok_or(SaslError::Malformed("an attribute is missing"))
}

/// Optional extensions are ignored, as long as they have the form of one: `attr-val`.
fn extensions<'a>(mut parts: impl Iterator<Item = &'a str>) -> Result<(), SaslError> {
    let has_form = |part: &str| {
        let mut bytes = part.bytes();
        bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic()) && bytes.next() == Some(b'=')
    };
    if parts.all(has_form) {
        Ok(())
    } else {
        Err(SaslError::Malformed("an attribute was expected"))
    }
}

fn text(message: &[u8]) -> Result<&str, SaslError> {
    match std::str::from_utf8(message) {
        Ok("") => Err(SaslError::Malformed("the message is empty")),
        Ok(text) if text.contains('\0') => Err(SaslError::Malformed("there is a NUL in it")),
        Ok(text) => Ok(text),
        Err(_) => Err(SaslError::Malformed("it is not valid UTF-8")),
    }
}

#[cfg(test)]
mod tests;
