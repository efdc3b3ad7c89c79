//! The store: an engine of `object_store`, told no more than this program needs, and its failures in our words.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::path::Path;
use object_store::{ClientOptions, Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload, RetryConfig};
use reqwest::header::HeaderValue;
use secrets_fleet::ObjectName;

use crate::failure::{Failure, Kind};
use crate::line::{Connector, Seen};
use crate::place::{Place, Scheme, is_exposed};
use crate::settings::Credential;

/// The most names that are looked at in a list.
const MOST_LISTED: usize = 100_000;

/// The most requests of one list.
const MOST_PAGES: u32 = 200;

/// How often something is tried.
const TRIES: u32 = 3;

/// Until something is tried again, at first.
const PAUSE: Duration = Duration::from_millis(300);

/// From how many seconds between the two clocks on it is said.
const SKEW: i64 = 300;

/// The store.
#[derive(Debug)]
pub(crate) struct Store {
    engine: Arc<dyn ObjectStore>,
    prefix: Path,
    is_tree: bool,
    seen: Arc<Seen>,
}

impl Store {
    /// Gets ready to speak to it; nothing is sent.
    pub(crate) fn new(place: &Place, credential: &Credential) -> Result<Self, Failure> {
        let seen = Arc::<Seen>::default();
        let connector = Connector { seen: Arc::clone(&seen), authorization: None };
        let (engine, is_tree): (Arc<dyn ObjectStore>, _) = match place.scheme {
            Scheme::S3 => (s3(place, credential, connector)?, false),
            Scheme::Azure => (azure(place, credential, connector)?, false),
            Scheme::Google => (google(place, credential, connector)?, false),
            Scheme::WebDav => (web_dav(place, credential, connector)?, true),
        };
        Ok(Self { engine, prefix: place.prefix.clone(), is_tree, seen })
    }

    /// What was seen on the way.
    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    fn path(&self, name: &ObjectName) -> Path {
        self.prefix.clone().join(name.to_string())
    }

    /// The objects that the store lists, with their sizes; what is no object's name is left out.
    pub(crate) async fn list(&self) -> Result<BTreeMap<ObjectName, u64>, Failure> {
        self.again(async || self.list_once().await).await
    }

    async fn list_once(&self) -> Result<BTreeMap<ObjectName, u64>, Failed> {
        let prefix = Some(&self.prefix).filter(|prefix| !prefix.as_ref().is_empty());
        self.seen.allow(MOST_PAGES);
        let mut names = BTreeMap::new();
        let mut take = |meta: &ObjectMeta| {
            let parts = meta.location.prefix_match(&self.prefix).map(Iterator::collect::<Vec<_>>);
            if let Some([name]) = parts.as_deref()
                && let Ok(name) = name.as_ref().parse()
            {
                names.insert(name, meta.size);
            }
        };
        let mut count = 0_usize;
        // As a whole tree WebDAV is often not to be had, and it need not be: the names have no parts.
        if self.is_tree {
            let listed = self.engine.list_with_delimiter(prefix).await?;
            count = listed.objects.len();
            listed.objects.iter().for_each(&mut take);
        } else {
            let mut listed = self.engine.list(prefix);
            while let Some(meta) = listed.try_next().await? {
                take(&meta);
                count += 1;
                if count > MOST_LISTED {
                    break;
                }
            }
        }
        if count > MOST_LISTED {
            let text = "the store lists more files than a vault's machines ever write; nothing was moved";
            return Err(Failed::Ours(Failure::new(Kind::TooMuch, text)));
        }
        self.seen.allow(u32::MAX);
        Ok(names)
    }

