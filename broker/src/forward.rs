//! One request on its way: looked into, decided about, filled with values, sent, and its answer freed of them.
//!
//! - [`fill`]: values for it
//! - [`recent`]: what was looked for in answers a moment ago
//! - [`becoming`]: connections that become something else

mod becoming;
mod fill;
mod recent;

use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HeaderValue, IF_RANGE, RANGE, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::http::uri::Scheme;
use hyper::{Request, Response, StatusCode, Version};
use secrets_proto::ErrorType;
use secrets_proto::rule::Site;
use secrets_proto::session::{RefusedRequest, WhyRefused};
use tokio::sync::Notify;

use crate::answer;
use crate::bodies::{self, Payload};
use crate::body::Body;
use crate::decide::{Asked, Daemon, rule_for, told_of};
use crate::denial::Denial;
use crate::grants::{Granted, Grants, Target};
use crate::inspect;
use crate::learn::Notes;
use crate::placeholders::{self, Placed};
use crate::sigv4::{self, Signed};
use crate::step;
use crate::upstream::{Manner, Reach, Unsent, Upstream};
use crate::websocket;

use becoming::{become_websocket, not_agreed};
use fill::{Filling, sign};
use recent::Recent;

/// Sends the requests of one session on.
#[derive(Debug)]
pub(crate) struct Forwarder {
    /// What the session may use.
    pub(crate) grants: Grants,
    /// Who decides, and has the values.
    pub(crate) daemon: Daemon,
    /// Where the requests go.
    pub(crate) upstream: Upstream,
    /// What was asked for, if the session learns.
    pub(crate) notes: Notes,
    /// Tells that a request carries a value.
    pub(crate) carried: Notify,
    recent: Recent,
}

/// A request of which it is known where it goes and which placeholders it has.
struct Looked {
    head: Parts,
    body: Payload,
    placed: Vec<Placed>,
    signed: Option<Signed>,
}

impl Forwarder {
    /// Brings together what a session needs.
    pub(crate) fn new(grants: Grants, daemon: Daemon, upstream: Upstream) -> Self {
        Self {
            grants,
            daemon,
            upstream,
            notes: Notes::default(),
            carried: Notify::new(),
            recent: Recent::default(),
        }
    }

