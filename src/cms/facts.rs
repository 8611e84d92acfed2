//! The sections with facts about the site: what people chat about now, what is stored and for how
//! long, and who runs it. No I/O.
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What people chat about now. Without popular topics, the page leaves it out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopicsSection {
    pub title: String,
    pub lead: String,
    /// The word after the number of people (명).
    #[serde(default)]
    pub counter: String,
}

/// What is stored, and for how long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    pub title: String,
    pub lead: String,
    /// The text of the link to the privacy page.
    pub link: String,
    pub items: Vec<Stored>,
}

/// One kind of data, with how long it is stored in large letters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    #[schema(example = "24시간")]
    pub how_long: String,
    pub title: String,
    pub text: String,
}

/// Who runs this site: a name from the settings, else the site's host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    pub title: String,
    pub text: String,
    /// Labels the operator's name.
    pub label: String,
    /// Stands for the name as long as the operator has set none. `{host}` becomes the site's host.
    #[schema(example = "{host} 운영자")]
    pub unnamed: String,
    pub host_label: String,
    /// The text of the link to the contact page.
    pub link: String,
}

impl Operator {
    /// Returns the name that the page shows.
    pub fn shown_name(&self, name: Option<&str>, host: &str) -> String {
        name.map_or_else(|| self.unnamed.replace("{host}", host), str::to_owned)
    }
}

/// The public rooms in which people are now. Without any, the page leaves it out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RoomsSection {
    pub title: String,
    pub lead: String,
    /// How many rooms are shown, the busiest first: 1 to 12.
    pub count: u8,
}

/// The service's own numbers as charts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InsightsSection {
    pub title: String,
    pub lead: String,
    /// Which charts, in order. One without enough data is left out.
    pub charts: Vec<Chart>,
}

/// A chart of the service's own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = InsightChart)]
pub enum Chart {
    /// The talks of each of the last 14 days.
    TalksPerDay,
    /// In which hours of the day most people met in the last week.
    BusiestHours,
    /// The languages of the talks of the last day.
    Languages,
}
