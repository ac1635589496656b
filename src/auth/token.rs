//! A token taken apart (RFC 7515, 3.1 and 7.1), and what its registered claims say (RFC 7519, 4.1).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, crypto};

use super::json::{Json, Object, Unreadable, parse_object};
use super::keys::Key;
use super::{AuthError, IssuerSettings, Required};
use crate::base::limits;

/// The last second of the year 9999. A later date is a mistake, such as milliseconds, which would make a token good for
/// ever.
const LATEST_SECONDS: f64 = 253_402_300_799.0;

/// Most characters of an unknown issuer's name that an error message repeats.
const TOLD_ISSUER_CHARS: usize = 200;

/// A token in its parts. Nothing in it is to be believed until [`Token::is_signed_by`] has said yes.
pub(super) struct Token<'a> {
    /// The header's algorithm.
    pub(super) algorithm: Algorithm,
    /// The header's key id.
    pub(super) key_id: Option<String>,
    /// The claims.
    pub(super) claims: Object,
    /// What was signed: header and claims as they came.
    signed: &'a [u8],
    signature: &'a str,
}

impl<'a> Token<'a> {
    /// Takes a token apart. The header's `jwk`, `jku`, `x5c` and `x5u` are never looked at: a token does not
    /// bring its own key.
    pub(super) fn parse(password: &'a [u8]) -> Result<Self, AuthError> {
        if password.len() > limits::TOKEN_BYTES {
            return Err(AuthError::TokenTooLong {
                bytes: password.len(),
            });
        }
        let text = std::str::from_utf8(password).map_err(|_| AuthError::NotAToken("it is not text"))?;
        let mut parts = text.split('.');
        let (header, claims, signature) = match (parts.next(), parts.next(), parts.next(), parts.count()) {
            (Some(header), Some(claims), Some(signature), 0) => (header, claims, signature),
            (_, _, Some(_), 2) => return Err(AuthError::NotAToken("it is encrypted, not signed")),
            _ => return Err(AuthError::NotAToken("it has not three parts")),
        };
        let signed_bytes = header.len() + 1 + claims.len();
        let header = read_part(header, "header")?;
        let claims = read_part(claims, "claims")?;
        let (algorithm, key_id) = read_header(&header)?;
        Ok(Self {
            algorithm,
            key_id,
            claims,
            signed: password.get(..signed_bytes).unwrap_or_default(),
            signature,
        })
    }

    /// The `iss` claim.
    pub(super) fn issuer(&self) -> Result<&str, AuthError> {
        match self.claims.get("iss") {
            Some(Json::Text(issuer)) => Ok(issuer),
            Some(_) => Err(AuthError::WrongType {
                claim: "iss",
                expected: "a string",
            }),
            None => Err(AuthError::MissingClaim("iss")),
        }
    }

    /// Whether this key made the signature with the token's algorithm. The key must be made for that
    /// algorithm, so that a public key is never taken for an HMAC secret.
    pub(super) fn is_signed_by(&self, key: &Key) -> bool {
        key.can_verify(self.algorithm)
            && crypto::verify(self.signature, self.signed, key.material(), self.algorithm) == Ok(true)
    }
}

/// The error for an issuer that is not configured; its name is cut to what a message can bear.
pub(super) fn unknown_issuer(issuer: &str) -> AuthError {
    AuthError::UnknownIssuer(issuer.chars().take(TOLD_ISSUER_CHARS).collect())
}

/// Between which times a token is good, leeway included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    /// From then on.
    not_before: Option<SystemTime>,
    /// Until just before then.
    pub(super) expires_at: Option<SystemTime>,
    leeway: Duration,
}

impl Validity {
    /// Reads `exp` and `nbf`.
    pub(super) fn read(claims: &Object, settings: &IssuerSettings) -> Result<Self, AuthError> {
        let expires_at = numeric_date(claims, "exp")?;
        if expires_at.is_none() && settings.require_exp == Required::Yes {
            return Err(AuthError::MissingClaim("exp"));
        }
        let leeway = settings.leeway;
        Ok(Self {
            not_before: numeric_date(claims, "nbf")?.map(|at| at.checked_sub(leeway).unwrap_or(UNIX_EPOCH)),
            expires_at: expires_at.and_then(|at| at.checked_add(leeway)),
            leeway,
        })
    }

