//! Keys that verify signatures, and which of them a token may mean.

use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind};

use super::{AuthError, SetupReason};
use crate::base::Secret;

/// Fewest bytes of an HMAC secret: the size of SHA-256's output (RFC 7518, 3.2). HS384 and HS512 take the
/// same, since 256 bits cannot be guessed either.
pub(super) const SECRET_BYTES: usize = 32;

/// Sizes of RSA moduli in bytes: RFC 7518, 3.3 asks for 2048 bits; the cryptography library stops at 8192.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// One key and all that it may be used for.
#[derive(Clone, Debug)]
pub(super) struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    material: DecodingKey,
}

impl Key {
    /// An HMAC secret.
    pub(super) fn from_secret(secret: &Secret) -> Result<Self, SetupReason> {
        let bytes = secret.expose();
        if bytes.trim_ascii_start().starts_with(b"-----BEGIN ") {
            return Err(SetupReason::SecretIsPem);
        }
        let too_short = || SetupReason::SecretTooShort {
            bytes: bytes.len(),
            least: SECRET_BYTES,
        };
        if bytes.len() < SECRET_BYTES {
            return Err(too_short());
        }
        Ok(Self {
            id: None,
            algorithms: AlgorithmFamily::Hmac.algorithms().to_vec(),
            material: DecodingKey::from_secret(bytes).map_err(|_| too_short())?,
        })
    }

    /// The public key in a PEM file.
    pub(super) fn from_pem(pem: &[u8]) -> Result<Self, SetupReason> {
        if pem.windows(11).any(|window| window == b"PRIVATE KEY") {
            return Err(SetupReason::BadPem("it holds a private key; give the public one"));
        }
        let material = DecodingKey::from_rsa_pem(pem)
            .or_else(|_| DecodingKey::from_ec_pem(pem))
            .or_else(|_| DecodingKey::from_ed_pem(pem))
            .map_err(|_| SetupReason::BadPem("no RSA, EC or Ed25519 key in PEM was found"))?;
        // Taken apart and put together again: this parses the DER, which verification would do too late.
        let parsed = Jwk::from_decoding_key(&material, None)
            .and_then(|jwk| DecodingKey::from_jwk(&jwk))
            .map_err(|_| SetupReason::BadPem("the key is damaged or its curve is not supported"))?;
        let algorithms = fitting(&parsed).ok_or(SetupReason::BadPem(
            "RSA keys must have 2048 to 8192 bits, EC keys the curve P-256 or P-384",
        ))?;
        Ok(Self {
            id: None,
            algorithms,
            material: parsed,
        })
    }

    /// A key of a JWK set; `None` if it is too short or of a curve that is not supported.
    pub(super) fn from_jwk(jwk: &Jwk) -> Option<Self> {
        let material = DecodingKey::from_jwk(jwk).ok()?;
        let mut algorithms = fitting(&material)?;
        if let Some(only) = jwk.common.key_algorithm {
            let only = Algorithm::try_from(only).ok()?;
            algorithms.retain(|algorithm| *algorithm == only);
        }
        let is_consistent = match &jwk.algorithm {
            AlgorithmParameters::EllipticCurve(key) => matches!(
                (&key.curve, algorithms.as_slice()),
                (jsonwebtoken::jwk::EllipticCurve::P256, [Algorithm::ES256])
                    | (jsonwebtoken::jwk::EllipticCurve::P384, [Algorithm::ES384])
            ),
            AlgorithmParameters::OctetKeyPair(key) => key.curve == jsonwebtoken::jwk::EllipticCurve::Ed25519,
            _ => true,
        };
        (is_consistent && !algorithms.is_empty()).then(|| Self {
            id: jwk.common.key_id.clone(),
            algorithms,
            material,
        })
    }

    /// What it can verify.
    pub(super) fn algorithms(&self) -> &[Algorithm] {
        &self.algorithms
    }

