//! `maju doctor`: checks the settings and what a server depends on, and says what mends what is
//! wrong. It changes nothing.
mod report;
#[cfg(test)]
mod tests;

use std::io::Write as _;

use sqlx::PgPool;
use tokio::time::Instant;

use crate::audit::{self, Verdict};
use crate::commands::DoctorArgs;
use crate::config::Config;
use crate::connection_url;
use crate::database::Database;
use crate::db::{self, SchemaState};
use crate::notify::Mailer;
use crate::realtime;
use crate::signals::StopSignals;

use report::Finding;

/// The difference of the clocks from which one-time codes could be refused, in seconds.
const MAX_CLOCK_DIFFERENCE_SECS: f64 = 10.0;

/// Reports settings that cannot be read. Nothing else can be checked then.
///
/// # Errors
/// Always: settings are wrong.
pub fn report_settings(why: &str, json: bool) -> Result<(), String> {
    let wrong = |line: &str| Finding::wrong("settings", line, "correct this setting, then check with: maju config");
    finish(&why.lines().map(wrong).collect::<Vec<_>>(), json)
}

/// Checks everything and writes the findings to standard output.
///
/// # Errors
/// If something is wrong.
pub async fn run(config: Config, args: &DoctorArgs) -> Result<(), String> {
    let mut stop = StopSignals::listen()?;
    let mut findings = settings(&config);
    database(&config, &mut stop, &mut findings).await;
    findings.extend(mail(&config, args.mail_to.as_deref()).await);
    findings.extend(redis(&config).await);
    finish(&findings, args.json)
}

fn finish(findings: &[Finding], json: bool) -> Result<(), String> {
    let text = report::write(findings, json);
    std::io::stdout().write_all(text.as_bytes()).map_err(|why| format!("standard output: {why}"))?;
    report::outcome(findings)
}

fn settings(config: &Config) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("settings", format!("the site is {}", config.site.url))];
    let note = |note: &String| Finding::warning("settings", note, "see what is in force with: maju config");
    findings.extend(config.notes.iter().map(note));
    if !config.limits {
        findings.push(Finding::warning("settings", "the rate limits are off", "remove --limits off (MAJU_LIMITS)"));
    }
    if config.contact.is_none() && !config.site.loopback {
        findings.push(Finding::warning("settings", "the pages name no contact", "set --contact (MAJU_CONTACT)"));
    }
    findings
}

/// Checks the database and what is in it.
async fn database(config: &Config, stop: &mut StopSignals, findings: &mut Vec<Finding>) {
    const CHECK: &str = "database";
    let is_private = config.database_url.is_none();
    if is_private && !db::private::exists(&config.data_dir) {
        let what = format!("there is no database in {} yet", config.data_dir.display());
        let mend = "maju serve creates it. If there should be one, name its folder with --data-dir";
        return findings.push(Finding::warning(CHECK, what, mend));
    }
    let place = if is_private { "--data-dir (MAJU_DATA_DIR)" } else { "--database-url (DATABASE_URL)" };
    let mend = format!("do what the line says, or correct {place}");
    let opened = match Database::connect(config, false, stop).await {
        Ok(Some(opened)) => opened,
        Ok(None) => return findings.push(Finding::wrong(CHECK, "stopped before it was checked", "run it again")),
        Err(why) => return findings.push(Finding::wrong(CHECK, why, mend)),
    };
    match db::check(&opened.pool, config.unsafe_database, None).await {
        Ok(()) => {
            findings.push(Finding::ok(CHECK, opened.describe()));
            if config.unsafe_database {
                let mend = "turn on fsync, full_page_writes and synchronous_commit, and remove --unsafe-database";
                findings.push(Finding::warning(CHECK, "a database that can lose messages is accepted", mend));
            }
            inside(&opened.pool, config, findings).await;
        }
        Err(why) => findings.push(Finding::wrong(CHECK, why, mend)),
    }
    opened.close().await;
}

/// Checks what is in a database that can be used.
async fn inside(pool: &PgPool, config: &Config, findings: &mut Vec<Finding>) {
    if let Err(why) = db::check_time_zone(pool, &config.time_zone).await {
        findings.push(Finding::wrong("settings", why, "name another zone with --time-zone (MAJU_TIME_ZONE)"));
    }
    findings.push(clock(pool).await);
    let state = db::schema_state(pool).await;
    findings.push(schema(&state));
    if matches!(state, Ok(SchemaState::Current)) {
        findings.push(audit(pool).await);
    }
}

async fn clock(pool: &PgPool) -> Finding {
    const CHECK: &str = "clock";
    let asked = Instant::now();
    let theirs = match db::now(pool).await {
        Ok(theirs) => theirs,
        Err(why) => {
            return Finding::wrong(CHECK, format!("the database's clock cannot be read: {why}"), "run it again");
        }
    };
    #[expect(clippy::disallowed_methods, reason = "the machine's own clock is what is checked, and there is no app")]
    let ours = time::OffsetDateTime::now_utc();
    let difference = (ours - theirs).as_seconds_f64().abs() - asked.elapsed().as_secs_f64();
    if difference <= MAX_CLOCK_DIFFERENCE_SECS {
        return Finding::ok(CHECK, "this machine and the database agree on the time");
    }
    let what = format!("this machine and the database differ by {difference:.0} s; one-time codes can be refused");
    Finding::warning(CHECK, what, "synchronise both, for example with: timedatectl set-ntp true")
}

