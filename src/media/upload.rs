//! Reads the form of an upload (`multipart/form-data`): its fields first, then the file.
use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::Multipart;
use axum::extract::multipart::Field;
use axum::http::StatusCode;

use super::limits::MAX_UPLOAD_BYTES;
use super::model::Refusal;

/// The most fields of a form, the file included.
const MAX_FIELDS: usize = 16;
/// Bytes of a field that is not the file.
const MAX_FIELD_BYTES: usize = 8 * 1024;

/// The form of an upload.
#[derive(Debug, Default)]
pub struct Upload {
    pub fields: BTreeMap<String, String>,
    pub file: Bytes,
}

impl Upload {
    /// Reads a form to its end, so that its sender gets the answer. The file is discarded unless
    /// `accept` returns `true` for the fields before it, such as a form's token.
    ///
    /// Returns the fields also if the file is refused, so that the form can be shown again.
    ///
    /// # Errors
    /// [`Refusal::BadForm`], [`Refusal::TooLarge`], [`Refusal::FileMissing`].
    pub async fn read(
        mut form: Multipart,
        accept: impl Fn(&BTreeMap<String, String>) -> bool,
    ) -> (BTreeMap<String, String>, Result<Self, Refusal>) {
        let (mut fields, mut file) = (BTreeMap::new(), Err(Refusal::FileMissing));
        for _ in 0..MAX_FIELDS {
            let mut field = match form.next_field().await {
                Ok(Some(field)) => field,
                Ok(None) => {
                    let upload = file.map(|file| Self { fields: fields.clone(), file });
                    return (fields, upload);
                }
                Err(why) if why.status() == StatusCode::PAYLOAD_TOO_LARGE => return (fields, Err(Refusal::TooLarge)),
                Err(_) => return (fields, Err(Refusal::BadForm)),
            };
            let name = field.name().unwrap_or_default().to_owned();
            if name == "file" {
                let most = if accept(&fields) { MAX_UPLOAD_BYTES } else { 0 };
                file = match bytes(&mut field, most).await {
                    Ok(bytes) if bytes.is_empty() => Err(Refusal::FileMissing),
                    Ok(bytes) => Ok(bytes),
                    Err(refusal) => Err(refusal),
                };
            } else {
                let text = bytes(&mut field, MAX_FIELD_BYTES).await.ok();
                match text.and_then(|text| String::from_utf8(text.to_vec()).ok()) {
                    Some(text) => drop(fields.insert(name, text)),
                    None => return (fields, Err(Refusal::BadForm)),
                }
            }
        }
        (fields, Err(Refusal::BadForm))
    }
}

/// Reads a field to its end and keeps at most `most` bytes of it.
async fn bytes(field: &mut Field<'_>, most: usize) -> Result<Bytes, Refusal> {
    let (mut kept, mut is_larger) = (Vec::new(), false);
    loop {
        match field.chunk().await {
            Ok(Some(chunk)) if kept.len() + chunk.len() <= most && !is_larger => kept.extend_from_slice(&chunk),
            Ok(Some(_)) => (kept, is_larger) = (Vec::new(), true),
            Ok(None) if is_larger => return Err(Refusal::TooLarge),
            Ok(None) => return Ok(kept.into()),
            Err(why) if why.status() == StatusCode::PAYLOAD_TOO_LARGE => return Err(Refusal::TooLarge),
            Err(_) => return Err(Refusal::BadForm),
        }
    }
}
