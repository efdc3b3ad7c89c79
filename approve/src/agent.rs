//! What is shown and answered, and when. One loop takes what happens: another list of asks from the daemon, a message on the
//! bus, an answer that has ended. Whatever does not happen decides nothing: a notification that is closed, that nobody
//! sees, or that expires leaves its ask as it is.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use secrets_client::Error;
use secrets_local::telling::say;
use secrets_proto::approval::{Approval, ApprovalList};
use secrets_proto::{ErrorType, Uuid};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use zbus::{Message, MessageStream};

use crate::answer::answer;
use crate::bus::{self, ANSWER, DENY, Heard, Notifications};
use crate::daemon::Daemon;
use crate::{PROGRAM, notice, pinentry};

/// How long after a failure the daemon is asked again.
const PAUSE: Duration = Duration::from_secs(2);

/// How many events wait at most.
const EVENTS: usize = 64;

/// Looks whether asks could be shown and answered on this desktop.
pub(crate) async fn check(programs: &[PathBuf]) -> Result<(), String> {
    let (notifications, _messages) = Notifications::connect().await.map_err(|error| error.to_string())?;
    if !notifications.is_there() {
        return Err(bus::Error::NoServer.to_string());
    }
    pinentry::check(programs).await.map_err(|error| error.to_string())
}

/// Shows and answers asks until a signal ends it.
pub(crate) async fn run(daemon: Daemon, programs: Vec<PathBuf>) -> Result<(), String> {
    let mut signals = Signals::new().map_err(|error| format!("signals cannot be waited for: {error}"))?;
    pinentry::check(&programs).await.map_err(|error| error.to_string())?;
    let (notifications, messages) = Notifications::connect().await.map_err(|error| error.to_string())?;
    let (events, mut heard) = mpsc::channel(EVENTS);
    let (can_show, may_wait) = watch::channel(false);
    let watching = tokio::spawn(watch_daemon(daemon.clone(), may_wait, events.clone()));
    let listening = tokio::spawn(listen(messages, events.clone()));
    let mut agent = Agent {
        daemon,
        programs,
        notifications,
        events,
        can_show,
        asks: Vec::new(),
        shown: HashMap::new(),
        passed: Vec::new(),
        wanted: VecDeque::new(),
        answering: None,
    };
    agent.look_for_server();
    let outcome = loop {
        tokio::select! {
            () = signals.end() => break Ok(()),
            event = heard.recv() => match event {
                Some(Event::BusGone) | None => break Err("the session bus is gone".to_owned()),
                Some(event) => agent.take(event).await,
            },
        }
    };
    watching.abort();
    listening.abort();
    agent.end().await;
    outcome
}

/// What happens.
enum Event {
    /// What waits for a person.
    Asks(ApprovalList),
    /// The daemon does not answer, or refuses.
    Silent(String),
    /// A message on the bus.
    Bus(Box<Message>),
    /// There is no bus any more.
    BusGone,
    /// A button was pressed.
    Denied(Uuid, Result<(), String>),
    /// A window has ended, with a line for the log.
    Answered(Uuid, String),
}

struct Agent {
    daemon: Daemon,
    programs: Vec<PathBuf>,
    notifications: Notifications,
    events: mpsc::Sender<Event>,
    /// Whether there is anybody who shows notifications: else nothing is answered here, and nobody is to wait for that.
    can_show: watch::Sender<bool>,
    /// What waits.
    asks: Vec<Approval>,
    /// The notifications that are shown, by number.
    shown: HashMap<u32, Uuid>,
    /// The asks that were shown once: what a person has closed is not shown again.
    passed: Vec<Uuid>,
    /// The asks to be answered, one window after the other.
    wanted: VecDeque<Uuid>,
    /// The ask whose window is there.
    answering: Option<(Uuid, JoinHandle<()>)>,
}

impl Agent {
    async fn take(&mut self, event: Event) {
        match event {
            Event::Asks(list) => {
                self.asks = list.approvals;
                self.settle().await;
                self.show().await;
            }
            Event::Silent(reason) => {
                self.asks.clear();
                self.settle().await;
                say(PROGRAM, &reason);
            }
            Event::Bus(message) => match self.notifications.hear(&message) {
                Some(Heard::Pressed(number, key)) => self.pressed(number, &key),
                Some(Heard::Closed(number)) => drop(self.shown.remove(&number)),
                Some(Heard::Server) => {
                    self.shown.clear();
                    self.passed.clear();
                    self.look_for_server();
                    self.show().await;
                }
                None => {}
            },
            Event::Denied(id, outcome) => match outcome {
                Ok(()) => say(PROGRAM, &format!("{}: denied", short(id))),
                Err(reason) => say(PROGRAM, &format!("{}: not denied: {reason}", short(id))),
            },
            Event::Answered(id, line) => {
                say(PROGRAM, &line);
                // Another's may be there already, if this one was settled meanwhile.
                if self.answering.as_ref().is_some_and(|(answering, _)| *answering == id) {
                    self.answering = None;
                    self.next_window();
                }
            }
            Event::BusGone => {}
        }
    }

