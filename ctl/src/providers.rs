//! Who issues what kind of key, recognised from its prefix. Serves two purposes: naming a provider that the user did not
//! name, and noticing a key where a name belongs, so that it is not shown.

use std::collections::BTreeSet;

use Rest::{Any, Dotted, Hex, Holds, Upper, Word};

/// How a kind of key begins, who issues it, and what follows; where several fit, the longest beginning wins. A
/// beginning that names or other issuers' keys share counts only together with what follows it.
#[rustfmt::skip]
const FORMATS: [(&str, &str, Rest); 94] = [
    // docs.anthropic.com, "API keys"
    ("sk-ant-", "anthropic", Any),
    // platform.openai.com, "API keys": projects, service accounts, administrators; older ones say so in the middle
    ("sk-proj-", "openai", Any),
    ("sk-svcacct-", "openai", Any),
    ("sk-admin-", "openai", Any),
    ("sk-", "openai", Holds("T3BlbkFJ")),
    // openrouter.ai/docs, "Authentication"
    ("sk-or-", "openrouter", Any),
    // docs.github.com, "About authentication to GitHub", "GitHub's token formats"
    ("ghp_", "github", Any),
    ("gho_", "github", Any),
    ("ghu_", "github", Any),
    ("ghs_", "github", Any),
    ("ghr_", "github", Any),
    ("github_pat_", "github", Any),
    // docs.gitlab.com, "GitLab token overview", "Token prefixes"
    ("glpat-", "gitlab", Any),
    ("gloas-", "gitlab", Any),
    ("gldt-", "gitlab", Any),
    ("glrt-", "gitlab", Any),
    ("glcbt-", "gitlab", Any),
    ("glptt-", "gitlab", Any),
    ("glagent-", "gitlab", Any),
    // Documentation of npm, "About access tokens"
    ("npm_", "npm", Any),
    // huggingface.co/docs, "User access tokens"; organisations' are older
    ("hf_", "huggingface", Any),
    ("api_org_", "huggingface", Word(34)),
    // console.groq.com/docs, "Quickstart"
    ("gsk_", "groq", Any),
    // cloud.google.com/docs, "Manage API keys"; developers.google.com, "Using OAuth 2.0": client secrets, access tokens
    ("AIza", "google", Any),
    ("GOCSPX-", "google", Any),
    ("ya29.", "google", Any),
    // docs.aws.amazon.com, IAM, "Unique identifiers": long-term and temporary access key ids
    ("AKIA", "aws", Upper(16)),
    ("ASIA", "aws", Upper(16)),
    // docs.slack.dev, "Token types"
    ("xoxb-", "slack", Any),
    ("xoxp-", "slack", Any),
    ("xoxe-", "slack", Any),
    ("xoxe.", "slack", Any),
    ("xapp-", "slack", Any),
    // docs.stripe.com, "API keys", "Webhooks"
    ("sk_live_", "stripe", Any),
    ("sk_test_", "stripe", Any),
    ("rk_live_", "stripe", Any),
    ("rk_test_", "stripe", Any),
    ("whsec_", "stripe", Word(20)),
    // www.twilio.com/docs, "SendGrid API keys" and "API keys"
    ("SG.", "sendgrid", Dotted(22)),
    ("SK", "twilio", Hex(32)),
    // docs.digitalocean.com, "API tokens": personal, OAuth, refresh
    ("dop_v1_", "digitalocean", Any),
    ("doo_v1_", "digitalocean", Any),
    ("dor_v1_", "digitalocean", Any),
    // Help of PyPI, "API tokens"; guides of RubyGems, "API key scopes"; the source of the crate registry, `PlainToken`
    ("pypi-", "pypi", Any),
    ("rubygems_", "rubygems", Hex(48)),
    ("cio", "crates-io", Word(32)),
    // docs.docker.com, "Personal access tokens", "Organization access tokens"
    ("dckr_pat_", "docker", Any),
    ("dckr_oat_", "docker", Any),
    // replicate.com/docs, "API tokens"
    ("r8_", "replicate", Any),
    // docs.perplexity.ai, "API keys"
    ("pplx-", "perplexity", Any),
    // docs.x.ai, "Quickstart"
    ("xai-", "xai", Any),
    // tinker, its Python SDK, which refuses another beginning
    ("tml-", "tinker", Any),
    // fireworks.ai/docs, "API keys"
    ("fw_", "fireworks", Word(24)),
    // docs.nvidia.com, "NVIDIA API keys"
    ("nvapi-", "nvidia", Any),
    // docs.tavily.com; docs.e2b.dev; docs.langchain.com, "LangSmith API keys"; langfuse.com/docs
    ("tvly-", "tavily", Any),
    ("e2b_", "e2b", Hex(40)),
    ("lsv2_", "langsmith", Any),
    ("sk-lf-", "langfuse", Any),
    // fly.io/docs, "Access tokens"
    ("FlyV1 ", "fly", Any),
    ("fo1_", "fly", Any),
    ("fm2_", "fly", Any),
    // docs.databricks.com, "Personal access tokens"; a dash and a number may follow
    ("dapi", "databricks", Hex(32)),
    // linear.app/developers
    ("lin_api_", "linear", Any),
    ("lin_oauth_", "linear", Any),
    // developers.notion.com, changelog of 2024: from `secret_` to `ntn_`
    ("ntn_", "notion", Any),
    ("secret_", "notion", Word(43)),
    // shopify.dev, "Access tokens": custom and private apps, shared secrets
    ("shpat_", "shopify", Any),
    ("shpca_", "shopify", Any),
    ("shppa_", "shopify", Any),
    ("shpss_", "shopify", Any),
    // documentation.mailgun.com, "API authentication"
    ("key-", "mailgun", Hex(32)),
    // developer.hashicorp.com, Vault, "Tokens"
    ("hvs.", "vault", Any),
    ("hvb.", "vault", Any),
    // docs.doppler.com, "Auth token formats": personal, service, service account, CLI
    ("dp.pt.", "doppler", Any),
    ("dp.st.", "doppler", Any),
    ("dp.sa.", "doppler", Any),
    ("dp.ct.", "doppler", Any),
    // docs.sentry.io, "Auth tokens": organisation, user
    ("sntrys_", "sentry", Any),
    ("sntryu_", "sentry", Any),
    // learning.postman.com, "Postman API keys"
    ("PMAK-", "postman", Any),
    // support.atlassian.com, "API tokens"; Bitbucket, "App passwords" and "Access tokens"
    ("ATATT", "atlassian", Any),
    ("ATBB", "bitbucket", Any),
    ("ATCTT", "bitbucket", Any),
    // developers.figma.com, "Personal access tokens"
    ("figd_", "figma", Any),
    // airtable.com/developers, "Personal access tokens"
    ("pat", "airtable", Dotted(14)),
    // supabase.com/docs, "Personal access tokens", "API keys"
    ("sbp_", "supabase", Any),
    ("sb_secret_", "supabase", Any),
    // tailscale.com/kb, "Key prefixes"
    ("tskey-", "tailscale", Any),
    // grafana.com/docs, "Service account tokens", "Cloud access policies"
    ("glsa_", "grafana", Any),
    ("glc_", "grafana", Any),
    // docs.newrelic.com, "API keys"
    ("NRAK-", "newrelic", Any),
    // planetscale.com/docs, "Service tokens", "Passwords"
    ("pscale_tkn_", "planetscale", Any),
    ("pscale_pw_", "planetscale", Any),
    // pulumi.com/docs, "Access tokens"
    ("pul-", "pulumi", Hex(40)),
];

