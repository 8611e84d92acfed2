//! What becomes of a file: its sizes, what is taken out of it, and which files are refused.
use std::time::{Duration, Instant};

use image::{DynamicImage, GenericImageView as _};

use super::{exif, jpeg, photo, png, png_chunk, png_of_zeros, transparent_png, with_segments};
use crate::media::limits::MAX_SIDE_PIXELS;
use crate::media::model::{Format, Refusal, Size};
use crate::media::process::{Encoded, Prepared, prepare};

fn refusal(file: &[u8]) -> Option<Refusal> {
    prepare(file).err()
}

fn of(prepared: &Prepared, size: Size) -> Option<&Encoded> {
    prepared.variants.iter().find(|variant| variant.size == size)
}

fn decoded(variant: &Encoded) -> DynamicImage {
    let picture = image::load_from_memory(&variant.bytes).unwrap();
    assert_eq!(picture.dimensions(), (variant.width, variant.height), "{:?}", variant.size);
    picture
}

fn sizes(prepared: &Prepared) -> Vec<(&'static str, u32, u32)> {
    prepared.variants.iter().map(|variant| (variant.size.name(), variant.width, variant.height)).collect()
}

#[test]
fn a_photo_is_stored_in_the_sizes_of_screens_and_never_larger() {
    let large = prepare(&jpeg(&photo(2_000, 1_500))).unwrap();
    assert_eq!((large.width, large.height), (2_000, 1_500));
    assert_eq!(
        sizes(&large),
        [("480", 480, 360), ("960", 960, 720), ("1600", 1_600, 1_200), ("thumb", 240, 180), ("social", 1_200, 630)]
    );
    for variant in &large.variants {
        decoded(variant);
    }
    assert_eq!(of(&large, Size::Social).unwrap().format, Format::Jpeg);
    let small = prepare(&png(&photo(700, 400))).unwrap();
    assert_eq!(sizes(&small), [("480", 480, 275), ("960", 700, 400), ("thumb", 240, 138), ("social", 700, 367)]);
    let tiny = prepare(&png(&photo(3, 900))).unwrap();
    assert_eq!(sizes(&tiny), [("480", 3, 900), ("thumb", 1, 240), ("social", 3, 1)]);
    let dot = prepare(&png(&photo(1, 1))).unwrap();
    assert_eq!(sizes(&dot), [("480", 1, 1), ("thumb", 1, 1), ("social", 1, 1)]);
}

#[test]
fn a_transparent_picture_stays_so_except_on_a_social_card() {
    let prepared = prepare(&transparent_png(600, 400)).unwrap();
    let shown = decoded(of(&prepared, Size::W480).unwrap());
    assert_eq!(shown.get_pixel(470, 10).0[3], 0);
    assert!(shown.get_pixel(10, 10).0[0] > 180 && shown.get_pixel(10, 10).0[3] == 255);
    let card = of(&prepared, Size::Social).unwrap();
    let corner = decoded(card).get_pixel(card.width - 5, 5).0;
    assert!(corner.iter().all(|channel| *channel > 245), "white: {corner:?}");
}

#[test]
fn a_photo_is_turned_as_its_camera_says() {
    // Red at the left of the sensor is at the top of the photo.
    let mut sensor = photo(600, 300);
    for (_, _, pixel) in sensor.enumerate_pixels_mut().filter(|(x, _, _)| *x < 300) {
        pixel.0 = [220, 10, 10];
    }
    let turned = prepare(&with_segments(&jpeg(&sensor), &[(0xe1, exif(6))])).unwrap();
    assert_eq!((turned.width, turned.height), (300, 600));
    let shown = decoded(of(&turned, Size::W480).unwrap());
    assert!(shown.get_pixel(150, 50).0[0] > 200 && shown.get_pixel(150, 50).0[1] < 40);
    let plain = prepare(&jpeg(&sensor)).unwrap();
    assert_ne!(plain.pixels_hash, turned.pixels_hash, "another picture for people");
}

#[test]
fn nothing_but_the_pixels_of_a_file_is_kept() {
    let secret = |name: &str| format!("{name} taken-at-home").into_bytes();
    let xmp = [b"http://ns.adobe.com/xap/1.0/\0".as_slice(), &secret("<x:xmpmeta>")].concat();
    let profile = [b"ICC_PROFILE\0\x01\x01".as_slice(), &secret("profile")].concat();
    let segments =
        [(0xe1, exif(1)), (0xe1, xmp), (0xe2, profile), (0xed, secret("Photoshop 3.0\0")), (0xfe, secret("comment"))];
    let mut polyglot = with_segments(&jpeg(&photo(1_300, 700)), &segments);
    polyglot.extend(b"PK\x03\x04<script>alert('taken-at-home')</script>");
    let mut with_text = png(&photo(800, 500));
    let end = with_text.split_off(33);
    png_chunk(&mut with_text, b"tEXt", &secret("Comment\0"));
    png_chunk(&mut with_text, b"eXIf", &exif(1)[6..]);
    with_text.extend(end);
    with_text.extend(b"taken-at-home");
    for file in [polyglot, with_text] {
        assert!(file.windows(13).any(|part| part == b"taken-at-home"), "the test itself");
        for variant in prepare(&file).unwrap().variants {
            let has = |text: &[u8]| variant.bytes.windows(text.len()).any(|part| part == text);
            for trace in
                [&b"taken-at-home"[..], b"Exif", b"EXIF", b"eXIf", b"ns.adobe", b"XMP ", b"ICC", b"<script", b"PK\x03"]
            {
                assert!(!has(trace), "{:?} has {}", variant.size, String::from_utf8_lossy(trace));
            }
        }
    }
}

