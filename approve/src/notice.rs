//! What a person is shown of an ask: plain text without anything that a notification server or a pinentry could take for
//! markup, for a link or for an escape, however hostile the names in it are.

use secrets_proto::approval::{Approval, ApprovalScope, GuardedRight};

/// The most characters of a notification.
const SHOWN: usize = 200;

/// Of these, the most that its title has.
const TITLE: usize = 80;

/// The most bytes of a description in a pinentry, escaped: a line of its protocol has 1000.
const DESCRIPTION: usize = 900;

/// The most characters that its question has, and each line of which the asker chooses the length.
const QUESTION: usize = 240;
const LINE: usize = 120;

/// How many digits of an id are shown, as `secretctl approve` shows them.
const DIGITS: usize = 8;

/// A notification's title and text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) title: String,
    pub(crate) text: String,
}

/// What a notification says of an ask.
pub(crate) fn notice(ask: &Approval) -> Notice {
    let title = cut(&plain(&ask.question()), TITLE);
    let mut facts = ask.whereabouts();
    if let Some(reason) = &ask.reason {
        facts.insert(0, format!("reason: {}", reason.as_str()));
    }
    if let Some(from) = ask.from_where() {
        facts.insert(0, from);
    }
    // A server that shows no buttons leaves this way.
    let way = format!("\nsecretctl approve {}", short(ask));
    let left = SHOWN - title.chars().count() - way.chars().count();
    let text = cut(&plain(&facts.join(" · ")), left);
    Notice { title, text: format!("{text}{way}") }
}

/// What a pinentry says of an ask, in the escapes of its protocol.
pub(crate) fn description(ask: &Approval) -> String {
    // What the asker chooses the length of comes last, so that it pushes nothing else out.
    let mut lines = vec![cut(&ask.question(), QUESTION)];
    lines.extend(ask.how_many());
    lines.extend(ask.reach());
    lines.push(cut(&ask.whereabouts().join("   "), LINE));
    lines.extend(ask.from_where().map(|line| cut(&line, LINE)));
    if !ask.client.chain.is_empty() {
        lines.push(ask.client.chain.join(" ← "));
    }
    if let Some(reason) = &ask.reason {
        lines.push(format!("reason: {}", reason.as_str()));
    }
    let lines: Vec<String> = lines.iter().map(|line| plain(line)).collect();
    let mut escaped = String::new();
    for character in lines.join("\n").chars() {
        let mut buffer = [0; 4];
        let next = match character {
            '%' => "%25",
            '\n' => "%0A",
            _ => character.encode_utf8(&mut buffer),
        };
        if escaped.len() + next.len() > DESCRIPTION {
            escaped.push('…');
            break;
        }
        escaped.push_str(next);
    }
    escaped
}

/// For how long a yes is to hold, of what is offered; none where it opens the vault.
pub(crate) fn scope(ask: &Approval) -> Option<ApprovalScope> {
    let wanted = [ApprovalScope::Session, ApprovalScope::Once];
    match ask.right {
        GuardedRight::Unlock => None,
        GuardedRight::Use | GuardedRight::Reveal | GuardedRight::Write => {
            wanted.into_iter().find(|scope| ask.offers.contains(scope))
        }
    }
}

/// What the button says that goes on with the passphrase.
pub(crate) fn yes(ask: &Approval) -> &'static str {
    match (ask.right, scope(ask)) {
        (GuardedRight::Unlock, _) => "Unlock the vault",
        (_, Some(ApprovalScope::Session)) => "Allow for this session",
        (_, _) => "Allow once",
    }
}

/// The beginning of an ask's id.
pub(crate) fn short(ask: &Approval) -> String {
    ask.id.to_string().chars().take(DIGITS).collect()
}

/// Without what markup is made of, controls, and the beginning of a link.
fn plain(text: &str) -> String {
    let shown = secrets_proto::printable::printable(text);
    let shown: String = shown
        .chars()
        .map(|character| match character {
            '<' | '>' | '&' | '\\' => '\u{fffd}',
            character => character,
        })
        .collect();
    shown.replace("://", ": //")
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(name: &str, reason: &str) -> Approval {
        let text = serde_json::json!({
            "id": "01234567-89ab-4cde-8f01-23456789abcd", "state": "pending", "created_at": "2026-04-15T12:00:00Z",
            "expires_at": "2026-04-15T12:05:00Z", "count": 1, "approvers": 1, "right": "reveal", "secrets": ["KEY"],
            "purpose": "run", "reason": reason, "offers": ["once", "session"],
            "client": { "token": "owner", "pid": 7, "chain": [name, "bash"], "session": { "tty": "pts/3", "leader": "bash" },
                "command": format!("/usr/bin/{name}"), "directory": "/src" },
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn a_notice_says_what_is_asked_and_by_whom() {
        let notice = notice(&ask("npm", "release"));
        assert_eq!(notice.title, "Reveal KEY to npm for `run`?");
        assert_eq!(notice.text, "reason: release · pts/3 · /src · token owner\nsecretctl approve 01234567");
    }

    #[test]
    fn hostile_names_are_neither_markup_nor_links_nor_long() {
        let name = "<b>x</b>&amp;\u{1b}[31m\u{202e}\n\\n<a href='https:evil'>";
        let hostile = ask(name, "<img src='https://evil'/> %n%0AOK");
        let long = ask(&"é".repeat(5_000), &"<".repeat(400));
        for ask in [&hostile, &long] {
            let notice = notice(ask);
            let all = format!("{}\n{}", notice.title, notice.text);
            assert!(all.chars().count() <= SHOWN + 1, "{} characters", all.chars().count());
            assert!(!all.contains(['<', '>', '&', '\\', '\u{1b}', '\u{202e}']), "{all:?}");
            assert!(!all.contains("://"), "{all:?}");
            assert_eq!(all.lines().count(), 3, "{all:?}");
            let said = description(ask);
            assert!(said.len() <= DESCRIPTION + 3 && !said.contains(char::is_control), "{said:?}");
            assert!(!said.contains(['<', '&']), "{said:?}");
        }
        assert!(description(&hostile).contains("%25n%250AOK"), "a percent sign is escaped");
    }

    /// However much an asker says, what matters of it is in the window.
    #[test]
    fn a_long_reason_pushes_nothing_out_of_the_window() {
        let mut ask = ask("npm", &"x".repeat(900));
        ask.offers = vec![ApprovalScope::Once, ApprovalScope::Session];
        ask.client.command = Some(format!("/home/{}/npm", "y".repeat(900)));
        (ask.count, ask.processes) = (3, 2);
        let said = description(&ask);
        for fact in
            ["once is for process 7 alone", "session is for whatever npm runs in pts/3", "npm is /home/"]
        {
            assert!(said.contains(fact), "{fact}: {said}");
        }
        assert!(said.len() <= DESCRIPTION + 3);
    }

    #[test]
    fn a_yes_is_for_a_session_where_there_is_one() {
        let mut ask = ask("npm", "x");
        assert_eq!(yes(&ask), "Allow for this session");
        ask.offers = vec![ApprovalScope::Once, ApprovalScope::Always];
        assert_eq!((scope(&ask), yes(&ask)), (Some(ApprovalScope::Once), "Allow once"));
    }

    #[test]
    fn a_window_tells_how_many_ask() {
        let mut ask = ask("npm", "release");
        assert!(!description(&ask).contains("ask the same"));
        (ask.count, ask.processes) = (3, 2);
        let told = "%0A2 processes ask the same, 3 times; once is for process 7 alone%0A";
        assert!(description(&ask).contains(told), "{}", description(&ask));
    }
}
