//! Rooms: types and rules, no I/O.
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use ts_rs::TS;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};
use uuid::Uuid;

use super::limits::{
    MAX_LANGUAGE_TAG_BYTES, MAX_MESSAGE_CHARS, MAX_PAYLOAD_BYTES, MAX_PAYLOAD_DEPTH, MAX_TITLE_CHARS, MAX_TOPIC_CHARS,
    MAX_UNKNOWN_BYTES, MAX_UNKNOWN_FIELDS,
};
use crate::db::jsonb;
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::ids::{RoomId, Seq, VisitorId};
use crate::text;

/// The fields of a text payload that the server knows.
const KNOWN_FIELDS: [&str; 3] = ["kind", "text", "lang"];

/// The kind of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RoomKind {
    /// Two strangers in slots A and B (matching).
    Talk,
    Public,
    Private,
}

impl RoomKind {
    /// Returns the form that is stored and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Talk => "talk",
            Self::Public => "public",
            Self::Private => "private",
        }
    }

    /// Reads the stored form. The schema allows nothing else.
    pub fn of_str(text: &str) -> Self {
        match text {
            "talk" => Self::Talk,
            "public" => Self::Public,
            _ => Self::Private,
        }
    }
}

/// Whether a room shows chosen names or aliases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Naming {
    Anonymous,
    Named,
}

impl Naming {
    /// Returns the stored form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Named => "named",
        }
    }

    /// Reads the stored form. The schema allows nothing else.
    pub fn of_str(text: &str) -> Self {
        if text == "named" { Self::Named } else { Self::Anonymous }
    }
}

/// A room. Clients see its `public_id`, never its `id`.
#[derive(Clone, Debug)]
pub struct ChatRoom {
    pub id: RoomId,
    pub public_id: Uuid,
    pub slug: Option<String>,
    pub kind: RoomKind,
    pub naming: Naming,
    pub title: Option<String>,
    pub topic: Option<String>,
    /// Whether members see what was written before they joined.
    pub history: bool,
    pub language: Option<String>,
    pub created_at: OffsetDateTime,
    /// When it ended. Nothing is written after that.
    pub closed_at: Option<OffsetDateTime>,
}

/// A member of a room. The others see `sender`, whose id is a different one in each room.
#[derive(Clone, Debug)]
pub struct Member {
    pub visitor: VisitorId,
    pub role: String,
    /// The head of the log when they joined.
    pub joined_seq: Seq,
    pub left: bool,
    pub sender: Sender,
}

/// The author of an entry, as the others see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS, utoipa::ToSchema)]
pub struct Sender {
    pub id: Uuid,
    /// The alias in the sender's language, or the chosen name.
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub slot: Option<Slot>,
    #[ts(type = "Color")]
    pub color: String,
    /// The animal of the alias, so that a page can show the name in the reader's language. Null for
    /// a chosen name.
    pub animal: Option<String>,
}

/// The two sides of a talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS, utoipa::ToSchema)]
pub enum Slot {
    A,
    B,
}

impl Slot {
    /// Reads the stored form.
    pub fn of_str(text: &str) -> Self {
        if text == "A" { Self::A } else { Self::B }
    }
}

/// A room as clients see it.
#[derive(Clone, Debug, Serialize, TS, utoipa::ToSchema)]
pub struct RoomView {
    pub id: Uuid,
    pub slug: Option<String>,
    pub kind: RoomKind,
    pub naming: Naming,
    pub title: Option<String>,
    pub topic: Option<String>,
    pub history: bool,
    pub language: Option<String>,
    pub created_at: String,
    pub closed_at: Option<String>,
}

impl From<&ChatRoom> for RoomView {
    fn from(room: &ChatRoom) -> Self {
        Self {
            id: room.public_id,
            slug: room.slug.clone(),
            kind: room.kind,
            naming: room.naming,
            title: room.title.clone(),
            topic: room.topic.clone(),
            history: room.history,
            language: room.language.clone(),
            created_at: crate::clock::format_timestamp(room.created_at),
            closed_at: room.closed_at.map(crate::clock::format_timestamp),
        }
    }
}

