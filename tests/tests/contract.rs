//! The API's seven operations on secrets, and reveal, as any HTTP client sees them.

use std::collections::BTreeSet;

use http_body_util::{BodyExt, Full};
use hyperlocal::{UnixClientExt, UnixConnector, Uri};
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

/// 40 characters, so that the mask shows six and three.
const LONG: &str = "sk-proj-AbCdEfGhIjKlMnOpQrStUvWxYz012789";

/// The answer with ids and times replaced by their kind, after checking that they are of it.
fn normalised(mut answer: Value) -> Value {
    match &mut answer {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                match name.as_str() {
                    "id" => *field = check(field, is_id, "<id>"),
                    "created_at" | "updated_at" => *field = check(field, is_time, "<time>"),
                    _ => *field = normalised(field.take()),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = normalised(item.take())),
        _ => {}
    }
    answer
}

fn check(field: &Value, is_kind: fn(&str) -> bool, kind: &str) -> Value {
    assert!(field.as_str().is_some_and(is_kind), "{field} is no {kind}");
    json!(kind)
}

fn is_id(text: &str) -> bool {
    text.len() == 36
        && text.char_indices().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        })
}

/// `2026-04-15T12:00:00Z`, with or without a fraction.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    text.ends_with('Z')
        && text.len() >= 20
        && [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')].iter().all(|&(at, c)| bytes[at] == c)
}

fn id(secret: &Value) -> String {
    secret["id"].as_str().unwrap().to_owned()
}

fn secret(name: &str, provider: Value, mask: &str) -> Value {
    json!({
        "id": "<id>", "name": name, "provider": provider, "masked_value": mask,
        "created_at": "<time>", "updated_at": "<time>",
    })
}

#[test]
fn list_is_empty_then_ordered_by_name() {
    let env = Env::unlocked(programs!());
    assert_eq!(env.get("/user/secrets").expect(200), json!({ "secrets": [], "total": 0 }));
    env.store("ZED", LONG);
    env.post("/user/secrets", &json!({ "name": "openai_api_key", "value": LONG, "provider": "openai" }))
        .expect(201);
    assert_eq!(
        normalised(env.get("/user/secrets").expect(200)),
        json!({
            "secrets": [
                secret("OPENAI_API_KEY", json!("openai"), "sk-pro••••789"),
                secret("ZED", Value::Null, "sk-pro••••789"),
            ],
            "total": 2,
        })
    );
}

