//! Where the store is: an address that a person gives once, which holds nothing secret.
//!
//! `s3://BUCKET/PREFIX?endpoint=URL&region=NAME`, `az://CONTAINER/PREFIX?account=NAME&endpoint=URL`, `gs://BUCKET/PREFIX`,
//! `https://HOST/PATH` (WebDAV). `plain=yes` allows HTTP without TLS to a machine that is not this one.

use std::net::IpAddr;

use object_store::path::Path;
use url::{Host, Url};

use crate::failure::{Failure, Kind};

/// By which protocol the store is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    S3,
    Azure,
    Google,
    WebDav,
}

/// Where the store is.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) scheme: Scheme,
    /// The bucket or container; for WebDAV the scheme, host and port.
    pub(crate) bucket: String,
    /// The directory there.
    pub(crate) prefix: Path,
    pub(crate) endpoint: Option<Url>,
    pub(crate) region: Option<String>,
    pub(crate) account: Option<String>,
    /// Whether HTTP without TLS is asked for.
    pub(crate) plain: bool,
}

impl Place {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// It has not the form above, or holds a password; what was given is not repeated.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |what: &str| Failure::new(Kind::Place, what.to_owned());
        let url = Url::parse(text).map_err(|_| {
            wrong("the store must be s3://BUCKET/PREFIX, az://CONTAINER/PREFIX, gs://BUCKET/PREFIX or a URL of WebDAV")
        })?;
        let scheme = match url.scheme() {
            "s3" => Scheme::S3,
            "az" => Scheme::Azure,
            "gs" => Scheme::Google,
            "https" | "http" => Scheme::WebDav,
            _ => return Err(wrong("the store must begin with s3://, az://, gs://, https:// or dir:")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong(
                "the store's address must hold no user and no password: others could read them; see: secretctl-sync --help",
            ));
        }
        if url.fragment().is_some() {
            return Err(wrong("the store's address must have no #"));
        }
        let bucket = match scheme {
            Scheme::WebDav => url.origin().ascii_serialization(),
            Scheme::S3 | Scheme::Azure | Scheme::Google => {
                url.host_str().map(str::to_owned).unwrap_or_default()
            }
        };
        if bucket.is_empty() {
            return Err(wrong("the store's address names no bucket"));
        }
        let prefix = Path::from_url_path(url.path())
            .map_err(|_| wrong("the path in the store's address cannot be used"))?;
        let mut place =
            Self { scheme, bucket, prefix, endpoint: None, region: None, account: None, plain: false };
        for (key, value) in url.query_pairs() {
            let is_cloud = scheme != Scheme::WebDav;
            match (&*key, &*value) {
                ("endpoint", value) if is_cloud => place.endpoint = Some(endpoint(value)?),
                ("region", value) if scheme == Scheme::S3 => place.region = Some(value.to_owned()),
                ("account", value) if scheme == Scheme::Azure => place.account = Some(value.to_owned()),
                ("plain", "yes") => place.plain = true,
                _ => {
                    return Err(wrong(
                        "the store's address has an option that is not known: there are endpoint, region, account and plain=yes",
                    ));
                }
            }
        }
        Ok(place)
    }
}

fn endpoint(text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && url.password().is_none()
    });
    url.ok_or_else(|| {
        Failure::new(Kind::Place, "endpoint= must be a URL of http or https without a password")
    })
}

/// Whether requests to this URL leave the machine without TLS.
pub(crate) fn is_exposed(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return true };
    url.scheme() != "https" && !is_loopback(&url)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let place =
            Place::parse("s3://notes/my/fleet?endpoint=http%3A%2F%2F127.0.0.1%3A9000&region=eu-1").unwrap();
        assert_eq!((place.scheme, &*place.bucket, place.prefix.as_ref()), (Scheme::S3, "notes", "my/fleet"));
        assert_eq!(place.endpoint.unwrap().as_str(), "http://127.0.0.1:9000/");
        assert_eq!(place.region.as_deref(), Some("eu-1"));
        let place = Place::parse("https://dav.example:8443/remote/fleet/").unwrap();
        assert_eq!(
            (place.scheme, &*place.bucket, place.prefix.as_ref()),
            (Scheme::WebDav, "https://dav.example:8443", "remote/fleet")
        );
        assert_eq!(Place::parse("az://box/fleet?account=mine").unwrap().account.as_deref(), Some("mine"));
        assert_eq!(Place::parse("gs://box").unwrap().prefix.as_ref(), "");
    }

    #[test]
    fn what_is_wrong_is_refused_and_not_repeated() {
        for text in [
            "",
            "canary",
            "ftp://canary/",
            "https://user:canary@host/",
            "https://canary@host/",
            "s3:///canary",
            "s3://b/canary#x",
            "s3://b/p?canary=1",
            "s3://b/p?plain=canary",
            "s3://b/p?endpoint=canary",
            "s3://b/p?endpoint=http%3A%2F%2Fu%3Acanary%40h",
            "https://h/p?endpoint=https%3A%2F%2Fcanary",
        ] {
            let failure = Place::parse(text).unwrap_err();
            assert!(failure.kind == Kind::Place && !failure.text.contains("canary"), "{text}: {failure}");
        }
    }

    #[test]
    fn only_this_machine_is_spoken_to_without_tls() {
        for url in ["https://a/", "http://127.0.0.1:1/", "http://[::1]/", "http://localhost:9/"] {
            assert!(!is_exposed(url), "{url}");
        }
        for url in ["http://10.0.0.1/", "http://localhost.example/", "http://127.0.0.1.example/", "x"] {
            assert!(is_exposed(url), "{url}");
        }
    }
}
