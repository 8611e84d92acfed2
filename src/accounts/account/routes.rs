//! What the owner of an account does over HTTP: the routes under `/account`.
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use tower_sessions::Session;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Profile, Reset};
use crate::accounts::{AccountView, Locale, Visitor, secret};
use crate::app::App;
use crate::clock::format_timestamp;
use crate::error::{Problem, Result};
use crate::http::{ClientIp, Json};

/// Returns the routes under `/account`.
pub(in crate::accounts) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(change_password))
        .routes(routes!(begin_totp, remove_totp))
        .routes(routes!(confirm_totp))
        .routes(routes!(renew_recovery_codes))
        .routes(routes!(set_pin, remove_pin))
        .routes(routes!(change_email))
        .routes(routes!(verify_email))
        .routes(routes!(ask_for_reset))
        .routes(routes!(reset))
        .routes(routes!(delete))
        .routes(routes!(undo_deletion))
        .routes(routes!(export))
}

/// Your account.
#[derive(Serialize, utoipa::ToSchema)]
struct AccountDetails {
    account: AccountView,
    email: Option<String>,
    email_verified: bool,
    /// An address that waits for its link to be followed.
    pending_email: Option<String>,
    /// Whether one-time codes are in use.
    totp: bool,
    /// Whether your role needs them.
    totp_required: bool,
    /// Recovery codes that were not used yet.
    recovery_codes: i64,
    pin: bool,
    created_at: String,
    /// When the account will be deleted. Null unless you have asked for it.
    delete_after: Option<String>,
}

impl From<Profile> for AccountDetails {
    fn from(profile: Profile) -> Self {
        Self {
            account: profile.account.into(),
            email: profile.email,
            email_verified: profile.email_verified,
            pending_email: profile.pending_email,
            totp: profile.totp,
            totp_required: profile.totp_required,
            recovery_codes: profile.recovery_codes,
            pin: profile.pin,
            created_at: format_timestamp(profile.created_at),
            delete_after: profile.delete_after.map(format_timestamp),
        }
    }
}

/// Returns your account.
#[utoipa::path(get, path = "/account", responses((status = 200, body = AccountDetails), (status = 401, body = Problem)))]
async fn show(State(app): State<App>, who: Visitor) -> Result<Json<AccountDetails>> {
    Ok(Json(super::profile(&app, &who).await?.into()))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordChange {
    #[serde(deserialize_with = "secret::required")]
    #[schema(value_type = String, format = Password)]
    current: SecretString,
    /// 8 to 128 characters, not easy to guess.
    #[serde(deserialize_with = "secret::required")]
    #[schema(value_type = String, format = Password)]
    new: SecretString,
}

/// Replaces the password. Every other session ends at once, and yours gets a new cookie.
#[utoipa::path(post, path = "/account/password", request_body = PasswordChange,
    responses((status = 204), (status = 401, body = Problem)))]
async fn change_password(
    State(app): State<App>,
    who: Visitor,
    address: ClientIp,
    session: Session,
    headers: HeaderMap,
    Json(PasswordChange { current, new }): Json<PasswordChange>,
) -> Result<StatusCode> {
    let locale = Locale::of(&headers);
    super::change_password(&app, &who, &session, address.prefix(), &current, &new, locale).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The secret of a second factor that is not in use yet.
#[derive(Serialize, utoipa::ToSchema)]
struct Enrolment {
    /// In base 32, without spaces.
    secret: String,
    otpauth_url: String,
}

/// Draws the secret of new one-time codes. They are in use once their first code is confirmed.
#[utoipa::path(post, path = "/account/totp", responses((status = 200, body = Enrolment), (status = 409, body = Problem)))]
async fn begin_totp(State(app): State<App>, who: Visitor) -> Result<Json<Enrolment>> {
    let enrolment = super::begin_totp(&app, &who).await?;
    let shown = |text: &SecretString| text.expose_secret().to_owned();
    Ok(Json(Enrolment { secret: shown(&enrolment.secret), otpauth_url: shown(&enrolment.url) }))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Code {
    #[serde(deserialize_with = "secret::required")]
    #[schema(value_type = String, format = Password)]
    code: SecretString,
}

/// Codes that stand in for one-time codes. Each works once.
#[derive(Serialize, utoipa::ToSchema)]
struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

impl RecoveryCodes {
    fn new(codes: &[SecretString]) -> Self {
        Self { recovery_codes: codes.iter().map(|code| code.expose_secret().to_owned()).collect() }
    }
}

/// Puts one-time codes into use with their first code. The recovery codes are shown once.
#[utoipa::path(post, path = "/account/totp/confirm", request_body = Code,
    responses((status = 200, body = RecoveryCodes), (status = 401, body = Problem), (status = 409, body = Problem)))]
