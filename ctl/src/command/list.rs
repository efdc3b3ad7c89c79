//! `list`: names, providers and masks.

use secrets_proto::secret::{Secret, SecretDetail, SecretList};
use secrets_proto::{Glob, Provider, Timestamp};

use super::expiry;
use crate::call::Call;
use crate::cli::ListArgs;
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::session::Session;
use crate::table;

pub(crate) fn run(session: &Session, output: Output, args: &ListArgs) -> Result<(), Failure> {
    let mut call = Call::get("/user/secrets");
    if let Some(glob) = &args.glob {
        call = call.query("name", Glob::parse(glob)?.as_str());
    }
    if let Some(provider) = &args.provider {
        call = call.query("provider", Provider::parse(provider)?.as_str());
    }
    if output.json && !args.names {
        return output::answer_line(&session.call(&call)?.body);
    }
    let SecretList { secrets, .. } =
        session.fetch::<SecretList<SecretDetail>>(&call.query("view", "full"))?;
    if secrets.is_empty() {
        let filtered = args.glob.is_some() || args.provider.is_some();
        output::say(if filtered {
            "no secret matches"
        } else {
            "no secrets yet; store one with: secretctl set NAME"
        });
        return Ok(());
    }
    let text = if args.names {
        secrets.iter().map(|detail| format!("{}\n", detail.secret.name)).collect()
    } else {
        if let Some(notice) = expiry::notice(&secrets, Timestamp::now()) {
            output::say(&notice);
        }
        let rows: Vec<[String; 4]> = secrets.iter().map(|detail| row(&detail.secret)).collect();
        table::render(["NAME", "PROVIDER", "MASKED", "UPDATED"], &rows, output.colour)
    };
    output::answer(text.as_bytes())
}

fn row(secret: &Secret) -> [String; 4] {
    let provider = secret.provider.as_ref().map_or("-", Provider::as_str);
    [secret.name.to_string(), provider.to_owned(), secret.masked_value.clone(), secret.updated_at.to_string()]
}
