//! Markdown of editors: what it becomes, and that nothing of it is active.
use super::markdown::{sanitize, to_html};

/// Hostile texts, one a line.
pub(super) const PAYLOADS: &str = include_str!("xss_payloads.txt");

/// A tag as a browser reads it: its name, and its attributes with their values.
#[derive(Debug, PartialEq)]
pub(super) struct Tag {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
}

/// Returns the tags of a text as a browser finds them: `<` and a letter begin one, and it ends with
/// a `>` outside of quotes.
pub(super) fn tags(html: &str) -> Vec<Tag> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            continue;
        }
        let name_end = rest.find(|c: char| c.is_whitespace() || c == '>' || c == '/').unwrap_or(rest.len());
        let name = rest[..name_end].to_ascii_lowercase();
        rest = &rest[name_end..];
        let mut attributes = Vec::new();
        loop {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
            if rest.is_empty() || rest.starts_with('>') {
                break;
            }
            let end =
                rest.find(|c: char| c.is_whitespace() || matches!(c, '=' | '>' | '/')).unwrap_or(rest.len()).max(1);
            let attribute = rest[..end].to_ascii_lowercase();
            rest = rest[end..].trim_start();
            let mut value = "";
            if let Some(after) = rest.strip_prefix('=') {
                rest = after.trim_start();
                let (quoted, skip) = match rest.chars().next() {
                    Some(quote @ ('"' | '\'')) => (rest[1..].find(quote).map_or(&rest[1..], |end| &rest[1..=end]), 2),
                    _ => (&rest[..rest.find(|c: char| c.is_whitespace() || c == '>').unwrap_or(rest.len())], 0),
                };
                value = quoted;
                rest = rest.get(quoted.len() + skip..).unwrap_or("");
            }
            attributes.push((attribute, value.to_owned()));
        }
        found.push(Tag { name, attributes });
    }
    found
}

/// Returns what is wrong with the HTML of a text. `None` if nothing of it is active.
pub(super) fn active_part(html: &str) -> Option<String> {
    const ELEMENTS: &str = " a blockquote br code em h3 h4 h5 hr img li ol p pre strong table tbody td th thead tr ul ";
    tags(html).into_iter().find_map(|tag| {
        let is_known = ELEMENTS.contains(&format!(" {} ", tag.name));
        let bad = tag.attributes.iter().find(|(name, value)| match (tag.name.as_str(), name.as_str()) {
            ("a", "href") => {
                let is_path = value.starts_with('#') || (value.starts_with('/') && !value.starts_with("//"));
                let schemes = ["http://", "https://", "mailto:"];
                value.contains('\\')
                    || !(is_path || schemes.iter().any(|scheme| value.to_lowercase().starts_with(scheme)))
            }
            ("a", "rel") => value != "noopener nofollow",
            ("a", "title") | ("img", "alt" | "sizes" | "loading" | "decoding") | ("ol", "start") => false,
            ("img", "src" | "srcset") => !value.starts_with("/media/"),
            _ => true,
        });
        (!is_known || bad.is_some()).then(|| format!("{tag:?}"))
    })
}

#[test]
fn the_reader_of_tags_sees_what_a_browser_sees() {
    for (html, expected) in [
        ("a < b <3", ""),
        ("<img/src=x/onerror=alert(1)>", "img src"),
        ("<img/src='x'/onerror=alert(1)>", "img src onerror"),
        ("<a href='x>y' onclick=z>", "a href onclick"),
        ("<IMG \"\"\" SRC = x>", "img \"\"\" src"),
        ("<p>x</p><b", "p b"),
    ] {
        let names = tags(html).into_iter().map(|tag| {
            let attributes: String = tag.attributes.iter().map(|(name, _)| format!(" {name}")).collect();
            tag.name + &attributes
        });
        assert_eq!(names.collect::<Vec<_>>().join(" "), expected, "{html}");
    }
    assert!(active_part("<p onclick=x>").is_some() && active_part("<a href=\" javascript:x\">").is_some());
    assert!(active_part("<script>").is_some() && active_part("<img src=https://x>").is_some());
}

#[test]
fn markdown_becomes_the_elements_of_prose() {
    let id = "3f2c1c8e-9f1e-4b1a-8f6e-1c2d3e4f5a6b";
    for (text, html) in [
        ("하나\n\n- 둘\n- 셋", "<p>하나</p>\n<ul>\n<li>둘</li>\n<li>셋</li>\n</ul>\n"),
        ("# 큰 제목\n\n### 작은 제목", "<h3>큰 제목</h3>\n<h4>작은 제목</h4>\n"),
        ("10~20 & <b>굵게</b>", "<p>10~20 &amp; &lt;b&gt;굵게&lt;/b&gt;</p>\n"),
        ("**a** *b* `c`", "<p><strong>a</strong> <em>b</em> <code>c</code></p>\n"),
        ("[규칙](/ko/rules)", "<p><a href=\"/ko/rules\" rel=\"noopener nofollow\">규칙</a></p>\n"),
        ("[x](ftp://a.example) [y](//b.example)", "<p>x y</p>\n"),
        ("![남은 글](https://a.example/b.png)", "<p>남은 글</p>\n"),
        ("", ""),
    ] {
        assert_eq!(to_html(text), html, "{text}");
    }
    let image = to_html(&format!("![여우 \"한 마리\"](media:{id})"));
    assert!(image.contains(&format!("src=\"/media/{id}/960\"")) && image.contains("/480 480w"), "{image}");
    assert!(image.contains("alt=\"여우 &quot;한 마리&quot;\"") && image.contains("loading=\"lazy\""), "{image}");
    let mail = to_html("[메일](mailto:a@example.org) <https://example.org>");
    assert!(mail.contains("href=\"mailto:a@example.org\"") && mail.contains("href=\"https://example.org\""), "{mail}");
}

#[test]
fn nothing_that_an_editor_writes_is_active() {
    assert!(PAYLOADS.lines().count() >= 150);
    for payload in PAYLOADS.lines() {
        for text in [
            payload.to_owned(),
            format!("x {payload} y"),
            format!("- {payload}\n\n{payload}"),
            format!("[a]: {payload}\n[a]"),
        ] {
            let html = to_html(&text);
            assert_eq!(active_part(&html), None, "{text}\n{html}");
            assert_eq!(sanitize(&html), html, "cleaning again changes nothing: {text}");
        }
    }
    // Without the first wall, the second one holds alone.
    for payload in PAYLOADS.lines() {
        let html = sanitize(payload);
        assert_eq!(active_part(&html), None, "{payload}\n{html}");
        assert_eq!(sanitize(&html), html, "{payload}");
    }
}
