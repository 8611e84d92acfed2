//! Receiving: from a message of the client to a frame that can be handled.
use super::close_reason::CloseReason;
use super::codec::{self, Decoded};
use super::connection::Connection;
use super::frames::{self, ClientFrame, ParsedFrame};
use super::stream::{FrameStream, ReadError};
use crate::error::{Error, Result};
use crate::faults::{self, Fault};
use crate::http::{Bucket, Key};
use crate::realtime::CloseCode;

/// What was received from the client.
pub(super) enum Received {
    /// A frame with an id.
    Frame(ParsedFrame),
    /// A message without a usable id.
    Unreadable,
    /// A control frame or a fragment, which is already dealt with.
    Nothing,
}

impl Connection {
    /// Counts and parses what was decoded, and answers pings.
    ///
    /// # Errors
    /// [`CloseReason`] if the client closed, violated the protocol or sends too many frames.
    pub(super) async fn receive(&mut self, decoded: Result<Decoded, ReadError>) -> Result<Received, CloseReason> {
        let decoded = match decoded? {
            Decoded::Close(_) if faults::on(Fault::CloseNotAnswered) => return Err(CloseReason::ConnectionLost),
            Decoded::Close(code) => return Err(CloseReason::ByClient(code)),
            decoded => decoded,
        };
        let limit = self.count_frame()?;
        match decoded {
            Decoded::Text => {
                let text = self.stream.as_ref().map_or(Ok(""), FrameStream::text)?;
                let parsed = match limit {
                    FrameLimit::Passed => frames::parse(text),
                    FrameLimit::Refused(why) => frames::parse_refused(text, why),
                };
                Ok(parsed.map_or(Received::Unreadable, Received::Frame))
            }
            // No frame of ours is binary.
            Decoded::Binary => Ok(Received::Unreadable),
            Decoded::Ping(payload) if matches!(limit, FrameLimit::Passed) => {
                self.write([codec::pong(&payload)]).await.map(|()| Received::Nothing)
            }
            Decoded::Ping(_) | Decoded::Pong | Decoded::Fragment | Decoded::Close(_) => Ok(Received::Nothing),
        }
    }

    /// Counts a frame of any kind, also control frames and fragments.
    ///
    /// # Errors
    /// [`CloseReason`] if the client keeps sending above the limit.
    fn count_frame(&mut self) -> Result<FrameLimit, CloseReason> {
        let visitor = Key::Visitor(self.who.id);
        let Err(why) = self.app.limits.take(Bucket::Frames, visitor) else {
            let prefix = self.app.limits.take(Bucket::PrefixFrames, Key::Prefix(self.prefix));
            return Ok(prefix.map_or_else(FrameLimit::Refused, |()| FrameLimit::Passed));
        };
        let is_too_much = self.refused.record() || self.app.limits.take(Bucket::ExcessFrames, visitor).is_err();
        if is_too_much && !faults::on(Fault::ExcessForgiven) {
            return Err(CloseReason::by_server(CloseCode::BadFrame, "too many frames"));
        }
        Ok(FrameLimit::Refused(why))
    }

    /// Checks that a frame could be parsed and that `hello` comes first and once.
    ///
    /// # Errors
    /// `bad_frame`, and whatever the frame was refused with before.
    pub(super) fn admit(&self, frame: Result<ClientFrame>) -> Result<ClientFrame> {
        let frame = frame?;
        match (&frame, self.has_said_hello) {
            (ClientFrame::Hello { .. }, true) => Err(Error::bad_frame("This socket has already sent its hello.")),
            (ClientFrame::Hello { .. }, false) | (_, true) => Ok(frame),
            (_, false) => Err(Error::bad_frame("Send hello first.")),
        }
    }
}

/// Whether a frame is within the rate limits.
enum FrameLimit {
    Passed,
    /// The frame is refused with this error.
    Refused(Error),
}
