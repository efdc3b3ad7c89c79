//! `git-credential`: git's credential helper protocol (gitcredentials(7), git-credential(1)). git asks on every fetch,
//! in scripts and editors too: whatever keeps us from answering, we say nothing, and git goes on to ask elsewhere.

use std::io;

use clap::Args;
use secrets_client::Call;
use secrets_proto::secret::{SecretDetail, SecretList};
use secrets_proto::{SecretName, Selector};
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};
use crate::session::Session;
use crate::{handover, input, output};

/// Git credential helper; git runs this
#[derive(Debug, Args)]
#[command(after_help = "\
For github.com, gitlab.com, bitbucket.org, codeberg.org, gitea.com,
huggingface.co and dev.azure.com the answer is the secret of that provider; if
there are several, the one named like GITHUB_TOKEN. Map other hosts with --host.
Only https, except on this machine:
--host http://localhost:3000=NAME. If the vault is locked or has no match, it
prints nothing and git asks elsewhere.

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

/// The most bytes of a question.
const LIMIT: usize = 64 << 10;

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
    if args.operation != "get" {
        // Of what git offers to keep or wants forgotten, nothing is ours; helpers ignore operations they do not know.
        return Ok(());
    }
    if output::stdout_is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            "git runs this; set it up with: git config --global credential.helper '!secretctl git-credential'",
        ));
    }
    let question = input::bounded(io::stdin().lock(), "stdin", LIMIT)?;
    let Some(question) = std::str::from_utf8(&question).ok().and_then(Question::parse) else { return Ok(()) };
    let Ok(Some(answer)) = answer(open, &question, &hosts) else { return Ok(()) };
    output::answer(answer.as_bytes())
}

/// What git wants to know.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    encrypted: bool,
    /// In lower case, with the port if it is not the usual one.
    host: String,
    user: Option<String>,
}

impl Question {
    /// Reads attributes, one a line, up to an empty line. One that comes twice could be smuggled in by an address.
    fn parse(text: &str) -> Option<Self> {
        let (mut protocol, mut host, mut user) = (None, None, None);
        for line in text.split('\n').take_while(|line| !line.is_empty()) {
            let (key, value) = line.split_once('=')?;
            if value.contains(|c: char| c.is_control()) {
                return None;
            }
            let place = match key {
                "protocol" => &mut protocol,
                "host" => &mut host,
                "username" => &mut user,
                // Stands for all of them, for git alone, which never passes it on.
                "url" => return None,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return None;
            }
        }
        let encrypted = match protocol? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let user = user.filter(|user| !user.is_empty()).map(str::to_owned);
        Some(Self { encrypted, host: canonical(host?, encrypted), user })
    }
}

fn canonical(host: &str, encrypted: bool) -> String {
    let usual = if encrypted { ":443" } else { ":80" };
    host.strip_suffix(usual).unwrap_or(host).to_ascii_lowercase()
}

/// A host that the user maps to a secret: `[http://][USER@]HOST[:PORT]=NAME`.
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

/// The lines that git gets, if we have something for it. What the user mapped comes before what we know.
fn answer(
    open: impl FnOnce() -> Result<Session, Failure>,
    question: &Question,
    hosts: &[Mapped],
) -> Result<Option<Zeroizing<String>>, Failure> {
    let mapped = hosts.iter().find(|mapped| mapped.fits(question));
    let forge = FORGES.iter().find(|(_, hosts, _)| hosts.contains(&question.host.as_str()));
    let (session, name, user) = match (mapped, forge) {
        (Some(mapped), _) => (open()?, mapped.name.clone(), mapped.user.as_deref().unwrap_or(ANY_USER)),
        (None, Some((provider, _, user))) if question.encrypted => {
            let session = open()?;
            let Some(name) = token_of(&session, provider)? else { return Ok(None) };
            (session, name, *user)
        }
        _ => return Ok(None),
    };
    let request = handover::request(vec![Selector::Name(name)], "git-credential", Some(&question.host))?;
    let reply = handover::ask_as_is(&session, &request)?;
    let [secret] = reply.secrets.as_slice() else { return Ok(None) };
    let value = secret.value.expose();
    let value = value.strip_suffix('\n').unwrap_or(value);
    let value = value.strip_suffix('\r').unwrap_or(value);
    // A line break would be another attribute.
    if value.is_empty() || value.contains(|c: char| c.is_control()) {
        return Ok(None);
    }
    let user = match (&question.user, mapped) {
        (Some(asked), _) => asked,
        // support.atlassian.com, "Using API tokens"
        (None, None) if value.starts_with("ATATT") => "x-bitbucket-api-token-auth",
        (None, _) => user,
    };
    let mut text = Zeroizing::new(String::with_capacity(user.len() + value.len() + 32));
    for part in ["username=", user, "\npassword=", value, "\n"] {
        text.push_str(part);
    }
    Ok(Some(text))
}

/// The provider's token: its only one, or the one of the usual name.
fn token_of(session: &Session, provider: &str) -> Result<Option<SecretName>, Failure> {
    let call = Call::list().query("provider", provider).query("view", "full");
    let list: SecretList<SecretDetail> = session.call_as_is(&call)?.parse()?;
    let usual = format!("{}_TOKEN", provider.to_ascii_uppercase().replace('-', "_"));
    let mut names = list.secrets.into_iter().map(|detail| detail.secret.name).collect::<Vec<_>>();
    if names.len() == 1 {
        return Ok(names.pop());
    }
    Ok(names.into_iter().find(|name| name.as_str() == usual))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(text: &str) -> Option<(bool, String)> {
        Question::parse(text).map(|question| (question.encrypted, question.host))
    }

    #[test]
    fn reads_what_git_writes() {
        let text = "capability[]=authtype\nprotocol=https\nhost=GitHub.com:443\npath=a=b.git\nwwwauth[]=Basic realm=\"x\"\n\nhost=evil";
        assert_eq!(question(text), Some((true, "github.com".to_owned())));
        assert_eq!(
            question("protocol=http\nhost=localhost:8080\n"),
            Some((false, "localhost:8080".to_owned()))
        );
        let asked = Question::parse("protocol=https\nhost=h\nusername=me\n").unwrap();
        assert_eq!(asked.user.as_deref(), Some("me"));
    }

    #[test]
    fn what_could_be_smuggled_in_is_no_question() {
        for text in [
            "",
            "protocol=https\n",
            "host=github.com\n",
            "protocol=ssh\nhost=github.com\n",
            "protocol=https\nhost=evil.example\nhost=github.com\n",
            "protocol=http\nprotocol=https\nhost=github.com\n",
            "protocol=https\nhost=github.com\r\n",
            "protocol=https\nhost=git\0hub.com\n",
            "protocol=https\ngithub.com\n",
            "url=https://evil.example\nprotocol=https\nhost=github.com\n",
        ] {
            assert_eq!(question(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_mapping_fits_its_own_host_alone() {
        let fits =
            |mapping: &str, text: &str| Mapped::parse(mapping).unwrap().fits(&Question::parse(text).unwrap());
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
