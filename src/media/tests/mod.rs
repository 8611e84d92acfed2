//! Images: files of every kind over the real router and Postgres, on one node and on two.
mod api;
mod files;
mod serving;

use std::io::{Cursor, Write as _};

use axum::body::Body;
use axum::http::{Method, Request, header};
use image::codecs::jpeg::JpegEncoder;
use image::{ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use crate::testing::{Answer, Guest, Node};

/// A photo-like picture: a gradient with some noise, which is the same each time.
pub(crate) fn photo(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let noise = (x.wrapping_mul(7_919) ^ y.wrapping_mul(104_729)) % 13;
        Rgb([(x * 255 / width + noise) as u8, (y * 255 / height) as u8, ((x + y) % 256) as u8])
    })
}

pub(crate) fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut file = Vec::new();
    picture.write_with_encoder(JpegEncoder::new_with_quality(&mut file, 90)).unwrap();
    file
}

fn png(picture: &RgbImage) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// A picture with a hole in it.
fn transparent_png(width: u32, height: u32) -> Vec<u8> {
    let picture =
        RgbaImage::from_fn(
            width,
            height,
            |x, _| {
                if x < width / 2 { Rgba([200, 30, 30, 255]) } else { Rgba([0, 0, 0, 0]) }
            },
        );
    let mut file = Cursor::new(Vec::new());
    picture.write_to(&mut file, ImageFormat::Png).unwrap();
    file.into_inner()
}

/// Adds segments right after the start marker of a JPEG, each a marker and its contents.
fn with_segments(jpeg: &[u8], segments: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut file = jpeg[..2].to_vec();
    for (marker, contents) in segments {
        file.extend([0xff, *marker]);
        file.extend(u16::try_from(contents.len() + 2).unwrap().to_be_bytes());
        file.extend(contents);
    }
    file.extend(&jpeg[2..]);
    file
}

/// Exif with an orientation and the position where the photo was taken.
fn exif(orientation: u16) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x02".to_vec();
    exif.extend([0x01, 0x12, 0, 3, 0, 0, 0, 1]);
    exif.extend(orientation.to_be_bytes());
    exif.extend([0, 0]);
    // The directory of GPS, whose contents follow.
    exif.extend([0x88, 0x25, 0, 4, 0, 0, 0, 1, 0, 0, 0, 38]);
    exif.extend([0, 0, 0, 0]);
    exif.extend(b"GPS 37.5665N 126.9780E taken-at-home");
    exif
}

fn png_chunk(file: &mut Vec<u8>, kind: &[u8; 4], contents: &[u8]) {
    file.extend(u32::try_from(contents.len()).unwrap().to_be_bytes());
    let mut checked = flate2::Crc::new();
    checked.update(kind);
    checked.update(contents);
    file.extend(kind);
    file.extend(contents);
    file.extend(checked.sum().to_be_bytes());
}

/// A PNG of one bit a pixel with zeros of some length in its data, and other chunks before it.
fn png_of_zeros(width: u32, height: u32, zeros: usize, before: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([1, 0, 0, 0, 0]);
    png_chunk(&mut file, b"IHDR", &header);
    for (kind, contents) in before {
        png_chunk(&mut file, kind, contents);
    }
    png_chunk(&mut file, b"IDAT", &deflated_zeros(zeros));
    png_chunk(&mut file, b"IEND", &[]);
    file
}

fn deflated_zeros(zeros: usize) -> Vec<u8> {
    let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let block = vec![0; 1024 * 1024];
    for at in (0..zeros).step_by(block.len()) {
        deflate.write_all(&block[..block.len().min(zeros - at)]).unwrap();
    }
    deflate.finish().unwrap()
}

/// Sends a form of fields and a file as a browser does. A field without a name is left out.
pub(crate) async fn send_form(
    node: &Node,
    who: Option<&Guest>,
    path: &str,
    fields: &[(&str, &str)],
    file: Option<&[u8]>,
) -> Answer {
    const BOUNDARY: &str = "----maju-test-boundary";
    let mut body = Vec::new();
    for (name, value) in fields {
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(head.as_bytes());
    }
    if let Some(file) = file {
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jpg\"\r\n\
             Content-Type: image/jpeg\r\n\r\n"
        );
        body.extend(head.as_bytes());
        body.extend(file);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").as_bytes());
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::ORIGIN, node.origin())
        .header(header::CONTENT_TYPE, format!("multipart/form-data; boundary={BOUNDARY}"));
    if let Some(who) = who {
        request = request.header(header::COOKIE, &who.cookie);
    }
    node.send(request.body(Body::from(body)).unwrap()).await
}

const TEXTS: [(&str, &str); 2] = [("alt_ko", "마주 앉은 두 사람"), ("alt_en", "Two people face to face")];

/// Uploads a file with texts in both languages.
async fn upload(node: &Node, who: &Guest, file: &[u8]) -> Answer {
    send_form(node, Some(who), "/api/v1/admin/media", &TEXTS, Some(file)).await
}
