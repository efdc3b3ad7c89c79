//! Letting a machine in. The one that is in gives out a code; both derive a key from it, under which they exchange keys
//! that nobody else has: the code protects nothing that is secret later. Both then show five words, made of all that was
//! said, and people compare them. Only when both have said yes does the new machine get the fleet's keys.
//!
//! The steps are objects of kind `i` in the exchange, named by the code's key: 1 from the inviting machine, 2 from the
//! joining one, 3 with the fleet's keys, sealed under what the two agree on.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use secrets_fleet::ids::FleetId;
use secrets_fleet::{Kind, MachineId, ObjectId, ObjectName, Writer};
use secrets_proto::audit::AuditAction;
use secrets_proto::fleet::{Invitation, InvitationState, MachineName};
use secrets_proto::{SensitiveString, Uuid};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::caller::Caller;
use crate::crypto;
use crate::crypto::exchange::{self, Private, Public};
use crate::exchange as directory;
use crate::vault::format::fleet::{Epoch, Fleet, MachineKeys, Member, Members};
use crate::vault::{Error, FleetError, Key, Vault};

use super::{aside, list, member, meta, replica, usable};

/// How long an invitation holds.
const HOLDS: Duration = Duration::from_secs(15 * 60);

/// How old the steps of a code are that surely does not hold any more, by whichever clock.
const OVER: Duration = Duration::from_secs(24 * 3_600);

/// The numbers of the steps.
const STEPS: std::ops::RangeInclusive<u32> = 1..=3;

/// The most machines of a fleet.
const MOST_MACHINES: usize = 100;

/// A machine that is being let in.
pub(crate) struct Pairing {
    id: Uuid,
    code: Private,
    ephemeral: Private,
    until: Instant,
    directory: PathBuf,
    /// Whether the one who has said yes has proven to own the vault.
    is_proven: bool,
    side: Side,
}

enum Side {
    /// This machine lets another in; what that has answered, and its text.
    Inviting(Option<(Answer, Vec<u8>)>),
    /// Another machine lets this one in.
    Joining(Box<Joining>),
}

struct Joining {
    answer: Answer,
    text: Vec<u8>,
    theirs: Public,
    signing: Private,
    sealing: Private,
}

/// The second step.
#[derive(Clone, Serialize, Deserialize)]
struct Answer {
    ephemeral: Public,
    id: MachineId,
    name: MachineName,
    keys: MachineKeys,
}

/// The third step.
#[derive(Serialize, Deserialize)]
struct Welcome {
    fleet: FleetId,
    keys: BTreeMap<u32, Private>,
    epochs: BTreeMap<u32, Epoch>,
    members: Members,
}

impl Pairing {
    fn words(&self) -> Result<Option<[u16; 5]>, Error> {
        let (ours, name) = (self.ephemeral.recipient(), self.code.name()?);
        let (theirs, inviter, text) = match &self.side {
            Side::Inviting(None) => return Ok(None),
            Side::Inviting(Some((answer, text))) => (&answer.ephemeral, &ours, text),
            Side::Joining(joining) => (&joining.theirs, &joining.theirs, &joining.text),
        };
        let agreed = self.agreed(theirs)?;
        Ok(Some(exchange::check_words(&agreed, &[&name, &bytes(inviter)?, text])?))
    }

    fn agreed(&self, theirs: &Public) -> Result<Private, Error> {
        Ok(self.ephemeral.agree(theirs, &[b"secretsd/fleet/pair", &self.code.name()?])?)
    }

    fn state(&self) -> Result<Invitation, Error> {
        let words = self.words()?.map(Vec::from);
        let state = if words.is_some() { InvitationState::Answered } else { InvitationState::Waiting };
        let name = match &self.side {
            Side::Inviting(Some((answer, _))) => Some(answer.name.as_str().to_owned()),
            Side::Inviting(None) | Side::Joining(_) => None,
        };
        Ok(Invitation { id: self.id, state, code: None, name, words })
    }
}

fn bytes(key: &Public) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(key).map_err(|_| Error::Internal("a key does not encode"))
}