/// The events of a room. Entries of the log have a `seq`; the others are ephemeral.
#[derive(Clone, Debug, Serialize, TS, utoipa::ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RoomEvent {
    Message(Message),
    Typing {
        room: Uuid,
        sender: Sender,
    },
    Presence {
        room: Uuid,
        #[ts(type = "number")]
        online: usize,
    },
    Read {
        room: Uuid,
        member: Uuid,
        #[ts(type = "number")]
        seq: Seq,
    },
    Resync {
        room: Uuid,
        #[ts(type = "number")]
        head: Seq,
    },
}

impl RoomEvent {
    /// Encodes the event as a frame.
    pub fn encode(&self) -> crate::realtime::Frame {
        crate::realtime::Frame::json(self)
    }
}

/// A message in the log.
#[derive(Clone, Debug, Serialize, TS, utoipa::ToSchema)]
pub struct Message {
    pub room: Uuid,
    #[ts(type = "number")]
    pub seq: Seq,
    pub client_id: Uuid,
    pub sender: Sender,
    #[ts(type = "Payload")]
    #[schema(value_type = Object)]
    pub payload: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional, type = "number")]
    pub reply_to: Option<Seq>,
    pub at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub edited_at: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[ts(optional, as = "Option<bool>")]
    pub deleted: bool,
}

/// A checked payload, as the JSON that is stored and sent.
#[derive(Clone, Debug)]
pub struct Payload {
    json: Box<RawValue>,
    stored: usize,
}

impl Payload {
    /// Checks what a client sent. The text is normalised (NFC) and trimmed. Unknown fields are
    /// kept.
    ///
    /// # Errors
    /// `bad_payload` with the field; `too_long` beyond [`MAX_MESSAGE_CHARS`], [`MAX_PAYLOAD_BYTES`]
    /// or [`MAX_UNKNOWN_BYTES`].
    pub fn checked(mut sent: Map<String, Value>) -> Result<Self> {
        match sent.get("kind").and_then(Value::as_str) {
            Some("text") => {}
            Some("image") => return Err(Error::bad_payload("payload.kind", "Images cannot be sent yet.")),
            Some(_) => return Err(Error::bad_payload("payload.kind", "Only 'text' can be sent.")),
            None => return Err(Error::bad_payload("payload.kind", "A payload names its kind.")),
        }
        let Some(Value::String(text)) = sent.get("text") else {
            return Err(Error::bad_payload("payload.text", "A text payload holds a text."));
        };
        let text = checked_text(text)?;
        sent.insert("text".to_owned(), Value::String(text));
        match sent.get("lang") {
            None => {}
            Some(Value::String(tag)) if is_language_tag(tag) => {}
            Some(_) => return Err(Error::bad_payload("payload.lang", "A language is a BCP 47 tag.")),
        }
        check_unknown(&sent)?;
        let stored = jsonb::object_len(&sent);
        if stored > MAX_PAYLOAD_BYTES && !faults::on(Fault::StoredSizeNotChecked) {
            return Err(Error::TooLarge { limit: MAX_PAYLOAD_BYTES, field: Some("payload") });
        }
        let json = to_raw_value(&Value::Object(sent)).map_err(Error::internal)?;
        Ok(Self { json, stored })
    }

    /// Returns the JSON.
    pub fn json(&self) -> &str {
        self.json.get()
    }

    /// Returns its size in bytes, as it is stored and served.
    pub fn stored(&self) -> usize {
        self.stored
    }

    /// Returns the JSON for an event.
    pub fn into_raw(self) -> Box<RawValue> {
        self.json
    }
}

