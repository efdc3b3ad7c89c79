//! Who issues what kind of key, told by the prefix. Serves two purposes: naming a provider that the
//! user did not name, and noticing a key where a name belongs, so that it is not shown.

use std::collections::BTreeSet;

/// Prefix and provider; where several fit, the longest wins.
const PREFIXES: [(&str, &str); 28] = [
    ("sk-ant-", "anthropic"),
    ("sk-proj-", "openai"),
    ("sk-svcacct-", "openai"),
    ("sk-or-", "openrouter"),
    ("sk-", "openai"),
    ("ghp_", "github"),
    ("gho_", "github"),
    ("ghu_", "github"),
    ("ghs_", "github"),
    ("ghr_", "github"),
    ("github_pat_", "github"),
    ("glpat-", "gitlab"),
    ("hf_", "huggingface"),
    ("AIza", "google"),
    ("npm_", "npm"),
    ("gsk_", "groq"),
    ("xai-", "xai"),
    ("pplx-", "perplexity"),
    ("r8_", "replicate"),
    ("pypi-", "pypi"),
    ("xoxb-", "slack"),
    ("xoxp-", "slack"),
    ("sk_live_", "stripe"),
    ("sk_test_", "stripe"),
    ("rk_live_", "stripe"),
    ("AKIA", "aws"),
    ("ASIA", "aws"),
    ("dop_v1_", "digitalocean"),
];

/// The fewest characters after a prefix that make a key: `npm_token` is a name, not a key.
const KEY_TAIL: usize = 12;

/// The prefix and provider of a value that begins like a well-known one.
pub(crate) fn recognise(value: &str) -> Option<(&'static str, &'static str)> {
    let fitting = PREFIXES.iter().filter(|(prefix, _)| value.starts_with(prefix));
    fitting.max_by_key(|(prefix, _)| prefix.len()).copied()
}

/// Every provider of the table, once.
pub(crate) fn known() -> BTreeSet<&'static str> {
    PREFIXES.iter().map(|(_, provider)| *provider).collect()
}

/// Whether a word looks like a key rather than a name or a program.
pub(crate) fn looks_like_key(word: &str) -> bool {
    let Some((prefix, _)) = recognise(word) else { return false };
    let tail = word.get(prefix.len()..).unwrap_or_default();
    // Words in a name are joined by underscores; keys have long runs without.
    tail.split(['_', '-', '.']).any(|run| run.len() >= KEY_TAIL)
}

#[cfg(test)]
mod tests {
    use secrets_proto::Provider;

    use super::*;

    #[test]
    fn the_longest_prefix_names_the_provider() {
        for (value, provider) in [
            ("sk-ant-api03-x", "anthropic"),
            ("sk-proj-x", "openai"),
            ("sk-x", "openai"),
            ("sk-or-v1-x", "openrouter"),
            ("github_pat_x", "github"),
            ("ghp_x", "github"),
            ("glpat-x", "gitlab"),
            ("hf_x", "huggingface"),
            ("AIzax", "google"),
            ("gsk_x", "groq"),
            ("xai-x", "xai"),
        ] {
            assert_eq!(recognise(value).map(|(_, name)| name), Some(provider), "{value}");
        }
        for unknown in ["", "s", "SK-ANT-x", " sk-x", "hunter2"] {
            assert_eq!(recognise(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn every_provider_of_the_table_is_one_for_the_daemon() {
        for (_, provider) in PREFIXES {
            assert!(Provider::parse(provider).is_ok(), "{provider}");
        }
    }

    #[test]
    fn tells_keys_from_names() {
        for key in ["ghp_abcdefghijklmnopqrst", "AKIAIOSFODNN7EXAMPLE", "sk-proj-abc-defghijklmnopq"] {
            assert!(looks_like_key(key), "{key}");
        }
        for name in ["npm_token", "hf_token", "npm_config_registry", "OPENAI_API_KEY", "AKIA"] {
            assert!(!looks_like_key(name), "{name}");
        }
    }
}
