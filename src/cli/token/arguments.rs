//! The command line of `portcullis token`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::{SigningKey, TokenOptions, sign};
use crate::auth::{Algorithm, ClaimPath};

/// What the command line of `portcullis token` says.
#[derive(Clone, Debug, clap::Args)]
pub struct TokenArguments {
    /// A file with the HMAC secret
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "key_file",
        conflicts_with = "key_file"
    )]
    secret_file: Option<PathBuf>,
    /// A file with a private key in PEM (RSA, or EC or Ed25519 in PKCS #8)
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The algorithm [default: the usual one for the key]
    #[arg(long, value_name = "ALG")]
    algorithm: Option<Algorithm>,
    /// The key's id, for the header
    #[arg(long, value_name = "KID")]
    key_id: Option<String>,
    /// iss
    #[arg(long)]
    issuer: Option<String>,
    /// aud; may be given several times
    #[arg(long)]
    audience: Vec<String>,
    /// sub
    #[arg(long)]
    subject: Option<String>,
    /// A role; may be given several times
    #[arg(long)]
    role: Vec<String>,
    /// Where roles go
    #[arg(long, value_name = "PATH", default_value = "role")]
    role_claim: ClaimPath,
    /// A tenant; may be given several times
    #[arg(long)]
    tenant: Vec<String>,
    /// Where tenants go
    #[arg(long, value_name = "PATH", default_value = "tenant")]
    tenant_claim: ClaimPath,
    /// One more claim as PATH=VALUE, the value as JSON or plain text; may be given several times
    #[arg(long, value_name = "PATH=VALUE")]
    claim: Vec<String>,
    /// Seconds that the token is good for
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    expires_in: u64,
}

/// Prints a token.
pub fn run(arguments: &TokenArguments) -> ExitCode {
    let Some(key) = arguments.key() else {
        return ExitCode::FAILURE;
    };
    let options = TokenOptions {
        algorithm: arguments.algorithm,
        key_id: arguments.key_id.clone(),
        issuer: arguments.issuer.clone(),
        audience: arguments.audience.clone(),
        subject: arguments.subject.clone(),
        role_claim: arguments.role_claim.clone(),
        roles: arguments.role.clone(),
        tenant_claim: arguments.tenant_claim.clone(),
        tenants: arguments.tenant.clone(),
        claims: arguments.claim.clone(),
        expires_in: Some(Duration::from_secs(arguments.expires_in)),
        ..TokenOptions::new(key)
    };
    match sign(&options) {
        Ok(token) => match writeln!(io::stdout(), "{token}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            let _ = writeln!(io::stderr(), "portcullis token: {error}");
            ExitCode::FAILURE
        }
    }
}

impl TokenArguments {
    fn key(&self) -> Option<SigningKey> {
        match (&self.secret_file, &self.key_file) {
            (Some(path), _) => Some(SigningKey::SecretFile(path.clone())),
            (None, Some(path)) => Some(SigningKey::PemFile(path.clone())),
            (None, None) => None,
        }
    }
}