/// Normalises and trims a text, and checks its length and the rules of [`text::check_lines`].
fn checked_text(sent: &str) -> Result<String> {
    let tidy = text::tidy(sent);
    if tidy.chars().count() > MAX_MESSAGE_CHARS {
        return Err(Error::TooLong { limit: MAX_MESSAGE_CHARS, field: Some("payload.text") });
    }
    text::check_lines(&tidy).map_err(|flaw| Error::bad_payload("payload.text", flaw.to_string()))?;
    Ok(tidy.into_owned())
}

/// Checks the fields that the server does not know: they are kept, within their own limits.
fn check_unknown(sent: &Map<String, Value>) -> Result<()> {
    let (mut count, mut bytes) = (0, 0);
    for (name, field) in sent.iter().filter(|(name, _)| !KNOWN_FIELDS.contains(&name.as_str())) {
        count += 1;
        bytes += jsonb::field_len(name, field);
        if count > MAX_UNKNOWN_FIELDS {
            return Err(Error::bad_payload(
                "payload",
                format!("A payload has at most {MAX_UNKNOWN_FIELDS} fields besides its own."),
            ));
        }
        if bytes > MAX_UNKNOWN_BYTES && !faults::on(Fault::StoredSizeNotChecked) {
            return Err(Error::TooLarge { limit: MAX_UNKNOWN_BYTES, field: Some("payload") });
        }
        check_depth(field, 2)?;
    }
    if jsonb::object_has_nul(sent) {
        return Err(Error::bad_payload("payload", "The character U+0000 cannot be sent."));
    }
    Ok(())
}

fn check_depth(value: &Value, depth: usize) -> Result<()> {
    if depth > MAX_PAYLOAD_DEPTH {
        return Err(Error::bad_payload("payload", format!("A payload is nested at most {MAX_PAYLOAD_DEPTH} deep.")));
    }
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| check_depth(item, depth + 1)),
        Value::Object(fields) => fields.values().try_for_each(|field| check_depth(field, depth + 1)),
        _ => Ok(()),
    }
}

/// Returns `true` if a text has the form of a BCP 47 tag: 2 to 8 letters, then subtags of 1 to 8
/// letters or digits.
pub fn is_language_tag(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let primary = parts.next().unwrap_or_default();
    tag.len() <= MAX_LANGUAGE_TAG_BYTES
        && (2..=8).contains(&primary.len())
        && primary.bytes().all(|b| b.is_ascii_alphabetic())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// The body of `POST /rooms`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRoom {
    #[schema(schema_with = title_schema)]
    pub title: String,
    #[schema(value_type = Option<String>, schema_with = topic_schema)]
    pub topic: Option<String>,
    /// `public` or `private`: talks are made by matching.
    #[schema(value_type = String, pattern = "^(public|private)$")]
    pub kind: RoomKind,
    pub naming: Naming,
    pub history: bool,
    /// A BCP 47 tag.
    pub language: Option<String>,
}

/// Returns the schema of [`NewRoom::title`]. The attribute `max_length` takes no constant.
fn title_schema() -> Object {
    ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(MAX_TITLE_CHARS)).build()
}

/// Returns the schema of [`NewRoom::topic`].
fn topic_schema() -> Object {
    let string_or_null = SchemaType::from_iter([Type::String, Type::Null]);
    ObjectBuilder::new().schema_type(string_or_null).max_length(Some(MAX_TOPIC_CHARS)).build()
}

impl NewRoom {
    /// Checks the fields.
    ///
    /// # Errors
    /// `bad_frame` or `too_long`, with the field.
    pub fn checked(mut self) -> Result<Self> {
        if self.kind == RoomKind::Talk {
            return Err(Error::bad_field("kind", "A room is public or private; talks are made by matching."));
        }
        self.title = one_line("title", &self.title, MAX_TITLE_CHARS)?;
        self.topic = match self.topic.as_deref().filter(|topic| !topic.trim().is_empty()) {
            Some(topic) => Some(one_line("topic", topic, MAX_TOPIC_CHARS)?),
            None => None,
        };
        if self.language.as_deref().is_some_and(|tag| !is_language_tag(tag)) {
            return Err(Error::bad_field("language", "A language is a BCP 47 tag."));
        }
        Ok(self)
    }
}

