//! Asks the daemon for the values: once, all that the token may have, with one entry in the audit log. If a guarded secret
//! is among them that a person has not allowed, once more for all others.

use secrets_client::{Call, Client, Error, Limits, Paths};
use secrets_proto::reveal::{Purpose, RevealRequest, RevealedSecret};
use secrets_proto::secret::{SecretDetail, SecretList};
use secrets_proto::{ErrorType, Selector};
use tokio::runtime::Builder;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::guarded::{self, Why};
use crate::values::Sought;

/// What the audit log has as the purpose.
const PURPOSE: &str = "scan";

/// Guarded secrets that are left out, and what is said of each group.
pub(crate) type LeftOut = Vec<(Why, Vec<String>)>;

/// The values to look for, and what was left out of them.
pub(crate) fn values(arguments: &Arguments) -> Result<(Sought, LeftOut), Failure> {
    let variable = |name: &str| std::env::var_os(name);
    let paths = Paths::find(arguments.socket.clone(), arguments.token_file.clone(), variable)
        .map_err(|error| Failure::other(error.to_string()))?;
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::other(format!("cannot start: {error}")))?;
    let client = Client::new(paths.socket.clone(), paths.token.clone(), Limits::default());
    runtime.block_on(async {
        let purpose = Purpose::parse(PURPOSE).map_err(wrong)?;
        let all = [Selector::parse("*").map_err(wrong)?];
        let refusal = match reveal(&client, &purpose, &all).await {
            Ok(secrets) => return Ok((Sought::new(&secrets), LeftOut::new())),
            Err(error) => error,
        };
        let mut why = Why::of(refusal, &client).await?;
        if let Why::Asked(ask) = &why
            && guarded::is_settled(ask, &client, &paths, arguments).await?
        {
            match reveal(&client, &purpose, &all).await {
                Ok(secrets) => return Ok((Sought::new(&secrets), LeftOut::new())),
                Err(error) => why = Why::of(error, &client).await?,
            }
        }
        without(&client, why, arguments.is_hook).await
    })
}

/// All but the guarded secrets that cannot be had.
async fn without(client: &Client, why: Why, is_hook: bool) -> Result<(Sought, LeftOut), Failure> {
    let list = match client.send(&Call::list().query("view", "full")).await {
        Ok(answer) => answer.parse::<SecretList<SecretDetail>>()?.secrets,
        // This token cannot tell which are guarded.
        Err(error) if error.kind() == Some(ErrorType::ForbiddenError) => {
            return Err(why.failure(&why.names(), is_hook));
        }
        Err(error) => return Err(error.into()),
    };
    let purpose = Purpose::parse(PURPOSE).map_err(wrong)?;
    let (guarded, others): (Vec<_>, Vec<_>) = list.into_iter().partition(|secret| secret.guarded);
    let others: Vec<Selector> = others.iter().map(|secret| Selector::Id(secret.secret.id)).collect();
    let mut secrets = Vec::new();
    for some in others.chunks(RevealRequest::MAX_SELECTORS) {
        match reveal(client, &purpose, some).await {
            Ok(mut some) => secrets.append(&mut some),
            // One was guarded in the meantime.
            Err(error) => {
                let why = Why::of(error, client).await?;
                return Err(why.failure(&why.names(), is_hook));
            }
        }
    }
    let names = |of: &[&str]| of.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let all: Vec<&str> = guarded.iter().map(|secret| secret.secret.name.as_str()).collect();
    if let Why::Asked(_) | Why::Full = why {
        // One answer to the ask allows them all.
        return Ok((Sought::new(&secrets), vec![(why, names(&all))]));
    }
    // Some are denied, perhaps not all: each by itself.
    let mut left_out = LeftOut::new();
    let mut denied = Vec::new();
    for secret in &guarded {
        match reveal(client, &purpose, &[Selector::Id(secret.secret.id)]).await {
            Ok(mut one) => secrets.append(&mut one),
            Err(error) => match Why::of(error, client).await? {
                Why::Denied => denied.push(secret.secret.name.as_str()),
                asked @ (Why::Asked(_) | Why::Full) => {
                    left_out.push((asked, names(&[secret.secret.name.as_str()])))
                }
            },
        }
    }
    if !denied.is_empty() {
        left_out.push((Why::Denied, names(&denied)));
    }
    Ok((Sought::new(&secrets), left_out))
}

/// The values of these. There may be none.
async fn reveal(
    client: &Client,
    purpose: &Purpose,
    which: &[Selector],
) -> Result<Vec<RevealedSecret>, Error> {
    let (secrets, purpose) = (which.to_vec(), purpose.clone());
    let request = RevealRequest { secrets, purpose, command: None, reason: None, directory: None };
    match client.reveal(&request).await {
        Ok(reply) => Ok(reply.secrets),
        Err(error)
            if error.kind() == Some(ErrorType::NotFoundError) && which.iter().any(Selector::is_glob) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

fn wrong(invalid: secrets_proto::Invalid) -> Failure {
    Failure::other(invalid.to_string())
}