    /// An object's bytes; none if the store does not have it.
    pub(crate) async fn get(&self, name: &ObjectName) -> Result<Option<Vec<u8>>, Failure> {
        let path = self.path(name);
        let got = self.again(async || match self.engine.get(&path).await {
            Ok(answer) => Ok(Some(answer.bytes().await?)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        });
        Ok(got.await?.map(|bytes| bytes.to_vec()))
    }

    /// Puts an object there. It may be there already: the same name has the same bytes.
    pub(crate) async fn put(&self, name: &ObjectName, bytes: Vec<u8>) -> Result<(), Failure> {
        let (path, payload) = (self.path(name), PutPayload::from(bytes));
        self.again(async || Ok(self.engine.put(&path, payload.clone()).await.map(drop)?)).await
    }

    /// Deletes objects. Returns how many.
    pub(crate) async fn delete(&self, names: &[ObjectName]) -> Result<usize, Failure> {
        let paths: Vec<Path> = names.iter().map(|name| self.path(name)).collect();
        let delete = async || {
            let all = futures_util::stream::iter(paths.clone()).map(Ok).boxed();
            let mut done = self.engine.delete_stream(all);
            while let Some(result) = done.next().await {
                match result {
                    Ok(_) | Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(paths.len())
        };
        self.again(delete).await
    }

    /// Does it up to three times, unless it is clear that it will not be better.
    async fn again<T>(&self, work: impl AsyncFn() -> Result<T, Failed>) -> Result<T, Failure> {
        let mut left = TRIES;
        loop {
            left = left.saturating_sub(1);
            let failure = match work().await {
                Ok(done) => return Ok(done),
                Err(Failed::Ours(failure)) => failure,
                Err(Failed::Engine) => self.failure(),
            };
            let may_pass = matches!(failure.kind, Kind::Offline | Kind::Unreadable);
            if left == 0 || !may_pass {
                return Err(failure);
            }
            tokio::time::sleep(PAUSE * 2_u32.pow(TRIES - 1 - left)).await;
        }
    }

    /// What the engine's failure means: by what came over the line, as each engine has other errors for it.
    fn failure(&self) -> Failure {
        let notes = self.seen.notes();
        let (status, code) = notes.refusal.unwrap_or_default();
        if self.seen.is_spent() {
            return Failure::new(Kind::TooMuch, "the store's list does not end; nothing was moved");
        }
        if code == "RequestTimeTooSkewed" {
            return Failure::new(Kind::Clock, skew(notes.date));
        }
        if self.seen.lacks_credential() {
            let text = "no credential for the store was found; see: secretctl-sync --help";
            return Failure::new(Kind::Refused, text);
        }
        let said = match (status, code.as_str()) {
            (0, _) => String::new(),
            (status, "") => format!(": it answered {status}"),
            (status, code) => format!(": it answered {status} {code}"),
        };
        let (kind, what) = match status {
            507 => (Kind::Full, "the store has no room"),
            _ if FULL.contains(&code.as_str()) => (Kind::Full, "the store has no room"),
            401 | 403 => (Kind::Refused, "the store refuses the credential"),
            404 => (Kind::Absent, "the store has no such bucket or directory"),
            0 if self.seen.is_silent() => (Kind::Offline, "the store does not answer"),
            _ => (Kind::Unreadable, "the store's answer cannot be used"),
        };
        Failure::new(kind, format!("{what}{said}"))
    }
}

/// Codes of stores without room.
const FULL: [&str; 4] = ["QuotaExceeded", "XMinioStorageFull", "InsufficientStorage", "StorageFull"];

/// What went wrong in a try.
enum Failed {
    Engine,
    Ours(Failure),
}

impl From<Error> for Failed {
    fn from(_: Error) -> Self {
        Self::Engine
    }
}

fn skew(date: Option<(Timestamp, Timestamp)>) -> String {
    let off = date.map_or(0, |(theirs, ours)| ours.as_second() - theirs.as_second());
    if off.abs() < SKEW {
        return "the store says that this machine's clock is wrong".to_owned();
    }
    let direction = if off > 0 { "ahead of" } else { "behind" };
    format!("this machine's clock is {} min {direction} the store's", (off.abs() + 30) / 60)
}

/// None of the engine's own: what may be tried again is known here.
fn retry() -> RetryConfig {
    RetryConfig { max_retries: 0, ..RetryConfig::default() }
}

/// Refuses HTTP without TLS to other machines, unless it is asked for.
fn options(place: &Place, endpoint: Option<&str>, is_asked_for: bool) -> Result<ClientOptions, Failure> {
    let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    if is_plain && !place.plain && !is_asked_for && endpoint.is_some_and(is_exposed) {
        let text = "the store is on another machine and without TLS, so that others could read its credential; to allow it, add plain=yes to its address";
        return Err(Failure::new(Kind::Place, text));
    }
    Ok(ClientOptions::new().with_allow_http(is_plain))
}

fn wrong(error: Error) -> Failure {
    // It may hold what the credential is.
    drop(error);
    Failure::new(Kind::Refused, "the store's credential or address is incomplete; see: secretctl-sync --help")
}

fn allows_http(variable: &str) -> bool {
    std::env::var(variable).is_ok_and(|value| value == "true" || value == "1")
}

fn s3(place: &Place, credential: &Credential, connector: Connector) -> Result<Arc<dyn ObjectStore>, Failure> {
    let mut builder = AmazonS3Builder::from_env().with_bucket_name(&place.bucket);
    for (variable, value) in credential {
        let key: Option<AmazonS3ConfigKey> = variable.to_ascii_lowercase().parse().ok();
        builder = builder.with_config(key.ok_or_else(|| unknown(variable))?, value.as_str());
    }
    if let Some(endpoint) = &place.endpoint {
        builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
    }
    if let Some(region) = &place.region {
        builder = builder.with_region(region);
    }
    let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
    let options = options(place, endpoint.as_deref(), allows_http("AWS_ALLOW_HTTP"))?;
    let engine = builder
        .with_client_options(options)
        .with_checksum_algorithm(Checksum::SHA256)
        .with_retry(retry())
        .with_http_connector(connector)
        .build();
    Ok(Arc::new(engine.map_err(wrong)?))
}

fn azure(
    place: &Place,
    credential: &Credential,
    connector: Connector,
) -> Result<Arc<dyn ObjectStore>, Failure> {
    let mut builder = MicrosoftAzureBuilder::from_env().with_container_name(&place.bucket);
    for (variable, value) in credential {
        let key: Option<AzureConfigKey> = variable.to_ascii_lowercase().parse().ok();
        builder = builder.with_config(key.ok_or_else(|| unknown(variable))?, value.as_str());
    }
    if let Some(endpoint) = &place.endpoint {
        builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/').to_owned());
    }
    if let Some(account) = &place.account {
        builder = builder.with_account(account);
    }
    let endpoint = builder.get_config_value(&AzureConfigKey::Endpoint);
    let options = options(place, endpoint.as_deref(), allows_http("AZURE_ALLOW_HTTP"))?;
    let engine =
        builder.with_client_options(options).with_retry(retry()).with_http_connector(connector).build();
    Ok(Arc::new(engine.map_err(wrong)?))
}

fn google(
    place: &Place,
    credential: &Credential,
    connector: Connector,
) -> Result<Arc<dyn ObjectStore>, Failure> {
    let mut builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(&place.bucket);
    for (variable, value) in credential {
        let key: Option<GoogleConfigKey> = variable.to_ascii_lowercase().parse().ok();
        builder = builder.with_config(key.ok_or_else(|| unknown(variable))?, value.as_str());
    }
    if let Some(endpoint) = &place.endpoint {
        builder = builder.with_base_url(endpoint.as_str().trim_end_matches('/'));
    }
    let options = options(place, place.endpoint.as_ref().map(url::Url::as_str), false)?;
    let engine =
        builder.with_client_options(options).with_retry(retry()).with_http_connector(connector).build();
    Ok(Arc::new(engine.map_err(wrong)?))
}

/// The user and the password of WebDAV.
const USER: &str = "WEBDAV_USER";
const PASSWORD: &str = "WEBDAV_PASSWORD";

fn web_dav(
    place: &Place,
    credential: &Credential,
    mut connector: Connector,
) -> Result<Arc<dyn ObjectStore>, Failure> {
    if let Some(variable) = credential.keys().find(|variable| ![USER, PASSWORD].contains(&variable.as_str()))
    {
        return Err(unknown(variable));
    }
    let own = |variable: &str| {
        let given = credential.get(variable).cloned();
        given.or_else(|| std::env::var(variable).ok().map(Into::into))
    };
    if let (Some(user), Some(password)) = (own(USER), own(PASSWORD)) {
        let text = zeroize::Zeroizing::new(format!("{}:{}", user.as_str(), password.as_str()));
        let text = format!("Basic {}", data_encoding::BASE64.encode(text.as_bytes()));
        let mut value = HeaderValue::from_str(&text).map_err(|_| unknown(PASSWORD))?;
        value.set_sensitive(true);
        connector.authorization = Some(value);
    }
    let options = options(place, Some(&place.bucket), false)?;
    let engine = HttpBuilder::new()
        .with_url(&place.bucket)
        .with_client_options(options)
        .with_retry(retry())
        .with_http_connector(connector)
        .build();
    Ok(Arc::new(engine.map_err(wrong)?))
}

fn unknown(variable: &str) -> Failure {
    let is_name =
        variable.len() <= 64 && variable.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let shown = if is_name { variable } else { "a line" };
    Failure::new(
        Kind::Refused,
        format!("the store's credential has {shown}, which means nothing for this kind of store"),
    )
}
