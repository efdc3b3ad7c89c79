//! Real stores for the tests of the mover, and a proxy before them that counts, remembers, and can be hostile.

mod proxy;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub use proxy::{Proxy, Seen, Then};

use crate::process::{self, until};

/// A store on a port of this machine. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// WebDAV over this directory.
    WebDav(PathBuf),
    /// S3 that keeps its objects as files of this directory.
    Files(PathBuf),
    /// What lists its objects by its own protocol.
    Listed(Listed),
}

/// How a store is spoken to with other words than the mover's.
#[derive(Debug)]
struct Listed {
    address: fn(u16) -> String,
    /// The target that lists the objects.
    list: String,
    /// What is before an object's name in that list, and after it.
    tags: [&'static str; 2],
    /// The target of an object, before and after its name.
    object: [String; 2],
    /// Fields of the requests' heads, each with its line end.
    fields: &'static str,
}

/// The bucket of each store that has some.
pub const BUCKET: &str = "notes";

/// What moto takes for a signature.
const SIGNED: &str = "Authorization: AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\n";

/// The account that Azurite has, and its key: they are in its manual.
pub const ACCOUNT: &str = "devstoreaccount1";
/// See [`ACCOUNT`].
pub const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A signature by [`ACCOUNT_KEY`], good until 2099, that lets its bearer do everything with blobs (an account SAS of 2018-11-09).
const SHARED: &str = "sv=2018-11-09&ss=b&srt=sco&sp=rwdlc&se=2099-01-01T00%3A00%3A00Z&sig=96GeYi%2B1xz42aWqjf1TK6lSzPg311V%2FZ50YbAMr6Z2c%3D";

fn s3(port: u16) -> String {
    format!("s3://{BUCKET}/fleet?endpoint=http%3A%2F%2F127.0.0.1%3A{port}&region=us-east-1")
}

fn google(port: u16) -> String {
    format!("gs://{BUCKET}/fleet?endpoint=http%3A%2F%2F127.0.0.1%3A{port}")
}

fn azure(port: u16) -> String {
    format!("az://{BUCKET}/fleet?endpoint=http%3A%2F%2F127.0.0.1%3A{port}%2F{ACCOUNT}&account={ACCOUNT}")
}

/// As S3 lists, and as Google does, which took that over.
fn bucket(address: fn(u16) -> String) -> Kind {
    Kind::Listed(Listed {
        address,
        list: format!("/{BUCKET}?list-type=2&prefix=fleet%2F"),
        tags: ["<Key>fleet/", "</Key>"],
        object: [format!("/{BUCKET}/fleet%2F"), String::new()],
        fields: SIGNED,
    })
}

impl Server {
    fn start(command: &mut Command, port: u16, kind: Kind) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("the store listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { child, port, kind }
    }

    /// Makes the bucket by this request.
    fn with_bucket(self, method: &str, target: &str, body: &str) -> Self {
        let answer = self.ask(method, target, body);
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
        self
    }

    /// moto's S3, with an empty bucket. It looks at no signature.
    pub fn moto(program: &Path) -> Self {
        let port = free_port();
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        Self::start(&mut command, port, bucket(s3)).with_bucket("PUT", &format!("/{BUCKET}"), "")
    }

    /// s3s-fs' S3 over this directory, with an empty bucket, for who signs with this key.
    pub fn s3s_fs(directory: &Path, key_id: &str, key: &str) -> Self {
        let (port, files) = (free_port(), directory.join(BUCKET));
        fs::create_dir(&files).unwrap();
        let mut command = Command::new("s3s-fs");
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--access-key", key_id, "--secret-key", key]).arg(directory);
        Self::start(&mut command, port, Kind::Files(files.join("fleet")))
    }

    /// fake-gcs-server's Google Cloud Storage, with an empty bucket. It looks at no credential, and takes an object as the
    /// mover puts it only behind a [`Proxy`] with [`Then::Google`].
    pub fn fake_gcs(program: &Path) -> Self {
        let (port, name) = (free_port(), format!("{{\"name\":\"{BUCKET}\"}}"));
        let mut command = Command::new(program);
        command.args(["-backend", "memory", "-scheme", "http", "-host", "127.0.0.1"]);
        command.args(["-port", &port.to_string(), "-public-host", "127.0.0.1"]);
        Self::start(&mut command, port, bucket(google)).with_bucket(
            "POST",
            "/storage/v1/b?project=test",
            &name,
        )
    }

