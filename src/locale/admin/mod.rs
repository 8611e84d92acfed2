//! The strings of the back-office: one file for each part of it, with all languages side by side.
mod shell;

use super::Locale;

pub use shell::ShellStrings;

/// The text of the back-office in one language.
pub struct AdminStrings {
    pub shell: ShellStrings,
}

static KO: AdminStrings = AdminStrings { shell: shell::KO };
static EN: AdminStrings = AdminStrings { shell: shell::EN };

impl Locale {
    /// Returns the strings of the back-office in this language.
    pub fn admin(self) -> &'static AdminStrings {
        match self {
            Self::Ko => &KO,
            Self::En => &EN,
        }
    }
}
