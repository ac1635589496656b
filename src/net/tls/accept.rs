//! The listener's side of TLS.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::{TlsAcceptor, TlsStream};

use super::material::{self, FromFiles, TlsError};
use super::watch::Certificates;
use super::{ALPN, MinVersion, provider};
use crate::net::Stream;

/// What a listener shows to its clients, and what it asks of them.
#[derive(Clone, Debug)]
pub struct AcceptorSettings {
    /// PEM file: the listener's certificate, then those between it and its authority.
    pub certificate: PathBuf,
    /// PEM file: the certificate's private key.
    pub key: PathBuf,
    /// PEM file: the authorities of client certificates. With it, every client must show one.
    pub client_ca: Option<PathBuf>,
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
}

/// Takes clients' handshakes. Sessions can be resumed by tickets whose keys change by themselves.
pub struct Acceptor {
    config: FromFiles<ServerConfig>,
}

impl Acceptor {
    /// Reads the files. Blocks on the file system.
    ///
    /// # Errors
    /// A file cannot be read or is not what it should be, or key and certificate do not go together.
    pub fn new(settings: AcceptorSettings) -> Result<Self, TlsError> {
        let mut files = vec![settings.certificate.clone(), settings.key.clone()];
        files.extend(settings.client_ca.clone());
        Ok(Self {
            config: FromFiles::new(files, move || config(&settings))?,
        })
    }

    /// Takes the handshake of a client whose bytes have all been left in the socket.
    ///
    /// # Errors
    /// The handshake failed; the client has been sent an alert where that was possible.
    ///
    /// # Cancel safety
    /// Not cancel safe: the socket is closed.
    pub async fn accept(&self, stream: Stream) -> io::Result<Stream> {
        let Stream::Tcp(socket) = stream else {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "TLS is spoken over TCP only",
            ));
        };
        let accepted = TlsAcceptor::from(self.config.get()).accept(socket).await?;
        Ok(Stream::Tls(Box::new(TlsStream::Server(accepted))))
    }
}

impl Certificates for Acceptor {
    fn name(&self) -> String {
        let files = self.config.files().iter();
        files
            .take(1)
            .map(|path| path.display().to_string())
            .collect::<String>()
    }

    fn refresh(&self) -> Result<bool, TlsError> {
        self.config.refresh()
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("files", &self.config.files())
            .finish_non_exhaustive()
    }
}

fn config(settings: &AcceptorSettings) -> Result<ServerConfig, TlsError> {
    let unusable = |error: rustls::Error| TlsError::Unusable(error.to_string());
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(settings.min_version.versions())
        .map_err(unusable)?;
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let (roots, _) = material::authorities(path)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                .build()
                .map_err(|error| material::content(path, format!("cannot be used: {error}")))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let chain = material::certificates(&settings.certificate)?;
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
    Ok(config)
}
