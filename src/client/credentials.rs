//! How a client proves who it is: the conversation between its startup packet and its principal.

use std::sync::Arc;

use super::login::{Desk, is_private};
use super::own_options::{OwnOptions, TokenWay};
use super::packets::Packets;
use super::{LoginError, Plaintext, greeting};
use crate::auth::{AuthError, Bearer, PasswordLogin, Principal, UserLogin, Wanted};
use crate::base::limits;
use crate::wire::startup::Startup;

impl Desk {
    /// Who the client is. Not cancel safe: half a message is lost with the call.
    pub(super) async fn authenticate(
        &self,
        client: &mut Packets,
        startup: &Startup,
        own: &OwnOptions,
        wanted: &Wanted<'_>,
    ) -> Result<Arc<Principal>, LoginError> {
        let mut out = Vec::new();
        greeting::negotiate(&mut out, startup);
        let principal = self.prove(client, out, own, wanted).await?;
        // Whichever way it came, a role that wants a certificate is had with one alone.
        self.authenticator
            .check_certificate(&principal, client.stream.peer_certificate())?;
        Ok(principal)
    }

    /// `out` is what is still to be sent ahead of any question.
    async fn prove(
        &self,
        client: &mut Packets,
        mut out: Vec<u8>,
        own: &OwnOptions,
        wanted: &Wanted<'_>,
    ) -> Result<Arc<Principal>, LoginError> {
        // Who asks for the anonymous role by name has no token to send, so none is asked for.
        if own.token.is_none() && self.anonymous_role.as_deref() == Some(wanted.user) {
            client.send(&out).await?;
            return Ok(self.authenticator.authenticate(None, wanted).await?);
        }
        if self.settings.plaintext == Plaintext::LoopbackOnly && !is_private(client) {
            return Err(LoginError::Plaintext);
        }
        if let Some(token) = &own.token {
            client.send(&out).await?;
            return Ok(self.verify(client, token.expose(), wanted).await?);
        }
        // Who says how its token comes has one, and a user's name is free text like any other.
        if own.way.is_none() {
            let shown = client.stream.peer_certificate();
            match self
                .authenticator
                .user(wanted.user, shown, client.end_point.clone())
            {
                Some(UserLogin::Certified(principal)) => {
                    client.send(&out).await?;
                    return Ok(principal);
                }
                Some(UserLogin::Password(login)) => return scram(client, out, *login).await,
                None => {}
            }
        }
        let bearer = match own.way {
            Some(TokenWay::OAuth) => Some(self.authenticator.bearer().ok_or(LoginError::NoOAuth)?),
            Some(TokenWay::Password) => None,
            None => self.authenticator.bearer_for(wanted.user),
        };
        match bearer {
            Some(bearer) => self.ask_for_bearer(client, out, bearer, wanted).await,
            None => {
                greeting::ask_for_password(&mut out);
                client.send(&out).await?;
                let password = client.password().await?;
                Ok(self.verify(client, &password, wanted).await?)
            }
        }
    }

    /// Verifies a token. Signatures take the processor: addresses take turns, so that a crowd from one of them leaves it to
    /// others and to sessions.
    async fn verify(
        &self,
        client: &mut Packets,
        token: &[u8],
        wanted: &Wanted<'_>,
    ) -> Result<Arc<Principal>, AuthError> {
        self.sessions.turn_of(client.account(), limits::TOKEN_WORK).await;
        self.authenticator.authenticate(Some(token), wanted).await
    }

    /// A token by SASL OAUTHBEARER (RFC 7628, 3.2).
    async fn ask_for_bearer(
        &self,
        client: &mut Packets,
        mut out: Vec<u8>,
        bearer: &Bearer,
        wanted: &Wanted<'_>,
    ) -> Result<Arc<Principal>, LoginError> {
        greeting::offer(&mut out, &[bearer.mechanism()]);
        let (mechanism, message) = first_message(client, out, limits::BEARER_MESSAGE_BYTES).await?;
        let token = bearer.token(&mechanism, &message).map_err(AuthError::Sasl)?;
        let refused = match token {
            None => AuthError::NoBearer,
            Some(token) => match self.verify(client, token.as_bytes(), wanted).await {
                Ok(principal) => return Ok(principal),
                Err(error) => error,
            },
        };
        // First the mechanism's own refusal, which the client has to acknowledge, then the protocol's.
        let mut out = Vec::new();
        greeting::sasl_continue(&mut out, bearer.refusal());
        client.send(&out).await?;
        let answer = client.sasl_response(limits::SASL_MESSAGE_BYTES).await?;
        bearer.acknowledged(&answer).map_err(AuthError::Sasl)?;
        Err(refused.into())
    }
}

/// A password by SCRAM-SHA-256 (RFC 5802, 5).
async fn scram(
    client: &mut Packets,
    mut out: Vec<u8>,
    login: PasswordLogin,
) -> Result<Arc<Principal>, LoginError> {
    greeting::offer(&mut out, &login.mechanisms());
    let (mechanism, message) = first_message(client, out, limits::SASL_MESSAGE_BYTES).await?;
    let (proof, challenge) = login.challenge(&mechanism, &message)?;
    let mut out = Vec::new();
    greeting::sasl_continue(&mut out, &challenge);
    client.send(&out).await?;
    let message = client.sasl_response(limits::SASL_MESSAGE_BYTES).await?;
    let (principal, answer) = proof.check(&message)?;
    out.clear();
    greeting::sasl_final(&mut out, &answer);
    client.send(&out).await?;
    Ok(principal)
}

/// The mechanism that the client chooses of those offered, and what it says first, if need be when it is asked
/// (RFC 4422, 3.3).
async fn first_message(
    client: &mut Packets,
    out: Vec<u8>,
    limit: usize,
) -> Result<(Vec<u8>, Vec<u8>), LoginError> {
    client.send(&out).await?;
    let initial = client.sasl_initial(limit).await?;
    let message = match initial.message {
        Some(message) => message,
        None => {
            let mut out = Vec::new();
            greeting::sasl_continue(&mut out, "");
            client.send(&out).await?;
            client.sasl_response(limit).await?
        }
    };
    Ok((initial.mechanism, message))
}
