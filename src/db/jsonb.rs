//! The size of JSON as Postgres prints it. Readers of a `jsonb` get its printed form, which can be
//! much longer than what was sent: `1e308` has 5 bytes and is printed with 309 digits.
use serde_json::{Map, Number, Value};

/// Returns the bytes of a value as `value::jsonb::text` prints it: numbers without an exponent, `",
/// "` between items, `": "` after names, a backslash only where Postgres writes one.
///
/// The value must not contain the character U+0000, which Postgres does not store.
pub fn printed_len(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::Number(number) => number_len(number),
        Value::String(text) => string_len(text),
        Value::Array(items) => list_len(items.iter().map(printed_len)),
        Value::Object(fields) => object_len(fields),
    }
}

/// Returns the bytes of an object as Postgres prints it.
pub fn object_len(fields: &Map<String, Value>) -> usize {
    list_len(fields.iter().map(|(name, field)| field_len(name, field)))
}

/// Returns the bytes of a field in an object, without the `", "` between two fields.
pub fn field_len(name: &str, field: &Value) -> usize {
    string_len(name) + ": ".len() + printed_len(field)
}

/// Returns `true` if a text or a name in a value contains the character U+0000, which Postgres does
/// not store.
pub fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => object_has_nul(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Returns `true` if a text or a name in an object contains the character U+0000.
pub fn object_has_nul(fields: &Map<String, Value>) -> bool {
    fields.iter().any(|(name, field)| name.contains('\0') || has_nul(field))
}

fn list_len(items: impl Iterator<Item = usize>) -> usize {
    let (count, bytes) = items.fold((0_usize, 0), |(count, bytes), item| (count + 1, bytes + item));
    "[]".len() + bytes + ", ".len() * count.saturating_sub(1)
}

fn string_len(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\x08' | b'\x0c' | b'\n' | b'\r' | b'\t' => 1,
        0..b' ' => 5, // \u0001
        _ => 0,
    };
    "\"\"".len() + text.len() + text.bytes().map(escaped).sum::<usize>()
}

/// Returns the bytes of a number. A `numeric` keeps all digits that were written after the point,
/// shifted by the exponent, and prints all of them.
fn number_len(number: &Number) -> usize {
    let text = number.to_string();
    let (sign, text) = text.strip_prefix('-').map_or((0, text.as_str()), |rest| (1, rest));
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: isize = exponent.parse().unwrap_or_default();
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let scale = fraction.len().saturating_add_signed(-exponent);
    let point = if scale > 0 { 1 + scale } else { 0 };
    let Some(zeros) = whole.bytes().chain(fraction.bytes()).position(|digit| digit != b'0') else {
        return 1 + point; // Zero has no sign.
    };
    let before = whole.len().saturating_add_signed(exponent).saturating_sub(zeros).max(1);
    sign + before + point
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_oneof};
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::{Config, TestRunner};
    use serde_json::{Value, json};

    use super::{object_len, printed_len};
    use crate::testing;

    /// Returns random JSON as a client can send it, with numbers and characters that are printed
    /// longer than they are sent.
    fn values() -> impl Strategy<Value = Value> {
        let text = || "[\\PC\u{1}-\u{1f}\"\\\\\u{7f}가-힣😀]{0,12}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::from),
            (-320_i32..308, 0_u64..100_000).prop_map(|(e, m)| format!("{m}e{e}").parse::<f64>().unwrap_or(0.0).into()),
            (-1_000_000_i64..1_000_000, 0_u32..9).prop_map(|(m, e)| (m as f64 / f64::from(10_u32.pow(e))).into()),
            text().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(text(), inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    #[tokio::test]
    async fn the_computed_size_is_that_of_the_form_that_postgres_prints() {
        let mut sent = vec![
            json!(1e308),
            json!(-1e308),
            json!(f64::MAX),
            json!(f64::MIN_POSITIVE),
            json!(5e-324),
            json!(1e-300),
            json!(-0.0),
            json!(0.0),
            json!(1.0),
            json!(-0.001),
            json!(1e16),
            json!(123456789.125),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(0),
            json!([]),
            json!({}),
            json!([[], {}, [null, true, false]]),
            json!({"": "", "a\"b\\": "\u{1}\u{8}\u{c}\n\r\t\u{1f}\u{7f}"}),
            json!({"long": [1e308, 1e308], "b": {"가": "😀\u{10ffff}"}}),
            // A later field of the same name replaces the earlier one.
            serde_json::from_str(r#"{"a": 1e308, "b": 1, "a": 2}"#).unwrap(),
        ];
        let mut runner = TestRunner::new(Config::default());
        sent.extend((0..3_000).map(|_| values().new_tree(&mut runner).unwrap().current()));
        let texts: Vec<String> = sent.iter().map(Value::to_string).collect();
        let db = testing::database().await;
        let printed: Vec<i32> = sqlx::query_scalar(
            "SELECT octet_length(sent::jsonb::text) FROM unnest($1::text[]) WITH ORDINALITY AS t(sent, nth) ORDER BY nth",
        )
        .bind(&texts)
        .fetch_all(&db)
        .await
        .unwrap();
        assert_eq!(printed.len(), sent.len());
        for ((value, text), printed) in sent.iter().zip(&texts).zip(printed) {
            assert_eq!(printed_len(value), usize::try_from(printed).unwrap(), "{text}");
            if let Value::Object(fields) = value {
                assert_eq!(object_len(fields), printed_len(value));
            }
        }
        assert_eq!(printed_len(&json!(1e308)), 309);
    }
}
