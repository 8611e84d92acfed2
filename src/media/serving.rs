//! Serves images: from the disk of the node, or from Postgres, which is read once for all who ask.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Bytes;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;
use tokio::time::Instant;
use uuid::Uuid;

use super::cache::DiskCache;
use super::limits::{IMAGE_RECHECK_AFTER, MAX_KNOWN_IMAGES};
use super::model::Size;
use super::store::{self, Stored};
use crate::app::App;
use crate::config::Config;
use crate::error::{Error, Result};

/// An image and its size.
type Key = (Uuid, Size);

/// What a node knows of the images that it serves.
pub(super) struct Serving {
    disk: Arc<DiskCache>,
    known: Mutex<HashMap<Key, Known>>,
    /// The images that are being read.
    reads: Mutex<HashMap<Key, Arc<OnceCell<Bytes>>>>,
}

#[derive(Clone)]
struct Known {
    stored: Stored,
    checked_at: Instant,
}

impl Serving {
    pub(super) fn new(config: &Config) -> Self {
        let folder = config.data_dir.join("cache").join("media");
        let disk = Arc::new(DiskCache::new(folder, config.media_cache_bytes));
        Self { disk, known: Mutex::default(), reads: Mutex::default() }
    }

    /// Forgets a deleted image at once on this node.
    pub(super) fn forget(&self, image: Uuid) {
        self.known.lock().retain(|(known, _), _| *known != image);
    }

    fn fresh(&self, key: Key) -> Option<Stored> {
        let known = self.known.lock();
        known
            .get(&key)
            .filter(|known| known.checked_at.elapsed() < IMAGE_RECHECK_AFTER)
            .map(|known| known.stored.clone())
    }

    fn remember(&self, key: Key, stored: &Stored) {
        let mut known = self.known.lock();
        if known.len() >= MAX_KNOWN_IMAGES && !known.contains_key(&key) {
            // Each is asked for again when it is needed.
            known.clear();
        }
        known.insert(key, Known { stored: stored.clone(), checked_at: Instant::now() });
    }
}

/// Returns what is stored of a size of an image. While Postgres is away, images that this node has
/// served are still known.
///
/// # Errors
/// `not_found`, `unavailable`.
pub(super) async fn find(app: &App, image: Uuid, size: Size) -> Result<Stored> {
    let (key, serving) = ((image, size), &app.media.serving);
    if let Some(fresh) = serving.fresh(key) {
        return Ok(fresh);
    }
    match store::find_variant(&app.db, image, size).await {
        Ok(Some(stored)) => {
            serving.remember(key, &stored);
            Ok(stored)
        }
        Ok(None) => {
            serving.known.lock().remove(&key);
            let (disk, name) = (serving.disk.clone(), file_name(key));
            // A deleted image leaves the disk as well. Nobody waits for that.
            drop(tokio::task::spawn_blocking(move || disk.remove(&name)));
            Err(Error::NotFound)
        }
        Err(why) => {
            let old = serving.known.lock().get(&key).map(|known| known.stored.clone());
            old.ok_or_else(|| why.into())
        }
    }
}

/// Returns the bytes of a size of an image.
///
/// # Errors
/// `not_found` if it was deleted meanwhile, `unavailable`.
pub(super) async fn read(app: &App, image: Uuid, size: Size, stored: &Stored) -> Result<Bytes> {
    let (key, serving) = ((image, size), &app.media.serving);
    let cell = serving.reads.lock().entry(key).or_default().clone();
    let read = cell.get_or_try_init(|| load(app, key, stored)).await.cloned();
    // Whoever asks from now on finds it on the disk. A read that began since then stays.
    let mut reads = serving.reads.lock();
    if reads.get(&key).is_some_and(|known| Arc::ptr_eq(known, &cell)) {
        reads.remove(&key);
    }
    drop(reads);
    read
}

async fn load(app: &App, key: Key, stored: &Stored) -> Result<Bytes> {
    let (disk, name, wanted) = (app.media.serving.disk.clone(), file_name(key), stored.clone());
    let now = SystemTime::from(app.clock.now());
    let cached = tokio::task::spawn_blocking(move || disk.read(&name, wanted.bytes, &wanted.hash, now)).await;
    if let Ok(Some(file)) = cached {
        return Ok(file.into());
    }
    let file = Bytes::from(store::read_pieces(&app.db, stored.image, key.1).await?);
    if file.is_empty() {
        return Err(Error::NotFound);
    }
    if file.len() as u64 != stored.bytes || Sha256::digest(&file)[..] != *stored.hash {
        return Err(Error::internal("the pieces of an image are not what was stored"));
    }
    let (disk, name, copy) = (app.media.serving.disk.clone(), file_name(key), file.clone());
    let written = tokio::task::spawn_blocking(move || disk.write(&name, &copy)).await;
    drop(written);
    Ok(file)
}

fn file_name((image, size): Key) -> String {
    format!("{image}-{}", size.name())
}
