//! Reading files whole, up to a bound: a mistyped path must not fill the memory.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Largest key, secret or policy.
pub(super) const SMALL: u64 = 1 << 20;

/// Largest registry of statements: some 60,000 of them.
pub(super) const REGISTRY: u64 = 16 << 20;

/// Largest configuration or tenants file: 50,000 tenants take some 5 MB.
pub(super) const LARGE: u64 = 256 << 20;

/// The bytes of a file of at most `limit` bytes.
///
/// # Errors
/// Why not, for people, with the path.
pub(super) fn read(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    };
    let bytes = read().map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if bytes.len() as u64 > limit {
        return Err(format!("{} is larger than {limit} bytes", path.display()));
    }
    Ok(bytes)
}

/// The text of a file of at most `limit` bytes.
///
/// # Errors
/// As [`read`], or that it is not UTF-8.
pub(super) fn read_text(path: &Path, limit: u64) -> Result<String, String> {
    String::from_utf8(read(path, limit)?).map_err(|_| format!("{} is not UTF-8", path.display()))
}
