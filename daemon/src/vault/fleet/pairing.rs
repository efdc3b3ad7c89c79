//! Letting a machine in. The one that is in gives out a code; both derive a key from it, under which they exchange keys
//! that nobody else has: the code protects nothing that is secret later. Both then show five words, made of all that was
//! said, and people compare them. Only when both have said yes does the new machine get the fleet's keys.
//!
//! The steps are objects of kind `i` in the exchange, named by the code's key: 1 from the inviting machine, with a key and the
//! hash of a number; 2 from the joining one; 3 the number, which goes into the words; 6 what the person at the joining one says
//! to the words; 4 the fleet's keys, or why there are none. The last two are sealed under what the two agree on. Each side is bound to what it says before it can know the words, so that who stands between the two, and
//! has the code, cannot look for words that are the same: it has one try in 2^55.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use secrets_fleet::ids::Hash;
use secrets_fleet::{MachineId, ObjectName};
use secrets_proto::audit::AuditAction;
use secrets_proto::fleet::{Invitation, InvitationState, MachineName};
use secrets_proto::{SensitiveString, Uuid};
use zeroize::Zeroizing;

use crate::caller::Caller;
use crate::crypto;
use crate::crypto::exchange::{self, Private, Public};
use crate::vault::format::fleet::{Fleet, MachineKeys, Member, Meta};
use crate::vault::{Error, FleetError, Key, Vault};

use super::steps::{
    Answer, Offer, REPLY, Refusal, Reply, Welcome, Why, all_of_step, clear, put, sealed, step, sweep,
    take_back,
};
use super::{aside, member, meta, replica, usable};

/// How long an invitation holds.
const HOLDS: Duration = Duration::from_secs(15 * 60);

/// The most machines of a fleet.
pub(super) const MOST_MACHINES: usize = 100;

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
    /// This machine lets another in.
    Inviting(Box<Inviting>),
    /// Another machine lets this one in.
    Joining(Box<Joining>),
}

struct Inviting {
    /// The number that goes into the words, and whether the other side knows it.
    number: Private,
    is_told: bool,
    /// What the other side has answered, and its text.
    answer: Option<(Answer, Vec<u8>)>,
}

struct Joining {
    answer: Answer,
    text: Vec<u8>,
    theirs: Offer,
    /// The number that goes into the words, once it is known.
    number: Option<Private>,
    signing: Private,
    sealing: Private,
    /// The object that the answer is.
    said: ObjectName,
    /// The sixth step, once somebody has said yes here.
    yes: Option<Vec<u8>>,
}

/// What the other side has said to the words.
enum Heard {
    Nothing,
    Yes,
    No(Why),
}

impl Pairing {
    fn words(&self) -> Result<Option<[u16; 5]>, Error> {
        let (ours, name) = (self.ephemeral.recipient(), self.code.name()?);
        let (theirs, inviter, text, number) = match &self.side {
            Side::Inviting(inviting) => match &inviting.answer {
                Some((answer, text)) => (&answer.ephemeral, &ours, text, Some(&inviting.number)),
                None => return Ok(None),
            },
            Side::Joining(joining) => {
                (&joining.theirs.ephemeral, &joining.theirs.ephemeral, &joining.text, joining.number.as_ref())
            }
        };
        let Some(number) = number else { return Ok(None) };
        let agreed = self.agreed(theirs)?;
        Ok(Some(exchange::check_words(&agreed, &[&name, &bytes(inviter)?, text, &hash(number)?.0])?))
    }

    fn agreed(&self, theirs: &Public) -> Result<Private, Error> {
        Ok(self.ephemeral.agree(theirs, &[b"secretsd/fleet/pair", &self.code.name()?])?)
    }