impl Vault {
    /// Lets a machine in that knows the code which this answers; one at a time. Scope `admin`, on all names.
    pub(crate) async fn invite_machine(&self, caller: &Caller) -> Result<Invitation, Error> {
        self.check_whole(caller, AuditAction::Fleet)?;
        self.check_open(caller)?;
        let fleet = self.known_fleet()?;
        if fleet.present().count() >= MOST_MACHINES {
            return Err(Error::Fleet(FleetError::TooMany));
        }
        let directory = fleet.meta.directory.clone();
        let code = exchange::new_code()?;
        let key = derived(code.expose().to_owned()).await?;
        let ephemeral = Private::generate()?;
        sweep(&directory).await;
        put(&directory, &key, 1, &key.seal(b"1", &bytes(&ephemeral.recipient())?)?).await?;
        let id = uuid::Builder::from_random_bytes(crypto::random()?).into_uuid();
        let until = Instant::now() + HOLDS;
        let side = Side::Inviting(None);
        let pairing = Pairing { id, code: key, ephemeral, until, directory, is_proven: false, side };
        let state = pairing.state()?;
        *self.pairing() = Some(pairing);
        Ok(Invitation { code: Some(code), ..state })
    }

    /// How far a machine is let in. Scope `admin`, on all names.
    pub(crate) async fn invitation(&self, caller: &Caller, id: Uuid) -> Result<Invitation, Error> {
        self.check_whole(caller, AuditAction::Fleet)?;
        self.check_open(caller)?;
        let (directory, code, is_open) = {
            let mut pairing = self.pairing();
            let pairing = open(&mut pairing, id)?;
            (pairing.directory.clone(), pairing.code.clone(), matches!(pairing.side, Side::Inviting(None)))
        };
        let answer = if is_open { step(&directory, &code, 2, &code).await? } else { None };
        let mut pairing = self.pairing();
        let pairing = open(&mut pairing, id)?;
        if let (Side::Inviting(none @ None), Some(text)) = (&mut pairing.side, answer)
            && let Ok(answer) = serde_json::from_slice(&text)
        {
            *none = Some((answer, text.to_vec()));
        }
        pairing.state()
    }

    /// Answers an invitation, by the code that the other machine has shown. Scope `admin`, on all names.
    pub(crate) async fn join_fleet(
        &self,
        caller: &Caller,
        code: SensitiveString,
        name: MachineName,
        directory: PathBuf,
    ) -> Result<Invitation, Error> {
        self.check_whole(caller, AuditAction::Fleet)?;
        self.check_open(caller)?;
        if self.known_fleet().is_ok_and(|fleet| !fleet.is_removed()) {
            return Err(Error::Fleet(FleetError::Exists));
        }
        let directory = usable(directory).await?;
        let key = derived(code.expose().to_owned()).await?;
        let theirs = step(&directory, &key, 1, &key).await?.ok_or(Error::Fleet(FleetError::WrongCode))?;
        let theirs: Public =
            serde_json::from_slice(&theirs).map_err(|_| Error::Fleet(FleetError::WrongCode))?;
        let (ephemeral, signing, sealing) =
            (Private::generate()?, Private::generate()?, Private::generate()?);
        let keys = MachineKeys { signing: signing.signer()?, sealing: sealing.recipient() };
        let answer =
            Answer { ephemeral: ephemeral.recipient(), id: MachineId(crypto::random()?), name, keys };
        let text = serde_json::to_vec(&answer).map_err(|_| Error::Internal("an answer does not encode"))?;
        put(&directory, &key, 2, &key.seal(b"2", &text)?).await?;
        let id = uuid::Builder::from_random_bytes(crypto::random()?).into_uuid();
        let side = Side::Joining(Box::new(Joining { answer, text, theirs, signing, sealing }));
        let until = Instant::now() + HOLDS;
        let pairing = Pairing { id, code: key, ephemeral, until, directory, is_proven: false, side };
        let state = pairing.state()?;
        *self.pairing() = Some(pairing);
        Ok(state)
    }

