//! What is asked of the daemon, with the token of the scope `items`, and always in the name of a program on the bus.

use std::path::PathBuf;

use secrets_client::{Call, Client, Error, Limits, Method, Paths, TokenSource};
use secrets_local::places::ITEMS_TOKEN;
use secrets_proto::approval::{Approval, AskUnlock, UnlockRight};
use secrets_proto::item::{
    Attributes, Collection, CreateItem, Item, ItemChanges, ItemLabel, ItemList, ItemValue, PatchCollection,
    PatchItem, RevealedItem, SearchItems, UpdateItemValue,
};
use secrets_proto::vault::VaultState;
use secrets_proto::{ErrorType, Uuid};
use serde::Deserialize;

use crate::who::Facts;

/// For how many seconds one request waits for an answer of a person.
const STEP: u64 = 25;

/// The daemon of this user.
#[derive(Clone)]
pub(crate) struct Daemon {
    client: Client,
}

/// What is listed of an item where nothing else is needed.
#[derive(Deserialize)]
pub(crate) struct Listed {
    /// The item.
    pub(crate) id: Uuid,
    /// Whether its value would not be given to who asks.
    #[serde(default)]
    pub(crate) locked: bool,
}

#[derive(Deserialize)]
struct ListedItems {
    items: Vec<Listed>,
}

#[derive(Deserialize)]
struct State {
    state: VaultState,
}

impl Daemon {
    /// The daemon at this socket, or where `secretctl` would look for it; the token lies beside the socket, unless
    /// another file is named.
    pub(crate) fn find(socket: Option<PathBuf>, token_file: Option<PathBuf>) -> Result<Self, String> {
        let variable = |name: &str| {
            // The owner's token has no business here.
            (name == "XDG_RUNTIME_DIR" || name == "SECRETSD_SOCKET").then(|| std::env::var_os(name)).flatten()
        };
        let paths = Paths::find(socket, None, variable).map_err(|error| error.to_string())?;
        let file = token_file.unwrap_or_else(|| paths.socket.with_file_name(ITEMS_TOKEN));
        Ok(Self { client: Client::new(paths.socket, TokenSource::File(file), Limits::default()) })
    }

    /// How the vault stands.
    pub(crate) async fn state(&self) -> Result<VaultState, Error> {
        self.client.send(&Call::status()).await?.parse::<State>().map(|state| state.state)
    }

    /// Locks the vault.
    pub(crate) async fn lock(&self) -> Result<(), Error> {
        self.client.send(&Call::new(Method::POST, "/vault/lock")).await.map(drop)
    }

    /// The items that have at least these attributes, the newest change first.
    pub(crate) async fn search(&self, who: &Facts, attributes: Attributes) -> Result<Vec<Listed>, Error> {
        let call = Call::new(Method::POST, "/items/search").json(&SearchItems { attributes })?;
        let found: ListedItems = self.client.send(&who.say(call)).await?.parse()?;
        Ok(found.items)
    }

    /// All items, with all that is known of them but their values.
    pub(crate) async fn all(&self) -> Result<Vec<Item>, Error> {
        let call = Call::new(Method::POST, "/items/search").json(&SearchItems::default())?;
        let found: ItemList = self.client.send(&call).await?.parse()?;
        Ok(found.items)
    }

    /// Stores an item, or a value for the one that has exactly its attributes.
    pub(crate) async fn create(&self, who: &Facts, item: &CreateItem) -> Result<Item, Error> {
        let call = Call::new(Method::POST, "/items").json(item)?;
        self.client.send(&who.say(call)).await?.parse()
    }

    /// An item without its value.
    pub(crate) async fn item(&self, who: &Facts, id: Uuid) -> Result<Item, Error> {
        self.client.send(&who.say(Call::get(&format!("/items/{id}")))).await?.parse()
    }

    /// Changes an item's label or attributes.
    pub(crate) async fn change(&self, who: &Facts, id: Uuid, change: &PatchItem) -> Result<Item, Error> {
        let call = Call::new(Method::PATCH, &format!("/items/{id}")).json(change)?;
        self.client.send(&who.say(call)).await?.parse()
    }

    /// Puts an item into the trash.
    pub(crate) async fn delete(&self, who: &Facts, id: Uuid) -> Result<(), Error> {
        let call = Call::new(Method::DELETE, &format!("/items/{id}"));
        self.client.send(&who.say(call)).await.map(drop)
    }

    /// Gives an item another value.
    pub(crate) async fn set_value(
        &self,
        who: &Facts,
        id: Uuid,
        value: &UpdateItemValue,
    ) -> Result<(), Error> {
        let call = Call::new(Method::PUT, &format!("/items/{id}/value")).json(value)?;
        self.client.send(&who.say(call)).await.map(drop)
    }

    /// An item's value. The daemon has it in its audit log before it leaves.
    pub(crate) async fn reveal(&self, who: &Facts, id: Uuid) -> Result<(ItemValue, String), Error> {
        let call = Call::new(Method::POST, &format!("/items/{id}/reveal"));
        let revealed: RevealedItem = self.client.send(&who.say(call)).await?.parse()?;
        Ok((revealed.value_base64, revealed.content_type.into()))
    }

    /// What holds the items.
    pub(crate) async fn collection(&self) -> Result<Collection, Error> {
        self.client.send(&Call::get("/items/collection")).await?.parse()
    }

    /// Gives it another label.
    pub(crate) async fn label_collection(&self, who: &Facts, label: ItemLabel) -> Result<(), Error> {
        let call = Call::new(Method::PATCH, "/items/collection").json(&PatchCollection { label })?;
        self.client.send(&who.say(call)).await.map(drop)
    }

    /// How it stands now, or once it has changed after that number.
    pub(crate) async fn changes(&self, after: Option<u64>) -> Result<ItemChanges, Error> {
        let call = Call::get("/items/changes");
        let call = match after {
            Some(after) => call.once_changed(after),
            None => call,
        };
        self.client.send(&call).await?.parse()
    }

    /// Asks a person to open the vault.
    pub(crate) async fn ask_unlock(&self, who: &Facts) -> Result<Approval, Error> {
        let call = Call::new(Method::POST, "/approvals").json(&AskUnlock { right: UnlockRight::Unlock })?;
        self.client.send(&who.say(call)).await?.parse()
    }

    /// How an ask stands, now or as soon as it has been answered; or after so many seconds.
    pub(crate) async fn ask(&self, id: Uuid, seconds: u64) -> Result<Approval, Error> {
        let call = Call::get(&format!("/approvals/{id}")).query("wait", &seconds.min(STEP).to_string());
        self.client.send(&call).await?.parse()
    }
}

/// The ask that a refusal has made, if a person must allow it.
pub(crate) fn ask_of(error: &Error) -> Option<Uuid> {
    let Error::Refused(body) = error else { return None };
    if body.kind != ErrorType::ApprovalRequiredError {
        return None;
    }
    body.errors.first().and_then(|error| Uuid::parse_str(&error.msg).ok())
}