#[test]
fn list_filters_by_provider_and_glob() {
    let env = Env::unlocked(programs!());
    for (name, provider) in [("AWS_ID", "aws"), ("AWS_KEY", "aws"), ("GH", "github")] {
        env.post("/user/secrets", &json!({ "name": name, "value": "v", "provider": provider })).expect(201);
    }
    let names = |query: &str| -> Vec<String> {
        let list = env.get(&format!("/user/secrets{query}")).expect(200);
        let names: Vec<String> = list["secrets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(list["total"], names.len());
        names
    };
    assert_eq!(names("?provider=aws"), ["AWS_ID", "AWS_KEY"]);
    assert_eq!(names("?name=aws_k*"), ["AWS_KEY"]);
    assert_eq!(names("?name=G?&provider=github"), ["GH"]);
    assert_eq!(names("?provider=none"), [""; 0]);
    // Names beside those that begin as the glob does.
    for name in ["AWS", "AWS_KEY_2", "AWT", "AVX"] {
        env.store(name, "v");
    }
    assert_eq!(names("?name=aws*"), ["AWS", "AWS_ID", "AWS_KEY", "AWS_KEY_2"]);
    assert_eq!(names("?name=aws"), ["AWS"]);
    assert_eq!(names("?name=aw[st]"), ["AWS", "AWT"]);
    assert_eq!(names("?name=*_key"), ["AWS_KEY"]);
    assert_eq!(names("?name=aws_k?y*&provider=aws"), ["AWS_KEY"]);
    assert_eq!(names("?name=aws_key_"), [""; 0]);
}

#[test]
fn the_full_view_adds_five_fields_and_no_value() {
    let env = Env::unlocked(programs!());
    env.store("A", LONG);
    let list = env.get("/user/secrets?view=full").expect(200);
    let secret = &list["secrets"][0];
    let fields: BTreeSet<&str> = secret.as_object().unwrap().keys().map(String::as_str).collect();
    let expected: BTreeSet<&str> = [
        "id",
        "name",
        "provider",
        "masked_value",
        "created_at",
        "updated_at",
        "version",
        "last_used_at",
        "expires_at",
        "note",
        "size_class",
        "value_changed_at",
    ]
    .into();
    assert_eq!(fields, expected);
    assert_eq!(secret["version"], 1);
    assert_eq!((&secret["last_used_at"], &secret["size_class"]), (&Value::Null, &json!("small")));
}

#[test]
fn create_answers_201_with_location_and_an_upper_case_name() {
    let env = Env::unlocked(programs!());
    let answer = env.post("/user/secrets", &json!({ "name": "my_key", "value": LONG, "provider": null }));
    let created = answer.expect(201);
    assert_eq!(normalised(created.clone()), secret("MY_KEY", Value::Null, "sk-pro••••789"));
    assert_eq!(created["created_at"], created["updated_at"]);
    let location = answer.header("location").unwrap().to_owned();
    assert_eq!(location, format!("/api/v1/user/secrets/{}", id(&created)));
    assert_eq!(env.get(location.strip_prefix("/api/v1").unwrap()).expect(200), created);
}

#[test]
fn ids_are_read_in_either_case() {
    let env = Env::unlocked(programs!());
    let created = env.store("A", LONG);
    for id in [id(&created).to_uppercase(), id(&created).to_lowercase()] {
        assert_eq!(env.get(&format!("/user/secrets/{id}")).expect(200), created);
    }
}

#[test]
fn etags_give_304_until_something_changes() {
    let env = Env::unlocked(programs!());
    let created = env.store("A", LONG);
    let one = format!("/user/secrets/{}", id(&created));
    for path in ["/user/secrets", one.as_str()] {
        let tag = env.get(path).header("etag").unwrap().to_owned();
        let same = env.request("GET", path).header("If-None-Match", &tag).send();
        assert_eq!(
            (same.status, same.body.len(), same.header("etag")),
            (304, 0, Some(tag.as_str())),
            "{path}"
        );
        env.request("GET", path).header("If-None-Match", "\"other\"").send().expect(200);
        env.request("PUT", &one).json(&json!({ "value": format!("{LONG}-{path}") })).send().expect(200);
        let changed = env.request("GET", path).header("If-None-Match", &tag).send();
        changed.expect(200);
        assert_ne!(changed.header("etag"), Some(tag.as_str()), "{path}");
    }
}

#[test]
fn a_write_in_full_warns_of_a_name_that_means_something() {
    let env = Env::unlocked(programs!());
    let kinds = |answer: &Value| -> Vec<String> {
        let warnings = answer["warnings"].as_array().cloned().unwrap_or_default();
        assert!(warnings.iter().all(|warning| warning["msg"].is_string()));
        warnings.iter().map(|warning| warning["type"].as_str().unwrap().to_owned()).collect()
    };
    let body = |name: &str| json!({ "name": name, "value": LONG });
    let path = "/user/secrets?view=full";
    let created = env.post(path, &body("PATH")).expect(201);
    assert_eq!(kinds(&created), ["executed", "steering"]);
    assert_eq!(created.as_object().unwrap().len(), 13);
    assert!(!created.to_string().contains(LONG));
    // Six fields without being asked, and nothing to warn of in a plain name.
    assert_eq!(env.post("/user/secrets", &body("LD_PRELOAD")).expect(201).as_object().unwrap().len(), 6);
    assert_eq!(env.post(path, &body("A")).expect(201).as_object().unwrap().len(), 12);
    let preset = env.post("/user/secrets/preset?view=full", &json!({ "provider": "openai", "value": LONG }));
    assert_eq!(preset.expect(201).as_object().unwrap().len(), 12);

    let one = format!("/user/secrets/{}", id(&created));
    let ask =
        |method: &str, path: &str, body: &Value| env.request(method, path).json(body).send().expect(200);
    for (method, path, body) in [
        ("PUT", one.clone(), json!({ "value": "b" })),
        ("PATCH", one.clone(), json!({ "name": "BASH_ENV" })),
        ("POST", format!("{one}/rollback"), json!({ "version": 1 })),
    ] {
        let plain = ask(method, &path, &body);
        assert!(plain.get("warnings").is_none(), "{plain}");
        assert_eq!(plain.as_object().unwrap().len(), if method == "PATCH" { 12 } else { 6 }, "{plain}");
        let full = ask(method, &format!("{path}?view=full"), &body);
        assert_eq!(kinds(&full), ["executed", "steering"], "{method}");
        assert_eq!(
            ask(method, &format!("{path}?view=basic"), &body).as_object().unwrap().len(),
            6,
            "{method}"
        );
    }
    for view in ["?view=full", ""] {
        assert_eq!(env.request("DELETE", &one).send().status, 204);
        let back = ask("POST", &format!("{one}/restore{view}"), &json!({}));
        assert_eq!(kinds(&back).len(), if view.is_empty() { 0 } else { 2 }, "{back}");
    }
    // Reading warns of nothing.
    assert!(env.get(&format!("{one}?view=full")).expect(200).get("warnings").is_none());
    env.post("/user/secrets?view=all", &body("B")).expect_invalid(&json!(["query", "view"]), "enum");
}

#[test]
fn a_reveal_leaves_the_list_as_the_caller_has_it() {
    let env = Env::unlocked(programs!());
    let created = env.store("A", LONG);
    let tag = env.get("/user/secrets").header("etag").unwrap().to_owned();
    let have = || env.request("GET", "/user/secrets").header("If-None-Match", &tag).send().status;
    assert_eq!(env.value("A"), LONG);
    let full = format!("/user/secrets/{}?view=full", id(&created));
    assert!(env.get(&full).expect(200)["last_used_at"].is_string());
    assert_eq!(have(), 304);
    env.request("PATCH", &format!("/user/secrets/{}", id(&created)))
        .json(&json!({ "name": "B" }))
        .send()
        .expect(200);
    assert_eq!(have(), 200);
}

#[test]
fn update_keeps_id_name_and_creation() {
    let env = Env::unlocked(programs!());
    let created = env.store("A", LONG);
    let path = format!("/user/secrets/{}", id(&created));
    let updated = env.request("PUT", &path).json(&json!({ "value": "another-value" })).send().expect(200);
    assert_eq!(normalised(updated.clone()), secret("A", Value::Null, "an••••ue"));
    for field in ["id", "created_at"] {
        assert_eq!(updated[field], created[field]);
    }
    assert_eq!(env.value("A"), "another-value");
}

#[test]
fn delete_answers_204_and_frees_the_name() {
    let env = Env::unlocked(programs!());
    let created = env.store("A", LONG);
    let path = format!("/user/secrets/{}", id(&created));
    let deleted = env.request("DELETE", &path).send();
    assert_eq!((deleted.status, deleted.body.as_slice()), (204, b"".as_slice()));
    env.get(&path).expect_error(404, "not_found_error");
    env.request("DELETE", &path).send().expect_error(404, "not_found_error");
    env.request("PUT", &path).json(&json!({ "value": "x" })).send().expect_error(404, "not_found_error");
    assert_eq!(env.get("/user/secrets").expect(200)["total"], 0);
    assert_ne!(id(&env.store("A", "again")), id(&created));
    assert_eq!(env.value("A"), "again");
}

#[test]
fn if_match_refuses_a_stale_change() {
    let env = Env::unlocked(programs!());
    let path = format!("/user/secrets/{}", id(&env.store("A", LONG)));
    let put = |version: &str, value: &str| {
        env.request("PUT", &path).header("If-Match", version).json(&json!({ "value": value })).send()
    };
    put("\"1\"", "second").expect(200);
    put("\"1\"", "third").expect_error(409, "conflict_error");
    env.request("DELETE", &path).header("If-Match", "\"1\"").send().expect_error(409, "conflict_error");
    assert_eq!(env.value("A"), "second");
    assert_eq!(env.request("DELETE", &path).header("If-Match", "\"2\"").send().status, 204);
}

#[test]
fn a_taken_name_is_409_in_any_case() {
    let env = Env::unlocked(programs!());
    env.store("OPENAI_API_KEY", "first");
    for name in ["OPENAI_API_KEY", "openai_api_key"] {
        env.post("/user/secrets", &json!({ "name": name, "value": "second" }))
            .expect_error(409, "already_exists_error");
    }
    env.post("/user/secrets/preset", &json!({ "provider": "openai", "value": "third" }))
        .expect_error(409, "already_exists_error");
    assert_eq!(env.value("OPENAI_API_KEY"), "first");
}

#[test]
fn presets_name_a_variable_and_whether_it_is_configured() {
    let env = Env::unlocked(programs!());
    let presets = || -> Vec<(String, String, bool)> {
        let answer = env.get("/user/secrets/presets").expect(200);
        assert_eq!(answer.as_object().unwrap().len(), 1);
        let text = |field: &Value| field.as_str().unwrap().to_owned();
        answer["presets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|preset| {
                assert_eq!(preset.as_object().unwrap().len(), 3, "{preset}");
                (
                    text(&preset["provider"]),
                    text(&preset["env_var_name"]),
                    preset["configured"].as_bool().unwrap(),
                )
            })
            .collect()
    };
    let before = presets();
    for (provider, variable) in [
        ("openai", "OPENAI_API_KEY"),
        ("anthropic", "ANTHROPIC_API_KEY"),
        ("github", "GITHUB_TOKEN"),
        ("tinker", "TINKER_API_KEY"),
    ] {
        assert!(before.contains(&(provider.to_owned(), variable.to_owned(), false)), "{provider}");
    }
    let providers: Vec<&String> = before.iter().map(|(provider, ..)| provider).collect();
    assert!(providers.is_sorted(), "{providers:?}");

    let answer = env.post("/user/secrets/preset", &json!({ "provider": "github", "value": LONG }));
    let created = answer.expect(201);
    assert_eq!(normalised(created.clone()), secret("GITHUB_TOKEN", json!("github"), "sk-pro••••789"));
    let location = format!("/api/v1/user/secrets/{}", id(&created));
    assert_eq!(answer.header("location"), Some(location.as_str()));
    // A secret counts by its name, no matter who created it.
    env.store("TINKER_API_KEY", "x");
    for (provider, _, configured) in presets() {
        assert_eq!(configured, ["github", "tinker"].contains(&provider.as_str()), "{provider}");
    }
    env.post("/user/secrets/preset", &json!({ "provider": "nobody", "value": "x" }))
        .expect_error(422, "validation_error");
}

