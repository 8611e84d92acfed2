//! Asks a Redis once whether it can be used, for `maju doctor`.
use std::time::Duration;

use fred::interfaces::ClientLike as _;
use fred::types::Builder;

use super::errors::explain;
use crate::connection_url;

/// How long the question can take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The oldest major version with sharded publish and subscribe.
const MIN_MAJOR: u64 = 7;

/// Connects to a Redis or Valkey and returns its version.
///
/// # Errors
/// Returns what is wrong.
pub async fn probe(url: &str) -> Result<String, String> {
    let is_tls = url.starts_with("rediss") || url.starts_with("valkeys");
    let config = connection_url::redis(url)?.options;
    let client = Builder::from_config(config).build().map_err(|why| why.to_string())?;
    let asked = async {
        let _connection = client.init().await?;
        client.ping::<String>(None).await
    };
    let answer = tokio::time::timeout(TIMEOUT, asked).await;
    let version = client.server_version();
    let _ = tokio::time::timeout(TIMEOUT, client.quit()).await;
    match answer {
        Err(_) => Err(format!("it does not answer within {} seconds", TIMEOUT.as_secs())),
        Ok(Err(why)) => Err(explain(&why, is_tls)),
        Ok(Ok(_)) => match version {
            Some(version) if version.major < MIN_MAJOR => {
                Err(format!("it is version {version}, and Maju needs {MIN_MAJOR} or newer"))
            }
            Some(version) => Ok(format!("version {version}")),
            None => Ok("of an unknown version".to_owned()),
        },
    }
}
