//! `git-credential`: git's credential helper protocol (gitcredentials(7), git-credential(1)). git asks on every fetch,
//! in scripts and editors too: whatever keeps us from answering, we do not fail, and git goes on to ask elsewhere. Only of a
//! lock we say a word, since a person can do something about it.

mod question;

use std::collections::HashMap;

use clap::Args;
use secrets_client::Call;
use secrets_proto::secret::{SecretDetail, SecretList};
use secrets_proto::{ErrorType, SecretName};
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};
use crate::helper::{self, Found, note};
use crate::session::Session;
use crate::{environment, handover, output};

use question::{Question, canonical};

/// Git credential helper; git runs this
#[derive(Debug, Args)]
#[command(after_help = "\
For github.com, gitlab.com, bitbucket.org, codeberg.org, gitea.com,
huggingface.co and dev.azure.com the answer is the secret of that provider; if
there are several, the one named like GITHUB_TOKEN. Map other hosts with --host.
The mapping of the user that git asks for comes first, then one without a user,
then the provider's secret, then another user's mapping if the host has nothing
else. Only https, except on this machine: --host http://localhost:3000=NAME.
If the vault is locked or has no match, or the match has expired, git asks
elsewhere; one line says if it was locked. The user name is the one that git asks for, the
mapping's, or that of user=NAME in the secret's note; a note's other user is not
answered. A host that takes Bearer and not Basic gets the token that way.
Inside proxy run the answer is the secret's placeholder.

Example:
  secretctl set GITHUB_TOKEN --provider github
  git config --global credential.helper '!secretctl git-credential --host git.example.com=WORK_TOKEN'")]
pub(crate) struct GitCredentialArgs {
    /// The secret for a host: HOST=NAME, HOST:PORT=NAME or USER@HOST=NAME; repeatable
    #[arg(long = "host", value_name = "HOST=NAME")]
    pub(crate) hosts: Vec<String>,
    /// git's operation: only get; store, erase and others are ignored
    #[arg(value_name = "OPERATION")]
    pub(crate) operation: String,
}

/// Who issues tokens for which hosts, and the user name that goes with them where the address has none.
const FORGES: [(&str, &[&str], &str); 7] = [
    // docs.github.com, "Authenticating as a GitHub App installation"; any name goes with a personal token
    ("github", &["github.com", "gist.github.com"], "x-access-token"),
    // docs.gitlab.com, "Clone with a token"; any name goes with a personal token
    ("gitlab", &["gitlab.com"], "oauth2"),
    // support.atlassian.com, "Using access tokens"
    ("bitbucket", &["bitbucket.org"], "x-token-auth"),
    // Any name goes with a token: forgejo and gitea, `services/auth/basic.go`
    ("codeberg", &["codeberg.org"], "git"),
    ("gitea", &["gitea.com"], "git"),
    // huggingface.co/docs, "User access tokens"
    ("huggingface", &["huggingface.co"], "git"),
    // learn.microsoft.com, "Use personal access tokens"
    ("azure-devops", &["dev.azure.com"], "git"),
];

/// The name that goes with a token where nothing else is known.
const ANY_USER: &str = "git";

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    args: &GitCredentialArgs,
) -> Result<(), Failure> {
    let hosts =
        args.hosts.iter().map(|text| Mapped::parse(text)).collect::<Result<Vec<Mapped>, Failure>>()?;
    check_unambiguous(&hosts)?;
    if args.operation != "get" {
        // Of what git offers to keep or wants forgotten, nothing is ours; helpers ignore operations they do not know.
        return Ok(());
    }
    helper::refuse_terminal(
        "git runs this; set it up with: git config --global credential.helper '!secretctl git-credential'",
    )?;
    let question = helper::read(helper::QUESTION)?;
    let Some(question) = Question::parse(&question) else { return Ok(()) };
    match answer(open, &question, &hosts) {
        Ok(Some(answer)) => output::answer(answer.as_bytes()),
        // git goes on to ask for a password, and nobody would guess why.
        Err(failure) if failure.exit() == Exit::Locked && !environment::in_session() => {
            output::say(&match failure.kind() {
                Some(ErrorType::VaultLockedError) => {
                    "nothing for git, the vault is locked; open it with: secretctl unlock".to_owned()
                }
                _ => failure.message().to_owned(),
            });
            Ok(())
        }
        Ok(None) | Err(_) => Ok(()),
    }
}

