//! The objects, by their paths. It knows nothing of what they do.

use secrets_proto::Uuid;
use zbus::ObjectPath;

/// Where all of them are.
const ROOT: &str = "/org/freedesktop/secrets";

/// The object that stands for none: no prompt, no collection.
pub(crate) const NONE: &str = "/";

/// A collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kept {
    /// The vault's items.
    Login,
    /// Items in the memory of this process.
    Session,
}

impl Kept {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Login, Self::Session];

    /// The collection that has this alias, or this name.
    pub(crate) fn by_alias(alias: &str) -> Option<Self> {
        match alias {
            "default" | "login" => Some(Self::Login),
            "session" => Some(Self::Session),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Session => "session",
        }
    }

    /// The collection's path.
    pub(crate) fn path(self) -> ObjectPath<'static> {
        made(format!("{ROOT}/collection/{}", self.name()))
    }
}

/// An item of a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ItemId {
    /// One of the vault.
    Vault(Uuid),
    /// What stands for the answer of a search in the locked vault.
    StandIn(u64),
    /// One of this process's memory.
    Memory(u64),
}

impl ItemId {
    /// The collection that it is in.
    pub(crate) const fn kept(self) -> Kept {
        match self {
            Self::Vault(_) | Self::StandIn(_) => Kept::Login,
            Self::Memory(_) => Kept::Session,
        }
    }

    /// The item's path.
    pub(crate) fn path(self) -> ObjectPath<'static> {
        let name = match self {
            Self::Vault(id) => id.simple().to_string(),
            Self::StandIn(number) => format!("{LOCKED}{number}"),
            Self::Memory(number) => number.to_string(),
        };
        made(format!("{}/{name}", self.kept().path()))
    }

    fn parse(kept: Kept, name: &str) -> Option<Self> {
        match (kept, name.strip_prefix(LOCKED)) {
            (Kept::Session, _) => number(name).map(Self::Memory),
            (Kept::Login, Some(digits)) => number(digits).map(Self::StandIn),
            // The one spelling of an id that is made here.
            (Kept::Login, None) => {
                let id = Uuid::try_parse(name).ok()?;
                (id.simple().to_string() == name).then_some(Self::Vault(id))
            }
        }
    }
}

/// What the names of stand-ins begin with.
const LOCKED: &str = "locked";

/// An object that can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Object {
    /// The service itself.
    Service,
    /// A collection.
    Collection(Kept),
    /// An item.
    Item(ItemId),
    /// A session.
    Session(u64),
    /// A prompt.
    Prompt(u64),
    /// What only leads to others.
    Branch(&'static [&'static str]),
}

impl Object {
    /// The object at a path.
    pub(crate) fn at(path: &str) -> Option<Self> {
        let Some(rest) = path.strip_prefix(ROOT) else { return branch(path) };
        if rest.is_empty() {
            return Some(Self::Service);
        }
        let mut names = rest.strip_prefix('/')?.split('/');
        let first = names.next()?;
        let (second, third) = (names.next(), names.next());
        if names.next().is_some() {
            return None;
        }
        match (first, second, third) {
            ("collection", None, None) => Some(Self::Branch(&["login", "session"])),
            ("aliases", None, None) => Some(Self::Branch(&["default", "login", "session"])),
            ("collection", Some(name @ ("login" | "session")), None) => {
                Kept::by_alias(name).map(Self::Collection)
            }
            ("collection", Some(name @ ("login" | "session")), Some(item)) => {
                Some(Self::Item(ItemId::parse(Kept::by_alias(name)?, item)?))
            }
            ("aliases", Some(alias), None) => Kept::by_alias(alias).map(Self::Collection),
            ("session", Some(digits), None) => number(digits).map(Self::Session),
            ("prompt", Some(digits), None) => number(digits).map(Self::Prompt),
            _ => None,
        }
    }

    /// The path of a session or prompt of this number.
    pub(crate) fn numbered(kind: &str, number: u64) -> ObjectPath<'static> {
        made(format!("{ROOT}/{kind}/{number}"))
    }
}

fn branch(path: &str) -> Option<Object> {
    match path {
        "/" => Some(Object::Branch(&["org"])),
        "/org" => Some(Object::Branch(&["freedesktop"])),
        "/org/freedesktop" => Some(Object::Branch(&["secrets"])),
        _ => None,
    }
}

/// A number as it is written here.
fn number(digits: &str) -> Option<u64> {
    let is_written_so = digits == "0" || !digits.starts_with('0');
    (is_written_so && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// A path of letters, digits and slashes alone.
fn made(path: String) -> ObjectPath<'static> {
    ObjectPath::from_string_unchecked(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_is_at_its_path_and_nothing_is_at_another() {
        let id = Uuid::from_u128(7);
        for object in [
            Object::Collection(Kept::Login),
            Object::Collection(Kept::Session),
            Object::Item(ItemId::Vault(id)),
            Object::Item(ItemId::StandIn(3)),
            Object::Item(ItemId::Memory(0)),
            Object::Session(1),
            Object::Prompt(12),
        ] {
            let path = match object {
                Object::Collection(kept) => kept.path(),
                Object::Item(item) => item.path(),
                Object::Session(number) => Object::numbered("session", number),
                Object::Prompt(number) => Object::numbered("prompt", number),
                Object::Service | Object::Branch(_) => unreachable!(),
            };
            assert!(ObjectPath::try_from(path.as_str()).is_ok(), "{path}");
            assert_eq!(Object::at(&path), Some(object), "{path}");
        }
        assert_eq!(Object::at(ROOT), Some(Object::Service));
        assert_eq!(
            Object::at("/org/freedesktop/secrets/aliases/default"),
            Some(Object::Collection(Kept::Login))
        );
        for none in [
            "/org/freedesktop/secretsx",
            "/org/freedesktop/secrets/",
            "/org/freedesktop/secrets/collection/other",
            "/org/freedesktop/secrets/collection/default",
            "/org/freedesktop/secrets/aliases/other",
            "/org/freedesktop/secrets/collection/login/1",
            "/org/freedesktop/secrets/collection/login/locked01",
            "/org/freedesktop/secrets/collection/login/locked",
            "/org/freedesktop/secrets/collection/session/18446744073709551616",
            "/org/freedesktop/secrets/collection/login/00000000-0000-0000-0000-000000000007",
            "/org/freedesktop/secrets/collection/login/0000000000000000000000000000000A",
            "/org/freedesktop/secrets/session/+1",
            "/org/freedesktop/secrets/session/1/2",
        ] {
            assert_eq!(Object::at(none), None, "{none}");
        }
    }
}
