//! A standby of a real database: the start refuses it as one.
use std::fs;

use super::super::programs::{self, Sources};
use super::super::server::{Plan, Server};
use super::{Folder, owner};
use crate::{db, testing};

#[tokio::test]
async fn a_standby_is_refused_as_one() {
    let folder = Folder::new();
    let postgres = folder.open().await;
    let options = postgres.connect_options();
    postgres.stop().await;
    fs::write(folder.data().join("pg/standby.signal"), "").unwrap();
    let home = owner::settle(&folder.data(), &folder.fallback()).unwrap();
    let programs = programs::find(&Sources::real(), &home.folder).unwrap();
    let socket_folder = owner::socket_folder(&home).unwrap();
    let log = folder.data().join("log/postgres.log");
    let plan = Plan { programs: &programs, home: &home, socket_folder: &socket_folder, log: &log, durable: false };
    let server = Server::start(&plan).unwrap();
    testing::eventually("it is refused as a standby", || async {
        let refused = db::check(&db::pool(options.clone()), true, None).await.unwrap_err();
        refused.contains("standby") && refused.contains("name the primary in DATABASE_URL")
    })
    .await;
    server.stop();
}
