//! Reads accounts from a CSV file, whose first line names the columns.
use crate::accounts::model::Role;

use super::model::{Given, Plan};

/// The columns, of which only the first is needed.
const COLUMNS: [&str; 4] = ["handle", "email", "password_hash", "role"];

/// Reads a file. What is wrong with single rows is in the plan.
///
/// # Errors
/// Returns why no row can be read.
pub(super) fn read(text: &str) -> Result<Plan, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let head = reader.headers().map_err(|why| format!("line 1: {why}"))?.clone();
    let names: Vec<&str> = head.iter().map(str::trim).collect();
    if let Some(unknown) = names.iter().find(|name| !COLUMNS.contains(name)) {
        return Err(format!(
            "line 1: there is no column '{unknown}': the first line names some of {}",
            COLUMNS.join(", ")
        ));
    }
    let column = |wanted: &str| names.iter().position(|name| *name == wanted);
    let Some(handle) = column("handle") else {
        return Err("line 1: the column handle is missing".to_owned());
    };
    let (email, password, role) = (column("email"), column("password_hash"), column("role"));
    let mut plan = Plan::default();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(why) => {
                let line = why.position().map_or(0, csv::Position::line);
                plan.problems.push(format!("line {line}: {why}"));
                continue;
            }
        };
        let place = format!("line {}", record.position().map_or(0, csv::Position::line));
        if record.len() != names.len() {
            plan.problems.push(format!("{place}: it has {} columns, and the first line {}", record.len(), names.len()));
            continue;
        }
        let text = |column: Option<usize>| column.and_then(|nth| record.get(nth)).unwrap_or_default().trim().to_owned();
        let role = match text(role).to_lowercase().as_str() {
            "" => None,
            name => match Role::of_str(name) {
                Some(role) => Some(role),
                None => {
                    plan.problems.push(format!("{place}: '{name}' is no role"));
                    continue;
                }
            },
        };
        let given = Given {
            handle: text(Some(handle)),
            email: text(email),
            password: text(password),
            role,
            is_deactivated: false,
        };
        plan.add(place, given);
    }
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn rows_are_read_by_the_names_of_the_columns() {
        let plan = read("\u{feff}role,handle,email\r\neditor,min,min@example.org\r\n,\"jia\",\r\n").unwrap();
        assert!(plan.problems.is_empty(), "{:?}", plan.problems);
        assert_eq!((plan.rows[0].place.as_str(), plan.rows[0].role.as_str()), ("line 2", "editor"));
        assert_eq!((plan.rows[1].handle.as_str(), &plan.rows[1].email), ("jia", &None));
    }

    #[test]
    fn a_bad_row_is_named_by_its_line_also_after_a_field_of_several_lines() {
        let text = "handle,email\n\"m\nin\",\njia\nsora,a@example.org\nhana,x,y\n";
        let plan = read(text).unwrap();
        let places: Vec<&str> = plan.problems.iter().map(|why| why.split(':').next().unwrap()).collect();
        assert_eq!(places, ["line 2", "line 4", "line 6"]);
        assert_eq!(plan.rows[0].place, "line 5");
        for (text, part) in [("", "handle is missing"), ("name,email\n", "no column 'name'"), ("email\n", "handle is missing")] {
            assert!(read(text).unwrap_err().contains(part), "{text}");
        }
    }
}