/// What follows a beginning.
#[derive(Debug, Clone, Copy)]
enum Rest {
    /// Anything.
    Any,
    /// Something with this in it.
    Holds(&'static str),
    /// This many hexadecimal digits, and at most a dash with more.
    Hex(usize),
    /// This many upper-case letters and digits.
    Upper(usize),
    /// This many letters and digits, or more.
    Word(usize),
    /// This many characters of a token, a dot, and more.
    Dotted(usize),
}

/// Beginnings that several issuers share: they name no provider, but a word like this is no name.
const SHARED: [&str; 1] = ["sk-"];

/// The fewest characters after a prefix that make a key: `npm_token` is a name, not a key.
const KEY_TAIL: usize = 12;

/// The prefix and provider of a value that begins like a well-known one.
pub(crate) fn recognise(value: &str) -> Option<(&'static str, &'static str)> {
    let fitting = FORMATS.iter().filter(|(prefix, _, rest)| {
        value.strip_prefix(prefix).is_some_and(|tail| rest.fits(tail.trim_end_matches(['\r', '\n'])))
    });
    fitting.map(|(prefix, provider, _)| (*prefix, *provider)).max_by_key(|(prefix, _)| prefix.len())
}

/// Every provider of the table, once.
pub(crate) fn known() -> BTreeSet<&'static str> {
    FORMATS.iter().map(|(_, provider, _)| *provider).collect()
}

/// Whether a word looks like a key rather than a name or a program.
pub(crate) fn looks_like_key(word: &str) -> bool {
    let Some(prefix) = beginning(word) else { return false };
    let tail = word.get(prefix.len()..).unwrap_or_default();
    // Words in a name are joined by underscores; keys have long runs without.
    tail.split(['_', '-', '.']).any(|run| run.len() >= KEY_TAIL)
}

