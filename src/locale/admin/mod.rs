//! The strings of the back-office: one file for each part of it, with all languages side by side.
mod images;
mod shell;

use super::Locale;

pub use images::ImageStrings;
pub use shell::ShellStrings;

/// The text of the back-office in one language.
pub struct AdminStrings {
    pub shell: ShellStrings,
    pub images: ImageStrings,
}

static KO: AdminStrings = AdminStrings { shell: shell::KO, images: images::KO };
static EN: AdminStrings = AdminStrings { shell: shell::EN, images: images::EN };

impl Locale {
    /// Returns the strings of the back-office in this language.
    pub fn admin(self) -> &'static AdminStrings {
        match self {
            Self::Ko => &KO,
            Self::En => &EN,
        }
    }
}
