//! Reads accounts from a CSV file, whose first line names the columns.
use crate::accounts::model::Role;

use super::model::{Given, Plan};

/// The columns, of which only the first is needed.
const COLUMNS: [&str; 4] = ["handle", "email", "password_hash", "role"];

/// Counts lines. The reader's own count is one too low after a line that ends with `\r\n`.
struct Lines<'a> {
    text: &'a [u8],
    at: usize,
    line: usize,
}

impl Lines<'_> {
    /// Returns the line of the row that the reader found at a byte, from 1. Bytes only rise.
    fn of(&mut self, position: Option<&csv::Position>) -> usize {
        let found = position.map_or(self.at, |position| usize::try_from(position.byte()).unwrap_or(self.at));
        let rest = self.text.get(found..).unwrap_or_default();
        let begins = found + rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let passed = self.text.get(self.at..begins).unwrap_or_default();
        self.line += passed.iter().filter(|byte| **byte == b'\n').count();
        self.at = begins.max(self.at);
        self.line
    }
}

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
    let (mut plan, mut lines) = (Plan::default(), Lines { text: text.as_bytes(), at: 0, line: 1 });
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(why) => {
                plan.problems.push(format!("line {}: {why}", lines.of(why.position())));
                continue;
            }
        };
        let place = format!("line {}", lines.of(record.position()));
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
        let text = "handle,email\n\"m\nin\",\njia\nsora,a@example.org\n\nhana,x,y\n";
        for text in [text.to_owned(), text.replace('\n', "\r\n")] {
            let plan = read(&text).unwrap();
            let places: Vec<&str> = plan.problems.iter().map(|why| why.split(':').next().unwrap()).collect();
            assert_eq!(places, ["line 2", "line 4", "line 7"], "{text:?}");
            assert_eq!(plan.rows[0].place, "line 5");
        }
        for (text, part) in
            [("", "handle is missing"), ("name,email\n", "no column 'name'"), ("email\n", "handle is missing")]
        {
            assert!(read(text).unwrap_err().contains(part), "{text}");
        }
    }
}
