//! Configuration: raw TOML, checked into one model, every mistake reported at once.
//!
//! [`Config::load`] reads `portcullis.toml` and the files it names, and either gives every part's
//! settings or lists every mistake with its file, line and key path. `config/portcullis.toml` in the
//! repository documents each key.

mod check;
mod duration;
mod error;
mod files;
mod machine;
mod model;
mod policy_file;
mod raw;
mod secret;
mod suggest;
mod tenants_file;

pub use error::{ConfigError, Mistake};
pub use model::Config;
pub use policy_file::PolicyFile;
pub use tenants_file::TenantsFile;

#[cfg(test)]
mod tests;
