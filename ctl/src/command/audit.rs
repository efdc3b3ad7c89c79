//! `audit`: who asked for what, and how it ended.

mod archive;
pub(super) mod eyes;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use secrets_client::Call;
use secrets_proto::audit::{
    AuditCaller, AuditEntry, AuditList, AuditOutcome, AuditUse, AuditVerified, Refusal,
};
use secrets_proto::reveal::Remark;
use secrets_proto::{SecretName, Timestamp, Uuid};

use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::session::Session;
use crate::table::{self, Style};
use crate::{clock, pager};

/// Show who accessed what, and when
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  secretctl audit --since 2h\n  secretctl audit --name OPENAI_API_KEY --json\n  secretctl audit --session \"$SECRETSD_PROXY\"\n  secretctl audit --verify\n  secretctl audit archive ~/audit-2026.jsonl",
    args_conflicts_with_subcommands = true
)]
pub(crate) struct AuditArgs {
    /// Only entries about this secret
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Only since this time: RFC 3339, a date, or a duration back like 45m, 2h, 7d
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Only entries of this session of `proxy run`: who began and ended it, what it used and was refused
    #[arg(long, value_name = "ID")]
    pub(crate) session: Option<String>,
    /// At a terminal, show times in UTC instead of local time
    #[arg(long)]
    pub(crate) utc: bool,
    /// Check the whole log and name the first entry that was changed
    #[arg(long, conflicts_with_all = ["name", "since", "session"])]
    pub(crate) verify: bool,
    #[command(subcommand)]
    command: Option<AuditCommand>,
}

/// The commands on the audit log.
#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Move all entries from the vault to a new file
    #[command(after_help = "\
The file has one JSON object per line, in the clear: names, but no values. The
entries leave the vault once the file is on the disk; later ones stay chained to
them. Versions of secretsd that cannot archive do not open the vault afterwards.

Example:
  secretctl audit archive ~/audit-2026.jsonl")]
    Archive(archive::ArchiveArgs),
}

/// The most characters of names in the table, unless the first one alone has more.
const NAMES_WIDTH: usize = 48;

/// The most characters of a unit in the table.
const UNIT_WIDTH: usize = 32;

/// The most entries that are shown.
const MOST: &str = "1000";

pub(crate) fn run(session: &Session, output: Output, args: &AuditArgs) -> Result<(), Failure> {
    if let Some(AuditCommand::Archive(args)) = &args.command {
        return archive::run(session, args);
    }
    if args.verify {
        return verify(session, output);
    }
    let mut call = Call::get("/audit").query("limit", MOST);
    if let Some(name) = &args.name {
        call = call.query("name", SecretName::parse(name)?.as_str());
    }
    if let Some(session) = &args.session {
        call = call.query("session", &session_id(session)?.to_string());
    }
    if let Some(since) = &args.since {
        call = call.query("since", &point_in_time(since, Timestamp::now())?.to_string());
    }
    let AuditList { entries, more } = session.fetch(&call)?;
    if more {
        output::say("older entries are not shown; use --since, --name or --session to see them");
    }
    if output.json {
        return output::answer_json(&lines(&entries)?);
    }
    if entries.is_empty() {
        output::say("no entries");
        return Ok(());
    }
    let own = rustix::process::geteuid().as_raw();
    if output::stdout_is_terminal() {
        let text = eyes::render(&entries, args.utc, output, output::columns(), |entry| row(entry, own));
        return pager::answer_paged_from_its_end(&text);
    }
    let rows: Vec<[String; 7]> = entries.iter().map(|entry| row(entry, own)).collect();
    // What callers chose freely is last: whatever it says, it moves nothing else.
    let header = ["TIME (UTC)", "CALLER", "TOKEN", "ACTION", "NAMES", "OUTCOME", "FOR"];
    let denied = |at: usize| {
        let entry = entries.get(at)?;
        (entry.outcome == AuditOutcome::Denied).then_some(Style::Red)
    };
    output::answer(table::render_styled(&header, &rows, output.colour, None, denied).as_bytes())
}

fn verify(session: &Session, output: Output) -> Result<(), Failure> {
    let answer = session.call(&Call::get("/audit/verify"))?;
    if output.json {
        return output::answer_json_line(answer.bytes());
    }
    let AuditVerified { entries, first } = answer.parse()?;
    let from = if first > 1 { format!(" from number {first} on") } else { String::new() };
    output::say(&format!("verified: none of the {entries} entries{from} was changed or is missing"));
    Ok(())
}

