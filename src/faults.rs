//! Planted faults: each is one line at the place where the mistake could be made. `make faults`
//! switches them on one after another and checks that a test fails. Without the feature `faults`
//! nothing of this is compiled.
pub use maju_faults::Fault;

/// The faults that only a batch that is written step by step can have (`src/rooms/log/batch.rs`).
const BATCH_IN_STEPS: [Fault; 6] = [
    Fault::HeadsUnlockedTooEarly,
    Fault::HeadNotMoved,
    Fault::AckWithoutCommit,
    Fault::FailedCommitIsAcked,
    Fault::AnswersInWrongOrder,
    Fault::FenceNotTaken,
];

/// Returns `true` if the fault that is switched on can only happen in a batch that is written step
/// by step.
#[inline(always)]
pub fn needs_batch_in_steps() -> bool {
    any_on(&BATCH_IN_STEPS)
}

/// Returns `true` if a mistake is switched on: never in a build without the feature, so that the
/// compiler drops the line that asks.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub const fn on(_: Fault) -> bool {
    false
}

/// Returns `true` if `MAJU_FAULT` names this mistake.
///
/// # Panics
/// If `MAJU_FAULT` is not the name of a fault.
#[cfg(feature = "faults")]
pub fn on(fault: Fault) -> bool {
    use clap::ValueEnum as _;
    static CHOSEN: std::sync::LazyLock<Option<Fault>> = std::sync::LazyLock::new(|| {
        let name = std::env::var("MAJU_FAULT").ok().filter(|name| !name.is_empty())?;
        let chosen = Fault::from_str(&name, false).unwrap_or_else(|why| panic!("MAJU_FAULT={name}: {why}"));
        tracing::error!(fault.name = name, "this build makes a mistake on purpose; use it for tests only");
        Some(chosen)
    });
    *CHOSEN == Some(fault)
}

/// Returns `true` if one of these mistakes is switched on.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub const fn any_on(_: &[Fault]) -> bool {
    false
}

/// Returns `true` if one of these mistakes is switched on.
#[cfg(feature = "faults")]
pub fn any_on(faults: &[Fault]) -> bool {
    faults.iter().copied().any(on)
}

/// Removes from a migrated database the constraint whose planted absence the tests must notice.
#[cfg(test)]
pub(crate) async fn plant_in_schema(db: &sqlx::PgPool) {
    for (fault, sql) in [
        (Fault::ClientIdKeyDropped, "ALTER TABLE message DROP CONSTRAINT message_client_id_key"),
        (Fault::OpenTalkIndexDropped, "DROP INDEX membership_one_open_talk"),
        (Fault::OneselfAllowed, "ALTER TABLE random_session DROP CONSTRAINT random_session_two_people"),
    ] {
        if on(fault) {
            sqlx::query(sql).execute(db).await.unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(not(feature = "faults"))]
    // Checked when this is compiled: no setting can switch a mistake on in a build that is shipped.
    const _: () = assert!(!super::on(super::Fault::AckWithoutCommit) && !super::any_on(&super::BATCH_IN_STEPS));

    #[test]
    fn no_build_has_them_unless_it_asks() {
        let manifest = include_str!("../Cargo.toml");
        let default = manifest.lines().find(|line| line.starts_with("default = ")).unwrap();
        assert!(!default.contains("faults"), "{default}");
        for recipe in [include_str!("../Makefile"), include_str!("../Dockerfile"), include_str!("../.ci/test")] {
            assert!(!recipe.contains("--features") && !recipe.contains("--all-features"));
        }
    }
}
