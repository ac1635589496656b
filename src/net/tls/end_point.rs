//! What binds a login to its TLS channel: the hash of the server's certificate.

use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// sha*WithRSAEncryption less its last byte (RFC 8017, A.2.4), as DER has it.
const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];

/// ecdsa-with-SHA* less its last byte (RFC 5758, 3.2), as DER has it.
const ECDSA_SHA2: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];

/// ecdsa-with-SHA1 (RFC 3279, 2.2.3), as DER has it.
const ECDSA_SHA1: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];

/// DER tags: SEQUENCE and OBJECT IDENTIFIER (X.690, 8.9 and 8.19).
const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

/// The `tls-server-end-point` of a certificate in DER form (RFC 5929, 4.1): its hash by the hash function of
/// its signature, SHA-256 in place of MD5 and SHA-1. `None` for signatures that name no such function
/// (Ed25519, RSASSA-PSS, SHA-224) and for what is no certificate.
pub fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = signature_algorithm(certificate)?;
    if algorithm == ECDSA_SHA1 {
        return Some(Sha256::digest(certificate).to_vec());
    }
    let (last, family) = algorithm.split_last()?;
    match (family == RSA, family == ECDSA_SHA2, last) {
        // With MD5, SHA-1, SHA-256.
        (true, _, 4 | 5 | 11) | (_, true, 2) => Some(Sha256::digest(certificate).to_vec()),
        (true, _, 12) | (_, true, 3) => Some(Sha384::digest(certificate).to_vec()),
        (true, _, 13) | (_, true, 4) => Some(Sha512::digest(certificate).to_vec()),
        _ => None,
    }
}

/// The object identifier in Certificate.signatureAlgorithm, which follows tbsCertificate (RFC 5280, 4.1).
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (whole, _) = element(certificate, SEQUENCE)?;
    let (_, rest) = element(whole, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (identifier, _) = element(algorithm, OBJECT_IDENTIFIER)?;
    Some(identifier)
}

/// The content of the element that `der` begins with, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        long => {
            let (bytes, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            if bytes.is_empty() || bytes.len() > 4 {
                return None;
            }
            let length = bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
    };
    (*first == tag).then(|| rest.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(["db.test".to_owned()]).unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let sha256 = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(server_end_point(&sha256), Some(Sha256::digest(&sha256).to_vec()));
        let sha384 = certificate(&rcgen::PKCS_ECDSA_P384_SHA384);
        assert_eq!(server_end_point(&sha384), Some(Sha384::digest(&sha384).to_vec()));
        assert_eq!(server_end_point(&certificate(&rcgen::PKCS_ED25519)), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = server_end_point(&bytes);
        }

        #[test]
        fn a_cut_certificate_has_none(cut in 0_usize..100) {
            let whole = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
            prop_assert_eq!(server_end_point(&whole[..whole.len() - 1 - cut]), None);
        }
    }
}