    /// Whether the token is good at this time.
    pub(super) fn check(&self, now: SystemTime) -> Result<(), AuthError> {
        // RFC 7519, 4.1.4: "on or after" exp it must not be accepted.
        if let Some(expires_at) = self.expires_at
            && let Ok(late) = now.duration_since(expires_at)
        {
            return Err(AuthError::Expired {
                ago: late.saturating_add(self.leeway),
            });
        }
        match self.not_before.map(|from| from.duration_since(now)) {
            Some(Ok(early)) if !early.is_zero() => Err(AuthError::NotYetValid { wait: early }),
            _ => Ok(()),
        }
    }
}

/// Checks `aud` (RFC 7519, 4.1.3) against the issuer's list.
pub(super) fn check_audience(claims: &Object, accepted: &[String]) -> Result<(), AuthError> {
    let named: Option<Vec<&str>> = match claims.get("aud") {
        None if accepted.is_empty() => return Ok(()),
        None => return Err(AuthError::MissingClaim("aud")),
        Some(Json::Text(one)) => Some(vec![one]),
        Some(Json::Array(several)) => several.iter().map(Json::as_str).collect(),
        Some(_) => None,
    };
    let named = named.ok_or(AuthError::WrongType {
        claim: "aud",
        expected: "a string or an array of strings",
    })?;
    if named.iter().any(|name| accepted.iter().any(|one| one == name)) {
        return Ok(());
    }
    Err(AuthError::WrongAudience {
        accepted: accepted.to_vec(),
    })
}

fn read_part(part: &str, name: &'static str) -> Result<Object, AuthError> {
    let json = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| AuthError::NotAToken("a part of it is not base64url"))?;
    parse_object(&json).map_err(|error| match error {
        Unreadable::DuplicateKey => AuthError::DuplicateKey(name),
        Unreadable::NotJson | Unreadable::NotAnObject => {
            AuthError::NotAToken("a part of it is not a JSON object")
        }
    })
}

fn read_header(header: &Object) -> Result<(Algorithm, Option<String>), AuthError> {
    if header.contains_key("crit") {
        return Err(AuthError::CriticalExtension);
    }
    let algorithm = match header.get("alg") {
        Some(Json::Text(name)) => name.parse().map_err(|_| AuthError::UnknownAlgorithm)?,
        _ => return Err(AuthError::NotAToken("its header names no algorithm")),
    };
    let key_id = match header.get("kid") {
        None => None,
        Some(Json::Text(id)) => Some(id.clone()),
        Some(_) => return Err(AuthError::NotAToken("its key id is not a string")),
    };
    Ok((algorithm, key_id))
}