/// Whether a word begins as keys do, however short it is.
pub(crate) fn begins_like_key(word: &str) -> bool {
    beginning(word).is_some()
}

fn beginning(word: &str) -> Option<&'static str> {
    let shared = SHARED.iter().copied().find(|prefix| word.starts_with(prefix));
    recognise(word).map(|(prefix, _)| prefix).or(shared)
}

impl Rest {
    fn fits(self, tail: &str) -> bool {
        let of = |count: usize, fits: fn(&char) -> bool| tail.chars().take_while(fits).count() == count;
        match self {
            Self::Any => true,
            Self::Holds(part) => tail.contains(part),
            Self::Hex(count) => {
                of(count, char::is_ascii_hexdigit)
                    && (tail.len() == count || tail.get(count..=count) == Some("-"))
            }
            Self::Upper(count) => {
                tail.len() == count && of(count, |c| c.is_ascii_uppercase() || c.is_ascii_digit())
            }
            Self::Word(least) => tail.len() >= least && tail.chars().all(|c| c.is_ascii_alphanumeric()),
            Self::Dotted(count) => {
                tail.split_once('.').is_some_and(|(first, more)| first.len() == count && more.len() >= count)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use secrets_proto::Provider;

    use super::*;

    fn provider(value: &str) -> Option<&'static str> {
        recognise(value).map(|(_, name)| name)
    }

    #[test]
    fn the_longest_prefix_names_the_provider() {
        let hex = "0123456789abcdef".repeat(3);
        let long = |prefix: &str, tail: &str| format!("{prefix}{tail}");
        for (value, expected) in [
            ("sk-ant-api03-x".to_owned(), "anthropic"),
            ("sk-proj-x".to_owned(), "openai"),
            ("sk-abcT3BlbkFJdef\n".to_owned(), "openai"),
            ("sk-or-v1-x".to_owned(), "openrouter"),
            ("sk_live_x".to_owned(), "stripe"),
            ("github_pat_x".to_owned(), "github"),
            ("glpat-x".to_owned(), "gitlab"),
            ("AKIAIOSFODNN7EXAMPLE\n".to_owned(), "aws"),
            ("tml-x".to_owned(), "tinker"),
            (long("SK", &hex[..32]), "twilio"),
            (long("dapi", &format!("{}-2", &hex[..32])), "databricks"),
            (long("key-", &hex[..32]), "mailgun"),
            (long("rubygems_", &hex), "rubygems"),
            (long("SG.", &format!("{}.{hex}", &hex[..22])), "sendgrid"),
            (long("pat", &format!("{}.{hex}", &hex[..14])), "airtable"),
            (long("secret_", &hex), "notion"),
            (long("cio", &hex), "crates-io"),
        ] {
            assert_eq!(provider(&value), Some(expected), "{value}");
        }
    }

    #[test]
    fn what_others_use_too_names_nobody() {
        for value in
            ["", "s", "SK-ANT-x", " sk-proj-x", "hunter2", "sk-x", "sk-0123456789abcdef0123456789abcdef"]
        {
            assert_eq!(provider(value), None, "{value}");
        }
        for value in [
            "SKI RESORT",
            "key-board",
            "path.to.file",
            "secret_sauce",
            "cioppino",
            "AKIA",
            "ASIA",
            "dapifer",
            "SG.x",
        ] {
            assert_eq!(provider(value), None, "{value}");
        }
    }

    #[test]
    fn every_provider_of_the_table_is_one_for_the_daemon_and_no_beginning_comes_twice() {
        let mut seen = HashSet::new();
        for (prefix, provider, _) in FORMATS {
            assert!(Provider::parse(provider).is_ok(), "{provider}");
            assert!(seen.insert(prefix), "{prefix}");
        }
    }

    #[test]
    fn tells_keys_from_names() {
        for key in [
            "ghp_abcdefghijklmnopqrst",
            "AKIAIOSFODNN7EXAMPLE",
            "sk-proj-abc-defghijklmnopq",
            "sk-abcdefghijklmnopq",
        ] {
            assert!(looks_like_key(key), "{key}");
        }
        for name in [
            "npm_token",
            "hf_token",
            "npm_config_registry",
            "OPENAI_API_KEY",
            "AKIA",
            "ASIA_PACIFIC_AUTHENTICATION",
            "secret_authentication",
            "pathfinder_authentication",
            "SKIP_AUTHENTICATION",
            "api_org_administration",
        ] {
            assert!(!looks_like_key(name) && !looks_like_key(&name.to_ascii_lowercase()), "{name}");
        }
    }
}
