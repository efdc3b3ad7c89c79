//! A stand-in for logind on a real bus: a `dbus-daemon` of the test's own, and a program on it that has logind's name,
//! hands out inhibitors, knows sessions, and says what the test wants said. What the real logind does of this is in
//! `systemd/logind.rs`.

use std::collections::HashMap;
use std::fs;
use std::future::poll_fn;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use futures_core::Stream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use secretsd_tests::process::{DEADLINE, until};
use serde::Serialize;
use tokio::runtime::Handle;
use zbus::message::Type;
use zbus::{Connection, DynamicType, Fd, Message, MessageStream, ObjectPath, Variant};

pub const OBJECT: &str = "/org/freedesktop/login1";
pub const MANAGER: &str = "org.freedesktop.login1.Manager";
pub const SESSION: &str = "org.freedesktop.login1.Session";
pub const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const LOGIND: &str = "org.freedesktop.login1";
const DRIVER: &str = "org.freedesktop.DBus";

/// A session of the test's user, and one of somebody else's.
pub const OWN: &str = "/org/freedesktop/login1/session/_31";
pub const FOREIGN: &str = "/org/freedesktop/login1/session/_32";

/// A bus that lets everybody do everything: what the real one forbids must not be what the daemon relies on.
pub struct Bus {
    daemon: Child,
    socket: PathBuf,
}

impl Bus {
    pub fn start(socket: &Path) -> Self {
        let config = socket.with_extension("conf");
        let text = format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
            "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
            <busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
            <policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
            <allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
            <allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/>
            <allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
            </policy></busconfig>"#,
            socket.display()
        );
        fs::write(&config, text).unwrap();
        let _ = fs::remove_file(socket);
        let daemon = Command::new("dbus-daemon")
            .args(["--nofork", "--nopidfile", "--nosyslog", "--config-file"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // It would like a higher limit of open files than it may have.
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let bus = Self { daemon, socket: socket.to_owned() };
        until("the bus listens", || std::os::unix::net::UnixStream::connect(&bus.socket).is_ok());
        bus
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.daemon.kill().ok();
        self.daemon.wait().ok();
    }
}

/// A program on the bus.
pub struct Peer {
    connection: Connection,
    runtime: Handle,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    state: Arc<Mutex<State>>,
}

/// What logind would know.
#[derive(Default)]
struct State {
    /// The other ends of the inhibitors that were handed out, with who holds them.
    inhibitors: Vec<(String, OwnedFd)>,
    /// How often a session's user was asked for.
    questions: HashMap<String, usize>,
    /// By whom, the last time.
    asker: String,
    /// How calls of `Inhibit` are refused, if they are.
    refusal: Option<&'static str>,
}

impl Peer {
    /// Somebody on the bus.
    pub fn stranger(bus: &Bus) -> Self {
        let stream = std::os::unix::net::UnixStream::connect(&bus.socket).unwrap();
        let (ready, made) = std::sync::mpsc::channel();
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let state = Arc::new(Mutex::new(State::default()));
        let thread = thread::spawn({
            let state = Arc::clone(&state);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let connection = zbus::connection::Builder::unix_stream(stream).build().await.unwrap();
                    let mut messages = MessageStream::from(&connection);
                    ready.send((connection.clone(), Handle::current())).unwrap();
                    loop {
                        let message = tokio::select! {
                            _ = &mut stopped => return,
                            message = next(&mut messages) => message,
                        };
                        let Some(Ok(message)) = message else { return };
                        if message.message_type() == Type::MethodCall {
                            answer(&connection, &state, &message).await;
                        }
                    }
                });
            }
        });
        let (connection, runtime) = made.recv_timeout(DEADLINE).unwrap();
        Self { connection, runtime, stop: Some(stop), thread: Some(thread), state }
    }

    /// Logind.
    pub fn logind(bus: &Bus) -> Self {
        let peer = Self::stranger(bus);
        peer.take_the_name();
        peer
    }

    /// Logind that lets nobody hold up a suspend, by this error.
    pub fn refusing(bus: &Bus, refusal: &'static str) -> Self {
        let peer = Self::stranger(bus);
        peer.state().refusal = Some(refusal);
        peer.take_the_name();
        peer
    }

    fn take_the_name(&self) {
        self.call_driver("RequestName", &(LOGIND, 4_u32));
    }

    /// Goes and comes back, as a logind that is restarted.
    pub fn restart(&self) {
        self.call_driver("ReleaseName", &LOGIND);
        self.take_the_name();
    }

    fn call_driver(&self, name: &str, body: &(impl Serialize + DynamicType)) {
        let call =
            self.connection.call_method(Some(DRIVER), "/org/freedesktop/DBus", Some(DRIVER), name, body);
        self.runtime.block_on(call).unwrap();
    }

    /// Says something to everybody.
    pub fn signal(&self, path: &str, interface: &str, member: &str, body: &(impl Serialize + DynamicType)) {
        let signal = Message::signal(path, interface, member).build(body).unwrap();
        self.runtime.block_on(self.connection.send(&signal)).unwrap();
    }

    /// Says something to one alone, whatever that one has asked for.
    pub fn signal_to(
        &self,
        whom: &str,
        path: &str,
        interface: &str,
        member: &str,
        body: &(impl Serialize + DynamicType),
    ) {
        let signal = Message::signal(path, interface, member).destination(whom).build(body).unwrap();
        self.runtime.block_on(self.connection.send(&signal)).unwrap();
    }

    /// A session is to be locked.
    pub fn lock(&self, session: &str) {
        self.signal(session, SESSION, "Lock", &());
    }

    /// A session was or is no longer locked, says who draws it.
    pub fn hint(&self, session: &str, locked: bool) {
        self.signal(session, PROPERTIES, "PropertiesChanged", &hint(locked));
    }

    /// A suspend begins or is over.
    pub fn sleep(&self, begins: bool) {
        self.state().refusal = begins.then_some("org.freedesktop.login1.OperationInProgress");
        self.signal(OBJECT, MANAGER, "PrepareForSleep", &begins);
    }

    /// How many inhibitors were handed out so far.
    pub fn inhibitors(&self) -> usize {
        self.state().inhibitors.len()
    }

    /// Who got the newest.
    pub fn holder(&self) -> String {
        self.state().inhibitors.last().unwrap().0.clone()
    }

    /// Whether anybody still holds an inhibitor.
    pub fn is_inhibited(&self) -> bool {
        self.state().inhibitors.iter().any(|(_, end)| !is_over(end, 0))
    }

    /// Waits until nobody holds an inhibitor, as logind does before it lets the machine sleep.
    #[track_caller]
    pub fn wait_for_inhibitors(&self) {
        let ends: Vec<OwnedFd> =
            self.state().inhibitors.iter().map(|(_, end)| end.try_clone().unwrap()).collect();
        for end in ends {
            assert!(is_over(&end, 10), "an inhibitor is held too long");
        }
    }

    /// Who asked for a session's user last.
    pub fn asker(&self) -> String {
        self.state().asker.clone()
    }

    /// This one's name on the bus.
    pub fn name(&self) -> String {
        self.connection.unique_name().unwrap().to_string()
    }

    /// Calls somebody and does not wait for an answer.
    pub fn call(
        &self,
        whom: &str,
        path: &str,
        interface: &str,
        member: &str,
        body: &(impl Serialize + DynamicType),
    ) {
        let call = Message::method_call(path, member).destination(whom).interface(interface);
        self.runtime.block_on(self.connection.send(&call.build(body).unwrap())).unwrap();
    }

    /// How often a session's user was asked for.
    pub fn questions(&self, session: &str) -> usize {
        self.state().questions.get(session).copied().unwrap_or(0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.take().unwrap().send(()).ok();
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || thread::panicking(), "the stand-in has failed");
    }
}

