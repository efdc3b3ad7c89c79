//! JSON Schemas of the types that serde's attributes do not describe, and what holds between fields. Compiled for the
//! tests that write the API's description, and for them alone.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::item::field::{Attributes, ItemValue};
use crate::{SecretName, SecretValue, Selector, SensitiveString, Timestamp};

impl JsonSchema for SensitiveString {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SensitiveString".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "password" })
    }
}

impl JsonSchema for SecretValue {
    fn schema_name() -> Cow<'static, str> {
        "SecretValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A secret's value: 1–65,536 bytes of UTF-8 without NUL, kept byte for byte.",
            "type": "string",
            "format": "password",
            "minLength": 1,
            // In characters; the limit itself is in bytes.
            "maxLength": Self::MAX,
            "pattern": r"^[^\u0000]*$",
        })
    }
}

impl JsonSchema for ItemValue {
    fn schema_name() -> Cow<'static, str> {
        "ItemValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An item's value: 0–65,536 bytes of any kind, in base64 with padding.",
            "type": "string",
            "format": "password",
            "contentEncoding": "base64",
            "maxLength": Self::MAX.div_ceil(3) * 4,
            "pattern": r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)?$",
        })
    }
}

impl JsonSchema for Attributes {
    fn schema_name() -> Cow<'static, str> {
        "Attributes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // In characters; the limits themselves are in bytes.
        let text = json!({ "type": "string", "maxLength": Self::MAX_TEXT, "pattern": r"^[^\u0000]*$" });
        json_schema!({
            "description": "What an item is found by: pairs of strings, 1,024 bytes at most each, without NUL.",
            "type": "object",
            "maxProperties": Self::MAX,
            "propertyNames": text,
            "additionalProperties": text,
        })
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A point in time, RFC 3339. Answers are in UTC and end in `Z`; requests may have any offset.",
            "type": "string",
            "format": "date-time",
            "examples": ["2026-04-15T12:00:00Z"],
        })
    }
}

impl JsonSchema for Selector {
    fn schema_name() -> Cow<'static, str> {
        "Selector".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let id = json!({ "description": "The secret with this id.", "type": "string", "format": "uuid" });
        let name = generator.subschema_for::<SecretName>();
        // What matches only itself is a name, and must be one.
        let glob = json!({
            "description": "The secrets whose names match.",
            "type": "string",
            "pattern": r"^([A-Za-z0-9_]*([*?]|\[[!^]?[A-Za-z0-9_-]+\]))+[A-Za-z0-9_]*$",
            "minLength": 1,
            "maxLength": 255,
        });
        json_schema!({
            "description": "One secret by its id or name, or all whose names match.",
            "anyOf": [id, name, glob],
        })
    }
}

/// What says which key is meant, as strings …
const KEYS: [&str; 3] = ["passphrase", "key_file", "key_provider"];
/// … and by being true.
const FLAG: &str = "credential";

/// Exactly one of the keys.
pub(crate) fn one_key(schema: &mut Schema) {
    bound(schema, 1_024);
    schema.insert("oneOf".to_owned(), alternatives(&KEYS).into());
}

/// Exactly one of the keys, or the recovery key.
pub(crate) fn one_key_or_recovery(schema: &mut Schema) {
    // Not limited: a passphrase that is too long is a wrong one.
    bound(schema, 0);
    let [a, b, c] = KEYS;
    schema.insert("oneOf".to_owned(), alternatives(&[a, b, c, "recovery_key"]).into());
}

/// Exactly one of the keys, or a recovery key that is to be made.
pub(crate) fn one_key_or_fresh(schema: &mut Schema) {
    bound(schema, 1_024);
    let mut alternatives = alternatives(&KEYS);
    for alternative in &mut alternatives {
        set(alternative, &["properties", "recovery"], json!({ "const": false }));
    }
    let mut fresh = json!({ "required": ["recovery"], "properties": { "recovery": { "const": true } } });
    for key in KEYS.into_iter().chain([FLAG]) {
        set(&mut fresh, &["properties", key], json!(false));
    }
    alternatives.push(fresh);
    schema.insert("oneOf".to_owned(), alternatives.into());
}

/// Exactly one of the proofs.
pub(crate) fn one_proof(schema: &mut Schema) {
    let other = |key| if key == "passphrase" { "recovery_key" } else { "passphrase" };
    let alternatives = ["passphrase", "recovery_key"].map(|key| {
        json!({ "required": [key], "properties": { key: { "type": "string" }, other(key): { "type": "null" } } })
    });
    schema.insert("oneOf".to_owned(), alternatives.to_vec().into());
}

/// For each key the case that it is there and no other is: absent, null or false.
fn alternatives(keys: &[&str]) -> Vec<Value> {
    let all = || keys.iter().copied().chain([FLAG]);
    let there = |key| if key == FLAG { json!({ "const": true }) } else { json!({ "type": "string" }) };
    let not_there = |key| if key == FLAG { json!({ "const": false }) } else { json!({ "type": "null" }) };
    all()
        .map(|chosen| {
            let fields =
                all().map(|key| (key.to_owned(), if key == chosen { there(key) } else { not_there(key) }));
            json!({ "required": [chosen], "properties": fields.collect::<serde_json::Map<_, _>>() })
        })
        .collect()
}

/// Bounds that the fields' types do not have.
fn bound(schema: &mut Schema, passphrase: usize) {
    let Some(properties) = schema.get_mut("properties") else { return };
    if passphrase > 0 {
        set(properties, &["passphrase", "minLength"], json!(1));
        set(properties, &["passphrase", "maxLength"], json!(passphrase));
    }
    set(properties, &["key_file", "pattern"], json!("^/"));
}

/// Sets what is at this path of objects; the last step may be new.
fn set(target: &mut Value, path: &[&str], value: Value) {
    let Some((last, path)) = path.split_last() else { return };
    let place =
        path.iter().try_fold(target, |place, step| place.get_mut(step)).and_then(Value::as_object_mut);
    if let Some(place) = place {
        place.insert((*last).to_owned(), value);
    }
}
