//! The tokens of single-use links. Only a hash of each is stored.
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

/// Draws a token of 256 random bits.
pub(super) fn new() -> SecretString {
    let bytes: [u8; 32] = rand::rng().random();
    URL_SAFE_NO_PAD.encode(bytes).into()
}

/// Returns the hash by which a token is stored. A fast one is enough for so many random bits.
pub(super) fn hash(token: &SecretString) -> [u8; 32] {
    Sha256::digest(token.expose_secret()).into()
}
