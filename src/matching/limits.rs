//! The limits and times of matching that visitors, clients and operators can meet.
use std::time::Duration as StdDuration;

use time::Duration;

/// The largest number of interests in a seek.
pub const MAX_INTERESTS: usize = 5;
/// The largest number of characters in an interest.
pub const MAX_INTEREST_CHARS: usize = 30;
/// The largest number of languages in a seek.
pub const MAX_LANGUAGES: usize = 10;

/// The largest number of entries that a report can choose.
pub const MAX_REPORT_ENTRIES: usize = 50;
/// The largest number of characters in the note of a report.
pub const MAX_REPORT_NOTE_CHARS: usize = 1_000;

/// Waiting time of both visitors from which a common language is enough for a match.
pub const LANGUAGE_ONLY_WAIT: Duration = Duration::seconds(10);
/// Waiting time of both visitors from which a translation can replace a common language.
pub const TRANSLATION_WAIT: Duration = Duration::seconds(20);
/// Time after a talk in which its two visitors are not matched again if another partner waits.
pub const REMATCH_COOLDOWN: Duration = Duration::minutes(10);
/// Waiting time of both visitors from which they can meet again within [`REMATCH_COOLDOWN`],
/// because nobody else is there.
pub const REMATCH_WAIT: Duration = Duration::seconds(3);

/// Time for which a ticket survives the last socket of its visitor.
pub const TICKET_GRACE: StdDuration = StdDuration::from_secs(10);
/// Time in which each side must enter a new talk.
pub const ENTRY_DEADLINE: Duration = Duration::seconds(15);
/// Time without a socket after which a side counts as away. A page that reloads takes less.
pub const AWAY_DEBOUNCE: StdDuration = StdDuration::from_millis(1_500);
/// Time in which a side that is away must return.
pub const RETURN_DEADLINE: Duration = Duration::seconds(30);

/// How far back waits count for the median that visitors see.
pub const MEDIAN_WAIT_WINDOW: Duration = Duration::minutes(10);
/// The number of recent waits below which no median is shown.
pub const MIN_WAITS_FOR_MEDIAN: usize = 5;
