//! A standby of a real database, which the start check refuses.
use std::fs;

use super::super::paths;
use super::super::programs::{self, Sources};
use super::super::server::{Server, ServerConfig};
use super::Folder;
use crate::{db, testing};

#[tokio::test]
async fn a_standby_is_refused() {
    let folder = Folder::new();
    let postgres = folder.open().await;
    let options = postgres.connect_options();
    postgres.stop().await;
    fs::write(folder.data().join("pg/standby.signal"), "").unwrap();
    let postgres_dir = paths::locate(&folder.data(), &folder.fallback()).unwrap();
    let programs = programs::find(&Sources::from_environment(), &postgres_dir.folder).unwrap();
    let socket_folder = paths::socket_folder(&postgres_dir).unwrap();
    let log = folder.data().join("log/postgres.log");
    let config = ServerConfig {
        programs: &programs,
        postgres_dir: &postgres_dir,
        socket_folder: &socket_folder,
        log: &log,
        durable: false,
    };
    let server = Server::start(&config).unwrap();
    testing::eventually("it is refused as a standby", || async {
        let refused = db::check(&db::pool(options.clone()), true, None).await.unwrap_err();
        refused.contains("standby") && refused.contains("name the primary in DATABASE_URL")
    })
    .await;
    server.stop();
}
