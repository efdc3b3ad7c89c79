//! One request, one connection: connects, makes sure that the server is our own user's, and only then
//! sends the token and what may be a value. Everything has a deadline and a size. It knows no command.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, IF_MATCH};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use secrets_local::places::LONGEST_SOCKET;
use secrets_proto::approval::CLIENT_HEADER;
use secrets_proto::reveal::{RevealReply, RevealRequest};
use secrets_proto::secret::SecretList;
use secrets_proto::vault::VaultStatus;
use secrets_proto::{API_VERSION, ErrorType, SensitiveString};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use zeroize::Zeroizing;

use crate::call::{Answer, Call};
use crate::error::Error;
use crate::token::{self, TokenSource};

/// How long things may take, and how large an answer may be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until the socket is connected.
    pub connect: Duration,
    /// Until an answer begins, and then once more until it is there; of a [`Download`], until the next piece.
    pub answer: Duration,
    /// The most bytes of an answer that is held as a whole.
    pub body: usize,
}

impl Default for Limits {
    /// 2 seconds, 35 seconds and 64 MiB.
    fn default() -> Self {
        // The daemon gives a request 30 s; an answer that the client cuts off would be lost for nothing.
        Self { connect: Duration::from_secs(2), answer: Duration::from_secs(35), body: 64 << 20 }
    }
}

/// How much is read at once: most lists.
const PIECE: usize = 64 << 10;

/// Asks the daemon at one socket. It holds no connection: each request makes one, unless it is told to
/// [keep](Self::keeping) some.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    token: TokenSource,
    limits: Limits,
    server_uid: u32,
    kept: Option<Kept>,
}

impl Client {
    /// Asks the daemon at this socket, which must run as the user that this process runs as now. It connects when there is
    /// something to ask.
    pub fn new(socket: PathBuf, token: TokenSource, limits: Limits) -> Self {
        Self { socket, token, limits, server_uid: rustix::process::geteuid().as_raw(), kept: None }
    }

    /// Keeps up to so many connections after their answers, for what is asked next. What was read from one stays in its
    /// buffer until it is closed, so that [`Self::close_kept`] must be called soon after values were asked for.
    pub fn keeping(self, most: usize) -> Self {
        Self { kept: Some(Kept { most, connections: Arc::default() }), ..self }
    }

    /// Closes the kept connections that nobody has used for so long. Says whether there are others.
    pub fn close_kept(&self, unused_for: Duration) -> bool {
        let Some(kept) = &self.kept else { return false };
        let mut connections = kept.lock();
        connections.retain(|(since, _)| since.elapsed() < unused_for);
        !connections.is_empty()
    }

    /// All secrets that the token may see, by name, without their values.
    pub async fn list(&self) -> Result<SecretList, Error> {
        self.send(&Call::list()).await?.parse()
    }

    /// The values of all that is asked for, or none: one exact name that does not exist fails the whole, with
    /// [`ErrorType::NotFoundError`]. The daemon has written the reveal to its audit log before the values leave it.
    pub async fn reveal(&self, request: &RevealRequest) -> Result<RevealReply, Error> {
        self.send(&Call::reveal(request)?).await?.parse()
    }

    /// The state of the vault.
    pub async fn status(&self) -> Result<VaultStatus, Error> {
        self.send(&Call::status()).await?.parse()
    }

    /// Connects and looks whose the server is; nothing is sent.
    pub async fn probe(&self) -> Result<(), Error> {
        self.stream().await.map(drop)
    }

    /// Sends a request with the token and returns the answer if it is a success. A token that the daemon does not know is
    /// read from its file again, and if another is there by then, the request is sent once more.
    pub async fn send(&self, call: &Call) -> Result<Answer, Error> {
        let (connection, response) = self.respond(call).await?;
        let answer = self.collect(response).await?;
        if let Some(kept) = &self.kept {
            kept.keep(connection);
        }
        Ok(answer)
    }