#[test]
fn masks_tell_neither_length_nor_anything_unprintable() {
    let env = Env::unlocked(programs!());
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIH\n-----END PRIVATE KEY-----\n";
    let crabs = "🦀".repeat(24);
    let families = "👩\u{200d}👧".repeat(8);
    let cases = [
        ("x", "••••"),
        ("12345678901", "••••"),
        ("123456789012", "12••••12"),
        ("12345678901234567890123", "12••••23"),
        ("123456789012345678901234", "123456••••234"),
        (LONG, "sk-pro••••789"),
        (pem, "-----B••••--\u{fffd}"),
        (crabs.as_str(), "🦀🦀🦀🦀🦀🦀••••🦀🦀🦀"),
        (families.as_str(), "👩\u{fffd}👧👩\u{fffd}👧••••👩\u{fffd}👧"),
        ("\u{202e}gnirts-idib-a-si-siht-won\u{2066}", "\u{fffd}gnirt••••on\u{fffd}"),
        ("\u{1b}[31mred-and-bold-and-loud\u{1b}[0m", "\u{fffd}[31mr••••[0m"),
        ("a\tb\u{2028}cdefghijk\r\n", "a\u{fffd}••••\u{fffd}\u{fffd}"),
    ];
    for (index, (value, mask)) in cases.iter().enumerate() {
        let name = format!("M{index}");
        assert_eq!(env.store(&name, value)["masked_value"], *mask, "{value:?}");
        assert_eq!(env.value(&name), *value);
    }
    let long = "ab".repeat(2_000);
    assert_eq!(env.store("LONG", &long)["masked_value"], "ababab••••bab");
}

