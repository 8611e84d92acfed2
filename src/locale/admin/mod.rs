//! The strings of the back-office: one file for each part of it, with all languages side by side.
mod audit;
mod banners;
mod dashboard;
mod health;
mod images;
mod numbers;
mod people;
pub mod section_fields;
mod sections;
mod settings;
mod shell;

use super::Locale;

#[cfg(test)]
pub use audit::ACTIONS;
pub use audit::{AuditStrings, Told};
pub use banners::BannerStrings;
pub use dashboard::DashboardStrings;
pub use health::HealthStrings;
pub use images::ImageStrings;
pub use numbers::NumberStrings;
pub use people::PeopleStrings;
pub use sections::SectionStrings;
pub use settings::SettingsStrings;
pub use shell::ShellStrings;

/// The text of the back-office in one language.
pub struct AdminStrings {
    pub banners: BannerStrings,
    pub numbers: NumberStrings,
    pub sections: SectionStrings,
    pub shell: ShellStrings,
    pub images: ImageStrings,
    pub dashboard: DashboardStrings,
    pub people: PeopleStrings,
    pub audit: AuditStrings,
    pub settings: SettingsStrings,
    pub health: HealthStrings,
}

static KO: AdminStrings = AdminStrings {
    shell: shell::KO,
    banners: banners::KO,
    numbers: numbers::KO,
    sections: sections::KO,
    images: images::KO,
    dashboard: dashboard::KO,
    people: people::KO,
    audit: audit::KO,
    settings: settings::KO,
    health: health::KO,
};
static EN: AdminStrings = AdminStrings {
    shell: shell::EN,
    banners: banners::EN,
    numbers: numbers::EN,
    sections: sections::EN,
    images: images::EN,
    dashboard: dashboard::EN,
    people: people::EN,
    audit: audit::EN,
    settings: settings::EN,
    health: health::EN,
};

impl Locale {
    /// Returns the strings of the back-office in this language.
    pub fn admin(self) -> &'static AdminStrings {
        match self {
            Self::Ko => &KO,
            Self::En => &EN,
        }
    }
}