    /// Sends a request whose answer is too large to be held: its body, of at most `limit` bytes, comes in pieces.
    pub async fn download(&self, call: &Call, limit: u64) -> Result<Download, Error> {
        let (connection, response) = self.respond(call).await?;
        let incoming = response.into_body();
        let length = incoming.size_hint().exact().filter(|length| *length <= limit);
        let length = length.ok_or(Error::NotUnderstood("the size of an answer"))?;
        Ok(Download { _connection: connection, incoming, length, received: 0, patience: self.limits.answer })
    }

    /// Sends a request with the token and returns the head of the answer if it is a success.
    async fn respond(&self, call: &Call) -> Result<(Connection, Response<Incoming>), Error> {
        let mut connection = self.connection().await?;
        let token = match self.token.read() {
            // systemd holds the socket and the daemon is still starting: it answers once its token is written.
            Err(token::Error::Absent(_)) => {
                self.exchange(&mut connection, &Call::health(), None).await?;
                connection = self.connect().await?;
                self.token.read()?
            }
            other => other?,
        };
        let response = self.exchange(&mut connection, call, Some(&token)).await?;
        let error = match self.accepted(response).await {
            Ok(response) => return Ok((connection, response)),
            Err(error) => error,
        };
        if !matches!(&error, Error::Refused(body) if body.kind == ErrorType::AuthenticationError) {
            return Err(error);
        }
        // The daemon may have started since the file was read; what was refused with 401 was not done.
        let fresh = self.token.read()?;
        if fresh == token {
            return Err(error);
        }
        let mut connection = self.connect().await?;
        let response = self.exchange(&mut connection, call, Some(&fresh)).await?;
        Ok((connection, self.accepted(response).await?))
    }

    /// The answer if it is a success, the refusal otherwise.
    async fn accepted(&self, response: Response<Incoming>) -> Result<Response<Incoming>, Error> {
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.collect(response).await?.refusal())
    }

    /// A kept connection that is still good, or a new one.
    async fn connection(&self) -> Result<Connection, Error> {
        while let Some(mut kept) = self.kept.as_ref().and_then(Kept::take) {
            if kept.sender.ready().await.is_ok() {
                return Ok(kept);
            }
        }
        self.connect().await
    }

    async fn connect(&self) -> Result<Connection, Error> {
        let stream = self.stream().await?;
        let mut builder = http1::Builder::new();
        // A kept connection has short answers, and each of them gives a buffer up, which is wiped then.
        if self.kept.is_none() {
            builder.read_buf_exact_size(Some(PIECE));
        }
        let (sender, driver) = builder.handshake(TokioIo::new(stream)).await.map_err(|_| Error::Broken)?;
        let driver = tokio::spawn(async move {
            // How the connection ends shows in the exchange.
            let _ = driver.await;
        });
        Ok(Connection { sender, driver })
    }

    /// A connection whose other end is our own user's.
    async fn stream(&self) -> Result<UnixStream, Error> {
        if self.socket.as_os_str().len() > LONGEST_SOCKET {
            return Err(Error::TooLong(self.socket.clone()));
        }
        let deadline = Instant::now() + self.limits.connect;
        let failed = |source| Error::Connect { path: self.socket.clone(), source };
        let stream = loop {
            let attempt = timeout(self.limits.connect, UnixStream::connect(&self.socket));
            let error = match attempt.await {
                Err(_) => return Err(Error::Timeout),
                Ok(Ok(stream)) => break stream,
                Ok(Err(error)) => error,
            };
            let kind = error.kind();
            if kind == io::ErrorKind::NotFound || kind == io::ErrorKind::ConnectionRefused {
                return Err(Error::NotListening(self.socket.clone()));
            }
            // The listener's queue is full; Unix sockets say so instead of waiting.
            if kind != io::ErrorKind::WouldBlock || Instant::now() >= deadline {
                return Err(failed(error));
            }
            sleep(Duration::from_millis(5)).await;
        };
        let uid = stream.peer_cred().map_err(failed)?.uid();
        if uid != self.server_uid {
            return Err(Error::ForeignServer(self.socket.clone(), uid));
        }
        Ok(stream)
    }

    async fn exchange(
        &self,
        connection: &mut Connection,
        call: &Call,
        token: Option<&SensitiveString>,
    ) -> Result<Response<Incoming>, Error> {
        let response = connection.sender.send_request(request(call, token)?);
        let patience = call.patience.unwrap_or(self.limits.answer);
        let response = timeout(patience, response).await.map_err(|_| Error::Timeout)?;
        response.map_err(|_| Error::Broken)
    }

    async fn collect(&self, response: Response<Incoming>) -> Result<Answer, Error> {
        timeout(self.limits.answer, self.collect_slowly(response)).await.map_err(|_| Error::Timeout)?
    }

    async fn collect_slowly(&self, response: Response<Incoming>) -> Result<Answer, Error> {
        let mut incoming = response.into_body();
        let announced = incoming.size_hint().exact().unwrap_or(0);
        let too_large = Error::NotUnderstood("the size of an answer");
        let Some(capacity) = usize::try_from(announced).ok().filter(|size| *size <= self.limits.body) else {
            return Err(too_large);
        };
        let mut body = Zeroizing::new(Vec::with_capacity(capacity));
        while let Some(frame) = incoming.frame().await {
            let Ok(data) = frame.map_err(|_| Error::Broken)?.into_data() else { continue };
            if body.len() + data.len() > self.limits.body {
                return Err(too_large);
            }
            body.extend_from_slice(&data);
        }
        Ok(Answer { body })
    }
}

