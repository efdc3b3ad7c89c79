//! What connections hold: sessions, prompts, and what stands for the answers of searches in a locked vault. Each is its
//! opener's alone and ends with that connection. It knows no bus and no daemon.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use secrets_proto::item::{Attributes, CreateItem};
use tokio::task::AbortHandle;

use crate::error::Error;
use crate::path::ItemId;
use crate::transfer::Transfer;

/// How many one connection may hold of each, and how many stand-ins are remembered.
const SESSIONS: usize = 64;
const PROMPTS: usize = 16;
const STAND_INS: usize = 256;

/// How many prompts there may be together: each can hold an item that waits.
const ALL_PROMPTS: usize = 256;

/// What a prompt is to do once it is allowed.
pub(crate) enum Work {
    /// Unlock items, or the collection by none, and say that these objects are.
    Unlock(Vec<Locked>),
    /// Store an item.
    Create(Box<CreateItem>),
    /// Delete an item.
    Delete(ItemId),
}

/// An object that is to be unlocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Locked {
    /// Its path, as the caller has spelled it.
    pub(crate) path: String,
    /// The item, unless it is the collection.
    pub(crate) item: Option<ItemId>,
}

struct Prompt {
    owner: String,
    work: Option<Work>,
    running: Option<AbortHandle>,
}

/// All of it.
#[derive(Default)]
pub(crate) struct Held {
    next: u64,
    sessions: HashMap<u64, (String, Arc<Transfer>)>,
    prompts: HashMap<u64, Prompt>,
    stand_ins: VecDeque<(u64, Attributes)>,
}

impl Held {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Opens a session for this connection.
    pub(crate) fn open(&mut self, owner: &str, transfer: Transfer) -> Result<u64, Error> {
        if self.sessions.values().filter(|(holder, _)| holder == owner).count() >= SESSIONS {
            return Err(Error::LimitsExceeded("this connection has 64 sessions; close some"));
        }
        let number = self.number();
        self.sessions.insert(number, (owner.to_owned(), Arc::new(transfer)));
        Ok(number)
    }

    /// A session of this connection.
    pub(crate) fn session(&self, owner: &str, number: u64) -> Result<Arc<Transfer>, Error> {
        let session = self.sessions.get(&number).filter(|(holder, _)| holder == owner);
        session.map(|(_, transfer)| Arc::clone(transfer)).ok_or(Error::NoSession)
    }

    /// Ends a session of this connection.
    pub(crate) fn close(&mut self, owner: &str, number: u64) -> Result<(), Error> {
        self.session(owner, number)?;
        self.sessions.remove(&number);
        Ok(())
    }

    /// Makes a prompt for this connection.
    pub(crate) fn prompt(&mut self, owner: &str, work: Work) -> Result<u64, Error> {
        if self.prompts.values().filter(|prompt| prompt.owner == owner).count() >= PROMPTS {
            return Err(Error::LimitsExceeded("this connection has 16 prompts; dismiss some"));
        }
        if self.prompts.len() >= ALL_PROMPTS {
            return Err(Error::LimitsExceeded("too many programs wait for a person; try again later"));
        }
        let number = self.number();
        let prompt = Prompt { owner: owner.to_owned(), work: Some(work), running: None };
        self.prompts.insert(number, prompt);
        Ok(number)
    }

    fn prompt_of(&mut self, owner: &str, number: u64) -> Result<&mut Prompt, Error> {
        self.prompts.get_mut(&number).filter(|prompt| prompt.owner == owner).ok_or(Error::NoSuchObject)
    }

    /// Takes the work of a prompt, to be done now; it is given out once.
    pub(crate) fn begin(&mut self, owner: &str, number: u64) -> Result<Work, Error> {
        let prompt = self.prompt_of(owner, number)?;
        prompt.work.take().ok_or(Error::Failed("this prompt is shown already".to_owned()))
    }

    /// Remembers what does the work, so that it can be ended.
    pub(crate) fn runs(&mut self, owner: &str, number: u64, running: AbortHandle) {
        // One that is done already has no prompt any more.
        if let Ok(prompt) = self.prompt_of(owner, number) {
            prompt.running = Some(running);
        }
    }

