//! The conversation with logind over one connection to the bus. It takes messages in the order in which they arrive and waits
//! for none in particular, so that whatever the bus is flooded with, it goes on.
//!
//! Only logind's own messages count: those whose sender, which the bus attests, owns its name at that moment. Anybody else
//! can send messages to this connection as well, and they are dropped.
//!
//! Source of the messages: org.freedesktop.login1(5), and "Inhibitor Locks" of systemd's documentation.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;

use secrets_proto::vault::Obstacle;
use zbus::message::{Header, Type};
use zbus::{Message, OwnedObjectPath, OwnedVariant};

use super::Watch;
use super::bus::{Bus, DRIVER, Messages, Method};
use crate::caller::Caller;
use crate::triggers::Triggers;
use crate::vault::Vault;

/// Logind's name, object, and interfaces.
const LOGIND: &str = "org.freedesktop.login1";
const OBJECT: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
const SESSION: &str = "org.freedesktop.login1.Session";
const SESSIONS: &str = "/org/freedesktop/login1/session/";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// What logind answers while it waits for inhibitors that are held already.
const UNDER_WAY: &str = "org.freedesktop.login1.OperationInProgress";

/// How many sessions are asked about at once. What is beyond locks without being asked about.
const QUESTIONS: usize = 64;

/// The state of the conversation.
pub(super) struct Conversation<'a> {
    bus: &'a Bus,
    messages: Messages,
    watch: &'a Watch,
    vault: &'a Vault,
    triggers: &'a Triggers,
    /// What logind waits for before a suspend.
    inhibitor: &'a mut Option<OwnedFd>,
    /// Who logind is.
    logind: Option<String>,
    /// What waits for an answer, by the call's number.
    asked: HashMap<NonZeroU32, Question>,
    /// Whether the bus and logind have said yes to what is needed for each.
    suspend: bool,
    session_lock: bool,
    obstacle: Obstacle,
}

/// What was asked.
#[derive(Debug, PartialEq, Eq)]
enum Question {
    /// The bus, to pass some signals on.
    Signals,
    /// The bus, who logind is.
    Owner,
    /// Logind, to wait before a suspend.
    Inhibit,
    /// Logind, whose session it is that was locked.
    Session(String),
}

impl<'a> Conversation<'a> {
    pub(super) fn new(
        bus: &'a Bus,
        watch: &'a Watch,
        vault: &'a Vault,
        triggers: &'a Triggers,
        inhibitor: &'a mut Option<OwnedFd>,
    ) -> Self {
        Self {
            bus,
            messages: bus.messages(),
            watch,
            vault,
            triggers,
            inhibitor,
            logind: None,
            asked: HashMap::new(),
            suspend: false,
            session_lock: false,
            obstacle: Obstacle::NoAnswer,
        }
    }

    /// Goes on until the connection is gone.
    pub(super) async fn run(mut self) {
        if let Err(error) = self.begin().await {
            return tracing::debug!(%error, "the system bus takes no calls");
        }
        while let Some(message) = self.messages.next().await {
            if let Err(error) = self.hear(&message).await {
                // Of the message nothing is told: it may be anybody's.
                tracing::debug!(%error, "unexpected message from the system bus");
            }
            self.triggers.note(self.suspend, self.session_lock, self.obstacle);
        }
    }

    /// Asks for the signals first, so that none is missed between an answer and them.
    async fn begin(&mut self) -> zbus::Result<()> {
        self.triggers.note(false, false, self.obstacle);
        let mut rules = vec![format!(
            "type='signal',sender='{DRIVER}',interface='{DRIVER}',member='NameOwnerChanged',arg0='{LOGIND}'"
        )];
        if self.watch.wanted.suspend {
            rules.push(format!(
                "type='signal',sender='{LOGIND}',path='{OBJECT}',interface='{MANAGER}',member='PrepareForSleep'"
            ));
        }
        if self.watch.wanted.session_lock {
            let from = format!("type='signal',sender='{LOGIND}',path_namespace='{OBJECT}/session'");
            rules.push(format!("{from},interface='{SESSION}',member='Lock'"));
            rules
                .push(format!("{from},interface='{PROPERTIES}',member='PropertiesChanged',arg0='{SESSION}'"));
        }
        for rule in rules {
            let call = self.bus.call_driver("AddMatch", &rule).await?;
            self.asked.insert(call, Question::Signals);
        }
        let call = self.bus.call_driver("GetNameOwner", &LOGIND).await?;
        self.asked.insert(call, Question::Owner);
        Ok(())
    }