/// The body of an answer that comes in pieces.
#[derive(Debug)]
pub struct Download {
    _connection: Connection,
    incoming: Incoming,
    length: u64,
    received: u64,
    patience: Duration,
}

impl Download {
    /// The next piece; `None` when all that was announced is there. What ends before that is [`Error::Broken`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let frame = timeout(self.patience, self.incoming.frame()).await.map_err(|_| Error::Timeout)?;
        let Some(frame) = frame else {
            return if self.received == self.length { Ok(None) } else { Err(Error::Broken) };
        };
        let data = frame.map_err(|_| Error::Broken)?.into_data().unwrap_or_default();
        self.received += data.len() as u64;
        Ok(Some(data))
    }
}

/// Connections that are kept, with the time of their last answer.
#[derive(Debug, Clone)]
struct Kept {
    most: usize,
    connections: Arc<Mutex<Vec<(Instant, Connection)>>>,
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Vec<(Instant, Connection)>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was used last: the others get old.
    fn take(&self) -> Option<Connection> {
        self.lock().pop().map(|(_, connection)| connection)
    }

    fn keep(&self, connection: Connection) {
        let mut connections = self.lock();
        if connections.len() < self.most {
            connections.push((Instant::now(), connection));
        }
    }
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn request(call: &Call, token: Option<&SensitiveString>) -> Result<Request<Full<Bytes>>, Error> {
    let mut builder = Request::builder()
        .method(&call.method)
        .uri(&call.target)
        .header(HOST, "localhost")
        .header("x-secretsd-api", API_VERSION);
    if let Some(token) = token {
        let text = Zeroizing::new(format!("Bearer {}", token.expose()));
        let mut value = HeaderValue::from_str(&text).map_err(|_| token::Error::Malformed)?;
        value.set_sensitive(true);
        builder = builder.header(AUTHORIZATION, value);
    }
    if let Some(said) = &call.said {
        builder = builder.header(CLIENT_HEADER, said);
    }
    if let Some(version) = call.if_match {
        builder = builder.header(IF_MATCH, format!("\"{version}\""));
    }
    if call.body.is_some() {
        builder = builder.header(CONTENT_TYPE, "application/json");
    }
    builder
        .body(Full::new(call.body.clone().unwrap_or_default()))
        .map_err(|_| Error::NotUnderstood("a request"))
}

#[cfg(test)]
mod tests;