    /// Whether it is made for this algorithm.
    pub(super) fn can_verify(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Whether it is a symmetric secret.
    pub(super) fn is_secret(&self) -> bool {
        self.material.family() == AlgorithmFamily::Hmac
    }

    /// For the cryptography library.
    pub(super) fn material(&self) -> &DecodingKey {
        &self.material
    }
}

/// The keys of one issuer.
#[derive(Clone, Debug)]
pub(super) enum KeySet {
    /// One configured key; a token's `kid` says nothing about it.
    Single(Key),
    /// A published set, in which `kid` chooses.
    Published(Vec<Key>),
}

impl KeySet {
    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Single(_) => 1,
            Self::Published(keys) => keys.len(),
        }
    }

    /// The keys that may have signed a token with this header: those of its `kid`, or the only one that fits
    /// where it has none. Several keys may share a `kid` (RFC 7517, 4.5).
    ///
    /// # Errors
    /// [`AuthError::UnknownKey`] is the one that a newer set may cure.
    pub(super) fn candidates(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
    ) -> Result<Vec<&Key>, AuthError> {
        let named: Vec<&Key> = match (self, key_id) {
            (Self::Single(key), _) => vec![key],
            (Self::Published(keys), None) => keys.iter().collect(),
            (Self::Published(keys), Some(id)) => {
                keys.iter().filter(|key| key.id.as_deref() == Some(id)).collect()
            }
        };
        let fitting: Vec<&Key> = named
            .iter()
            .copied()
            .filter(|key| key.can_verify(algorithm))
            .collect();
        match (fitting.as_slice(), key_id) {
            ([], Some(_)) if named.is_empty() => Err(AuthError::UnknownKey),
            ([], _) => Err(AuthError::AlgorithmNotAllowed(algorithm)),
            ([_, _, ..], None) => Err(AuthError::AmbiguousKey),
            _ => Ok(fitting),
        }
    }
}

/// The algorithms that a key's type and size allow.
fn fitting(material: &DecodingKey) -> Option<Vec<Algorithm>> {
    match (material.family(), material.kind()) {
        (AlgorithmFamily::Hmac, DecodingKeyKind::SecretOrDer(secret)) => {
            (secret.len() >= SECRET_BYTES).then(|| AlgorithmFamily::Hmac.algorithms().to_vec())
        }
        (AlgorithmFamily::Rsa, DecodingKeyKind::RsaModulusExponent { n, .. }) => {
            let leading_zeros = n.iter().take_while(|byte| **byte == 0).count();
            RSA_BYTES
                .contains(&(n.len() - leading_zeros))
                .then(|| AlgorithmFamily::Rsa.algorithms().to_vec())
        }
        // An uncompressed point: 0x04 and two coordinates (SEC 1, 2.3.3).
        (AlgorithmFamily::Ec, DecodingKeyKind::SecretOrDer(point)) => match point.len() {
            65 => Some(vec![Algorithm::ES256]),
            97 => Some(vec![Algorithm::ES384]),
            _ => None,
        },
        (AlgorithmFamily::Ed, DecodingKeyKind::SecretOrDer(point)) => {
            (point.len() == 32).then(|| vec![Algorithm::EdDSA])
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pem_key_serves_its_own_algorithms_only() {
        use Algorithm::*;
        for (pem, expected) in [
            (
                include_bytes!("testdata/rsa.pub.pem").as_slice(),
                vec![RS256, RS384, RS512, PS256, PS384, PS512],
            ),
            (include_bytes!("testdata/p256.pub.pem"), vec![ES256]),
            (include_bytes!("testdata/p384.pub.pem"), vec![ES384]),
            (include_bytes!("testdata/ed25519.pub.pem"), vec![EdDSA]),
        ] {
            assert_eq!(Key::from_pem(pem).unwrap().algorithms(), expected);
        }
    }

    #[test]
    fn pem_files_that_cannot_verify_are_refused() {
        for pem in [
            include_bytes!("testdata/rsa.key.pem").as_slice(),
            include_bytes!("testdata/p256.key.pem"),
            include_bytes!("testdata/rsa_short.pub.pem"),
            include_bytes!("testdata/p521.pub.pem"),
            b"",
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            b"-----BEGIN RSA PUBLIC KEY-----\nMAMCAQE=\n-----END RSA PUBLIC KEY-----\n",
        ] {
            let refused = Key::from_pem(pem);
            assert!(matches!(refused, Err(SetupReason::BadPem(_))), "{refused:?}");
        }
    }

    #[test]
    fn a_secret_must_be_long_and_no_pem() {
        let key = Key::from_secret(&Secret::new([7; 32])).unwrap();
        assert!(key.is_secret());
        let short = Key::from_secret(&Secret::new([7; 31]));
        assert!(matches!(
            short,
            Err(SetupReason::SecretTooShort { bytes: 31, least: 32 })
        ));
        let pem = Secret::new(include_bytes!("testdata/rsa.pub.pem").as_slice());
        assert!(matches!(Key::from_secret(&pem), Err(SetupReason::SecretIsPem)));
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = Key::from_secret(&Secret::new(*b"0123456789abcdef0123456789abcdef")).unwrap();
        let shown = format!("{key:?}");
        assert!(!shown.contains("0123") && !shown.contains("48, 49"), "{shown}");
    }
}
