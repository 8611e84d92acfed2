//! Decodes an upload within limits and encodes its variants anew. Nothing of the file is kept but
//! its pixels: no metadata, no bytes after the picture. No input or output.
use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType as PngFilter, PngEncoder};
use image::imageops::FilterType;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader, Limits, Rgb, RgbImage};
use sha2::{Digest as _, Sha256};

use super::limits::{MAX_DECODER_BYTES, MAX_PIXELS, MAX_SIDE_PIXELS};
use super::model::{Format, Refusal, Size};

/// The sides of the square of [`Size::Thumb`], in pixels.
const THUMB_PIXELS: u32 = 240;
/// The size of a social card, in pixels: what the large services show without cutting.
const SOCIAL: (u32, u32) = (1_200, 630);
/// Of 100. Higher ones make larger files that look the same.
const WEBP_QUALITY: f32 = 80.0;
const JPEG_QUALITY: u8 = 84;

/// An upload that is ready to be stored.
pub(super) struct Prepared {
    /// SHA-256 of the pixels and of how they are turned.
    pub(super) pixels_hash: Vec<u8>,
    /// As people see the picture.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) variants: Vec<Encoded>,
}

/// One size of the picture, as a file.
pub(super) struct Encoded {
    pub(super) size: Size,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) format: Format,
    pub(super) bytes: Vec<u8>,
}

/// Decodes an upload and encodes all its sizes. Takes seconds and up to [`MAX_DECODER_BYTES`] for a
/// large one, so it belongs on a thread that may block.
///
/// # Errors
/// [`Refusal::OtherFormat`], [`Refusal::TooManyPixels`], [`Refusal::Broken`].
pub(super) fn prepare(bytes: &[u8]) -> Result<Prepared, Refusal> {
    let (picture, orientation) = decode(bytes)?;
    let mut hash = Sha256::new();
    hash.update(picture.width().to_le_bytes());
    hash.update(picture.height().to_le_bytes());
    hash.update([picture.color().channel_count(), picture.color().bits_per_pixel() as u8, orientation.to_exif()]);
    hash.update(picture.as_bytes());
    let turned = is_turned(orientation);
    let (width, height) =
        if turned { (picture.height(), picture.width()) } else { (picture.width(), picture.height()) };
    let largest = largest(picture, orientation, (width, height));
    Ok(Prepared { pixels_hash: hash.finalize().to_vec(), width, height, variants: variants(&largest)? })
}

/// Returns the format of a file by its first bytes. `None` for one that is not accepted.
fn format(bytes: &[u8]) -> Option<ImageFormat> {
    if bytes.starts_with(b"\xff\xd8\xff") {
        Some(ImageFormat::Jpeg)
    } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(ImageFormat::Png)
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Some(ImageFormat::WebP)
    } else {
        None
    }
}

fn decode(bytes: &[u8]) -> Result<(DynamicImage, Orientation), Refusal> {
    let format = format(bytes).ok_or(Refusal::OtherFormat)?;
    if format == ImageFormat::Jpeg && !is_complete_jpeg(bytes) {
        return Err(Refusal::Broken);
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE_PIXELS);
    limits.max_image_height = Some(MAX_SIDE_PIXELS);
    limits.max_alloc = Some(MAX_DECODER_BYTES);
    reader.limits(limits);
    let refusal = |why: ImageError| match why {
        ImageError::Limits(_) => Refusal::TooManyPixels,
        _ => Refusal::Broken,
    };
    let mut decoder = reader.into_decoder().map_err(refusal)?;
    // By the header, before any memory is taken for the pixels.
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 {
        return Err(Refusal::Broken);
    }
    let is_large = width > MAX_SIDE_PIXELS || height > MAX_SIDE_PIXELS;
    if is_large || u64::from(width) * u64::from(height) > MAX_PIXELS || decoder.total_bytes() > MAX_DECODER_BYTES {
        return Err(Refusal::TooManyPixels);
    }
    // Metadata that cannot be read turns nothing.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let picture = DynamicImage::from_decoder(decoder).map_err(refusal)?;
    Ok((picture, orientation))
}

