//! Images, their sizes and texts, and why an upload is refused. No input or output.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::limits::{MAX_ALT_CHARS, MAX_PIXELS, MAX_SIDE_PIXELS, MAX_UPLOAD_BYTES};
use crate::accounts::Visitor;
use crate::error::Error;
use crate::locale::Locale;

/// What an image belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerKind {
    /// The pages of the site.
    Site,
}

impl OwnerKind {
    /// Returns the text that is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Site => "site",
        }
    }
}

/// Who uploads or changes an image.
#[derive(Clone, Copy)]
pub struct Author<'a> {
    pub visitor: &'a Visitor,
    /// The keyed hash of the address prefix, for the audit log.
    pub prefix_hash: &'a [u8],
}

/// A size in which an image is stored. None is larger than the upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Size {
    /// At most 480 pixels wide. Every image has it.
    W480,
    /// At most 960 pixels wide, if the upload is wider than 480.
    W960,
    /// At most 1,600 pixels wide, if the upload is wider than 960.
    W1600,
    /// In a square of 240 pixels, for lists.
    Thumb,
    /// The middle of the image in the shape of a social card, at most 1,200 by 630 pixels, as JPEG.
    Social,
}

impl Size {
    /// The widths of `srcset`, from the smallest.
    pub const WIDTHS: [(Self, u32); 3] = [(Self::W480, 480), (Self::W960, 960), (Self::W1600, 1_600)];
    const ALL: [Self; 5] = [Self::W480, Self::W960, Self::W1600, Self::Thumb, Self::Social];

    /// Returns its name in addresses and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::W480 => "480",
            Self::W960 => "960",
            Self::W1600 => "1600",
            Self::Thumb => "thumb",
            Self::Social => "social",
        }
    }

    /// Returns the size of a name. `None` if there is none.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.name() == name)
    }
}

/// A format in which a variant is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    WebP,
    Jpeg,
    Png,
}

impl Format {
    /// Returns the media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::WebP => "image/webp",
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
        }
    }

    /// Returns the format of a media type that [`Format::media_type`] returns.
    pub(super) fn parse(media_type: &str) -> Option<Self> {
        [Self::WebP, Self::Jpeg, Self::Png].into_iter().find(|format| format.media_type() == media_type)
    }
}

/// The texts for people who do not see an image: one in each language of the site.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AltText(BTreeMap<String, String>);

impl AltText {
    /// Checks that there is a text in each language.
    ///
    /// # Errors
    /// [`Refusal::AltMissing`], [`Refusal::AltTooLong`].
    pub fn checked<'a>(text: impl Fn(Locale) -> Option<&'a str>) -> Result<Self, Refusal> {
        let mut texts = BTreeMap::new();
        for locale in Locale::ALL {
            let words = text(locale).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
            if words.is_empty() {
                return Err(Refusal::AltMissing(locale));
            }
            if words.chars().count() > MAX_ALT_CHARS {
                return Err(Refusal::AltTooLong(locale));
            }
            texts.insert(locale.tag().to_owned(), words);
        }
        Ok(Self(texts))
    }

    /// Returns the text in a language, or in another one if there is none.
    pub fn get(&self, locale: Locale) -> &str {
        self.0.get(locale.tag()).or_else(|| self.0.values().next()).map_or("", String::as_str)
    }
}

/// Returns the name of the form's field that holds the text in a language.
pub fn alt_field(locale: Locale) -> &'static str {
    match locale {
        Locale::Ko => "alt_ko",
        Locale::En => "alt_en",
    }
}

/// One size of an image as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    pub size: Size,
    pub width: u32,
    pub height: u32,
    pub format: Format,
    /// The length of the file.
    pub bytes: u32,
}

/// An image with its sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    pub id: Uuid,
    /// In pixels, as people see the upload.
    pub width: u32,
    pub height: u32,
    pub alt: AltText,
    pub created_at: OffsetDateTime,
    /// When it was deleted. `None` for an image that is served.
    pub deleted_at: Option<OffsetDateTime>,
    /// From the smallest to the largest of `srcset`, then the others.
    pub variants: Vec<Variant>,
}

impl Image {
    /// Returns the address of a size.
    pub fn path(&self, size: Size) -> String {
        format!("/media/{}/{}", self.id, size.name())
    }

