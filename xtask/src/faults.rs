//! `cargo xtask faults`: do the tests notice mistakes? Builds them once with the planted faults,
//! checks that they pass without one, then switches each fault on and expects one of its tests to
//! fail.
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum as _};
use maju_faults::Fault;
use rustix::process::Signal;
use serde_json::Value;

use crate::process::{Process, WorkFolder, cargo};
use crate::{Result, root};

/// How long the tests of one fault can take. A test that hangs under a fault has noticed it too.
const DEADLINE: Duration = Duration::from_secs(90);
/// How long all of them can take without a fault.
const SOUND_DEADLINE: Duration = Duration::from_secs(360);

#[derive(Args)]
pub struct Options {
    /// The faults to plant, separated by commas; all if none is named.
    #[arg(long, value_delimiter = ',', hide_possible_values = true)]
    only: Vec<Fault>,
    /// Show the output of the tests that did not notice a fault.
    #[arg(long)]
    verbose: bool,
}

/// Returns the tests of which at least one must fail under a fault.
#[expect(clippy::too_many_lines, reason = "a table; as a match, because then no fault can be forgotten")]
const fn caught_by(fault: Fault) -> &'static [&'static str] {
    match fault {
        // The log.
        Fault::AckWithoutCommit => &[
            "rooms::tests::batches::an_entry_whose_commit_fails_is_neither_acknowledged_nor_delivered_and_fails_alone",
        ],
        Fault::FailedCommitIsAcked => &[
            "rooms::tests::batches::an_entry_whose_commit_fails_is_neither_acknowledged_nor_delivered_and_fails_alone",
        ],
        Fault::AnswersInWrongOrder => {
            &["gateway::tests::messages::many_writers_make_one_dense_log_that_everybody_sees_in_order"]
        }
        Fault::HeadsUnlockedTooEarly => &["rooms::tests::batches::a_head_is_locked_until_its_batch_is_committed"],
        Fault::HeadNotMoved => &["rooms::tests::delivery::two_nodes_deliver_one_log_in_order_with_and_without_a_relay"],
        Fault::ClientIdNotStored => {
            &["rooms::tests::retries::a_retry_on_a_node_that_never_saw_the_entry_is_answered_from_the_database"]
        }
        Fault::ClientIdKeyDropped => {
            &["rooms::tests::retries::a_retry_on_a_node_that_never_saw_the_entry_is_answered_from_the_database"]
        }
        Fault::ConflictAccepted => {
            &["gateway::tests::messages::a_repeat_gets_the_first_answer_and_somebody_elses_id_is_a_conflict"]
        }
        Fault::SerializationNotRepeated => &["rooms::tests::batches::a_batch_that_fails_to_serialize_is_retried"],
        Fault::PoisonFailsTheBatch => &[
            "rooms::tests::batches::an_entry_whose_commit_fails_is_neither_acknowledged_nor_delivered_and_fails_alone",
        ],
        Fault::CommitNotSynchronous => &["db::tests::a_connection_outside_the_pool_is_as_durable_as_the_server"],
        Fault::UnsafeDatabaseAccepted => {
            &["db::tests::start_checks::a_database_that_can_lose_commits_is_refused_unless_the_risk_is_accepted"]
        }
        // Rights.
        Fault::FenceNotTaken => &["rooms::tests::revocation::nothing_is_written_while_a_revocation_holds_the_fence"],
        Fault::FenceNotExclusive => &["db::fence::tests::a_revocation_waits_for_the_batches_in_progress"],
        Fault::RightsNotRaised => {
            &["rooms::tests::revocation::nothing_is_written_after_the_commit_of_a_revocation_without_a_relay"]
        }
        Fault::RightsNotRechecked => &["rooms::tests::revocation::a_post_with_a_stale_membership_is_refused"],
        Fault::ClosedTalkAccepts => {
            &["rooms::tests::revocation::a_node_with_a_cached_membership_refuses_sends_after_the_end_of_a_talk"]
        }
        Fault::RoomStaysOpen => {
            &["gateway::tests::messages::nothing_is_written_after_the_end_and_the_log_stays_readable"]
        }
        Fault::StrangerEnters => &["gateway::tests::refusals::somebody_elses_room_looks_like_an_unknown_one"],
        Fault::LeaverStillReads => &["rooms::tests::revocation::nothing_is_written_after_the_commit_of_a_leave"],
        Fault::LeaverStillHears => &["rooms::tests::leaving::a_visitor_who_leaves_receives_nothing_more_on_any_tab"],
        Fault::OneLeaverTold => &["rooms::tests::leaving::leaves_that_arrive_together_share_one_commit"],
        Fault::HistoryShownToNewcomers => {
            &["rooms::tests::delivery::a_room_without_history_shows_new_members_only_later_entries"]
        }
        // The way to the sockets.
        Fault::GapIgnored => &["rooms::tests::delivery::an_entry_that_comes_early_waits_for_the_one_before_it"],
        Fault::HeadsNotCompared => {
            &["rooms::tests::delivery::the_last_entry_before_a_silence_is_found_without_a_relay"]
        }
        Fault::ReplaySkipsOne => &["gateway::tests::resume::missed_entries_come_in_order_before_newer_ones"],
        Fault::ResumeIgnoresAfter => &["gateway::tests::resume::missed_entries_come_in_order_before_newer_ones"],
        Fault::ResyncNeverSaid => {
            &["gateway::tests::resume::above_the_replay_limit_the_client_pages_and_loses_nothing"]
        }
        Fault::LagForgotten => &["realtime::queue::tests::above_the_limit_only_what_cannot_be_read_again_is_kept"],
        Fault::RelayEchoes => &["rooms::tests::delivery::ephemeral_frames_reach_every_other_member_once_on_every_node"],
        Fault::ForeignFrameTaken => {
            &["realtime::relay::redis::tests::a_frame_of_another_service_on_this_ones_channel_is_ignored"]
        }
        Fault::RelaySilent => &["rooms::tests::delivery::ephemeral_frames_reach_every_other_member_once_on_every_node"],
        Fault::PresenceNeverTold => {
            &["rooms::tests::delivery::ephemeral_frames_reach_every_other_member_once_on_every_node"]
        }
        // The socket and HTTP.
        Fault::OriginNotChecked => &["gateway::tests::refusals::an_upgrade_is_checked_in_order"],
        Fault::CookieNotChecked => &["gateway::tests::refusals::an_upgrade_is_checked_in_order"],
        Fault::LateSaveRevives => &["accounts::tests::a_late_save_never_revives_a_session"],
        Fault::FormTokenIgnored => &["accounts::pages::tests::guards::a_form_needs_the_token_of_its_session"],
        Fault::MemberSeesBackOffice => &["accounts::pages::tests::staff::only_staff_see_that_there_is_a_back_office"],
        Fault::EpochNotComparedInEntries => &["rooms::tests::revocation::a_post_with_a_stale_membership_is_refused"],
        Fault::EpochNotComparedInSeeks => {
            &["accounts::live_sessions::tests::revoking::a_visitor_of_an_ended_session_writes_nothing"]
        }
        Fault::EpochNotComparedInWrites => {
            &["accounts::live_sessions::tests::revoking::a_visitor_of_an_ended_session_writes_nothing"]
        }
        Fault::UseRevivesSession => &["accounts::live_sessions::tests::ending::a_late_use_never_revives_a_session"],
        Fault::PingIsUse => &["accounts::live_sessions::tests::ending::pings_and_reads_do_not_keep_a_session_alive"],
        Fault::ForeignWriteAccepted => &["accounts::tests::writes_come_from_the_sites_own_pages"],
        Fault::RateLimitOff => &["gateway::tests::refusals::a_flood_is_refused_with_the_time_to_wait_and_others_go_on"],
        Fault::LargeFrameAccepted => {
            &["gateway::tests::refusals::a_frame_above_32_kib_closes_1009_and_one_below_does_not"]
        }
        Fault::ControlCharactersAccepted => {
            &["gateway::tests::refusals::frames_and_payloads_out_of_bounds_get_their_code"]
        }
        Fault::InvisibleTextAccepted => &["gateway::tests::texts::an_invisible_text_is_refused_everywhere"],
        Fault::StoredSizeNotChecked => {
            &["rooms::tests::sizes::a_payload_that_is_too_large_as_stored_is_refused_over_the_socket_and_rest"]
        }
        Fault::PageBytesNotCounted => {
            &["rooms::tests::sizes::a_page_is_limited_in_bytes_and_the_next_one_continues_without_a_gap"]
        }
        Fault::SlugNotChecked => &["gateway::tests::hostile::no_request_is_answered_5xx_whatever_it_holds"],
        Fault::SameIdInAllRooms => &["gateway::tests::messages::people_cannot_be_followed_from_room_to_room"],
        Fault::HelloNeverDue => &["gateway::tests::refusals::a_socket_that_never_sends_hello_is_closed"],
        Fault::SlowSocketKept => &["gateway::tests::life::a_socket_that_does_not_read_is_closed_and_others_go_on"],
        Fault::StopForgetsAnswers => {
            &["gateway::tests::life::a_stopping_node_waits_for_entries_that_are_being_written"]
        }
        Fault::CloseNotAnswered => &["gateway::tests::protocol::every_case_is_answered_as_the_protocol_says"],
        Fault::UnreadBytesReset => &["http::tests::accept::an_answered_client_that_still_sends_is_not_reset"],
        Fault::ExcessForgiven => &["gateway::tests::refusals::endless_frames_of_any_kind_above_the_limit_close_4400"],
        Fault::LeaveOvertakesSends => &["gateway::tests::messages::sends_before_a_leave_are_written_before_it"],
        Fault::FloodAccepted => {
            &["rooms::tests::flood::many_visitors_of_one_prefix_cannot_flood_a_room_and_others_can_still_write"]
        }
        Fault::TypingAlwaysTold => &["rooms::tests::flood::typing_in_a_large_room_stays_within_its_delivery_budget"],
        Fault::SessionEndNotSeen => &["gateway::tests::life::a_socket_ends_with_its_session_on_every_node"],
        // Matching.
        Fault::MatcherWithoutLock => &["matching::tests::faults::one_node_pairs_at_a_time"],
        Fault::FoundToldBeforeCommit => &["matching::tests::faults::nobody_is_told_of_a_pair_before_it_is_committed"],
        Fault::EndToldBeforeCommit => &["matching::tests::faults::nobody_is_told_of_an_end_before_it_is_committed"],
        Fault::EndNotTold => &["matching::tests::verbs::next_ends_and_seeks_again"],
        Fault::SilenceIgnored | Fault::SilentSideForgotten => {
            &["gateway::tests::silence::a_silent_side_is_away_and_comes_back_with_its_next_frame"]
        }
        Fault::BlockOfOthersUndone => &["matching::tests::ends::a_block_can_be_taken_back_by_the_visitor_who_made_it"],
        Fault::AwayNotTold => &["matching::tests::ends::a_disconnected_side_has_half_a_minute_to_return"],
        Fault::BlocksNotRead => &["matching::tests::ends::a_block_is_mutual_and_works_after_the_end"],
        Fault::OpenTalkNotSeen => &["gateway::tests::messages::two_strangers_meet_in_a_and_b_and_talk"],
        Fault::OpenTalkIndexDropped => &["matching::tests::faults::the_database_forbids_what_the_code_never_does"],
        Fault::OneselfAllowed => &["matching::tests::faults::the_database_forbids_what_the_code_never_does"],
        Fault::MetLatelyForgotten => &["matching::tests::pairing::visitors_who_met_recently_wait_for_others_first"],
        Fault::CancelIgnored => &["matching::tests::verbs::a_cancelled_seek_is_not_matched"],
        Fault::LostTicketStaysLost => &["matching::tests::faults::tickets_are_written_again_after_a_crash_of_postgres"],
        Fault::LeaseNeverExpires => &["matching::tests::faults::the_tickets_and_sides_of_a_dead_node_expire"],
        Fault::FreedSideLosesItsPlace => {
            &["matching::tests::ends::a_side_whose_partner_never_enters_goes_back_to_the_front"]
        }
        Fault::AgeGateOpen => {
            &["gateway::tests::age_gate::a_visitor_who_has_not_accepted_the_rules_reaches_no_stranger"]
        }
        // Reports.
        Fault::ReportNamesAnybody => {
            &["matching::tests::reports::a_report_in_a_room_needs_a_visible_entry_of_one_other_person"]
        }
        Fault::ReportStoredTwice => &["matching::tests::reports::reports_of_one_thing_at_the_same_time_are_one_report"],
        Fault::MachineClockBelieved => &["matching::tests::ends::a_jump_of_a_nodes_clock_ends_no_talk_and_hides_none"],
        Fault::GhostIsPaired => &["matching::tests::verbs::nobody_is_paired_with_somebody_who_is_gone"],
        Fault::ReporterTold => &["matching::tests::ends::nothing_tells_the_other_side_who_reported_or_blocked"],
        // Accounts and sign-in.
        Fault::DummyHashSkipped => {
            &["accounts::sign_in::tests::proofs::an_unknown_name_costs_one_hash_like_a_known_one"]
        }
        Fault::WeakPasswordAccepted => {
            &["accounts::passwords::tests::weak_passwords_are_refused_with_a_reason_in_the_readers_language"]
        }
        Fault::AnyStepAccepted => &["accounts::sign_in::tests::steps::no_order_or_subset_of_steps_makes_a_session"],
        Fault::StepsNotComplete => {
            &["accounts::sign_in::tests::steps::a_sign_in_without_all_its_steps_is_not_completed"]
        }
        Fault::SignInKeyKept => &["accounts::sign_in::tests::steps::of_many_requests_with_one_step_exactly_one_wins"],
        Fault::SessionIdKept => &["accounts::sign_in::tests::steps::every_step_gives_the_session_a_new_id"],
        Fault::WrongCodesNotCounted => &["accounts::sign_in::tests::proofs::five_wrong_codes_end_a_sign_in"],
        Fault::TotpStepReused => &["accounts::sign_in::tests::proofs::a_one_time_code_works_once"],
        Fault::ThrottleOff => &["accounts::sign_in::tests::proofs::wrong_passwords_make_the_next_one_wait_longer"],
        Fault::ThrottleLocksEverybody => {
            &["accounts::sign_in::tests::proofs::a_stranger_who_guesses_never_locks_the_owner_out"]
        }
        Fault::VerifierNotChecked => {
            &["accounts::verifier::model::tests::only_a_fresh_answer_with_our_signature_is_read"]
        }
    }
}