    /// Ends a prompt and whatever does its work. It says whether there was one.
    pub(crate) fn end(&mut self, owner: &str, number: u64) -> Result<(), Error> {
        self.prompt_of(owner, number)?;
        if let Some(prompt) = self.prompts.remove(&number)
            && let Some(running) = prompt.running
        {
            running.abort();
        }
        Ok(())
    }

    /// A prompt whose work is done goes; `false` if it was ended before.
    pub(crate) fn done(&mut self, number: u64) -> bool {
        self.prompts.remove(&number).is_some()
    }

    /// What stands for the answer of this search until the vault is open.
    pub(crate) fn stand_in(&mut self, attributes: Attributes) -> ItemId {
        let known = self.stand_ins.iter().position(|(_, searched)| *searched == attributes);
        let entry = match known.and_then(|at| self.stand_ins.remove(at)) {
            Some(entry) => entry,
            None => (self.number(), attributes),
        };
        let number = entry.0;
        self.stand_ins.push_back(entry);
        if self.stand_ins.len() > STAND_INS {
            self.stand_ins.pop_front();
        }
        ItemId::StandIn(number)
    }

    /// The search that a stand-in is for.
    pub(crate) fn searched(&self, number: u64) -> Result<Attributes, Error> {
        let found = self.stand_ins.iter().find(|(stand_in, _)| *stand_in == number);
        found.map(|(_, attributes)| attributes.clone()).ok_or(Error::NoSuchObject)
    }

    /// Forgets all that a connection held which is gone.
    pub(crate) fn forget(&mut self, owner: &str) {
        self.sessions.retain(|_, (holder, _)| holder != owner);
        self.prompts.retain(|_, prompt| {
            let is_its = prompt.owner == owner;
            if let Some(running) = prompt.running.as_ref().filter(|_| is_its) {
                running.abort();
            }
            !is_its
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_one_connection_holds_is_nothing_to_another() {
        let mut held = Held::default();
        let session = held.open(":1.1", Transfer::Plain).unwrap();
        let prompt = held.prompt(":1.1", Work::Unlock(Vec::new())).unwrap();
        assert!(matches!(held.session(":1.2", session), Err(Error::NoSession)));
        assert!(matches!(held.close(":1.2", session), Err(Error::NoSession)));
        assert!(matches!(held.begin(":1.2", prompt), Err(Error::NoSuchObject)));
        assert!(matches!(held.end(":1.2", prompt), Err(Error::NoSuchObject)));
        assert!(held.session(":1.1", session).is_ok());
        held.forget(":1.2");
        assert!(held.begin(":1.1", prompt).is_ok());
        assert!(matches!(held.begin(":1.1", prompt), Err(Error::Failed(_))));
        held.forget(":1.1");
        assert!(held.session(":1.1", session).is_err());
        assert!(!held.done(prompt));
    }

    #[test]
    fn nobody_holds_without_end() {
        let mut held = Held::default();
        for _ in 0..SESSIONS {
            held.open(":1.1", Transfer::Plain).unwrap();
        }
        assert!(matches!(held.open(":1.1", Transfer::Plain), Err(Error::LimitsExceeded(_))));
        assert!(held.open(":1.2", Transfer::Plain).is_ok());
        for _ in 0..PROMPTS {
            held.prompt(":1.1", Work::Unlock(Vec::new())).unwrap();
        }
        assert!(held.prompt(":1.1", Work::Unlock(Vec::new())).is_err());
        for number in PROMPTS..ALL_PROMPTS {
            held.prompt(&format!(":2.{number}"), Work::Unlock(Vec::new())).unwrap();
        }
        assert!(held.prompt(":3.1", Work::Unlock(Vec::new())).is_err());
        held.forget(":2.100");
        assert!(held.prompt(":3.1", Work::Unlock(Vec::new())).is_ok());
    }

    #[test]
    fn equal_searches_have_one_stand_in_and_the_oldest_are_forgotten() {
        let mut held = Held::default();
        let of = |n: usize| Attributes::try_from(BTreeMap::from([("n".to_owned(), n.to_string())])).unwrap();
        let first = held.stand_in(of(0));
        assert_eq!(held.stand_in(of(0)), first);
        let ItemId::StandIn(number) = first else { panic!() };
        assert_eq!(held.searched(number).unwrap(), of(0));
        for n in 1..=STAND_INS {
            held.stand_in(of(n));
        }
        assert!(held.searched(number).is_err());
    }
}
