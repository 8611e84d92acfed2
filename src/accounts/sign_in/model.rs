//! Sign-in: its steps, which of them a role needs, and where it returns to. No I/O.
use serde::{Deserialize, Serialize};
use url::Url;

use crate::accounts::Role;
use crate::accounts::limits::MAX_NEXT_BYTES;
use crate::config::VerifierUse;

/// A step of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SignInStep)]
pub enum Step {
    /// The handle and the password.
    Password,
    /// A one-time code of the app.
    Totp,
    /// A recovery code in place of a one-time code. It is never asked for.
    Recovery,
    /// The six digits that the owner has set.
    Pin,
    /// A check by an outside verifier.
    Verify,
    /// The first one-time code of a second factor that this sign-in adds.
    EnrollTotp,
}

impl Step {
    /// All steps.
    pub const ALL: [Self; 6] = [Self::Password, Self::Totp, Self::Recovery, Self::Pin, Self::Verify, Self::EnrollTotp];

    /// Returns the step's name, as it is stored and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Totp => "totp",
            Self::Recovery => "recovery",
            Self::Pin => "pin",
            Self::Verify => "verify",
            Self::EnrollTotp => "enroll_totp",
        }
    }

    /// Returns the step of this name. `None` if there is none.
    pub fn of_str(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == name)
    }

    /// Returns `true` if this step, once done, is what `required` asks for.
    fn satisfies(self, required: Self) -> bool {
        // The first code of a new second factor is a one-time code, too. It is enrolled by then.
        self == required || required == Self::Totp && matches!(self, Self::Recovery | Self::EnrollTotp)
    }
}

/// What decides which steps an account's sign-in needs.
#[derive(Clone, Copy, Debug)]
pub(in crate::accounts) struct Factors {
    pub role: Role,
    /// One-time codes are in use.
    pub totp: bool,
    pub pin: bool,
}

impl Factors {
    /// Returns the steps that a sign-in needs, in order. Adding a second factor comes last, so that
    /// nobody adds one without all other proofs.
    pub(in crate::accounts) fn steps(self, verifier: &[VerifierUse]) -> Vec<Step> {
        let is_verified = verifier.iter().any(|used| match used {
            VerifierUse::Age => false,
            VerifierUse::Members => self.role == Role::Member,
            VerifierUse::Staff => self.role.is_staff(),
        });
        let optional = [
            (Step::Totp, self.totp),
            (Step::Pin, self.pin),
            (Step::Verify, is_verified),
            (Step::EnrollTotp, !self.totp && self.role.is_staff()),
        ];
        let needed = optional.into_iter().filter(|(_, is_needed)| *is_needed).map(|(step, _)| step);
        std::iter::once(Step::Password).chain(needed).collect()
    }
}

/// Returns the first step that is not done. `None` if all are.
pub(in crate::accounts) fn due(required: &[Step], done: &[Step]) -> Option<Step> {
    required.iter().copied().find(|step| !done.iter().any(|done| done.satisfies(*step)))
}

/// Returns a page of this site to return to after a sign-in, as `next` names it: a path with its
/// query. `None` if `text` could lead anywhere else.
///
/// This is the only place that decides where `next` may lead.
pub fn next_path(text: &str) -> Option<String> {
    // A name that nobody can own (RFC 2606): a path that leads away from it leads away from us.
    const HERE: &str = "https://here.invalid";
    // Browsers read a backslash as a slash, and drop tabs and line breaks.
    let is_plain = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    if text.len() > MAX_NEXT_BYTES || !text.starts_with('/') || !text.bytes().all(is_plain) {
        return None;
    }
    let base = Url::parse(HERE).ok()?;
    let url = base.join(text).ok()?;
    if url.origin() != base.origin() || !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    let path = url.path();
    // What is left after the dots are gone can begin with two slashes, which name a host.
    let is_under = |root: &str| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if path.starts_with("//") || is_under("/api") || is_under("/ws") {
        return None;
    }
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("{path}{query}"))
}

