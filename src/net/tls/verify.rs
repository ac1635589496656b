//! Whether a server's certificate is good enough for its `sslmode`.

use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use super::material::{self, TlsError};
use super::provider;

/// Whether the host's name must be in the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// It need not.
    Any,
    /// It must.
    Match,
}

/// Checks servers' certificates. That a server holds the key of what it shows is always checked.
#[derive(Debug)]
pub(super) struct ServerVerifier {
    trust: Option<Trust>,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
struct Trust {
    chain: Arc<WebPkiServerVerifier>,
    /// The trusted certificates themselves: a server that shows one of them is who it says, also where it
    /// is self-signed, which a chain of authorities does not allow for.
    pinned: Vec<CertificateDer<'static>>,
    names: Names,
}

impl ServerVerifier {
    /// Every certificate is good enough.
    pub(super) fn anybody() -> Self {
        Self {
            trust: None,
            algorithms: provider().signature_verification_algorithms,
        }
    }

    /// A certificate of one of a file's authorities is.
    pub(super) fn trusting(ca_file: &Path, names: Names) -> Result<Self, TlsError> {
        let (roots, pinned) = material::authorities(ca_file)?;
        let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| material::content(ca_file, format!("cannot be used: {error}")))?;
        Ok(Self {
            trust: Some(Trust { chain, pinned, names }),
            ..Self::anybody()
        })
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trust) = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        if trust.pinned.iter().any(|pinned| pinned == end_entity) {
            if trust.names == Names::Match {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        let verified =
            trust
                .chain
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is looked at last: with this error all else is well.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if trust.names == Names::Any => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
