//! The operations on `/user/secrets`.

use bytes::Bytes;
use secrets_proto::Uuid;
use secrets_proto::reveal::{RevealReply, RevealRequest};
use secrets_proto::secret::{
    CreateFromPreset, CreateSecret, PatchSecret, PresetList, RollbackRequest, SameList, Secret, SecretDetail,
    SecretList, TrashList, UpdateSecret, VersionList, WriteSecrets,
};

use crate::answering::Answering;
use crate::caller::Caller;
use crate::vault::{Error, Form, Held, ListFilter, Rendered, Vault};

/// How much of a secret's metadata to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum View {
    /// The six fields that clients of the API know.
    #[default]
    Basic,
    /// All of them.
    Full,
    /// All of them, and what there is to warn of.
    Warned,
}

/// A listing asked for.
#[derive(Debug)]
pub(crate) struct List {
    /// Which secrets.
    pub(crate) filter: ListFilter,
    /// How much of each.
    pub(crate) view: View,
    /// Writes the list that nearly everybody asks for; the vault keeps what it wrote.
    pub(crate) basic: Form<Secret>,
    /// Writes a list with all there is to tell.
    pub(crate) full: Form<SecretDetail>,
}

impl List {
    /// Whether it is the one that nearly everybody asks for.
    const fn is_of_everything(&self) -> bool {
        self.filter.is_of_everything() && matches!(self.view, View::Basic)
    }
}

/// A listing.
#[derive(Debug)]
pub(crate) enum Listing {
    /// All secrets, written already.
    Rendered(Held<Rendered>),
    /// Some secrets, or more of each, just written.
    Selected(Held<Bytes>),
}

/// `GET /user/secrets`
pub(crate) fn list(
    vault: &Vault,
    caller: &Caller,
    list: List,
) -> Answering<Result<Listing, Error>, impl Future<Output = Result<Listing, Error>> + Send> {
    let is_kept = list.is_of_everything() && caller.sees_all();
    if is_kept && !vault.list_takes_turns(caller) {
        let list = vault.rendered_list(caller, list.basic);
        return Answering::now(list.map(|reply| Listing::Rendered(Held { reply, permit: None })));
    }
    let is_owners = caller.is_master() && list.filter.name.is_none();
    let List { filter, view, basic, full } = list;
    let write = move |secrets: Vec<SecretDetail>| match view {
        View::Full | View::Warned => full.write(&secrets),
        View::Basic => {
            let secrets: Vec<Secret> = secrets.into_iter().map(|detail| detail.secret).collect();
            basic.write(&secrets)
        }
    };
    Answering::Later(async move {
        if is_kept {
            return vault.rendered_list_in_turn(caller, basic).await.map(Listing::Rendered);
        }
        let list = match (view, filter.provider) {
            (View::Full | View::Warned, provider) if is_owners => {
                vault.full_list(caller, provider, full).await
            }
            (View::Basic, Some(provider)) if is_owners => vault.list_of(caller, provider, basic).await,
            (_, provider) => vault.list(caller, ListFilter { provider, ..filter }, write).await,
        };
        list.map(Listing::Selected)
    })
}

/// One secret asked for.
#[derive(Debug)]
pub(crate) struct Get {
    /// Which.
    pub(crate) id: Uuid,
    /// How much of it.
    pub(crate) view: View,
    /// Writes what nearly everybody asks for; the vault keeps what it wrote.
    pub(crate) render: fn(&Secret) -> Bytes,
}

/// A secret that was asked for.
#[derive(Debug)]
pub(crate) enum Shown {
    /// Written already.
    Rendered(Rendered),
    /// With more than most ask for.
    Found(Found),
}

/// A secret that is there, or was changed.
#[derive(Debug)]
pub(crate) struct Found(pub(crate) SecretDetail, pub(crate) View);

/// `GET /user/secrets/{id}`
pub(crate) fn get(vault: &Vault, caller: &Caller, get: Get) -> Result<Shown, Error> {
    let Get { id, view, render } = get;
    match view {
        View::Basic => vault.rendered_secret(caller, id, render).map(Shown::Rendered),
        View::Full | View::Warned => vault.secret(caller, id).map(|secret| Shown::Found(Found(secret, view))),
    }
}

/// `GET /user/secrets/presets`
pub(crate) fn presets(vault: &Vault, caller: &Caller, (): ()) -> Result<PresetList, Error> {
    vault.presets(caller)
}

/// A secret that was made.
#[derive(Debug)]
pub(crate) struct Created(pub(crate) SecretDetail, pub(crate) View);

/// A secret to be made.
#[derive(Debug)]
pub(crate) struct Create<T> {
    /// What it is.
    pub(crate) new: T,
    /// How much of it to show.
    pub(crate) view: View,
}

/// `POST /user/secrets`
pub(crate) async fn create(
    vault: &Vault,
    caller: &Caller,
    create: Create<CreateSecret>,
) -> Result<Created, Error> {
    vault.create(caller, create.new).await.map(|secret| Created(secret, create.view))
}

/// `POST /user/secrets/preset`
pub(crate) async fn create_from_preset(
    vault: &Vault,
    caller: &Caller,
    create: Create<CreateFromPreset>,
) -> Result<Created, Error> {
    vault.create_from_preset(caller, create.new).await.map(|secret| Created(secret, create.view))
}

/// `POST /user/secrets/batch`
pub(crate) async fn write_all(
    vault: &Vault,
    caller: &Caller,
    all: WriteSecrets,
) -> Result<SecretList, Error> {
    let written = vault.write_all(caller, all.secrets).await?;
    let secrets: Vec<Secret> = written.into_iter().map(|detail| detail.secret).collect();
    Ok(SecretList { total: secrets.len(), secrets })
}