/// A host that the user maps to a secret: `[http://][USER@]HOST[:PORT]=NAME`.
#[derive(Debug, PartialEq, Eq)]
struct Mapped {
    encrypted: bool,
    host: String,
    user: Option<String>,
    name: SecretName,
}

impl Mapped {
    fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |text: &str| Failure::new(Exit::Usage, text.to_owned());
        let (address, name) =
            text.rsplit_once('=').ok_or_else(|| wrong("--host must be HOST=NAME; see --help"))?;
        let (encrypted, address) = match address.strip_prefix("http://") {
            Some(address) => (false, address),
            None => (true, address.strip_prefix("https://").unwrap_or(address)),
        };
        let (user, host) = match address.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, address),
        };
        let known = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
        if host.is_empty() || !host.chars().all(known) || user.is_some_and(|user| !is_word(user)) {
            return Err(wrong("--host must be HOST=NAME, with a host name or address; see --help"));
        }
        if !encrypted && !is_loopback(host) {
            return Err(wrong("http would send the password unencrypted; use https, or localhost"));
        }
        let user = user.map(str::to_owned);
        Ok(Self { encrypted, host: canonical(host, encrypted), user, name: SecretName::parse(name)? })
    }

    fn fits(&self, question: &Question) -> bool {
        let user_fits = match (&self.user, &question.user) {
            (Some(own), Some(asked)) => own == asked,
            _ => true,
        };
        (self.encrypted, &self.host) == (question.encrypted, &question.host) && user_fits
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_control() || c.is_whitespace())
}

fn is_loopback(host: &str) -> bool {
    let name =
        if let Some(rest) = host.strip_prefix('[') { rest.split(']').next() } else { host.split(':').next() };
    matches!(name, Some("localhost" | "127.0.0.1" | "::1"))
}

/// The lines that git gets, if we have something for it.
fn answer(
    open: impl FnOnce() -> Result<Session, Failure>,
    question: &Question,
    hosts: &[Mapped],
) -> Result<Option<Zeroizing<String>>, Failure> {
    let forge = FORGES.iter().find(|(_, hosts, _)| hosts.contains(&question.host.as_str()));
    let forge = forge.filter(|_| question.encrypted);
    if forge.is_none() && !hosts.iter().any(|mapped| mapped.fits(question)) {
        return Ok(None);
    }
    let session = match open() {
        Err(failure) if !environment::in_session() => return Err(failure),
        session => session.ok(),
    };
    let own = match forge {
        Some((provider, _, _)) if mapped_for(hosts, question).is_none() => {
            tokens_of(session.as_ref(), provider)?
        }
        _ => Vec::new(),
    };
    let Some((name, mapped)) = choose(hosts, question, &own) else { return Ok(None) };
    let Some(found) = value_of(session.as_ref(), name, question)? else { return Ok(None) };
    // A line break would be another attribute.
    let value = handover::in_one_line(name, &found.value)?;
    let noted = note::field(found.note.as_ref(), "user");
    let user = match (&question.user, mapped.and_then(|mapped| mapped.user.as_deref()), noted) {
        // A mapping that names the user is meant for it, whatever the note says.
        (Some(asked), None, Some(noted)) if asked != noted => return Ok(None),
        (Some(asked), _, _) => asked,
        (None, Some(user), _) | (None, None, Some(user)) => user,
        (None, None, None) if mapped.is_some() => ANY_USER,
        // support.atlassian.com, "Using API tokens"
        (None, None, None) if value.starts_with("ATATT") => "x-bitbucket-api-token-auth",
        (None, None, None) => forge.map_or(ANY_USER, |(_, _, user)| user),
    };
    let expiry = found.expires_at.map(|time| format!("password_expiry_utc={}\n", time.as_second()));
    let parts = if question.bearer {
        ["capability[]=authtype\nauthtype=Bearer\n", "credential=", value, "\n"]
    } else {
        ["username=", user, "\npassword=", value]
    };
    let end = if question.bearer { "" } else { "\n" };
    let mut text = Zeroizing::new(String::with_capacity(user.len() + value.len() + 128));
    for part in parts.into_iter().chain([end, expiry.as_deref().unwrap_or_default()]) {
        text.push_str(part);
    }
    Ok(Some(text))
}