#[test]
fn values_are_kept_byte_for_byte() {
    let env = Env::unlocked(programs!());
    let largest = "é".repeat(32_768);
    for (index, value) in [
        " leading and trailing ",
        "trailing newline\n",
        "\r\n\r\n",
        "$2a$10$N9qo8uLOickgx2ZMRZoMye",
        "`$(id)` \"quoted\" \\n 'single'",
        "\u{feff}bom 🦀 \u{0301}",
        "{\"json\":\"\\u0041\"}",
        largest.as_str(),
    ]
    .iter()
    .enumerate()
    {
        let name = format!("V{index}");
        env.store(&name, value);
        assert_eq!(env.value(&name), *value);
    }
}

#[test]
fn a_client_of_the_api_may_send_its_key_in_x_api_key() {
    let env = Env::unlocked(programs!());
    env.store("A", LONG);
    let answer = env.anonymous("GET", "/user/secrets").header("X-API-Key", &env.token()).send();
    assert_eq!(answer.expect(200)["total"], 1);
    // The same token twice over is no contradiction.
    let answer = env.request("GET", "/user/secrets").header("X-API-Key", &env.token()).send();
    assert_eq!(answer.expect(200)["total"], 1);
}

#[test]
fn curl_lists_over_the_socket() {
    let env = Env::unlocked(programs!());
    env.store("A", LONG);
    let header = env.private_file("header", format!("Authorization: Bearer {}\n", env.token()));
    let output = env.curl([
        "--fail-with-body",
        "-H",
        &format!("@{}", header.display()),
        "http://localhost/api/v1/user/secrets",
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(list["secrets"][0]["masked_value"], "sk-pro••••789");
}

#[test]
fn a_client_that_exists_already_works_unchanged() {
    let env = Env::unlocked(programs!());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client: hyper_util::client::legacy::Client<UnixConnector, Full<bytes::Bytes>> =
            hyper_util::client::legacy::Client::unix();
        let uri: hyper::Uri = Uri::new(env.socket(), "/api/v1/user/secrets").into();
        let request = |method: &str, body: String| {
            hyper::Request::builder()
                .method(method)
                // hyperlocal writes the socket's path, in hex, as the host.
                .header("host", "localhost")
                .header("authorization", format!("Bearer {}", env.token()))
                .header("content-type", "application/json")
                .uri(uri.clone())
                .body(Full::from(body))
                .unwrap()
        };
        let body = json!({ "name": "A", "value": LONG, "provider": "openai" }).to_string();
        let created = client.request(request("POST", body)).await.unwrap();
        assert_eq!(created.status(), 201);
        let list = client.request(request("GET", String::new())).await.unwrap();
        assert_eq!(list.status(), 200);
        let bytes = list.into_body().collect().await.unwrap().to_bytes();
        let list: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(list["secrets"][0]["masked_value"], "sk-pro••••789");
    });
}

