//! The messages between this site and an outside verifier, and their signatures. No I/O.
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret as _;
use sha2::Sha256;
use time::OffsetDateTime;
use url::Url;
use url::form_urlencoded;
use uuid::Uuid;

use crate::config::Verifier;
use crate::faults::{self, Fault};

/// The longest answer of a verifier.
const MAX_ANSWER_BYTES: usize = 1_024;

/// What a check is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    SignIn,
    Age,
}

impl Purpose {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::SignIn => "sign_in",
            Self::Age => "age",
        }
    }

    /// Returns the path of the page that the verifier leads back to.
    pub(super) fn return_path(self) -> &'static str {
        match self {
            Self::SignIn => "/signin/verify",
            Self::Age => "/age-check",
        }
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Completed,
    Failed,
}

impl Outcome {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// Returns the verifier's page for a check, with the signed request in its query: `id`, `purpose`,
/// `return`, `time` and `signature`.
pub(super) fn request_url(verifier: &Verifier, id: Uuid, purpose: Purpose, back: &str, now: OffsetDateTime) -> String {
    let (id, time) = (id.to_string(), now.unix_timestamp().to_string());
    let signature = sign(verifier, &["request", &id, purpose.as_str(), back, &time]);
    let mut url: Url = verifier.url.clone();
    let pairs = [
        ("id", id.as_str()),
        ("purpose", purpose.as_str()),
        ("return", back),
        ("time", &time),
        ("signature", &signature),
    ];
    url.query_pairs_mut().extend_pairs(pairs);
    url.into()
}

/// Reads an answer as the verifier adds it to the return address: `id`, `result`, `expires` and
/// `signature`. `None` if it is not signed with our key, or too old.
pub(super) fn read_answer(verifier: &Verifier, query: &str, now: OffsetDateTime) -> Option<(Uuid, Outcome)> {
    if query.len() > MAX_ANSWER_BYTES {
        return None;
    }
    let (mut id, mut result, mut expires, mut signature) = (None, None, None, None);
    for (name, value) in form_urlencoded::parse(query.trim_start_matches('?').as_bytes()) {
        let field = match &*name {
            "id" => &mut id,
            "result" => &mut result,
            "expires" => &mut expires,
            "signature" => &mut signature,
            _ => continue,
        };
        // The same name twice could be read in two ways.
        if field.replace(value.into_owned()).is_some() {
            return None;
        }
    }
    let (id, result, expires) = (id?, result?, expires?);
    let is_signed = is_signature(verifier, &["answer", &id, &result, &expires], &signature?);
    if !is_signed && !faults::on(Fault::VerifierNotChecked) {
        return None;
    }
    let outcome = match result.as_str() {
        "completed" => Outcome::Completed,
        "failed" => Outcome::Failed,
        _ => return None,
    };
    let expires: i64 = expires.parse().ok()?;
    (expires > now.unix_timestamp()).then_some((id.parse().ok()?, outcome))
}

/// Returns the message code of some texts, which contain no line breaks.
fn code(verifier: &Verifier, parts: &[&str]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(verifier.secret.expose_secret().as_bytes()).ok()?;
    mac.update(parts.join("\n").as_bytes());
    Some(mac)
}

/// Returns the signature of some texts: HMAC-SHA-256 over their lines, in hexadecimal.
pub(super) fn sign(verifier: &Verifier, parts: &[&str]) -> String {
    let bytes = code(verifier, parts).map(|mac| mac.finalize().into_bytes());
    bytes.iter().flatten().map(|byte| format!("{byte:02x}")).collect()
}

fn is_signature(verifier: &Verifier, parts: &[&str], signature: &str) -> bool {
    if parts.iter().any(|part| part.contains('\n')) {
        return false;
    }
    let digit = |nibble: u8| char::from(nibble).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> = match signature.len() {
        64 => signature.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? * 16 + digit(pair[1])?)).collect(),
        _ => None,
    };
    match (code(verifier, parts), bytes) {
        (Some(mac), Some(bytes)) => mac.verify_slice(&bytes).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use uuid::Uuid;

    use super::{Outcome, Purpose, read_answer, request_url, sign};
    use crate::config::{Verifier, VerifierUse};

    fn verifier(secret: &str) -> Verifier {
        let url = "https://verify.example/check?site=maju".parse().unwrap();
        Verifier { url, secret: secret.into(), uses: vec![VerifierUse::Age] }
    }

    #[test]
    fn a_request_is_signed_with_everything_in_it() {
        let (ours, id, now) = (verifier("ours"), Uuid::from_u128(7), OffsetDateTime::UNIX_EPOCH);
        let url = request_url(&ours, id, Purpose::SignIn, "https://chat.example/signin/verify", now);
        let url = url::Url::parse(&url).unwrap();
        let pairs: std::collections::HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!((pairs["site"].as_str(), pairs["purpose"].as_str()), ("maju", "sign_in"));
        let signed = ["request", &pairs["id"], &pairs["purpose"], &pairs["return"], &pairs["time"]];
        assert_eq!(pairs["signature"], sign(&ours, &signed));
        assert_ne!(pairs["signature"], sign(&verifier("theirs"), &signed));
    }

    #[test]
    fn only_a_fresh_answer_with_our_signature_is_read() {
        let (ours, id) = (verifier("ours"), Uuid::from_u128(7));
        let now = OffsetDateTime::from_unix_timestamp(1_000).unwrap();
        let answer = |by: &Verifier, result: &str, expires: &str| {
            let signature = sign(by, &["answer", &id.to_string(), result, expires]);
            format!("id={id}&result={result}&expires={expires}&signature={signature}")
        };
        let good = answer(&ours, "completed", "1060");
        assert_eq!(read_answer(&ours, &good, now), Some((id, Outcome::Completed)));
        assert_eq!(read_answer(&ours, &format!("?{good}&session=1"), now), Some((id, Outcome::Completed)));
        assert_eq!(read_answer(&ours, &answer(&ours, "failed", "1060"), now), Some((id, Outcome::Failed)));
        let other = Uuid::from_u128(8).to_string();
        for forged in [
            String::new(),
            answer(&verifier("theirs"), "completed", "1060"),
            answer(&ours, "completed", "1000"),
            answer(&ours, "completed", "never"),
            answer(&ours, "perhaps", "1060"),
            answer(&ours, "failed", "1060").replace("failed", "completed"),
            good.replace("1060", "9999"),
            good.replace(&id.to_string(), &other),
            good[..good.len() - 2].to_owned(),
            format!("{good}&result=completed"),
            good.replace("signature=", "signature=é"),
            format!("{good}{}", "x".repeat(2_000)),
        ] {
            assert_eq!(read_answer(&ours, &forged, now), None, "{forged}");
        }
    }
}