/// The mapping that is meant for this question whatever else there is: that of the user who is asked for, or else the
/// host's own.
fn mapped_for<'a>(hosts: &'a [Mapped], question: &Question) -> Option<&'a Mapped> {
    let fitting = || hosts.iter().filter(|mapped| mapped.fits(question));
    let of_the_user = || fitting().find(|mapped| mapped.user.is_some() && mapped.user == question.user);
    of_the_user().or_else(|| fitting().find(|mapped| mapped.user.is_none()))
}

/// The secret for a question, whatever the order of the mappings, and the mapping that it comes from: a forge takes any
/// user beside a token, so that nobody would notice that it is another person's. A question that says no user is
/// answered for a mapped user only if there is nothing else for the host: no second user, and no secret of the
/// provider's own.
fn choose<'a>(
    hosts: &'a [Mapped],
    question: &Question,
    own: &'a [SecretName],
) -> Option<(&'a SecretName, Option<&'a Mapped>)> {
    let of = |mapped: &'a Mapped| (&mapped.name, Some(mapped));
    if let Some(mapped) = mapped_for(hosts, question) {
        return Some(of(mapped));
    }
    let mut fitting = hosts.iter().filter(|mapped| mapped.fits(question));
    let sole = fitting.next().filter(|first| fitting.all(|other| *other == **first));
    match own {
        [] => sole.map(of),
        [name] => Some(sole.filter(|mapped| mapped.name == *name).map_or((name, None), of)),
        _ => None,
    }
}

/// Refuses two mappings of which neither is more exact than the other.
fn check_unambiguous(hosts: &[Mapped]) -> Result<(), Failure> {
    let place = |mapped: &Mapped| (mapped.encrypted, mapped.host.clone(), mapped.user.clone());
    let mut names = HashMap::new();
    let contradicts = |mapped: &Mapped| {
        let first = names.entry(place(mapped)).or_insert_with(|| mapped.name.clone());
        *first != mapped.name
    };
    if hosts.iter().any(contradicts) {
        let text = "two --host map the same host to different secrets; put USER@ before one of them";
        return Err(Failure::new(Exit::Usage, text));
    }
    Ok(())
}

/// A secret that has not expired; inside of a session of `proxy run` its placeholder, if the session has one.
fn value_of(
    session: Option<&Session>,
    name: &SecretName,
    question: &Question,
) -> Result<Option<Found>, Failure> {
    let Some(session) = session.filter(|_| !environment::in_session()) else {
        let found = |value| Found { value, expires_at: None, note: None };
        return Ok(environment::placeholder(name).map(found));
    };
    helper::find(session, name, "git-credential", Some(&question.host))
}

