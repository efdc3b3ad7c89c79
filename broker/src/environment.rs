//! What a program's environment needs so that it comes by the broker and believes its certificates. Which program reads
//! which variable is in docs/clients.md.

use std::path::PathBuf;

use run_files::{Error, RunFiles};
use rustls::pki_types::CertificateDer;
use secrets_proto::broker::Variables;

use crate::certificate::{Authority, pem};

/// Those that name the proxy. curl and git read both cases, wget and gRPC the lower one alone; Ruby reads `http_proxy` for
/// `https://` too; yarn and cargo have their own.
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

/// Those that name a file of authorities which stands for all others: it holds the machine's too.
const BUNDLE: [&str; 17] = [
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
    "YARN_HTTPS_CA_FILE_PATH",
    "UV_SSL_CERT_FILE",
];

/// Those that name a file of authorities beside the machine's own.
const OWN: [&str; 2] = ["NODE_EXTRA_CA_CERTS", "DENO_CERT"];

/// Inherited, these would lead past the broker, or past its certificate: curl leaves `SSL_CERT_FILE` alone when there is
/// an `SSL_CERT_DIR`.
const IN_THE_WAY: [&str; 8] = [
    "ALL_PROXY",
    "all_proxy",
    "grpc_proxy",
    "GRPC_PROXY",
    "SSL_CERT_DIR",
    "GIT_SSL_CAPATH",
    "GIT_SSL_NO_VERIFY",
    "NODE_TLS_REJECT_UNAUTHORIZED",
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

    /// The variables for a program whose proxy listens on this port of 127.0.0.1, with those of its placeholders.
    pub(crate) fn variables(&self, port: u16, session: &str, placeholders: &[(String, String)]) -> Variables {
        let proxy = format!("http://127.0.0.1:{port}");
        let path = |path: &PathBuf| path.display().to_string();
        let mut set = placeholders.to_vec();
        let mut add = |name: &str, value: String| set.push((name.to_owned(), value));
        PROXY.iter().for_each(|name| add(name, proxy.clone()));
        BUNDLE.iter().for_each(|name| add(name, path(&self.bundle)));
        OWN.iter().for_each(|name| add(name, path(&self.own)));
        add("NO_PROXY", DIRECT.to_owned());
        add("no_proxy", DIRECT.to_owned());
        add("NODE_USE_ENV_PROXY", "1".to_owned());
        add("SYSTEM_WGETRC", path(&self.wgetrc));
        // Before the colon is the directory that PHP was built with.
        add(
            "PHP_INI_SCAN_DIR",
            format!(":{}", self.php.parent().map_or(String::new(), |dir| dir.display().to_string())),
        );
        add("SECRETSD_PROXY", session.to_owned());
        Variables { set, remove: IN_THE_WAY.map(str::to_owned).into() }
    }
}
