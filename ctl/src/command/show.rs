//! `show`: all that is known about a secret but its value.

use secrets_proto::secret::{SecretDetail, SizeClass};

use crate::cli::ShowArgs;
use crate::failure::{Exit, Failure};
use crate::lookup::Wanted;
use crate::output::{self, Output};
use crate::session::Session;

pub(crate) fn run(session: &Session, output: Output, args: &ShowArgs) -> Result<(), Failure> {
    let detail = Wanted::parse(&args.name)?.get(session)?;
    if output.json {
        let text = serde_json::to_vec(&detail)
            .map_err(|_| Failure::new(Exit::Other, "the secret cannot be written as JSON"))?;
        return output::answer_line(&text);
    }
    output::answer(describe(&detail).as_bytes())
}

fn describe(detail: &SecretDetail) -> String {
    let secret = &detail.secret;
    let size = match detail.size_class {
        SizeClass::Small => "up to 1 KiB",
        SizeClass::Medium => "up to 8 KiB",
        SizeClass::Large => "up to 64 KiB",
    };
    let mut lines = vec![
        ("name", secret.name.to_string()),
        ("id", secret.id.to_string()),
        ("masked", secret.masked_value.clone()),
        ("size", size.to_owned()),
        ("version", detail.version.to_string()),
        ("created", secret.created_at.to_string()),
        ("updated", secret.updated_at.to_string()),
        ("last used", detail.last_used_at.map_or("never".to_owned(), |time| time.to_string())),
    ];
    lines.extend(secret.provider.as_ref().map(|provider| ("provider", provider.to_string())));
    lines.extend(detail.expires_at.map(|time| ("expires", time.to_string())));
    lines.extend(detail.note.as_ref().map(|note| ("note", note.as_str().to_owned())));
    lines.iter().map(|(title, text)| format!("{title:<10} {}\n", output::printable(text))).collect()
}
