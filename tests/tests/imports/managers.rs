//! Exports of password managers, by their published forms: 1Password 8 (1PUX, attributes version 3, and CSV) and Bitwarden
//! (JSON and CSV), as they were documented in November 2026.

use std::path::Path;

use secretsd_tests::{Env, programs};
use serde_json::json;

use crate::{home_file, names, note};

fn of_1password() -> String {
    let item = |title: &str, category: &str, details: serde_json::Value| {
        json!({"uuid": title, "favIndex": 0, "createdAt": 1, "updatedAt": 1, "state": "active",
            "categoryUuid": category, "details": details,
            "overview": {"subtitle": "", "title": title, "url": "https://example.com", "urls": [], "tags": []}})
    };
    let field = |title: &str, value: serde_json::Value| json!({"title": title, "id": title, "value": value, "guarded": false, "multiline": false});
    let login = json!({"loginFields": [
        {"value": "me", "id": "", "name": "username", "fieldType": "T", "designation": "username"},
        {"value": "p\"w,1", "id": "", "name": "password", "fieldType": "P", "designation": "password"}],
        "notesPlain": "", "passwordHistory": [{"value": "canary-old", "time": 1}],
        "sections": [{"title": "More", "name": "more", "fields": [field("API key", json!({"concealed": "k1"}))]}]});
    let credential = json!({"loginFields": [], "sections": [{"title": "", "name": "", "fields": [
        field("username", json!({"string": "me"})), field("credential", json!({"concealed": "sk-cred"}))]}]});
    let items = [item("GitHub", "001", login), item("Open AI", "112", credential)];
    json!({"accounts": [{"attrs": {"accountName": "x"}, "vaults": [{"attrs": {"name": "v"}, "items": items}]}]})
        .to_string()
}

#[test]
fn a_1pux_export_gives_its_concealed_fields() {
    let env = Env::unlocked(programs!());
    let output = env.ctl(["import", "-", "--format", "1password"]).stdin(of_1password()).run();
    output.assert_code(0);
    assert_eq!(names(&env), ["GITHUB", "GITHUB_API_KEY", "OPEN_AI"]);
    assert_eq!((env.value("GITHUB"), env.value("OPEN_AI")), ("p\"w,1".to_owned(), "sk-cred".to_owned()));
    assert!(
        output
            .err()
            .contains("left out: fields that are not concealed, such as user names and addresses (1)"),
        "{}",
        output.err()
    );
    // The archive itself is named, with what to do.
    let archive = home_file(&env, "export.1pux", b"PK\x03\x04canary");
    let output = env.ctl(["import", &archive, "--format", "1password"]).run();
    output.assert_code(7);
    assert!(output.err().contains("unzip -p FILE export.data"), "{}", output.err());
}

#[test]
fn csv_of_1password_is_deleted_only_if_nothing_is_left_out() {
    let env = Env::unlocked(programs!());
    let head = "Title,Url,Username,Password,OTPAuth,Favorite,Archived,Tags,Notes\r\n";
    let rows = "GitHub,https://github.com,me,\"p,\"\"w\r\nx\",,false,false,,\r\n";
    let more = format!("{head}{rows}Old,,,canary,,false,true,,\r\n");
    let source = home_file(&env, "1Password.csv", more);
    let output = env.ctl(["import", &source, "--format", "1password", "--delete-source"]).run();
    output.assert_code(2);
    assert!(output.err().contains("holds more than would be imported"), "{}", output.err());
    assert!(names(&env).is_empty() && Path::new(&source).exists());
    let source = home_file(&env, "1Password.csv", format!("\u{feff}{head}{rows}"));
    env.ctl(["import", &source, "--format", "1password", "--delete-source"]).expect(0);
    assert!(!Path::new(&source).exists());
    assert_eq!((env.value("GITHUB"), note(&env, "GITHUB")), ("p,\"w\r\nx".to_owned(), json!("user=me")));
}

#[test]
fn an_export_of_bitwarden_is_read_unless_it_is_encrypted() {
    let env = Env::unlocked(programs!());
    let export = json!({"encrypted": false, "folders": [], "items": [
        {"passwordHistory": null, "revisionDate": "2026-11-27T00:00:00Z", "creationDate": "2026-11-27T00:00:00Z",
         "deletedDate": null, "id": "a", "organizationId": null, "folderId": null, "type": 1, "reprompt": 0,
         "name": "Stripe", "notes": null, "favorite": false, "collectionIds": null,
         "fields": [{"name": "restricted key", "value": "rk_live_x", "type": 1, "linkedId": null}],
         "login": {"uris": [], "username": "me", "password": "pw", "totp": null, "fido2Credentials": []}},
        {"id": "b", "type": 2, "reprompt": 0, "name": "Deploy key", "notes": "l1\nl2", "secureNote": {"type": 0}}]});
    let source = home_file(&env, "bitwarden_export.json", export.to_string());
    // What it is, is said; nothing is guessed.
    let output = env.ctl(["import", &source]).run();
    output.assert_code(7);
    assert!(output.err().contains("say --format bitwarden"), "{}", output.err());
    let output = env.ctl(["import", &source, "--format", "bitwarden", "--dry-run"]).run();
    output.assert_code(0);
    assert!(output.out().contains("STRIPE_RESTRICTED_KEY") && names(&env).is_empty(), "{}", output.out());
    env.ctl(["import", &source, "--format", "bitwarden", "--except", "DEPLOY_*"]).expect(0);
    assert_eq!(names(&env), ["STRIPE", "STRIPE_RESTRICTED_KEY"]);
    assert_eq!(note(&env, "STRIPE"), "user=me");
    let csv = "folder,favorite,type,name,notes,fields,reprompt,login_uri,login_username,login_password,login_totp\n,,login,Other,,,0,,me,pw2,\n";
    env.ctl(["import", "-", "--format", "bitwarden"]).stdin(csv).expect(0);
    assert_eq!(env.value("OTHER"), "pw2");
    let encrypted =
        json!({"encrypted": true, "passwordProtected": true, "salt": "x", "kdfType": 0, "data": "2.canary"});
    let output = env.ctl(["import", "-", "--format", "bitwarden"]).stdin(encrypted.to_string()).run();
    output.assert_code(7);
    assert!(
        output.err().contains("an encrypted export") && !output.err().contains("canary"),
        "{}",
        output.err()
    );
}