    /// Says that the words are the same on both machines, or ends it. On the joining side it is done once the other side has
    /// said so, too. Scope `admin`, on all names; and a proof, while a secret is guarded: from here on the other side has it.
    pub(crate) async fn confirm_invitation(
        &self,
        caller: &Caller,
        id: Uuid,
        accept: bool,
        proof: Option<Key>,
    ) -> Result<Invitation, Error> {
        self.check_whole(caller, AuditAction::Fleet)?;
        self.check_open(caller)?;
        if !accept {
            let ended = {
                let mut pairing = self.pairing();
                open(&mut pairing, id)?;
                pairing.take()
            };
            if let Some(Pairing { directory, code, .. }) = ended {
                clear(&directory, &code).await;
            }
            return Ok(Invitation { id, state: InvitationState::Ended, code: None, name: None, words: None });
        }
        // The joining side asks again until the other one has said yes.
        if !open(&mut self.pairing(), id)?.is_proven {
            let is_proven = self.prove_if_guarded(caller, proof, AuditAction::Fleet).await?.is_proven();
            open(&mut self.pairing(), id)?.is_proven = is_proven;
        }
        let name = match self.turn(id)? {
            Turn::Welcome { directory, code, agreed, member } => {
                self.welcome(caller, &directory, &code, &agreed, member).await?
            }
            Turn::Enter { directory, code, agreed, joining } => {
                let (answer, signing, sealing) = *joining;
                let welcome = step(&directory, &code, 3, &agreed).await?;
                let welcome = welcome.ok_or(Error::Fleet(FleetError::Unanswered))?;
                let directory_of_steps = directory.clone();
                let Welcome { fleet, keys, epochs, members } =
                    serde_json::from_slice(&welcome).map_err(|_| Error::Fleet(FleetError::Unanswered))?;
                let meta = meta(fleet, directory, (signing, sealing), (keys, epochs), members);
                let fleet = Fleet::new(meta, replica(answer.id)?);
                let _turn = self.exchanging.lock().await;
                let synced =
                    self.write(caller, move |batch, caller| batch.begin_fleet(caller, fleet)).await?;
                self.place(synced).await?;
                // Nobody has another use for the steps: this was the last.
                clear(&directory_of_steps, &code).await;
                answer.name.into()
            }
        };
        *self.pairing() = None;
        self.exchange_now().await?;
        Ok(Invitation { id, state: InvitationState::Done, code: None, name: Some(name), words: None })
    }

    fn turn(&self, id: Uuid) -> Result<Turn, Error> {
        let mut pairing = self.pairing();
        let pairing = open(&mut pairing, id)?;
        let (directory, code) = (pairing.directory.clone(), pairing.code.clone());
        match &pairing.side {
            Side::Inviting(None) => Err(Error::Fleet(FleetError::Unanswered)),
            Side::Inviting(Some((answer, _))) => {
                let agreed = pairing.agreed(&answer.ephemeral)?;
                let (id, name, keys) = (answer.id, answer.name.as_str().to_owned(), answer.keys);
                Ok(Turn::Welcome { directory, code, agreed, member: member(id, name, keys) })
            }
            Side::Joining(joining) => {
                let agreed = pairing.agreed(&joining.theirs)?;
                let joining = (joining.answer.clone(), joining.signing.clone(), joining.sealing.clone());
                Ok(Turn::Enter { directory, code, agreed, joining: Box::new(joining) })
            }
        }
    }

    async fn welcome(
        &self,
        caller: &Caller,
        directory: &std::path::Path,
        code: &Private,
        agreed: &Private,
        member: Member,
    ) -> Result<String, Error> {
        let name = member.name.clone();
        let _turn = self.exchanging.lock().await;
        let added = self.write(caller, move |batch, caller| batch.add_machine(caller, member)).await?;
        self.place(added).await?;
        let fleet = self.known_fleet()?;
        let welcome = Welcome {
            fleet: fleet.meta.fleet,
            keys: fleet.meta.keys.clone(),
            epochs: fleet.meta.epochs.clone(),
            members: fleet.meta.members.clone(),
        };
        let text = serde_json::to_vec(&welcome).map_err(|_| Error::Internal("a welcome does not encode"))?;
        let text = Zeroizing::new(text);
        put(directory, code, 3, &agreed.seal(b"3", &text)?).await?;
        Ok(name)
    }

