//! Whose certificate it is: the names a client's certificate carries, and those that are looked for.
//!
//! A certificate gets here only after TLS has checked it against the configured authorities. Nothing in it is
//! taken for what its authority did not mean: a name counts only for the kind it is of.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thiserror::Error;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

/// A name that a certificate may carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateName {
    kind: Kind,
    value: String,
}

/// What kind of name it is (RFC 5280, 4.1.2.6 and 4.2.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The subject's commonName.
    Common,
    /// A dNSName.
    Dns,
    /// An rfc822Name.
    Email,
    /// A uniformResourceIdentifier, such as a SPIFFE ID.
    Uri,
}

/// The kinds as configuration files name them.
const KINDS: [(&str, Kind); 4] = [
    ("cn", Kind::Common),
    ("dns", Kind::Dns),
    ("email", Kind::Email),
    ("uri", Kind::Uri),
];

/// A text that names no certificate.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "must be \"cn:…\", \"dns:…\", \"email:…\" or \"uri:…\", such as \"uri:spiffe://example.com/billing\""
)]
pub struct BadCertificateName;

impl CertificateName {
    /// Reads `kind:value`.
    ///
    /// # Errors
    /// There is no such kind, or nothing behind it.
    pub fn parse(text: &str) -> Result<Self, BadCertificateName> {
        let (word, value) = text.split_once(':').ok_or(BadCertificateName)?;
        let kind = KINDS.iter().find(|(known, _)| *known == word);
        match kind {
            Some((_, kind)) if !value.is_empty() => Ok(Self {
                kind: *kind,
                value: value.to_owned(),
            }),
            _ => Err(BadCertificateName),
        }
    }

    fn is(&self, kind: Kind, value: &str) -> bool {
        match (self.kind == kind, kind) {
            (false, _) => false,
            // RFC 4343: names of hosts are the same in any case.
            (true, Kind::Dns) => self.value.eq_ignore_ascii_case(value),
            (true, _) => self.value == value,
        }
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = KINDS.iter().find(|(_, kind)| *kind == self.kind);
        write!(f, "{}:{}", word.map_or("", |(word, _)| word), self.value)
    }
}

/// When the certificate (in DER form) ends, if it carries one of these names; `None` if it carries none of them
/// or cannot be read. Any bytes are taken.
pub(super) fn expiry_if_named(certificate: &[u8], names: &[CertificateName]) -> Option<SystemTime> {
    let (rest, certificate) = X509Certificate::from_der(certificate).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let carries = |kind, value: &str| names.iter().any(|name| name.is(kind, value));
    // Of several common names nobody knows which one the authority has checked.
    let mut common = certificate.subject().iter_common_name();
    let common = match (common.next(), common.next()) {
        (Some(one), None) => one.as_str().ok(),
        _ => None,
    };
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let alternative = alternative.iter().flat_map(|names| &names.value.general_names);
    let is_named = common.is_some_and(|name| carries(Kind::Common, name))
        || alternative.into_iter().any(|name| match name {
            GeneralName::DNSName(name) => carries(Kind::Dns, name),
            GeneralName::RFC822Name(name) => carries(Kind::Email, name),
            GeneralName::URI(name) => carries(Kind::Uri, name),
            _ => false,
        });
    let not_after = certificate.validity().not_after.timestamp();
    is_named.then(|| UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(not_after).unwrap_or(0))))?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(common: &[&str], alternative: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        // rcgen keeps one attribute of each type, so two common names need two spellings of it.
        for (name, kind) in common
            .iter()
            .zip([DnType::CommonName, DnType::CustomDnType(vec![2, 5, 4, 3])])
        {
            params.distinguished_name.push(kind, *name);
        }
        params.subject_alt_names = alternative;
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn carries(certificate: &[u8], name: &str) -> bool {
        expiry_if_named(certificate, &[CertificateName::parse(name).unwrap()]).is_some()
    }

    fn text(name: &str) -> rcgen::string::Ia5String {
        name.try_into().unwrap()
    }

    #[test]
    fn names_are_read_and_shown() {
        for name in ["cn:a", "dns:a.b", "email:a@b", "uri:spiffe://a/b", "cn:a:b"] {
            assert_eq!(CertificateName::parse(name).unwrap().to_string(), name);
        }
        for bad in ["", "a", "cn:", ":a", "CN:a", "ip:1.2.3.4", "spiffe://a/b"] {
            assert_eq!(CertificateName::parse(bad), Err(BadCertificateName), "{bad}");
        }
    }

    #[test]
    fn a_name_counts_for_its_kind_alone() {
        let kinds = [
            ("cn", certificate(&["billing"], vec![])),
            ("dns", certificate(&[], vec![SanType::DnsName(text("billing"))])),
            (
                "email",
                certificate(&[], vec![SanType::Rfc822Name(text("billing"))]),
            ),
            ("uri", certificate(&[], vec![SanType::URI(text("billing"))])),
        ];
        for (of, certificate) in &kinds {
            for (asked, _) in &kinds {
                assert_eq!(
                    carries(certificate, &format!("{asked}:billing")),
                    of == asked,
                    "{of} {asked}"
                );
            }
            for near in ["Billing", "billin", "billing2", " billing", "*", "billing\0"] {
                let name = format!("{of}:{near}");
                let same = *of == "dns" && near == "Billing";
                assert_eq!(carries(certificate, &name), same, "{name}");
            }
        }
    }

    #[test]
    fn one_name_of_many_is_enough() {
        let many = (0..200)
            .map(|n| SanType::DnsName(text(&format!("h{n}.test"))))
            .collect();
        let certificate = certificate(&["a"], many);
        assert!(carries(&certificate, "dns:h199.test"));
        assert!(carries(&certificate, "cn:a"));
        let names = ["cn:b", "dns:h0.test"].map(|name| CertificateName::parse(name).unwrap());
        assert!(expiry_if_named(&certificate, &names).is_some());
        assert!(expiry_if_named(&certificate, &[]).is_none());
    }

    #[test]
    fn two_common_names_are_none() {
        let certificate = certificate(&["billing", "other"], vec![]);
        assert!(!carries(&certificate, "cn:billing"));
        assert!(!carries(&certificate, "cn:other"));
    }

    #[test]
    fn hostile_names() {
        let nul = certificate(&["billing\0.evil.test"], vec![]);
        assert!(!carries(&nul, "cn:billing"));
        let star = certificate(&[], vec![SanType::DnsName(text("*.test"))]);
        assert!(
            !carries(&star, "dns:a.test"),
            "a wildcard stands for hosts, not for users"
        );
        let long = "x".repeat(100_000);
        assert!(carries(&certificate(&[&long], vec![]), &format!("cn:{long}")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(expiry_if_named(&bytes, &[]).is_none());
        }

        #[test]
        fn a_broken_certificate_is_nobodys(at in 0_usize..400, byte in any::<u8>(), cut in 1_usize..300) {
            let names = [CertificateName::parse("cn:billing").unwrap()];
            let mut broken = certificate(&["billing"], vec![SanType::URI(text("spiffe://a"))]);
            let at = at % broken.len();
            broken[at] = byte;
            let _ = expiry_if_named(&broken, &names);
            broken.truncate(broken.len().saturating_sub(cut));
            prop_assert!(expiry_if_named(&broken, &names).is_none());
        }
    }
}
