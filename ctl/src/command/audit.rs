//! `audit`: who asked for what, and how it ended.

use secrets_proto::audit::{AuditEntry, AuditList, AuditOutcome};
use secrets_proto::reveal::Remark;
use secrets_proto::{SecretName, Timestamp};

use crate::call::Call;
use crate::cli::AuditArgs;
use crate::failure::{Exit, Failure};
use crate::output::{self, Output};
use crate::session::Session;
use crate::table;

/// The most characters of names in the table, unless the first one alone has more.
const NAMES_WIDTH: usize = 48;

pub(crate) fn run(session: &Session, output: Output, args: &AuditArgs) -> Result<(), Failure> {
    let mut call = Call::get("/audit");
    if let Some(name) = &args.name {
        call = call.query("name", SecretName::parse(name)?.as_str());
    }
    if let Some(since) = &args.since {
        call = call.query("since", &point_in_time(since, Timestamp::now())?.to_string());
    }
    let AuditList { entries, .. } = session.fetch(&call)?;
    if output.json {
        return output::answer(&lines(&entries)?);
    }
    if entries.is_empty() {
        output::say("no entries");
        return Ok(());
    }
    let rows: Vec<[String; 6]> = entries.iter().map(row).collect();
    let header = ["TIME", "ACTION", "OUTCOME", "CALLER", "FOR", "NAMES"];
    output::answer(table::render(header, &rows, output.colour).as_bytes())
}

/// One JSON object a line.
fn lines(entries: &[AuditEntry]) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    for entry in entries {
        serde_json::to_writer(&mut text, entry)
            .map_err(|_| Failure::new(Exit::Other, "an entry cannot be written as JSON"))?;
        text.push(b'\n');
    }
    Ok(text)
}

fn row(entry: &AuditEntry) -> [String; 6] {
    let command = entry.command.as_ref().map(Remark::as_str);
    let purpose = entry.purpose.as_ref().map(|purpose| purpose.as_str());
    let reason = entry.reason.as_ref().map(|reason| format!("({})", reason.as_str()));
    let what_for: Vec<&str> = [purpose, command, reason.as_deref()].into_iter().flatten().collect();
    let caller = &entry.caller;
    let who = match &caller.comm {
        Some(comm) => format!("{comm}[{}]", caller.pid),
        None => format!("pid {}", caller.pid),
    };
    [
        entry.time.to_string(),
        entry.action.as_str().to_owned(),
        outcome(entry.outcome).to_owned(),
        format!("{who} {}", caller.token),
        what_for.join(" "),
        shortened(&entry.names),
    ]
}

/// As many names as fit, and how many more there are; JSON has them all.
fn shortened(names: &[SecretName]) -> String {
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        if index > 0 && text.len() + 1 + name.as_str().len() > NAMES_WIDTH {
            return format!("{text} … +{}", names.len() - index);
        }
        if index > 0 {
            text.push(',');
        }
        text.push_str(name.as_str());
    }
    text
}

const fn outcome(outcome: AuditOutcome) -> &'static str {
    match outcome {
        AuditOutcome::Ok => "ok",
        AuditOutcome::Denied => "denied",
    }
}

/// An RFC 3339 time, or so long before `now`.
fn point_in_time(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    if let Some(seconds) = seconds(text) {
        return Ok(now.saturating_add_seconds(-seconds));
    }
    Timestamp::parse(text).map_err(|_| {
        Failure::new(Exit::Invalid, "--since takes a time like 2026-04-15T12:00:00Z, or 45m, 2h, 7d")
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
    fn an_entry_is_a_line_and_a_row() {
        let json = r#"{"sequence":7,"time":"2026-04-15T12:00:00.123Z","action":"reveal","caller":{"uid":1,"pid":9,"comm":"bad\nname","token":"owner"},"names":["A","B"],"purpose":"run","command":"npm","reason":"deploy","outcome":"ok"}"#;
        let entry: AuditEntry = serde_json::from_str(json).unwrap();
        assert_eq!(lines(&[entry.clone(), entry.clone()]).unwrap(), format!("{json}\n{json}\n").into_bytes());
        let row = row(&entry);
        assert_eq!(row[3..], ["bad\nname[9] owner", "run npm (deploy)", "A,B"]);
        assert_eq!(table::render([""; 6], &[row], false).lines().count(), 2);
        let unnamed = serde_json::from_str(&json.replace(r#""comm":"bad\nname","#, "")).unwrap();
        assert_eq!(super::row(&unnamed)[3], "pid 9 owner");
    }

    #[test]
    fn many_names_are_counted() {
        let names: Vec<SecretName> =
            (0..200).map(|index| SecretName::parse(&format!("SECRET_{index}")).unwrap()).collect();
        assert_eq!(shortened(&names), "SECRET_0,SECRET_1,SECRET_2,SECRET_3,SECRET_4 … +195");
        assert_eq!(shortened(&names[..2]), "SECRET_0,SECRET_1");
        let long = SecretName::parse(&"X".repeat(100)).unwrap();
        assert_eq!(shortened(std::slice::from_ref(&long)), long.as_str());
        assert_eq!(shortened(&[]), "");
    }
}