/// Returns `true` if a JPEG has its end marker. The decoder fills what is missing with grey.
///
/// The segments are walked to the first scan, because a picture in the metadata has an end marker
/// too. In a scan, the bytes of the marker mean nothing else.
fn is_complete_jpeg(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    let mut at = 2;
    while let Some(&[mark, kind, high, low]) = bytes.get(at..at + 4) {
        if mark != 0xff {
            return false;
        }
        if kind == 0xff {
            at += 1; // A fill byte.
            continue;
        }
        if kind == START_OF_SCAN {
            return bytes[at..].windows(2).any(|pair| pair == [0xff, 0xd9]);
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    false
}

fn is_turned(orientation: Orientation) -> bool {
    matches!(
        orientation,
        Orientation::Rotate90 | Orientation::Rotate270 | Orientation::Rotate90FlipH | Orientation::Rotate270FlipH
    )
}

/// Returns the picture at the largest width of `srcset`, as people see it, with 8 bits a channel.
///
/// It is shrunk before it is turned, because turning makes a copy.
fn largest(picture: DynamicImage, orientation: Orientation, seen: (u32, u32)) -> DynamicImage {
    let (_, widest) = Size::WIDTHS[Size::WIDTHS.len() - 1];
    let (width, height) = scaled(seen, widest);
    let (width, height) = if is_turned(orientation) { (height, width) } else { (width, height) };
    let mut small = shrunk(&picture, width, height);
    drop(picture);
    small.apply_orientation(orientation);
    if small.has_alpha() {
        let with_alpha = small.into_rgba8();
        if with_alpha.pixels().any(|pixel| pixel.0[3] != u8::MAX) {
            return DynamicImage::ImageRgba8(with_alpha);
        }
        small = DynamicImage::ImageRgba8(with_alpha);
    }
    DynamicImage::ImageRgb8(small.into_rgb8())
}

/// Returns a size with at most this width and the same shape.
fn scaled((width, height): (u32, u32), most: u32) -> (u32, u32) {
    if width <= most {
        return (width, height);
    }
    let scaled = (u64::from(height) * u64::from(most)).div_ceil(u64::from(width));
    (most, u32::try_from(scaled).unwrap_or(height).max(1))
}

/// Shrinks a picture to an exact size. Never makes it larger.
fn shrunk(picture: &DynamicImage, width: u32, height: u32) -> DynamicImage {
    if (picture.width(), picture.height()) == (width, height) {
        return picture.clone();
    }
    // Much larger pictures are averaged to twice the size first, which is quick.
    if picture.width() > 3 * width && picture.height() > 3 * height {
        return picture.thumbnail_exact(2 * width, 2 * height).resize_exact(width, height, FilterType::CatmullRom);
    }
    picture.resize_exact(width, height, FilterType::CatmullRom)
}

fn variants(largest: &DynamicImage) -> Result<Vec<Encoded>, Refusal> {
    let seen = (largest.width(), largest.height());
    let mut encoded = Vec::new();
    let mut below = 0;
    for (size, most) in Size::WIDTHS {
        if seen.0 > below {
            let (width, height) = scaled(seen, most);
            encoded.push(smallest(size, &shrunk(largest, width, height))?);
        }
        below = most;
    }
    let by_height = u64::from(seen.0) * u64::from(THUMB_PIXELS) / u64::from(seen.1.max(1));
    let thumb = scaled(seen, THUMB_PIXELS.min(u32::try_from(by_height).unwrap_or(THUMB_PIXELS)).max(1));
    encoded.push(smallest(Size::Thumb, &shrunk(largest, thumb.0, thumb.1.min(THUMB_PIXELS)))?);
    encoded.push(social(largest)?);
    Ok(encoded)
}

/// Encodes a picture as WebP and in the format that fits it otherwise, and returns the smaller file.
fn smallest(size: Size, picture: &DynamicImage) -> Result<Encoded, Refusal> {
    let (width, height) = (picture.width(), picture.height());
    let (other, webp) = match picture {
        DynamicImage::ImageRgba8(pixels) => {
            (png(picture)?, webp::Encoder::from_rgba(pixels, width, height).encode_simple(false, WEBP_QUALITY))
        }
        _ => {
            let pixels = picture.to_rgb8();
            (jpeg(&pixels)?, webp::Encoder::from_rgb(&pixels, width, height).encode_simple(false, WEBP_QUALITY))
        }
    };
    let webp = webp.map(|file| (Format::WebP, file.to_vec())).ok().filter(|(_, file)| file.len() < other.1.len());
    let (format, bytes) = webp.unwrap_or(other);
    Ok(Encoded { size, width, height, format, bytes })
}

fn png(picture: &DynamicImage) -> Result<(Format, Vec<u8>), Refusal> {
    let mut file = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut file, CompressionType::Default, PngFilter::Adaptive);
    picture.write_with_encoder(encoder).map_err(|_| Refusal::Broken)?;
    Ok((Format::Png, file))
}

fn jpeg(picture: &RgbImage) -> Result<(Format, Vec<u8>), Refusal> {
    let mut file = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY);
    picture.write_with_encoder(encoder).map_err(|_| Refusal::Broken)?;
    Ok((Format::Jpeg, file))
}

/// Returns the middle of a picture in the shape of a social card, on white: not every service reads
/// WebP, and some show transparency black.
fn social(picture: &DynamicImage) -> Result<Encoded, Refusal> {
    let (width, height) = (u64::from(picture.width()), u64::from(picture.height()));
    let (card_width, card_height) = (u64::from(SOCIAL.0), u64::from(SOCIAL.1));
    let (cut_width, cut_height) = if width * card_height > height * card_width {
        ((height * card_width / card_height).max(1), height)
    } else {
        (width, (width * card_height / card_width).max(1))
    };
    let small = |pixels: u64| u32::try_from(pixels).unwrap_or(u32::MAX);
    let left = small((width - cut_width) / 2);
    let top = small((height - cut_height) / 2);
    let cut = picture.crop_imm(left, top, small(cut_width), small(cut_height));
    let card = if cut.width() > SOCIAL.0 { shrunk(&cut, SOCIAL.0, SOCIAL.1) } else { cut };
    let (format, bytes) = jpeg(&on_white(&card))?;
    Ok(Encoded { size: Size::Social, width: card.width(), height: card.height(), format, bytes })
}

fn on_white(picture: &DynamicImage) -> RgbImage {
    let DynamicImage::ImageRgba8(pixels) = picture else { return picture.to_rgb8() };
    let mixed = |channel: u8, alpha: u8| {
        let (channel, alpha) = (u16::from(channel), u16::from(alpha));
        u8::try_from((channel * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX)
    };
    RgbImage::from_fn(pixels.width(), pixels.height(), |x, y| {
        let [red, green, blue, alpha] = pixels.get_pixel(x, y).0;
        Rgb([mixed(red, alpha), mixed(green, alpha), mixed(blue, alpha)])
    })
}
