//! One request on its way: looked into, decided about, filled with values, sent, and its answer freed of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use hyper::http::request::Parts;
use hyper::http::uri::Scheme;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, StatusCode, Uri, Version};
use hyper_util::rt::TokioIo;
use secrets_proto::ErrorType;
use secrets_proto::rule::Site;
use secrets_proto::session::{RefusedRequest, WhyRefused};
use tokio::sync::Notify;

use crate::answer;
use crate::bodies::{self, Payload};
use crate::body::{Body, scrub_headers};
use crate::decide::{Asked, Daemon, Taken, rule_for, told_of};
use crate::denial::Denial;
use crate::grants::{Granted, Grants, Target};
use crate::inspect;
use crate::learn::Notes;
use crate::place;
use crate::placeholders::{self, Placed};
use crate::sigv4::{self, Signed};
use crate::sought::Sought;
use crate::upstream::{Manner, Reach, Upstream};
use crate::websocket;

/// How long the spellings of a value are kept for the next request that carries it.
const KEPT_FOR: Duration = Duration::from_millis(300);

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
    recent: Mutex<HashMap<usize, Recent>>,
}

/// A value that a request has carried a moment ago, with its spellings, which take a while to prepare.
#[derive(Debug)]
struct Recent {
    taken: Taken,
    sought: Arc<Sought>,
    last: Instant,
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
            recent: Mutex::default(),
        }
    }

    /// Answers a request that came through a tunnel to this host: with what the host says, or with a denial.
    pub(crate) async fn answer(&self, target: &Target, request: Request<Incoming>) -> Response<Body> {
        let (method, path) = (request.method().as_str(), request.uri().path());
        let (asked, told) = (Asked::new(method, target, path), told_of(method, target, path));
        match self.forward(target, asked.as_ref(), request).await {
            Ok(response) => response,
            Err(denial) => self.deny(&denial, told),
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
        inspect::keep_end_to_end(&mut head.headers);
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
        let (signed, mut body) = match signed {
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
        let (taken, reach) = self.fill(&mut head, &mut body, target, asked, &placed).await?;
        set_target(&mut head, target)?;
        if upgrades {
            head.headers.remove(websocket::EXTENSIONS);
            websocket::agree(&mut head.headers);
        }
        let carries = !taken.is_empty();
        if carries {
            head.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if let Some(signed) = &signed {
            sign(&mut head, signed, target, &taken)?;
        }
        let manner = Manner { carries, reach, upgrades };
        let body = body.outgoing();
        frame(&mut head, &body);
        let sending = self.upstream.send(Request::from_parts(head, body), manner);
        let (sent, sought) = tokio::join!(sending, self.sought(taken));
        let about = placed.first().and_then(|placed| self.grants.secrets.get(placed.secret));
        let response = sent.map_err(|denial| match about {
            Some(granted) => denial.about(&granted.name, None),
            None => denial,
        })?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return if upgrades { become_websocket(becoming, response, sought) } else { Err(not_agreed()) };
        }
        match sought {
            None => Ok(answer::passed(response)),
            Some(sought) => answer::scrubbed(response, sought),
        }
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
        inspect::keep_end_to_end(&mut head.headers);
        head.version = Version::HTTP_11;
        frame(&mut head, &body);
        Ok(answer::passed(self.upstream.send_plain(Request::from_parts(head, body)).await?))
    }

    /// Takes the values and puts them in their places. Gives them, by their secrets, and whether the host may have an address
    /// that is not public.
    async fn fill(
        &self,
        head: &mut Parts,
        body: &mut Payload,
        target: &Target,
        asked: Option<&Asked>,
        placed: &[Placed],
    ) -> Result<(Vec<(usize, Taken)>, Reach), Denial> {
        let mut private = true;
        let mut all: Vec<(usize, Taken)> = Vec::with_capacity(placed.len());
        for Placed { secret, site } in placed {
            let Some(granted) = self.grants.secrets.get(*secret) else { continue };
            let asked = asked.ok_or_else(|| {
                let message = "no rule can be for this method or path";
                Denial::refusal(WhyRefused::RuleMismatch, message).about(&granted.name, None)
            })?;
            inspect::check_overrides(head, rule_for(granted, asked, site)?)
                .map_err(|denial| denial.about(&granted.name, None))?;
            let taken = self.daemon.take(&granted.name, asked, site).await?;
            private &= taken.private;
            let put = match (site, &mut *body) {
                // All that belongs to it is there at the end.
                (Site::AwsSigv4 { .. }, _) => Ok(()),
                (Site::Body(name), Payload::Fields(text)) => {
                    place::put_into_field(text, name, taken.value.expose())
                }
                (site, _) => place::put(head, site, &granted.placeholder, taken.value.expose()),
            };
            put.map_err(|_| {
                let message = "the value cannot stand there; it has control characters, or spaces at an end";
                Denial::refusal(WhyRefused::PlaceholderMisplaced, message)
                    .about(&granted.name, Some(taken.rule))
            })?;
            all.push((*secret, taken));
        }
        if all.is_empty() {
            return Ok((all, self.reach_without_value(target)));
        }
        if let Payload::Fields(text) = body {
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(text.bytes.len()));
        }
        self.carried.notify_one();
        Ok((all, if private { Reach::Any } else { Reach::Public }))
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

    /// What to look for in the answer to a request with these values, if there are any.
    async fn sought(&self, mut all: Vec<(usize, Taken)>) -> Option<Arc<Sought>> {
        if all.is_empty() {
            return None;
        }
        if let Some(known) = self.known(&all) {
            return Some(known);
        }
        // It takes a while. The request goes first, so that the host is at work meanwhile.
        tokio::task::yield_now().await;
        let sought = Sought::new(all.iter().map(|(_, taken)| taken.value.expose()));
        let Some((secret, taken)) = all.pop().filter(|_| all.is_empty()) else {
            return Some(Arc::new(sought));
        };
        let placeholder = self.grants.secrets.get(secret).map(|granted| granted.placeholder.clone());
        let sought = Arc::new(sought.shown_as(placeholder.unwrap_or_default()));
        self.recent().insert(secret, Recent { taken, sought: sought.clone(), last: Instant::now() });
        Some(sought)
    }

    /// What was prepared a moment ago for the same value.
    fn known(&self, all: &[(usize, Taken)]) -> Option<Arc<Sought>> {
        let [(secret, taken)] = all else { return None };
        let mut recent = self.recent();
        let known = recent.get_mut(secret)?;
        if !known.taken.is(taken) && known.taken.value != taken.value {
            return None;
        }
        known.last = Instant::now();
        Some(known.sought.clone())
    }

    /// Forgets the values that no request has carried for a moment. Says whether there are others.
    pub(crate) fn forget(&self) -> bool {
        let mut recent = self.recent();
        recent.retain(|_, recent| recent.last.elapsed() < KEPT_FOR);
        self.daemon.forget() || !recent.is_empty()
    }

    fn recent(&self) -> MutexGuard<'_, HashMap<usize, Recent>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that a body of unknown length comes. With `GET` and `HEAD` the library would leave it out over HTTP/1.1.
fn frame(head: &mut Parts, body: &impl hyper::body::Body) {
    if !body.is_end_stream() && !head.headers.contains_key(CONTENT_LENGTH) {
        head.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Whether it is seen in a head which secret is there.
const fn is_of_head(site: &Site) -> bool {
    !matches!(site, Site::Body(_) | Site::AwsSigv4 { .. })
}

fn not_agreed() -> Denial {
    Denial::failure(
        ErrorType::BadGatewayError,
        "upstream_protocol",
        "the host agreed to another protocol than a WebSocket without extensions, which was asked for",
    )
}

/// The host's answer that it is a WebSocket from now on, and what passes then.
fn become_websocket(
    program: OnUpgrade,
    mut response: Response<Incoming>,
    sought: Option<Arc<Sought>>,
) -> Result<Response<Body>, Denial> {
    let host = hyper::upgrade::on(&mut response);
    let mut head = response.into_parts().0;
    let agreed = head.headers.get(UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if !agreed || head.headers.contains_key(websocket::EXTENSIONS) {
        return Err(not_agreed());
    }
    answer::keep_what_is_meant(&mut head);
    websocket::agree(&mut head.headers);
    if let Some(sought) = &sought {
        scrub_headers(&mut head.headers, sought);
    }
    tokio::spawn(async move {
        let Ok((program, host)) = tokio::try_join!(program, host) else { return };
        if let Err(error) = websocket::pass(TokioIo::new(program), TokioIo::new(host), sought).await {
            tracing::debug!(%error, "a WebSocket ended");
        }
    });
    Ok(Response::from_parts(head, Body::none()))
}

/// Signs a request again with the values that were taken for it.
fn sign(head: &mut Parts, signed: &Signed, target: &Target, taken: &[(usize, Taken)]) -> Result<(), Denial> {
    let value =
        |wanted| taken.iter().find(|(secret, _)| *secret == wanted).map(|(_, taken)| taken.value.expose());
    let misfit = || Denial::failure(ErrorType::BadGatewayError, "daemon", "the request could not be signed");
    let (Some(key), Some(id)) = (value(signed.key), value(signed.id)) else { return Err(misfit()) };
    let token = signed.token.and_then(value);
    place::sign(head, signed, &target.authority(), (key, id, token)).map_err(|_| misfit())
}

/// Makes the request's target a whole URL, by which it finds its connection.
fn set_target(head: &mut Parts, target: &Target) -> Result<(), Denial> {
    let mut parts = std::mem::take(&mut head.uri).into_parts();
    parts.scheme = Some(Scheme::HTTPS);
    parts.authority = target.parsed_authority();
    head.uri = Uri::from_parts(parts).map_err(|_| {
        Denial::failure(ErrorType::InvalidRequestError, "target", "the request's target is malformed")
    })?;
    head.version = Version::HTTP_11;
    // Written again from the target, in the way of the version that the host speaks.
    head.headers.remove(HOST);
    Ok(())
}
