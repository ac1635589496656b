//! Getting a key set's bytes, from a file or a URL, within bounds.

use std::error::Error as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use reqwest::{Client, StatusCode, Url, header, redirect};
use thiserror::Error;
use tokio::io::AsyncReadExt;

use super::SetupReason;

/// Largest key set file: hundreds of keys.
pub(super) const FILE_BYTES: usize = 1024 * 1024;

/// Why the bytes could not be had. Shows no URL: its query may hold a secret.
#[derive(Debug, Error)]
pub(super) enum FetchError {
    #[error("it is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the answer was {0}")]
    Status(StatusCode),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("{0}")]
    Transport(String),
    #[error("{0}")]
    File(#[from] std::io::Error),
}

/// A URL and the client that fetches it.
#[derive(Debug)]
pub(super) struct Remote {
    url: Url,
    client: Client,
    timeout: Duration,
    max_bytes: usize,
}

impl Remote {
    /// Checks the URL and makes the client; nothing is fetched yet.
    pub(super) fn new(url: &str, timeout: Duration, max_bytes: usize) -> Result<Self, SetupReason> {
        let url = Url::parse(url).map_err(|_| SetupReason::BadUrl("not a URL"))?;
        if !url.username().is_empty() || url.password().is_some() {
            let told = "it holds a user or a password, which would be printed with it";
            return Err(SetupReason::BadUrl(told));
        }
        let builder = Client::builder()
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            // A redirect could lead from https to http, or to a host nobody has configured.
            .redirect(redirect::Policy::none())
            .no_proxy()
            .pool_max_idle_per_host(0)
            .timeout(timeout);
        let builder = match url.scheme() {
            "https" => builder.https_only(true),
            "http" if is_loopback(&url) => builder
                // `localhost` means loopback whatever the resolver says (RFC 6761, 6.3), and no root
                // certificates are needed, which small containers do not have.
                .resolve_to_addrs(
                    "localhost",
                    &[
                        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
                        SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), 0),
                    ],
                )
                .tls_certs_only([]),
            "http" => {
                return Err(SetupReason::BadUrl(
                    "http is allowed to loopback addresses only; use https",
                ));
            }
            _ => return Err(SetupReason::BadUrl("neither https nor http")),
        };
        let client = builder
            .build()
            .map_err(|error| SetupReason::HttpClient(chain(&error)))?;
        Ok(Self {
            url,
            client,
            timeout,
            max_bytes,
        })
    }

    /// Fetches the body. Cancel safe: a dropped fetch leaves nothing behind.
    ///
    /// # Errors
    /// Any status but 200, any trouble on the way, a body larger than the bound, or the timeout.
    pub(super) async fn fetch(&self) -> Result<Vec<u8>, FetchError> {
        let request = self
            .client
            .get(self.url.clone())
            .header(header::ACCEPT, "application/jwk-set+json, application/json");
        let mut response = request.send().await.map_err(|error| self.transport(error))?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.transport(error))? {
            if body.len() + chunk.len() > self.max_bytes {
                return Err(FetchError::TooLarge(self.max_bytes));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn transport(&self, error: reqwest::Error) -> FetchError {
        if error.is_timeout() {
            return FetchError::Timeout(self.timeout);
        }
        FetchError::Transport(chain(&error.without_url()))
    }
}

/// Reads a file of at most [`FILE_BYTES`]. Cancel safe.
pub(super) async fn read_file(path: &Path) -> Result<Vec<u8>, FetchError> {
    let file = tokio::fs::File::open(path).await?;
    let mut body = Vec::new();
    file.take(FILE_BYTES as u64 + 1).read_to_end(&mut body).await?;
    if body.len() > FILE_BYTES {
        return Err(FetchError::TooLarge(FILE_BYTES));
    }
    Ok(body)
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else {
        return false;
    };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// An error and its causes in one line; reqwest's own text stops at "error sending request".
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_goes_anywhere() {
        // A machine without root certificates has no client, but the URL is fine there too.
        let remote = Remote::new("https://example.com/keys", Duration::from_secs(1), 1);
        assert!(
            matches!(remote, Ok(_) | Err(SetupReason::HttpClient(_))),
            "{remote:?}"
        );
    }

    #[test]
    fn plain_http_goes_to_loopback_only() {
        let new = |url| Remote::new(url, Duration::from_secs(1), 1);
        for url in [
            "http://127.0.0.1:1/x",
            "http://127.9.9.9/",
            "http://[::1]:80/",
            "http://localhost/keys",
        ] {
            assert!(new(url).is_ok(), "{url}");
        }
        for url in [
            "http://example.com/",
            "http://10.0.0.1/",
            "http://localhost.example.com/",
            "http://127.0.0.1.example.com/",
            "http://127.0.0.1@example.com/",
            "https://user@example.com/",
            "https://:password@example.com/",
            "http://0.0.0.0/",
            "ftp://localhost/",
            "file:///etc/passwd",
            "/keys",
            "",
        ] {
            assert!(matches!(new(url), Err(SetupReason::BadUrl(_))), "{url}");
        }
    }
}
