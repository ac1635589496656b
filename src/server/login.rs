//! The login as a state machine without I/O: each step takes one message and gives the next state.

use bytes::{Bytes, BytesMut};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::frontend;

use super::message::Message;
use super::{Parameters, Password, ServerError, Target};

/// A login under way.
pub(super) struct Login<'a> {
    target: &'a Target,
    /// The `tls-server-end-point` of the channel, where it has one.
    channel: Option<Vec<u8>>,
    state: State,
    parameters: Parameters,
    key: Option<(i32, Bytes)>,
}

/// What a step leads to.
pub(super) enum Step<'a> {
    /// Send what was written, then read the next message.
    More(Login<'a>),
    /// The server is ready for queries.
    Done(LoggedIn),
}

/// What a finished login has learnt.
#[derive(Debug)]
pub(super) struct LoggedIn {
    pub(super) parameters: Parameters,
    pub(super) pid: i32,
    pub(super) secret: Bytes,
}

enum State {
    /// The startup packet is out; the server chooses how we prove ourselves.
    Asked,
    /// A password, plain or hashed, is out.
    PasswordSent,
    /// The first SCRAM message is out.
    ScramBegun(Box<ScramSha256>),
    /// Our proof is out; the server must prove itself too.
    ScramProved(Box<ScramSha256>),
    /// The server has proved itself; only its AuthenticationOk is missing.
    ScramVerified,
    /// Logged in; the server reports its settings.
    Greeted,
}

impl<'a> Login<'a> {
    /// Begins a login: writes the startup packet to `out`, with `more` parameters than every login has. `channel` is
    /// what binds it to its TLS channel.
    pub(super) fn start(
        target: &'a Target,
        more: &[(String, String)],
        channel: Option<Vec<u8>>,
        out: &mut BytesMut,
    ) -> Result<Self, ServerError> {
        let before = [
            ("user", target.user.as_str()),
            ("database", target.database.as_str()),
            ("application_name", "portcullis"),
        ];
        // Settings in the startup packet win over those of the role and the database; of two the last one wins.
        let pinned = [("client_encoding", "UTF8"), ("standard_conforming_strings", "on")];
        let more = more.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let parameters = before.into_iter().chain(more).chain(pinned);
        frontend::startup_message(parameters, out).map_err(unsendable)?;
        Ok(Self {
            target,
            channel,
            state: State::Asked,
            parameters: Parameters::default(),
            key: None,
        })
    }

    /// Takes one message; writes the answer, if it needs one, to `out`.
    pub(super) fn step(mut self, message: Message, out: &mut BytesMut) -> Result<Step<'a>, ServerError> {
        // These may come at any time.
        match message {
            Message::ErrorResponse { sqlstate, message } => {
                return Err(ServerError::Refused { sqlstate, message });
            }
            Message::NoticeResponse => return Ok(Step::More(self)),
            _ => {}
        }
        self.state = match self.state {
            State::Asked => asked(self.target, self.channel.take(), message, out)?,
            State::PasswordSent | State::ScramVerified => match message {
                Message::AuthenticationOk => State::Greeted,
                other => return Err(unexpected("AuthenticationOk", &other)),
            },
            State::ScramBegun(scram) => scram_begun(scram, message, out)?,
            State::ScramProved(scram) => scram_proved(*scram, message)?,
            State::Greeted => return self.greeted(message),
        };
        Ok(Step::More(self))
    }

    fn greeted(mut self, message: Message) -> Result<Step<'a>, ServerError> {
        match message {
            Message::ParameterStatus { name, value } => self.parameters.set(name, value),
            Message::BackendKeyData { pid, secret } => self.key = Some((pid, secret)),
            Message::ReadyForQuery { status: b'I' } => {
                let (pid, secret) = self
                    .key
                    .ok_or(ServerError::Protocol("ready without BackendKeyData".into()))?;
                return Ok(Step::Done(LoggedIn {
                    parameters: self.parameters,
                    pid,
                    secret,
                }));
            }
            other => {
                return Err(unexpected(
                    "ParameterStatus, BackendKeyData or ReadyForQuery",
                    &other,
                ));
            }
        }
        self.state = State::Greeted;
        Ok(Step::More(self))
    }
}