    fn look_for_server(&mut self) {
        let is_there = self.notifications.is_there();
        if !is_there {
            say(PROGRAM, &bus::Error::NoServer.to_string());
        }
        self.can_show.send_replace(is_there);
    }

    /// Takes away what no longer waits.
    async fn settle(&mut self) {
        let waits = |id: &Uuid| self.asks.iter().any(|ask| ask.id == *id);
        let gone: Vec<u32> =
            self.shown.iter().filter(|(_, id)| !waits(id)).map(|(number, _)| *number).collect();
        self.passed.retain(waits);
        self.wanted.retain(waits);
        let is_moot = self.answering.as_ref().is_some_and(|(id, _)| !waits(id));
        for number in gone {
            self.shown.remove(&number);
            self.notifications.close(number).await;
        }
        // It has settled its ask itself, perhaps, and says so then.
        if is_moot && let Some((id, window)) = self.answering.take() {
            if !window.is_finished() {
                window.abort();
                say(PROGRAM, &format!("{}: was settled meanwhile, or allowed", short(id)));
            }
            self.next_window();
        }
    }

    /// Shows what waits and was not shown yet.
    async fn show(&mut self) {
        if !self.notifications.is_there() {
            return;
        }
        let unseen: Vec<Approval> =
            self.asks.iter().filter(|ask| !self.passed.contains(&ask.id)).cloned().collect();
        for ask in unseen {
            self.passed.push(ask.id);
            match self.notifications.show(&notice::notice(&ask)).await {
                Ok(number) => drop(self.shown.insert(number, ask.id)),
                Err(error) => say(PROGRAM, &format!("{}: not shown: {error}", notice::short(&ask))),
            }
        }
    }

    /// What a button does. Any program of the user can press one, so that none does more than to deny, or to ask.
    fn pressed(&mut self, number: u32, key: &str) {
        let Some(id) = self.shown.get(&number).copied() else { return };
        match key {
            DENY => {
                let (daemon, events) = (self.daemon.clone(), self.events.clone());
                tokio::spawn(async move {
                    let outcome = daemon.deny(id).await.map_err(|error| error.to_string());
                    let _ = events.send(Event::Denied(id, outcome)).await;
                });
            }
            ANSWER => {
                let is_there = self.answering.as_ref().is_some_and(|(answering, _)| *answering == id);
                if !is_there && !self.wanted.contains(&id) {
                    self.wanted.push_back(id);
                    self.next_window();
                }
            }
            _ => {}
        }
    }

    fn next_window(&mut self) {
        if self.answering.is_some() {
            return;
        }
        let Some(id) = self.wanted.pop_front() else { return };
        let Some(ask) = self.asks.iter().find(|ask| ask.id == id).cloned() else { return };
        let (daemon, programs, events) = (self.daemon.clone(), self.programs.clone(), self.events.clone());
        let window = tokio::spawn(async move {
            let line = answer(daemon, programs, ask).await;
            let _ = events.send(Event::Answered(id, line)).await;
        });
        self.answering = Some((id, window));
    }

    /// Leaves nothing on the desktop.
    async fn end(mut self) {
        if let Some((_, window)) = self.answering.take() {
            window.abort();
        }
        for number in self.shown.into_keys() {
            self.notifications.close(number).await;
        }
    }
}

fn short(id: Uuid) -> String {
    id.to_string().chars().take(8).collect()
}

/// Tells what waits at the daemon, as long as it can be shown: who waits there is counted on.
async fn watch_daemon(daemon: Daemon, mut can_show: watch::Receiver<bool>, events: mpsc::Sender<Event>) {
    let mut after = None;
    let mut last_said = None;
    loop {
        if can_show.wait_for(|can| *can).await.is_err() {
            return;
        }
        let outcome = tokio::select! {
            outcome = daemon.asks(after) => outcome,
            // Who is told `no` by this is a channel whose other end is gone.
            _ = can_show.wait_for(|can| !*can) => continue,
        };
        let event = match outcome {
            Ok(list) => {
                after = Some(list.changes);
                last_said = None;
                Event::Asks(list)
            }
            Err(error) => {
                after = None;
                let reason = told(&error);
                let is_new = last_said.as_ref() != Some(&reason);
                last_said = Some(reason.clone());
                sleep(PAUSE).await;
                if !is_new {
                    continue;
                }
                Event::Silent(reason)
            }
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}

fn told(error: &Error) -> String {
    match error.kind() {
        Some(ErrorType::ForbiddenError) => "this token may not answer; the owner's may".to_owned(),
        _ => error.to_string(),
    }
}

async fn listen(mut messages: MessageStream, events: mpsc::Sender<Event>) {
    while let Some(message) = bus::next(&mut messages).await {
        if events.send(Event::Bus(Box::new(message))).await.is_err() {
            return;
        }
    }
    let _ = events.send(Event::BusGone).await;
}

/// What ends this process.
struct Signals {
    term: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn end(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
