//! Reads accounts from the JSON of Django's `dumpdata`.
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::accounts::model::Role;

use super::model::{Given, Plan};

/// An object of a dump.
#[derive(Deserialize)]
struct Entry<'a> {
    model: String,
    #[serde(borrow)]
    pk: Option<&'a RawValue>,
    #[serde(borrow)]
    fields: &'a RawValue,
}

/// The fields of a user, as `django.contrib.auth` has them.
#[derive(Deserialize)]
struct User {
    username: String,
    password: String,
    #[serde(default)]
    email: Option<String>,
    #[serde(default)]
    is_superuser: bool,
    #[serde(default)]
    is_staff: bool,
    #[serde(default = "is_active")]
    is_active: bool,
}

fn is_active() -> bool {
    true
}

/// Reads a dump. Users are the entries of `auth.user`, and of models that are named `user` in another
/// app; the others are skipped. Superusers become administrators, and staff editors.
///
/// # Errors
/// Returns why no entry can be read.
pub(super) fn read(text: &str) -> Result<Plan, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let entries: Vec<&RawValue> = serde_json::from_str(text)
        .map_err(|why| format!("this is not the JSON of `manage.py dumpdata auth.user`: {why}"))?;
    let mut plan = Plan::default();
    for (index, raw) in entries.into_iter().enumerate() {
        let number = index + 1;
        let entry: Entry<'_> = match serde_json::from_str(raw.get()) {
            Ok(entry) => entry,
            Err(why) => {
                plan.problems.push(format!("entry {number}: {}", without_place(&why)));
                continue;
            }
        };
        if !entry.model.to_ascii_lowercase().ends_with(".user") {
            plan.skipped += 1;
            continue;
        }
        let place = format!("entry {number} (pk {})", entry.pk.map_or("none", RawValue::get));
        match serde_json::from_str::<User>(entry.fields.get()) {
            Ok(user) => plan.add(place, given(user)),
            Err(why) => plan.problems.push(format!("{place}: {}", without_place(&why))),
        }
    }
    Ok(plan)
}

fn given(user: User) -> Given {
    let role = match (user.is_superuser, user.is_staff) {
        (true, _) => Some(Role::Admin),
        (false, true) => Some(Role::Editor),
        (false, false) => None,
    };
    Given {
        handle: user.username,
        email: user.email.unwrap_or_default(),
        password: user.password,
        role,
        is_deactivated: !user.is_active,
    }
}

/// Describes an error without its line and column, which count from the start of the entry.
fn without_place(why: &serde_json::Error) -> String {
    let text = why.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn users_are_read_and_other_entries_are_skipped() {
        let text = r#"[
            {"model": "auth.group", "pk": 1, "fields": {"name": "x", "permissions": []}},
            {"model": "auth.user", "pk": 7, "fields": {"username": "Min.Su", "password": "!x", "email": "", "is_superuser": true,
             "is_staff": true, "is_active": true, "last_login": null, "groups": [], "date_joined": "2020-01-01T00:00:00Z"}},
            {"model": "people.User", "pk": "u-8", "fields": {"username": "jia", "password": "", "is_staff": true, "is_active": false}},
            {"model": "auth.user", "pk": 9, "fields": {"username": "sora", "password": ""}}
        ]"#;
        let plan = read(text).unwrap();
        assert!(plan.problems.is_empty(), "{:?}", plan.problems);
        let rows: Vec<_> =
            plan.rows.iter().map(|row| (row.handle.as_str(), row.role.as_str(), row.is_deactivated)).collect();
        assert_eq!(rows, [("min_su", "admin", false), ("jia", "editor", true), ("sora", "member", false)]);
        assert_eq!((plan.skipped, plan.rows[0].place.as_str()), (1, "entry 2 (pk 7)"));
    }

    #[test]
    fn a_bad_entry_is_named_by_its_index_and_key() {
        let text = r#"[{"model": "auth.user", "pk": 7, "fields": {"username": "min"}}, 5,
            {"model": "auth.user", "pk": 8, "fields": {"username": 5, "password": "hush"}}]"#;
        let problems = read(text).unwrap().problems;
        assert!(problems[0].starts_with("entry 1 (pk 7): missing field `password`"), "{problems:?}");
        assert!(problems[1].starts_with("entry 2: ") && problems[2].starts_with("entry 3 (pk 8): "), "{problems:?}");
        assert!(!problems.concat().contains("hush"));
        for bad in ["", "{}", "[{]", "handle,email"] {
            assert!(read(bad).unwrap_err().contains("dumpdata"), "{bad}");
        }
    }
}