/// The provider's token: its only one, or the one of the usual name; if there are several, all of them. Inside of a session
/// of `proxy run` there are those alone that it has a placeholder for.
fn tokens_of(session: Option<&Session>, provider: &str) -> Result<Vec<SecretName>, Failure> {
    let call = Call::list().query("provider", provider).query("view", "full");
    let usual = SecretName::parse(&format!("{provider}_TOKEN").replace('-', "_"))?;
    let list = session
        .map(|session| session.call_as_is(&call)?.parse::<SecretList<SecretDetail>>().map_err(Failure::from));
    let mut names: Vec<SecretName> = match list {
        Some(Ok(list)) => list.secrets.into_iter().map(|detail| detail.secret.name).collect(),
        Some(Err(failure)) if !environment::in_session() => return Err(failure),
        // In a fence, or while the vault is locked.
        _ => vec![usual.clone()],
    };
    if environment::in_session() {
        names.retain(|name| environment::placeholder(name).is_some());
    }
    Ok(if names.contains(&usual) { vec![usual] } else { names })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapping_fits_its_own_host_alone() {
        let fits = |mapping: &str, text: &str| {
            Mapped::parse(mapping).unwrap().fits(&Question::parse(text.as_bytes()).unwrap())
        };
        assert!(fits("git.example.com=A", "protocol=https\nhost=git.example.com\n"));
        assert!(fits("https://Git.Example.com:443=a", "protocol=https\nhost=git.example.com\nusername=x\n"));
        assert!(fits("me@h=A", "protocol=https\nhost=h\nusername=me\n"));
        assert!(fits("http://127.0.0.1:81=A", "protocol=http\nhost=127.0.0.1:81\n"));
        for (mapping, text) in [
            ("example.com=A", "protocol=https\nhost=git.example.com\n"),
            ("example.com=A", "protocol=https\nhost=example.com.evil.net\n"),
            ("example.com=A", "protocol=http\nhost=example.com\n"),
            ("example.com=A", "protocol=https\nhost=example.com:8443\n"),
            ("localhost=A", "protocol=http\nhost=localhost\n"),
            ("http://localhost=A", "protocol=https\nhost=localhost\n"),
            ("me@h=A", "protocol=https\nhost=h\nusername=you\n"),
        ] {
            assert!(!fits(mapping, text), "{mapping} {text}");
        }
    }

    #[test]
    fn the_most_exact_answer_is_given_whatever_the_order() {
        let name = |text: &str| SecretName::parse(text).unwrap();
        let chosen = |mappings: &[&str], user: &str, own: &[&str]| {
            let asked = format!("protocol=https\nhost=github.com\n{user}");
            let question = Question::parse(asked.as_bytes()).unwrap();
            let own: Vec<SecretName> = own.iter().map(|text| name(text)).collect();
            let found = |mappings: Vec<&str>| {
                let hosts: Vec<Mapped> = mappings.iter().map(|text| Mapped::parse(text).unwrap()).collect();
                choose(&hosts, &question, &own)
                    .map(|(name, mapped)| (name.to_string(), mapped.and_then(|mapped| mapped.user.clone())))
            };
            let one = found(mappings.to_vec());
            assert_eq!(one, found(mappings.iter().rev().copied().collect()), "{mappings:?}");
            one.map(|(name, user)| format!("{} {name}", user.unwrap_or_default()))
        };
        let (work, me, any) = ("work@github.com=W", "me@github.com=M", "github.com=A");
        for (mappings, user, own, expected) in [
            (&[work][..], "", &["GITHUB_TOKEN"][..], Some(" GITHUB_TOKEN")),
            (&[work, me], "", &["GITHUB_TOKEN"], Some(" GITHUB_TOKEN")),
            (&[work, me, any], "", &["GITHUB_TOKEN"], Some(" A")),
            (&[work, me, any], "username=me\n", &["GITHUB_TOKEN"], Some("me M")),
            (&[work, me, any], "username=you\n", &[], Some(" A")),
            (&[work, me], "username=you\n", &["GITHUB_TOKEN"], Some(" GITHUB_TOKEN")),
            (&[work, me], "username=you\n", &[], None),
            (&[work, me], "", &[], None),
            (&[work], "", &[], Some("work W")),
            (&[work], "", &["W"], Some("work W")),
            (&[work], "", &["W", "M"], None),
        ] {
            assert_eq!(chosen(mappings, user, own).as_deref(), expected, "{mappings:?} {user:?} {own:?}");
        }
    }

    #[test]
    fn a_mapping_is_a_host_and_a_name_and_never_http_to_elsewhere() {
        for wrong in
            ["", "A", "=A", "h/path=A", "h =A", "@h=A", "http://example.com=A", "http://localhost.evil.net=A"]
        {
            assert_eq!(Mapped::parse(wrong).err().unwrap().exit(), Exit::Usage, "{wrong}");
        }
        assert_eq!(Mapped::parse("h=A-B").err().unwrap().exit(), Exit::Invalid);
        assert!(Mapped::parse("http://[::1]:80=A").is_ok());
    }
}