/// Plants the faults and prints a table of what caught them.
///
/// # Errors
/// If a test fails without a fault, or a fault is not caught.
pub fn run(options: &Options) -> Result<()> {
    let faults = if options.only.is_empty() { Fault::value_variants() } else { &options.only };
    let tests = Tests { program: build()?, work: WorkFolder::new("maju-faults-")? };
    tests.check_without_fault(faults)?;
    let names: Vec<String> = faults.iter().map(|fault| name(*fault)).collect();
    let width = names.iter().map(String::len).max().unwrap_or_default();
    println!("{:width$} | seconds | caught by", "fault");
    println!("{}-|---------|----------", "-".repeat(width));
    let (began, mut missed) = (Instant::now(), Vec::new());
    for (fault, name) in faults.iter().zip(&names) {
        let at = Instant::now();
        let outcome = tests.run(caught_by(*fault), name, DEADLINE)?;
        // Tests that stop without a failure have noticed nothing: something else was wrong.
        let found = outcome.findings(caught_by(*fault));
        println!("{name:width$} | {:7.1} | {}", at.elapsed().as_secs_f64(), found.as_deref().unwrap_or("NOTHING"));
        if found.is_none() {
            missed.push(name.as_str());
            if options.verbose {
                println!("{}", outcome.output);
            }
        }
    }
    let caught = faults.len() - missed.len();
    println!("{caught} of {} planted faults were caught, in {} s", faults.len(), began.elapsed().as_secs());
    if missed.is_empty() { Ok(()) } else { Err(format!("not caught: {}", missed.join(", "))) }
}

