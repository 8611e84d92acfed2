//! One-time codes (TOTP, RFC 6238) and the recovery codes that stand in for them.
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use rand::RngExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use totp_rs::{Builder, Secret};
use unicode_normalization::UnicodeNormalization as _;

use super::limits::RECOVERY_CODES;
use crate::error::{Error, Result};
use crate::ids::AccountId;

/// What an authenticator app shows above the codes.
const ISSUER: &str = "Maju";
/// Bytes of a secret: as many as the hash of the codes has (RFC 4226, section 4).
const SECRET_BYTES: usize = 20;
/// The characters of recovery codes: digits and letters that are not mistaken for each other
/// (Crockford's base 32). Each stands for 5 bits.
const RECOVERY_ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a recovery code: 80 bits. They are shown in groups of four.
const RECOVERY_CHARS: usize = 16;

/// The secret of a second factor that is being enrolled.
pub struct Enrolment {
    /// In base 32, without spaces and padding, to be typed.
    pub secret: SecretString,
    /// What the QR code holds (`otpauth://totp/…`).
    pub url: SecretString,
}

impl Enrolment {
    /// Describes the secret of the account with this handle.
    pub(super) fn new(secret: &[u8], handle: &str) -> Self {
        let secret = Secret::from(secret).to_base32();
        // A handle has no character that needs an escape here.
        let url = format!(
            "otpauth://totp/{ISSUER}:{handle}?secret={secret}&issuer={ISSUER}&algorithm=SHA1&digits=6&period=30"
        );
        Self { secret: secret.into(), url: url.into() }
    }

    /// Draws the URL as a QR code: an SVG element without an XML declaration, for a page.
    ///
    /// # Errors
    /// `internal` if it does not fit, which no handle can bring about.
    pub fn qr_svg(&self) -> Result<String> {
        let code = QrCode::with_error_correction_level(self.url.expose_secret().as_bytes(), EcLevel::M);
        let code = code.map_err(|why| Error::internal(format!("no QR code: {why}")))?;
        let drawn = code.render::<svg::Color<'_>>().min_dimensions(200, 200).build();
        Ok(drawn.find("<svg").map_or_else(String::new, |at| drawn[at..].to_owned()))
    }
}

/// More characters than this are no code.
const MAX_CODE_CHARS: usize = 16;

/// Draws a new secret.
pub(super) fn new_secret() -> [u8; SECRET_BYTES] {
    rand::rng().random()
}

/// Returns the time step of a code: of the present one, the one before or the one after. `None` if
/// the code is of none of them. A step counts 30 s since 1970.
pub(super) fn step_of(secret: &[u8], code: &SecretString, now: OffsetDateTime) -> Option<i64> {
    let seconds = u64::try_from(now.unix_timestamp()).ok()?;
    // Apps show the code in two groups, and Korean and Japanese keyboards type full-width digits.
    let typed = code.expose_secret().nfkc().filter(|c| !c.is_whitespace() && *c != '-');
    let digits: String = typed.take(MAX_CODE_CHARS).collect();
    // SHA-1, 6 digits, 30 s, one step of tolerance are the defaults.
    let totp = Builder::new().with_secret(Secret::from(secret)).build().ok()?;
    i64::try_from(totp.check(&digits, seconds)?).ok()
}

/// Draws the recovery codes of an account. They are shown once.
pub(super) fn new_recovery_codes() -> Vec<SecretString> {
    let mut rng = rand::rng();
    let mut code = || {
        let chars: Vec<char> =
            (0..RECOVERY_CHARS).map(|_| char::from(RECOVERY_ALPHABET[rng.random_range(0..32)])).collect();
        let groups: Vec<String> = chars.chunks(4).map(|group| group.iter().collect()).collect();
        SecretString::from(groups.join("-"))
    };
    (0..RECOVERY_CODES).map(|_| code()).collect()
}

/// Returns the hash by which a recovery code is stored. A code has 80 random bits, so a fast hash
/// is enough. Case, dashes and spaces do not matter, nor do letters that look like digits.
pub(super) fn recovery_hash(account: AccountId, code: &SecretString) -> Vec<u8> {
    let typed =
        code.expose_secret().chars().filter(|c| c.is_ascii_alphanumeric()).map(|c| match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        });
    let code: String = typed.take(2 * RECOVERY_CHARS).collect();
    Sha256::new().chain_update(account.0.to_be_bytes()).chain_update(code).finalize().to_vec()
}

#[cfg(test)]
mod tests {
    use secrecy::{ExposeSecret as _, SecretString};
    use time::OffsetDateTime;

    use super::{Enrolment, RECOVERY_CHARS, new_recovery_codes, new_secret, recovery_hash, step_of};
    use crate::accounts::limits::RECOVERY_CODES;
    use crate::ids::AccountId;

    #[test]
    fn the_vectors_of_the_rfc_match_one_step_around_now() {
        // RFC 6238, appendix B, SHA-1, the last six of eight digits.
        let secret = b"12345678901234567890";
        for (seconds, code) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
            let step = |later: i64, code: &str| {
                let now = OffsetDateTime::from_unix_timestamp(seconds + later).unwrap();
                step_of(secret, &SecretString::from(code), now)
            };
            let own = Some(seconds / 30);
            assert_eq!([step(0, code), step(30, code), step(-30, code)], [own; 3], "{code}");
            assert_eq!([step(60, code), step(-60, code)], [None; 2], "{code}");
            let full_width: String = code.chars().map(|c| char::from_u32(c as u32 + 0xfee0).unwrap()).collect();
            for typed in
                [format!("{} {}", &code[..3], &code[3..]), format!(" {}-{} ", &code[..3], &code[3..]), full_width]
            {
                assert_eq!(step(0, &typed), own, "{typed}");
            }
            for wrong in ["", "0", "28708", "2870820", "28708a", "+28708", "٢٨٧٠٨٢"] {
                assert_eq!(step(0, wrong), None, "{wrong}");
            }
        }
    }

    #[test]
    fn the_secret_is_shown_in_base_32_and_as_a_picture() {
        let enrolment = Enrolment::new(b"12345678901234567890", "some_body-1");
        assert_eq!(enrolment.secret.expose_secret(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        let url = url::Url::parse(enrolment.url.expose_secret()).unwrap();
        assert_eq!((url.scheme(), url.host_str(), url.path()), ("otpauth", Some("totp"), "/Maju:some_body-1"));
        let svg = enrolment.qr_svg().unwrap();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"), "{svg}");
        assert_ne!(new_secret(), new_secret());
        assert!(!format!("{:?}{:?}", enrolment.secret, enrolment.url).contains("GEZD"));
    }

    #[test]
    fn recovery_codes_differ_and_are_read_however_they_are_typed() {
        let codes = new_recovery_codes();
        let hashes: std::collections::HashSet<_> = codes.iter().map(|code| recovery_hash(AccountId(1), code)).collect();
        assert_eq!((codes.len(), hashes.len()), (RECOVERY_CODES, RECOVERY_CODES));
        for code in &codes {
            let text = code.expose_secret();
            assert_eq!(text.chars().filter(char::is_ascii_alphanumeric).count(), RECOVERY_CHARS, "{text}");
            let typed = format!(" {} ", text.to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l"));
            assert_eq!(
                recovery_hash(AccountId(1), &typed.as_str().into()),
                recovery_hash(AccountId(1), code),
                "{text}"
            );
            assert_ne!(recovery_hash(AccountId(2), code), recovery_hash(AccountId(1), code));
        }
    }
}