    /// Answers a request that came through a tunnel to this host: with what the host says, or with a denial.
    pub(crate) async fn answer(&self, target: &Target, request: Request<Incoming>) -> Response<Body> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let asked = Asked::new(method.as_str(), target, uri.path());
        match self.forward(target, asked.as_ref(), request).await {
            Ok(response) => response,
            Err(denial) => self.deny(&denial, told_of(method.as_str(), target, uri.path())),
        }
    }

    /// The answer to a request that is refused; the audit log is told if it should know.
    pub(crate) fn deny(&self, denial: &Denial, told: Option<RefusedRequest>) -> Response<Body> {
        tracing::info!(item = denial.item(), secret = denial.secret().map(tracing::field::display), "denied");
        if let (Some(why), Some(told)) = (denial.why(), told) {
            self.daemon.tell(why, denial.secret().cloned(), told);
        }
        denial.response()
    }

    async fn forward(
        &self,
        target: &Target,
        asked: Option<&Asked>,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Denial> {
        let becoming = hyper::upgrade::on(&mut request);
        let (mut head, body) = request.into_parts();
        inspect::check(&head, target, &Scheme::HTTPS)?;
        let upgrades = inspect::asks_for_websocket(&head)?;
        // Before placeholders are looked for: what goes no further needs no value.
        step::keep_end_to_end(&mut head.headers);
        let Looked { mut head, mut body, placed, signed } = self.look(target, asked, head, body).await?;
        let filling = Filling { grants: &self.grants, asked, placed: &placed };
        let carries = !placed.is_empty();
        let reach = if carries { filling.allowed(&head)? } else { self.reach_without_value(target) };
        if upgrades {
            head.headers.remove(websocket::EXTENSIONS);
            websocket::agree(&mut head.headers);
        }
        if carries {
            head.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if carries && signed.is_none() {
            ask_for_all(&mut head);
        }
        head.version = Version::HTTP_11;
        let about = placed.first().and_then(|placed| self.grants.secrets.get(placed.secret));
        let about = |denial: Denial| match about {
            Some(granted) => denial.about(&granted.name, None),
            None => denial,
        };
        let manner = Manner { carries, reach, upgrades };
        let mut is_again = false;
        let (response, sought) = loop {
            // A value is taken once there is a connection for it: connecting takes a while, and meanwhile the vault may be
            // locked, or the rule removed.
            let line = self.upstream.line(target, manner, is_again).await.map_err(about)?;
            // What was not sent, because the host had closed the connection, is filled in again.
            let spare = line.is_kept().then(|| (carries.then(|| head.clone()), body.copy()));
            let taken = filling.fill(&self.daemon, &mut head, &mut body, &line).await?;
            if carries {
                self.carried.notify_one();
            }
            if let Some(signed) = &signed {
                sign(&mut head, signed, target, &taken)?;
            }
            let outgoing = body.outgoing();
            frame(&mut head, &outgoing);
            let sending = self.upstream.send(line, Request::from_parts(head, outgoing), carries);
            match tokio::join!(sending, self.recent.sought(&self.grants, taken)) {
                (Ok(response), sought) => break (response, sought),
                (Err(Unsent::Failed(denial)), _) => return Err(about(denial)),
                (Err(Unsent::Again(request)), _) => {
                    let (unsent, outgoing) = request.into_parts();
                    let (spare, copy) = spare.unwrap_or_default();
                    head = spare.unwrap_or(unsent);
                    body = copy.or_else(|| Payload::unsent(outgoing)).ok_or_else(gone)?;
                    is_again = true;
                }
            }
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return if upgrades { become_websocket(becoming, response, sought) } else { Err(not_agreed()) };
        }
        match sought {
            None => Ok(answer::passed(response)),
            Some(sought) => answer::scrubbed(response, sought),
        }
    }

    /// Finds a request's placeholders, and refuses it if it can have none there, or is for a host that nobody has named.
    async fn look(
        &self,
        target: &Target,
        asked: Option<&Asked>,
        head: Parts,
        body: Incoming,
    ) -> Result<Looked, Denial> {
        if self.grants.learns {
            let there = placeholders::anywhere(&head, &self.grants);
            self.note(head.method.as_str(), target, head.uri.path(), &there);
        }
        let signed = sigv4::find(&head, &self.grants, target)?;
        let mut placed = match &signed {
            Some(signed) => signed.placed(),
            None => placeholders::find(&head, &self.grants, target)?,
        };
        if !self.grants.has_rule_for(target) && !self.grants.is_open(target) {
            return Err(Denial::refusal(
                WhyRefused::HostNotAllowed,
                "no secret of this session may be used at this host; allow one with: secretctl proxy rule set NAME --host HOST, or let the host through with: secretctl proxy run --allow HOST; then start the program again",
            ));
        }
        let allows = |granted: &Granted, site: &Site| {
            asked.is_some_and(|asked| rule_for(granted, asked, site).is_ok())
        };
        let (signed, body) = match signed {
            Some(signed) => {
                let (signed, body) = self.whole(signed, body).await?;
                (Some(signed.checked(&head, &self.grants)?), body)
            }
            None => {
                let body = bodies::find(&head, body, &self.grants, target, &mut placed, allows).await?;
                (None, body)
            }
        };
        if self.grants.learns && placed.iter().any(|placed| !is_of_head(&placed.site)) {
            let there: Vec<_> = placed.iter().map(|placed| (placed.secret, placed.site.clone())).collect();
            self.note(head.method.as_str(), target, head.uri.path(), &there);
        }
        Ok(Looked { head, body, placed, signed })
    }

    /// Sends a request on that goes without TLS, to a host that the user has named.
    pub(crate) async fn forward_plain(
        &self,
        target: &Target,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Denial> {
        let (mut head, body) = request.into_parts();
        if placeholders::are_in(&head, &self.grants) {
            return Err(Denial::refusal(
                WhyRefused::PlainHttp,
                "without TLS a request carries no value; ask for https://",
            ));
        }
        if self.grants.learns {
            self.note(head.method.as_str(), target, head.uri.path(), &[]);
        }
        if !self.grants.allows(target) && !self.grants.is_open(target) {
            return Err(Denial::refusal(
                WhyRefused::HostNotAllowed,
                "this host is not allowed; let it through with: secretctl proxy run --allow HOST:PORT",
            ));
        }
        inspect::check(&head, target, &Scheme::HTTP)?;
        step::keep_end_to_end(&mut head.headers);
        head.version = Version::HTTP_11;
        frame(&mut head, &body);
        let response = self.upstream.send_plain(Request::from_parts(head, body)).await?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(not_agreed());
        }
        Ok(answer::passed(response))
    }

    /// Reads the body of a signed request if its signature cannot be checked without it.
    async fn whole(&self, signed: Signed, body: Incoming) -> Result<(Signed, Payload), Denial> {
        let granted = self.grants.secrets.get(signed.key);
        match granted.filter(|_| signed.needs_body()) {
            Some(granted) => {
                let bytes = bodies::whole(body, &granted.name).await?;
                Ok((signed.with_body(&bytes), Payload::Whole(bytes)))
            }
            None => Ok((signed, Payload::Passed(body))),
        }
    }

    /// Notes a request of a session that learns, and which secrets are where in it.
    fn note(&self, method: &str, target: &Target, path: &str, there: &[(usize, Site)]) {
        let named =
            there.iter().filter_map(|(secret, site)| Some((&self.grants.secrets.get(*secret)?.name, site)));
        self.notes.note(method, target, path, named, self.has_private_rule(target));
    }

    /// How far a request without a value may go.
    fn reach_without_value(&self, target: &Target) -> Reach {
        if self.has_private_rule(target) || self.grants.learns && self.grants.allows(target) {
            Reach::Any
        } else if !self.grants.has_rule_for(target) && self.grants.is_open(target) {
            Reach::Loopback
        } else {
            Reach::Public
        }
    }

    /// Whether a rule lets this host have an address that is not public.
    fn has_private_rule(&self, target: &Target) -> bool {
        let Some(name) = target.name() else { return false };
        let is_for = |granted: &Granted| {
            granted.rules.iter().any(|rule| rule.private && rule.is_for(name, target.port))
        };
        self.grants.secrets.iter().any(is_for)
    }

    /// Forgets the values that no request has carried for a moment. Says whether there are others.
    pub(crate) fn forget(&self) -> bool {
        let others = self.recent.forget();
        self.daemon.forget() || others
    }
}

/// Says that a body of unknown length comes. With `GET` and `HEAD` the library would leave it out over HTTP/1.1.
fn frame(head: &mut Parts, body: &impl hyper::body::Body) {
    if !body.is_end_stream() && !head.headers.contains_key(CONTENT_LENGTH) {
        head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Takes out what asks for a part of the answer: a value could be had in two parts, of which neither shows that it is one. A
/// host may always send all of it (RFC 9110, section 14.2). What is signed carries no more than a key's id and its token.
fn ask_for_all(head: &mut Parts) {
    for name in [RANGE, IF_RANGE] {
        head.headers.remove(name);
    }
}

/// That there is nothing to send once more: what was read whole was not kept.
fn gone() -> Denial {
    Denial::failure(ErrorType::BadGatewayError, "connect", "the host has closed the connection; try again")
}

/// Whether it is seen in a head which secret is there.
const fn is_of_head(site: &Site) -> bool {
    !matches!(site, Site::Body(_) | Site::AwsSigv4 { .. })
}
