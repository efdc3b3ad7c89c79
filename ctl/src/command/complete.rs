//! `__complete`: what may come next, for the completion scripts. Whatever goes wrong, a person is typing a
//! command: it prints, asks, starts and waits for nothing.

use std::io::{self, Read};
use std::time::Duration;

use clap::{Args, Command};
use secrets_client::{Call, Method};
use secrets_proto::credential::CredentialList;
use secrets_proto::fleet::FleetStatus;
use secrets_proto::item::{ItemList, SearchItems};
use secrets_proto::secret::{PresetList, SecretList, TrashList};
use secrets_proto::token::{TokenInfo, TokenList};
use secrets_proto::vault::{KeyInfo, KeyList};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{key, token};
use crate::clock::Clock;
use crate::completion::{self, Next, Source};
use crate::project::{find, load};
use crate::session::Session;
use crate::{environment, output, providers, spawn};

/// Answers the completion scripts: words on stdin, candidates on stdout
#[derive(Debug, Args)]
pub(crate) struct CompleteArgs {}

/// How long the daemon may take to answer.
const PATIENCE: Duration = Duration::from_millis(30);

/// More than a command line can be.
const LIMIT: u64 = 4 << 20;

/// `root` describes the whole command line.
pub(crate) fn run(mut root: Command) {
    // A value may be among the words, in the wrong place.
    let mut line = Zeroizing::new(Vec::new());
    if io::stdin().lock().take(LIMIT).read_to_end(&mut line).is_err() {
        return;
    }
    // Each word ends with a NUL; zsh and fish leave it out after the last.
    let line = line.strip_suffix(b"\0").unwrap_or(&line);
    let words: Vec<String> =
        line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    root.build();
    let next = completion::next(&root, &words);
    let typed = words.last().and_then(|word| word.strip_prefix(&next.before)).unwrap_or_default();
    let _ = output::answer(lines(&next, typed).as_bytes());
}

/// One candidate a line, what it means after a tab; or what the shell is to complete itself.
fn lines(next: &Next, typed: &str) -> String {
    let (candidates, source) = match next.source {
        Source::None => (Vec::new(), None),
        Source::Files => (Vec::new(), Some(":files".to_owned())),
        Source::Directories => (Vec::new(), Some(":directories".to_owned())),
        Source::Command(at) => (Vec::new(), Some(format!(":command {at}"))),
        Source::Names
        | Source::Trash
        | Source::Providers
        | Source::Keys
        | Source::Items
        | Source::Tokens
        | Source::Machines
        | Source::Units
        | Source::Sessions => (asked(next), None),
        Source::Profiles | Source::Scopes => (of_manifest(next.source), None),
    };
    let begins = |word: &str| word.get(..typed.len()).is_some_and(|start| start.eq_ignore_ascii_case(typed));
    let mut text = String::new();
    for (word, help) in next.words.iter().chain(candidates.iter().filter(|(word, _)| begins(word))) {
        text.push_str(&format!("{}{word}\t{}\n", next.before, output::in_one_line(help)));
    }
    source.into_iter().for_each(|line| text.push_str(&format!("{line}\n")));
    text
}

