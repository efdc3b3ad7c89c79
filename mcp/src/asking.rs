//! Asking a person for the use of a guarded secret. An ask is made by doing what it is about, so a session of use is begun;
//! where that is allowed already, the session is ended again at once. No value is in it, and its token is dropped.

use std::time::Duration;

use secrets_client::{Call, Client, Error, Method};
use secrets_proto::approval::{Approval, ApprovalState};
use secrets_proto::reveal::Purpose;
use secrets_proto::session::BeginSession;
use secrets_proto::{ErrorType, SecretName};
use serde::Deserialize;
use uuid::Uuid;

/// Where sessions of use are begun and ended.
const SESSIONS: &str = "/use/sessions";

/// For how many seconds, should its end not be heard.
const MOMENT: u64 = 5;

/// The most seconds that an agent waits for a person, and of one request.
pub(crate) const MOST: u64 = 120;
const STEP: u64 = 20;

/// How it stands.
pub(crate) enum Standing {
    /// It may be used.
    Allowed,
    /// A rule, or a person within the last minute, has denied it.
    Denied,
    /// It was asked for, and this came of it.
    Asked(Box<Approval>),
}

/// Of what was begun, all that is needed to end it.
#[derive(Deserialize)]
struct Begun {
    id: Uuid,
}

/// Asks for the use of a secret, and waits so many seconds for an answer if somebody is there who could give one.
pub(crate) async fn ask(client: &Client, name: &SecretName, seconds: u64) -> Result<Standing, Error> {
    let purpose = Purpose::parse("mcp").map_err(|_| Error::NotUnderstood("a request"))?;
    let request = BeginSession {
        secrets: vec![name.clone()],
        ttl_seconds: Some(MOMENT),
        purpose,
        command: None,
        learn: false,
    };
    let refusal = match client.send(&Call::new(Method::POST, SESSIONS).json(&request)?).await {
        Ok(answer) => {
            let begun: Begun = answer.parse()?;
            client.send(&Call::new(Method::DELETE, &format!("{SESSIONS}/{}", begun.id))).await?;
            return Ok(Standing::Allowed);
        }
        Err(error) => error,
    };
    let Error::Refused(body) = &refusal else { return Err(refusal) };
    if body.kind == ErrorType::ApprovalDeniedError {
        return Ok(Standing::Denied);
    }
    if body.kind != ErrorType::ApprovalRequiredError {
        return Err(refusal);
    }
    let id = body.errors.first().and_then(|error| Uuid::parse_str(&error.msg).ok());
    let id = id.ok_or(Error::NotUnderstood("an answer"))?;
    Ok(Standing::Asked(Box::new(settled(client, id, seconds.min(MOST)).await?)))
}

/// How an ask stands in the end.
async fn settled(client: &Client, id: Uuid, seconds: u64) -> Result<Approval, Error> {
    let end = tokio::time::Instant::now() + Duration::from_secs(seconds);
    let mut wait = 0;
    loop {
        let call = Call::get(&format!("/approvals/{id}")).query("wait", &wait.to_string());
        let approval: Approval = client.send(&call).await?.parse()?;
        let left = end.saturating_duration_since(tokio::time::Instant::now()).as_secs();
        if approval.state != ApprovalState::Pending || approval.approvers == 0 || left == 0 {
            return Ok(approval);
        }
        wait = left.min(STEP);
    }
}
