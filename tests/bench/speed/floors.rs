//! What cannot be beaten: the libraries under the daemon, doing the same with nothing around it.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rusqlite::{Connection, ToSql, params};
use secretsd_tests::process::DEADLINE;
use tokio::net::UnixListener;

/// The argument with which this program serves as [`BareHyper`].
pub const SERVE: &str = "--serve-as-bare-hyper";

/// hyper in a process of its own, answering every request with the same bytes from memory.
#[derive(Debug)]
pub struct BareHyper {
    child: Child,
    socket: PathBuf,
}

impl BareHyper {
    /// Starts it on a socket in this directory and waits until it listens.
    pub fn start(directory: &Path, body: &[u8]) -> Self {
        Self::start_with(directory, body, None)
    }

    /// The same, and before each answer it commits the rows of a create to bare SQLite in this directory.
    pub fn storing(directory: &Path, body: &[u8]) -> Self {
        Self::start_with(directory, body, Some(directory))
    }

    fn start_with(directory: &Path, body: &[u8], rows: Option<&Path>) -> Self {
        let (socket, file) = (directory.join("bare.sock"), directory.join("bare.json"));
        std::fs::write(&file, body).unwrap();
        std::fs::remove_file(&socket).ok();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(SERVE).args([&socket, &file]).args(rows).stdin(Stdio::null());
        let child = command.spawn().unwrap();
        let end = Instant::now() + DEADLINE;
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < end, "bare hyper does not listen");
            std::thread::sleep(Duration::from_millis(2));
        }
        Self { child, socket }
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for BareHyper {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Serves until killed, on one thread, as the daemon does; commits the rows of a create in a directory each time, if there
/// is one.
pub fn serve(socket: &str, body: &str, rows: Option<&str>) {
    let body = Bytes::from(std::fs::read(body).unwrap());
    let rows = rows.map(|directory| Arc::new(Mutex::new(BareSqlite::open(Path::new(directory)))));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = UnixListener::bind(socket).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (body, rows) = (body.clone(), rows.clone());
            tokio::spawn(async move {
                let service = service_fn(move |_: Request<hyper::body::Incoming>| {
                    let body = Full::new(body.clone());
                    if let Some(rows) = &rows {
                        rows.lock().unwrap().create_once(1);
                    }
                    async move {
                        let response = Response::builder().header(CONTENT_TYPE, "application/json");
                        Ok::<_, Infallible>(response.body(body).unwrap())
                    }
                });
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await
                    .ok();
            });
        }
    });
}

/// So long the ids of new secrets begin alike in the daemon.
const MOMENT: Duration = Duration::from_millis(20);

/// Ids of the daemon's form, so that rows lie in the file as they do in a vault.
#[derive(Debug)]
struct Ids {
    start: Instant,
    next: u64,
}

impl Ids {
    fn next(&mut self) -> [u8; 16] {
        // Multiplied with it, numbers come in no order.
        const ORDERLESS: u64 = 0x9e37_79b9_7f4a_7c15;
        self.next += 1;
        let moment = (self.start.elapsed().as_nanos() / MOMENT.as_nanos()) as u64;
        let [moment, number] = [moment, self.next].map(|n| n.wrapping_mul(ORDERLESS).to_le_bytes());
        std::array::from_fn(|at| if at < 6 { moment[at] } else { number[(at - 6) % 8] })
    }
}

/// SQLite with the daemon's durability (WAL, synchronous FULL), one row of a small secret's size a commit.
#[derive(Debug)]
pub struct BareSqlite {
    connection: Connection,
    ids: Ids,
}

impl BareSqlite {
    /// A new file in this directory, which must be on the disk that the vault is on.
    pub fn open(directory: &Path) -> Self {
        let path = directory.join("bare.db");
        for suffix in ["", "-wal", "-shm"] {
            std::fs::remove_file(format!("{}{suffix}", path.display())).ok();
        }
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                 CREATE TABLE row (id BLOB PRIMARY KEY, sealed BLOB NOT NULL) WITHOUT ROWID;
                 CREATE TABLE record (kind INTEGER NOT NULL, id BLOB NOT NULL, version INTEGER NOT NULL,
                     sealed BLOB NOT NULL, PRIMARY KEY (kind, id, version)) STRICT, WITHOUT ROWID;
                 CREATE TABLE audit (sequence INTEGER PRIMARY KEY, sealed BLOB NOT NULL, mac BLOB NOT NULL) STRICT;
                 CREATE TABLE manifest (one INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
                 INSERT INTO manifest VALUES (1, zeroblob(237));",
            )
            .unwrap();
        Self { connection, ids: Ids { start: Instant::now(), next: 0 } }
    }

    /// Inserts for so long; gives the inserts a second and the middle time of one.
    pub fn insert(&mut self, duration: Duration) -> (f64, Duration) {
        self.repeat(duration, |bare| {
            let id = bare.ids.next();
            let mut statement = bare.connection.prepare_cached("INSERT INTO row VALUES (?1, ?2)").unwrap();
            statement.execute(params![id, [7_u8; 320]]).unwrap();
        })
    }

    /// The same for the rows of so many new secrets a commit: metadata and value of each, its audit entry, the manifest.
    pub fn create(&mut self, duration: Duration, secrets: u64) -> (f64, Duration) {
        let (rate, middle) = self.repeat(duration, |bare| bare.create_once(secrets));
        (rate * secrets as f64, middle)
    }

    fn create_once(&mut self, secrets: u64) {
        let run = |sql: &str, values: &[&dyn ToSql]| {
            self.connection.prepare_cached(sql).unwrap().execute(values).unwrap();
        };
        run("BEGIN IMMEDIATE", &[]);
        for _ in 0..secrets {
            let id = self.ids.next();
            run("INSERT INTO record VALUES (2, ?1, 1, zeroblob(237))", &[&id]);
            run("INSERT INTO record VALUES (1, ?1, 1, zeroblob(365))", &[&id]);
            run("INSERT INTO audit (sealed, mac) VALUES (zeroblob(365), zeroblob(32))", &[]);
        }
        run("UPDATE manifest SET sealed = randomblob(237)", &[]);
        run("COMMIT", &[]);
    }

    fn repeat(&mut self, duration: Duration, work: impl Fn(&mut Self)) -> (f64, Duration) {
        let start = Instant::now();
        let mut times = Vec::new();
        while start.elapsed() < duration {
            let began = Instant::now();
            work(self);
            times.push(began.elapsed());
        }
        let rate = times.len() as f64 / start.elapsed().as_secs_f64();
        times.sort_unstable();
        (rate, times[times.len() / 2])
    }
}
