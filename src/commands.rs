//! The arguments of the commands for operators: `maju admin` and `maju doctor`.
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::cli::ServeArgs;

/// The names of the roles.
const ROLES: [&str; 4] = ["member", "moderator", "editor", "admin"];

/// What `maju admin` does.
#[derive(Subcommand)]
pub enum AdminCommand {
    /// Create an account. Without a password it prints a link that sets one, and works once.
    Add(AddArgs),
    /// Give an account another role. Its sessions end.
    Role(RoleArgs),
    /// Set a new password, or print a link that sets one. The sessions of the account end.
    Reset(ResetArgs),
    /// List the staff.
    List(ListArgs),
    /// Import accounts from a CSV file or from Django. Everything is imported, or nothing.
    Import(ImportArgs),
}

impl AdminCommand {
    /// Returns the settings of the server whose database it works on.
    pub fn settings(&self) -> &ServeArgs {
        match self {
            Self::Add(args) => &args.settings,
            Self::Role(args) => &args.settings,
            Self::Reset(args) => &args.settings,
            Self::List(args) => &args.settings,
            Self::Import(args) => &args.settings,
        }
    }

    /// Returns the same, to be changed.
    pub fn settings_mut(&mut self) -> &mut ServeArgs {
        match self {
            Self::Add(args) => &mut args.settings,
            Self::Role(args) => &mut args.settings,
            Self::Reset(args) => &mut args.settings,
            Self::List(args) => &mut args.settings,
            Self::Import(args) => &mut args.settings,
        }
    }
}

#[derive(Args)]
pub struct AddArgs {
    /// The name to sign in with: 3 to 32 of a-z, 0-9, _ and -.
    pub handle: String,
    /// What the account may do.
    #[arg(long, value_parser = ROLES)]
    pub role: String,
    /// Read the password from the first line of standard input.
    #[arg(long)]
    pub password_stdin: bool,
    #[command(flatten, next_help_heading = "Settings of the server")]
    pub settings: ServeArgs,
}

#[derive(Args)]
pub struct RoleArgs {
    /// The account.
    pub handle: String,
    /// Its new role.
    #[arg(value_parser = ROLES)]
    pub role: String,
    #[command(flatten, next_help_heading = "Settings of the server")]
    pub settings: ServeArgs,
}

#[derive(Args)]
pub struct ResetArgs {
    /// The account.
    pub handle: String,
    /// Read the new password from the first line of standard input.
    #[arg(long)]
    pub password_stdin: bool,
    /// Also remove the second factor, the recovery codes and the PIN.
    #[arg(long)]
    pub totp: bool,
    #[command(flatten, next_help_heading = "Settings of the server")]
    pub settings: ServeArgs,
}

#[derive(Args)]
pub struct ListArgs {
    /// Count the passwords of the earlier system that are left.
    #[arg(long)]
    pub legacy: bool,
    #[command(flatten, next_help_heading = "Settings of the server")]
    pub settings: ServeArgs,
}

#[derive(Args)]
pub struct ImportArgs {
    /// The file.
    pub file: PathBuf,
    /// Its format [default: django if its name ends in .json, otherwise csv].
    #[arg(long, value_enum)]
    pub format: Option<ImportFormat>,
    /// Check everything, and import nothing.
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten, next_help_heading = "Settings of the server")]
    pub settings: ServeArgs,
}

/// The format of a file with accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImportFormat {
    /// Lines with the columns handle, email, password_hash and role, named in the first line.
    Csv,
    /// The JSON of Django's `dumpdata auth.user`.
    Django,
}

#[derive(Args)]
pub struct DoctorArgs {
    /// Write JSON.
    #[arg(long)]
    pub json: bool,
    /// Send a mail to this address.
    #[arg(long, value_name = "MAIL")]
    pub mail_to: Option<String>,
    #[command(flatten, next_help_heading = "Settings of the server")]
    pub settings: ServeArgs,
}