/// The body of the signal that says so.
pub fn hint(locked: bool) -> (&'static str, HashMap<&'static str, Variant<'static>>, Vec<&'static str>) {
    (SESSION, HashMap::from([("LockedHint", Variant::from(locked))]), Vec::new())
}

/// Whether the pipe's writing end is closed, within this time.
fn is_over(end: &OwnedFd, seconds: i64) -> bool {
    let mut fds = [PollFd::new(end, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: seconds, tv_nsec: 0 })).unwrap() > 0
        && fs::File::from(end.try_clone().unwrap()).read(&mut [0]).is_ok_and(|length| length == 0)
}

async fn next(messages: &mut MessageStream) -> Option<zbus::Result<Message>> {
    poll_fn(|cx| Pin::new(&mut *messages).poll_next(cx)).await
}

async fn answer(connection: &Connection, state: &Mutex<State>, call: &Message) {
    let header = call.header();
    let path = header.path().unwrap().to_string();
    let answer = match header.member().unwrap().as_str() {
        "Inhibit" => {
            let (what, who, _, mode): (String, String, String, String) = call.body().deserialize().unwrap();
            assert_eq!([what.as_str(), &who, &mode], ["sleep", "secretsd", "delay"]);
            let mut state = state.lock().unwrap();
            match state.refusal {
                Some(error) => Message::error(&header, error).build(&"no").unwrap(),
                None => {
                    let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).unwrap();
                    state.inhibitors.push((header.sender().unwrap().to_string(), read));
                    Message::method_return(&header).build(&Fd::from(write)).unwrap()
                }
            }
        }
        "Get" => {
            let asked: (String, String) = call.body().deserialize().unwrap();
            assert_eq!((asked.0.as_str(), asked.1.as_str()), (SESSION, "User"));
            let mut state = state.lock().unwrap();
            state.asker = header.sender().unwrap().to_string();
            *state.questions.entry(path.clone()).or_default() += 1;
            let uid = rustix::process::geteuid().as_raw() + u32::from(path != OWN);
            let user = ObjectPath::try_from("/org/freedesktop/login1/user/_1").unwrap();
            Message::method_return(&header).build(&Variant::new((uid, user))).unwrap()
        }
        other => panic!("logind was asked for {other}"),
    };
    connection.send(&answer).await.ok();
}
