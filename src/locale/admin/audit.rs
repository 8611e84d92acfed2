//! The audit log: its filters, the state of its chain, and a sentence for each act.
use serde_json::Value;

/// The texts of the audit log in one language.
pub struct AuditStrings {
    pub lead: &'static str,
    pub actor: &'static str,
    pub action: &'static str,
    pub every_action: &'static str,
    pub from: &'static str,
    pub to: &'static str,
    pub table: &'static str,
    pub details: &'static str,
    pub none: &'static str,
    pub number: &'static str,
    pub address: &'static str,
    pub address_hint: &'static str,
    pub export: &'static str,
    pub export_csv: &'static str,
    pub export_lines: &'static str,
    pub shell: &'static str,
    pub system: &'static str,
    pub chain: &'static str,
    pub chain_hint: &'static str,
    pub check: &'static str,
    pub check_again: &'static str,
    pub running: fn(i64, i64) -> String,
    pub look_again: &'static str,
    pub whole: fn(&str, &str, &str) -> String,
    pub broken: fn(i64, &str) -> String,
    pub failed: &'static str,
    pub older: &'static str,
    pub newest: &'static str,
    pub bad_date: &'static str,
    /// Says what an act was.
    pub sentence: fn(&Told<'_>) -> String,
    /// The name of an action, for the filter.
    pub action_name: fn(&str) -> &'static str,
}

/// An act to be told.
pub struct Told<'a> {
    pub actor: &'a str,
    pub action: &'a str,
    pub subject: &'a str,
    pub detail: &'a Value,
}

/// The actions that have a sentence, each with its name in Korean and English. What another version
/// has recorded is told by its action.
pub const ACTIONS: [(&str, &str, &str); 39] = [
    ("account.added", "계정 추가", "Account added"),
    ("account.deletion_requested", "계정 삭제 신청", "Deletion requested"),
    ("account.email_changed", "메일 주소 변경", "Mail address changed"),
    ("account.password_changed", "비밀번호 변경", "Password changed"),
    ("account.pin_changed", "PIN 변경", "PIN changed"),
    ("account.recovery_codes_replaced", "복구 코드 교체", "Recovery codes replaced"),
    ("account.reset", "비밀번호 재설정", "Password reset"),
    ("account.role_changed", "역할 변경", "Role changed"),
    ("account.sessions_ended", "세션 끝냄", "Sessions ended"),
    ("account.signed_in", "로그인", "Signed in"),
    ("account.totp_added", "2단계 인증 등록", "Second factor added"),
    ("accounts.imported", "계정 가져오기", "Accounts imported"),
    ("banner.added", "알림 띠 추가", "Banner added"),
    ("banner.deleted", "알림 띠 삭제", "Banner deleted"),
    ("banner.saved", "알림 띠 변경", "Banner changed"),
    ("media.deleted", "이미지 삭제", "Image deleted"),
    ("media.described", "이미지 설명 변경", "Image described"),
    ("media.restored", "이미지 되살림", "Image restored"),
    ("media.social_image_chosen", "공유 이미지 선택", "Social image chosen"),
    ("media.uploaded", "이미지 추가", "Image added"),
    ("section.added", "구역 추가", "Section added"),
    ("section.deleted", "구역 삭제", "Section deleted"),
    ("section.hidden", "구역 숨김", "Section hidden"),
    ("section.ordered", "구역 순서 변경", "Sections put in order"),
    ("section.publish_scheduled", "게시 예약", "Publish scheduled"),
    ("section.published", "게시", "Published"),
    ("section.restored", "이전 글을 초안으로", "Earlier version made the draft"),
    ("section.saved", "초안 저장", "Draft saved"),
    ("section.schedule_cancelled", "예약 취소", "Schedule cancelled"),
    ("section.shown", "구역 보임", "Section shown"),
    ("section.undeleted", "구역 되살림", "Section brought back"),
    ("section.unpublish_scheduled", "내림 예약", "Unpublish scheduled"),
    ("section.unpublished", "게시 내림", "Unpublished"),
    ("server.updated", "배포", "New version"),
    ("stat.added", "숫자 추가", "Number added"),
    ("stat.deleted", "숫자 삭제", "Number deleted"),
    ("stat.ordered", "숫자 순서 변경", "Numbers put in order"),
    ("stat.restored", "숫자 되살림", "Number brought back"),
    ("stat.saved", "숫자 변경", "Number changed"),
];

