//! Writes mails and hands them to the mail server of the settings.
use lettre::message::{Mailbox, header};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use tokio::time::timeout;
use uuid::Uuid;

use super::limits::MAIL_ATTEMPT_TIMEOUT;
use crate::config::Config;
use crate::connection_url;
use crate::error::{Error, Result};

/// Why a mail was not sent.
pub struct Failure {
    /// Whether another attempt would fail as well: the server refused the mail for good.
    pub is_final: bool,
    /// For the log: never the server's own words, which can quote the address.
    pub cause: String,
}

/// The mail server and the sender of the settings.
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mailer {
    /// Creates the mailer of checked settings. `None` if the site sends no mail.
    pub fn new(config: &Config) -> Option<Self> {
        let from: Mailbox = config.mail_from.as_deref()?.parse().ok()?;
        let server = connection_url::smtp(config.smtp_url.as_deref()?).ok()?.options;
        // The default would be the name of this machine.
        let name = ClientId::Domain(from.email.domain().to_owned());
        let transport = server.hello_name(name).timeout(Some(MAIL_ATTEMPT_TIMEOUT)).build();
        Some(Self { transport, from })
    }

    /// Writes a mail in plain text.
    ///
    /// # Errors
    /// `bad_frame` with the field `email` if the address is not valid.
    pub fn message(&self, to: &str, subject: &str, text: &str) -> Result<Message> {
        let to: Address = to.parse().map_err(|_| Error::bad_field("email", "This is not a mail address."))?;
        let id = format!("<{}@{}>", Uuid::new_v4(), self.from.email.domain());
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(subject)
            .message_id(Some(id))
            // Absence notes are not sent in answer to it (RFC 3834).
            .header(AutoSubmitted)
            .header(header::ContentType::TEXT_PLAIN)
            .body(text.to_owned())
            .map_err(Error::internal)
    }

    /// Tries once to send a mail, for at most [`MAIL_ATTEMPT_TIMEOUT`].
    ///
    /// # Errors
    /// Says whether to try again.
    pub async fn send(&self, message: Message) -> Result<(), Failure> {
        match timeout(MAIL_ATTEMPT_TIMEOUT, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(why)) => Err(Failure { is_final: why.is_permanent(), cause: without_words(&why) }),
            Err(_) => Err(Failure { is_final: false, cause: "the mail server did not answer in time".to_owned() }),
        }
    }

    /// Connects to the mail server, greets it, and signs in if the settings have a user.
    ///
    /// # Errors
    /// Returns what is wrong, with the server's own words.
    pub async fn connect(&self) -> Result<(), String> {
        match timeout(MAIL_ATTEMPT_TIMEOUT, self.transport.test_connection()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("the mail server closed the connection".to_owned()),
            Ok(Err(why)) => Err(why.to_string()),
            Err(_) => Err("the mail server did not answer in time".to_owned()),
        }
    }
}

/// Describes an error without what the server wrote.
fn without_words(error: &SmtpError) -> String {
    match error.status() {
        Some(code) => format!("the mail server answered {code}"),
        None if error.is_response() => "the mail server's answer cannot be read".to_owned(),
        None => error.to_string(),
    }
}

/// The header `Auto-Submitted: auto-generated`.
#[derive(Clone)]
struct AutoSubmitted;

impl header::Header for AutoSubmitted {
    fn name() -> header::HeaderName {
        header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> header::HeaderValue {
        header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
