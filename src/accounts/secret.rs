//! Secrets in requests: from the extractor on they are of a type that is never shown or logged.
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};

/// Deserializes a secret text.
///
/// # Errors
/// The value is not a text.
pub(super) fn required<'de, D: Deserializer<'de>>(value: D) -> Result<SecretString, D::Error> {
    String::deserialize(value).map(SecretString::from)
}

/// Deserializes a secret text or null.
///
/// # Errors
/// The value is neither a text nor null.
pub(super) fn optional<'de, D: Deserializer<'de>>(value: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(value)?.map(SecretString::from))
}