    async fn hear(&mut self, message: &Message) -> zbus::Result<()> {
        let header = message.header();
        let sender = header.sender().map_or("", |sender| sender.as_str());
        let is_logind = self.logind.as_deref() == Some(sender);
        match message.message_type() {
            Type::MethodReturn | Type::Error => {
                let Some(call) = header.reply_serial() else { return Ok(()) };
                let expected = match self.asked.get(&call) {
                    Some(Question::Signals | Question::Owner) => sender == DRIVER,
                    // The bus answers itself for somebody who is gone.
                    Some(Question::Inhibit | Question::Session(_)) => is_logind || sender == DRIVER,
                    None => false,
                };
                match self.asked.remove(&call) {
                    Some(question) if expected => self.answered(question, message, &header).await,
                    Some(question) => {
                        self.asked.insert(call, question);
                        Ok(())
                    }
                    None => Ok(()),
                }
            }
            Type::Signal if sender == DRIVER => self.owner_changed(message, &header).await,
            Type::Signal if is_logind => self.signal(message, &header).await,
            Type::Signal | Type::MethodCall => Ok(()),
        }
    }

    async fn answered(
        &mut self,
        question: Question,
        message: &Message,
        header: &Header<'_>,
    ) -> zbus::Result<()> {
        let refused = (message.message_type() == Type::Error)
            .then(|| header.error_name().map_or(String::new(), ToString::to_string));
        match (question, refused) {
            (Question::Signals, None) => Ok(()),
            (Question::Signals, Some(_)) => {
                tracing::info!("the system bus does not report when to lock");
                (self.logind, self.obstacle) = (None, Obstacle::Refused);
                Ok(())
            }
            (Question::Owner, None) => {
                let owner: String = message.body().deserialize()?;
                self.logind_is(owner).await
            }
            (Question::Owner, Some(_)) => self.logind_is(String::new()).await,
            (Question::Inhibit, None) => {
                let held: zbus::OwnedFd = message.body().deserialize()?;
                *self.inhibitor = Some(held.into());
                self.suspend = true;
                tracing::debug!("a suspend now waits until the vault is locked");
                Ok(())
            }
            (Question::Inhibit, Some(error)) => {
                // Logind tells when the suspend is over, and is asked again then.
                let suspending = error == UNDER_WAY;
                self.obstacle = if suspending { Obstacle::Suspending } else { Obstacle::Refused };
                if !suspending {
                    tracing::info!(error, "logind does not delay a suspend until the vault is locked");
                }
                Ok(())
            }
            (Question::Session(_), refused) => {
                // A session that nothing can be learnt about may be the user's.
                let owner = if refused.is_some() { None } else { user_of(message) };
                if owner.is_none_or(|uid| uid == self.watch.uid) {
                    self.lock("session lock").await;
                }
                Ok(())
            }
        }
    }

    async fn owner_changed(&mut self, message: &Message, header: &Header<'_>) -> zbus::Result<()> {
        if header.member().is_none_or(|member| member != "NameOwnerChanged") {
            return Ok(());
        }
        let body = message.body();
        let (name, _, owner): (&str, &str, String) = body.deserialize()?;
        if name != LOGIND {
            return Ok(());
        }
        self.logind_is(owner).await
    }

