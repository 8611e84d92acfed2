#!/usr/bin/env node
// Do the tests bite? Builds them once with the planted faults of src/faults.rs, sees that the catching tests pass without one,
// then switches each fault on and demands that one of its tests fails. `make faults ONLY=gap_ignored,relay_silent` tries some.
import { spawn, spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
/** A test that hangs under a fault has noticed it too. Milliseconds. */
const patience = 90_000;

/** Every fault of the enum, and the tests of which at least one must fail with it. */
const caughtBy = {
  // The log.
  ack_without_commit: ['rooms::tests::batches::an_entry_whose_commit_fails_is_neither_acknowledged_nor_delivered_and_fails_alone'],
  failed_commit_is_acked: ['rooms::tests::batches::an_entry_whose_commit_fails_is_neither_acknowledged_nor_delivered_and_fails_alone'],
  answers_in_wrong_order: ['gateway::tests::messages::many_writers_make_one_dense_log_that_everybody_sees_in_order'],
  heads_unlocked_too_early: ['rooms::tests::batches::a_head_is_locked_until_its_batch_is_committed'],
  head_not_moved: ['rooms::tests::delivery::two_nodes_deliver_one_log_in_order_with_and_without_a_relay'],
  client_id_not_stored: ['rooms::tests::retries::a_retry_on_a_node_that_never_saw_the_entry_is_answered_from_the_database'],
  client_id_key_dropped: ['rooms::tests::retries::a_retry_on_a_node_that_never_saw_the_entry_is_answered_from_the_database'],
  conflict_accepted: ['gateway::tests::messages::a_repeat_gets_the_first_answer_and_somebody_elses_id_is_a_conflict'],
  serialization_not_repeated: ['rooms::tests::batches::a_batch_that_fails_to_serialize_is_retried'],
  poison_fails_the_batch: ['rooms::tests::batches::an_entry_whose_commit_fails_is_neither_acknowledged_nor_delivered_and_fails_alone'],
  commit_not_synchronous: ['db::tests::a_connection_of_ones_own_is_as_durable_as_the_server'],
  unsafe_database_accepted: ['db::tests::start::a_database_that_may_lose_what_it_acknowledged_is_refused_unless_it_is_wanted'],
  // Rights.
  fence_not_taken: ['rooms::tests::revocation::nothing_is_written_while_a_revocation_holds_the_fence'],
  fence_not_exclusive: ['db::fence::tests::a_revocation_waits_for_the_batches_in_hand'],
  rights_not_raised: ['rooms::tests::revocation::nothing_is_written_after_the_commit_of_a_revocation_without_a_relay'],
  rights_not_rechecked: ['rooms::tests::revocation::a_post_with_a_stale_membership_is_refused'],
  closed_talk_accepts: ['rooms::tests::revocation::a_node_with_a_cached_membership_refuses_sends_after_the_end_of_a_talk'],
  room_stays_open: ['gateway::tests::messages::nothing_is_written_after_the_end_and_the_log_stays_readable'],
  stranger_enters: ['gateway::tests::refusals::somebody_elses_room_looks_like_an_unknown_one'],
  leaver_still_reads: ['rooms::tests::revocation::nothing_is_written_after_the_commit_of_a_leave'],
  leaver_still_hears: ['rooms::tests::leaving::a_visitor_who_leaves_receives_nothing_more_on_any_tab'],
  one_leaver_told: ['rooms::tests::leaving::leaves_that_arrive_together_share_one_commit'],
  history_shown_to_newcomers: ['rooms::tests::delivery::a_room_without_history_shows_new_members_only_later_entries'],
  // The way to the sockets.
  gap_ignored: ['rooms::tests::delivery::an_entry_that_comes_early_waits_for_the_one_before_it'],
  heads_not_compared: ['rooms::tests::delivery::the_last_entry_before_a_silence_is_found_without_a_relay'],
  replay_skips_one: ['gateway::tests::resume::what_was_missed_comes_in_order_before_anything_newer'],
  resume_ignores_after: ['gateway::tests::resume::what_was_missed_comes_in_order_before_anything_newer'],
  resync_never_said: ['gateway::tests::resume::past_the_limit_the_client_pages_and_loses_nothing'],
  lag_forgotten: ['realtime::queue::tests::past_the_limit_only_what_cannot_be_read_again_is_kept'],
  relay_echoes: ['rooms::tests::delivery::ephemeral_frames_reach_every_other_member_once_on_every_node'],
  foreign_frame_taken: ['realtime::relay::redis::tests::a_frame_of_another_service_is_ignored_though_it_comes_on_the_own_channel'],
  relay_silent: ['rooms::tests::delivery::ephemeral_frames_reach_every_other_member_once_on_every_node'],
  presence_never_told: ['rooms::tests::delivery::ephemeral_frames_reach_every_other_member_once_on_every_node'],
  // The socket and HTTP.
  origin_not_checked: ['gateway::tests::refusals::an_upgrade_is_checked_in_order'],
  cookie_not_checked: ['gateway::tests::refusals::an_upgrade_is_checked_in_order'],
  late_save_revives: ['accounts::tests::a_late_save_never_revives_a_session'],
  foreign_write_accepted: ['accounts::tests::writes_come_from_the_sites_own_pages'],
  rate_limit_off: ['gateway::tests::refusals::a_flood_is_refused_with_the_time_to_wait_and_others_go_on'],
  large_frame_accepted: ['gateway::tests::refusals::a_frame_above_32_kib_closes_1009_and_one_below_does_not'],
  control_characters_accepted: ['gateway::tests::refusals::frames_and_payloads_out_of_bounds_get_their_code'],
  invisible_text_accepted: ['gateway::tests::texts::a_text_of_which_nothing_can_be_seen_is_refused_wherever_somebody_would_read_it'],
  stored_size_not_checked: ['rooms::tests::sizes::a_payload_that_is_too_large_as_stored_is_refused_over_the_socket_and_rest'],
  page_bytes_not_counted: ['rooms::tests::sizes::a_page_is_limited_in_bytes_and_the_next_one_continues_without_a_gap'],
  slug_not_checked: ['gateway::tests::hostile::no_request_is_answered_5xx_whatever_it_holds'],
  same_id_in_all_rooms: ['gateway::tests::messages::people_cannot_be_followed_from_room_to_room'],
  hello_never_due: ['gateway::tests::refusals::who_never_says_hello_is_closed'],
  slow_socket_kept: ['gateway::tests::life::a_socket_that_does_not_read_is_closed_and_others_go_on'],
  stop_forgets_answers: ['gateway::tests::life::a_node_that_stops_waits_for_what_is_being_written'],
  close_not_answered: ['gateway::tests::protocol::every_case_is_answered_as_the_protocol_says'],
  unread_bytes_reset: ['http::tests::accept::who_was_answered_and_had_more_to_say_is_not_reset'],
  excess_forgiven: ['gateway::tests::refusals::frames_of_any_kind_above_the_limit_without_end_close_4400'],
  leave_overtakes_sends: ['gateway::tests::messages::what_was_sent_before_a_leave_is_written_before_it'],
  flood_accepted: ['rooms::tests::flood::many_visitors_of_one_prefix_cannot_flood_a_room_and_others_can_still_write'],
  typing_always_told: ['rooms::tests::flood::typing_in_a_large_room_stays_within_its_delivery_budget'],
  session_end_not_seen: ['gateway::tests::life::a_socket_ends_with_its_session_on_every_node'],
  // Matching.
  matcher_without_lock: ['matching::tests::faults::one_node_pairs_at_a_time'],
  found_told_before_commit: ['matching::tests::faults::nobody_is_told_of_a_pair_before_it_is_committed'],
  end_told_before_commit: ['matching::tests::faults::nobody_is_told_of_an_end_before_it_is_committed'],
  end_not_told: ['matching::tests::verbs::next_ends_and_seeks_again'],
  away_not_told: ['matching::tests::ends::a_dropped_side_has_half_a_minute'],
  blocks_not_read: ['matching::tests::ends::a_block_is_mutual_and_works_after_the_end'],
  open_talk_not_seen: ['gateway::tests::messages::two_strangers_meet_in_a_and_b_and_talk'],
  open_talk_index_dropped: ['matching::tests::faults::the_database_forbids_what_the_code_never_does'],
  oneself_allowed: ['matching::tests::faults::the_database_forbids_what_the_code_never_does'],
  met_lately_forgotten: ['matching::tests::pairing::who_met_lately_waits_for_others_first'],
  cancel_ignored: ['matching::tests::verbs::a_cancelled_seek_is_met_by_nobody'],
  lost_ticket_stays_lost: ['matching::tests::faults::tickets_are_written_again_after_a_crash_of_postgres'],
  lease_never_expires: ['matching::tests::faults::what_a_dead_node_held_is_let_go'],
  freed_side_loses_its_place: ['matching::tests::ends::who_never_enters_frees_the_other_to_the_front'],
  age_gate_open: ['gateway::tests::age_gate::who_has_not_accepted_the_rules_reaches_no_stranger'],
  // Reports.
  report_names_anybody: ['matching::tests::reports::a_report_in_a_room_needs_a_visible_entry_of_one_other_person'],
  report_stored_twice: ['matching::tests::reports::reports_of_one_thing_at_the_same_time_are_one_report'],
  machine_clock_believed: ['matching::tests::ends::a_jump_of_a_nodes_clock_ends_no_talk_and_hides_none'],
  ghost_is_paired: ['matching::tests::verbs::nobody_is_paired_with_somebody_who_is_gone'],
  reporter_told: ['matching::tests::ends::nothing_tells_the_other_side_who_reported_or_blocked'],
};

function fail(line) {
  console.error(`faults: ${line}`);
  process.exit(1);
}

/** The test program with the faults in it. */
function built() {
  const args = ['test', '--locked', '--lib', '--features', 'faults', '--no-run', '--message-format=json-render-diagnostics'];
  const cargo = spawnSync(process.env.CARGO ?? 'cargo', args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (cargo.status !== 0) fail('the build failed');
  const said = cargo.stdout.split('\n').filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  return said.findLast((one) => one.executable && one.profile?.test)?.executable ?? fail('cargo built no tests');
}

/** Runs tests by their full names. Answers how it went: passed, failed or hung, and what was said. */
function run(program, tests, fault, limit = patience) {
  return new Promise((done) => {
    const env = { ...process.env, MAJU_FAULT: fault, RUST_BACKTRACE: '0' };
    // A group of its own, so that a run that hangs takes its children with it.
    const child = spawn(program, ['--exact', ...tests], { cwd: root, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    let hung = false;
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
    const timer = setTimeout(() => {
      hung = true;
      process.kill(-child.pid, 'SIGKILL');
    }, limit);
    child.on('close', (code) => {
      clearTimeout(timer);
      const ran = Number(/^running (\d+) tests?$/m.exec(said)?.[1] ?? 0);
      const failures = [...said.matchAll(/^test (\S+) \.\.\. FAILED$/gm)].map((match) => match[1]);
      done({ passed: code === 0, hung, ran, failures, said });
    });
  });
}

/** The names in the program itself, as it lists them when it is asked for one that is not there. */
async function known(program) {
  const one = Object.values(caughtBy)[0];
  const { passed, said } = await run(program, one, 'no such fault');
  const listed = /unknown variant `no such fault`, expected one of (.*)/.exec(said);
  if (passed || !listed) fail('a fault that does not exist was not refused');
  return [...listed[1].matchAll(/`([a-z0-9_]+)`/g)].map((match) => match[1]);
}

const program = built();
const names = await known(program);
const listed = Object.keys(caughtBy);
const differ = [...names.filter((name) => !listed.includes(name)), ...listed.filter((name) => !names.includes(name))];
if (differ.length > 0) fail(`src/faults.rs and .ci/faults.mjs differ: ${differ.join(', ')}`);

const only = (process.env.ONLY ?? '').split(',').filter(Boolean);
const unknown = only.filter((name) => !names.includes(name));
if (unknown.length > 0) fail(`there is no fault ${unknown.join(', ')}; there are ${names.join(', ')}`);
const chosen = only.length > 0 ? only : names;

const tests = [...new Set(chosen.flatMap((name) => caughtBy[name]))];
console.log(`${tests.length} tests without a fault`);
const sound = await run(program, tests, '', patience * 4);
if (!sound.passed) fail(`they do not pass without a fault:\n${sound.said}`);
if (sound.ran !== tests.length) {
  const there = spawnSync(program, ['--list'], { encoding: 'utf8' }).stdout;
  fail(`no such test: ${tests.filter((test) => !there.includes(`${test}: test`)).join(', ')}`);
}

const width = Math.max(...chosen.map((name) => name.length));
const short = (test) => test.replace(/::tests(::|$)/, '::');
const began = Date.now();
const missed = [];
console.log(`${'fault'.padEnd(width)} | seconds | caught by`);
console.log(`${'-'.repeat(width)}-|---------|----------`);
for (const name of chosen) {
  const at = Date.now();
  const { hung, failures, said } = await run(program, caughtBy[name], name);
  const seconds = ((Date.now() - at) / 1000).toFixed(1).padStart(7);
  // A program that ends without a failed test has noticed nothing: something else was wrong.
  const caught = hung || failures.length > 0;
  if (!caught) missed.push(name);
  if (!caught && process.env.VERBOSE) console.log(said);
  const by = !caught ? 'NOTHING' : hung ? `${caughtBy[name].map(short).join(', ')} (it hung)` : failures.map(short).join(', ');
  console.log(`${name.padEnd(width)} | ${seconds} | ${by}`);
}
const took = Math.round((Date.now() - began) / 1000);
console.log(`${chosen.length - missed.length} of ${chosen.length} planted faults were caught, in ${took} s`);
if (missed.length > 0) fail(`not caught: ${missed.join(', ')}`);
