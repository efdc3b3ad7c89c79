//! Rules that hold for a secret of a well-known provider until it has its own: the provider's own host, and the place
//! where its API wants the key. A provider whose documents were not read is not here.

use secrets_proto::Provider;
use secrets_proto::rule::{HostPattern, PathPattern, Rule, Site};

/// Provider, host, exceptions and site, by provider. Host and site are as the provider's own documents or client say,
/// which the lines name; they were read on 2026-11-27. Exceptions keep keys from making or showing other keys.
const PRESETS: [(&str, &str, &[&str], &str); 14] = [
    // anthropics/anthropic-sdk-python, src/anthropic/_client.py; docs.anthropic.com/en/api/overview
    ("anthropic", "api.anthropic.com", &["/v1/organizations", "/v1/organizations/**"], "header:x-api-key"),
    ("anthropic", "api.anthropic.com", &["/v1/organizations", "/v1/organizations/**"], "bearer"),
    // docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html; the names are those of its variables. A wildcard does not
    // sign for IAM and STS, which make keys.
    ("aws", "**.amazonaws.com", &[], "aws-sigv4:AWS_ACCESS_KEY_ID,AWS_SESSION_TOKEN"),
    // openai/openai-python, src/openai/lib/azure.py; Azure/azure-sdk-for-python, sdk/ai/azure-ai-inference/README.md
    ("azure-openai", "*.openai.azure.com", &[], "header:api-key"),
    // octokit/endpoint.js, src/defaults.ts; docs.github.com/en/rest/authentication/authenticating-to-the-rest-api
    ("github", "api.github.com", &["/app", "/app/**", "/applications/**"], "bearer"),
    // gitlabhq/gitlabhq, doc/api/rest/authentication.md
    (
        "gitlab",
        "gitlab.com",
        &["/api/v4/**/access_tokens**", "/api/v4/**_access_tokens**"],
        "header:private-token",
    ),
    ("gitlab", "gitlab.com", &["/api/v4/**/access_tokens**", "/api/v4/**_access_tokens**"], "bearer"),
    // googleapis/python-genai, google/genai/_api_client.py
    ("google", "generativelanguage.googleapis.com", &[], "header:x-goog-api-key"),
    // openai/openai-python, src/openai/_client.py
    ("openai", "api.openai.com", &["/v1/organization", "/v1/organization/**"], "bearer"),
    // docs.slack.dev/changelog/2020-11-no-more-tokens-in-querystrings-for-newly-created-apps
    ("slack", "slack.com", &[], "bearer"),
    // docs.slack.dev/apis/web-api
    ("slack", "slack.com", &[], "body:token"),
    // docs.stripe.com/api/authentication
    ("stripe", "api.stripe.com", &[], "bearer"),
    ("stripe", "api.stripe.com", &[], "basic"),
    // thinking-machines-lab/tinker, src/tinker/_client.py
    ("tinker", "tinker.thinkingmachines.dev", &[], "header:x-api-key"),
];

/// Of a host that serves more than the API, the paths that are the API.
const API_PATHS: [(&str, &str); 2] = [("gitlab.com", "/api/**"), ("slack.com", "/api/**")];

/// The rules of a provider, in the order in which they are tried.
pub(super) fn of(provider: &Provider) -> Vec<Rule> {
    let own = PRESETS.iter().filter(|(known, ..)| *known == provider.as_str());
    own.filter_map(|(_, host, except, site)| rule(host, except, site)).collect()
}

fn rule(host: &str, except: &[&str], site: &str) -> Option<Rule> {
    let paths: Vec<&str> = API_PATHS.iter().filter(|(of, _)| *of == host).map(|(_, path)| *path).collect();
    let patterns =
        |texts: &[&str]| texts.iter().map(|text| PathPattern::parse(text).ok()).collect::<Option<_>>();
    Some(Rule {
        paths: patterns(&paths)?,
        except: patterns(except)?,
        ..Rule::new(HostPattern::parse(host).ok()?, Site::parse(site).ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_rule() {
        assert!(PRESETS.is_sorted_by_key(|(provider, ..)| provider));
        for (provider, ..) in PRESETS {
            let rows = PRESETS.iter().filter(|(known, ..)| *known == provider).count();
            let rules = of(&Provider::parse(provider).unwrap());
            assert_eq!(rules.len(), rows, "{provider}");
            assert!(rules.iter().all(|rule| !rule.private), "{provider}");
        }
        let slack = of(&Provider::parse("slack").unwrap());
        assert_eq!(slack[0].paths, [PathPattern::parse("/api/**").unwrap()]);
        assert!(of(&Provider::parse("nobody").unwrap()).is_empty());
    }
}
