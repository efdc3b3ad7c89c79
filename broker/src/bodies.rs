//! Bodies of requests on their way to a host: as they come, or read whole where a rule puts a value into a field.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::http::request::Parts;
use secrets_proto::rule::Site;
use secrets_proto::session::WhyRefused;
use secrets_proto::{ErrorType, SecretName};
use tokio::time::timeout;

use crate::denial::Denial;
use crate::field::{self, Form, Reason, Text};
use crate::grants::{Granted, Grants, Target};
use crate::placeholders::{self, Placed};

/// How long a body may take that is read whole.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most bytes of a body whose digest is in no header: what a call of a function may have (AWS Lambda's quotas).
const MOST_SIGNED: usize = 6 << 20;

/// What is sent to a host.
pub(crate) type Outgoing = Either<Incoming, Full<Bytes>>;

/// The body of a request.
#[derive(Debug)]
pub(crate) enum Payload {
    /// It passes as it comes.
    Passed(Incoming),
    /// It was read whole, and is sent as it was.
    Whole(Bytes),
    /// It was read whole, and has placeholders in fields.
    Fields(Text),
}

impl Payload {
    /// What is sent to the host.
    pub(crate) fn outgoing(self) -> Outgoing {
        match self {
            Self::Passed(incoming) => Either::Left(incoming),
            Self::Whole(bytes) => Either::Right(Full::new(bytes)),
            Self::Fields(text) => Either::Right(Full::new(text.bytes)),
        }
    }

    /// The same once more, where it was read whole.
    pub(crate) fn copy(&self) -> Option<Self> {
        match self {
            Self::Passed(_) => None,
            Self::Whole(bytes) => Some(Self::Whole(bytes.clone())),
            Self::Fields(text) => Some(Self::Fields(text.clone())),
        }
    }

    /// What was to be sent to a host and was not.
    pub(crate) fn unsent(outgoing: Outgoing) -> Option<Self> {
        match outgoing {
            Either::Left(incoming) => Some(Self::Passed(incoming)),
            Either::Right(_) => None,
        }
    }
}

/// Finds the placeholders in a request's body, beside those that were `placed` in its head: whole values of fields, each
/// once. A body is read if a rule for this host puts a value into one, and the head does not carry that already. One that
/// cannot be read is refused if such a rule allows the request otherwise (`allows`) and its head carries nothing.
pub(crate) async fn find(
    head: &Parts,
    body: Incoming,
    grants: &Grants,
    target: &Target,
    placed: &mut Vec<Placed>,
    allows: impl Fn(&Granted, &Site) -> bool,
) -> Result<Payload, Denial> {
    let wanted = wanted(grants, target, placed);
    let Some((first, _)) = wanted.first() else { return Ok(Payload::Passed(body)) };
    if body.is_end_stream() {
        return Ok(Payload::Passed(body));
    }
    let form = match readable(head, &body) {
        Ok(form) => form,
        Err(reason) => {
            let is_meant = wanted.iter().any(|(secret, site)| {
                grants.secrets.get(*secret).is_some_and(|granted| allows(granted, site))
            });
            if is_meant && placed.is_empty() {
                return Err(unfit(grants, *first, reason));
            }
            return Ok(Payload::Passed(body));
        }
    };
    let bytes = read(body, field::MOST).await.map_err(|why| match why {
        Unread::Unfit(reason) => unfit(grants, *first, reason),
        Unread::Cut => {
            Denial::failure(ErrorType::InvalidRequestError, "body", "the request's body did not arrive")
        }
    })?;
    let times = placeholders::times_in(&bytes, &grants.in_bodies, &grants.mark);
    if times == 0 {
        // Nothing is put in, so that it may be written in whatever way.
        return Ok(Payload::Whole(bytes));
    }
    let text = Text::new(form, bytes).map_err(|reason| unfit(grants, *first, reason))?;
    let before = placed.len();
    for (secret, site) in wanted {
        let (Some(granted), Site::Body(name)) = (grants.secrets.get(secret), &site) else { continue };
        if text.has(name, &granted.placeholder).map_err(|reason| unfit(grants, secret, reason))? {
            placed.push(Placed { secret, site });
        }
    }
    if placed.len() - before == times {
        return Ok(Payload::Fields(text));
    }
    Err(placeholders::astray(grants, target, &text.bytes))
}

/// Reads a body whole that was signed with the request.
pub(crate) async fn whole(body: Incoming, secret: &SecretName) -> Result<Bytes, Denial> {
    let denial = |reason: Reason| {
        let message = format!(
            "the request's signature is for its body, which cannot be looked at: {reason}; send X-Amz-Content-Sha256"
        );
        Denial::refusal(WhyRefused::SignatureForm, message).about(secret, None)
    };
    if body.size_hint().lower() > MOST_SIGNED as u64 {
        return Err(denial("it is longer than 6 MiB"));
    }
    read(body, MOST_SIGNED).await.map_err(|why| match why {
        Unread::Unfit(reason) => denial(reason),
        Unread::Cut => denial("it did not arrive, or is longer than 6 MiB"),
    })
}

/// The places in a body where rules for this host put values that the head does not carry.
fn wanted(grants: &Grants, target: &Target, placed: &[Placed]) -> Vec<(usize, Site)> {
    let mut wanted = Vec::new();
    for (secret, granted) in grants.secrets.iter().enumerate() {
        if placed.iter().any(|placed| placed.secret == secret) {
            continue;
        }
        let sites = placeholders::sites(granted, target).into_iter();
        let in_body = sites.filter(|site| matches!(site, Site::Body(_)));
        wanted.extend(in_body.map(|site| (secret, site.clone())));
    }
    wanted
}

fn readable(head: &Parts, body: &Incoming) -> Result<Form, Reason> {
    let form = field::form(&head.headers)?;
    match body.size_hint().exact() {
        None => Err("its length is not said beforehand (chunked)"),
        Some(length) if length > field::MOST as u64 => Err("it is longer than 1 MiB"),
        Some(_) => Ok(form),
    }
}

/// Why a body was not read.
enum Unread {
    Unfit(Reason),
    Cut,
}

async fn read(body: Incoming, most: usize) -> Result<Bytes, Unread> {
    let collected = timeout(PATIENCE, Limited::new(body, most).collect()).await;
    let collected = collected.map_err(|_| Unread::Cut)?.map_err(|_| Unread::Cut)?;
    if collected.trailers().is_some() {
        return Err(Unread::Unfit("it has trailers"));
    }
    Ok(collected.to_bytes())
}

fn unfit(grants: &Grants, secret: usize, reason: Reason) -> Denial {
    let denial = |name: &str| {
        Denial::refusal(
            WhyRefused::BodyForm,
            format!(
                "a rule of {name} puts the value into a field of the body, which cannot be found there: {reason}; send JSON or a form of up to 1 MiB, in UTF-8, with its length and not compressed"
            ),
        )
    };
    match grants.secrets.get(secret) {
        Some(granted) => denial(granted.name.as_str()).about(&granted.name, None),
        None => denial("a secret"),
    }
}
