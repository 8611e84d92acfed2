//! The strings of the back-office: one file for each part of it, with all languages side by side.
mod images;
pub mod section_fields;
mod sections;
mod shell;

use super::Locale;

pub use images::ImageStrings;
pub use sections::SectionStrings;
pub use shell::ShellStrings;

/// The text of the back-office in one language.
pub struct AdminStrings {
    pub sections: SectionStrings,
    pub shell: ShellStrings,
    pub images: ImageStrings,
}

static KO: AdminStrings = AdminStrings { sections: sections::KO, shell: shell::KO, images: images::KO };
static EN: AdminStrings = AdminStrings { sections: sections::EN, shell: shell::EN, images: images::EN };

impl Locale {
    /// Returns the strings of the back-office in this language.
    pub fn admin(self) -> &'static AdminStrings {
        match self {
            Self::Ko => &KO,
            Self::En => &EN,
        }
    }
}
