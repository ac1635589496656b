//! SASL OAUTHBEARER (RFC 7628), as PostgreSQL 18 speaks it (`auth-oauth.c`): the token with a frame around it.

use super::SaslError;

/// The mechanism's name (RFC 7628, 3).
const NAME: &str = "OAUTHBEARER";

/// What separates keys and values, and all that a client may answer once it was refused (RFC 7628, 3.1, 3.2.3).
const SEPARATOR: char = '\x01';

/// The scheme in front of the token, in any case (RFC 6750, 2.1; RFC 7628, 4).
const SCHEME: &str = "Bearer ";

/// Where issuers publish what a client needs to know (OpenID Connect Discovery 1.0, 4).
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

/// What clients that have no token are told: where to get one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthSettings {
    /// The issuer whose tokens are wanted, or the URL of its discovery document. Clients compare it with what
    /// they were told themselves (`oauth_issuer`), character for character.
    pub issuer: String,
    /// What to ask the issuer for: scopes, separated by spaces. May be empty.
    pub scope: String,
    /// The users that are asked for a token by OAUTHBEARER without asking for it themselves.
    pub users: Vec<super::NamePattern>,
}

/// Asks for tokens by OAUTHBEARER.
#[derive(Debug)]
pub struct Bearer {
    users: Vec<super::NamePattern>,
    refusal: String,
}

impl Bearer {
    pub(super) fn new(settings: OAuthSettings) -> Self {
        let OAuthSettings { issuer, scope, users } = settings;
        // As the server: an operator may name the document itself.
        let document = if issuer.contains("/.well-known/") {
            issuer
        } else {
            issuer + WELL_KNOWN
        };
        let quoted = |text: String| serde_json::Value::from(text).to_string();
        let refusal = format!(
            r#"{{ "status": "invalid_token", "openid-configuration": {}, "scope": {} }}"#,
            quoted(document),
            quoted(scope)
        );
        Self { users, refusal }
    }

    /// Whether this user is asked without asking for it.
    pub(super) fn is_for(&self, user: &str) -> bool {
        self.users.iter().any(|pattern| pattern.matches(user))
    }

    /// What is offered.
    pub fn mechanism(&self) -> &'static str {
        NAME
    }

    /// The token in the client's first message; `None` if it only wants to be told where to get one.
    ///
    /// # Errors
    /// Another mechanism, or a message that has not its form.
    pub fn token<'a>(&self, mechanism: &[u8], message: &'a [u8]) -> Result<Option<&'a str>, SaslError> {
        if mechanism != NAME.as_bytes() {
            return Err(SaslError::Mechanism);
        }
        let message = std::str::from_utf8(message).map_err(|_| SaslError::Malformed("it is not ASCII"))?;
        match authorization(message)? {
            "" => Ok(None),
            header => credentials(header).map(Some),
        }
    }

    /// The JSON document that tells a client where to get a token (RFC 7628, 3.2.2).
    pub fn refusal(&self) -> &str {
        &self.refusal
    }

    /// Whether the client has taken note of the refusal; it may say nothing else.
    ///
    /// # Errors
    /// It says something else.
    pub fn acknowledged(&self, message: &[u8]) -> Result<(), SaslError> {
        if message == [SEPARATOR as u8] {
            Ok(())
        } else {
            Err(SaslError::Malformed("expected the answer to a refusal"))
        }
    }
}

/// The value of `auth` in `gs2-header kvsep *kvpair kvsep` (RFC 7628, 3.1).
fn authorization(message: &str) -> Result<&str, SaslError> {
    let mut parts = message.splitn(3, ',');
    let (Some(flag), Some(authzid), Some(pairs)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(SaslError::Malformed("there is no GS2 header"));
    };
    if authzid.starts_with('a') {
        return Err(SaslError::AuthorizationIdentity);
    }
    if !matches!(flag, "n" | "y") || !authzid.is_empty() {
        return Err(SaslError::Malformed("unexpected GS2 header"));
    }
    let pairs = pairs
        .strip_prefix(SEPARATOR)
        .and_then(|rest| rest.strip_suffix(SEPARATOR))
        .ok_or(SaslError::Malformed("the list of values is not terminated"))?;
    // Each pair ends with a separator of its own.
    let pairs = pairs
        .strip_suffix(SEPARATOR)
        .ok_or(SaslError::Malformed("a value is not terminated"))?;
    let mut found = None;
    for pair in pairs.split(SEPARATOR) {
        let (key, value) = pair
            .split_once('=')
            .ok_or(SaslError::Malformed("a key has no value"))?;
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(SaslError::Malformed("invalid key"));
        }
        let permitted = |byte: u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        if !value.bytes().all(permitted) {
            return Err(SaslError::Malformed("invalid value"));
        }
        if key == "auth" && found.replace(value).is_some() {
            return Err(SaslError::Malformed("two auth values"));
        }
    }
    found.ok_or(SaslError::Malformed("there is no auth value"))
}