/// A new value for a secret.
#[derive(Debug)]
pub(crate) struct Update {
    /// Which secret.
    pub(crate) id: Uuid,
    /// The value.
    pub(crate) new: UpdateSecret,
    /// The version that it must have.
    pub(crate) expected: Option<Vec<u64>>,
    /// How much of it to show.
    pub(crate) view: View,
}

/// `PUT /user/secrets/{id}`
pub(crate) async fn update(vault: &Vault, caller: &Caller, update: Update) -> Result<Found, Error> {
    let Update { id, new, expected, view } = update;
    vault.update(caller, id, new, expected).await.map(|secret| Found(secret, view))
}

/// New metadata for a secret.
#[derive(Debug)]
pub(crate) struct Edit {
    /// Which secret.
    pub(crate) id: Uuid,
    /// What changes.
    pub(crate) patch: PatchSecret,
    /// The version that it must have.
    pub(crate) expected: Option<Vec<u64>>,
    /// How much of it to show.
    pub(crate) view: View,
}

/// `PATCH /user/secrets/{id}`
pub(crate) async fn edit(vault: &Vault, caller: &Caller, edit: Edit) -> Result<Found, Error> {
    let Edit { id, patch, expected, view } = edit;
    vault.edit(caller, id, patch, expected).await.map(|secret| Found(secret, view))
}

/// A secret to be removed.
#[derive(Debug)]
pub(crate) struct Delete {
    /// Which secret.
    pub(crate) id: Uuid,
    /// The version that it must have.
    pub(crate) expected: Option<Vec<u64>>,
    /// Whether to destroy it instead of moving it to the trash.
    pub(crate) purge: bool,
}

/// An operation is done, and there is nothing to say.
#[derive(Debug)]
pub(crate) struct Done;

/// `DELETE /user/secrets/{id}`
pub(crate) async fn delete(vault: &Vault, caller: &Caller, delete: Delete) -> Result<Done, Error> {
    vault.delete(caller, delete.id, delete.expected, delete.purge).await.map(|()| Done)
}

/// Values asked for.
#[derive(Debug)]
pub(crate) struct Reveal {
    /// Which, and what for.
    pub(crate) request: RevealRequest,
    /// Writes them, into memory that is wiped.
    pub(crate) render: fn(&RevealReply) -> Bytes,
}

/// Values, just written.
#[derive(Debug)]
pub(crate) struct Revealed(pub(crate) Bytes);

/// `POST /user/secrets/reveal`
pub(crate) async fn reveal(vault: &Vault, caller: &Caller, reveal: Reveal) -> Result<Held<Revealed>, Error> {
    let Reveal { request, render } = reveal;
    vault.reveal(caller, request, move |reply| Revealed(render(&reply))).await
}

/// One secret meant by its id.
#[derive(Debug)]
pub(crate) struct ById(pub(crate) Uuid);

/// `GET /user/secrets/{id}/versions`
pub(crate) async fn versions(vault: &Vault, caller: &Caller, by: ById) -> Result<VersionList, Error> {
    vault.versions(caller, by.0).await
}

/// `POST /user/secrets/{id}/same`
pub(crate) async fn same(vault: &Vault, caller: &Caller, by: ById) -> Result<SameList, Error> {
    vault.same(caller, by.0).await
}

/// A secret to get an earlier value again.
#[derive(Debug)]
pub(crate) struct Rollback {
    /// Which secret.
    pub(crate) id: Uuid,
    /// To which version.
    pub(crate) to: RollbackRequest,
    /// The version that it must have.
    pub(crate) expected: Option<Vec<u64>>,
    /// How much of it to show.
    pub(crate) view: View,
}

/// `POST /user/secrets/{id}/rollback`
pub(crate) async fn rollback(vault: &Vault, caller: &Caller, rollback: Rollback) -> Result<Found, Error> {
    let Rollback { id, to, expected, view } = rollback;
    vault.rollback(caller, id, to, expected).await.map(|secret| Found(secret, view))
}

/// An earlier value to be destroyed.
#[derive(Debug)]
pub(crate) struct DropVersion {
    /// Of which secret.
    pub(crate) id: Uuid,
    /// Which version of it.
    pub(crate) version: u64,
    /// The version that the secret must have.
    pub(crate) expected: Option<Vec<u64>>,
}

/// `DELETE /user/secrets/{id}/versions`
pub(crate) async fn drop_version(vault: &Vault, caller: &Caller, drop: DropVersion) -> Result<Done, Error> {
    vault.drop_version(caller, drop.id, drop.version, drop.expected).await.map(|()| Done)
}

/// `GET /user/secrets/trash`
pub(crate) async fn trash(vault: &Vault, caller: &Caller, trash: Trash) -> Result<Held<Bytes>, Error> {
    vault.trash(caller, move |list| (trash.render)(&list)).await
}

/// The trash asked for.
#[derive(Debug)]
pub(crate) struct Trash {
    /// Writes it.
    pub(crate) render: fn(&TrashList) -> Bytes,
}

/// A secret to be taken out of the trash.
#[derive(Debug)]
pub(crate) struct Restore {
    /// Which secret.
    pub(crate) id: Uuid,
    /// How much of it to show.
    pub(crate) view: View,
}

/// `POST /user/secrets/{id}/restore`
pub(crate) async fn restore(vault: &Vault, caller: &Caller, restore: Restore) -> Result<Found, Error> {
    vault.restore(caller, restore.id).await.map(|secret| Found(secret, restore.view))
}
