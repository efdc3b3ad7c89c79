//! The client against servers that behave badly: a real HTTP server where the answer matters, a bare
//! socket where it does not come to that.

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use hyper::body::Incoming;
use hyper::service::service_fn;
use secrets_proto::ErrorBody;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::*;

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        place.write_token("first");
        place
    }

    fn token(&self) -> PathBuf {
        self.dir.path().join("token")
    }

    fn write_token(&self, token: &str) {
        fs::write(self.token(), token).unwrap();
        fs::set_permissions(self.token(), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("s.sock")
    }

    fn listen(&self) -> UnixListener {
        UnixListener::bind(self.socket()).unwrap()
    }

    fn client(&self) -> Client {
        let limits =
            Limits { connect: Duration::from_millis(500), answer: Duration::from_millis(200), body: 1_000 };
        Client::new(self.socket(), TokenSource::File(self.token()), limits)
    }
}

/// Answers each request by `answer`, which sees its path and token.
fn serve(
    listener: UnixListener,
    answer: impl Fn(&str, Option<&str>) -> (u16, String) + Send + Sync + 'static,
) {
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = Arc::clone(&answer);
            let service = service_fn(move |request: Request<Incoming>| {
                let header = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap());
                let (status, body) = answer(request.uri().path(), header);
                let response = Response::builder().status(status).body(Full::new(Bytes::from(body))).unwrap();
                async { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
}

fn refusal(kind: ErrorType) -> (u16, String) {
    (kind.code(), serde_json::to_string(&ErrorBody::new(kind, "no")).unwrap())
}

async fn get(client: &Client) -> Result<Answer, Error> {
    client.send(&Call::get("/vault")).await
}

#[tokio::test]
async fn sends_the_token_and_returns_the_bytes() {
    let place = Place::new();
    serve(place.listen(), |path, token| (200, format!("{path} {}", token.unwrap())));
    let answer = get(&place.client()).await.unwrap();
    assert_eq!(answer.bytes(), b"/api/v1/vault Bearer first");
}

#[tokio::test]
async fn a_foreign_server_gets_not_a_byte() {
    let place = Place::new();
    let listener = place.listen();
    let seen = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        bytes
    });
    let client = Client { server_uid: u32::MAX - 1, ..place.client() };
    assert!(matches!(get(&client).await, Err(Error::ForeignServer(..))));
    assert_eq!(seen.await.unwrap(), b"");
}

#[tokio::test]
async fn nothing_there_and_nobody_there_are_told_from_other_failures() {
    let place = Place::new();
    assert!(matches!(get(&place.client()).await, Err(Error::NotListening(_))));
    drop(place.listen());
    assert!(place.socket().exists());
    assert!(matches!(get(&place.client()).await, Err(Error::NotListening(_))));
    let client = Client { socket: Path::new("/").join("x".repeat(108)), ..place.client() };
    assert!(matches!(get(&client).await, Err(Error::TooLong(_))));
    let client = Client { socket: place.socket().join("x"), ..place.client() };
    assert!(matches!(get(&client).await, Err(Error::Connect { .. })));
}

#[tokio::test]
async fn a_silent_server_is_left_in_time() {
    let place = Place::new();
    let _listener = place.listen();
    assert!(matches!(get(&place.client()).await, Err(Error::Timeout)));
}

#[tokio::test]
async fn a_server_that_stops_in_the_middle_of_its_answer_is_left_in_time() {
    let place = Place::new();
    let listener = place.listen();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour").await.unwrap();
        std::future::pending::<()>().await;
    });
    assert!(matches!(get(&place.client()).await, Err(Error::Timeout)));
}

#[tokio::test]
async fn a_cut_connection_and_what_is_not_http_are_broken() {
    for bytes in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nfour", b"SSH-2.0-x\r\n"] {
        let place = Place::new();
        let listener = place.listen();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(bytes).await.unwrap();
        });
        assert!(matches!(get(&place.client()).await, Err(Error::Broken)), "{bytes:?}");
    }
}

