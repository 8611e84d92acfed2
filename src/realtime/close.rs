//! Close codes: every code with which the server closes a socket. A close of the client is answered
//! with the client's own code.

/// A close code. docs/WIRE.md lists all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum CloseCode {
    /// The client violated the WebSocket protocol (RFC 6455).
    Protocol = 1002,
    /// A text message is not valid UTF-8 (RFC 6455).
    NotText = 1007,
    /// A message is larger than allowed.
    TooLarge = 1009,
    /// The node is stopping.
    Restart = 1012,
    /// The node cannot serve the socket now.
    Busy = 1013,
    /// The client violated the rules of docs/WIRE.md.
    BadFrame = 4400,
    /// The visitor's session has ended.
    SessionEnded = 4401,
    /// The visitor is banned.
    Banned = 4403,
    /// The visitor signed in on another device.
    SignedInElsewhere = 4409,
    /// The client did not read, or did not complete a message, before the deadline.
    TooSlow = 4408,
}

impl CloseCode {
    /// Returns the number that is sent on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// Returns the numbers that follow `mark` in the lines of a text.
    fn codes(text: &str, mark: &str) -> BTreeSet<u16> {
        let lines = text.lines().filter_map(|line| line.split_once(mark));
        lines.filter_map(|(_, rest)| rest.trim().trim_end_matches(',').parse().ok()).collect()
    }

    #[test]
    fn every_close_code_of_the_server_is_documented_and_no_other() {
        let source = include_str!("close.rs").split("#[cfg(test)]").next().unwrap();
        let sent = codes(source, " = ");
        assert_eq!(sent.len(), 10, "{sent:?}");
        let wire = include_str!("../../docs/WIRE.md");
        let table = wire.split("## Close codes").nth(1).unwrap().split("\n## ").next().unwrap();
        let cells = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
        let documented: BTreeSet<u16> =
            cells.flat_map(|cell| cell.split(", ")).filter_map(|code| code.parse().ok()).collect();
        // Sent by clients and answered with the same code.
        let of_clients = BTreeSet::from([1000, 1001]);
        assert_eq!(documented, &sent | &of_clients);
    }
}
