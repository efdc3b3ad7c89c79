//! `kube-credential`: an exec plugin of kubectl and other clients of Kubernetes (kubernetes.io, "Authenticating",
//! "client-go credential plugins"). It answers with a token, or with a client certificate and its key.

use clap::Args;
use secrets_proto::{SecretName, SecretValue, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};
use crate::helper;
use crate::session::Session;
use crate::{environment, handover};

/// Credential plugin for kubectl; kubectl runs this
#[derive(Debug, Args)]
#[command(after_help = "\
The secret is a token, or a client certificate with its key, both in PEM. In the
kubeconfig:
  users:
  - name: me
    user:
      exec:
        apiVersion: client.authentication.k8s.io/v1
        command: secretctl
        args: [kube-credential, CLUSTER_TOKEN]
        interactiveMode: Never

Example:
  cat client.crt client.key | secretctl set CLUSTER_CERT
  secretctl kube-credential CLUSTER_CERT | jq .kind")]
pub(crate) struct KubeCredentialArgs {
    /// The secret's name
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
}

/// The versions of the API that have this form.
const VERSIONS: [&str; 2] = ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

/// What clients say about themselves in `KUBERNETES_EXEC_INFO`, and what they are answered.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    api_version: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential<'a> {
    api_version: &'a str,
    kind: &'a str,
    status: Status<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_timestamp: Option<Timestamp>,
    #[serde(flatten)]
    credential: Credential<'a>,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum Credential<'a> {
    Token { token: &'a str },
    Pair { client_certificate_data: &'a str, client_key_data: &'a str },
}

pub(crate) fn run(
    open: impl FnOnce() -> Result<Session, Failure>,
    args: &KubeCredentialArgs,
) -> Result<(), Failure> {
    helper::refuse_terminal("kubectl runs this; see: secretctl kube-credential --help")?;
    let name = SecretName::parse(&args.name)?;
    let api_version = version()?;
    helper::refuse_session("kube-credential")?;
    let found =
        helper::find(&open()?, &name, "kube-credential", None)?.ok_or_else(|| helper::absent(&name))?;
    let pair;
    let credential = if found.value.expose().contains("-----BEGIN ") {
        pair = Pair::of(&name, &found.value)?;
        Credential::Pair { client_certificate_data: &pair.certificates, client_key_data: &pair.key }
    } else {
        Credential::Token { token: handover::in_one_line(&name, &found.value)? }
    };
    let status = Status { expiration_timestamp: found.expires_at, credential };
    helper::answer_json(&ExecCredential { api_version, kind: "ExecCredential", status }, 1)
}

/// The version that the client asks for: it refuses any other.
fn version() -> Result<&'static str, Failure> {
    let wrong = || {
        let text =
            "KUBERNETES_EXEC_INFO asks for something else than client.authentication.k8s.io/v1 or v1beta1";
        Failure::new(Exit::Invalid, text)
    };
    let Some(info) = environment::kubernetes_exec_info() else { return Ok(VERSIONS[0]) };
    let info: Info = serde_json::from_str(info.to_str().ok_or_else(wrong)?).map_err(|_| wrong())?;
    VERSIONS.into_iter().find(|version| *version == info.api_version).ok_or_else(wrong)
}

/// A certificate with those that vouch for it, and its key, each in PEM.
struct Pair {
    certificates: Zeroizing<String>,
    key: Zeroizing<String>,
}

impl Pair {
    fn of(name: &SecretName, value: &SecretValue) -> Result<Self, Failure> {
        let wrong = || {
            let text = format!("{name} is in PEM, but not certificates and one unencrypted private key");
            Failure::new(Exit::Invalid, text)
        };
        let text = value.expose();
        // Neither grows, so that no copy is left behind.
        let part = || Zeroizing::new(String::with_capacity(text.len() + 1));
        let (mut certificates, mut key) = (part(), part());
        let mut rest = text;
        while let Some((_, begun)) = rest.split_once("-----BEGIN ") {
            let (label, _) = begun.split_once("-----").ok_or_else(wrong)?;
            let end = format!("-----END {label}-----");
            let (block, behind) = begun.split_once(&end).ok_or_else(wrong)?;
            let into = match label {
                "CERTIFICATE" => &mut certificates,
                "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" if key.is_empty() => &mut key,
                // Which curve the key is on, as openssl writes it before the key, which says it again.
                "EC PARAMETERS" => {
                    rest = behind;
                    continue;
                }
                _ => return Err(wrong()),
            };
            for piece in ["-----BEGIN ", block, &end, "\n"] {
                into.push_str(piece);
            }
            rest = behind;
        }
        if certificates.is_empty() || key.is_empty() || key.contains("ENCRYPTED") {
            return Err(wrong());
        }
        Ok(Self { certificates, key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(label: &str) -> String {
        format!("-----BEGIN {label}-----\nMIIC\n-----END {label}-----\n")
    }

    fn split(text: &str) -> Option<(String, String)> {
        let name = SecretName::parse("N").unwrap();
        let pair = Pair::of(&name, &SecretValue::new(text.into()).unwrap()).ok()?;
        Some((pair.certificates.to_string(), pair.key.to_string()))
    }

    #[test]
    fn certificates_and_their_key_are_told_apart() {
        let (certificate, key) = (block("CERTIFICATE"), block("EC PRIVATE KEY"));
        let both = certificate.repeat(2);
        for text in [
            format!("{both}{key}"),
            format!("{key}{both}"),
            format!("Bag Attributes\n{certificate}text\n{}{key}{certificate}", block("EC PARAMETERS")),
            format!("{both}{}", key.trim_end()),
        ] {
            assert_eq!(split(&text), Some((both.clone(), key.clone())), "{text}");
        }
    }

    #[test]
    fn what_is_no_pair_is_refused() {
        let (certificate, key) = (block("CERTIFICATE"), block("PRIVATE KEY"));
        for text in [
            certificate.clone(),
            key.clone(),
            format!("{certificate}{key}{key}"),
            format!("{certificate}{}", block("ENCRYPTED PRIVATE KEY")),
            format!("{certificate}-----BEGIN PRIVATE KEY-----\nMIIC"),
            format!("{certificate}{}", key.replace("MIIC", "Proc-Type: 4,ENCRYPTED\n\nMIIC")),
            "-----BEGIN ".to_owned(),
        ] {
            assert_eq!(split(&text), None, "{text}");
        }
    }
}
