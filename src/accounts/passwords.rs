//! Passwords: whether one is strong enough, and hashes that are slow on purpose. Hashes of the
//! earlier system (Django) are read and replaced at the next sign-in.
use std::num::NonZeroUsize;
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization as _;
use zxcvbn::feedback::Warning;
use zxcvbn::{Score, zxcvbn};

use super::limits::{MAX_LEGACY_ITERATIONS, MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS, QUEUED_HASHES};
use crate::app::App;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::locale::Locale;

/// Memory, passes and lanes of a hash: a minimum configuration of the Password Storage Cheat Sheet
/// of OWASP ("19 MiB of memory, an iteration count of 2, and 1 degree of parallelism").
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// Tests sign in thousands of times, so their hashes are cheap ones of the same kind.
const TEST_COST: (u32, u32, u32) = (256, 1, 1);
const MEMORY_KIB: u32 = if cfg!(test) { TEST_COST.0 } else { COST.0 };
const PASSES: u32 = if cfg!(test) { TEST_COST.1 } else { COST.1 };
const LANES: u32 = if cfg!(test) { TEST_COST.2 } else { COST.2 };
/// The weakest score of zxcvbn that is accepted, of 0 to 4: more than 10^6 guesses.
const MIN_SCORE: Score = Score::Two;
/// The name of the earlier system's hashes: `pbkdf2_sha256$iterations$salt$hash`.
const LEGACY_NAME: &str = "pbkdf2_sha256";
/// Bytes of the hash of the earlier system.
const LEGACY_BYTES: usize = 32;

/// The places in which passwords are hashed. A hash takes 19 MiB and a whole core for tens of
/// milliseconds, so only as many run as there are cores.
pub(super) struct Hashing {
    running: Arc<Semaphore>,
    /// Those that run and those that wait. What comes beyond is refused.
    admitted: Arc<Semaphore>,
    /// The hash that stands in for the one of an account that does not exist.
    dummy: String,
    #[cfg(test)]
    pub(super) counts: Counts,
}

/// How many hashes were computed, for tests.
#[cfg(test)]
#[derive(Default)]
pub(super) struct Counts {
    pub(super) verified: AtomicUsize,
    pub(super) dummies: AtomicUsize,
}

impl Default for Hashing {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            running: Arc::new(Semaphore::new(cores)),
            admitted: Arc::new(Semaphore::new(cores + QUEUED_HASHES)),
            // It has the parameters of a real one, so that it takes as long. No password has it.
            dummy: format!("{}AAAAAAAAAAAAAAAAAAAAAA${}", hash_prefix(), "A".repeat(43)),
            #[cfg(test)]
            counts: Counts::default(),
        }
    }
}

/// Returns how every hash with the present parameters begins.
fn hash_prefix() -> String {
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$")
}

/// What a comparison of a password with a stored hash found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verified {
    pub matches: bool,
    /// The hash is of the earlier system or has other parameters: replace it.
    pub outdated: bool,
}

/// Compares a password with a stored hash. `None` stands for an account that does not exist or has
/// no password: a dummy hash is computed, so that the answer takes as long.
///
/// # Errors
/// `unavailable` if too many hashes wait already.
pub(super) async fn verify(app: &App, password: &SecretString, stored: Option<&str>) -> Result<Verified> {
    let hashing = &app.accounts.hashing;
    let refused = stored.is_some_and(|stored| is_legacy(stored) && !accepts_legacy(app));
    let usable = stored.filter(|_| !refused);
    #[cfg(test)]
    {
        hashing.counts.verified.fetch_add(1, Ordering::SeqCst);
        hashing.counts.dummies.fetch_add(usize::from(usable.is_none()), Ordering::SeqCst);
    }
    if usable.is_none() && faults::on(Fault::DummyHashSkipped) {
        return Ok(Verified { matches: false, outdated: false });
    }
    let (password, hash) = (password.clone(), usable.unwrap_or(&hashing.dummy).to_owned());
    let matches = run(app, move || verify_now(&password, &hash)).await?;
    let outdated = usable.is_some_and(|stored| !stored.starts_with(&hash_prefix()));
    Ok(Verified { matches: matches && usable.is_some(), outdated })
}

