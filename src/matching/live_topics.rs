//! How many people chose each topic: those who wait or are in a talk now.
//!
//! One query at most every [`REFRESH_INTERVAL`] serves everybody who asks on this node, for single
//! topics and for any combination.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::limits::MIN_SHOWN_PEOPLE;
use super::model::checked_interest;
use super::refreshed::Refreshed;
use super::store;
use super::topics::{TOPICS, Topic, topic_of};
use crate::app::App;
use crate::error::Result;
use crate::http::CachedBody;
use crate::locale::Locale;

/// How long the counts are used.
const REFRESH_INTERVAL: Duration = Duration::from_secs(2);

/// The last counts of this node.
#[derive(Default)]
pub(super) struct State(Refreshed<LiveTopics>);

/// People who chose the same topics in the same order.
pub(super) struct Chosen {
    pub topics: Vec<String>,
    pub people: i64,
}

/// The counts, and the answers that show them.
struct LiveTopics {
    counts: Counts,
    pages: [CachedBody; Locale::ALL.len()],
}

/// The people who chose each topic, and each combination of topics.
#[derive(Default)]
struct Counts {
    /// The numbers of people by group.
    people: Vec<i64>,
    /// The groups that chose a topic, in order.
    groups: HashMap<String, Vec<u32>>,
}

impl Counts {
    fn of(chosen: Vec<Chosen>) -> Self {
        let mut counts = Self::default();
        for (group, Chosen { topics, people }) in (0..).zip(chosen) {
            counts.people.push(people);
            for topic in topics {
                let groups = counts.groups.entry(topic).or_default();
                if groups.last() != Some(&group) {
                    groups.push(group);
                }
            }
        }
        counts
    }

    /// Returns the number of people who chose all of these topics. `None` if they are fewer than
    /// [`MIN_SHOWN_PEOPLE`], or no topic is named.
    fn together(&self, topics: &[&str]) -> Option<i64> {
        let mut lists = topics.iter().map(|topic| self.groups.get(*topic)).collect::<Option<Vec<_>>>()?;
        lists.sort_unstable_by_key(|list| list.len());
        let (shortest, others) = lists.split_first()?;
        let in_all = shortest.iter().filter(|group| others.iter().all(|list| list.binary_search(group).is_ok()));
        let people: i64 = in_all.map(|group| self.people[*group as usize]).sum();
        (people >= MIN_SHOWN_PEOPLE).then_some(people)
    }
}

/// A suggested topic, in one language.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Topic)]
pub(super) struct TopicView {
    #[schema(example = "music")]
    id: &'static str,
    #[schema(example = "음악")]
    name: &'static str,
    /// Its names in other languages, and other words for it. An interest with any of these names is
    /// this topic.
    also: Vec<&'static str>,
    /// The people who chose it and are searching or in a talk now. Null if they are fewer than 5 or
    /// not known.
    waiting: Option<i64>,
}

/// The suggested topics in their order. They are all on one page.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct TopicsPage {
    items: Vec<TopicView>,
    next: Option<String>,
}

/// A suggested topic that people have chosen now, for the landing page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PopularTopic {
    topic: &'static Topic,
    /// The people who chose it and are searching or in a talk now.
    pub people: i64,
}

impl PopularTopic {
    /// Returns the id, which is the same in every language.
    pub fn id(&self) -> &'static str {
        self.topic.id
    }

    /// Returns the name in a language.
    pub fn name(&self, locale: Locale) -> &'static str {
        self.topic.name(locale)
    }
}

/// Returns at most `most` of the topics that enough people have chosen now, the most popular first.
/// Empty while the counts are not known.
pub async fn popular_topics(app: &App, most: usize) -> Vec<PopularTopic> {
    let Some(live) = live_topics(app).await else { return Vec::new() };
    let chosen = TOPICS.iter().filter_map(|topic| Some((topic, live.counts.together(&[topic.id])?)));
    let mut popular: Vec<PopularTopic> = chosen.map(|(topic, people)| PopularTopic { topic, people }).collect();
    popular.sort_by_key(|topic| std::cmp::Reverse(topic.people));
    popular.truncate(most);
    popular
}

/// Returns the suggested topics in a language with their counts, which are null while they are not
/// known.
pub(super) async fn page(app: &App, locale: Locale) -> CachedBody {
    match live_topics(app).await {
        Some(live) => live.pages[locale as usize].clone(),
        None => encode(&Counts::default(), locale),
    }
}

/// Returns the number of people who chose all of some interests. `None` if they are few or the
/// counts are not known.
///
/// # Errors
/// `bad_frame` if an interest is not valid.
pub(super) async fn together(app: &App, interests: &[&str]) -> Result<Option<i64>> {
    let topics: Vec<String> =
        interests.iter().map(|interest| Ok(topic_of(&checked_interest(interest)?))).collect::<Result<_>>()?;
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    Ok(live_topics(app).await.and_then(|live| live.counts.together(&topics)))
}

async fn live_topics(app: &App) -> Option<Arc<LiveTopics>> {
    let read = async {
        let counts = Counts::of(store::chosen_topics(&app.db).await?);
        Ok(LiveTopics { pages: Locale::ALL.map(|locale| encode(&counts, locale)), counts })
    };
    app.matching.live_topics.0.get(&app.clock, REFRESH_INTERVAL, read).await
}

fn encode(counts: &Counts, locale: Locale) -> CachedBody {
    let view = |topic: &'static Topic| TopicView {
        id: topic.id,
        name: topic.name(locale),
        also: topic.other_names(locale).collect(),
        waiting: counts.together(&[topic.id]),
    };
    let page = TopicsPage { items: TOPICS.iter().map(view).collect(), next: None };
    // Encoding lists of texts and numbers cannot fail.
    CachedBody::new(serde_json::to_vec(&page).unwrap_or_default(), "application/json")
}

#[cfg(test)]
mod tests {
    use super::{Chosen, Counts};

    #[test]
    fn people_are_counted_for_each_topic_and_for_all_of_several() {
        let chosen =
            |topics: &[&str], people| Chosen { topics: topics.iter().map(|t| (*t).to_owned()).collect(), people };
        let counts = Counts::of(vec![
            chosen(&["music", "rain"], 4),
            chosen(&["music"], 20),
            chosen(&["rain", "music"], 3),
            chosen(&["tea", "rain", "music", "music"], 2),
            chosen(&["tea"], 2),
        ]);
        for (topics, people) in [
            (&["music"][..], Some(29)),
            (&["rain", "music"], Some(9)),
            (&["music", "rain", "rain"], Some(9)),
            (&["rain", "tea"], None),
            (&["tea"], None),
            (&["chess"], None),
            (&["music", "chess"], None),
            (&[], None),
        ] {
            assert_eq!(counts.together(topics), people, "{topics:?}");
        }
    }
}
