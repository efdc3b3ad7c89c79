//! `items`: what programs store by the Secret Service. Their values are shown by no command: they are the programs' own.

use clap::{Args, Subcommand};
use secrets_client::{Call, Method};
use secrets_proto::Uuid;
use secrets_proto::item::{Attributes, Item, ItemList, ItemTrash, ItemVersionList, SearchItems, TrashedItem};
use secrets_proto::selector::parse_id;

use super::kept;
use crate::beside;
use crate::clock::Clock;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::prompt;
use crate::session::Session;
use crate::table::{self, Cut};

/// List, copy and remove what programs store by the Secret Service
#[derive(Debug, Args)]
#[command(after_help = "\
Items are found by their attributes, not by a name, and are no secrets of
`secretctl list`. An item's id may be cut to its first digits, at least 4.

Example:
  secretctl items list
  secretctl items show 3f2a91c0
  secretctl items import --dry-run")]
pub(crate) struct ItemsArgs {
    #[command(subcommand)]
    command: ItemsCommand,
}

/// The commands on items.
#[derive(Debug, Subcommand)]
pub(crate) enum ItemsCommand {
    /// List items, the newest change first; never their values
    #[command(after_help = "\
Example:
  secretctl items list
  secretctl items list --attribute service=gh:github.com
  secretctl items list --trash")]
    List(ItemsListArgs),
    /// Show an item's label and attributes, without its value
    #[command(after_help = "Example:\n  secretctl items show 3f2a91c0")]
    Show(ItemArgs),
    /// Move an item to the trash for 30 days
    #[command(after_help = "Example:\n  secretctl items rm 3f2a91c0\n  secretctl items rm --purge 3f2a91c0")]
    Rm(ItemsRmArgs),
    /// Restore an item from the trash
    #[command(after_help = "Example:\n  secretctl items restore 3f2a91c0")]
    Restore(ItemArgs),
    /// Copy the items of the keyring that runs now, and read each back
    #[command(after_help = "\
The keyring is the program that has org.freedesktop.secrets on the session bus:
gnome-keyring, KWallet, KeePassXC. Do this before `secretctl secret-service enable`.
Its items stay where they are. Collections that are locked there are named and left
out, and so are items that the vault cannot keep. A second run changes nothing.

Example:
  secretctl items import --dry-run
  secretctl items import")]
    Import(ItemsImportArgs),
    /// Show the kept versions of an item's value, without the values
    #[command(after_help = "Example:\n  secretctl items history 3f2a91c0")]
    History(ItemArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ItemsListArgs {
    /// Only items with this attribute; repeatable
    #[arg(long = "attribute", value_name = "NAME=VALUE", conflicts_with = "trash")]
    attributes: Vec<String>,
    /// The deleted items
    #[arg(long)]
    trash: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ItemArgs {
    /// The item's id, or its first digits
    #[arg(value_name = "ITEM")]
    item: String,
}

#[derive(Debug, Args)]
pub(crate) struct ItemsRmArgs {
    /// The item's id, or its first digits
    #[arg(value_name = "ITEM")]
    item: String,
    /// Destroy it with all versions instead, also in the trash
    #[arg(long)]
    purge: bool,
    /// Do not ask before destroying
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ItemsImportArgs {
    /// Copy from the program that has this name on the session bus
    #[arg(long, value_name = "NAME", default_value = "org.freedesktop.secrets")]
    from: String,
    /// Store nothing, and say what would be copied
    #[arg(long)]
    dry_run: bool,
    /// Where the vault has an item with the same attributes and another value, store this one as its new version
    #[arg(long)]
    replace: bool,
}

pub(crate) fn run(context: &Context, args: &ItemsArgs) -> Result<(), Failure> {
    let (open, output) = (|| context.session(), context.output);
    match &args.command {
        ItemsCommand::List(args) if args.trash => list_trash(&open()?, output),
        ItemsCommand::List(args) => {
            let wanted = wanted(&args.attributes)?;
            list(&open()?, output, wanted)
        }
        ItemsCommand::Show(args) => show(&open()?, output, &args.item),
        ItemsCommand::Rm(args) => remove(&open()?, args),
        ItemsCommand::Restore(args) => restore(&open()?, output, &args.item),
        ItemsCommand::History(args) => history(&open()?, output, &args.item),
        ItemsCommand::Import(args) => {
            // A person who is asked for the passphrase is asked here.
            open()?.call(&Call::get("/items/collection"))?;
            Err(import(context, args))
        }
    }
}

/// Becomes the program that speaks to the session bus. Returns only if it can't.
fn import(context: &Context, args: &ItemsImportArgs) -> Failure {
    let mut arguments = vec!["--import", "--bus-name", &args.from];
    for (is_given, flag) in
        [(args.dry_run, "--dry-run"), (args.replace, "--replace"), (context.output.json, "--json")]
    {
        if is_given {
            arguments.push(flag);
        }
    }
    beside::become_program("secretsd-bus", &context.globals, &arguments)
}

/// The item whose id begins so, outside the trash.
pub(super) fn find(session: &Session, typed: &str) -> Result<Item, Failure> {
    let typed = Typed::parse(typed)?;
    let list: ItemList = session.fetch(&search(SearchItems::default())?)?;
    typed.only(list.items, |item| item.id)?.ok_or_else(absent)
}

/// An item's label as it is shown.
pub(super) fn label(item: &Item) -> String {
    match output::in_one_line(item.label.as_str()) {
        label if label.is_empty() => "(no label)".to_owned(),
        label => label.into_owned(),
    }
}

/// The beginning of an id.
struct Typed(String);

impl Typed {
    fn parse(text: &str) -> Result<Self, Failure> {
        let digits = text.to_ascii_lowercase();
        let is_beginning =
            digits.len() >= 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if is_beginning && digits.len() <= 36 {
            return Ok(Self(parse_id(text).map_or(digits, |id| id.to_string())));
        }
        Err(Failure::new(
            Exit::Invalid,
            "expected an item's id or its first digits, at least 4; see: secretctl items list",
        ))
    }

    /// The one whose id begins so.
    fn only<T>(&self, all: Vec<T>, id: impl Fn(&T) -> Uuid) -> Result<Option<T>, Failure> {
        let mut found = all.into_iter().filter(|one| id(one).to_string().starts_with(&self.0));
        match (found.next(), found.next()) {
            (one, None) => Ok(one),
            (_, Some(_)) => Err(Failure::new(
                Exit::Conflict,
                "several items' ids begin so; give more digits, as secretctl items list --json has them",
            )),
        }
    }
}

fn absent() -> Failure {
    Failure::new(Exit::NotFound, "no item with this id; see: secretctl items list")
}

fn search(wanted: SearchItems) -> Result<Call, Failure> {
    Ok(Call::new(Method::POST, "/items/search").json(&wanted)?)
}

fn wanted(pairs: &[String]) -> Result<SearchItems, Failure> {
    let pair = |text: &String| {
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| Failure::new(Exit::Usage, "--attribute is given as NAME=VALUE"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    let pairs = pairs.iter().map(pair).collect::<Result<Vec<_>, Failure>>()?;
    Ok(SearchItems {
        attributes: Attributes::try_from(pairs.into_iter().collect::<std::collections::BTreeMap<_, _>>())?,
    })
}

/// The columns, with how far each is cut in a narrow window.
const COLUMNS: [(&str, Cut); 4] =
    [("ID", Cut::Never), ("LABEL", Cut::End(12)), ("ATTRIBUTES", Cut::End(12)), ("UPDATED", Cut::Never)];

/// Those of the trash.
const TRASHED: [(&str, Cut); 4] =
    [("ID", Cut::Never), ("LABEL", Cut::End(12)), ("DELETED", Cut::Never), ("DESTROYED FROM", Cut::Never)];

fn list(session: &Session, output: Output, wanted: SearchItems) -> Result<(), Failure> {
    let answer = session.call(&search(wanted)?)?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let ItemList { items, .. } = answer.parse()?;
    if items.is_empty() {
        output::say("no items");
        return Ok(());
    }
    let clock = Clock::of_stdout();
    let rows = items
        .iter()
        .map(|item| vec![short(item.id), label(item), attributes(item), clock.shown(item.updated_at)]);
    print(&COLUMNS, rows.collect(), output)
}

fn list_trash(session: &Session, output: Output) -> Result<(), Failure> {
    let answer = session.call(&Call::get("/items/trash"))?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let ItemTrash { items, .. } = answer.parse()?;
    if items.is_empty() {
        output::say("no deleted items");
        return Ok(());
    }
    let clock = Clock::of_stdout();
    let rows = items.iter().map(|TrashedItem { item, deleted_at, purged_at }| {
        vec![short(item.id), label(item), clock.shown(*deleted_at), clock.shown(*purged_at)]
    });
    print(&TRASHED, rows.collect(), output)
}

fn print(columns: &[(&str, Cut)], rows: Vec<Vec<String>>, output: Output) -> Result<(), Failure> {
    let all: Vec<usize> = (0..columns.len()).collect();
    let text = table::render_in_window(columns, rows, &all, output::columns(), output.colour);
    output::answer(text.as_bytes())
}

/// So many digits of an id tell the items of a person apart.
fn short(id: Uuid) -> String {
    id.to_string().chars().take(8).collect()
}

fn attributes(item: &Item) -> String {
    let pairs = item.attributes.pairs().iter().map(|(name, value)| format!("{name}={value}"));
    output::in_one_line(&pairs.collect::<Vec<_>>().join(" ")).into_owned()
}

fn show(session: &Session, output: Output, typed: &str) -> Result<(), Failure> {
    let item = find(session, typed)?;
    let answer = session.call(&Call::get(&format!("/items/{}", item.id)))?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let item: Item = answer.parse()?;
    let clock = Clock::of_stdout();
    let mut lines = vec![
        ("label", label(&item)),
        ("id", item.id.to_string()),
        ("size", format!("{} bytes", item.size)),
        ("type", output::in_one_line(item.content_type.as_str()).into_owned()),
        ("created", clock.shown(item.created_at)),
        ("updated", clock.shown(item.updated_at)),
    ];
    if item.guarded {
        lines.push(("guarded", "a person decides who may have or change it".to_owned()));
    }
    let pairs = item.attributes.pairs().iter();
    lines.extend(pairs.map(|(name, value)| ("attribute", format!("{name}={value}"))));
    let shown = |text: &str| output::folded(&output::in_one_line(text), output::columns(), 11);
    let text: String = lines.iter().map(|(title, text)| format!("{title:<10} {}\n", shown(text))).collect();
    output::answer(text.as_bytes())
}

fn remove(session: &Session, args: &ItemsRmArgs) -> Result<(), Failure> {
    let item = match find(session, &args.item) {
        Err(failure) if args.purge && failure.exit() == Exit::NotFound => trashed(session, &args.item)?,
        found => found?,
    };
    let shown = label(&item);
    let mut call = Call::new(Method::DELETE, &format!("/items/{}", item.id));
    if args.purge {
        if !args.yes && !confirmed(&shown)? {
            return Err(Failure::new(Exit::Other, "nothing was destroyed"));
        }
        call = call.query("purge", "true");
    }
    session.call(&call)?;
    if args.purge {
        output::say(&format!("destroyed item \"{shown}\""));
        kept::remind("the destroyed item may still be in");
        return Ok(());
    }
    let id = short(item.id);
    output::say(&format!(
        "moved item \"{shown}\" to the trash for 30 days; undo with: secretctl items restore {id}"
    ));
    Ok(())
}

fn confirmed(shown: &str) -> Result<bool, Failure> {
    prompt::confirm(&format!("destroy item \"{shown}\" with all versions?")).map_err(|error| {
        if matches!(error, prompt::Error::NoTerminal) {
            let text = "--purge cannot be undone and there is no terminal to ask on; use --yes";
            return Failure::new(Exit::Usage, text);
        }
        Failure::new(Exit::Other, error.told("nothing was destroyed", ""))
    })
}

fn trashed(session: &Session, typed: &str) -> Result<Item, Failure> {
    let typed = Typed::parse(typed)?;
    let trash: ItemTrash = session.fetch(&Call::get("/items/trash"))?;
    let found = typed.only(trash.items, |trashed| trashed.item.id)?;
    found
        .map(|trashed| trashed.item)
        .ok_or_else(|| Failure::new(Exit::NotFound, "not in the trash; see: secretctl items list --trash"))
}

fn restore(session: &Session, output: Output, typed: &str) -> Result<(), Failure> {
    let item = trashed(session, typed)?;
    let answer = session.call(&Call::new(Method::POST, &format!("/items/{}/restore", item.id)))?;
    output::say(&format!("restored item \"{}\"", label(&item)));
    if output.json { output::answer_json_line(answer.bytes()) } else { Ok(()) }
}

fn history(session: &Session, output: Output, typed: &str) -> Result<(), Failure> {
    let item = find(session, typed)?;
    let answer = session.call(&Call::get(&format!("/items/{}/versions", item.id)))?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let ItemVersionList { versions } = answer.parse()?;
    let clock = Clock::of_stdout();
    let rows: Vec<[String; 5]> = versions
        .iter()
        .map(|version| {
            let mark = if version.current { "current" } else { "" };
            [
                version.version.to_string(),
                version.size.to_string(),
                output::in_one_line(version.content_type.as_str()).into_owned(),
                clock.shown(version.created_at),
                mark.to_owned(),
            ]
        })
        .collect();
    let header = ["VERSION", "BYTES", "TYPE", "STORED", ""];
    output::answer(table::render(header, &rows, output.colour).as_bytes())
}
