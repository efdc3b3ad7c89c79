//! Exports of Bitwarden and Vaultwarden that are not encrypted (bitwarden.com/help, "Export vault data" and "Condition a
//! Bitwarden .csv or .json", read in November 2026): JSON, and CSV of one person's vault or of an organisation.

use serde::Deserialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::table;
use crate::found::Found;
use crate::name;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Export {
    #[serde(default)]
    encrypted: bool,
    #[serde(default)]
    password_protected: bool,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(rename = "type")]
    kind: u64,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    notes: Option<String>,
    #[serde(default)]
    fields: Option<Vec<Field>>,
    #[serde(default)]
    login: Option<Login>,
    #[serde(default)]
    ssh_key: Option<SshKey>,
}

#[derive(Deserialize)]
struct Field {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    value: Option<Value>,
    #[serde(rename = "type", default)]
    kind: u64,
}

#[derive(Deserialize)]
struct Login {
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    totp: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SshKey {
    #[serde(default)]
    private_key: Option<String>,
}

const LOGIN: u64 = 1;
const NOTE: u64 = 2;
const SSH_KEY: u64 = 5;
const HIDDEN: u64 = 1;
const TEXT: u64 = 0;

/// Why what is encrypted is not read.
const ENCRYPTED: &str = "an encrypted export; export again with the file format .json, not .json (Encrypted)";

/// The secrets of an export.
pub(crate) fn read(text: &str) -> Found {
    if text.trim_start().starts_with('{') { of_json(text) } else { of_csv(text) }
}

fn of_json(text: &str) -> Found {
    let export: Export = match serde_json::from_str(text) {
        Ok(export) => export,
        Err(error) => {
            let reason =
                if error.is_data() { "not of the form of an export of Bitwarden" } else { "not valid JSON" };
            return Found::refused(format!("line {}", error.line().max(1)), reason);
        }
    };
    if export.encrypted || export.password_protected {
        return Found::refused("the file", ENCRYPTED);
    }
    let mut found = Found { whole: true, ..Found::default() };
    let (mut personal, mut notes) = (0, 0);
    for (at, item) in export.items.into_iter().enumerate() {
        let place = format!("item {}", at + 1);
        let title = item.name.unwrap_or_default();
        let named = || name::of([title.as_str()]);
        match item.kind {
            LOGIN => {
                let login = item.login.unwrap_or(Login { username: None, password: None, totp: None });
                let user = filled(login.username).map(|user| format!("user={user}"));
                if let Some(password) = filled(login.password) {
                    found.add_noted(place.clone(), named(), Zeroizing::new(password), user);
                }
                if let Some(code) = filled(login.totp) {
                    found.add(place.clone(), name::of([title.as_str(), "totp"]), Zeroizing::new(code));
                }
                notes += usize::from(filled(item.notes).is_some());
            }
            NOTE => {
                if let Some(note) = filled(item.notes) {
                    found.add(place.clone(), named(), Zeroizing::new(note));
                }
            }
            SSH_KEY => {
                if let Some(key) = item.ssh_key.and_then(|key| filled(key.private_key)) {
                    found.add(place.clone(), named(), Zeroizing::new(key));
                }
            }
            _ => {
                personal += 1;
                continue;
            }
        }
        for field in item.fields.unwrap_or_default() {
            let (Some(Value::String(value)), TEXT | HIDDEN) = (field.value, field.kind) else { continue };
            if !value.is_empty() {
                let label = field.name.unwrap_or_default();
                found.add(place.clone(), name::of([title.as_str(), label.as_str()]), Zeroizing::new(value));
            }
        }
    }
    found.left_out(personal, "personal items, such as cards and identities");
    found.left_out(notes, "notes beside passwords");
    found
}

fn filled(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn of_csv(text: &str) -> Found {
    let table = match table::read(text) {
        Ok(table) => table,
        Err(bad) => return Found::refused(format!("line {}", bad.line), bad.reason),
    };
    let (title, password) = (table.column(&["name"]), table.column(&["login_password"]));
    if title.is_none() || password.is_none() {
        return Found::refused("line 1", "the columns name and login_password are needed");
    }
    let (kind, code) = (table.column(&["type"]), table.column(&["login_totp"]));
    let (user, notes, fields) =
        (table.column(&["login_username"]), table.column(&["notes"]), table.column(&["fields"]));
    let mut found = Found { whole: true, ..Found::default() };
    let mut left = 0;
    for row in &table.rows {
        let (place, title) = (format!("line {}", row.line), row.field(title));
        let own = |text: &str| Zeroizing::new(text.to_owned());
        if !row.field(password).is_empty() {
            let user =
                Some(row.field(user)).filter(|user| !user.is_empty()).map(|user| format!("user={user}"));
            found.add_noted(place.clone(), name::of([title]), own(row.field(password)), user);
        }
        if !row.field(code).is_empty() {
            found.add(place.clone(), name::of([title, "totp"]), own(row.field(code)));
        }
        if row.field(kind) == "note" && !row.field(notes).is_empty() {
            found.add(place.clone(), name::of([title]), own(row.field(notes)));
        } else {
            left += usize::from(!row.field(notes).is_empty());
        }
        for line in row.field(fields).lines().filter(|line| !line.trim().is_empty()) {
            match line.split_once(": ") {
                Some((label, value)) => found.add(place.clone(), name::of([title, label]), own(value)),
                None => {
                    let reason = "a field without a name, or of several lines; export as .json instead";
                    found.fault(place.clone(), name::of([title]), reason);
                }
            }
        }
    }
    found.left_out(left, "notes beside passwords");
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(found: &Found) -> Vec<(&str, &str)> {
        assert_eq!(found.faults, []);
        found.entries.iter().map(|entry| (entry.name.as_str(), entry.value.as_str())).collect()
    }

    #[test]
    fn items_of_json() {
        let text = r#"{"encrypted":false,"folders":[{"id":"f","name":"Work"}],"items":[
          {"id":"1","folderId":"f","type":1,"reprompt":0,"name":"Stripe live","notes":"see wiki","favorite":false,
           "fields":[{"name":"API key","value":"sk_x","type":1,"linkedId":null},{"name":"on","value":"true","type":2},{"name":"id","value":"acct","type":0}],
           "login":{"uris":[{"match":null,"uri":"https://x"}],"username":"me","password":"p","totp":"JBSW"}},
          {"type":2,"name":"Deploy key","notes":"-----BEGIN\nx","secureNote":{"type":0}},
          {"type":3,"name":"Visa","card":{"number":"canary"}},
          {"type":5,"name":"Laptop","sshKey":{"privateKey":"PEM","publicKey":"x","keyFingerprint":"y"}},
          {"type":1,"name":"Empty","login":{"username":null,"password":null,"totp":null}}]}"#;
        let found = read(text);
        assert_eq!(
            pairs(&found),
            [
                ("STRIPE_LIVE", "p"),
                ("STRIPE_LIVE_TOTP", "JBSW"),
                ("STRIPE_LIVE_API_KEY", "sk_x"),
                ("STRIPE_LIVE_ID", "acct"),
                ("DEPLOY_KEY", "-----BEGIN\nx"),
                ("LAPTOP", "PEM"),
            ]
        );
        assert_eq!(found.entries[0].note.as_deref(), Some("user=me"));
        assert!(!found.whole && found.notes.len() == 2);
    }

    #[test]
    fn encrypted_exports_are_refused_by_name() {
        for text in [
            r#"{"encrypted":true,"encKeyValidation_DO_NOT_EDIT":"2.x","folders":[],"items":[{"type":1,"name":"2.canary"}]}"#,
            r#"{"encrypted":true,"passwordProtected":true,"salt":"s","kdfType":0,"data":"2.canary"}"#,
        ] {
            let found = read(text);
            assert!(found.entries.is_empty() && found.faults[0].reason.starts_with("an encrypted export"));
        }
    }

    #[test]
    fn rows_of_csv() {
        let text = "folder,favorite,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp\n,,login,GitHub,,\"token: a: b\nid: 7\",0,https://github.com,me,\"p\"\"w\",\n,,note,Key,\"a\nb\",,0,,,,\n";
        let found = read(text);
        assert_eq!(
            pairs(&found),
            [("GITHUB", "p\"w"), ("GITHUB_TOKEN", "a: b"), ("GITHUB_ID", "7"), ("KEY", "a\nb")]
        );
        assert!(found.whole);
    }
}