fn text<'a>(told: &'a Told<'_>, name: &str) -> &'a str {
    told.detail.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn flag(told: &Told<'_>, name: &str) -> bool {
    told.detail.get(name).and_then(Value::as_bool).unwrap_or_default()
}

fn role_ko(name: &str) -> &str {
    match name {
        "member" => "회원",
        "moderator" => "중재자",
        "editor" => "편집자",
        "admin" => "관리자",
        other => other,
    }
}

fn sentence_ko(told: &Told<'_>) -> String {
    let Told { actor, action, subject, .. } = told;
    match *action {
        "account.added" => format!("{actor} 님이 {subject} 계정을 만들었어요 ({}).", role_ko(text(told, "role"))),
        "account.deletion_requested" => format!("{actor} 님이 자기 계정의 삭제를 신청했어요."),
        "account.email_changed" => format!("{actor} 님이 자기 메일 주소를 바꿨어요."),
        "account.password_changed" => format!("{actor} 님이 자기 비밀번호를 바꿨어요."),
        "account.pin_changed" => format!("{actor} 님이 자기 PIN을 바꿨어요."),
        "account.recovery_codes_replaced" => format!("{actor} 님이 복구 코드를 새로 만들었어요."),
        "account.reset" => {
            let factor = if flag(told, "second_factor_removed") { " 2단계 인증도 없앴어요." } else { "" };
            format!("{actor} 님이 {subject} 님의 비밀번호를 다시 정하게 했어요.{factor}")
        }
        "account.role_changed" => {
            let (from, to) = (role_ko(text(told, "from")), role_ko(text(told, "to")));
            format!("{actor} 님이 {subject} 님의 역할을 바꿨어요: {from} → {to}")
        }
        "account.sessions_ended" => format!("{actor} 님이 {subject} 님의 세션을 끝냈어요."),
        "account.signed_in" => match text(told, "device") {
            "" => format!("{actor} 님이 로그인했어요."),
            device => format!("{actor} 님이 로그인했어요: {device}"),
        },
        "account.totp_added" => format!("{actor} 님이 2단계 인증을 등록했어요."),
        "accounts.imported" => format!("{actor} 님이 다른 시스템의 계정을 가져왔어요."),
        "server.updated" => format!("서버가 새 버전으로 시작했어요: {subject}"),
        "section.published" => format!("{actor} 님이 게시했어요: {subject}"),
        "section.unpublished" => format!("{actor} 님이 게시한 것을 내렸어요: {subject}"),
        "section.publish_scheduled" => format!("{actor} 님이 게시를 예약했어요: {subject}"),
        other => match ACTIONS.iter().find(|(known, ..)| *known == other) {
            Some((_, name, _)) => format!("{actor} 님: {name} ({subject})"),
            None => format!("{actor} 님: {other} ({subject})"),
        },
    }
}

fn sentence_en(told: &Told<'_>) -> String {
    let Told { actor, action, subject, .. } = told;
    match *action {
        "account.added" => format!("{actor} made the account {subject} ({}).", text(told, "role")),
        "account.deletion_requested" => format!("{actor} asked for the deletion of their own account."),
        "account.email_changed" => format!("{actor} changed their own mail address."),
        "account.password_changed" => format!("{actor} changed their own password."),
        "account.pin_changed" => format!("{actor} changed their own PIN."),
        "account.recovery_codes_replaced" => format!("{actor} made new recovery codes."),
        "account.reset" => {
            let factor = if flag(told, "second_factor_removed") { " and removed the second factor" } else { "" };
            format!("{actor} reset the password of {subject}{factor}.")
        }
        "account.role_changed" => {
            format!("{actor} changed the role of {subject}: {} → {}", text(told, "from"), text(told, "to"))
        }
        "account.sessions_ended" => format!("{actor} ended the sessions of {subject}."),
        "account.signed_in" => match text(told, "device") {
            "" => format!("{actor} signed in."),
            device => format!("{actor} signed in: {device}"),
        },
        "account.totp_added" => format!("{actor} set up a second factor."),
        "accounts.imported" => format!("{actor} imported accounts of another system."),
        "server.updated" => format!("The server started with version {subject}."),
        "section.published" => format!("{actor} published: {subject}"),
        "section.unpublished" => format!("{actor} took back a publish: {subject}"),
        "section.publish_scheduled" => format!("{actor} scheduled a publish: {subject}"),
        other => match ACTIONS.iter().find(|(known, ..)| *known == other) {
            Some((.., name)) => format!("{actor}: {name} ({subject})"),
            None => format!("{actor}: {other} ({subject})"),
        },
    }
}

pub(super) const KO: AuditStrings = AuditStrings {
    lead: "운영자가 한 일과 계정에 일어난 일이에요. 더하기만 하고 지우지 않아요.",
    actor: "한 사람",
    action: "한 일",
    every_action: "모두",
    from: "시작 날짜",
    to: "끝 날짜",
    table: "기록",
    details: "자세히",
    none: "이 조건에 맞는 기록이 없어요.",
    number: "번호",
    address: "주소 해시",
    address_hint: "같은 값은 같은 곳이라는 뜻이에요. 주소는 저장하지 않아요.",
    export: "내려받기",
    export_csv: "CSV",
    export_lines: "JSON Lines",
    shell: "서버의 셸",
    system: "서버",
    chain: "사슬",
    chain_hint: "기록마다 앞 기록의 해시가 들어 있어서, 고치거나 지우면 드러나요.",
    check: "사슬 확인",
    check_again: "다시 확인",
    running: |checked, all| format!("확인하고 있어요: {checked} / {all}"),
    look_again: "다시 보기",
    whole: |entries, at, head| format!("기록 {entries}개가 모두 이어져요. {at} 확인, 마지막 해시 {head}…"),
    broken: |entry, flaw| {
        format!("{entry}번 기록이 잘못됐어요 ({flaw}). 백업과 비교하고 데이터베이스의 비밀번호를 바꿔 주세요.")
    },
    failed: "데이터베이스가 답하지 않아서 확인하지 못했어요.",
    older: "이전 기록",
    newest: "최근 기록",
    bad_date: "날짜는 2027-06-30처럼 적어 주세요.",
    sentence: sentence_ko,
    action_name: |action| ACTIONS.iter().find(|(known, ..)| *known == action).map_or("", |(_, name, _)| name),
};

pub(super) const EN: AuditStrings = AuditStrings {
    lead: "What staff did, and what was done to accounts. Entries are only added.",
    actor: "Who",
    action: "What",
    every_action: "Everything",
    from: "From",
    to: "To",
    table: "Audit log",
    details: "Details",
    none: "No entry fits.",
    number: "Number",
    address: "Address hash",
    address_hint: "The same value is the same place. No address is stored.",
    export: "Download",
    export_csv: "CSV",
    export_lines: "JSON Lines",
    shell: "A shell of the server",
    system: "The server",
    chain: "Chain",
    chain_hint: "Each entry holds the hash of the one before, so a change or a deletion shows.",
    check: "Check the chain",
    check_again: "Check again",
    running: |checked, all| format!("Checking: {checked} of {all}"),
    look_again: "Look again",
    whole: |entries, at, head| format!("All {entries} entries follow each other. Checked {at}, last hash {head}…"),
    broken: |entry, flaw| {
        format!("Entry {entry} is wrong ({flaw}). Compare it with a backup and change the database's password.")
    },
    failed: "The database did not answer, so nothing was checked.",
    older: "Older entries",
    newest: "Newest entries",
    bad_date: "Write a date like 2027-06-30.",
    sentence: sentence_en,
    action_name: |action| ACTIONS.iter().find(|(known, ..)| *known == action).map_or("", |(.., name)| name),
};
