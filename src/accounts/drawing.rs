//! The drawings of animals, which the client draws as well (web/src/accounts/animals.ts).
use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

static DRAWINGS: LazyLock<Drawings> = LazyLock::new(|| {
    // A test parses this file.
    serde_json::from_str(include_str!("../../web/src/accounts/animals.json")).unwrap_or_default()
});

/// A person in a drawing of the page: the keys of a colour and an animal (src/accounts/names.rs).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Face {
    #[schema(example = "indigo")]
    pub color: String,
    #[schema(example = "fox")]
    pub animal: String,
}

impl Face {
    /// Returns the drawing of the animal; the plain tile if there is no such animal.
    pub fn drawing(&self) -> &'static Drawing {
        DRAWINGS.animals.get(&self.animal).unwrap_or(&DRAWINGS.plain)
    }
}

#[derive(Default, Deserialize)]
struct Drawings {
    tile: String,
    plain: Drawing,
    animals: BTreeMap<String, Drawing>,
}

/// The paths of a drawing, in the order in which they are painted. An absent one is empty.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Drawing {
    pub ink: String,
    pub line: String,
    tile: Option<String>,
    pub cut: String,
    pub cut_line: String,
    pub over: String,
}

impl Drawing {
    /// Returns the outline of the tile.
    pub fn tile(&self) -> &str {
        self.tile.as_deref().unwrap_or(&DRAWINGS.tile)
    }
}

#[cfg(test)]
mod tests {
    use super::{DRAWINGS, Drawing, Drawings, Face};
    use crate::locale::Locale;

    #[test]
    fn every_animal_has_a_drawing() {
        serde_json::from_str::<Drawings>(include_str!("../../web/src/accounts/animals.json")).unwrap();
        let face = |animal: &str| Face { color: "pine".to_owned(), animal: animal.to_owned() };
        for (animal, _) in Locale::En.strings().animals {
            assert!(!std::ptr::eq(face(animal).drawing(), &raw const DRAWINGS.plain), "{animal}");
        }
        let plain: &Drawing = face("yak").drawing();
        assert!(std::ptr::eq(plain, &raw const DRAWINGS.plain) && !plain.cut.is_empty() && !plain.tile().is_empty());
    }
}
