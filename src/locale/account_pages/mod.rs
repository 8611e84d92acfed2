//! The strings of the pages of sign-in and account, in each language.
mod en;
mod ko;

use super::Locale;

/// The text of the pages of sign-in and account, in one language.
pub struct PageStrings {
    // Shared by the pages.
    pub sign_in: &'static str,
    pub sign_out: &'static str,
    pub account: &'static str,
    pub back: &'static str,
    pub next: &'static str,
    pub save: &'static str,
    pub change: &'static str,
    pub remove: &'static str,
    /// The button that shows a password, and hides it.
    pub show: &'static str,
    pub hide: &'static str,
    pub password: &'static str,
    pub handle: &'static str,
    pub copy: &'static str,
    pub copied: &'static str,
    pub download: &'static str,
    // Refused forms.
    pub refused_sign_in: &'static str,
    pub refused_form: &'static str,
    pub wrong_login: &'static str,
    pub wrong_password: &'static str,
    pub wrong_code: &'static str,
    pub wrong_recovery: &'static str,
    pub wrong_pin: &'static str,
    pub wrong_link: &'static str,
    pub missing_handle: &'static str,
    pub missing_password: &'static str,
    pub missing_code: &'static str,
    pub missing_email: &'static str,
    pub handle_shape: &'static str,
    pub handle_taken: &'static str,
    pub email_shape: &'static str,
    pub password_too_long: &'static str,
    pub email_taken: &'static str,
    pub pin_shape: &'static str,
    pub name_shape: &'static str,
    pub delete_word_wrong: &'static str,
    pub last_admin: &'static str,
    pub wait_title: &'static str,
    pub wait_text: &'static str,
    /// How long a wait is: `{}` stands for the time.
    pub wait: &'static str,
    pub wait_over: &'static str,
    // Sign-in.
    /// The number of this step, and of all steps.
    pub step_of: fn(usize, usize) -> String,
    pub step_handle: &'static str,
    pub step_password: &'static str,
    pub step_code: &'static str,
    pub step_pin: &'static str,
    pub step_verify: &'static str,
    pub step_enroll: &'static str,
    /// Follows a step that not every account has.
    pub step_optional: &'static str,
    pub sign_in_heading: &'static str,
    pub handle_hint: &'static str,
    pub new_here: &'static str,
    pub create_account: &'static str,
    pub password_heading: &'static str,
    pub password_again_heading: &'static str,
    /// Said after the word for changing, to screen readers.
    pub other_handle: &'static str,
    pub forgot: &'static str,
    pub totp_heading: &'static str,
    pub code_label: &'static str,
    pub code_hint: &'static str,
    pub use_recovery: &'static str,
    pub recovery_heading: &'static str,
    pub recovery_label: &'static str,
    pub recovery_hint: &'static str,
    pub use_totp: &'static str,
    pub pin_heading: &'static str,
    pub pin_label: &'static str,
    pub pin_hint: &'static str,
    pub verify_heading: &'static str,
    /// The host of the outside verifier.
    pub verify_text: fn(&str) -> String,
    pub verify_start: &'static str,
    pub verify_go: &'static str,
    pub verify_waiting: &'static str,
    pub verify_failed: &'static str,
    pub verify_back: &'static str,
    pub enroll_heading: &'static str,
    pub enroll_why: &'static str,
    pub enroll_heading_own: &'static str,
    pub enroll_scan: &'static str,
    pub enroll_qr: &'static str,
    pub enroll_open: &'static str,
    pub enroll_secret: &'static str,
    pub enroll_type: &'static str,
    pub enroll_submit: &'static str,
    pub codes_heading: &'static str,
    pub codes_text: &'static str,
    pub codes_list: &'static str,
    pub codes_done: &'static str,
    /// Heads the file with the codes.
    pub codes_file: fn(&str) -> String,
    pub elsewhere_heading: &'static str,
    pub elsewhere_device: &'static str,
    pub elsewhere_time: &'static str,
    pub elsewhere_text: &'static str,
    pub elsewhere_here: &'static str,
    pub elsewhere_not_me_text: &'static str,
    pub talk_heading: &'static str,
    pub talk_text: &'static str,
    pub talk_leave: &'static str,
    pub talk_back: &'static str,
    // The tile for guests.
    pub guest_heading: &'static str,
    pub guest_text: &'static str,
    pub guest_go: &'static str,
    pub guest_can_talk: &'static str,
    pub guest_can_report: &'static str,
    pub guest_cannot: &'static str,
    // Sign-up.
    pub sign_up_heading: &'static str,
    pub sign_up_text: &'static str,
    pub new_handle_hint: &'static str,
    pub new_password_hint: &'static str,
    pub email_optional: &'static str,
    pub email_hint: &'static str,
    pub no_mail: &'static str,
    pub have_account: &'static str,
    // A forgotten password, and the links in mails.
    pub reset_heading: &'static str,
    pub reset_text: &'static str,
    pub email: &'static str,
    pub reset_send: &'static str,
    pub reset_sent_heading: &'static str,
    pub reset_sent_text: &'static str,
    pub reset_by_admin: &'static str,
    pub contact_operator: &'static str,
    pub new_password_heading: &'static str,
    pub new_password: &'static str,
    pub new_password_text: &'static str,
    pub new_password_save: &'static str,
    pub confirm_email_heading: &'static str,
    pub confirm_email_text: &'static str,
    pub confirm_email: &'static str,
    pub setup_heading: &'static str,
    pub setup_text: &'static str,
    pub setup_submit: &'static str,
    // The account page.
    pub account_lead: &'static str,
    pub profile: &'static str,
    pub profile_text: &'static str,
    pub room_name: &'static str,
    pub room_name_none: &'static str,
    pub room_name_hint: &'static str,
    pub login_email: &'static str,
    pub email_none: &'static str,
    pub email_unconfirmed: &'static str,
    /// The address was not confirmed, and the site sends no mail.
    pub email_unconfirmable: &'static str,
    pub email_confirmed: &'static str,
    pub role: &'static str,
    pub role_member: &'static str,
    pub role_moderator: &'static str,
    pub role_editor: &'static str,
    pub role_admin: &'static str,
    pub admin_open: &'static str,
    pub password_section: &'static str,
    pub password_section_text: &'static str,
    /// When the password was set.
    pub password_set: fn(&str) -> String,
    pub password_unset: &'static str,
    pub current_password: &'static str,
    pub second_factor: &'static str,
    pub second_factor_text: &'static str,
    pub app: &'static str,
    pub app_off: &'static str,
    pub app_on: &'static str,
    pub second_factor_on: &'static str,
    pub app_enable: &'static str,
    pub app_disable: &'static str,
    pub app_disable_text: &'static str,
    pub app_required: &'static str,
    pub recovery_codes: &'static str,
    /// How many codes are unused, and how many there were.
    pub recovery_left: fn(i64, usize) -> String,
    pub recovery_renew: &'static str,
    pub recovery_renew_text: &'static str,
    pub pin: &'static str,
    pub pin_on: &'static str,
    pub pin_off: &'static str,
    pub pin_set: &'static str,
    pub pin_set_heading: &'static str,
    pub pin_remove_heading: &'static str,
    pub sessions: &'static str,
    pub sessions_text: &'static str,
    pub session_current: &'static str,
    pub session_now: &'static str,
    /// When a session was last used.
    pub session_used: fn(&str) -> String,
    /// When a session ended, and why.
    pub session_ended: fn(&str, &str) -> String,
    pub session_unknown_device: &'static str,
    pub sessions_end: &'static str,
    pub sessions_hint: &'static str,
    pub ended_signed_out: &'static str,
    pub ended_elsewhere: &'static str,
    pub ended_by_owner: &'static str,
    pub ended_by_staff: &'static str,
    pub ended_password: &'static str,
    pub ended_role: &'static str,
    pub ended_closed: &'static str,
    pub ended_expired: &'static str,
    pub blocked: &'static str,
    pub blocked_text: &'static str,
    pub blocked_none: &'static str,
    pub blocked_unknown: &'static str,
    /// When somebody was blocked.
    pub blocked_at: fn(&str) -> String,
    pub unblock: &'static str,
    pub data: &'static str,
    pub data_text: &'static str,
    pub data_file: &'static str,
    pub data_file_text: &'static str,
    pub data_get: &'static str,
    pub delete: &'static str,
    pub delete_text: &'static str,
    /// The word to write.
    pub delete_confirm: fn(&str) -> String,
    pub delete_word: &'static str,
    /// The time that is left.
    pub delete_pending: fn(&str) -> String,
    pub delete_pending_text: &'static str,
    pub delete_undo: &'static str,
    // What a page says after an action.
    pub note_signed_up: &'static str,
    pub note_signed_out: &'static str,
    pub note_session_ended: &'static str,
    pub note_signed_in_elsewhere: &'static str,
    pub note_step_expired: &'static str,
    pub note_password_changed: &'static str,
    pub note_password_reset: &'static str,
    pub note_email_sent: &'static str,
    pub note_email_saved: &'static str,
    pub note_email_removed: &'static str,
    pub note_email_confirmed: &'static str,
    pub note_name_saved: &'static str,
    pub note_app_on: &'static str,
    pub note_app_off: &'static str,
    pub note_pin_on: &'static str,
    pub note_pin_off: &'static str,
    pub note_unblocked: &'static str,
    pub note_delete_undone: &'static str,
    pub note_delete_begun: &'static str,
    pub note_setup_done: &'static str,
    // Pages for what went wrong.
    pub stale_heading: &'static str,
    pub stale_text: &'static str,
    pub busy_heading: &'static str,
    pub busy_text: &'static str,
    pub foreign_heading: &'static str,
    pub foreign_text: &'static str,
    pub failed_heading: &'static str,
    pub failed_text: &'static str,
    pub many_heading: &'static str,
    pub again: &'static str,
    // Times, as words.
    pub ago_now: &'static str,
    /// A time in the past, in seconds.
    pub ago: fn(i64) -> String,
    /// A length of time, in seconds.
    pub span: fn(u64) -> String,
}