/// One JSON object a line.
pub(super) fn lines(entries: &[AuditEntry]) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut text, entry)
            .map_err(|_| Failure::new(Exit::Other, "an entry cannot be written as JSON"))?;
        text.push(b'\n');
    }
    Ok(text)
}

/// The row of an entry; `own` is the user that needs no mention.
fn row(entry: &AuditEntry, own: u32) -> [String; 7] {
    let command = entry.command.as_ref().map(Remark::as_str);
    let purpose = entry.purpose.as_ref().map(|purpose| purpose.as_str());
    let reason = entry.reason.as_ref().map(|reason| format!("({})", reason.as_str()));
    let used = entry.used.as_ref().map(used);
    let what_for = [used.as_deref(), purpose, command, reason.as_deref()];
    let what_for: Vec<&str> = what_for.into_iter().flatten().collect();
    let token = if entry.caller.token.is_empty() { "-" } else { &entry.caller.token };
    [
        to_the_second(entry.time),
        caller(&entry.caller, own),
        token.to_owned(),
        entry.action.as_str().to_owned(),
        shortened(&named(entry)),
        outcome(entry),
        what_for.join(" "),
    ]
}

/// `rule 1: GET api.example.com/v1/models`; of several requests the first path, and that there are more.
fn used(used: &AuditUse) -> String {
    let rule = used.rule.map(|rule| format!("rule {rule}: ")).unwrap_or_default();
    let more = if used.paths.len() > 1 { " …" } else { "" };
    let path = used.paths.first().map_or("", String::as_str);
    format!("{rule}{} {}{path}{more}", used.methods.join(","), used.host)
}

/// `2026-04-15 12:00:00`
fn to_the_second(time: Timestamp) -> String {
    let text = time.to_string().replace('T', " ");
    text.split(['.', 'Z']).next().unwrap_or_default().to_owned()
}

fn caller(caller: &AuditCaller, own: u32) -> String {
    let mut text = match (&caller.comm, caller.pid) {
        (Some(comm), pid) => format!("{comm}[{pid}]"),
        // In a pid namespace of its own, where its id would say nothing here.
        (None, 0) => "unknown process".to_owned(),
        (None, pid) => format!("pid {pid}"),
    };
    if let Some(unit) = &caller.unit {
        let short: String = unit.chars().take(UNIT_WIDTH).collect();
        text.push_str(&format!(" {short}{}", if short.len() < unit.len() { "…" } else { "" }));
    }
    if caller.uid != own {
        text.push_str(&format!(" uid {}", caller.uid));
    }
    text
}

/// The secrets and items of an entry: these by label, in quotation marks.
fn named(entry: &AuditEntry) -> Vec<String> {
    let items = entry.items.iter().map(|item| format!("\"{}\"", item.label));
    entry.names.iter().map(SecretName::to_string).chain(items).collect()
}

/// A list of as many names as fit, and how many more there are; JSON has them all.
fn shortened(names: &[String]) -> String {
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        if index > 0 && text.len() + 1 + name.len() > NAMES_WIDTH {
            return format!("{text} … +{}", names.len() - index);
        }
        if index > 0 {
            text.push(',');
        }
        text.push_str(name);
    }
    text
}

fn outcome(entry: &AuditEntry) -> String {
    let mut text = match entry.outcome {
        AuditOutcome::Ok => "ok".to_owned(),
        AuditOutcome::Denied => "denied".to_owned(),
        AuditOutcome::Other => "other".to_owned(),
    };
    text.extend(entry.refusal.map(Refusal::in_words).into_iter().flat_map(|why| [": ", why]));
    if entry.count > 1 {
        text.push_str(&format!(", {} times", entry.count));
    }
    text.extend(entry.until.map(|until| format!(" until {}", to_the_second(until))));
    if entry.dropped > 0 {
        text.push_str(&format!("; {} earlier denials are not listed one by one", entry.dropped));
    }
    text
}

/// A session's id, as a program has it in `SECRETSD_PROXY` or as the log calls its token.
fn session_id(text: &str) -> Result<Uuid, Failure> {
    let id = text.strip_prefix("session ").unwrap_or(text);
    let id = (matches!(id.len(), 32 | 36)).then(|| Uuid::try_parse(id).ok()).flatten();
    id.ok_or_else(|| {
        Failure::new(
            Exit::Invalid,
            "--session must be a session's id; the column TOKEN has it, after the word session",
        )
    })
}

