//! What two machines say to each other while one lets the other in, and how it lies in the exchange: as objects of kind `i`,
//! named by a key that both have, sealed and padded. Who says what when is in [`pairing`](super::pairing).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use secrets_fleet::ids::{FleetId, Hash};
use secrets_fleet::padding;
use secrets_fleet::secret::Field;
use secrets_fleet::{Kind, MachineId, ObjectId, ObjectName, Writer};
use secrets_proto::fleet::MachineName;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypto::exchange::{self, Private, Public};
use crate::exchange as directory;
use crate::vault::Error;
use crate::vault::format::fleet::{Epoch, Fleet, MachineKeys, Members, without_welcomes};

use super::{aside, list};

/// How old the steps of a code are that surely does not hold any more, by whichever clock.
const OVER: Duration = Duration::from_secs(24 * 3_600);

/// The numbers of the steps; between them is that of the welcomes that stay.
const STEPS: [u32; 5] = [1, 2, 3, 4, REPLY];

/// The number of the last step.
pub(super) const REPLY: u32 = 6;

/// The first step.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Offer {
    pub(super) ephemeral: Public,
    /// The hash of the number.
    pub(super) bound_to: Hash,
}

/// The second step.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Answer {
    pub(super) ephemeral: Public,
    pub(super) id: MachineId,
    pub(super) name: MachineName,
    pub(super) keys: MachineKeys,
    /// Whether the sixth step follows, as it does by now. It is of what the words are made of, so that nobody takes it away.
    #[serde(default)]
    pub(super) replies: bool,
}

/// The fourth step.
#[derive(Serialize, Deserialize)]
pub(super) struct Welcome {
    pub(super) fleet: FleetId,
    pub(super) keys: BTreeMap<u32, Private>,
    pub(super) epochs: BTreeMap<u32, Epoch>,
    pub(super) members: Members,
    /// The newest objects of each log: what the new machine must find.
    pub(super) heads: BTreeSet<ObjectId>,
    /// The fleet's registers: which secrets travel, which the new machine must know before it says anything.
    #[serde(default)]
    pub(super) registers: BTreeMap<String, Field>,
}

/// The fourth step, of a machine that lets nobody in. A joining machine that does not know it goes on waiting.
#[derive(Serialize, Deserialize)]
pub(super) struct Refusal {
    pub(super) refused: Why,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    /// A machine of that name is there.
    NameTaken,
    /// Somebody said no.
    #[serde(other)]
    No,
}

/// The sixth step: what the person at the joining machine has said.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reply {
    /// The words that are the same on both machines; none for a no.
    pub(super) words: Option<[u16; 5]>,
}

impl Welcome {
    /// That to the fleet as it is now, as text.
    pub(super) fn of(fleet: &Fleet) -> Result<Zeroizing<Vec<u8>>, Error> {
        // Without other welcomes: they would grow with each.
        let members = without_welcomes(&fleet.meta.members, |_| true);
        let welcome = Self {
            fleet: fleet.meta.fleet,
            keys: fleet.meta.keys.clone(),
            epochs: fleet.meta.epochs.clone(),
            members,
            heads: fleet.replica.known.heads.clone(),
            registers: fleet.replica.registers(),
        };
        let text = serde_json::to_vec(&welcome);
        text.map(Zeroizing::new).map_err(|_| Error::Internal("a welcome does not encode"))
    }
}

/// In whose log the steps of a code are.
pub(super) fn writer(code: &Private) -> Result<Writer, Error> {
    code.name()?.first_chunk().copied().map(Writer).ok_or(Error::Internal("a name is too short"))
}

/// A step, sealed: padded, as all objects are, with blanks, which JSON may end with. Its length would tell how long names are.
pub(super) fn sealed(key: &Private, number: u32, text: &[u8]) -> Result<Vec<u8>, Error> {
    let length =
        padding::padded(text.len()).ok_or(Error::Internal("a step is larger than an object may be"))?;
    let mut padded = Zeroizing::new(Vec::with_capacity(length));
    padded.extend_from_slice(text);
    padded.resize(length, b' ');
    Ok(key.seal(number.to_string().as_bytes(), &padded)?)
}

/// Puts a step into the exchange, or again if it was lost there. Returns the object that it is.
pub(super) async fn put(
    path: &Path,
    code: &Private,
    number: u32,
    sealed: &[u8],
) -> Result<ObjectName, Error> {
    let id = ObjectId { writer: writer(code)?, number, hash: exchange::hash_of(sealed).short() };
    let name = ObjectName { kind: Kind::Invitation, id };
    let (path, sealed) = (path.to_owned(), sealed.to_vec());
    aside(move || directory::write(&path, &name, &sealed)).await?;
    Ok(name)
}

/// Removes the steps of a code, also from the store. What stays is removed at a later invitation.
pub(super) async fn clear(path: &Path, code: &Private) {
    let Ok(writer) = writer(code) else { return };
    remove_steps(path, move |_, name| name.id.writer == writer).await;
}

/// Takes back one step.
pub(super) async fn take_back(path: &Path, step: ObjectName) {
    remove_steps(path, move |_, name| *name == step).await;
}

/// Removes the steps of codes that do not hold any more.
pub(super) async fn sweep(path: &Path) {
    remove_steps(path, |path, name| {
        let written = std::fs::metadata(path.join(name.to_string())).and_then(|file| file.modified());
        written.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > OVER))
    })
    .await;
}

async fn remove_steps(path: &Path, is_meant: impl Fn(&Path, &ObjectName) -> bool + Send + 'static) {
    let path = path.to_owned();
    let removed = aside(move || {
        let names = directory::list(&path)?.into_iter().filter(|name| name.kind == Kind::Invitation);
        let steps = names.filter(|name| STEPS.contains(&name.id.number));
        let steps: Vec<_> = steps.filter(|name| is_meant(&path, name)).collect();
        directory::drop_from_store(&path, &steps)?;
        steps.iter().try_for_each(|name| directory::remove(&path, name))
    });
    if let Err(error) = removed.await {
        tracing::debug!(%error, "steps of an invitation are left");
    }
}

/// What the other side has said in this step, if it has.
pub(super) async fn step(
    path: &Path,
    code: &Private,
    number: u32,
    key: &Private,
) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    Ok(all_of_step(path, code, number, key).await?.into_iter().next())
}

/// All that the other side has said in this step, in no order.
pub(super) async fn all_of_step(
    path: &Path,
    code: &Private,
    number: u32,
    key: &Private,
) -> Result<Vec<Zeroizing<Vec<u8>>>, Error> {
    let writer = writer(code)?;
    let is_it = |name: &ObjectName| {
        name.kind == Kind::Invitation && name.id.writer == writer && name.id.number == number
    };
    let mut said = Vec::new();
    for name in list(path.to_owned()).await?.into_iter().filter(is_it) {
        let path = path.to_owned();
        // What cannot be read is none of the other side's.
        let read = aside(move || Ok(directory::read(&path, &name).ok().flatten())).await?;
        let opened = read.and_then(|bytes| key.open(number.to_string().as_bytes(), &bytes).ok());
        if let Some(mut text) = opened {
            // Without the padding, which its author has not said.
            let length = text.trim_ascii_end().len();
            text.truncate(length);
            said.push(text);
        }
    }
    Ok(said)
}