    /// From now on this is logind; an empty name is nobody.
    async fn logind_is(&mut self, owner: String) -> zbus::Result<()> {
        if self.obstacle == Obstacle::Refused && self.logind.is_none() {
            return Ok(());
        }
        (self.suspend, self.session_lock) = (false, false);
        self.asked.retain(|_, question| matches!(question, Question::Signals | Question::Owner));
        if owner.is_empty() {
            // The inhibitor stays: a logind that is started again still waits for it.
            tracing::info!("no logind: the vault locks neither at suspend nor with the session");
            (self.logind, self.obstacle) = (None, Obstacle::NoLogind);
            return Ok(());
        }
        (self.logind, self.obstacle) = (Some(owner), Obstacle::NoAnswer);
        self.session_lock = true;
        self.inhibit().await
    }

    async fn inhibit(&mut self) -> zbus::Result<()> {
        let Some(logind) = self.logind.as_deref().filter(|_| self.watch.wanted.suspend) else {
            return Ok(());
        };
        let method = Method { destination: logind, path: OBJECT, interface: MANAGER, name: "Inhibit" };
        let call = self.bus.call(method, &("sleep", "secretsd", "lock the vault", "delay")).await?;
        self.asked.insert(call, Question::Inhibit);
        Ok(())
    }

    /// A signal of logind's.
    async fn signal(&mut self, message: &Message, header: &Header<'_>) -> zbus::Result<()> {
        let path = header.path().map_or("", |path| path.as_str());
        let interface = header.interface().map_or("", |interface| interface.as_str());
        let member = header.member().map_or("", |member| member.as_str());
        let body = message.body();
        match (interface, member) {
            (MANAGER, "PrepareForSleep") if path == OBJECT && self.watch.wanted.suspend => {
                let starts: bool = body.deserialize()?;
                self.sleep(starts).await
            }
            (SESSION, "Lock") if self.watch.wanted.session_lock => self.session_locked(path).await,
            // Set by desktops that lock the screen without asking logind.
            (PROPERTIES, "PropertiesChanged") if self.watch.wanted.session_lock => {
                let (of, changed, _): (&str, HashMap<&str, OwnedVariant>, Vec<&str>) = body.deserialize()?;
                let locked = changed.get("LockedHint").is_some_and(|hint| bool::try_from(hint) == Ok(true));
                if of == SESSION && locked { self.session_locked(path).await } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    async fn sleep(&mut self, starts: bool) -> zbus::Result<()> {
        let wiping = self.lock("suspend").await;
        if starts {
            if wiping == Some(false) {
                *self.inhibitor = None;
            }
            (self.suspend, self.obstacle) = (false, Obstacle::Suspending);
            return Ok(());
        }
        // The next image asks for itself.
        if self.inhibitor.is_none() && wiping == Some(false) {
            return self.inhibit().await;
        }
        Ok(())
    }

    /// A session was locked; logind is asked whose it is.
    async fn session_locked(&mut self, path: &str) -> zbus::Result<()> {
        let Some(logind) = self.logind.as_deref().filter(|_| path.starts_with(SESSIONS)) else {
            return Ok(());
        };
        let question = Question::Session(path.to_owned());
        if self.asked.values().any(|asked| *asked == question) {
            return Ok(());
        }
        if self.asked.len() >= QUESTIONS {
            self.lock("session lock").await;
            return Ok(());
        }
        let method = Method { destination: logind, path, interface: PROPERTIES, name: "Get" };
        let call = self.bus.call(method, &(SESSION, "User")).await?;
        self.asked.insert(call, question);
        Ok(())
    }

    /// Locks if there is something to lock, and tells whether memory is still to be emptied; `None` if that is not known.
    async fn lock(&self, why: &'static str) -> Option<bool> {
        match self.vault.lock_if_open(&Caller::daemon(why)).await {
            Ok(true) => {
                tracing::info!(why, "locking");
                Some(true)
            }
            Ok(false) => Some(false),
            Err(error) => {
                tracing::error!(%error, why, "cannot lock");
                None
            }
        }
    }
}

/// The user in a session's property `User`: a number and an object.
fn user_of(message: &Message) -> Option<u32> {
    let value: OwnedVariant = message.body().deserialize().ok()?;
    let (uid, _) = <(u32, OwnedObjectPath)>::try_from(value).ok()?;
    Some(uid)
}
