//! The side of TLS that connects to a server.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::{TlsConnector, TlsStream};

use super::material::{self, TlsError};
use super::verify::{Names, ServerVerifier};
use super::watch::Certificates;
use super::{ALPN, MinVersion, provider};
use crate::base::Watched;
use crate::net::Stream;

/// How a server is spoken to. The names and their meaning are libpq's (PostgreSQL manual, 34.19.1), except
/// that `Prefer` does not fall back to clear text when a handshake has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// In clear text.
    Disable,
    /// Encrypted where the server can; whoever it is.
    Prefer,
    /// Encrypted; whoever it is.
    Require,
    /// Encrypted; its certificate is signed by a known authority.
    VerifyCa,
    /// The same, and the certificate carries the host's name.
    VerifyFull,
}

/// How a server is trusted, and what it is shown.
#[derive(Clone, Debug)]
pub struct ConnectorSettings {
    /// What is asked of the server. [`SslMode::Disable`] has no connector.
    pub mode: SslMode,
    /// PEM file: the authorities of servers, for the modes that verify.
    pub ca_file: Option<PathBuf>,
    /// PEM files: our certificate and its key, for servers that ask.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Opens TLS to servers. Sessions are resumed where the server allows.
pub struct Connector {
    mode: SslMode,
    config: Watched<ClientConfig, TlsError>,
}

impl Connector {
    /// Reads the files; `None` for [`SslMode::Disable`]. Blocks on the file system.
    ///
    /// # Errors
    /// A file cannot be read or is not what it should be, key and certificate do not go together, or a mode
    /// that verifies has no authorities.
    pub fn new(settings: ConnectorSettings) -> Result<Option<Arc<Self>>, TlsError> {
        if settings.mode == SslMode::Disable {
            return Ok(None);
        }
        let mut files: Vec<PathBuf> = settings.ca_file.iter().cloned().collect();
        if let Some((certificate, key)) = &settings.identity {
            files.extend([certificate.clone(), key.clone()]);
        }
        Ok(Some(Arc::new(Self {
            mode: settings.mode,
            config: Watched::of(files, move || config(&settings))?,
        })))
    }

    /// Whether a server that speaks no TLS is spoken to in clear text.
    pub fn allows_plaintext(&self) -> bool {
        self.mode == SslMode::Prefer
    }

    /// The configuration in force, for other clients than our own.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.get()
    }

    /// Handshakes with a server that has agreed to it.
    ///
    /// # Errors
    /// The handshake failed, or the server is not who it should be.
    ///
    /// # Cancel safety
    /// Not cancel safe: the socket is closed.
    pub async fn connect(&self, stream: Stream, host: &str) -> io::Result<Stream> {
        let Stream::Tcp(socket) = stream else {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "TLS is spoken over TCP only",
            ));
        };
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the host has no name TLS can check"))?;
        let connected = TlsConnector::from(self.config.get())
            .connect(name, socket)
            .await?;
        Ok(Stream::Tls(Box::new(TlsStream::Client(connected))))
    }
}

impl Certificates for Connector {
    fn name(&self) -> String {
        format!("{:?}", self.config.files())
    }

    fn refresh(&self) -> Result<bool, TlsError> {
        self.config.refresh()
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("mode", &self.mode)
            .field("files", &self.config.files())
            .finish_non_exhaustive()
    }
}

fn config(settings: &ConnectorSettings) -> Result<ClientConfig, TlsError> {
    let unusable = |error: rustls::Error| TlsError::Unusable(error.to_string());
    let ca_file = || {
        let missing = || TlsError::Unusable("a server's certificate is verified against ca_file".into());
        settings.ca_file.as_deref().ok_or_else(missing)
    };
    let verifier = match settings.mode {
        SslMode::Disable | SslMode::Prefer | SslMode::Require => ServerVerifier::anybody(),
        SslMode::VerifyCa => ServerVerifier::trusting(ca_file()?, Names::Any)?,
        SslMode::VerifyFull => ServerVerifier::trusting(ca_file()?, Names::Match)?,
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(MinVersion::Tls12.versions())
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = material::certificates(certificate)?;
            let secret = material::private_key(key)?;
            builder.with_client_auth_cert(chain, secret).map_err(|error| {
                let (key, certificate) = (key.display(), certificate.display());
                TlsError::Unusable(format!(
                    "{certificate} and {key} cannot be used together: {error}"
                ))
            })?
        }
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}
