//! `maju admin`: accounts from a shell, on the database of the server, while it runs or not.
use std::io::{BufRead as _, Read as _, Write as _};
use std::path::Path;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgPool;

use crate::accounts::Role;
use crate::accounts::staff::{self, Access, Granted, Imported, Legacy, Plan, StaffMember};
use crate::commands::{AddArgs, AdminCommand, ImportArgs, ImportFormat, ListArgs, ResetArgs, RoleArgs};
use crate::config::Config;
use crate::database::Database;
use crate::error::Error;
use crate::signals::StopSignals;

/// The longest first line of standard input that is read as a password, in bytes.
const MAX_PASSWORD_LINE_BYTES: u64 = 1_024;
/// The largest file that is imported.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// Problems of a file that are written; the others are counted.
const MAX_PROBLEMS_SHOWN: usize = 100;
/// Rows between two lines about the progress.
const PROGRESS_ROWS: usize = 10_000;

/// Runs a command.
///
/// # Errors
/// Returns what is wrong and what to do, one problem a line.
pub async fn run(config: Config, act: &AdminCommand) -> Result<(), String> {
    // Read before the database is opened, so that nothing waits for somebody who types.
    let password = match act {
        AdminCommand::Add(AddArgs { password_stdin: true, .. })
        | AdminCommand::Reset(ResetArgs { password_stdin: true, .. }) => Some(read_password()?),
        _ => None,
    };
    let file = match act {
        AdminCommand::Import(args) => Some(read_file(&args.file)?),
        _ => None,
    };
    let mut stop = StopSignals::listen()?;
    let Some(database) = Database::open(&config, None, &mut stop).await? else {
        return Err("stopped before anything was done".to_owned());
    };
    let site = staff::site_for_links(&database.pool, &config.site).await.unwrap_or_else(|_| config.site.url.clone());
    let shell = Shell { db: database.pool.clone(), site, place: database.describe() };
    let work = async {
        match act {
            AdminCommand::Add(args) => shell.add(args, password).await,
            AdminCommand::Role(args) => shell.set_role(args).await,
            AdminCommand::Reset(args) => shell.reset(args, password).await,
            AdminCommand::List(args) => shell.list(args).await,
            AdminCommand::Import(args) => shell.import(args, &file.unwrap_or_default()).await,
        }
    };
    let outcome = tokio::select! {
        done = work => done,
        () = stop.requested() => Err("stopped; what was not reported as done was not done".to_owned()),
    };
    database.close().await;
    outcome
}

/// The database and the site that a command works on.
struct Shell {
    db: PgPool,
    /// The site's address, for links.
    site: String,
    /// Which database it is, for a person.
    place: String,
}

impl Shell {
    async fn add(&self, args: &AddArgs, password: Option<SecretString>) -> Result<(), String> {
        let (handle, role) = (args.handle.as_str(), parse_role(&args.role)?);
        let granted = staff::add(&self.db, handle, role, access(password)).await;
        let granted = granted.map_err(|why| match why {
            Error::Taken { .. } => format!(
                "there is an account '{handle}' already. To change its role: maju admin role {handle} {}",
                role.as_str()
            ),
            why => self.in_words(handle, &why),
        })?;
        say(&format!("The account '{handle}' ({}) exists now.", role.as_str()))?;
        if role.is_staff() {
            say("Its first sign-in asks for a second factor: have an authenticator app at hand.")?;
        }
        self.say_access(&granted)
    }

    async fn set_role(&self, args: &RoleArgs) -> Result<(), String> {
        let (handle, role) = (args.handle.as_str(), parse_role(&args.role)?);
        let old = staff::set_role(&self.db, handle, role).await.map_err(|why| self.in_words(handle, &why))?;
        if old == role {
            return say(&format!("'{handle}' has the role {} already. Nothing was changed.", role.as_str()));
        }
        say(&format!("'{handle}' has the role {} now, instead of {}.", role.as_str(), old.as_str()))?;
        say("Its sessions have ended.")?;
        let (staff, _) = staff::list(&self.db).await.map_err(|why| self.in_words(handle, &why))?;
        if !staff.iter().any(|member| member.role == "admin" && member.status == "active") {
            say("There is no administrator left. The next start of the server prints a link that makes one.")?;
        }
        Ok(())
    }

    async fn reset(&self, args: &ResetArgs, password: Option<SecretString>) -> Result<(), String> {
        let handle = args.handle.as_str();
        let granted = staff::reset(&self.db, handle, access(password), args.totp).await;
        let granted = granted.map_err(|why| self.in_words(handle, &why))?;
        say(&format!("The old password of '{handle}' does not work any more, and its sessions have ended."))?;
        if args.totp {
            say("Its second factor, recovery codes and PIN are removed.")?;
        }
        self.say_access(&granted)
    }

    fn say_access(&self, granted: &Granted) -> Result<(), String> {
        match &granted.token {
            None => say("The password is the one you gave."),
            Some(token) => {
                let hours = staff::SHELL_LINK_HOURS;
                say(&format!("This link sets its password. It works once, for {hours} hours:"))?;
                say(&format!("{}/reset/{}", self.site, token.expose_secret()))
            }
        }
    }

    async fn list(&self, args: &ListArgs) -> Result<(), String> {
        let failed = |why| self.in_words("", &why);
        if args.legacy {
            return say(&legacy_table(&staff::count_legacy(&self.db).await.map_err(failed)?));
        }
        let (staff, members) = staff::list(&self.db).await.map_err(failed)?;
        say(&staff_table(&staff, members))
    }