#[test]
fn the_same_pixels_have_the_same_hash_whatever_is_around_them() {
    let plain = jpeg(&photo(300, 200));
    let around = with_segments(&plain, &[(0xe1, exif(1)), (0xfe, b"a comment".to_vec())]);
    assert_eq!(prepare(&plain).unwrap().pixels_hash, prepare(&around).unwrap().pixels_hash);
    assert_ne!(prepare(&plain).unwrap().pixels_hash, prepare(&jpeg(&photo(300, 201))).unwrap().pixels_hash);
}

#[test]
fn bombs_are_refused_by_their_header() {
    let began = Instant::now();
    // 10,000 by 10,000 pixels in 15 kB, and headers that promise much more.
    let bomb = png_of_zeros(10_000, 10_000, 10_000 * 1_251, &[]);
    assert!(bomb.len() < 100_000);
    assert_eq!(refusal(&bomb), Some(Refusal::TooManyPixels));
    for (width, height) in [(MAX_SIDE_PIXELS + 1, 1), (1, MAX_SIDE_PIXELS + 1), (i32::MAX as u32, i32::MAX as u32)] {
        assert_eq!(refusal(&png_of_zeros(width, height, 1_000, &[])), Some(Refusal::TooManyPixels), "{width}×{height}");
    }
    let mut huge = jpeg(&photo(16, 16));
    let start = huge.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    huge[start + 5..start + 9].copy_from_slice(&[0xff; 4]);
    assert_eq!(refusal(&huge), Some(Refusal::TooManyPixels));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[test]
fn a_text_in_a_png_that_inflates_to_much_costs_nothing() {
    let began = Instant::now();
    let text = [b"Comment\0\0".as_slice(), &super::deflated_zeros(512 * 1024 * 1024)].concat();
    let profile = [b"icc\0\0".as_slice(), &super::deflated_zeros(512 * 1024 * 1024)].concat();
    for (kind, chunk) in [(b"zTXt", text), (b"iCCP", profile)] {
        let file = png_of_zeros(64, 64, 64 * 9, &[(kind, chunk)]);
        // Whether the text is skipped or the file refused: no half gigabyte is made of it.
        assert!(matches!(prepare(&file), Ok(_) | Err(Refusal::Broken | Refusal::TooManyPixels)));
    }
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn incomplete_and_damaged_files_are_refused() {
    let photo = photo(400, 300);
    let complete = jpeg(&photo);
    for part in [complete.len() / 2, complete.len() - 2, 30] {
        assert_eq!(refusal(&complete[..part]), Some(Refusal::Broken), "{part} bytes of a JPEG");
    }
    // The end marker of a small picture in the metadata is not the end of the photo.
    let thumbnail = [b"Exif\0\0".as_slice(), &jpeg(&super::photo(8, 8))].concat();
    let with_thumbnail = with_segments(&complete, &[(0xe1, thumbnail)]);
    assert_eq!(refusal(&with_thumbnail), None);
    assert_eq!(refusal(&with_thumbnail[..with_thumbnail.len() / 2]), Some(Refusal::Broken));
    let png = png(&photo);
    assert_eq!(refusal(&png[..png.len() / 2]), Some(Refusal::Broken));
    let webp = webp::Encoder::from_rgb(&photo, 400, 300).encode(80.0).to_vec();
    assert_eq!(refusal(&webp), None);
    assert_eq!(refusal(&webp[..webp.len() / 2]), Some(Refusal::Broken));
    for file in
        [&b"\xff\xd8\xff"[..], b"\x89PNG\r\n\x1a\n", b"RIFF\xff\xff\xff\xffWEBPVP8 ", b"\xff\xd8\xff\xff\xff\xff\xff"]
    {
        assert_eq!(refusal(file), Some(Refusal::Broken), "{file:?}");
    }
}

#[test]
fn other_formats_are_refused_by_their_first_bytes() {
    let hidden = [b"<html><script>alert(1)</script>".as_slice(), &jpeg(&photo(20, 20))].concat();
    let files: [&[u8]; 9] = [
        b"GIF89a\x01\0\x01\0\0\0\0;",
        b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>",
        b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        b"\0\0\0\x1cftypavif\0\0\0\0",
        b"BM\x46\0\0\0",
        b"II*\0\x08\0\0\0",
        b"%PDF-1.7",
        &hidden,
        b"x",
    ];
    for file in files {
        assert_eq!(
            refusal(file),
            Some(Refusal::OtherFormat),
            "{}",
            String::from_utf8_lossy(&file[..4.min(file.len())])
        );
    }
}
