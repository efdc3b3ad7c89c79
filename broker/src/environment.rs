//! What a program's environment needs so that it comes by the broker and believes its certificates. Which program reads
//! which variable is in docs/clients.md.

use std::path::PathBuf;

use run_files::{Error, RunFiles};
use rustls::pki_types::CertificateDer;
use secrets_proto::broker::Variables;

use crate::certificate::{Authority, pem};

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

/// The files that the variables name, until they are dropped.
#[derive(Debug)]
pub(crate) struct Trust {
    /// Removes them.
    _files: RunFiles,
    own: PathBuf,
    bundle: PathBuf,
    wgetrc: PathBuf,
    php: PathBuf,
}

impl Trust {
    /// Writes the session's authority, alone and with the machine's, below this runtime directory.
    pub(crate) fn write(
        runtime: &std::path::Path,
        authority: &Authority,
        roots: &[CertificateDer<'static>],
    ) -> Result<Self, Error> {
        let files = RunFiles::create(runtime)?;
        let own = files.put("ca.pem", authority.pem().as_bytes())?;
        let mut all = authority.pem();
        for root in roots {
            all.push_str(&pem(root));
        }
        let bundle = files.put("bundle.pem", all.as_bytes())?;
        let shown = bundle.display();
        let wgetrc = files.put("wgetrc", format!("ca_certificate={shown}\n").as_bytes())?;
        let ini = format!("curl.cainfo={shown}\nopenssl.cafile={shown}\n");
        let php = files.put("secretsd.ini", ini.as_bytes())?;
        Ok(Self { _files: files, own, bundle, wgetrc, php })
    }

    /// The variables for a program whose proxy listens on this port of 127.0.0.1, with those of its placeholders. All but
    /// these are removed first, in any case of letters: npm and Python read them in any.
    pub(crate) fn variables(&self, port: u16, session: &str, placeholders: &[(String, String)]) -> Variables {
        let proxy = format!("http://127.0.0.1:{port}");
        let path = |path: &PathBuf| path.display().to_string();
        let mut set: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: String| set.push((name.to_owned(), value));
        PROXY.iter().for_each(|name| add(name, proxy.clone()));
        BUNDLE.iter().for_each(|name| add(name, path(&self.bundle)));
        OWN.iter().for_each(|name| add(name, path(&self.own)));
        NO_PROXY.iter().for_each(|name| add(name, DIRECT.to_owned()));
        ON.iter().for_each(|name| add(name, "1".to_owned()));
        GIT.iter().for_each(|(name, value)| add(name, (*value).to_owned()));
        add("GIT_CONFIG_VALUE_0", proxy.clone());
        add("SYSTEM_WGETRC", path(&self.wgetrc));
        // Before the colon is the directory that PHP was built with.
        add(
            "PHP_INI_SCAN_DIR",
            format!(":{}", self.php.parent().map_or(String::new(), |dir| dir.display().to_string())),
        );
        add("SECRETSD_PROXY", session.to_owned());
        let remove = IN_THE_WAY.into_iter().chain(set.iter().map(|(name, _)| name.as_str()));
        let remove = remove.map(str::to_owned).collect();
        // Behind those of secrets that have the same names.
        set.splice(..0, placeholders.iter().cloned());
        Variables { set, remove }
    }
}
