//! The sockets of a session with a name. Over the control socket programs come in, from containers and other machines too,
//! so that nothing else is offered there: a listener is taken, or a connection is, and the variables are told. What
//! concerns the session itself comes as an order of its user, over a socket that is mounted nowhere.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, sockopt};
use secrets_local::{descriptors, files, passing};
use secrets_proto::broker::{Ask, Attach, Attached, Described, Note, Order, Told, Variables};
use secrets_proto::{SecretName, Uuid};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::time::{sleep, timeout};

use crate::accept::Connections;
use crate::environment::{Trust, variables};
use crate::tunnel::Tunnels;

/// How long a question and its answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// After a failure that may pass, such as too few descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// The most questions at a time.
const MOST_ASKING: usize = 32;

/// The most programs with a listener of their own.
const MOST_PROGRAMS: usize = 64;

/// The most bytes of a question or an order: a path and some words.
const MOST_BYTES: usize = 8 << 10;

/// What programs are told.
pub(crate) struct Programs {
    /// The files that their variables name.
    pub(crate) trust: Trust,
    /// The session's id.
    pub(crate) session: Uuid,
    /// The secrets, each with its placeholder.
    pub(crate) secrets: Vec<(SecretName, String)>,
    /// The port of the session's own listener.
    pub(crate) port: u16,
}

impl Programs {
    /// The variables for a program that sees its files in this directory, and its proxy at this port.
    pub(crate) fn variables(&self, files: &Path, port: u16) -> Variables {
        let placeholders: Vec<(String, String)> =
            self.secrets.iter().map(|(name, placeholder)| (name.to_string(), placeholder.clone())).collect();
        variables(files, port, &self.session.to_string(), &placeholders)
    }
}

/// A session's sockets.
pub(crate) struct Control {
    tunnels: Arc<Tunnels>,
    connections: Arc<Connections>,
    programs: Programs,
    note: Note,
    /// How many more programs may have a listener of their own.
    room: Arc<Semaphore>,
    closed: Arc<Notify>,
    uid: u32,
}

impl Control {
    /// For programs whose connections count among these.
    pub(crate) fn new(
        tunnels: Arc<Tunnels>,
        connections: Arc<Connections>,
        programs: Programs,
        note: Note,
    ) -> Self {
        let uid = rustix::process::geteuid().as_raw();
        let room = Arc::new(Semaphore::new(MOST_PROGRAMS));
        Self { tunnels, connections, programs, note, room, closed: Arc::default(), uid }
    }

    /// Takes no more connections over the listeners of programs.
    pub(crate) fn close(&self) {
        self.closed.notify_waiters();
    }

