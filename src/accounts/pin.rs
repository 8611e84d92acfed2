//! The PIN: six digits that sign-in asks for after the other proofs, if the owner has set one.
use secrecy::{ExposeSecret as _, SecretString};

use super::limits::PIN_DIGITS;
use super::passwords;
use crate::app::App;
use crate::error::{Error, Result};

/// PINs that are guessed first.
const COMMON: [&str; 12] = [
    "123456", "654321", "123123", "121212", "112233", "159753", "101010", "123321", "456789", "789456", "147258",
    "258369",
];

/// Checks a new PIN and returns its hash. The hash is as slow as that of a password; what protects
/// a million possible PINs is the limit of wrong ones.
///
/// # Errors
/// `bad_frame` with the field `pin` if it is not six digits or is guessed first, `unavailable`.
pub(super) async fn accept(app: &App, pin: &SecretString) -> Result<String> {
    check(pin)?;
    passwords::hash(app, pin).await
}

fn check(pin: &SecretString) -> Result<()> {
    let pin = pin.expose_secret();
    if pin.len() != PIN_DIGITS || !pin.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::bad_field("pin", format!("A PIN has {PIN_DIGITS} digits.")));
    }
    let is_one_digit = pin.bytes().all(|byte| Some(byte) == pin.bytes().next());
    if is_one_digit || COMMON.contains(&pin) {
        return Err(Error::bad_field("pin", "This PIN is easy to guess. Choose another one."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_pin_has_six_digits_and_is_not_one_that_everybody_tries() {
        for good in ["402917", "000001", "998877"] {
            assert!(check(&good.into()).is_ok(), "{good}");
        }
        for bad in ["", "12345", "1234567", "12345a", "١٢٣٤٥٦", "-12345", "000000", "777777", "123456", "12 456"]
        {
            assert_eq!(check(&bad.into()).unwrap_err().field(), Some("pin"), "{bad}");
        }
    }
}
