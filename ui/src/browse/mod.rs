//! All secrets, one of them in detail, and the audit log as it grows. What changes something is done by `secretctl` on
//! the same terminal, so that it asks and says what it does everywhere.
//!
//! # Layout
//!
//! - `state`: what is shown, and what keys do to it
//! - `view`: a picture of that

mod state;
mod view;

use std::io;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use secrets_proto::{SecretName, SecretValue, Timestamp};

use crate::clipboard::{self, Clipboard};
use crate::daemon::{Daemon, Refused};
use crate::screen::{Input, Screen};
use crate::{Arguments, age, failed};

use state::{Effect, State};

/// How often the daemon is asked for what is new.
const TICK: Duration = Duration::from_secs(2);

/// How long a value is shown if no key is pressed.
const SHOWN: Duration = Duration::from_secs(30);

/// How far back uses are counted.
const DAYS: i64 = 30;

/// Shows secrets until a person leaves.
pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    let daemon = match Daemon::find(arguments) {
        Ok(daemon) => daemon,
        Err(reason) => return failed(&reason),
    };
    let browser = Browser {
        daemon,
        client: arguments,
        state: State { projects: arguments.projects.clone(), ..State::default() },
        clipboard: Clipboard::default(),
        shown: None,
    };
    match Screen::open().and_then(|screen| browser.run(screen)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&format!("there is no terminal to show it on: {error}")),
    }
}

struct Browser<'a> {
    daemon: Daemon,
    client: &'a Arguments,
    state: State,
    clipboard: Clipboard,
    /// Until when a value is shown.
    shown: Option<Instant>,
}

impl Browser<'_> {
    fn run(mut self, mut screen: Screen) -> io::Result<()> {
        self.load();
        loop {
            if self.shown.is_some_and(|until| until <= Instant::now()) {
                self.hide();
            }
            let now = Timestamp::now();
            screen.draw(|frame| view::draw(frame, &mut self.state, now))?;
            match screen.wait(TICK)? {
                Input::Key(_) if self.state.value.is_some() => self.hide(),
                Input::Key(key) => {
                    let effect = self.state.key(key);
                    if self.act(effect, &mut screen)? {
                        break;
                    }
                }
                Input::Stop => {
                    self.hide();
                    self.clipboard.clear(&mut screen, true)?;
                    screen.stop()?;
                }
                Input::Changed => {}
                Input::Nothing => self.load(),
                Input::End => break,
            }
            if self.clipboard.clear(&mut screen, false)? {
                self.state.say("the clipboard is empty again");
            }
        }
        self.hide();
        self.clipboard.clear(&mut screen, true).map(drop)
    }

    /// Does what a key asks for. Says whether that was to leave.
    fn act(&mut self, effect: Effect, screen: &mut Screen) -> io::Result<bool> {
        match effect {
            Effect::None => {}
            Effect::Leave => return Ok(true),
            Effect::Load => self.load(),
            Effect::Detail => self.detail(),
            Effect::Show => {
                if let Some(name) = self.state.selected().map(|detail| detail.secret.name.clone()) {
                    match self.value(&name, screen)? {
                        Ok(value) => {
                            self.state.value = Some(value);
                            self.shown = Some(Instant::now() + SHOWN);
                        }
                        Err(refused) => self.refused(refused),
                    }
                }
            }
            Effect::Copy => {
                if let Some(name) = self.state.selected().map(|detail| detail.secret.name.clone()) {
                    match self.value(&name, screen)? {
                        Ok(value) => {
                            self.clipboard.put(screen, value.expose())?;
                            let seconds = clipboard::KEPT.as_secs();
                            self.state.say(&format!(
                                "{name} was sent to the terminal's clipboard, which is emptied in {seconds} s"
                            ));
                        }
                        Err(refused) => self.refused(refused),
                    }
                }
            }
            Effect::Client(words) => {
                self.run_client(&words, screen)?;
                self.load();
            }
        }
        Ok(false)
    }

    /// A value. If a person must allow that, the one at this terminal is asked.
    fn value(&mut self, name: &SecretName, screen: &mut Screen) -> io::Result<Result<SecretValue, Refused>> {
        let outcome = self.daemon.value(name);
        let Err(Refused::Ask(id)) = outcome else { return Ok(outcome) };
        self.run_client(&["approve".to_owned(), id.to_string()], screen)?;
        Ok(self.daemon.value(name))
    }

    /// Runs `secretctl` with these words on this terminal.
    fn run_client(&mut self, words: &[String], screen: &mut Screen) -> io::Result<()> {
        let mut command = Command::new(&self.client.client);
        for (flag, path) in [("--socket", &self.client.socket), ("--token-file", &self.client.token_file)] {
            if let Some(path) = path {
                command.arg(flag).arg(path);
            }
        }
        // A command may take its time, and the clipboard is to be empty by then.
        self.clipboard.clear(screen, true)?;
        let status = screen.lend(|| {
            let status = command.args(words).status();
            eprint_pause();
            status
        })?;
        if let Err(error) = status {
            self.state.say(&format!("secretctl cannot be started: {error}"));
        }
        Ok(())
    }

    fn hide(&mut self) {
        self.state.value = None;
        self.shown = None;
    }

    /// Asks for all that is shown.
    fn load(&mut self) {
        match self.daemon.details() {
            Ok(secrets) => self.state.loaded(secrets),
            Err(refused) => return self.refused(refused),
        }
        self.state.asks = self.daemon.asks();
        if self.state.shows_audit() {
            match self.daemon.audit(None, None) {
                Ok(entries) => self.state.audit = entries,
                Err(refused) => self.refused(refused),
            }
        } else {
            self.detail();
        }
    }

    /// Asks for the history and the uses of the selected secret.
    fn detail(&mut self) {
        let Some((id, name)) =
            self.state.selected().map(|detail| (detail.secret.id, detail.secret.name.clone()))
        else {
            return;
        };
        match self.daemon.versions(id) {
            Ok(versions) => self.state.versions = versions,
            Err(refused) => return self.refused(refused),
        }
        let now = Timestamp::now();
        let since = now.saturating_add_seconds(-DAYS * age::DAY);
        match self.daemon.audit(Some(&name), Some(since)) {
            Ok(entries) => self.state.count_uses(&entries, now, DAYS),
            Err(refused) => self.refused(refused),
        }
    }

    fn refused(&mut self, refused: Refused) {
        match refused {
            Refused::Locked => {
                self.hide();
                self.state.locked();
            }
            Refused::Ask(_) => self.state.say("it is guarded, and nobody has allowed this"),
            Refused::Other(reason) => self.state.say(&reason),
        }
    }
}

/// Lets a person read what a command said.
fn eprint_pause() {
    use std::io::{Read, Write};
    let Ok(mut tty) = std::fs::File::options().read(true).write(true).open("/dev/tty") else { return };
    // If the terminal is gone, the next question to it says so.
    let _ = tty.write_all(b"Enter to go back ");
    let mut byte = [0];
    while tty.read(&mut byte).is_ok_and(|count| count == 1) && byte != *b"\n" {}
}
