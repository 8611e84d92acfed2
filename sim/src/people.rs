//! The file of visitors and rooms that `cargo xtask bench` makes.
use std::fs;

/// Visitors and rooms of a running site.
pub struct People {
    /// The origin of the site, like `http://127.0.0.1:8080`.
    pub origin: String,
    /// The cookie of each visitor.
    pub cookies: Vec<String>,
    /// The id of each room.
    pub rooms: Vec<String>,
}

impl People {
    /// Reads a file: the origin in the first line, then `V <cookie>` and `R <room id>`.
    ///
    /// # Panics
    /// If the file cannot be read or is empty.
    pub fn read(path: &str) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|why| panic!("{path}: {why}"));
        let origin = text.lines().next().unwrap_or_else(|| panic!("{path} is empty")).to_owned();
        let of = |mark: &str| text.lines().filter_map(|line| line.strip_prefix(mark).map(str::to_owned)).collect();
        Self { origin, cookies: of("V "), rooms: of("R ") }
    }
}
