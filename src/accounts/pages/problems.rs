//! Why a form was refused, in the words of the reader.
use crate::error::Error;
use crate::locale::PageStrings;

/// What the summary above a form lists.
#[derive(Debug)]
pub(super) struct Problems {
    pub(super) title: &'static str,
    pub(super) items: Vec<Item>,
    /// Seconds until the next attempt is evaluated.
    pub(super) wait: Option<u64>,
}

/// One thing that is wrong.
#[derive(Debug)]
pub(super) struct Item {
    /// The id of the control. Empty if it is not about one.
    pub(super) field: &'static str,
    pub(super) text: String,
}

impl Problems {
    /// Creates the summary of one problem.
    pub(super) fn one(title: &'static str, field: &'static str, text: impl Into<String>) -> Self {
        Self { title, items: vec![Item { field, text: text.into() }], wait: None }
    }

    /// Returns what is wrong with a field. `None` if nothing is.
    pub(super) fn of(&self, field: &str) -> Option<&str> {
        self.items.iter().find(|item| item.field == field).map(|item| item.text.as_str())
    }

    /// Returns how long the wait is.
    pub(super) fn wait_text(&self, t: &PageStrings) -> String {
        t.wait.replace("{}", &(t.span)(self.wait.unwrap_or_default()))
    }
}

/// How a form words its refusals.
#[derive(Clone, Copy)]
pub(super) struct Wording {
    pub(super) title: &'static str,
    /// The field of the proof, and the text if it is wrong.
    pub(super) proof: (&'static str, &'static str),
}

impl Wording {
    /// Returns the summary for an error that the reader can do something about.
    ///
    /// # Errors
    /// All other errors.
    pub(super) fn problems(self, t: &'static PageStrings, error: Error) -> Result<Problems, Error> {
        let Self { title, proof } = self;
        Ok(match error {
            Error::WrongCredentials => Problems::one(title, proof.0, proof.1),
            Error::RateLimited { after } => {
                let seconds = after.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX).max(1);
                let item = Item { field: "", text: t.wait_text.to_owned() };
                Problems { title: t.wait_title, items: vec![item], wait: Some(seconds) }
            }
            Error::Taken { field: "handle", .. } => Problems::one(title, "handle", t.handle_taken),
            Error::Taken { field: "email", .. } => Problems::one(title, "email", t.email_taken),
            // The reason is in the reader's language already.
            Error::BadFrame { field: Some("password" | "new"), why } => Problems::one(title, "password", why),
            Error::TooLong { field: Some("password" | "new"), .. } => {
                Problems::one(title, "password", t.password_too_long)
            }
            Error::BadFrame { field: Some(field), .. } | Error::TooLong { field: Some(field), .. } => {
                let (field, text) = match field {
                    "handle" => ("handle", t.handle_shape),
                    "email" => ("email", t.email_shape),
                    "pin" => ("pin", t.pin_shape),
                    "name" => ("name", t.name_shape),
                    _ => return Err(error),
                };
                Problems::one(title, field, text)
            }
            other => return Err(other),
        })
    }
}
