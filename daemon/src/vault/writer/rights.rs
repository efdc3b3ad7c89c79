//! Whether a client may have or change guarded secrets, by the rules that there are. Pure: it knows no time but what it is
//! given, and nobody to ask.

use std::sync::Arc;

use secrets_local::clock::Moment;
use secrets_local::peer::lineage::{SessionKey, interprets, runs_anything};
use secrets_proto::Uuid;
use secrets_proto::approval::{ApprovalScope, GuardedRight, Narrowing};

use crate::caller::ITEMS_TOKEN;
use crate::client::Client;
use crate::vault::format::approval_rule::{ApprovalRule, Pattern, is_within};

/// What a person has allowed that is not kept in the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vault) struct MemoryRule {
    /// The ask that was answered.
    pub(in crate::vault) id: Uuid,
    /// The secret.
    pub(in crate::vault) secret: Uuid,
    /// The right.
    pub(in crate::vault) right: GuardedRight,
    /// Which clients are meant.
    pub(in crate::vault) clients: Pattern,
    /// The session that they must be in; none is any.
    pub(in crate::vault) session: Option<SessionKey>,
    /// When it ends; none is with the session.
    pub(in crate::vault) until: Option<Moment>,
}

impl MemoryRule {
    /// Whether it allows this now.
    fn allows(&self, client: &Client, right: GuardedRight, secret: Uuid, now: Moment) -> bool {
        self.secret == secret
            && self.right == right
            && self.until.is_none_or(|until| now < until)
            && self.session.as_ref().is_none_or(|session| client.session_key() == Some(session))
            && self.clients.fits(client)
    }
}

/// What the rules say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::vault) enum Verdict {
    /// A rule denies one of them. It beats every rule that allows.
    Denied(Uuid),
    /// For each of them there is a rule that allows it: the ids of these.
    Allowed(Vec<Uuid>),
    /// No rule settles it.
    Unsettled,
}

/// What the rules say of this client, for all of these secrets or none.
pub(in crate::vault) fn judge<'a>(
    client: &Client,
    right: GuardedRight,
    secrets: &[Uuid],
    rules: impl Fn(Uuid) -> &'a [Arc<ApprovalRule>],
    memory: &[MemoryRule],
    now: Moment,
) -> Verdict {
    let denies = |secret: &Uuid| rules(*secret).iter().find(|rule| rule.denies(client, right));
    if let Some(rule) = secrets.iter().find_map(denies) {
        return Verdict::Denied(rule.id);
    }
    let allows = |secret: &Uuid| {
        let kept = rules(*secret).iter().find(|rule| rule.allows(client, right)).map(|rule| rule.id);
        let remembered = || memory.iter().find(|rule| rule.allows(client, right, *secret, now));
        kept.or_else(|| remembered().map(|rule| rule.id))
    };
    match secrets.iter().map(allows).collect::<Option<Vec<_>>>() {
        Some(mut ids) => {
            ids.sort_unstable();
            ids.dedup();
            Verdict::Allowed(ids)
        }
        None => Verdict::Unsettled,
    }
}

/// The clients that are meant by an answer to this one: others that are like it in what a person would name.
pub(in crate::vault) fn offered(client: &Client) -> Pattern {
    let token = Pattern { token: client.token, ..Pattern::default() };
    if client.is_known_by_token() {
        return token;
    }
    if let Some(unit) = client.service() {
        return Pattern { unit: Some(unit.clone()), ..token };
    }
    if let Some(command) = &client.command {
        let (command, directory) = (Some(command.clone()), client.directory.clone());
        return Pattern { command, directory, ..token };
    }
    Pattern { program: client.program.clone(), script: client.script.clone(), ..token }
}

/// The clients that are denied for good by an answer to this one.
pub(in crate::vault) fn denied(client: &Client) -> Pattern {
    let token = Pattern { token: client.token, ..Pattern::default() };
    match client.service() {
        Some(unit) => Pattern { unit: Some(unit.clone()), ..token },
        None => Pattern { program: client.program.clone(), script: client.script.clone(), ..token },
    }
}

/// The pattern, narrowed by what must be true of the client. `None` if it is not, or would widen the pattern.
pub(in crate::vault) fn narrowed(pattern: &Pattern, by: &Narrowing, client: &Client) -> Option<Pattern> {
    let Narrowing { unit, program, script, directory, command } = by;
    let one = |offered: &Option<String>, wanted: &Option<String>, found: &Option<String>| match wanted {
        None => Some(offered.clone()),
        Some(_) if wanted == found => Some(wanted.clone()),
        Some(_) => None,
    };
    let directory = match (directory, &pattern.directory) {
        (None, offered) => offered.clone(),
        (Some(wanted), offered) => {
            let found = client.directory.as_deref()?;
            let holds = is_within(found, wanted);
            let narrower = offered.as_deref().is_none_or(|offered| is_within(wanted, offered));
            if !holds || !narrower {
                return None;
            }
            Some(wanted.clone())
        }
    };
    Some(Pattern {
        token: pattern.token,
        unit: one(&pattern.unit, unit, &client.unit)?,
        program: one(&pattern.program, program, &client.program)?,
        script: one(&pattern.script, script, &client.script)?,
        command: one(&pattern.command, command, &client.command)?,
        directory,
    })
}

/// Whether a rule that allows may have this pattern: the owner's token alone is everybody, and so is what runs whatever it
/// is given. An access token is somebody.
pub(in crate::vault) fn may_be_allowed(pattern: &Pattern) -> bool {
    if pattern.token.is_some_and(|token| token != ITEMS_TOKEN) {
        return true;
    }
    if pattern.unit.is_some() {
        return true;
    }
    let is_bare = |program: &Option<String>| program.as_deref().is_some_and(runs_anything);
    match (&pattern.command, &pattern.program) {
        (Some(_), _) => !is_bare(&pattern.command),
        (None, Some(program)) => {
            !is_bare(&pattern.program) || interprets(program) && pattern.script.is_some()
        }
        (None, None) => false,
    }
}

/// The scopes that an answer to this client can have.
pub(in crate::vault) fn scopes(client: &Client) -> Vec<ApprovalScope> {
    let pattern = offered(client);
    let denied = denied(client);
    let lasting = may_be_allowed(&pattern);
    ApprovalScope::ALL
        .into_iter()
        .filter(|scope| match scope {
            ApprovalScope::Once => client.process.is_some(),
            ApprovalScope::Session => client.session.is_some(),
            ApprovalScope::Time | ApprovalScope::Always => lasting,
            ApprovalScope::Never => client.is_known_by_token() || denied.is_narrow(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