    /// Answers what is asked over the control socket. It never ends by itself.
    pub(crate) async fn serve(self: Arc<Self>, listener: UnixListener) {
        let asking = Arc::new(Semaphore::new(MOST_ASKING));
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be taken");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            // Taken all the same: nobody who connects is to wait for those that say nothing.
            let Ok(permit) = asking.clone().try_acquire_owned() else { continue };
            let control = self.clone();
            tokio::spawn(async move {
                let answered = timeout(PATIENCE, control.answer(stream)).await;
                drop(permit);
                match answered {
                    Ok(Ok(Some(stream))) => control.relay(stream).await,
                    Ok(Ok(None)) => {}
                    Ok(Err(error)) => {
                        tracing::warn!(%error, "a question over the control socket has no answer")
                    }
                    Err(_) => tracing::warn!("a question over the control socket takes too long"),
                }
            });
        }
    }

    /// Waits for the order to end the session, and gives the connection that it came over.
    pub(crate) async fn order(&self, listener: &UnixListener) -> UnixStream {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else {
                sleep(PAUSE).await;
                continue;
            };
            if stream.peer_cred().map(|peer| peer.uid()).ok() != Some(self.uid) {
                tracing::warn!("an order of another user is refused");
                continue;
            }
            let order = timeout(PATIENCE, receive::<Order>(&mut stream)).await;
            if let Ok(Ok((Order::End, _))) = order {
                tracing::info!("the session is ended");
                return stream;
            }
        }
    }

    /// Answers one question. Gives the connection back if what follows on it is a program's.
    async fn answer(&self, mut stream: UnixStream) -> io::Result<Option<UnixStream>> {
        // Who gets as far as here has been let in by the file system: root, or a container's user, which may have no
        // number that we know. A user that we do know is one of this machine, and somebody else.
        let uid = stream.peer_cred()?.uid();
        if files::is_anothers(uid, self.uid) {
            tracing::warn!(uid, "a question of another user is refused");
            return Ok(None);
        }
        let (ask, descriptors) = receive(&mut stream).await?;
        let told = match ask {
            Ask::Stream => return Ok(Some(stream)),
            Ask::Describe => Told::Described(Described {
                note: self.note.clone(),
                uses: self.tunnels.daemon().uses(),
                variables: self.programs.variables(self.programs.trust.dir(), self.programs.port),
            }),
            Ask::Attach(attach) => self
                .attach(attach, descriptors)
                .map_or_else(|why| Told::Refused(why.to_owned()), Told::Attached),
        };
        let message = serde_json::to_vec(&told)?;
        let length = u32::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
        stream.write_all(&length.to_be_bytes()).await?;
        stream.write_all(&message).await?;
        Ok(None)
    }

    /// Serves one connection of a program, as those of a listener are.
    async fn relay(&self, stream: UnixStream) {
        match self.connections.admit() {
            Some(permit) => {
                self.tunnels.clone().serve(stream, permit).await;
            }
            None => tracing::warn!("there are too many connections; one is refused"),
        }
    }

    /// Takes a program's listener, if one has arrived, and tells what the program needs.
    fn attach(&self, attach: Attach, descriptors: Vec<OwnedFd>) -> Result<Attached, &'static str> {
        let Attach { mut port, files_in } = attach;
        let listens = !descriptors.is_empty();
        if listens {
            let [listener, program]: [OwnedFd; 2] =
                descriptors.try_into().map_err(|_| "a listener and a pidfd are expected")?;
            port = self.listen(listener, program)?;
        }
        let is_plain = |path: &Path| {
            path.is_absolute() && path.to_str().is_some_and(|text| !text.contains(char::is_control))
        };
        let (dir, files) = match &files_in {
            None => (self.programs.trust.dir(), Vec::new()),
            Some(dir) if is_plain(dir) => (&**dir, self.programs.trust.contents(dir)),
            Some(_) => return Err("the directory for the files must be an absolute path"),
        };
        Ok(Attached { variables: self.programs.variables(dir, port), files, listens })
    }

    /// Serves a listener until its program has ended; gives its port.
    fn listen(&self, listener: OwnedFd, program: OwnedFd) -> Result<u16, &'static str> {
        let is_tcp = sockopt::socket_domain(&listener) == Ok(AddressFamily::INET)
            && sockopt::socket_type(&listener) == Ok(SocketType::STREAM)
            && sockopt::socket_acceptconn(&listener) == Ok(true);
        let listener = TcpListener::from(listener);
        let address =
            listener.local_addr().ok().filter(|address| is_tcp && address.ip() == Ipv4Addr::LOCALHOST);
        let address = address.ok_or("a socket that listens on 127.0.0.1 is expected")?;
        // Of anything else nobody could say when the program has ended.
        if !descriptors::is_pidfd(&program) {
            return Err("a pidfd of the program is expected");
        }
        let broken = |_| "the listener cannot be used";
        listener.set_nonblocking(true).map_err(broken)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(broken)?;
        let room = self.room.clone().try_acquire_owned();
        let room = room.map_err(|_| "the session has as many programs as it can have; end one")?;
        let (connections, tunnels) = (self.connections.beside(listener), self.tunnels.clone());
        let (closed, ended) = (self.closed.clone(), end_of(program));
        tokio::spawn(async move {
            tokio::select! {
                () = closed.notified() => {}
                () = connections.serve(|stream, permit| tunnels.clone().serve(stream, permit)) => {}
                _ = ended => {}
            }
            drop(room);
        });
        Ok(address.port())
    }
}

/// Tells when a program has ended, by a thread that waits for it: a pidfd (pidfd_open(2)) can be read from then.
pub(crate) fn end_of(program: OwnedFd) -> oneshot::Receiver<()> {
    let (tell, ended) = oneshot::channel();
    std::thread::spawn(move || {
        while poll(&mut [PollFd::new(&program, PollFlags::IN)], None) == Err(Errno::INTR) {}
        let _ = tell.send(());
    });
    ended
}

/// Receives a message and no byte more, with its descriptors.
async fn receive<T: serde::de::DeserializeOwned>(stream: &mut UnixStream) -> io::Result<(T, Vec<OwnedFd>)> {
    let (head, descriptors) = stream.async_io(Interest::READABLE, || passing::receive_head(&*stream)).await?;
    let mut length = [0; 4];
    head.as_slice().chain(&mut *stream).read_exact(&mut length).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MOST_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok((serde_json::from_slice(&message)?, descriptors))
}