    /// Takes back what was said here, and tells the other side that it is over: it would wait.
    async fn refuse(&self, why: Why) -> Result<(), Error> {
        let (number, theirs, no) = match &self.side {
            Side::Inviting(inviting) => {
                clear(&self.directory, &self.code).await;
                let Some((answer, _)) = &inviting.answer else { return Ok(()) };
                (4, &answer.ephemeral, serde_json::to_vec(&Refusal { refused: why }))
            }
            Side::Joining(joining) => {
                take_back(&self.directory, joining.said).await;
                (REPLY, &joining.theirs.ephemeral, serde_json::to_vec(&Reply { words: None }))
            }
        };
        let no = no.map_err(|_| Error::Internal("a no does not encode"))?;
        let agreed = self.agreed(theirs)?;
        put(&self.directory, &self.code, number, &sealed(&agreed, number, &no)?).await.map(drop)
    }

    /// The sixth step of a joining side whose person has said yes: the same each time, so that it is put again if it was lost.
    fn yes(&mut self) -> Result<Vec<u8>, Error> {
        let words = self.words()?.ok_or(Error::Fleet(FleetError::Unanswered))?;
        let Side::Joining(joining) = &self.side else {
            return Err(Error::Internal("the inviting side says yes by a welcome"));
        };
        if let Some(yes) = &joining.yes {
            return Ok(yes.clone());
        }
        let text = serde_json::to_vec(&Reply { words: Some(words) });
        let text = text.map_err(|_| Error::Internal("a yes does not encode"))?;
        let yes = sealed(&self.agreed(&joining.theirs.ephemeral)?, REPLY, &text)?;
        if let Side::Joining(joining) = &mut self.side {
            joining.yes = Some(yes.clone());
        }
        Ok(yes)
    }

    /// Takes what the other side has said. What was taken before stays. Returns the number that is to be told now.
    fn take(&mut self, said: Option<Zeroizing<Vec<u8>>>) -> Option<Private> {
        match &mut self.side {
            Side::Inviting(inviting) => {
                if let (None, Some(text)) = (&inviting.answer, said) {
                    inviting.answer =
                        serde_json::from_slice(&text).ok().map(|answer| (answer, text.to_vec()));
                }
                (inviting.answer.is_some() && !inviting.is_told).then(|| inviting.number.clone())
            }
            Side::Joining(joining) => {
                let number = said.and_then(|text| serde_json::from_slice::<Private>(&text).ok());
                let is_it = |number: &Private| hash(number).is_ok_and(|hash| hash == joining.theirs.bound_to);
                if let (None, Some(number)) = (&joining.number, number.filter(is_it)) {
                    joining.number = Some(number);
                }
                None
            }
        }
    }

    fn state(&self) -> Result<Invitation, Error> {
        let words = self.words()?.map(Vec::from);
        let state = if words.is_some() { InvitationState::Answered } else { InvitationState::Waiting };
        let name = match &self.side {
            Side::Inviting(inviting) => {
                inviting.answer.as_ref().map(|(answer, _)| answer.name.as_str().to_owned())
            }
            Side::Joining(_) => None,
        };
        Ok(Invitation { id: self.id, state, code: None, name, words })
    }
}

