//! The strings of the back-office: one file for each part of it, with all languages side by side.
mod banners;
mod numbers;
pub mod section_fields;
mod sections;
mod shell;

use super::Locale;

pub use banners::BannerStrings;
pub use numbers::NumberStrings;
pub use sections::SectionStrings;
pub use shell::ShellStrings;

/// The text of the back-office in one language.
pub struct AdminStrings {
    pub banners: BannerStrings,
    pub numbers: NumberStrings,
    pub sections: SectionStrings,
    pub shell: ShellStrings,
}

static KO: AdminStrings =
    AdminStrings { banners: banners::KO, numbers: numbers::KO, sections: sections::KO, shell: shell::KO };
static EN: AdminStrings =
    AdminStrings { banners: banners::EN, numbers: numbers::EN, sections: sections::EN, shell: shell::EN };

impl Locale {
    /// Returns the strings of the back-office in this language.
    pub fn admin(self) -> &'static AdminStrings {
        match self {
            Self::Ko => &KO,
            Self::En => &EN,
        }
    }
}
