//! The sender of the mails.
use lettre::message::Mailbox;

use super::limits::MAX_MAIL_FROM_BYTES;

/// Checks a sender: a mail address, or a name and an address in angle brackets.
///
/// # Errors
/// Returns a sentence that names the problem.
pub(super) fn sender(text: &str) -> Result<String, String> {
    if text.len() > MAX_MAIL_FROM_BYTES {
        return Err(format!("it has more than {MAX_MAIL_FROM_BYTES} bytes"));
    }
    match text.parse::<Mailbox>() {
        Ok(_) if !text.contains(char::is_control) => Ok(text.to_owned()),
        _ => Err(format!("'{text}' is not a mail address, like Maju <no-reply@example.org>")),
    }
}

#[cfg(test)]
mod tests {
    use super::sender;

    #[test]
    fn a_sender_is_one_address_with_or_without_a_name() {
        for good in [
            "no-reply@example.org",
            "Maju <no-reply@example.org>",
            "마주 운영팀 <a.b+c@mail.example.org>",
            "\"Maju, Inc.\" <a@example.org>",
        ] {
            assert_eq!(sender(good).unwrap(), good);
        }
        let long = format!("{} <a@example.org>", "a".repeat(400));
        for bad in [
            "maju",
            "a@",
            "a@b@c",
            "Maju <a>",
            "a@example.org, b@example.org",
            "a@example.org\r\nBcc: b@example.org",
            &long,
        ] {
            assert!(sender(bad).is_err(), "{bad}");
        }
    }
}
