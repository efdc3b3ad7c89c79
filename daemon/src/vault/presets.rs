//! Well-known providers and the variables that their own tools read.

use secrets_proto::{Invalid, Provider, SecretName};

/// Provider and variable, by provider. One table serves the listing and the creation.
const PRESETS: [(&str, &str); 24] = [
    ("anthropic", "ANTHROPIC_API_KEY"),
    ("azure-openai", "AZURE_OPENAI_API_KEY"),
    ("cloudflare", "CLOUDFLARE_API_TOKEN"),
    ("cohere", "CO_API_KEY"),
    ("deepseek", "DEEPSEEK_API_KEY"),
    ("digitalocean", "DIGITALOCEAN_TOKEN"),
    ("github", "GITHUB_TOKEN"),
    ("gitlab", "GITLAB_TOKEN"),
    ("google", "GEMINI_API_KEY"),
    ("groq", "GROQ_API_KEY"),
    ("huggingface", "HF_TOKEN"),
    ("mistral", "MISTRAL_API_KEY"),
    ("npm", "NPM_TOKEN"),
    ("openai", "OPENAI_API_KEY"),
    ("openrouter", "OPENROUTER_API_KEY"),
    ("perplexity", "PERPLEXITY_API_KEY"),
    ("pypi", "TWINE_PASSWORD"),
    ("replicate", "REPLICATE_API_TOKEN"),
    ("sentry", "SENTRY_AUTH_TOKEN"),
    ("slack", "SLACK_BOT_TOKEN"),
    ("stripe", "STRIPE_API_KEY"),
    ("tinker", "TINKER_API_KEY"),
    ("together", "TOGETHER_API_KEY"),
    ("xai", "XAI_API_KEY"),
];

/// All presets.
pub(super) fn all() -> Result<Vec<(Provider, SecretName)>, Invalid> {
    PRESETS
        .iter()
        .map(|(provider, name)| Ok((Provider::parse(provider)?, SecretName::parse(name)?)))
        .collect()
}

/// The variable of a provider.
pub(super) fn variable_of(provider: &Provider) -> Option<SecretName> {
    let (_, name) = PRESETS.iter().find(|(known, _)| *known == provider.as_str())?;
    SecretName::parse(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_valid_and_has_the_promised_four() {
        assert!(PRESETS.is_sorted());
        assert_eq!(all().unwrap().len(), PRESETS.len());
        for (provider, name) in [
            ("openai", "OPENAI_API_KEY"),
            ("anthropic", "ANTHROPIC_API_KEY"),
            ("github", "GITHUB_TOKEN"),
            ("tinker", "TINKER_API_KEY"),
        ] {
            assert_eq!(variable_of(&Provider::parse(provider).unwrap()).unwrap().as_str(), name);
        }
        assert!(variable_of(&Provider::parse("nobody").unwrap()).is_none());
    }
}