/// An RFC 3339 time, the first moment of a date here, or so long before `now`.
fn point_in_time(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    if let Some(seconds) = seconds(text) {
        return Ok(now.saturating_add_seconds(-seconds));
    }
    Timestamp::parse(text).ok().or_else(|| clock::first_moment_of(text, &TimeZone::system())).ok_or_else(|| {
        Failure::new(
            Exit::Invalid,
            "--since must be a time like 2026-04-15T12:00:00Z, a date like 2026-04-15, or a duration like 45m, 2h, 7d",
        )
    })
}

/// A duration like 45m, 2h, 7d.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let (unit_at, unit) = text.char_indices().next_back()?;
    let scale: u32 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    let count: u32 = text.get(..unit_at)?.parse().ok()?;
    i64::from(count).checked_mul(i64::from(scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_takes_times_and_durations() {
        let now = Timestamp::parse("2026-04-15T12:00:00Z").unwrap();
        for (text, expected) in [
            ("2h", "2026-04-15T10:00:00Z"),
            ("7d", "2026-04-08T12:00:00Z"),
            ("90s", "2026-04-15T11:58:30Z"),
            ("2026-04-15T14:00:00+02:00", "2026-04-15T12:00:00Z"),
        ] {
            assert_eq!(point_in_time(text, now).unwrap().to_string(), expected, "{text}");
        }
        for bad in ["", "h", "-1h", "2", "2y", "yesterday", "1.5h", "é"] {
            assert_eq!(point_in_time(bad, now).unwrap_err().exit(), Exit::Invalid, "{bad}");
        }
    }

    #[test]
    fn a_session_is_named_as_programs_and_the_log_do() {
        let id = "0f8fad5b-d9cb-469f-a165-70867728950e";
        for text in [id, "0f8fad5bd9cb469fa16570867728950e", "session 0f8fad5bd9cb469fa16570867728950e"] {
            assert_eq!(session_id(text).unwrap().to_string(), id, "{text}");
        }
        for bad in ["", "session", "agent", "{0f8fad5b-d9cb-469f-a165-70867728950e}", &id[1..]] {
            assert_eq!(session_id(bad).unwrap_err().exit(), Exit::Invalid, "{bad}");
        }
    }

    #[test]
    fn an_entry_is_a_line_and_a_row() {
        let json = r#"{"sequence":7,"time":"2026-04-15T12:00:00.123Z","action":"reveal","caller":{"uid":1,"pid":9,"comm":"bad\nname","token":"owner"},"names":["A","B"],"purpose":"run","command":"npm","reason":"deploy","outcome":"ok"}"#;
        let entry: AuditEntry = serde_json::from_str(json).unwrap();
        assert_eq!(lines(&[entry.clone(), entry.clone()]).unwrap(), format!("{json}\n{json}\n").into_bytes());
        let row = row(&entry, 1);
        let expected =
            ["2026-04-15 12:00:00", "bad\nname[9]", "owner", "reveal", "A,B", "ok", "run npm (deploy)"];
        assert_eq!(row, expected);
        assert_eq!(table::render([""; 7], &[row], false).lines().count(), 2);
        let unnamed = serde_json::from_str(&json.replace(r#""comm":"bad\nname","#, "")).unwrap();
        assert_eq!(super::row(&unnamed, 1)[1], "pid 9");
    }

    #[test]
    fn a_denial_says_who_why_and_how_often() {
        let json = r#"{"sequence":7,"time":"2026-04-15T12:00:00Z","action":"access","caller":{"uid":1,"pid":0,"unit":"app-0123456789-0123456789-0123456789.scope","token":""},"outcome":"denied","refusal":"unknown_token","count":12,"until":"2026-04-15T12:00:59.5Z","dropped":3}"#;
        let row = row(&serde_json::from_str(json).unwrap(), 2);
        assert_eq!(
            (row[1].as_str(), row[2].as_str()),
            ("unknown process app-0123456789-0123456789-012345… uid 1", "-")
        );
        assert_eq!(
            row[5],
            "denied: unknown token, 12 times until 2026-04-15 12:00:59; 3 earlier denials are not listed one by one"
        );
    }

    #[test]
    fn many_names_are_counted() {
        let names: Vec<String> = (0..200).map(|index| format!("SECRET_{index}")).collect();
        assert_eq!(shortened(&names), "SECRET_0,SECRET_1,SECRET_2,SECRET_3,SECRET_4 … +195");
        assert_eq!(shortened(&names[..2]), "SECRET_0,SECRET_1");
        let long = "X".repeat(100);
        assert_eq!(shortened(std::slice::from_ref(&long)), long.as_str());
        assert_eq!(shortened(&[]), "");
    }
}