/// What a number is bound by: only who has it can make its hash, and what follows from it is known to nobody else.
fn hash(number: &Private) -> Result<Hash, Error> {
    let text = serde_json::to_vec(number).map(Zeroizing::new);
    text.map(|text| exchange::hash_of(&text)).map_err(|_| Error::Internal("a number does not encode"))
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
        let key = self.code_key(code.expose()).await?;
        let ephemeral = Private::generate()?;
        self.give_up().await?;
        sweep(&directory).await;
        let number = Private::generate()?;
        let offer = Offer { ephemeral: ephemeral.recipient(), bound_to: hash(&number)? };
        let offer = serde_json::to_vec(&offer).map_err(|_| Error::Internal("an offer does not encode"))?;
        put(&directory, &key, 1, &sealed(&key, 1, &offer)?).await?;
        let id = uuid::Builder::from_random_bytes(crypto::random()?).into_uuid();
        let until = Instant::now() + HOLDS;
        let side = Side::Inviting(Box::new(Inviting { number, is_told: false, answer: None }));
        let pairing = Pairing { id, code: key, ephemeral, until, directory, is_proven: false, side };
        let state = pairing.state()?;
        *self.pairing() = Some(pairing);
        Ok(Invitation { code: Some(code), ..state })
    }

    /// How far a machine is let in. Scope `admin`, on all names.
    pub(crate) async fn invitation(&self, caller: &Caller, id: Uuid) -> Result<Invitation, Error> {
        self.check_whole(caller, AuditAction::Fleet)?;
        self.check_open(caller)?;
        if let Heard::No(why) = self.hear(id).await? {
            return self.end(id, why).await;
        }
        let (directory, code, awaited) = {
            let mut pairing = self.pairing();
            let pairing = open(&mut pairing, id)?;
            let awaited = match &pairing.side {
                Side::Inviting(inviting) => inviting.answer.is_none().then_some(2),
                Side::Joining(joining) => joining.number.is_none().then_some(3),
            };
            (pairing.directory.clone(), pairing.code.clone(), awaited)
        };
        let said = match awaited {
            Some(number) => step(&directory, &code, number, &code).await?,
            None => None,
        };
        let number = open(&mut self.pairing(), id)?.take(said);
        if self.is_name_taken(id)? {
            self.refuse(id, Why::NameTaken).await?;
            return Err(Error::Fleet(FleetError::NameTaken));
        }
        // The answer is settled on: from here on the number may be known.
        if let Some(number) = number {
            let text = serde_json::to_vec(&number).map(Zeroizing::new);
            let text = text.map_err(|_| Error::Internal("a number does not encode"))?;
            put(&directory, &code, 3, &sealed(&code, 3, &text)?).await?;
            if let Side::Inviting(inviting) = &mut open(&mut self.pairing(), id)?.side {
                inviting.is_told = true;
            }
        }
        open(&mut self.pairing(), id)?.state()
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
        let key = self.code_key(code.expose()).await?;
        let theirs = step(&directory, &key, 1, &key).await?.ok_or(Error::Fleet(FleetError::WrongCode))?;
        let theirs: Offer =
            serde_json::from_slice(&theirs).map_err(|_| Error::Fleet(FleetError::WrongCode))?;
        let (ephemeral, signing, sealing) =
            (Private::generate()?, Private::generate()?, Private::generate()?);
        let keys = MachineKeys { signing: signing.signer()?, sealing: sealing.recipient(), welcome: None };
        let (id, ephemeral_key) = (MachineId(crypto::random()?), ephemeral.recipient());
        let answer = Answer { ephemeral: ephemeral_key, id, name, keys, replies: true };
        let text = serde_json::to_vec(&answer).map_err(|_| Error::Internal("an answer does not encode"))?;
        self.give_up().await?;
        let said = put(&directory, &key, 2, &sealed(&key, 2, &text)?).await?;
        let id = uuid::Builder::from_random_bytes(crypto::random()?).into_uuid();
        let joining = Joining { answer, text, theirs, number: None, signing, sealing, said, yes: None };
        let side = Side::Joining(Box::new(joining));
        let until = Instant::now() + HOLDS;
        let pairing = Pairing { id, code: key, ephemeral, until, directory, is_proven: false, side };
        let state = pairing.state()?;
        *self.pairing() = Some(pairing);
        Ok(state)
    }

    /// Says that the words are the same on both machines, or ends it. It is done once the other side has said so, too. Scope `admin`, on all names; and a proof, while a secret is guarded: from here on the other side has it.
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
            self.refuse(id, Why::No).await?;
            return Ok(ended(id));
        }
        let heard = self.hear(id).await?;
        if let Heard::No(why) = heard {
            return self.end(id, why).await;
        }
        // Who asks again until the other one has said yes, too, has proven it.
        if !open(&mut self.pairing(), id)?.is_proven {
            let is_proven = self.prove_if_guarded(caller, proof, AuditAction::Fleet).await?.is_proven();
            open(&mut self.pairing(), id)?.is_proven = is_proven;
        }
        let name = match self.turn(id)? {
            Turn::Welcome { directory, code, agreed, member } => {
                if !matches!(heard, Heard::Yes) {
                    return Err(Error::Fleet(FleetError::Unanswered));
                }
                match self.welcome(caller, &directory, &code, &agreed, member).await {
                    Err(Error::Fleet(taken @ FleetError::NameTaken)) => {
                        self.refuse(id, Why::NameTaken).await?;
                        return Err(Error::Fleet(taken));
                    }
                    name => name?,
                }
            }
            Turn::Enter { directory, code, agreed, joining } => {
                let (answer, signing, sealing) = *joining;
                let yes = open(&mut self.pairing(), id)?.yes()?;
                put(&directory, &code, REPLY, &yes).await?;
                let welcome = step(&directory, &code, 4, &agreed).await?;
                let welcome = welcome.ok_or(Error::Fleet(FleetError::Unanswered))?;
                let directory_of_steps = directory.clone();
                let Welcome { fleet, keys, epochs, members, heads, registers } =
                    serde_json::from_slice(&welcome).map_err(|_| Error::Fleet(FleetError::Unanswered))?;
                let meta = meta(fleet, directory, (signing, sealing), (keys, epochs), members);
                let meta = Meta { expected: heads, ..meta };
                let mut fleet = Fleet::new(meta, replica(answer.id)?);
                fleet.replica.learn(registers);
                let _turn = self.exchanging.lock().await;
                let synced =
                    self.write(caller, move |batch, caller| batch.begin_fleet(caller, fleet)).await?;
                *self.pairing() = None;
                // What is not in the exchange then waits for the next time.
                let _ = self.place(synced).await;
                // Nobody has another use for the steps: this was the last.
                clear(&directory_of_steps, &code).await;
                answer.name.into()
            }
        };
        *self.pairing() = None;
        // It is done, whatever comes of this.
        let _ = self.exchange_now().await;
        Ok(Invitation { id, state: InvitationState::Done, code: None, name: Some(name), words: None })
    }

    /// The key of a code, derived when it is its turn: two derivations at once would take twice the memory.
    async fn code_key(&self, code: &str) -> Result<Private, Error> {
        let code = Zeroizing::new(code.to_owned());
        let key = self.derivations.run(move |_| exchange::code_key(&code).map_err(Error::from)).await?;
        key.ok_or(Error::Fleet(FleetError::WrongCode))
    }

    fn turn(&self, id: Uuid) -> Result<Turn, Error> {
        let mut pairing = self.pairing();
        let pairing = open(&mut pairing, id)?;
        let (directory, code) = (pairing.directory.clone(), pairing.code.clone());
        match &pairing.side {
            Side::Inviting(inviting) => {
                let (answer, _) = inviting.answer.as_ref().ok_or(Error::Fleet(FleetError::Unanswered))?;
                let agreed = pairing.agreed(&answer.ephemeral)?;
                let (id, name, keys) = (answer.id, answer.name.as_str().to_owned(), answer.keys.clone());
                Ok(Turn::Welcome { directory, code, agreed, member: member(id, name, keys) })
            }
            Side::Joining(joining) => {
                // Nobody has seen words yet.
                joining.number.as_ref().ok_or(Error::Fleet(FleetError::Unanswered))?;
                let agreed = pairing.agreed(&joining.theirs.ephemeral)?;
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
        // Nobody is let in for whom the exchange has no room: it would be a machine that does not know it.
        self.exchange_now().await?;
        let _turn = self.exchanging.lock().await;
        let both = 2 * sealed(agreed, 4, &Welcome::of(&self.known_fleet()?.with(&member)?)?)?.len();
        let place = directory.to_owned();
        aside(move || crate::exchange::check_room(&place, both)).await?;
        let added = self.write(caller, move |batch, caller| batch.add_machine(caller, member)).await?;
        self.place(added).await?;
        let text = Welcome::of(&*self.known_fleet()?)?;
        put(directory, code, 4, &sealed(agreed, 4, &text)?).await?;
        Ok(name)
    }

    /// Ends what another invitation, or another code, takes the place of.
    async fn give_up(&self) -> Result<(), Error> {
        let before = self.pairing().take();
        match before {
            Some(before) => before.refuse(Why::No).await,
            None => Ok(()),
        }
    }

    fn take_pairing(&self, id: Uuid) -> Result<Option<Pairing>, Error> {
        let mut pairing = self.pairing();
        open(&mut pairing, id)?;
        Ok(pairing.take())
    }

    /// Whether the machine that has answered is called like one that is there. People need not compare words then.
    fn is_name_taken(&self, id: Uuid) -> Result<bool, Error> {
        let mut pairing = self.pairing();
        let Side::Inviting(inviting) = &open(&mut pairing, id)?.side else { return Ok(false) };
        let Some((answer, _)) = &inviting.answer else { return Ok(false) };
        let is_other = |member: &&Member| member.id != answer.id && member.name == answer.name.as_str();
        Ok(self.known_fleet()?.present().any(|member| is_other(&member)))
    }

    /// Ends an invitation and tells the other side why.
    async fn refuse(&self, id: Uuid, why: Why) -> Result<(), Error> {
        match self.take_pairing(id)? {
            Some(pairing) => pairing.refuse(why).await,
            None => Ok(()),
        }
    }

    /// What the other side has said to the words.
    async fn hear(&self, id: Uuid) -> Result<Heard, Error> {
        let (directory, code, agreed, words) = {
            let mut pairing = self.pairing();
            let pairing = open(&mut pairing, id)?;
            let (theirs, words) = match &pairing.side {
                Side::Joining(joining) => (&joining.theirs.ephemeral, None),
                Side::Inviting(inviting) => match &inviting.answer {
                    None => return Ok(Heard::Nothing),
                    // One of before that step: somebody there has answered, and that is all that is known.
                    Some((answer, _)) if !answer.replies => return Ok(Heard::Yes),
                    Some((answer, _)) => (&answer.ephemeral, pairing.words()?),
                },
            };
            (pairing.directory.clone(), pairing.code.clone(), pairing.agreed(theirs)?, words)
        };
        let Some(words) = words else {
            let said = step(&directory, &code, 4, &agreed).await?;
            let refusal = said.and_then(|text| serde_json::from_slice(&text).ok());
            return Ok(refusal.map_or(Heard::Nothing, |Refusal { refused }| Heard::No(refused)));
        };
        let said = all_of_step(&directory, &code, REPLY, &agreed).await?;
        // A no counts, whatever was said before. So do other words than those here: they were not the same.
        let is_yes = |text: &Zeroizing<Vec<u8>>| {
            serde_json::from_slice(text).is_ok_and(|reply: Reply| reply.words == Some(words))
        };
        Ok(match said.as_slice() {
            [] => Heard::Nothing,
            said if said.iter().all(is_yes) => Heard::Yes,
            _ => Heard::No(Why::No),
        })
    }

    /// Ends what the other side has said no to.
    async fn end(&self, id: Uuid, why: Why) -> Result<Invitation, Error> {
        if let Some(Pairing { directory, code, .. }) = self.take_pairing(id)? {
            clear(&directory, &code).await;
        }
        match why {
            Why::NameTaken => Err(Error::Fleet(FleetError::NameTaken)),
            Why::No => Ok(ended(id)),
        }
    }

    fn pairing(&self) -> std::sync::MutexGuard<'_, Option<Pairing>> {
        self.pairing.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

const fn ended(id: Uuid) -> Invitation {
    Invitation { id, state: InvitationState::Ended, code: None, name: None, words: None }
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