/// Returns the hash of a password that was accepted before, or of a PIN.
///
/// # Errors
/// `unavailable` if too many hashes wait already.
pub(super) async fn hash(app: &App, password: &SecretString) -> Result<String> {
    let password = password.clone();
    run(app, move || hash_now(&password)).await?
}

/// Checks a new password and returns its hash. `field` names it in the request; the reason of a
/// refusal is in the reader's language.
///
/// # Errors
/// `bad_frame` with the field if it is too short or too easy to guess, `too_long`, `unavailable`.
pub(super) async fn accept(
    app: &App,
    password: &SecretString,
    handle: &str,
    field: &'static str,
    locale: Locale,
) -> Result<String> {
    let (password, handle) = (password.clone(), handle.to_owned());
    run(app, move || {
        check(&password, &handle).map_err(|flaw| flaw.into_error(field, locale))?;
        hash_now(&password)
    })
    .await?
}

/// Runs a slow computation away from the threads that answer requests, when it is its turn.
async fn run<T: Send + 'static>(app: &App, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let hashing = &app.accounts.hashing;
    let admitted = hashing.admitted.clone().try_acquire_owned().map_err(|_| Error::Unavailable)?;
    let running = hashing.running.clone().acquire_owned().await.map_err(Error::internal)?;
    let computing = tokio::task::spawn_blocking(move || {
        // Kept until the end of the work, even if the request that asked for it is dropped.
        let _places = (admitted, running);
        work()
    });
    computing.await.map_err(Error::internal)
}

/// Why a new password is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Flaw {
    Short,
    Long,
    /// It is easy to guess, for this reason if one is known.
    Weak(Option<Warning>),
}

impl Flaw {
    /// Returns the reason and what to do, for a person.
    pub fn in_words(self, locale: Locale) -> String {
        let words = &locale.strings().accounts;
        let reason = match self {
            Self::Short => return (words.password_short)(MIN_PASSWORD_CHARS),
            Self::Long => return (words.password_long)(MAX_PASSWORD_CHARS),
            Self::Weak(None) => words.password_guessable,
            Self::Weak(Some(warning)) => match warning {
                Warning::StraightRowsOfKeysAreEasyToGuess | Warning::ShortKeyboardPatternsAreEasyToGuess => {
                    words.password_keyboard
                }
                Warning::RepeatsLikeAaaAreEasyToGuess | Warning::RepeatsLikeAbcAbcAreOnlySlightlyHarderToGuess => {
                    words.password_repeats
                }
                Warning::ThisIsATop10Password | Warning::ThisIsATop100Password | Warning::ThisIsACommonPassword => {
                    words.password_common
                }
                Warning::ThisIsSimilarToACommonlyUsedPassword => words.password_similar,
                Warning::SequencesLikeAbcAreEasyToGuess => words.password_sequence,
                Warning::RecentYearsAreEasyToGuess => words.password_years,
                Warning::AWordByItselfIsEasyToGuess => words.password_word,
                Warning::DatesAreOftenEasyToGuess => words.password_dates,
                Warning::NamesAndSurnamesByThemselvesAreEasyToGuess
                | Warning::CommonNamesAndSurnamesAreEasyToGuess => words.password_names,
            },
        };
        format!("{reason} {}", words.password_advice)
    }

    fn into_error(self, field: &'static str, locale: Locale) -> Error {
        match self {
            Self::Long => Error::TooLong { limit: MAX_PASSWORD_CHARS, field: Some(field) },
            Self::Short | Self::Weak(_) => Error::bad_field(field, self.in_words(locale)),
        }
    }
}