/// What the daemon knows, if it runs and its vault is open.
fn asked(next: &Next) -> Vec<(String, String)> {
    let paths = environment::paths(&next.globals).ok();
    if next.source == Source::Sessions {
        let runtime = paths.as_ref().and_then(|paths| paths.socket.parent());
        let names = runtime.map(secrets_local::sessions::names).unwrap_or_default().into_iter();
        return names.map(|name| (name.to_string(), "session".to_owned())).collect();
    }
    let session = paths
        .filter(|paths| !spawn::may_be_activated(paths))
        .and_then(|paths| Session::new(paths, false).ok());
    let session = session.as_ref();
    let clock = Clock::local();
    match next.source {
        Source::Names => {
            let secrets = told::<SecretList>(session, "/user/secrets").map(|list| list.secrets);
            let help = |provider: Option<secrets_proto::Provider>| {
                provider.map_or_else(|| "secret".to_owned(), |provider| provider.to_string())
            };
            let secrets = secrets.unwrap_or_default().into_iter();
            secrets.map(|secret| (secret.name.to_string(), help(secret.provider))).collect()
        }
        Source::Trash => {
            let secrets = told::<TrashList>(session, "/user/secrets/trash").map(|list| list.secrets);
            let secrets = secrets.unwrap_or_default().into_iter();
            secrets
                .map(|trashed| {
                    let deleted = clock.shown(trashed.deleted_at);
                    (trashed.secret.name.to_string(), format!("deleted {deleted}"))
                })
                .collect()
        }
        Source::Providers => {
            let list = told::<PresetList>(session, "/user/secrets/presets");
            let presets = list.map(|list| list.presets).unwrap_or_default();
            let told = |name: &str| presets.iter().any(|preset| preset.provider.as_str() == name);
            let unheard = providers::known().into_iter().filter(|name| !told(name));
            let own = unheard.map(|name| (name.to_owned(), "provider".to_owned()));
            let told = presets.iter().map(|p| (p.provider.to_string(), p.env_var_name.to_string()));
            own.chain(told).collect()
        }
        Source::Keys => {
            let keys = told::<KeyList>(session, "/vault/keys").map(|list| list.keys);
            let keys = keys.unwrap_or_default().into_iter();
            let help = |key: &KeyInfo| format!("{}, added {}", key::called(key), clock.shown(key.created_at));
            keys.map(|key| (key.id.to_string(), help(&key))).collect()
        }
        Source::Items => {
            let search = Call::new(Method::POST, "/items/search").json(&SearchItems::default()).ok();
            let list: Option<ItemList> = search.and_then(|search| session?.glance(&search, PATIENCE).ok());
            let items = list.map(|list| list.items).unwrap_or_default().into_iter();
            items.map(|item| (item.id.to_string(), item.label.as_str().to_owned())).collect()
        }
        Source::Tokens => {
            let tokens = told::<TokenList>(session, "/tokens").map(|list| list.tokens);
            let word = |token: &TokenInfo| {
                let name = token.name.to_string();
                if is_plain(&name) { name } else { token.id.to_string() }
            };
            let help = |token: &TokenInfo| format!("{}, {}", token.name, token::scopes(token));
            let tokens = tokens.unwrap_or_default();
            tokens.iter().map(|token| (word(token), help(token))).collect()
        }
        Source::Machines => {
            let machines = told::<FleetStatus>(session, "/fleet").map(|status| status.machines);
            let there = machines.unwrap_or_default().into_iter().filter(|machine| !machine.removed);
            let help = |this: bool| if this { "this machine" } else { "machine" }.to_owned();
            there
                .filter(|machine| is_plain(&machine.name))
                .map(|machine| (machine.name, help(machine.this)))
                .collect()
        }
        Source::Units => {
            let units = told::<CredentialList>(session, "/credentials").map(|list| list.credentials);
            let units = units.unwrap_or_default().into_iter().map(|grant| grant.unit.to_string());
            units.filter(|unit| is_plain(unit)).map(|unit| (unit, "unit".to_owned())).collect()
        }
        Source::None
        | Source::Files
        | Source::Directories
        | Source::Command(_)
        | Source::Sessions
        | Source::Profiles
        | Source::Scopes => Vec::new(),
    }
}

/// What the manifest here has, if it can be read.
fn of_manifest(source: Source) -> Vec<(String, String)> {
    let located = find::locate(None).ok().flatten();
    let Some((_, manifest)) = located.and_then(|located| load(&located).ok()) else { return Vec::new() };
    let (names, help): (Vec<&str>, _) = if source == Source::Scopes {
        (manifest.scopes().collect(), "scope")
    } else {
        (manifest.profiles().collect(), "profile")
    };
    names.into_iter().filter(|name| is_plain(name)).map(|name| (name.to_owned(), help.to_owned())).collect()
}

fn told<T: DeserializeOwned>(session: Option<&Session>, route: &str) -> Option<T> {
    session?.glance(&Call::get(route), PATIENCE).ok()
}

/// Whether it is one word for every shell, as bash puts what it gets on the line as it is, and no flag for us.
fn is_plain(word: &str) -> bool {
    !word.starts_with('-') && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte))
}