    fn pairing(&self) -> std::sync::MutexGuard<'_, Option<Pairing>> {
        self.pairing.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What the machine does that says yes.
enum Turn {
    Welcome { directory: PathBuf, code: Private, agreed: Private, member: Member },
    Enter { directory: PathBuf, code: Private, agreed: Private, joining: Box<(Answer, Private, Private)> },
}

/// The pairing of this id, if its time is not over.
fn open(pairing: &mut Option<Pairing>, id: Uuid) -> Result<&mut Pairing, Error> {
    if pairing.as_ref().is_some_and(|pairing| pairing.until < Instant::now()) {
        *pairing = None;
    }
    pairing.as_mut().filter(|pairing| pairing.id == id).ok_or(Error::Fleet(FleetError::NoInvitation))
}

async fn derived(code: String) -> Result<Private, Error> {
    let code = Zeroizing::new(code);
    let derive = move || exchange::code_key(&code);
    let key =
        tokio::task::spawn_blocking(derive).await.map_err(|_| Error::Internal("a thread has panicked"))?;
    key?.ok_or(Error::Fleet(FleetError::WrongCode))
}

/// In whose log the steps of a code are.
fn writer(code: &Private) -> Result<Writer, Error> {
    code.name()?.first_chunk().copied().map(Writer).ok_or(Error::Internal("a name is too short"))
}

async fn put(path: &std::path::Path, code: &Private, number: u32, sealed: &[u8]) -> Result<(), Error> {
    let id = ObjectId { writer: writer(code)?, number, hash: exchange::hash_of(sealed).short() };
    let name = ObjectName { kind: Kind::Invitation, id };
    let (path, sealed) = (path.to_owned(), sealed.to_vec());
    aside(move || directory::write(&path, &name, &sealed)).await
}

/// Removes the steps of a code. What stays is removed at a later invitation.
async fn clear(path: &std::path::Path, code: &Private) {
    let Ok(writer) = writer(code) else { return };
    remove_steps(path, move |_, name| name.id.writer == writer).await;
}

/// Removes the steps of codes that do not hold any more.
async fn sweep(path: &std::path::Path) {
    remove_steps(path, |path, name| {
        let written = std::fs::metadata(path.join(name.to_string())).and_then(|file| file.modified());
        written.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > OVER))
    })
    .await;
}

async fn remove_steps(
    path: &std::path::Path,
    is_meant: impl Fn(&std::path::Path, &ObjectName) -> bool + Send + 'static,
) {
    let path = path.to_owned();
    let removed = aside(move || {
        let names = directory::list(&path)?.into_iter().filter(|name| name.kind == Kind::Invitation);
        let steps = names.filter(|name| STEPS.contains(&name.id.number));
        steps.filter(|name| is_meant(&path, name)).try_for_each(|name| directory::remove(&path, &name))
    });
    if let Err(error) = removed.await {
        tracing::debug!(%error, "steps of an invitation are left");
    }
}

/// What the other side has said in this step, if it has.
async fn step(
    path: &std::path::Path,
    code: &Private,
    number: u32,
    key: &Private,
) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let writer = writer(code)?;
    let is_it = |name: &&ObjectName| {
        name.kind == Kind::Invitation && name.id.writer == writer && name.id.number == number
    };
    for name in list(path.to_owned()).await?.into_iter().filter(|name| is_it(&name)) {
        let path = path.to_owned();
        // What cannot be read is none of the other side's.
        let read = aside(move || Ok(directory::read(&path, &name).ok().flatten())).await?;
        let opened = read.and_then(|bytes| key.open(number.to_string().as_bytes(), &bytes).ok());
        if opened.is_some() {
            return Ok(opened);
        }
    }
    Ok(None)
}