#[test]
fn reveal_answers_names_ids_and_globs_once_each_in_order() {
    let env = Env::unlocked(programs!());
    let a = env.store("A", "value of a");
    let b = env.store("B_1", "value of b1");
    let b2 = env.store("B_2", "value of b2");
    let answer = env.post(
        "/user/secrets/reveal",
        &json!({ "secrets": [id(&b2).to_uppercase(), "a", "b_*", "A"], "purpose": "test", "command": "sh", "reason": "to see" }),
    );
    assert_eq!(
        answer.expect(200),
        json!({ "secrets": [
            { "id": id(&b2), "name": "B_2", "value": "value of b2" },
            { "id": id(&a), "name": "A", "value": "value of a" },
            { "id": id(&b), "name": "B_1", "value": "value of b1" },
        ] })
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

#[test]
fn a_reveal_gives_everything_or_nothing_and_names_what_is_missing() {
    let env = Env::unlocked(programs!());
    env.store("A", "value-of-a-that-must-not-come");
    let nobody = "00000000-0000-4000-8000-000000000000";
    let answer = env.post(
        "/user/secrets/reveal",
        &json!({ "secrets": ["NOPE", "A", "NEITHER", nobody], "purpose": "test" }),
    );
    let body = answer.expect_error(404, "not_found_error");
    let places: Vec<&Value> = body["errors"].as_array().unwrap().iter().map(|error| &error["loc"]).collect();
    assert_eq!(
        places,
        [&json!(["body", "secrets", 0]), &json!(["body", "secrets", 2]), &json!(["body", "secrets", 3])]
    );
    assert!(body["errors"].as_array().unwrap().iter().all(|error| error["type"] == "missing"));
    assert!(!answer.text().contains("value-of-a") && !answer.text().contains("NOPE"));
}

#[test]
fn reveals_are_in_the_audit_log_with_purpose_and_names() {
    let env = Env::unlocked(programs!());
    env.store("A", "x");
    env.post(
        "/user/secrets/reveal",
        &json!({ "secrets": ["A"], "purpose": "run", "command": "npm", "reason": "release" }),
    )
    .expect(200);
    let log = env.get("/audit").expect(200);
    let entries = log["entries"].as_array().unwrap();
    let sequence: Vec<u64> = entries.iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequence, (1..=entries.len() as u64).collect::<Vec<_>>());
    let last = entries.last().unwrap();
    for (field, expected) in [
        ("action", json!("reveal")),
        ("names", json!(["A"])),
        ("purpose", json!("run")),
        ("command", json!("npm")),
        ("reason", json!("release")),
        ("outcome", json!("ok")),
    ] {
        assert_eq!(last[field], expected, "{last}");
    }
    assert_eq!(last["caller"]["token"], "owner");
    assert_eq!(last["caller"]["pid"], std::process::id());
    let actions: Vec<&str> = entries.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["init", "create", "reveal"]);
}