    /// Azurite's Azure, with an empty container, for who signs with [`ACCOUNT_KEY`].
    pub fn azurite() -> Self {
        let port = free_port();
        let mut command = Command::new("azurite-blob");
        command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
        command.args(["--silent", "--disableTelemetry", "--skipApiVersionCheck", "--inMemoryPersistence"]);
        let container = format!("/{ACCOUNT}/{BUCKET}?restype=container");
        let kind = Kind::Listed(Listed {
            address: azure,
            list: format!("{container}&comp=list&prefix=fleet%2F&{SHARED}"),
            tags: ["<Name>fleet/", "</Name>"],
            object: [format!("/{ACCOUNT}/{BUCKET}/fleet/"), format!("?{SHARED}")],
            fields: "",
        });
        Self::start(&mut command, port, kind).with_bucket("PUT", &format!("{container}&{SHARED}"), "")
    }

    /// rclone's WebDAV over this directory.
    pub fn rclone(directory: PathBuf) -> Self {
        let port = free_port();
        let mut command = Command::new("rclone");
        command.env("HOME", &directory).args(["serve", "webdav", "--addr", &format!("127.0.0.1:{port}")]);
        command.arg(&directory);
        Self::start(&mut command, port, Kind::WebDav(directory.join("some/fleet")))
    }

    /// lighttpd's WebDAV over this directory.
    pub fn lighttpd(program: &Path, directory: PathBuf, settings: &Path) -> Self {
        let port = free_port();
        let text = format!(
            "server.document-root = \"{}\"\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\nserver.modules = (\"mod_webdav\")\nwebdav.activate = \"enable\"\n",
            directory.display()
        );
        fs::write(settings, text).unwrap();
        let mut command = Command::new(program);
        command.arg("-D").arg("-f").arg(settings);
        Self::start(&mut command, port, Kind::WebDav(directory.join("some/fleet")))
    }

    /// The address of a directory in it, reached by this port, as `secretctl` takes it.
    pub fn address(&self, port: u16) -> String {
        match &self.kind {
            Kind::WebDav(_) => format!("http://127.0.0.1:{port}/some/fleet"),
            Kind::Files(_) => s3(port),
            Kind::Listed(listed) => (listed.address)(port),
        }
    }

    fn ask(&self, method: &str, target: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let fields = if let Kind::Listed(listed) = &self.kind { listed.fields } else { "" };
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n{fields}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The names of the files in the directory of [`Self::address`], in order.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = match &self.kind {
            Kind::Listed(Listed { list, tags: [before, after], .. }) => {
                let list = self.ask("GET", list, "");
                let keys = list.split(before).skip(1);
                keys.filter_map(|rest| rest.split_once(after)).map(|(name, _)| name.to_owned()).collect()
            }
            Kind::WebDav(directory) | Kind::Files(directory) => {
                let entries = fs::read_dir(directory).into_iter().flatten().flatten();
                entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
            }
        };
        names.sort();
        names
    }

    /// Removes every file there.
    pub fn wipe(&self) {
        for name in self.names() {
            match &self.kind {
                Kind::Listed(Listed { object: [before, after], .. }) => {
                    self.ask("DELETE", &format!("{before}{name}{after}"), "");
                }
                Kind::WebDav(_) => drop(self.ask("DELETE", &format!("/some/fleet/{name}"), "")),
                Kind::Files(directory) => fs::remove_file(directory.join(name)).unwrap(),
            }
        }
        assert_eq!(self.names(), [""; 0]);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        process::end(self.child.id());
        let _ = self.child.wait();
    }
}

/// A port for a server that takes a while to bind it: none of those that the kernel gives out by itself (32768 and above), or
/// who waits for the server could be given it, and connect to nobody but itself.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(61).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(10_000 + number % 20_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
