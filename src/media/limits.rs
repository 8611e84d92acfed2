//! The limits of images.
use std::time::Duration;

/// The largest file of an upload.
///
/// Beyond it: 413, `too_long`.
pub const MAX_UPLOAD_BYTES: usize = 12 * 1024 * 1024;
/// The most pixels of an upload: what the cameras of most phones make.
///
/// Beyond it: `bad_payload`.
pub const MAX_PIXELS: u64 = 40_000_000;
/// The longest side of an upload, in pixels.
///
/// Beyond it: `bad_payload`.
pub const MAX_SIDE_PIXELS: u32 = 10_000;
/// The memory that the decoder can take for one upload.
///
/// Beyond it: `bad_payload`.
pub const MAX_DECODER_BYTES: u64 = 256 * 1024 * 1024;
/// The uploads that a node decodes at the same time. Others wait.
pub const MAX_DECODERS: usize = 2;
/// How long an upload waits for a decoder.
///
/// Beyond it: `unavailable`.
pub const DECODER_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest text for people who do not see an image.
///
/// Beyond it: `too_long`.
pub const MAX_ALT_CHARS: usize = 300;
/// The longest text of a search for images.
///
/// Beyond it: the rest is ignored.
pub const MAX_IMAGE_SEARCH_CHARS: usize = 100;
/// The images on a page of the list.
pub const IMAGES_PER_PAGE: i64 = 24;
/// The most pages of the list.
pub const MAX_LIST_PAGES: i64 = 1_000;
/// How long a deleted image can be restored.
pub const DELETED_IMAGE_KEPT: time::Duration = time::Duration::days(30);
/// How long a node serves an image without asking whether it was deleted.
pub const IMAGE_RECHECK_AFTER: Duration = Duration::from_secs(10);
/// The most images about which a node remembers this.
pub const MAX_KNOWN_IMAGES: usize = 4_096;