async fn confirm_totp(
    State(app): State<App>,
    who: Visitor,
    address: ClientIp,
    Json(Code { code }): Json<Code>,
) -> Result<Json<RecoveryCodes>> {
    let codes = super::confirm_totp(&app, &who, address.prefix(), &code).await?;
    Ok(Json(RecoveryCodes::new(&codes)))
}

/// The password, again.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Confirmed {
    #[serde(deserialize_with = "secret::required")]
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// Takes one-time codes out of use. Staff cannot.
#[utoipa::path(delete, path = "/account/totp", request_body = Confirmed,
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn remove_totp(
    State(app): State<App>,
    who: Visitor,
    address: ClientIp,
    Json(Confirmed { password }): Json<Confirmed>,
) -> Result<StatusCode> {
    super::remove_totp(&app, &who, address.prefix(), &password).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Replaces all recovery codes. The new ones are shown once.
#[utoipa::path(post, path = "/account/recovery-codes", request_body = Confirmed,
    responses((status = 200, body = RecoveryCodes), (status = 401, body = Problem), (status = 409, body = Problem)))]
async fn renew_recovery_codes(
    State(app): State<App>,
    who: Visitor,
    address: ClientIp,
    Json(Confirmed { password }): Json<Confirmed>,
) -> Result<Json<RecoveryCodes>> {
    let codes = super::new_recovery_codes(&app, &who, address.prefix(), &password).await?;
    Ok(Json(RecoveryCodes::new(&codes)))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPin {
    /// Six digits.
    #[serde(deserialize_with = "secret::required")]
    #[schema(value_type = String, format = Password)]
    pin: SecretString,
    #[serde(deserialize_with = "secret::required")]
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// Sets the PIN that sign-in asks for.
#[utoipa::path(post, path = "/account/pin", request_body = NewPin, responses((status = 204), (status = 401, body = Problem)))]
async fn set_pin(
    State(app): State<App>,
    who: Visitor,
    address: ClientIp,
    Json(NewPin { pin, password }): Json<NewPin>,
) -> Result<StatusCode> {
    super::set_pin(&app, &who, address.prefix(), &password, Some(&pin)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes the PIN.
#[utoipa::path(delete, path = "/account/pin", request_body = Confirmed, responses((status = 204), (status = 401, body = Problem)))]
async fn remove_pin(
    State(app): State<App>,
    who: Visitor,
    address: ClientIp,
    Json(Confirmed { password }): Json<Confirmed>,
) -> Result<StatusCode> {
    super::set_pin(&app, &who, address.prefix(), &password, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewEmail {
    /// Null removes the address.
    email: Option<String>,
    #[serde(deserialize_with = "secret::required")]
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// Changes or removes your mail address. A new one is in use once its link is followed.
#[utoipa::path(post, path = "/account/email", request_body = NewEmail, responses((status = 204), (status = 401, body = Problem)))]
async fn change_email(
    State(app): State<App>,
    who: Visitor,
    address: ClientIp,
    headers: HeaderMap,
    Json(NewEmail { email, password }): Json<NewEmail>,
) -> Result<StatusCode> {
    let locale = Locale::of(&headers);
    super::change_email(&app, &who, address.prefix(), &password, email.as_deref(), locale).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The token of a link in a mail.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Token {
    #[serde(deserialize_with = "secret::required")]
    #[schema(value_type = String, format = Password)]
    token: SecretString,
}

/// Confirms an address with the token of the link in the mail. It needs no session.
#[utoipa::path(post, path = "/account/email/verify", tag = "site", request_body = Token, responses((status = 204),
    (status = 401, body = Problem), (status = 403, body = Problem), (status = 409, body = Problem)))]
async fn verify_email(
    State(app): State<App>,
    address: ClientIp,
    headers: HeaderMap,
    Json(Token { token }): Json<Token>,
) -> Result<StatusCode> {
    super::verify_email(&app, address.prefix(), &token, Locale::of(&headers)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct Forgotten {
    email: String,
}

/// How the password can be replaced.
#[derive(Serialize, utoipa::ToSchema)]
struct ResetAnswer {
    /// `mail`: if the address is a confirmed one, a link is on its way. `administrator`: this site
    /// sends no mails, so only an administrator can help.
    by: &'static str,
}

/// Asks for a link to a new password. The answer is the same whether the address is known or not.
#[utoipa::path(post, path = "/account/reset", tag = "site", request_body = Forgotten,
    responses((status = 202, body = ResetAnswer), (status = 403, body = Problem)))]
async fn ask_for_reset(
    State(app): State<App>,
    address: ClientIp,
    headers: HeaderMap,
    Json(Forgotten { email }): Json<Forgotten>,
) -> Result<(StatusCode, Json<ResetAnswer>)> {
    let by = match super::ask_for_reset(&app, address.prefix(), &email, Locale::of(&headers))? {
        Reset::ByMail => "mail",
        Reset::ByAdministrator => "administrator",
    };
    Ok((StatusCode::ACCEPTED, Json(ResetAnswer { by })))
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    #[serde(deserialize_with = "secret::required")]
    #[schema(value_type = String, format = Password)]
    token: SecretString,
    /// 8 to 128 characters, not easy to guess.
    #[serde(deserialize_with = "secret::required")]
    #[schema(value_type = String, format = Password)]
    password: SecretString,
}

/// Sets a new password with the token of the link in the mail. All sessions end, and you sign in
/// with it.
#[utoipa::path(post, path = "/account/reset/confirm", tag = "site", request_body = NewPassword,
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem)))]
async fn reset(
    State(app): State<App>,
    address: ClientIp,
    headers: HeaderMap,
    Json(NewPassword { token, password }): Json<NewPassword>,
) -> Result<StatusCode> {
    super::reset_password(&app, address.prefix(), &token, &password, Locale::of(&headers)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// When the account will be deleted.
#[derive(Serialize, utoipa::ToSchema)]
struct Deletion {
    delete_after: String,
}

/// Deletes your account in 14 days. Its sessions end now; sign in again to take it back.
#[utoipa::path(post, path = "/account/delete", request_body = Confirmed,
    responses((status = 200, body = Deletion), (status = 401, body = Problem)))]
async fn delete(
    State(app): State<App>,
    who: Visitor,
    address: ClientIp,
    Json(Confirmed { password }): Json<Confirmed>,
) -> Result<Json<Deletion>> {
    let at = super::delete_account(&app, &who, address.prefix(), &password).await?;
    Ok(Json(Deletion { delete_after: format_timestamp(at) }))
}

/// Takes the deletion of your account back.
#[utoipa::path(post, path = "/account/delete/undo", responses((status = 204), (status = 401, body = Problem), (status = 404, body = Problem)))]
async fn undo_deletion(State(app): State<App>, who: Visitor) -> Result<StatusCode> {
    super::undo_deletion(&app, &who).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Downloads all your data: profile, sessions, rooms, blocks, reports and messages.
#[utoipa::path(get, path = "/account/export",
    responses((status = 200, description = "One JSON object, sent while it is read."), (status = 401, body = Problem)))]
async fn export(State(app): State<App>, who: Visitor) -> Result<Response> {
    let body = super::export(&app, &who).await?;
    let name = super::require_account(&who)?.handle.clone();
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        // A handle has no character that needs quotes.
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"maju-{name}.json\"")),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, body).into_response())
}
