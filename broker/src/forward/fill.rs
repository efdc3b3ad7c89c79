//! Values for one request: which rule lets it have each of them, and each put in its place.

use hyper::header::CONTENT_LENGTH;
use hyper::http::request::Parts;
use secrets_proto::ErrorType;
use secrets_proto::rule::Site;
use secrets_proto::session::WhyRefused;

use crate::bodies::Payload;
use crate::decide::{Asked, Daemon, Taken, rule_for};
use crate::denial::Denial;
use crate::grants::{Granted, Grants, Target};
use crate::inspect;
use crate::place;
use crate::placeholders::Placed;
use crate::sigv4::Signed;
use crate::upstream::{self, Line, Reach};

/// A request with placeholders.
#[derive(Clone, Copy)]
pub(super) struct Filling<'a> {
    /// What the session may use.
    pub(super) grants: &'a Grants,
    /// What rules see of it; `None` if none can be for it.
    pub(super) asked: Option<&'a Asked>,
    /// Its placeholders, where rules put values.
    pub(super) placed: &'a [Placed],
}

impl<'a> Filling<'a> {
    /// Each secret with its place, and what rules see of the request.
    fn each(self) -> impl Iterator<Item = (usize, &'a Granted, &'a Site, Result<&'a Asked, Denial>)> {
        self.placed.iter().filter_map(move |Placed { secret, site }| {
            let granted = self.grants.secrets.get(*secret)?;
            let asked = self.asked.ok_or_else(|| {
                let message = "no rule can be for this method or path";
                Denial::refusal(WhyRefused::RuleMismatch, message).about(&granted.name, None)
            });
            Some((*secret, granted, site, asked))
        })
    }

    /// Whether the session's own rules let the request have all of them. Gives which addresses the host may have then.
    pub(super) fn allowed(self, head: &Parts) -> Result<Reach, Denial> {
        let mut private = true;
        for (_, granted, site, asked) in self.each() {
            let rule = rule_for(granted, asked?, site)?;
            inspect::check_overrides(head, rule).map_err(|denial| denial.about(&granted.name, None))?;
            private &= rule.private;
        }
        Ok(if private { Reach::Any } else { Reach::Public })
    }

    /// Takes the values and puts them in their places; gives them by their secrets. The request goes over this connection.
    pub(super) async fn fill(
        self,
        daemon: &Daemon,
        head: &mut Parts,
        body: &mut Payload,
        line: &Line,
    ) -> Result<Vec<(usize, Taken)>, Denial> {
        let mut all = Vec::with_capacity(self.placed.len());
        for (secret, granted, site, asked) in self.each() {
            let taken = daemon.take(&granted.name, asked?, site).await?;
            // The rule may have been made narrower since.
            if !taken.private && !line.is_within(Reach::Public) {
                return Err(upstream::private().about(&granted.name, Some(taken.rule)));
            }
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
            all.push((secret, taken));
        }
        if let Payload::Fields(text) = body {
            head.headers.insert(CONTENT_LENGTH, text.bytes.len().into());
        }
        Ok(all)
    }
}

/// Signs a request again with the values that were taken for it.
pub(super) fn sign(
    head: &mut Parts,
    signed: &Signed,
    target: &Target,
    taken: &[(usize, Taken)],
) -> Result<(), Denial> {
    let value =
        |wanted| taken.iter().find(|(secret, _)| *secret == wanted).map(|(_, taken)| taken.value.expose());
    let misfit = || Denial::failure(ErrorType::BadGatewayError, "daemon", "the request could not be signed");
    let (Some(key), Some(id)) = (value(signed.key), value(signed.id)) else { return Err(misfit()) };
    let token = signed.token.and_then(value);
    place::sign(head, signed, &target.authority(), (key, id, token)).map_err(|_| misfit())
}
