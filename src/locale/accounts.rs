//! What the owner of an account reads in each language: why a password is refused, and mails.

/// The texts about accounts in one language.
#[derive(Clone, Copy)]
pub struct AccountStrings {
    /// The password has fewer characters than this.
    pub password_short: fn(usize) -> String,
    /// The password has more characters than this.
    pub password_long: fn(usize) -> String,
    /// How to make a weak password better. It follows one of the reasons below.
    pub password_advice: &'static str,
    pub password_guessable: &'static str,
    pub password_keyboard: &'static str,
    pub password_repeats: &'static str,
    pub password_common: &'static str,
    pub password_similar: &'static str,
    pub password_sequence: &'static str,
    pub password_years: &'static str,
    pub password_word: &'static str,
    pub password_dates: &'static str,
    pub password_names: &'static str,
    /// The mail with a link that confirms an address: subject, and text with the link.
    pub verify_subject: &'static str,
    pub verify_mail: fn(&str) -> String,
    /// The mail with a link to a new password: subject, and text with the link.
    pub reset_subject: &'static str,
    pub reset_mail: fn(&str) -> String,
    /// The mail to the address that an account had before: subject, and text with the handle.
    pub address_changed_subject: &'static str,
    pub address_changed_mail: fn(&str) -> String,
    /// The mail after a change of the password: subject, and text with the handle.
    pub password_changed_subject: &'static str,
    pub password_changed_mail: fn(&str) -> String,
}

pub(super) const EN: AccountStrings = AccountStrings {
    password_short: |least| format!("Use at least {least} characters."),
    password_long: |most| format!("Use at most {most} characters."),
    password_advice: "Add another word or two; uncommon words are better.",
    password_guessable: "This password is easy to guess.",
    password_keyboard: "Keys that lie next to each other are easy to guess.",
    password_repeats: "Repeated characters or words are easy to guess.",
    password_common: "Many people use this password.",
    password_similar: "This is close to a password that many people use.",
    password_sequence: "Sequences such as abc or 6543 are easy to guess.",
    password_years: "Recent years are easy to guess.",
    password_word: "A single word is easy to guess.",
    password_dates: "Dates are easy to guess.",
    password_names: "Names are easy to guess.",
    verify_subject: "Confirm your address",
    verify_mail: |link| {
        format!(
            "Hello,\n\nopen this link to confirm your address for Maju. It works once, for 24 hours.\n\n{link}\n\n\
             If you did not ask for this, ignore this mail.\n"
        )
    },
    reset_subject: "Choose a new password",
    reset_mail: |link| {
        format!(
            "Hello,\n\nopen this link to choose a new password for Maju. It works once, for an hour.\n\n{link}\n\n\
             If you did not ask for this, ignore this mail. Your password stays as it is.\n"
        )
    },
    address_changed_subject: "Your address was changed",
    address_changed_mail: |handle| {
        format!(
            "Hello,\n\nthe account {handle} on Maju no longer uses this address.\n\n\
             If this was not you, tell the operator of the site.\n"
        )
    },
    password_changed_subject: "Your password was changed",
    password_changed_mail: |handle| {
        format!(
            "Hello,\n\nthe password of the account {handle} on Maju was changed, and all other sessions have ended.\n\n\
             If this was not you, ask for a new password at once, and tell the operator of the site.\n"
        )
    },
};

pub(super) const KO: AccountStrings = AccountStrings {
    password_short: |least| format!("{least}자 이상으로 정해 주세요."),
    password_long: |most| format!("{most}자 이하로 정해 주세요."),
    password_advice: "단어를 한두 개 더 붙여 보세요. 흔하지 않은 단어일수록 좋아요.",
    password_guessable: "쉽게 짐작할 수 있는 비밀번호예요.",
    password_keyboard: "자판에 나란히 있는 글자는 쉽게 짐작할 수 있어요.",
    password_repeats: "되풀이되는 글자나 단어는 쉽게 짐작할 수 있어요.",
    password_common: "많은 사람이 쓰는 비밀번호예요.",
    password_similar: "많은 사람이 쓰는 비밀번호와 비슷해요.",
    password_sequence: "abc나 6543처럼 이어지는 글자는 쉽게 짐작할 수 있어요.",
    password_years: "최근 연도는 쉽게 짐작할 수 있어요.",
    password_word: "단어 하나는 쉽게 짐작할 수 있어요.",
    password_dates: "날짜는 쉽게 짐작할 수 있어요.",
    password_names: "이름은 쉽게 짐작할 수 있어요.",
    verify_subject: "메일 주소를 확인해 주세요",
    verify_mail: |link| {
        format!(
            "안녕하세요.\n\n아래 링크를 열면 마주에서 쓸 메일 주소가 확인돼요. 링크는 24시간 동안 한 번만 쓸 수 있어요.\n\n\
             {link}\n\n요청한 적이 없다면 이 메일은 그냥 두셔도 돼요.\n"
        )
    },
    reset_subject: "새 비밀번호를 정해 주세요",
    reset_mail: |link| {
        format!(
            "안녕하세요.\n\n아래 링크를 열면 마주의 새 비밀번호를 정할 수 있어요. 링크는 1시간 동안 한 번만 쓸 수 있어요.\n\n\
             {link}\n\n요청한 적이 없다면 이 메일은 그냥 두셔도 돼요. 비밀번호는 그대로예요.\n"
        )
    },
    address_changed_subject: "메일 주소가 바뀌었어요",
    address_changed_mail: |handle| {
        format!(
            "안녕하세요.\n\n마주의 {handle} 계정은 이제 이 메일 주소를 쓰지 않아요.\n\n\
             직접 바꾼 것이 아니라면 사이트 운영자에게 알려 주세요.\n"
        )
    },
    password_changed_subject: "비밀번호가 바뀌었어요",
    password_changed_mail: |handle| {
        format!(
            "안녕하세요.\n\n마주의 {handle} 계정 비밀번호가 바뀌었고, 다른 기기의 로그인은 모두 끝났어요.\n\n\
             직접 바꾼 것이 아니라면 바로 새 비밀번호를 요청하고 사이트 운영자에게 알려 주세요.\n"
        )
    },
};