    async fn import(&self, args: &ImportArgs, text: &str) -> Result<(), String> {
        let is_json = args.file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
        let format = args.format.unwrap_or(if is_json { ImportFormat::Django } else { ImportFormat::Csv });
        let read = match format {
            ImportFormat::Csv => staff::read_csv(text),
            ImportFormat::Django => staff::read_django(text),
        };
        let mut plan = read.map_err(|why| format!("{}: {why}", args.file.display()))?;
        let total = plan.len();
        let progress = |written: usize| {
            if written.is_multiple_of(PROGRESS_ROWS) {
                let _ = writeln!(std::io::stderr(), "{written} of {total} accounts written");
            }
        };
        let imported = staff::import(&self.db, &mut plan, text, args.dry_run, progress).await;
        match imported.map_err(|why| format!("{}. Nothing was imported.", self.in_words("", &why)))? {
            Some(imported) => say_imported(&plan, &imported, args.dry_run),
            None => Err(problems(&plan)),
        }
    }

    /// Says an error for the person at the shell.
    fn in_words(&self, handle: &str, why: &Error) -> String {
        match why {
            Error::NotFound => format!("there is no account '{handle}' in {}", self.place),
            Error::Unavailable => {
                format!("{} does not answer, or does not accept writes. Nothing was changed; try again", self.place)
            }
            Error::Internal(cause) => format!("{}: {cause}", self.place),
            why => why.to_string(),
        }
    }
}

fn access(password: Option<SecretString>) -> Access {
    password.map_or(Access::Link, Access::Password)
}

fn parse_role(name: &str) -> Result<Role, String> {
    Role::of_str(name).ok_or_else(|| format!("'{name}' is no role"))
}

fn problems(plan: &Plan) -> String {
    let mut lines: Vec<String> = plan.problems.iter().take(MAX_PROBLEMS_SHOWN).cloned().collect();
    if plan.problems.len() > MAX_PROBLEMS_SHOWN {
        lines.push(format!("problems that are not shown: {}", plan.problems.len() - MAX_PROBLEMS_SHOWN));
    }
    lines.push("Nothing was imported. Correct the file and try again.".to_owned());
    lines.join("\n")
}

fn say_imported(plan: &Plan, imported: &Imported, is_trial: bool) -> Result<(), String> {
    let Imported { accounts, staff, legacy, without_password, deactivated } = imported;
    for (old, new) in &plan.renamed {
        say(&format!("{old} signs in as {new}"))?;
    }
    let done = if is_trial { "Accounts that can be imported" } else { "Accounts imported" };
    say(&format!("{done}: {accounts}"))?;
    say(&format!("  staff: {staff}"))?;
    say(&format!("  with a password of the earlier system: {legacy}"))?;
    say(&format!("  without a password: {without_password}"))?;
    say(&format!("  deactivated: {deactivated}"))?;
    say(&format!("  with another name than before, see above: {}", plan.renamed.len()))?;
    say(&format!("Entries of the file that are not about people: {}", plan.skipped))?;
    if is_trial { say("This was a trial: nothing was imported.") } else { Ok(()) }
}

fn staff_table(staff: &[StaffMember], members: i64) -> String {
    let yes = |is: bool| if is { "yes" } else { "no" };
    let mut rows = vec![["handle", "role", "status", "password", "second factor", "signed in"].map(str::to_owned)];
    rows.extend(staff.iter().map(|member| {
        let signed_in = member.signed_in_at.map_or_else(|| "-".to_owned(), crate::clock::format_timestamp);
        [
            member.handle.clone(),
            member.role.clone(),
            member.status.clone(),
            yes(member.has_password).to_owned(),
            yes(member.has_second_factor).to_owned(),
            signed_in,
        ]
    }));
    format!("{}\nstaff: {}, members: {members}", table(&rows), staff.len())
}

fn legacy_table(counts: &[Legacy]) -> String {
    let mut rows = vec![["role", "earlier system", "this system", "no password"].map(str::to_owned)];
    rows.extend(counts.iter().map(|count| {
        [count.role.clone(), count.legacy.to_string(), count.current.to_string(), count.without_password.to_string()]
    }));
    let left: i64 = counts.iter().map(|count| count.legacy).sum();
    format!("{}\npasswords of the earlier system that are left: {left}", table(&rows))
}

/// Writes rows with columns of equal width.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row.iter().enumerate().map(|(nth, cell)| format!("{cell:<0$}", width(nth))).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn say(line: &str) -> Result<(), String> {
    writeln!(std::io::stdout(), "{line}")
        .map_err(|why| format!("it was done, but standard output cannot be written: {why}"))
}

/// Reads the first line of standard input.
fn read_password() -> Result<SecretString, String> {
    let mut line = String::new();
    let read = std::io::stdin().lock().take(MAX_PASSWORD_LINE_BYTES).read_line(&mut line);
    let secret = SecretString::from(line.trim_end_matches(['\r', '\n']));
    match read {
        Ok(_) if secret.expose_secret().is_empty() => {
            Err("--password-stdin: standard input is empty. Write the password into its first line".to_owned())
        }
        Ok(_) => Ok(secret),
        Err(why) => Err(format!("--password-stdin: {why}")),
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let failed = |why: &dyn std::fmt::Display| format!("cannot read {}: {why}", path.display());
    let file = std::fs::File::open(path).map_err(|why| failed(&why))?;
    let length = file.metadata().map_err(|why| failed(&why))?.len();
    if length > MAX_FILE_BYTES {
        return Err(failed(&"it has more than 1 GiB. Divide it"));
    }
    std::fs::read_to_string(path).map_err(|why| failed(&why))
}
