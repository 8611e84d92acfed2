//! What the doctor found, for a person and as JSON.
use std::fmt::Write as _;

use serde::Serialize;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Health {
    Ok,
    /// It works, but not as it should.
    Warning,
    /// Something does not work.
    Wrong,
}

impl Health {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
        }
    }
}

/// What was found about one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub check: &'static str,
    pub state: Health,
    pub what: String,
    /// What mends it, a command where one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Finding {
    pub(super) fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, state: Health::Ok, what: what.into(), mend: None }
    }

    pub(super) fn warning(check: &'static str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, state: Health::Warning, what: what.into(), mend: Some(mend.into()) }
    }

    pub(super) fn wrong(check: &'static str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { check, state: Health::Wrong, what: what.into(), mend: Some(mend.into()) }
    }
}

/// Returns the findings in lines, or as JSON.
pub(super) fn write(findings: &[Finding], json: bool) -> String {
    if json {
        return format!("{}\n", serde_json::to_string_pretty(findings).unwrap_or_default());
    }
    let mut text = String::new();
    for finding in findings {
        let _ = writeln!(text, "{:<8} {:<9} {}", finding.state.as_str(), finding.check, finding.what);
        if let Some(mend) = &finding.mend {
            let _ = writeln!(text, "{:18} to mend it: {mend}", "");
        }
    }
    text
}

/// Returns how many findings are wrong, as an error for the command. `Ok` if none is.
pub(super) fn outcome(findings: &[Finding]) -> Result<(), String> {
    match findings.iter().filter(|finding| finding.state == Health::Wrong).count() {
        0 => Ok(()),
        1 => Err("something is wrong".to_owned()),
        count => Err(format!("{count} things are wrong")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Finding, outcome, write};

    #[test]
    fn findings_are_lines_for_a_person_and_objects_for_a_program() {
        let findings = [
            Finding::ok("database", "PostgreSQL 18"),
            Finding::warning("mail", "no mail is sent", "set --smtp-url"),
            Finding::wrong("audit", "entry 3 was changed", "compare it"),
        ];
        let text = write(&findings, false);
        let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
        assert_eq!(lines[0], "ok       database  PostgreSQL 18");
        assert_eq!(lines[1..3], ["warning  mail      no mail is sent", "to mend it: set --smtp-url"]);
        assert_eq!(lines.len(), 5);
        let json: serde_json::Value = serde_json::from_str(&write(&findings, true)).unwrap();
        assert_eq!(json[0], serde_json::json!({"check": "database", "state": "ok", "what": "PostgreSQL 18"}));
        assert_eq!((&json[2]["state"], &json[2]["mend"]), (&"wrong".into(), &"compare it".into()));
        assert!(outcome(&findings[..2]).is_ok() && outcome(&findings).is_err());
    }
}
