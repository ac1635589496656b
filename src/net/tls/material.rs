//! Certificates and keys in PEM files, and whether the files have changed.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

/// Largest PEM file: a whole system's bundle of authorities is a quarter of it.
const PEM_BYTES: u64 = 1 << 20;

/// Why certificates or keys cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file holds something else than it should.
    #[error("{} {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, for people.
        problem: String,
    },
    /// The files do not go together.
    #[error("{0}")]
    Unusable(String),
}

impl TlsError {
    /// The file that is to blame, if it is one alone.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Read { path, .. } | Self::Content { path, .. } => Some(path),
            Self::Unusable(_) => None,
        }
    }
}

/// The certificates of a file, in its order: at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(content(path, "holds no certificate in PEM form")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(content(path, format!("is not valid PEM: {error}"))),
    }
}

/// The first private key of a file: PKCS #8, PKCS #1 or SEC1.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    // The text is not named in the error: it is secret.
    PrivateKeyDer::from_pem_slice(&read(path)?)
        .map_err(|_| content(path, "holds no private key in PEM form that is not encrypted"))
}

/// The authorities of a file.
pub(super) fn authorities(path: &Path) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsError> {
    let certificates = certificates(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots
            .add(certificate.clone())
            .map_err(|error| content(path, format!("holds an unusable certificate: {error}")))?;
    }
    Ok((roots, certificates))
}

pub(super) fn content(path: &Path, problem: impl Into<String>) -> TlsError {
    TlsError::Content {
        path: path.to_owned(),
        problem: problem.into(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(PEM_BYTES + 1).read_to_end(&mut bytes)?;
        io::Result::Ok(bytes)
    };
    let bytes = read().map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })?;
    if bytes.len() as u64 > PEM_BYTES {
        return Err(content(path, format!("is larger than {PEM_BYTES} bytes")));
    }
    Ok(bytes)
}
