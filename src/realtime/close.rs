//! Close codes: every way in which the server ends a socket, apart from answering a close of the client with its own code.

/// A close code of docs/WIRE.md, which lists all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum CloseCode {
    /// The WebSocket protocol was broken (RFC 6455).
    Protocol = 1002,
    /// A text is not UTF-8 (RFC 6455).
    NotText = 1007,
    /// A frame is larger than allowed.
    TooLarge = 1009,
    /// The node stops.
    Restart = 1012,
    /// The node cannot serve the socket now.
    Busy = 1013,
    /// The client does not keep to the rules of the wire.
    BadFrame = 4400,
    SessionEnded = 4401,
    Banned = 4403,
    /// What was written to it was not taken in time, or a message did not come in time.
    TooSlow = 4408,
}

impl CloseCode {
    /// The number that goes over the wire.
    pub fn number(self) -> u16 {
        self as u16
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// The four digits that lines of a text hold after a mark.
    fn codes(text: &str, mark: &str) -> BTreeSet<u16> {
        let lines = text.lines().filter_map(|line| line.split_once(mark));
        lines.filter_map(|(_, rest)| rest.trim().trim_end_matches(',').parse().ok()).collect()
    }

    #[test]
    fn every_close_code_of_the_server_is_documented_and_no_other() {
        let source = include_str!("close.rs").split("#[cfg(test)]").next().unwrap();
        let sent = codes(source, " = ");
        assert_eq!(sent.len(), 9, "{sent:?}");
        let wire = include_str!("../../docs/WIRE.md");
        let table = wire.split("## Close codes").nth(1).unwrap().split("\n## ").next().unwrap();
        let cells = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
        let documented: BTreeSet<u16> =
            cells.flat_map(|cell| cell.split(", ")).filter_map(|code| code.parse().ok()).collect();
        // Said by a client, and answered with the same.
        let of_clients = BTreeSet::from([1000, 1001]);
        assert_eq!(documented, &sent | &of_clients);
    }
}
