//! Tests of the pages, by a browser without JavaScript over the real router and Postgres.
mod browser;
mod guards;
mod looks;
mod staff;
mod walks;

use crate::testing::Node;

/// The password of every account here.
const PASSWORD: &str = "correct horse battery";
const OTHER_PASSWORD: &str = "staple orbit lantern";

/// Gives an account another role, as `maju admin role` does.
async fn make_staff(node: &Node, handle: &str, role: &str) {
    sqlx::query("UPDATE account SET role = $2, session_epoch = session_epoch + 1 WHERE handle = $1")
        .bind(handle)
        .bind(role)
        .execute(&node.app.db)
        .await
        .unwrap();
}

/// Returns the code of a secret in base 32 that an app shows now, or after `later` steps of 30 s.
fn totp_code(node: &Node, secret: &str, later: u64) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    let now = node.app.clock.now().unix_timestamp().unsigned_abs();
    totp.generate(now + 30 * later).to_string()
}
