//! The back-office: who sees it, and what its frame shows.
mod images;

use crate::testing::node;

#[tokio::test]
async fn a_guest_is_led_to_sign_in_and_back() {
    let node = node().await;
    let page = node.get("/admin").await;
    assert_eq!(page.status, 303);
    assert_eq!(page.headers["location"], "/signin?next=/admin");
}
