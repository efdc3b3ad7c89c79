//! Exports of 1Password: `export.data` of a 1PUX archive (support.1password.com, "About the 1Password Unencrypted Export
//! format", attributes version 3, read in November 2026), and the CSV that 1Password 8 writes, with the columns Title, Url,
//! Username, Password, OTPAuth, Favorite, Archived, Tags, Notes. The CSV lacks all fields of an item's own.

use serde::Deserialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::table;
use crate::found::Found;
use crate::name;

#[derive(Deserialize)]
struct Data {
    accounts: Vec<Account>,
}

#[derive(Deserialize)]
struct Account {
    #[serde(default)]
    vaults: Vec<Vault>,
}

#[derive(Deserialize)]
struct Vault {
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(default)]
    state: String,
    #[serde(default)]
    category_uuid: String,
    #[serde(default)]
    overview: Overview,
    #[serde(default)]
    details: Details,
}

#[derive(Deserialize, Default)]
struct Overview {
    #[serde(default)]
    title: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Details {
    #[serde(default)]
    login_fields: Vec<LoginField>,
    #[serde(default)]
    notes_plain: Option<String>,
    #[serde(default)]
    sections: Vec<Section>,
    #[serde(default)]
    password: Option<String>,
}

#[derive(Deserialize)]
struct LoginField {
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    designation: Option<String>,
}

#[derive(Deserialize)]
struct Section {
    #[serde(default)]
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    value: Map<String, Value>,
}

/// Items whose text is the secret.
const NOTE: &str = "003";
/// Cards, identities, bank accounts, documents, driver licences, memberships, passports and the like: nothing a program
/// reads from its environment.
const PERSONAL: [&str; 11] = ["002", "004", "006", "101", "103", "104", "105", "106", "107", "108", "111"];

/// The secrets of an export.
pub(crate) fn read(text: &str) -> Found {
    if text.trim_start().starts_with('{') { of_json(text) } else { of_csv(text) }
}

fn of_json(text: &str) -> Found {
    let data: Data = match serde_json::from_str(text) {
        Ok(data) => data,
        Err(error) => {
            let reason =
                if error.is_data() { "not of the form of 1Password's export.data" } else { "not valid JSON" };
            return Found::refused(format!("line {}", error.line().max(1)), reason);
        }
    };
    let mut found = Found { whole: true, ..Found::default() };
    let (mut personal, mut archived, mut plain) = (0, 0, 0);
    let items = data.accounts.into_iter().flat_map(|account| account.vaults).flat_map(|vault| vault.items);
    for (at, item) in items.enumerate() {
        if item.state == "archived" {
            archived += 1;
        } else if PERSONAL.contains(&item.category_uuid.as_str()) {
            personal += 1;
        } else {
            plain += take(item, at + 1, &mut found);
        }
    }
    found.left_out(personal, "personal items, such as cards and identities");
    found.left_out(archived, "archived items");
    found.left_out(plain, "fields that are not concealed, such as user names and addresses");
    found
}

/// Takes an item's secrets, and gives how many other fields it has.
fn take(item: Item, at: usize, found: &mut Found) -> usize {
    let title = item.overview.title.unwrap_or_default();
    let place = format!("item {at}");
    let password = item
        .details
        .login_fields
        .into_iter()
        .filter(|field| field.designation.as_deref() == Some("password"));
    let password =
        password.filter_map(|field| field.value).chain(item.details.password).find(|value| !value.is_empty());
    let mut has_main = password.is_some();
    if let Some(password) = password {
        found.add(place.clone(), name::of([title.as_str()]), Zeroizing::new(password));
    }
    let fields: Vec<Field> = item.details.sections.into_iter().flat_map(|section| section.fields).collect();
    let concealed = fields.iter().filter(|field| field.value.contains_key("concealed")).count();
    let mut plain = 0;
    for field in fields {
        let label = field.title.filter(|title| !title.trim().is_empty()).or(field.id).unwrap_or_default();
        let Some((kind, value)) = field.value.into_iter().next() else { continue };
        let (value, is_alone) = match (kind.as_str(), value) {
            ("concealed", Value::String(value)) => (value, !has_main && concealed == 1),
            ("totp", Value::String(value)) => (value, false),
            ("sshKey", Value::Object(mut key)) => match key.remove("privateKey") {
                Some(Value::String(value)) => (value, !has_main && concealed == 0),
                _ => continue,
            },
            (_, Value::Null) => continue,
            (_, Value::String(value)) if value.is_empty() => continue,
            _ => {
                plain += 1;
                continue;
            }
        };
        if value.is_empty() {
            continue;
        }
        let named =
            if is_alone { name::of([title.as_str()]) } else { name::of([title.as_str(), label.as_str()]) };
        has_main |= is_alone;
        found.add(place.clone(), named, Zeroizing::new(value));
    }
    if let Some(note) = item.details.notes_plain.filter(|note| !note.is_empty()) {
        if item.category_uuid == NOTE {
            found.add(place, name::of([title.as_str()]), Zeroizing::new(note));
        } else {
            plain += 1;
        }
    }
    plain
}

fn of_csv(text: &str) -> Found {
    let table = match table::read(text) {
        Ok(table) => table,
        Err(bad) => return Found::refused(format!("line {}", bad.line), bad.reason),
    };
    let (title, password) = (table.column(&["title"]), table.column(&["password"]));
    if title.is_none() || password.is_none() {
        return Found::refused("line 1", "the columns Title and Password are needed");
    }
    let (code, user, url) =
        (table.column(&["otpauth"]), table.column(&["username"]), table.column(&["url", "website"]));
    let (archived, notes) = (table.column(&["archived"]), table.column(&["notes"]));
    let mut found = Found { whole: true, ..Found::default() };
    let (mut old, mut plain) = (0, 0);
    for row in &table.rows {
        if row.field(archived).eq_ignore_ascii_case("true") {
            old += 1;
            continue;
        }
        let place = format!("line {}", row.line);
        let has_password = !row.field(password).is_empty();
        if has_password {
            let user =
                Some(row.field(user)).filter(|user| !user.is_empty()).map(|user| format!("user={user}"));
            let value = Zeroizing::new(row.field(password).to_owned());
            found.add_noted(place.clone(), name::of([row.field(title)]), value, user);
        }
        if !row.field(code).is_empty() {
            let value = Zeroizing::new(row.field(code).to_owned());
            found.add(place.clone(), name::of([row.field(title), "otp"]), value);
        }
        // What has a text alone is a note, and the text its secret.
        let note = row.field(notes);
        if !note.is_empty() && !has_password && row.field(url).is_empty() {
            found.add(place, name::of([row.field(title)]), Zeroizing::new(note.to_owned()));
        } else {
            plain += usize::from(!note.is_empty());
        }
    }
    found.left_out(old, "archived items");
    found.left_out(plain, "notes beside passwords");
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
    fn items_of_export_data() {
        let text = r#"{"accounts":[{"attrs":{"accountName":"x"},"vaults":[{"attrs":{"name":"v"},"items":[
          {"uuid":"a","state":"active","categoryUuid":"001","overview":{"title":"GitHub (work)","url":"https://github.com"},
           "details":{"loginFields":[{"value":"me","id":"","name":"u","fieldType":"T","designation":"username"},
             {"value":"p\"w","id":"","name":"p","fieldType":"P","designation":"password"}],"notesPlain":"text",
             "sections":[{"title":"","name":"s","fields":[{"title":"recovery","id":"r","value":{"concealed":"rc"},"guarded":false},
               {"title":"one-time password","id":"TOTP_1","value":{"totp":"otpauth://x"}},
               {"title":"born","id":"b","value":{"date":1}}]}]}},
          {"uuid":"b","state":"active","categoryUuid":"112","overview":{"title":"OpenAI"},
           "details":{"sections":[{"title":"","name":"s","fields":[{"title":"username","id":"username","value":{"string":"me"}},
             {"title":"credential","id":"credential","value":{"concealed":"sk-x"}}]}]}},
          {"uuid":"c","state":"active","categoryUuid":"003","overview":{"title":"A note"},"details":{"notesPlain":"line\nline"}},
          {"uuid":"d","state":"active","categoryUuid":"005","overview":{"title":"Wifi"},"details":{"password":"w"}},
          {"uuid":"e","state":"archived","categoryUuid":"005","overview":{"title":"Old"},"details":{"password":"canary"}},
          {"uuid":"f","state":"active","categoryUuid":"002","overview":{"title":"Card"},"details":{"sections":[{"fields":[{"title":"cvv","value":{"concealed":"canary"}}]}]}},
          {"uuid":"g","state":"active","categoryUuid":"114","overview":{"title":"Key"},"details":{"sections":[{"fields":[{"title":"private key","id":"private_key","value":{"sshKey":{"privateKey":"PEM","metadata":{}}}}]}]}}
        ]}]}]}"#;
        let found = read(text);
        assert_eq!(
            pairs(&found),
            [
                ("GITHUB_WORK", "p\"w"),
                ("GITHUB_WORK_RECOVERY", "rc"),
                ("GITHUB_WORK_ONE_TIME_PASSWORD", "otpauth://x"),
                ("OPENAI", "sk-x"),
                ("A_NOTE", "line\nline"),
                ("WIFI", "w"),
                ("KEY", "PEM"),
            ]
        );
        assert!(!found.whole && found.notes.len() == 3, "{:?}", found.notes);
        assert_eq!(read("{\"accounts\":1}").faults[0].reason, "not of the form of 1Password's export.data");
    }

    #[test]
    fn rows_of_csv() {
        let text = "Title,Url,Username,Password,OTPAuth,Favorite,Archived,Tags,Notes\r\nGitHub,https://github.com,me,\"p,\"\"w\",otpauth://x,false,false,,\r\nA note,,,,,false,false,,\"l1\r\nl2\"\r\nOld,,,canary,,false,true,,\r\n";
        let found = read(text);
        assert_eq!(
            pairs(&found),
            [("GITHUB", "p,\"w"), ("GITHUB_OTP", "otpauth://x"), ("A_NOTE", "l1\r\nl2")]
        );
        assert_eq!(found.entries[0].note.as_deref(), Some("user=me"));
        assert!(!found.whole);
        assert_eq!(read("a,b\n1,2\n").faults.len(), 1);
    }
}