/// Checks the length and the strength of a new password for the account of this handle. There are
/// no rules about the kinds of characters. Takes some milliseconds.
///
/// # Errors
/// The first flaw.
pub fn check(password: &SecretString, handle: &str) -> Result<(), Flaw> {
    let password = normalized(password);
    match password.expose_secret().chars().count() {
        0..MIN_PASSWORD_CHARS => return Err(Flaw::Short),
        MIN_PASSWORD_CHARS..=MAX_PASSWORD_CHARS => {}
        _ => return Err(Flaw::Long),
    }
    let estimate = zxcvbn(password.expose_secret(), &[handle, "maju", "마주"]);
    if estimate.score() < MIN_SCORE && !faults::on(Fault::WeakPasswordAccepted) {
        return Err(Flaw::Weak(estimate.feedback().and_then(|feedback| feedback.warning())));
    }
    Ok(())
}

/// Returns a password in NFC, so that it matches on every keyboard.
fn normalized(password: &SecretString) -> SecretString {
    password.expose_secret().nfc().collect::<String>().into()
}

/// Hashes a password with a random salt. Takes tens of milliseconds; the server uses [`hash`].
///
/// # Errors
/// `internal` if the system has no random bytes or too little memory.
pub fn hash_now(password: &SecretString) -> Result<String> {
    let hashed: PasswordHash =
        argon2()?.hash_password(normalized(password).expose_secret().as_bytes()).map_err(|why| failed(&why))?;
    Ok(hashed.to_string())
}

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|why| failed(&why))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn failed(why: &impl std::fmt::Display) -> Error {
    Error::internal(format!("a password was not hashed: {why}"))
}

/// Compares a password with a hash. A hash that cannot be read matches nothing.
fn verify_now(password: &SecretString, stored: &str) -> bool {
    if is_legacy(stored) {
        return verify_legacy(password, stored).unwrap_or(false);
    }
    let (Ok(hash), Ok(argon2)) = (PasswordHash::new(stored), argon2()) else { return false };
    argon2.verify_password(normalized(password).expose_secret().as_bytes(), &hash).is_ok()
}

/// Returns `true` if a hash is of the earlier system.
pub fn is_legacy(stored: &str) -> bool {
    stored.split('$').next() == Some(LEGACY_NAME)
}

/// Returns `true` as long as hashes of the earlier system are accepted.
fn accepts_legacy(app: &App) -> bool {
    app.config.sign_in.legacy_until.is_none_or(|last| app.clock.now().date() <= last)
}

/// Checks that a hash of the earlier system can be compared with a password.
pub fn is_usable_legacy(stored: &str) -> bool {
    legacy_parts(stored).is_some()
}

/// Returns iterations, salt and hash. `None` if one of them is missing or out of bounds.
fn legacy_parts(stored: &str) -> Option<(u32, &str, Vec<u8>)> {
    let mut parts = stored.split('$');
    let (name, iterations, salt, hash) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let iterations = iterations.parse().ok().filter(|count| (1..=MAX_LEGACY_ITERATIONS).contains(count))?;
    let hash = STANDARD.decode(hash).ok().filter(|hash| hash.len() == LEGACY_BYTES)?;
    (name == LEGACY_NAME && !salt.is_empty() && parts.next().is_none()).then_some((iterations, salt, hash))
}

/// Compares a password with a hash of the earlier system, which took passwords as they were typed.
fn verify_legacy(password: &SecretString, stored: &str) -> Option<bool> {
    let (iterations, salt, expected) = legacy_parts(stored)?;
    let mut computed = [0; LEGACY_BYTES];
    pbkdf2::pbkdf2_hmac::<Sha256>(
        password.expose_secret().as_bytes(),
        salt.as_bytes(),
        iterations,
        &mut computed,
    );
    Some(equal(&computed, &expected))
}