#[cfg(test)]
mod tests {
    use super::{Factors, Step, due, next_path};
    use crate::accounts::Role;
    use crate::config::VerifierUse;

    #[test]
    fn every_role_needs_its_steps_in_order() {
        use Step::{EnrollTotp, Password, Pin, Totp, Verify};
        let steps = |role, totp, pin, verifier: &[VerifierUse]| Factors { role, totp, pin }.steps(verifier);
        assert_eq!(steps(Role::Member, false, false, &[]), [Password]);
        assert_eq!(steps(Role::Member, true, true, &[]), [Password, Totp, Pin]);
        assert_eq!(steps(Role::Member, false, false, &[VerifierUse::Members]), [Password, Verify]);
        for staff in [Role::Moderator, Role::Editor, Role::Admin] {
            assert_eq!(steps(staff, true, false, &[VerifierUse::Members, VerifierUse::Age]), [Password, Totp]);
            assert_eq!(steps(staff, false, true, &[VerifierUse::Staff]), [Password, Pin, Verify, EnrollTotp]);
        }
        for step in Step::ALL {
            assert_eq!(Step::of_str(step.as_str()), Some(step));
        }
    }

    #[test]
    fn only_the_first_missing_step_is_due() {
        use Step::{EnrollTotp, Password, Pin, Recovery, Totp};
        let required = [Password, Totp, Pin];
        assert_eq!(due(&required, &[]), Some(Password));
        assert_eq!(due(&required, &[Password]), Some(Totp));
        assert_eq!(due(&required, &[Password, Pin]), Some(Totp));
        assert_eq!(due(&required, &[Password, Recovery]), Some(Pin));
        assert_eq!(due(&required, &[Password, EnrollTotp, Pin]), None);
        assert_eq!(due(&[Password, EnrollTotp], &[Password, Totp]), Some(EnrollTotp));
    }

    #[test]
    fn next_leads_only_to_a_page_of_this_site() {
        for (text, path) in [
            ("/", "/"),
            ("/lobby", "/lobby"),
            ("/account/sessions?from=mail&x=1", "/account/sessions?from=mail&x=1"),
            ("/talk/../lobby", "/lobby"),
            ("/lobby#part", "/lobby"),
            ("/%2f%2fevil.example", "/%2f%2fevil.example"),
            ("/a//b", "/a//b"),
            ("/?next=//evil.example", "/?next=//evil.example"),
            ("/@evil.example", "/@evil.example"),
            ("/javascript:alert(1)", "/javascript:alert(1)"),
            ("/apiary", "/apiary"),
        ] {
            assert_eq!(next_path(text).as_deref(), Some(path), "{text}");
        }
        let long = format!("/{}", "a".repeat(2_000));
        for hostile in [
            "",
            " ",
            "lobby",
            "//evil.example",
            "///evil.example",
            "////evil.example/",
            "/\\evil.example",
            "\\/evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/\r/evil.example",
            "\t//evil.example",
            " //evil.example",
            "/ /evil.example",
            "/\0/evil.example",
            "/.//evil.example",
            "/..//evil.example",
            "/a/..//evil.example",
            "/./..//evil.example",
            "/%2e%2e//evil.example",
            "/%2e//evil.example",
            "https://evil.example",
            "HTTPS://evil.example",
            "https:evil.example",
            "https:/evil.example",
            "http:\\\\evil.example",
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "java\nscript:alert(1)",
            "data:text/html,x",
            "mailto:a@evil.example",
            "ftp://evil.example",
            "//evil.example@here.invalid",
            "//here.invalid:443@evil.example",
            "/\u{a0}/evil.example",
            "/\u{ff0f}evil.example",
            "\u{ff0f}\u{ff0f}evil.example",
            "//evil。example",
            "/한글",
            "?next=/",
            "#x",
            ".",
            "../x",
            "/api",
            "/api/v1/sign-out",
            "/x/../api/v1/me",
            "/ws",
            "/lobby\\..\\..\\evil.example",
            long.as_str(),
        ] {
            assert_eq!(next_path(hostile), None, "{hostile:?}");
        }
    }
}