/// `"Bearer" 1*SP b64token` (RFC 6750, 2.1).
fn credentials(header: &str) -> Result<&str, SaslError> {
    let scheme = header.get(..SCHEME.len()).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return Err(SaslError::Malformed("the authorization is not a bearer token"));
    }
    let token = header
        .get(SCHEME.len()..)
        .unwrap_or_default()
        .trim_start_matches(' ');
    let plain = token.trim_end_matches('=');
    let permitted = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    if plain.is_empty() || !plain.bytes().all(permitted) {
        return Err(SaslError::Malformed("the bearer token has not its form"));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer() -> Bearer {
        Bearer::new(OAuthSettings {
            issuer: "https://id.example.com/realms/\"x\"".to_owned(),
            scope: "openid shop".to_owned(),
            users: Vec::new(),
        })
    }

    fn token(message: &str) -> Result<Option<&str>, SaslError> {
        bearer().token(b"OAUTHBEARER", message.as_bytes())
    }

    #[test]
    fn the_token_is_taken_out_of_its_frame() {
        for message in [
            "n,,\x01auth=Bearer a.b-c_~+/==\x01\x01",
            "y,,\x01auth=bEARER   a.b-c_~+/==\x01\x01",
            "n,,\x01host=db\x01port=1\x01auth=Bearer a.b-c_~+/==\x01x=\x01\x01",
        ] {
            assert_eq!(token(message), Ok(Some("a.b-c_~+/==")), "{message}");
        }
        // libpq's way to ask where to get one.
        assert_eq!(token("n,,\x01auth=\x01\x01"), Ok(None));
    }

    #[test]
    fn malformed_messages() {
        for message in [
            "",
            "\x01",
            "n",
            "n,,",
            "n,,\x01",
            "n,,\x01\x01",
            "n,,\x01\x01\x01",
            "p=tls-server-end-point,,\x01auth=Bearer a\x01\x01",
            "x,,\x01auth=Bearer a\x01\x01",
            "n,x,\x01auth=Bearer a\x01\x01",
            "n,,auth=Bearer a\x01\x01",
            "n,,\x01auth=Bearer a\x01",
            "n,,\x01auth=Bearer a",
            "n,,\x01auth=Bearer a\x01\x01\x01",
            "n,,\x01auth=Bearer a\x01\x01x",
            "n,,\x01auth\x01\x01",
            "n,,\x01=Bearer a\x01\x01",
            "n,,\x01a1=x\x01\x01",
            "n,,\x01host=db\x01\x01",
            "n,,\x01auth=Bearer a\x01auth=Bearer b\x01\x01",
            "n,,\x01auth=Basic a\x01\x01",
            "n,,\x01auth=Bearer\x01\x01",
            "n,,\x01auth=Bearer \x01\x01",
            "n,,\x01auth=Bearer ===\x01\x01",
            "n,,\x01auth=Bearer a b\x01\x01",
            "n,,\x01auth=Bearer a=b\x01\x01",
            "n,,\x01auth=Bearer \u{e4}\x01\x01",
            "n,,\x01auth=Bearer a\0\x01\x01",
        ] {
            let outcome = token(message);
            assert!(
                matches!(outcome, Err(SaslError::Malformed(_))),
                "{message:?}: {outcome:?}"
            );
        }
        assert_eq!(
            token("n,a=admin,\x01auth=Bearer a\x01\x01"),
            Err(SaslError::AuthorizationIdentity)
        );
        assert_eq!(
            bearer().token(b"SCRAM-SHA-256", b"n,,"),
            Err(SaslError::Mechanism)
        );
    }

    #[test]
    fn a_refusal_says_where_to_get_a_token() {
        let told: serde_json::Value = serde_json::from_str(bearer().refusal()).unwrap();
        let expected = serde_json::json!({
            "status": "invalid_token",
            "openid-configuration": "https://id.example.com/realms/\"x\"/.well-known/openid-configuration",
            "scope": "openid shop",
        });
        assert_eq!(told, expected);
        let document = "https://id.example.com/.well-known/oauth-authorization-server";
        let named = Bearer::new(OAuthSettings {
            issuer: document.to_owned(),
            scope: String::new(),
            users: Vec::new(),
        });
        assert!(named.refusal().contains(&format!("{document}\"")));
        assert!(bearer().acknowledged(b"\x01").is_ok());
        for other in [&b""[..], b"\x01\x01", b"x"] {
            assert!(bearer().acknowledged(other).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = bearer().token(b"OAUTHBEARER", &bytes);
        }

        #[test]
        fn any_text_is_taken(text in "[ny]?,?,?[\x01=a-z\\PC]{0,30}(auth=)?(Bearer )?[\x01]{0,3}") {
            let _ = token(&text);
        }
    }
}