impl LoggedIn {
    /// Takes a message that arrived together with ReadyForQuery: only what a server may send unasked.
    pub(super) fn take_late(&mut self, message: Message) -> Result<(), ServerError> {
        match message {
            Message::ParameterStatus { name, value } => self.parameters.set(name, value),
            Message::NoticeResponse => {}
            Message::ErrorResponse { sqlstate, message } => {
                return Err(ServerError::Refused { sqlstate, message });
            }
            other => return Err(unexpected("silence", &other)),
        }
        Ok(())
    }
}

/// The server's choice of proof.
fn asked(
    target: &Target,
    channel: Option<Vec<u8>>,
    message: Message,
    out: &mut BytesMut,
) -> Result<State, ServerError> {
    let password = || match &target.password {
        Password::Known(password) => Ok(password.expose()),
        Password::Absent | Password::InFile(_) => Err(ServerError::Auth(
            "the server asks for a password, but the login has none".into(),
        )),
    };
    match message {
        Message::AuthenticationOk => Ok(State::Greeted),
        Message::AuthenticationCleartextPassword => {
            frontend::password_message(password()?, out).map_err(unsendable)?;
            Ok(State::PasswordSent)
        }
        Message::AuthenticationMd5Password { salt } => {
            let hash = md5_hash(target.user.as_bytes(), password()?, salt);
            frontend::password_message(hash.as_bytes(), out).map_err(unsendable)?;
            Ok(State::PasswordSent)
        }
        Message::AuthenticationSasl { mechanisms } => {
            let (mechanism, binding) = mechanism(&mechanisms, channel)?;
            let scram = ScramSha256::new(password()?, binding);
            frontend::sasl_initial_response(mechanism, scram.message(), out).map_err(unsendable)?;
            Ok(State::ScramBegun(Box::new(scram)))
        }
        Message::AuthenticationOther(code) => Err(ServerError::Auth(
            format!(
                "the server asks for authentication method {code}; known are password, md5 and scram-sha-256"
            )
            .into(),
        )),
        other => Err(unexpected("an authentication request", &other)),
    }
}

/// Binds to the channel where both sides can (RFC 5802, 6): a server in the middle cannot pass such a login on.
fn mechanism(
    offered: &[u8],
    channel: Option<Vec<u8>>,
) -> Result<(&'static str, ChannelBinding), ServerError> {
    let offers = |mechanism: &str| {
        let mut names = offered.split(|byte| *byte == 0);
        names.any(|name| name == mechanism.as_bytes())
    };
    match channel {
        Some(end_point) if offers(SCRAM_SHA_256_PLUS) => Ok((
            SCRAM_SHA_256_PLUS,
            ChannelBinding::tls_server_end_point(end_point),
        )),
        // "y,,": we could have. A server that can as well then knows that its offer was tampered with.
        Some(_) if offers(SCRAM_SHA_256) => Ok((SCRAM_SHA_256, ChannelBinding::unrequested())),
        // "n,,": there is no channel, or none that can be bound to.
        None if offers(SCRAM_SHA_256) => Ok((SCRAM_SHA_256, ChannelBinding::unsupported())),
        Some(_) | None => Err(ServerError::Auth(
            "the server offers no SASL mechanism that is known here, such as SCRAM-SHA-256".into(),
        )),
    }
}

fn scram_begun(
    mut scram: Box<ScramSha256>,
    message: Message,
    out: &mut BytesMut,
) -> Result<State, ServerError> {
    let Message::AuthenticationSaslContinue(data) = message else {
        return Err(unexpected("AuthenticationSASLContinue", &message));
    };
    scram.update(&data).map_err(scram_failed)?;
    frontend::sasl_response(scram.message(), out).map_err(unsendable)?;
    Ok(State::ScramProved(scram))
}

/// A server that skips its own proof with an early AuthenticationOk does not know the password.
fn scram_proved(mut scram: ScramSha256, message: Message) -> Result<State, ServerError> {
    let Message::AuthenticationSaslFinal(data) = message else {
        return Err(unexpected("AuthenticationSASLFinal", &message));
    };
    scram.finish(&data).map_err(scram_failed)?;
    Ok(State::ScramVerified)
}

fn unexpected(expected: &'static str, got: &Message) -> ServerError {
    ServerError::Protocol(format!("expected {expected}, got {}", got.name()).into())
}

fn scram_failed(error: std::io::Error) -> ServerError {
    ServerError::Auth(format!("SCRAM exchange: {error}").into())
}

/// The encoder refuses NUL bytes only.
fn unsendable(_: std::io::Error) -> ServerError {
    ServerError::Auth("user, password or database holds a NUL byte".into())
}

#[cfg(test)]
mod tests;