/// Compares two secrets in a time that does not depend on where they differ.
pub(super) fn equal(one: &[u8], other: &[u8]) -> bool {
    // Comparing codes of both under a random key tells nothing about where they differ.
    let key: [u8; 32] = rand::random();
    let code = |text: &[u8]| {
        Hmac::<Sha256>::new_from_slice(&key).map(|mut mac| {
            mac.update(text);
            mac
        })
    };
    match (code(one), code(other)) {
        (Ok(one), Ok(other)) => one.verify_slice(&other.finalize().into_bytes()).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::{Flaw, check, hash_now, hash_prefix, is_usable_legacy, verify_now};
    use crate::locale::Locale;

    fn secret(text: &str) -> SecretString {
        text.into()
    }

    #[test]
    fn a_hash_matches_its_password_however_it_was_composed() {
        let hash = hash_now(&secret("비밀번호 café 기차")).unwrap();
        assert!(hash.starts_with(&hash_prefix()), "{hash}");
        // The same text with decomposed characters, as some keyboards send it.
        assert!(verify_now(&secret("비밀번호 cafe\u{301} 기차"), &hash));
        assert!(!verify_now(&secret("비밀번호 cafe 기차"), &hash));
        for unreadable in ["", "$argon2id$", "plain", "$2b$12$abc", "pbkdf2_sha256$", "md5$a$b"] {
            assert!(!verify_now(&secret(""), unreadable), "{unreadable}");
        }
    }

    #[test]
    fn a_hash_of_django_is_read() {
        // Made by django.contrib.auth.hashers.make_password('correct horse', salt='seasalt').
        let mut computed = [0; 32];
        pbkdf2::pbkdf2_hmac::<sha2::Sha256>(b"correct horse", b"seasalt", 1_000, &mut computed);
        let stored = format!(
            "pbkdf2_sha256$1000$seasalt${}",
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, computed)
        );
        assert!(is_usable_legacy(&stored) && verify_now(&secret("correct horse"), &stored));
        assert!(!verify_now(&secret("correct hors"), &stored));
        for broken in [
            stored.replace("1000", "0"),
            stored.replace("1000", "2000001"),
            stored.replace("1000", "-1"),
            stored.replace("seasalt", ""),
            format!("{stored}$"),
            stored.replace("pbkdf2_sha256", "pbkdf2_sha1"),
        ] {
            assert!(!is_usable_legacy(&broken) && !verify_now(&secret("correct horse"), &broken), "{broken}");
        }
    }

    #[test]
    fn a_known_vector_of_pbkdf2_matches() {
        // RFC 7914, section 11: PBKDF2-HMAC-SHA-256 (P="passwd", S="salt", c=1), its first 32 bytes.
        let stored = "pbkdf2_sha256$1$salt$VawEblY2kYlS/2BFykB4mRnYE6q4cdzbI2ad7IoKf5c=";
        let mut computed = [0; 32];
        pbkdf2::pbkdf2_hmac::<sha2::Sha256>(b"passwd", b"salt", 1, &mut computed);
        assert_eq!(computed[..4], [0x55, 0xac, 0x04, 0x6e]);
        assert!(is_usable_legacy(stored));
    }

    #[test]
    fn weak_passwords_are_refused_with_a_reason_in_the_readers_language() {
        for (password, flaw) in [
            ("short", Flaw::Short),
            ("가나다라마바사", Flaw::Short),
            ("길".repeat(129).as_str(), Flaw::Long),
        ] {
            assert_eq!(check(&secret(password), "somebody"), Err(flaw), "{password}");
        }
        for weak in ["password1", "qwertyuiop", "aaaaaaaaaa", "abcdefgh", "majumaju", "somebody1", "20001231"] {
            let Err(Flaw::Weak(reason)) = check(&secret(weak), "somebody") else { panic!("{weak} was accepted") };
            let words = Locale::ALL.map(|locale| Flaw::Weak(reason).in_words(locale));
            assert!(words[0] != words[1] && words.iter().all(|words| words.len() > 20), "{words:?}");
        }
        for strong in ["correct horse battery", "tr0ub4dor&3x", "비오는날 창가에 기차", "twelve purple tractors hum above the frozen canal while nobody listens to the old radio in the kitchen"] {
            assert_eq!(check(&secret(strong), "somebody"), Ok(()), "{strong}");
        }
    }
}
