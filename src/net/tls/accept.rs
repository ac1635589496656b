//! The listener's side of TLS.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::UnixTime;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{HandshakeKind, ServerConfig, ServerConnection};
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::material::{self, TlsError};
use super::watch::Certificates;
use super::{ALPN, MinVersion, provider, server_end_point};
use crate::base::Watched;
use crate::net::Stream;

/// What a listener shows to its clients, and what it asks of them.
#[derive(Clone, Debug)]
pub struct AcceptorSettings {
    /// PEM file: the listener's certificate, then those between it and its authority.
    pub certificate: PathBuf,
    /// PEM file: the certificate's private key.
    pub key: PathBuf,
    /// Whose certificates clients may show, or must; `None` asks for none.
    pub clients: Option<ClientCertificates>,
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
}

/// What is asked of clients besides their handshake.
#[derive(Clone, Debug)]
pub struct ClientCertificates {
    /// PEM file: the authorities that sign them.
    pub ca: PathBuf,
    /// Whether a client may do without.
    pub demand: CertificateDemand,
}

/// Whether a client may do without a certificate. One that is shown must be good in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateDemand {
    /// It may.
    Optional,
    /// It may not.
    Require,
}

/// A client whose handshake has succeeded.
pub struct Accepted {
    /// Its connection.
    pub stream: Stream,
    /// The `tls-server-end-point` of the certificate it was shown; `None` where that has none.
    pub end_point: Option<Arc<[u8]>>,
    /// What is wrong with the certificate it brings along from an earlier session, if anything.
    pub objection: Option<rustls::Error>,
}

/// Takes clients' handshakes. Sessions can be resumed by tickets whose keys change by themselves.
pub struct Acceptor {
    shown: Watched<Shown, TlsError>,
}

/// A configuration, and what it makes of the certificate in it. One is kept with the other, for a renewal may
/// come between a handshake and the login that is bound to it.
struct Shown {
    config: Arc<ServerConfig>,
    end_point: Option<Arc<[u8]>>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl Acceptor {
    /// Reads the files. Blocks on the file system.
    ///
    /// # Errors
    /// A file cannot be read or is not what it should be, or key and certificate do not go together.
    pub fn new(settings: AcceptorSettings) -> Result<Self, TlsError> {
        let mut files = vec![settings.certificate.clone(), settings.key.clone()];
        files.extend(settings.clients.iter().map(|clients| clients.ca.clone()));
        Ok(Self {
            shown: Watched::of(files, move || shown(&settings))?,
        })
    }

    /// Takes the handshake of a client whose bytes have all been left in the socket.
    ///
    /// # Errors
    /// The handshake failed; the client has been sent an alert where that was possible.
    ///
    /// # Cancel safety
    /// Not cancel safe: the socket is closed.
    pub async fn accept(&self, stream: Stream) -> io::Result<Accepted> {
        let Stream::Tcp(socket) = stream else {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "TLS is spoken over TCP only",
            ));
        };
        let shown = self.shown.get();
        let tls = TlsAcceptor::from(Arc::clone(&shown.config))
            .accept(socket)
            .await?;
        Ok(Accepted {
            objection: shown.objection(tls.get_ref().1),
            stream: Stream::Tls(Box::new(TlsStream::Server(tls))),
            end_point: shown.end_point.clone(),
        })
    }
}

impl Shown {
    /// A session that is resumed brings along the certificate that its client once showed. It may have expired
    /// since, and TLS does not look at it again.
    fn objection(&self, session: &ServerConnection) -> Option<rustls::Error> {
        if session.handshake_kind() != Some(HandshakeKind::Resumed) {
            return None;
        }
        let (first, others) = session.peer_certificates()?.split_first()?;
        let verified = self
            .verifier
            .as_ref()?
            .verify_client_cert(first, others, UnixTime::now());
        verified.err()
    }
}

impl Certificates for Acceptor {
    fn name(&self) -> String {
        let files = self.shown.files();
        files
            .first()
            .map_or_else(String::new, |path| path.display().to_string())
    }

    fn refresh(&self) -> Result<bool, TlsError> {
        self.shown.refresh()
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("files", &self.shown.files())
            .finish_non_exhaustive()
    }
}

fn verifier(clients: &ClientCertificates) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let ClientCertificates { ca, demand } = clients;
    let (roots, _) = material::authorities(ca)?;
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = match demand {
        CertificateDemand::Optional => builder.allow_unauthenticated(),
        CertificateDemand::Require => builder,
    };
    builder
        .build()
        .map_err(|error| material::content(ca, format!("cannot be used: {error}")))
}

fn shown(settings: &AcceptorSettings) -> Result<Shown, TlsError> {
    let unusable = |error: rustls::Error| TlsError::Unusable(error.to_string());
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(settings.min_version.versions())
        .map_err(unusable)?;
    let verifier = settings.clients.as_ref().map(verifier).transpose()?;
    let builder = match &verifier {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
    };
    let chain = material::certificates(&settings.certificate)?;
    let end_point = chain.first().and_then(|first| server_end_point(first));
    let key = material::private_key(&settings.key)?;
    let mut config = builder.with_single_cert(chain, key).map_err(|error| {
        let (key, certificate) = (settings.key.display(), settings.certificate.display());
        TlsError::Unusable(format!(
            "{certificate} and {key} cannot be used together: {error}"
        ))
    })?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A new configuration has new ticket keys: what was proved to an old one (a certificate of an authority
    // that is no longer trusted, say) is not carried over.
    config.ticketer = Ticketer::new().map_err(unusable)?;
    Ok(Shown {
        config: Arc::new(config),
        end_point: end_point.map(Arc::from),
        verifier,
    })
}
