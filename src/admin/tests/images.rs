//! The pages of images, as an editor without JavaScript uses them.
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};

use crate::accounts::{Role, account};
use crate::media::tests::{jpeg, photo, send_form};
use crate::testing::{Answer, Guest, Node, node};

const KO: &str = "산 위의 <b>달</b>";

async fn open(node: &Node, who: &Guest, path: &str) -> Answer {
    let request = Request::get(path)
        .header(header::COOKIE, &who.cookie)
        .header(header::ACCEPT, "text/html")
        .header(header::ACCEPT_LANGUAGE, "ko");
    node.send(request.body(Body::empty()).unwrap()).await
}

/// Returns the token of a page's forms.
fn token(page: &Answer) -> String {
    page.text.split("name=\"token\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// Sends a form with its token. Returns where it leads to.
async fn submit(node: &Node, who: &Guest, path: &str, fields: &[(&str, &str)]) -> (StatusCode, String) {
    let token = token(&open(node, who, "/admin/images").await);
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("token", &token).extend_pairs(fields);
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::COOKIE, &who.cookie)
        .header(header::ORIGIN, node.origin())
        .header(header::ACCEPT_LANGUAGE, "ko")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = node.send(request.body(Body::from(form.finish())).unwrap()).await;
    let to = answer.headers.get(header::LOCATION).map(|to| to.to_str().unwrap().to_owned());
    (answer.status, to.unwrap_or(answer.text))
}

/// Uploads a photo by the form. Returns the path of its page.
async fn upload(node: &Node, who: &Guest, width: u32) -> String {
    let token = token(&open(node, who, "/admin/images").await);
    let fields = [("token", token.as_str()), ("alt_ko", KO), ("alt_en", "The moon above a hill")];
    let answer = send_form(node, Some(who), "/admin/images", &fields, Some(&jpeg(&photo(width, 400)))).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    answer.headers[header::LOCATION].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_editor_uploads_an_image_and_finds_it_again() {
    let node = node().await;
    let editor = account(&node, "jin", Role::Editor).await;
    assert!(open(&node, &editor, "/admin/images").await.text.contains("아직 올린 이미지가 없어요."));
    let path = upload(&node, &editor, 1_000).await;
    let page = open(&node, &editor, &path).await;
    assert!(page.text.contains("이미지를 저장했어요.") && page.text.contains("1000 × 400"), "{}", page.text);
    assert!(page.text.contains("&#60;b&#62;달") && !page.text.contains("<b>달"), "escaped");
    assert!(page.text.contains("srcset=\"/media/"));
    let found = open(&node, &editor, "/admin/images?q=MOON").await;
    assert!(found.text.contains(&path) && found.text.contains("/thumb\""));
    assert!(!open(&node, &editor, "/admin/images?q=sun").await.text.contains(&path));
}

#[tokio::test]
async fn a_refused_upload_keeps_the_texts_and_says_why() {
    let node = node().await;
    let editor = account(&node, "jin", Role::Editor).await;
    let token = token(&open(&node, &editor, "/admin/images").await);
    let fields = [("token", token.as_str()), ("alt_ko", KO), ("alt_en", "")];
    let send = async |fields: &[(&str, &str)], file: &[u8]| {
        send_form(&node, Some(&editor), "/admin/images", fields, Some(file)).await
    };
    let answer = send(&fields, &jpeg(&photo(40, 40))).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer.text.contains("href=\"#alt_en\"") && answer.text.contains("산 위의 &#60;b&#62;달"));
    let described = [fields[0], fields[1], ("alt_en", "The moon")];
    let other = send(&described, b"GIF89a").await;
    assert_eq!(other.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(other.text.contains("href=\"#file\"") && other.text.contains("The moon</textarea>"));
    // Without the token nothing is stored, and the file is not even decoded.
    let foreign = send(&described[1..], &jpeg(&photo(40, 40))).await;
    assert_eq!(foreign.status, StatusCode::BAD_REQUEST);
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM media_image").fetch_one(&node.app.db).await.unwrap();
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn texts_the_social_image_and_a_deletion_can_be_taken_back() {
    let node = node().await;
    let editor = account(&node, "jin", Role::Editor).await;
    let path = upload(&node, &editor, 600).await;
    let id = path.rsplit('/').next().unwrap().to_owned();
    let alt = [("alt_ko", "달"), ("alt_en", "Moon")];
    assert_eq!(submit(&node, &editor, &format!("{path}/alt"), &alt).await, (StatusCode::SEE_OTHER, path.clone()));
    let page = open(&node, &editor, &path).await.text;
    assert!(page.contains("name=\"alt_en\" value=\"The moon above a hill\""), "the undo has the earlier text: {page}");
    let (status, refused) = submit(&node, &editor, &format!("{path}/alt"), &[("alt_ko", "달"), ("alt_en", " ")]).await;
    assert!(status == StatusCode::UNPROCESSABLE_ENTITY && refused.contains("대체 텍스트를 적어 주세요."));

    let chosen = submit(&node, &editor, "/admin/images/social", &[("image", &id), ("shown", &id)]).await;
    assert_eq!(chosen, (StatusCode::SEE_OTHER, path.clone()));
    let setting: serde_json::Value = sqlx::query_scalar("SELECT value FROM site_setting WHERE key = 'social_image'")
        .fetch_one(&node.app.db)
        .await
        .unwrap();
    assert_eq!(setting, id.as_str());
    submit(&node, &editor, &format!("{path}/delete"), &[]).await;
    assert!(open(&node, &editor, &path).await.text.contains("쓰이고 있어서 지우지 않았어요."));
    submit(&node, &editor, "/admin/images/social", &[("image", ""), ("shown", &id)]).await;
    let page = open(&node, &editor, &path).await.text;
    assert!(page.contains(&format!("name=\"image\" value=\"{id}\"")), "the undo chooses it again");

    assert_eq!(submit(&node, &editor, &format!("{path}/delete"), &[]).await.1, "/admin/images");
    let list = open(&node, &editor, "/admin/images").await.text;
    assert!(list.contains(&format!("action=\"{path}/restore\"")) && !list.contains(&format!("href=\"{path}\"")));
    assert!(open(&node, &editor, "/admin/images?deleted=true").await.text.contains(&format!("href=\"{path}\"")));
    assert_eq!(submit(&node, &editor, &format!("{path}/restore"), &[]).await.1, path);
    assert_eq!(open(&node, &editor, &path).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_list_has_pages_and_is_for_editors() {
    let node = node().await;
    let editor = account(&node, "jin", Role::Editor).await;
    let path = upload(&node, &editor, 80).await;
    sqlx::query(
        "INSERT INTO media_image (owner_kind, pixels_hash, width, height, alt)
         SELECT 'site', sha256(n::text::bytea), 1, 1, '{\"ko\": \"점\", \"en\": \"dot\"}' FROM generate_series(1, 30) n",
    )
    .execute(&node.app.db)
    .await
    .unwrap();
    sqlx::query(
        "INSERT INTO media_variant (image_id, name, width, height, media_type, bytes, hash)
         SELECT id, 'thumb', 1, 1, 'image/png', 1, sha256('x') FROM media_image WHERE width = 1",
    )
    .execute(&node.app.db)
    .await
    .unwrap();
    let first = open(&node, &editor, "/admin/images").await.text;
    assert!(
        first.contains("모두 31개") && first.contains("1 / 2쪽") && first.contains("page=2") && !first.contains(&path)
    );
    assert!(open(&node, &editor, "/admin/images?page=2").await.text.contains(&path));
    for (handle, role) in [("a-member", Role::Member), ("a-moderator", Role::Moderator)] {
        let who = account(&node, handle, role).await;
        for path in ["/admin/images", &path] {
            assert_eq!(open(&node, &who, path).await.status, StatusCode::NOT_FOUND, "{handle}");
        }
    }
    let moderator = crate::accounts::sign_in(&node, "a-moderator").await.unwrap();
    assert!(!open(&node, &moderator, "/admin").await.text.contains("href=\"/admin/images\""), "no entry in the menu");
    assert!(open(&node, &editor, "/admin").await.text.contains("href=\"/admin/images\""));
}