#[test]
fn no_get_returns_a_value() {
    let env = Env::unlocked(programs!());
    let value = "canary-value-that-no-get-may-return";
    let one = format!("/user/secrets/{}", id(&env.store("A", value)));
    env.value("A");
    for path in [
        "/user/secrets",
        "/user/secrets?view=full",
        "/user/secrets?name=A",
        one.as_str(),
        &format!("{one}?view=full"),
        "/user/secrets/presets",
        "/user/secrets/reveal",
        "/vault",
        "/audit",
        "/openapi.json",
    ] {
        let answer = env.get(path);
        assert_eq!(secretsd_tests::canary::find(&answer.bytes, value), None, "{path}");
    }
}

#[test]
fn patch_changes_metadata_and_keeps_the_value() {
    let env = Env::unlocked(programs!());
    let created = env.store("A", LONG);
    let path = format!("/user/secrets/{}", id(&created));
    let patch = |body: Value| env.request("PATCH", &path).json(&body).send();
    let renamed = patch(json!({ "name": "b", "provider": "openai" })).expect(200);
    assert_eq!((&renamed["name"], &renamed["provider"]), (&json!("B"), &json!("openai")));
    let cleared = patch(json!({ "provider": null })).expect(200);
    assert_eq!((&cleared["name"], &cleared["provider"]), (&json!("B"), &Value::Null));
    assert_eq!(env.value("B"), LONG);
    env.store("C", "x");
    patch(json!({ "name": "C" })).expect_error(409, "already_exists_error");
}

#[test]
fn the_vault_tells_its_state() {
    let env = Env::started(programs!());
    assert_eq!(env.state(), "uninitialized");
    let recovery = env.init();
    let groups: Vec<&str> = recovery.split('-').collect();
    assert_eq!(groups.len(), 14, "14 groups");
    assert!(groups.iter().all(|group| group.len() == 4 && group.bytes().all(|b| b.is_ascii_alphanumeric())));
    env.store("A", "x");
    let status = env.get("/vault").expect(200);
    assert_eq!(
        (&status["state"], &status["secrets"], &status["keys"]),
        (&json!("unlocked"), &json!(1), &json!(2)),
        "{status}"
    );
    for trigger in ["suspend", "session_lock"] {
        assert!(["live", "off", "unavailable"].contains(&status["auto_lock"][trigger].as_str().unwrap()));
    }
    assert!(status["auto_lock"]["idle_seconds"].is_u64() && status["auto_lock"]["locks_at"].is_string());
    let locked = env.request("POST", "/vault/lock").send().expect(200);
    assert_eq!((&locked["state"], locked.get("secrets")), (&json!("locked"), None));
    assert_eq!(env.state(), "locked");
}

