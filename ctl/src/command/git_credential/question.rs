//! What git asks, line by line (git-credential(1), "INPUT/OUTPUT FORMAT").

/// What git wants to know.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// Asked over https.
    pub(super) encrypted: bool,
    /// In lower case, with the port if it is not the usual one.
    pub(super) host: String,
    /// Whose password it is to be.
    pub(super) user: Option<String>,
    /// git can send a token as it is, and it is the only way that the host offers.
    pub(super) bearer: bool,
}

impl Question {
    /// Reads attributes, one a line, up to an empty line. Those that we do not need may hold any bytes: git passes on
    /// the server's headers as they came. One that we need and that comes twice could be smuggled in by an address.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (mut protocol, mut host, mut user) = (None, None, None);
        let (mut takes_tokens, mut schemes) = (false, Vec::new());
        for line in text.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty()) {
            let at = line.iter().position(|byte| *byte == b'=')?;
            let (key, value) = line.split_at_checked(at)?;
            let place = match key {
                b"protocol" => &mut protocol,
                b"host" => &mut host,
                b"username" => &mut user,
                // Stands for all of them, for git alone, which never passes it on.
                b"url" => return None,
                b"capability[]" => {
                    takes_tokens |= value == b"=authtype";
                    continue;
                }
                b"wwwauth[]" => {
                    schemes.extend(schemes_of(value.get(1..)?));
                    continue;
                }
                _ => continue,
            };
            let value = std::str::from_utf8(value.get(1..)?).ok()?;
            if value.contains(|c: char| c.is_control()) || place.replace(value).is_some() {
                return None;
            }
        }
        let encrypted = match protocol? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let user = user.filter(|user| !user.is_empty()).map(str::to_owned);
        let offers =
            |scheme: &str| schemes.iter().any(|offered| offered.eq_ignore_ascii_case(scheme.as_bytes()));
        let bearer = takes_tokens && offers("bearer") && !offers("basic");
        Some(Self { encrypted, host: canonical(host?, encrypted), user, bearer })
    }
}

/// The schemes in a `WWW-Authenticate` header (RFC 9110, 11.6.1): what stands first in it or behind a comma, and is no
/// parameter.
fn schemes_of(header: &[u8]) -> Vec<&[u8]> {
    let mut is_quoted = false;
    let parts = header.split(|byte| {
        is_quoted ^= *byte == b'"';
        *byte == b',' && !is_quoted
    });
    let words = parts.filter_map(|part| {
        let mut words = part.trim_ascii().splitn(2, |byte| byte.is_ascii_whitespace());
        let (word, rest) = (words.next()?, words.next().unwrap_or_default().trim_ascii_start());
        (!word.is_empty() && !word.contains(&b'=') && !rest.starts_with(b"=")).then_some(word)
    });
    words.collect()
}

/// A host in its one spelling.
pub(super) fn canonical(host: &str, encrypted: bool) -> String {
    let usual = if encrypted { ":443" } else { ":80" };
    host.strip_suffix(usual).unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(text: &str) -> Option<(bool, String)> {
        Question::parse(text.as_bytes()).map(|question| (question.encrypted, question.host))
    }

    #[test]
    fn reads_what_git_writes() {
        let text = "capability[]=authtype\nprotocol=https\nhost=GitHub.com:443\npath=a=b.git\nwwwauth[]=Basic realm=\"x\"\n\nhost=evil";
        assert_eq!(question(text), Some((true, "github.com".to_owned())));
        assert_eq!(
            question("protocol=http\nhost=localhost:8080\n"),
            Some((false, "localhost:8080".to_owned()))
        );
        let bytes = b"protocol=https\nwwwauth[]=Basic realm=\"gesch\xfctzt\",\tcharset=\"UTF-8\"\npath=caf\xe9\0\nhost=h\n";
        assert_eq!(Question::parse(bytes).map(|question| question.host), Some("h".to_owned()));
        let asked = Question::parse(b"protocol=https\nhost=h\nusername=me\n").unwrap();
        assert_eq!(asked.user.as_deref(), Some("me"));
    }

    #[test]
    fn a_token_is_sent_as_it_is_only_where_nothing_else_is_offered() {
        let bearer = |lines: &[u8]| {
            let text = [b"protocol=https\nhost=h\n", lines].concat();
            Question::parse(&text).unwrap().bearer
        };
        let able = b"capability[]=authtype\n";
        for (headers, expected) in [
            (&b"wwwauth[]=Bearer realm=\"x\"\n"[..], true),
            (b"wwwauth[]=bearer\n", true),
            (b"wwwauth[]=Bearer a=\"x, Basic y\", b = \"z\"\nwwwauth[]=Negotiate\n", true),
            (b"wwwauth[]=Bearer\nwwwauth[]=Basic realm=\"\xe9\"\n", false),
            (b"wwwauth[]=Bearer realm=\"x\", BASIC realm=\"y\"\n", false),
            (b"wwwauth[]=Negotiate\n", false),
            (b"wwwauth[]=Basic x=\"Bearer\"\n", false),
            (b"wwwauth[]=\n", false),
            (b"", false),
        ] {
            assert_eq!(bearer(&[able, headers].concat()), expected, "{}", headers.escape_ascii());
            assert!(!bearer(headers));
        }
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
            "protocol=https\nhost=h\nusername=a\tb\n",
            "url=https://evil.example\nprotocol=https\nhost=github.com\n",
        ] {
            assert_eq!(question(text), None, "{text:?}");
        }
    }
}