fn schema(state: &Result<SchemaState, sqlx::Error>) -> Finding {
    const CHECK: &str = "schema";
    match state {
        Ok(SchemaState::Current) => Finding::ok(CHECK, "the database has the schema of this version"),
        Ok(SchemaState::Empty) => Finding::warning(CHECK, "the database is empty", "maju migrate, or maju serve"),
        Ok(SchemaState::Behind(count)) => {
            let what = format!("an older version ran here last; migrations that are missing: {count}");
            Finding::warning(CHECK, what, "maju migrate, or start this version with maju serve")
        }
        Ok(SchemaState::Ahead(version)) => {
            let what = format!("a newer version has migrated the database, to {version}");
            Finding::wrong(CHECK, what, "run that version of maju, or restore a backup of before")
        }
        Ok(SchemaState::Damaged(version)) => {
            let what = format!("the migration {version} was interrupted, or is not the one of this version");
            Finding::wrong(CHECK, what, "restore a backup, or ask for help with this line")
        }
        Err(why) => Finding::wrong(CHECK, format!("it cannot be read: {why}"), "see the line about the database"),
    }
}

async fn audit(pool: &PgPool) -> Finding {
    const CHECK: &str = "audit";
    match audit::verify(pool).await {
        Ok(Verdict::Whole { entries, head }) => {
            let short: String = head.chars().take(16).collect();
            Finding::ok(CHECK, format!("{entries} entries, each follows the one before; the last hash begins {short}"))
        }
        Ok(Verdict::Broken { entry, flaw }) => {
            let what = format!("entry {entry} of the audit log {flaw}: somebody with the database's password did it");
            let mend = "compare it with a backup: psql … -c 'TABLE audit_log'. Change the passwords of the database and \
                        of the staff (maju admin reset)";
            Finding::wrong(CHECK, what, mend)
        }
        Err(why) => Finding::wrong(CHECK, format!("the audit log cannot be read: {why}"), "run it again"),
    }
}

async fn mail(config: &Config, to: Option<&str>) -> Vec<Finding> {
    const CHECK: &str = "mail";
    let url = config.smtp_url.as_deref().map(connection_url::redacted).unwrap_or_default();
    let Some(mailer) = Mailer::new(config) else {
        let mend = "set --smtp-url and --mail-from (MAJU_SMTP_URL, MAJU_MAIL_FROM)";
        let nothing = "no mail is sent: a forgotten password needs maju admin reset";
        return vec![match to {
            Some(_) => Finding::wrong(CHECK, nothing, mend),
            None => Finding::warning(CHECK, nothing, mend),
        }];
    };
    if let Err(why) = mailer.connect().await {
        return vec![Finding::wrong(CHECK, format!("{url}: {why}"), "correct --smtp-url (MAJU_SMTP_URL)")];
    }
    let mut findings = vec![Finding::ok(CHECK, format!("{url} answers"))];
    if let Some(to) = to {
        let sent = match mailer.message(to, TEST_SUBJECT, &test_text(&config.site.url)) {
            Ok(message) => mailer.send(message).await.map_err(|why| why.cause),
            Err(_) => Err("it is not a mail address".to_owned()),
        };
        findings.push(match sent {
            Ok(()) => Finding::ok(CHECK, format!("{url} has accepted a mail to {to}; look whether it arrives")),
            Err(why) => {
                let mend = "correct --mail-to or --mail-from, or ask the operator of the mail server";
                Finding::wrong(CHECK, format!("a mail to {to} was not accepted: {why}"), mend)
            }
        });
    }
    findings
}

/// The mail of `--mail-to`, in both languages.
const TEST_SUBJECT: &str = "마주 시험 메일 / A test mail from Maju";

fn test_text(site: &str) -> String {
    format!(
        "{site}에서 메일을 보낼 수 있는지 확인하려고 보낸 메일이에요. 따로 하실 일은 없어요.\n\n\
         This mail was sent to check that {site} can send mail. There is nothing for you to do.\n"
    )
}

async fn redis(config: &Config) -> Option<Finding> {
    const CHECK: &str = "redis";
    let url = config.redis_url.as_deref()?;
    let shown = connection_url::redacted(url);
    Some(match realtime::probe(url).await {
        Ok(version) => Finding::ok(CHECK, format!("{shown} answers, {version}")),
        Err(why) => {
            let mend = "start it, or correct --redis-url (REDIS_URL). Until then nodes find messages in Postgres, \
                        within two seconds";
            Finding::wrong(CHECK, format!("{shown}: {why}"), mend)
        }
    })
}