fn one_line(field: &'static str, sent: &str, limit: usize) -> Result<String> {
    let tidy = text::tidy(sent);
    if tidy.chars().count() > limit {
        return Err(Error::TooLong { limit, field: Some(field) });
    }
    text::check_line(&tidy).map_err(|flaw| Error::bad_field(field, flaw.to_string()))?;
    Ok(tidy.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{ProptestConfig, prop_assert, proptest};
    use serde_json::{Map, Value, json};

    use super::{Payload, is_language_tag};

    fn checked(value: Value) -> Result<String, &'static str> {
        let Value::Object(map) = value else { panic!("not an object: {value}") };
        Payload::checked(map).map(|payload| payload.json().to_owned()).map_err(|why| why.code())
    }

    #[test]
    fn a_text_is_limited_in_length_and_in_characters() {
        let text = |text: String| checked(json!({"kind": "text", "text": text}));
        assert!(text("a".repeat(2_000)).is_ok());
        assert_eq!(text("a".repeat(2_001)), Err("too_long"));
        assert!(text(decomposed_syllables(2_000)).is_ok(), "2,000 characters after NFC");
        for bad in ["", "  \n ", "a\u{0}", "a\u{7}", "a\u{202e}b", "a\u{2066}b", "\r\na\rb", "a\u{85}b"] {
            assert_eq!(text(bad.to_owned()), Err("bad_payload"), "{bad:?}");
        }
        for good in ["안녕\n\t하세요", "👩‍👩‍👧 family", "שלום", "a\u{200d}b"] {
            assert!(text(good.to_owned()).is_ok(), "{good:?}");
        }
    }

    /// Returns Hangul syllables in decomposed form: two scalar values each before NFC, one after.
    fn decomposed_syllables(count: usize) -> String {
        use unicode_normalization::UnicodeNormalization as _;
        "가".repeat(count).nfd().collect()
    }

    #[test]
    fn unknown_fields_are_kept_and_bad_payloads_are_refused() {
        let kept = checked(json!({"kind": "text", "text": " hi ", "x": {"y": [1, null]}})).unwrap();
        let kept: Value = serde_json::from_str(&kept).unwrap();
        assert_eq!(kept, json!({"kind": "text", "text": "hi", "x": {"y": [1, null]}}));
        let deep = (0..9).fold(json!(1), |inner, _| json!([inner]));
        for bad in [
            json!({"text": "x"}),
            json!({"kind": "system", "text": "x"}),
            json!({"kind": "text"}),
            json!({"kind": "text", "text": 5}),
            json!({"kind": "text", "text": "x", "lang": "no tag"}),
            json!({"kind": "text", "text": "x", "more": "\u{0}"}),
            json!({"kind": "text", "text": "x", "more": deep}),
            json!({"kind": "image", "url": "x"}),
        ] {
            assert_eq!(checked(bad.clone()), Err("bad_payload"), "{bad}");
        }
        assert!(is_language_tag("zh-Hans") && !is_language_tag("k") && !is_language_tag("ko_KR"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn an_accepted_payload_is_clean_and_is_accepted_again_unchanged(text in "\\PC{0,40}[\u{0}-\u{20}\u{2028}-\u{206f}가-힣]{0,6}\\PC{0,10}") {
            let mut map = Map::new();
            map.insert("kind".into(), "text".into());
            map.insert("text".into(), text.into());
            if let Ok(payload) = Payload::checked(map) {
                let again: Map<String, Value> = serde_json::from_str(payload.json()).unwrap();
                let kept = again["text"].as_str().unwrap().to_owned();
                prop_assert!(crate::text::check_lines(&kept).is_ok() && kept == kept.trim());
                let twice = Payload::checked(again).unwrap();
                prop_assert!(twice.json() == payload.json());
            }
        }
    }
}
