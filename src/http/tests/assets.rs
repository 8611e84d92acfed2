//! Tests of the build's manifest.
use crate::http::assets::parse_manifest;

#[test]
fn an_entry_has_the_stylesheets_of_all_its_imports_each_once() {
    let manifest = br#"{
        "src/landing/main.ts": {"file": "assets/landing-1.js", "isEntry": true, "imports": ["_a.js", "_b.js"], "css": ["assets/landing-1.css"]},
        "_a.js": {"file": "assets/a-1.js", "imports": ["_b.js"], "css": ["assets/a-1.css"]},
        "_b.js": {"file": "assets/b-1.js", "imports": ["_a.js"], "css": ["assets/b-1.css"]}
    }"#;
    let entries = parse_manifest(manifest);
    assert_eq!(entries.len(), 1);
    let landing = &entries["src/landing/main.ts"];
    assert_eq!(landing.script, "/assets/landing-1.js");
    assert_eq!(landing.stylesheets, ["/assets/b-1.css", "/assets/a-1.css", "/assets/landing-1.css"]);
    assert!(parse_manifest(b"no manifest").is_empty());
}