    /// Returns a size. `None` if the image has it not.
    pub fn variant(&self, size: Size) -> Option<&Variant> {
        self.variants.iter().find(|variant| variant.size == size)
    }

    /// Returns the sizes of `srcset`, from the smallest.
    pub fn widths(&self) -> impl Iterator<Item = &Variant> {
        Size::WIDTHS.iter().filter_map(|(size, _)| self.variant(*size))
    }

    /// Returns the value of the attribute `srcset`.
    pub fn srcset(&self) -> String {
        let sources = self.widths().map(|variant| format!("{} {}w", self.path(variant.size), variant.width));
        sources.collect::<Vec<_>>().join(", ")
    }
}

/// A place that shows an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ImageUse {
    /// The place in a few words, such as `landing, hero (ko)`.
    pub place: String,
}

/// Why an upload is refused. Nothing is stored then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The form has no file, or an empty one.
    FileMissing,
    /// The file is larger than [`MAX_UPLOAD_BYTES`].
    TooLarge,
    /// The file is no JPEG, PNG or WebP.
    OtherFormat,
    /// The picture has more pixels than [`MAX_PIXELS`], or a longer side than [`MAX_SIDE_PIXELS`].
    TooManyPixels,
    /// The file is incomplete or damaged.
    Broken,
    AltMissing(Locale),
    AltTooLong(Locale),
    /// The form is not as the page sends it.
    BadForm,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::FileMissing => Self::bad_payload("file", "Choose a file."),
            Refusal::TooLarge => Self::BodyTooLarge { limit: MAX_UPLOAD_BYTES },
            Refusal::OtherFormat => Self::UnsupportedMedia("The file is no JPEG, PNG or WebP image."),
            Refusal::TooManyPixels => {
                let megapixels = MAX_PIXELS / 1_000_000;
                let why = format!("An image has at most {megapixels} megapixels and {MAX_SIDE_PIXELS} pixels a side.");
                Self::bad_payload("file", why)
            }
            Refusal::Broken => Self::bad_payload("file", "The file is incomplete or damaged."),
            Refusal::AltMissing(locale) => {
                Self::bad_payload(alt_field(locale), "Describe the image for people who do not see it.")
            }
            Refusal::AltTooLong(locale) => Self::TooLong { limit: MAX_ALT_CHARS, field: Some(alt_field(locale)) },
            Refusal::BadForm => Self::bad_frame("The form is incomplete."),
        }
    }
}

/// Why an upload was not stored.
#[derive(Debug)]
pub enum UploadError {
    /// The person who uploads can do something about it.
    Refused(Refusal),
    Failed(Error),
}

impl From<Refusal> for UploadError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for UploadError {
    fn from(why: Error) -> Self {
        Self::Failed(why)
    }
}

impl From<sqlx::Error> for UploadError {
    fn from(why: sqlx::Error) -> Self {
        Self::Failed(why.into())
    }
}

impl From<UploadError> for Error {
    fn from(why: UploadError) -> Self {
        match why {
            UploadError::Refused(refusal) => refusal.into(),
            UploadError::Failed(error) => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AltText, MAX_ALT_CHARS, Refusal, Size};
    use crate::locale::Locale;

    #[test]
    fn an_image_is_described_in_each_language() {
        let long = "가".repeat(MAX_ALT_CHARS + 1);
        let of = |ko: &'static str, en: &'static str| {
            AltText::checked(move |locale| Some(if locale == Locale::Ko { ko } else { en }))
        };
        let alt = of("  두 사람이\n마주 앉아 있어요 ", "Two people").unwrap();
        assert_eq!((alt.get(Locale::Ko), alt.get(Locale::En)), ("두 사람이 마주 앉아 있어요", "Two people"));
        assert_eq!(of("가", " "), Err(Refusal::AltMissing(Locale::En)));
        assert_eq!(AltText::checked(|_| Some(&long)), Err(Refusal::AltTooLong(Locale::Ko)));
        assert_eq!(AltText::checked(|_| None), Err(Refusal::AltMissing(Locale::Ko)));
    }

    #[test]
    fn sizes_have_the_names_of_their_addresses() {
        for size in Size::ALL {
            assert_eq!(Size::parse(size.name()), Some(size));
        }
        assert_eq!(Size::parse("../480"), None);
    }
}