impl Locale {
    /// Returns the strings of the pages of sign-in and account.
    pub fn account_pages(self) -> &'static PageStrings {
        match self {
            Self::Ko => &ko::STRINGS,
            Self::En => &en::STRINGS,
        }
    }
}

/// The largest whole unit of a length of time, with its number: days, hours, minutes or seconds.
fn unit(seconds: u64) -> (u64, usize) {
    const UNITS: [u64; 3] = [86_400, 3_600, 60];
    match UNITS.iter().position(|size| seconds >= *size) {
        Some(at) => (seconds / UNITS[at], at),
        None => (seconds.max(1), UNITS.len()),
    }
}

fn span_ko(seconds: u64) -> String {
    let (count, unit) = unit(seconds);
    format!("{count}{}", ["일", "시간", "분", "초"][unit])
}

fn span_en(seconds: u64) -> String {
    let (count, unit) = unit(seconds);
    let name = ["day", "hour", "minute", "second"][unit];
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::{Locale, span_en, span_ko};

    #[test]
    fn a_length_of_time_is_told_in_its_largest_unit() {
        for (seconds, ko, en) in [
            (0, "1초", "1 second"),
            (59, "59초", "59 seconds"),
            (60, "1분", "1 minute"),
            (3_599, "59분", "59 minutes"),
            (7_200, "2시간", "2 hours"),
            (14 * 86_400, "14일", "14 days"),
        ] {
            assert_eq!((span_ko(seconds).as_str(), span_en(seconds).as_str()), (ko, en));
        }
        assert_eq!((Locale::Ko.account_pages().ago)(125), "2분 전");
        assert_eq!((Locale::En.account_pages().ago)(60), "1 minute ago");
    }
}
