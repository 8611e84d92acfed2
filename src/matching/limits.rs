//! The limits and times of matching that visitors, clients and operators can meet.
use std::time::Duration as StdDuration;

use time::Duration;

/// The most interests of a seek.
///
/// Beyond it: `bad_frame`.
pub const MAX_INTERESTS: usize = 5;
/// The longest interest, in Unicode scalar values of its lower-case form.
///
/// Beyond it: `bad_frame`.
pub const MAX_INTEREST_CHARS: usize = 30;
/// The most languages of a seek.
///
/// Beyond it: `bad_frame`.
pub const MAX_LANGUAGES: usize = 10;

/// The most entries that a report can choose.
///
/// Beyond it: `bad_frame`.
pub const MAX_REPORT_ENTRIES: usize = 50;
/// The longest note of a report.
///
/// Beyond it: `too_long`.
pub const MAX_REPORT_NOTE_CHARS: usize = 1_000;

/// The waiting time of both visitors from which a common language is enough for a match.
pub const LANGUAGE_ONLY_WAIT: Duration = Duration::seconds(10);
/// The waiting time of both visitors from which a translation can replace a common language.
pub const TRANSLATION_WAIT: Duration = Duration::seconds(20);
/// The time after a talk in which its two visitors are not matched again if another partner waits.
pub const REMATCH_COOLDOWN: Duration = Duration::minutes(10);
/// The waiting time of both visitors from which they can meet again within [`REMATCH_COOLDOWN`],
/// because nobody else is there.
pub const REMATCH_WAIT: Duration = Duration::seconds(3);

/// The time for which a ticket survives the last socket of its visitor.
///
/// Beyond it: the ticket is dropped.
pub const TICKET_GRACE: StdDuration = StdDuration::from_secs(10);
/// The time in which each side must enter a new talk.
///
/// Beyond it: the talk ends. A side that entered waits again.
pub const ENTRY_DEADLINE: Duration = Duration::seconds(15);
/// The time without a socket after which a side counts as away. A page that reloads takes less.
///
/// Beyond it: the other side receives `partner`.
pub const AWAY_DEBOUNCE: StdDuration = StdDuration::from_millis(1_500);
/// The time in which a side that is away must return.
///
/// Beyond it: the talk ends with `lost`.
pub const RETURN_DEADLINE: Duration = Duration::seconds(30);

/// The age up to which waits count for the median that visitors see.
pub const MEDIAN_WAIT_WINDOW: Duration = Duration::minutes(10);
/// The number of waits, recent ones or those of an hour of the day, below which no median is shown.
pub const MIN_WAITS_FOR_MEDIAN: usize = 5;
/// The days over which the waits by the hour of the day are summed up.
pub const WAIT_DAYS: i64 = 7;
/// The number of people below which it is not shown how many chose a topic.
pub const MIN_SHOWN_PEOPLE: i64 = 5;