#[test]
fn health_needs_no_token_and_tells_nothing_of_the_vault() {
    let env = Env::unlocked(programs!());
    let answer = secretsd_tests::http::Request::new(&env.socket(), "GET", "/healthz").send();
    assert_eq!(answer.status, 200);
    assert!(!answer.text().contains("unlocked"));
}

/// All of a batch or none of it, with an entry in the log for each.
#[test]
fn many_secrets_are_stored_together_or_not_at_all() {
    let env = Env::unlocked(programs!());
    let path = "/user/secrets/batch";
    let first = env.store("A", "first");
    let two = json!({ "secrets": [
        { "name": "a", "value": "second", "provider": "openai", "note": "not taken", "replace": true },
        { "name": "B", "value": "b", "provider": "github", "note": "user=me" },
    ]});
    let stored = env.post(path, &two).expect(200);
    assert_eq!(stored["total"], 2);
    assert_eq!(
        (&stored["secrets"][0]["id"], &stored["secrets"][0]["provider"]),
        (&first["id"], &Value::Null)
    );
    assert_eq!((env.value("A"), env.value("B")), ("second".to_owned(), "b".to_owned()));
    let full = env.get("/user/secrets?view=full").expect(200);
    assert_eq!((&full["secrets"][0]["note"], &full["secrets"][1]["note"]), (&Value::Null, &json!("user=me")));
    assert!(!stored.to_string().contains("second"));
    let log = env.ctl(["audit", "--json"]).expect(0);
    for (action, name) in [("update", "A"), ("create", "B")] {
        let is_it = |line: &&str| {
            let entry: Value = serde_json::from_str(line).unwrap();
            entry["action"] == action && entry["names"] == json!([name])
        };
        assert_eq!(log.lines().filter(is_it).count(), 1, "{action} {name}: {log}");
    }

    // A name that is taken and one that comes twice: each is named, and nothing is stored.
    let taken = json!({ "secrets": [
        { "name": "C", "value": "canary" }, { "name": "A", "value": "canary" }, { "name": "c", "value": "canary" },
    ]});
    let refused = env.post(path, &taken).expect_error(409, "already_exists_error");
    let places: Vec<&Value> =
        refused["errors"].as_array().unwrap().iter().map(|error| &error["loc"]).collect();
    assert_eq!(places, [&json!(["body", "secrets", 1]), &json!(["body", "secrets", 2])]);
    for (secrets, loc) in [
        (json!([]), json!(["body", "secrets"])),
        (
            json!([{ "name": "C", "value": "c" }, { "name": "sk-x", "value": "canary" }]),
            json!(["body", "secrets", 1, "name"]),
        ),
        (
            json!([{ "name": "C", "value": "c", "replace": "canary" }]),
            json!(["body", "secrets", 0, "replace"]),
        ),
        (json!([{ "name": "C", "value": "c", "note": "canary\n" }]), json!(["body", "secrets", 0, "note"])),
        (json!([{ "name": "C", "value": "c", "more": 1 }]), json!(["body", "secrets", 0])),
        (json!(vec![json!({ "name": "C", "value": "c" }); 5_001]), json!(["body", "secrets"])),
    ] {
        let refused = env.post(path, &json!({ "secrets": secrets })).expect_error(422, "validation_error");
        assert_eq!(refused["errors"][0]["loc"], loc, "{refused}");
        assert!(!refused.to_string().contains("canary"), "{refused}");
    }
    // A token that sees some names alone stores nothing beside one that it does not see.
    let token = env.ctl(["token", "create", "--name", "t", "--scope", "write", "--secret", "T_*"]).expect(0);
    let mixed = json!({ "secrets": [{ "name": "T_A", "value": "x" }, { "name": "D", "value": "x" }] });
    let request = env.anonymous("POST", path).header("Authorization", &format!("Bearer {}", token.trim()));
    request.json(&mixed).send().expect_error(403, "forbidden_error");
    assert_eq!(env.get("/user/secrets").expect(200)["total"], 2);
}
