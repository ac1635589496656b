//! Statements as they would be registered, for people who write a registry.

use super::limits::Limits;
use super::policy::fingerprint::{Fingerprint, Normalised};
use super::policy::registry::concerns;
use super::reading::class::StatementClass;
use super::reading::leading_keywords::classify;
use super::text::tokenized::Tokenized;
use super::verdict::denial::Denial;
use super::verdict::refusal::Refusal;

/// A statement as it would be registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// What it is found by.
    pub fingerprint: Fingerprint,
    /// SQL of this fingerprint without values: `$1`, `$2`, … stand for them.
    pub example: String,
    /// Its class.
    pub class: StatementClass,
    /// Whether it has to be registered at all.
    pub is_needed: bool,
}

/// Every statement of a text as it would be registered.
///
/// # Errors
///
/// As [`tokens`](super::tokens): the text cannot be read.
pub fn registrations(text: &[u8], limits: &Limits) -> Result<Vec<Registration>, Refusal> {
    let tokenized = Tokenized::read(text, limits).map_err(|error| Denial::from(error).refusal_of(text))?;
    let registration = |statement| {
        let normalised = Normalised::new(&statement);
        let (class, _) = classify(&statement);
        Registration {
            fingerprint: normalised.fingerprint(),
            example: normalised.text(),
            class,
            is_needed: concerns(class),
        }
    };
    Ok(tokenized.statements().map(registration).collect())
}