/// A NumericDate (RFC 7519, 2): seconds since 1970, fractions and exponents allowed. Dates before 1970 count as 1970;
/// those after the year 9999 are refused.
fn numeric_date(claims: &Object, claim: &'static str) -> Result<Option<SystemTime>, AuthError> {
    let wrong = |expected| AuthError::WrongType { claim, expected };
    let seconds = match claims.get(claim) {
        None => return Ok(None),
        Some(Json::Number(number)) => number.as_f64(),
        Some(_) => return Err(wrong("a number")),
    };
    if seconds > LATEST_SECONDS {
        return Err(wrong("a time in seconds before the year 10000"));
    }
    let since = Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    let at = since.and_then(|since| UNIX_EPOCH.checked_add(since));
    at.map(Some).ok_or_else(|| wrong("a number"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::auth::KeySource;
    use crate::auth::json::object as claims;
    use crate::base::Secret;

    fn settings(leeway_seconds: u64, require_exp: Required) -> IssuerSettings {
        IssuerSettings {
            issuer: "i".to_owned(),
            audience: vec![],
            algorithms: vec![],
            keys: KeySource::Secret(Secret::new(*b"")),
            leeway: Duration::from_secs(leeway_seconds),
            require_exp,
        }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn times_are_checked_with_leeway() {
        let claims = claims(json!({"nbf": 1_000, "exp": 2_000}));
        let validity = Validity::read(&claims, &settings(10, Required::Yes)).unwrap();
        let wait = Duration::from_secs(1);
        assert_eq!(validity.check(at(989)), Err(AuthError::NotYetValid { wait }));
        assert_eq!(validity.check(at(990)), Ok(()));
        assert_eq!(validity.check(at(2_009)), Ok(()));
        let ago = Duration::from_secs(10);
        assert_eq!(validity.check(at(2_010)), Err(AuthError::Expired { ago }));
        assert_eq!(validity.expires_at, Some(at(2_010)));
    }

    #[test]
    fn times_must_be_numbers() {
        for claim in ["exp", "nbf"] {
            for value in [
                json!("2000000000"),
                json!(null),
                json!(true),
                json!([1]),
                json!({}),
            ] {
                let mut document = claims(json!({"exp": 2_000}));
                document.insert(claim.to_owned(), value.clone().into());
                let read = Validity::read(&document, &settings(0, Required::No));
                let expected = AuthError::WrongType {
                    claim,
                    expected: "a number",
                };
                assert_eq!(read, Err(expected), "{claim} {value}");
            }
        }
    }

    #[test]
    fn odd_numbers_are_times_all_the_same() {
        let good = |exp: &str| {
            let claims = parse_object(format!("{{\"exp\":{exp}}}").as_bytes()).unwrap();
            Validity::read(&claims, &settings(0, Required::Yes))
                .map(|validity| validity.check(at(1_000)).is_ok())
        };
        for (exp, is_good) in [
            ("1000.5", true),
            ("1000.0000001", true),
            ("1e9", true),
            ("10010E-1", true),
            ("1000", false),
            ("0.1e4", false),
            ("-1", false),
            ("-1e300", false),
            ("-1e999999999", false),
            ("0", false),
            ("-0", false),
            ("1e-400", false),
        ] {
            assert_eq!(good(exp), Ok(is_good), "{exp}");
        }
        // Milliseconds, what would be infinite to a float, what would wrap.
        for exp in [
            "1700000000000",
            "1e300",
            "1E400",
            "1e99999999999",
            "18446744073709551616",
            "253402300800",
        ] {
            assert!(
                matches!(good(exp), Err(AuthError::WrongType { claim: "exp", .. })),
                "{exp}"
            );
        }
        assert_eq!(good("253402300799"), Ok(true));
    }

    #[test]
    fn exp_may_be_missing_only_where_the_settings_say_so() {
        let claims = Object::new();
        let missing = Err(AuthError::MissingClaim("exp"));
        assert_eq!(Validity::read(&claims, &settings(0, Required::Yes)), missing);
        let validity = Validity::read(&claims, &settings(0, Required::No)).unwrap();
        assert_eq!(validity.check(at(u32::MAX.into())), Ok(()));
        assert_eq!(validity.expires_at, None);
    }

    #[test]
    fn a_huge_leeway_is_harmless() {
        let claims = claims(json!({"nbf": 1_000, "exp": 2_000}));
        let validity = Validity::read(&claims, &settings(u64::MAX, Required::Yes)).unwrap();
        assert_eq!(validity.check(at(1_500)), Ok(()));
    }

    #[test]
    fn the_audience_must_be_ours() {
        let accepted = ["us".to_owned(), "we".to_owned()];
        let wrong = || {
            Err(AuthError::WrongAudience {
                accepted: accepted.to_vec(),
            })
        };
        let check = |value: Value| check_audience(&claims(json!({"aud": value})), &accepted);
        assert_eq!(check(json!("we")), Ok(()));
        assert_eq!(check(json!(["them", "us"])), Ok(()));
        assert_eq!(check(json!("them")), wrong());
        assert_eq!(check(json!([])), wrong());
        assert!(matches!(
            check(json!(["us", 1])),
            Err(AuthError::WrongType { .. })
        ));
        assert!(matches!(
            check(json!({"us": 1})),
            Err(AuthError::WrongType { .. })
        ));
        assert!(matches!(check(json!(null)), Err(AuthError::WrongType { .. })));
        assert_eq!(
            check_audience(&Object::new(), &accepted),
            Err(AuthError::MissingClaim("aud"))
        );
        assert_eq!(check_audience(&Object::new(), &[]), Ok(()));
        assert!(check_audience(&claims(json!({"aud": "x"})), &[]).is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[A-Za-z0-9_.=-]{0,60}") {
            let _ = Token::parse(&bytes);
            let _ = Token::parse(text.as_bytes());
        }

        #[test]
        fn any_json_is_read_without_panic(header in ".{0,40}", claims in "\\{\"(exp|nbf|iss|aud)\":(-?[0-9]{1,30}(e[0-9]{1,3})?|\"\"|null|\\[\\])\\}") {
            let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
            let token = format!("{}.{}.", part(&header), part(&claims));
            let _ = Token::parse(token.as_bytes());
            let token = format!("{}.{}.", part("{\"alg\":\"HS256\"}"), part(&claims));
            if let Ok(token) = Token::parse(token.as_bytes()) {
                let _ = token.issuer();
                let _ = check_audience(&token.claims, &[]);
                if let Ok(validity) = Validity::read(&token.claims, &settings(60, Required::Yes)) {
                    let _ = validity.check(SystemTime::now());
                }
            }
        }
    }
}