/// Returns the name of a fault in `MAJU_FAULT`.
fn name(fault: Fault) -> String {
    fault.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Builds the server's tests with the faults in them, and returns the program.
fn build() -> Result<PathBuf> {
    let mut command = cargo(&["test", "--locked", "--lib", "--features", "faults", "--no-run"]);
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let answer = command.output().map_err(|why| format!("cargo does not start: {why}"))?;
    if !answer.status.success() {
        return Err("the build failed".to_owned());
    }
    let output = String::from_utf8_lossy(&answer.stdout);
    let messages = output.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let tests = messages.filter(|message| message["profile"]["test"] == true);
    let mut programs = tests.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    programs.next_back().ok_or_else(|| "cargo built no tests".to_owned())
}

/// The program of the tests, and a place for what it prints.
struct Tests {
    program: PathBuf,
    work: WorkFolder,
}

/// How a run of tests ended.
struct Outcome {
    passed: bool,
    hung: bool,
    /// How many tests were started.
    started: usize,
    failed: Vec<String>,
    output: String,
}

impl Tests {
    /// Runs tests, given by their full names, with a fault (or with none, for an empty name).
    fn run(&self, tests: &[&str], fault: &str, limit: Duration) -> Result<Outcome> {
        let file = self.work.path().join("output");
        let failed = |why: std::io::Error| format!("{}: {why}", file.display());
        let output = File::create(&file).map_err(failed)?;
        let mut command = Command::new(&self.program);
        command.arg("--exact").args(tests).current_dir(root());
        command.env("MAJU_FAULT", fault).env("RUST_BACKTRACE", "0").stdin(Stdio::null());
        command.stdout(output.try_clone().map_err(failed)?).stderr(output);
        let status = Process::start(&mut command, Signal::KILL)?.wait(limit);
        let output = String::from_utf8_lossy(&fs::read(&file).map_err(failed)?).into_owned();
        Ok(Outcome::new(status.is_none(), status.is_some_and(|status| status.success()), output))
    }

    fn check_without_fault(&self, faults: &[Fault]) -> Result<()> {
        let mut tests: Vec<&str> = faults.iter().flat_map(|fault| caught_by(*fault)).copied().collect();
        tests.sort_unstable();
        tests.dedup();
        println!("{} tests without a fault", tests.len());
        let outcome = self.run(&tests, "", SOUND_DEADLINE)?;
        if !outcome.passed {
            return Err(format!("they do not pass without a fault:\n{}", outcome.output));
        }
        if outcome.started == tests.len() {
            return Ok(());
        }
        let list = Command::new(&self.program).arg("--list").output().map_err(|why| why.to_string())?;
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        tests.retain(|test| !list.lines().any(|line| line == format!("{test}: test")));
        Err(format!("there is no test {}: correct xtask/src/faults.rs", tests.join(", ")))
    }
}

impl Outcome {
    fn new(hung: bool, passed: bool, output: String) -> Self {
        let started = output.lines().find_map(|line| line.strip_prefix("running ")?.split(' ').next()?.parse().ok());
        let failed = output.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
        let failed = failed.map(str::to_owned).collect();
        Self { passed, hung, started: started.unwrap_or_default(), failed, output }
    }

    /// Returns which tests noticed the fault. `None` if none did.
    fn findings(&self, tests: &[&str]) -> Option<String> {
        if self.hung {
            let names: Vec<String> = tests.iter().map(|test| short(test)).collect();
            return Some(format!("{} (it hung)", names.join(", ")));
        }
        let names: Vec<String> = self.failed.iter().map(|test| short(test)).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

/// Returns the name of a test without the module `tests`.
fn short(test: &str) -> String {
    test.replacen("::tests::", "::", 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use clap::ValueEnum as _;

    use super::{Fault, Outcome, caught_by, fs, name, root, short};

    fn sources(folder: &Path, text: &mut String) {
        for item in fs::read_dir(folder).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                *text += &fs::read_to_string(&path).unwrap();
            }
        }
    }

    #[test]
    fn every_fault_is_planted_and_its_tests_exist() {
        let mut text = String::new();
        sources(&root().join("src"), &mut text);
        for fault in Fault::value_variants() {
            let planted = [format!("on(Fault::{fault:?})"), format!("(Fault::{fault:?}, \"")];
            assert!(planted.iter().any(|line| text.contains(line)), "{fault:?} is planted nowhere in src");
            for test in caught_by(*fault) {
                let function = test.rsplit("::").next().unwrap();
                assert!(text.contains(&format!("fn {function}(")), "there is no test {test}");
            }
        }
    }

    #[test]
    fn names_of_faults_are_in_snake_case_and_unlike() {
        let names: BTreeSet<String> = Fault::value_variants().iter().map(|fault| name(*fault)).collect();
        assert_eq!(names.len(), Fault::value_variants().len());
        assert!(names.contains("ack_without_commit"));
    }

    #[test]
    fn the_output_of_tests_is_read() {
        let output = "\nrunning 2 tests\ntest rooms::tests::a ... ok\ntest rooms::tests::b ... FAILED\n\nfailures:\n";
        let outcome = Outcome::new(false, false, output.to_owned());
        assert_eq!((outcome.started, outcome.findings(&[])), (2, Some("rooms::b".to_owned())));
        assert_eq!(Outcome::new(false, false, String::new()).findings(&["a"]), None);
        assert_eq!(Outcome::new(true, false, String::new()).findings(&["a"]), Some("a (it hung)".to_owned()));
        assert_eq!(short("db::fence::tests::a"), "db::fence::a");
    }
}