#[tokio::test]
async fn an_answer_has_a_size() {
    let place = Place::new();
    serve(place.listen(), |path, _| match path {
        "/api/v1/fits" => (200, "x".repeat(1_000)),
        _ => (200, "x".repeat(1_001)),
    });
    let fits = place.client().send(&Call::get("/fits")).await.unwrap();
    assert_eq!(fits.bytes().len(), 1_000);
    assert!(matches!(get(&place.client()).await, Err(Error::NotUnderstood(_))));
}

#[tokio::test]
async fn a_chunked_answer_has_a_size_too() {
    let place = Place::new();
    let listener = place.listen();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        // Endless; ends when the client hangs up.
        while stream.write_all(b"5\r\nhello\r\n").await.is_ok() {}
    });
    assert!(matches!(get(&place.client()).await, Err(Error::NotUnderstood(_))));
}

#[tokio::test]
async fn refusals_are_told_by_their_type_and_other_errors_are_not_understood() {
    let place = Place::new();
    serve(place.listen(), |path, _| match path {
        "/api/v1/locked" => refusal(ErrorType::VaultLockedError),
        _ => (500, "<html>canary".to_owned()),
    });
    let Err(Error::Refused(body)) = place.client().send(&Call::get("/locked")).await else { panic!() };
    assert_eq!(body.kind, ErrorType::VaultLockedError);
    assert!(matches!(get(&place.client()).await, Err(Error::NotUnderstood(_))));
}

#[tokio::test]
async fn a_token_that_changed_with_the_daemon_is_read_again() {
    let place = Place::new();
    let token = place.token();
    serve(place.listen(), move |_, header| {
        if header == Some("Bearer second") {
            return (200, "done".to_owned());
        }
        // The daemon that holds the new token writes it while the client still sends the old one.
        fs::write(&token, "second").unwrap();
        refusal(ErrorType::AuthenticationError)
    });
    assert_eq!(get(&place.client()).await.unwrap().bytes(), b"done");
}

#[tokio::test]
async fn a_wrong_token_is_sent_once() {
    let place = Place::new();
    let requests = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&requests);
    serve(place.listen(), move |_, _| {
        *counter.lock().unwrap() += 1;
        refusal(ErrorType::AuthenticationError)
    });
    assert!(matches!(get(&place.client()).await, Err(Error::Refused(_))));
    assert_eq!(*requests.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_daemon_that_is_still_starting_is_waited_for_without_a_token() {
    let place = Place::new();
    fs::remove_file(place.token()).unwrap();
    let dir = place.token();
    serve(place.listen(), move |path, header| {
        if path == "/healthz" {
            assert_eq!(header, None);
            fs::write(&dir, "late").unwrap();
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o600)).unwrap();
            return (200, "ok".to_owned());
        }
        (200, header.unwrap().to_owned())
    });
    assert_eq!(get(&place.client()).await.unwrap().bytes(), b"Bearer late");
}

#[tokio::test]
async fn a_download_comes_in_pieces_and_is_whole_or_an_error() {
    let place = Place::new();
    serve(place.listen(), |path, _| match path {
        "/api/v1/whole" => (200, "x".repeat(5_000)),
        _ => refusal(ErrorType::VaultLockedError),
    });
    let client = place.client();
    // More than an answer that is held may have.
    let mut body = client.download(&Call::get("/whole"), 5_000).await.ok().unwrap();
    let mut length = 0;
    while let Some(piece) = body.next().await.unwrap() {
        length += piece.len();
    }
    assert_eq!(length, 5_000);
    let outcome = client.download(&Call::get("/whole"), 4_999).await;
    assert!(matches!(outcome, Err(Error::NotUnderstood(_))));
    let outcome = client.download(&Call::get("/refused"), 5_000).await;
    assert!(matches!(outcome, Err(Error::Refused(body)) if body.kind == ErrorType::VaultLockedError));
}

#[tokio::test]
async fn a_download_that_is_cut_off_is_an_error() {
    let place = Place::new();
    let listener = place.listen();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1_024];
        let _ = stream.read(&mut request).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf").await.unwrap();
    });
    let mut body = place.client().download(&Call::get("/x"), 9).await.ok().unwrap();
    let outcome = loop {
        match body.next().await {
            Ok(Some(_)) => {}
            outcome => break outcome,
        }
    };
    assert!(matches!(outcome, Err(Error::Broken)));
}
