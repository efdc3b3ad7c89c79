//! What a program's environment needs so that it comes by the broker and believes its certificates. Which program reads
//! which variable is in docs/clients.md.

use std::path::{Path, PathBuf};

use run_files::{Error, RunFiles};
use secrets_proto::broker::Variables;

use crate::certificate::Authority;

/// Those that name the proxy. curl and git read both cases, wget and gRPC the lower one alone; Ruby reads `http_proxy` for
/// `https://` too; yarn knows its own alone. Those of cargo and npm beat what their settings say.
const PROXY: [&str; 9] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "CARGO_HTTP_PROXY",
    "YARN_HTTPS_PROXY",
    "YARN_HTTP_PROXY",
    "npm_config_https_proxy",
    "npm_config_proxy",
];

/// Those that name a file of authorities which stands for all others: it holds the machine's too. None of yarn's: it reads
/// `NODE_EXTRA_CA_CERTS`, and of a variable of its own that a later version has brought it says a usage error.
const BUNDLE: [&str; 15] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "AWS_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
    "NIX_SSL_CERT_FILE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
    "HTTPLIB2_CA_CERTS",
    "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
    "PERL_LWP_SSL_CA_FILE",
    "WEBSOCKET_CLIENT_CA_BUNDLE",
    "TWINE_CERT",
    "npm_config_cafile",
];

/// Those that name a file of authorities beside the machine's own.
const OWN: [&str; 2] = ["NODE_EXTRA_CA_CERTS", "DENO_CERT"];

/// Those that say what is reached directly.
const NO_PROXY: [&str; 3] = ["NO_PROXY", "no_proxy", "npm_config_noproxy"];

/// Those that let a program see the others: Node's from 24 on, and Perl's LWP. `NODE_OPTIONS` could do the same, but an
/// older Node does not start with it.
const ON: [&str; 2] = ["NODE_USE_ENV_PROXY", "PERL_LWP_ENV_PROXY"];

/// git's setting of the proxy, as a list of one, which beats that of its files.
const GIT: [(&str, &str); 2] = [("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "http.proxy")];

/// Inherited, these would lead past the broker, or past its certificate: for `wss://` Python asks for `wss_proxy` and
/// `socks_proxy` first; curl leaves `SSL_CERT_FILE` alone when there is an `SSL_CERT_DIR`; what git reads from
/// `git -c` beats its list.
const IN_THE_WAY: [&str; 20] = [
    "ALL_PROXY",
    "WSS_PROXY",
    "WS_PROXY",
    "SOCKS_PROXY",
    "GRPC_PROXY",
    "NO_GRPC_PROXY",
    "PIP_PROXY",
    "CLOUDSDK_PROXY_TYPE",
    "CLOUDSDK_PROXY_ADDRESS",
    "CLOUDSDK_PROXY_PORT",
    "SSL_CERT_DIR",
    "GIT_SSL_CAPATH",
    "GIT_SSL_NO_VERIFY",
    "GIT_CONFIG_PARAMETERS",
    "NODE_TLS_REJECT_UNAUTHORIZED",
    "PERL_LWP_SSL_CA_PATH",
    "HTTPS_CA_DIR",
    "YARN_HTTPS_CA_FILE_PATH",
    "YARN_CA_FILE_PATH",
    "NPM_CONFIG_CA",
];

/// What is reached directly. Never `[::1]`, which keeps one client from working at all.
const DIRECT: &str = "localhost,127.0.0.1,::1";

/// The files that variables name, each by what it is.
const FILE_OWN: &str = "ca.pem";
const FILE_BUNDLE: &str = "bundle.pem";
const FILE_WGET: &str = "wgetrc";
const FILE_PHP: &str = "secretsd.ini";

/// The files that the variables name, until they are dropped.
#[derive(Debug)]
pub(crate) struct Trust {
    /// Removes them.
    files: RunFiles,
    dir: PathBuf,
    own: String,
    bundle: String,
}

impl Trust {
    /// Writes the session's authority, alone and with the machine's in PEM, below this runtime directory.
    pub(crate) fn write(runtime: &Path, authority: &Authority, authorities: &str) -> Result<Self, Error> {
        let files = RunFiles::create(runtime)?;
        let own = authority.pem();
        let bundle = [own.as_str(), authorities].concat();
        let dir = files.put(FILE_OWN, own.as_bytes())?.parent().map(Path::to_owned).unwrap_or_default();
        let trust = Self { files, dir, own, bundle };
        for (name, text) in trust.contents(&trust.dir).iter().filter(|(name, _)| name != FILE_OWN) {
            trust.files.put(name, text.as_bytes())?;
        }
        Ok(trust)
    }

    /// Names and contents of the files, for a directory of this path.
    pub(crate) fn contents(&self, dir: &Path) -> Vec<(String, String)> {
        let bundle = dir.join(FILE_BUNDLE);
        let bundle = bundle.display();
        let files = [
            (FILE_OWN, self.own.clone()),
            (FILE_BUNDLE, self.bundle.clone()),
            (FILE_WGET, format!("ca_certificate={bundle}\n")),
            (FILE_PHP, format!("curl.cainfo={bundle}\nopenssl.cafile={bundle}\n")),
        ];
        files.map(|(name, text)| (name.to_owned(), text)).into()
    }

    /// The directory of the files that were written.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The variables for a program whose proxy listens on this port of 127.0.0.1 and whose files are in this directory, with
/// those of its placeholders. All but these are removed first, in any case of letters: npm and Python read them in any.
pub(crate) fn variables(
    dir: &Path,
    port: u16,
    session: &str,
    placeholders: &[(String, String)],
) -> Variables {
    let proxy = format!("http://127.0.0.1:{port}");
    let path = |name: &str| dir.join(name).display().to_string();
    let mut set: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| set.push((name.to_owned(), value));
    PROXY.iter().for_each(|name| add(name, proxy.clone()));
    BUNDLE.iter().for_each(|name| add(name, path(FILE_BUNDLE)));
    OWN.iter().for_each(|name| add(name, path(FILE_OWN)));
    NO_PROXY.iter().for_each(|name| add(name, DIRECT.to_owned()));
    ON.iter().for_each(|name| add(name, "1".to_owned()));
    GIT.iter().for_each(|(name, value)| add(name, (*value).to_owned()));
    add("GIT_CONFIG_VALUE_0", proxy.clone());
    add("SYSTEM_WGETRC", path(FILE_WGET));
    // Before the colon is the directory that PHP was built with.
    add("PHP_INI_SCAN_DIR", format!(":{}", dir.display()));
    add("SECRETSD_PROXY", session.to_owned());
    let remove = IN_THE_WAY.into_iter().chain(set.iter().map(|(name, _)| name.as_str()));
    let remove = remove.map(str::to_owned).collect();
    // Behind those of secrets that have the same names.
    set.splice(..0, placeholders.iter().cloned());
    Variables { set, remove }
}
