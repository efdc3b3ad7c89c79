//! Which faults in a request are told, and how: bodies, fields, parameters.

use secrets_proto::reveal::RevealRequest;

use super::*;

const SECRETS: &str = "/api/v1/user/secrets";
const ONE: &str = "/api/v1/user/secrets/2489e9ad-2ee2-4e00-8ec9-32d5f69181c0";
const JSON: &str = "Content-Type: application/json\r\n";

/// The faults of an answer, as `loc:type`, in order.
fn faults(reply: &Reply) -> Vec<String> {
    assert_eq!(reply.error(), (422, "validation_error".to_owned()), "{reply:?}");
    let json = reply.json();
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    json["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| {
            assert!(!fault["msg"].as_str().unwrap().is_empty());
            let loc: Vec<String> = fault["loc"].as_array().unwrap().iter().map(text).collect();
            format!("{}:{}", loc.join("."), text(&fault["type"]))
        })
        .collect()
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_malformed_requests() {
    let running = Running::new();
    let nested = format!(r#"{{"a":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
    for (headers, body) in [
        ("", r#"{"name":"A","value":"v"}"#),
        ("Content-Type: text/plain\r\n", r#"{"name":"A","value":"v"}"#),
        ("Content-Type: application/json; charset=latin1\r\n", r#"{"name":"A","value":"v"}"#),
        ("Content-Type: application/jsonx\r\n", "{}"),
        ("Content-Type: application/json\r\nContent-Type: application/json\r\n", "{}"),
        (JSON, ""),
        (JSON, "{"),
        (JSON, r#"{"name":"A""#),
        (JSON, r#"{"name":"A"} x"#),
        (JSON, r#"{"name":"A",}"#),
        (JSON, r#"{'name':'A'}"#),
        (JSON, r#"{"name":"\ud800"}"#),
        (JSON, r#"{"name":"A","name":"A"}"#),
        (JSON, r#"{"name":"A","n\u0061me":"B"}"#),
        (JSON, "{\"name\":\"A\nB\"}"),
        (JSON, &nested),
    ] {
        let reply = running.owner("POST", SECRETS, headers, body).await;
        assert_eq!(reply.error(), (400, "invalid_request_error".to_owned()), "{headers}{body}");
    }
}

#[tokio::test]
async fn json_may_say_its_charset_and_come_in_chunks() {
    let running = Running::new();
    for kind in ["application/json; charset=utf-8", "Application/JSON;charset=\"UTF-8\""] {
        let reply = running.owner("POST", SECRETS, &format!("Content-Type: {kind}\r\n"), "{}").await;
        assert_eq!(reply.status, 422, "{kind}");
    }
    let head = format!(
        "POST {SECRETS} HTTP/1.1\r\nHost: x\r\nX-API-Key: {TOKEN}\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n"
    );
    let reply = running.ask(format!("{head}1\r\n{{\r\n1\r\n}}\r\n0\r\n\r\n")).await;
    assert_eq!(faults(&reply), ["body.name:missing", "body.value:missing"]);
}

#[tokio::test]
async fn every_fault_of_a_body_is_told_at_once() {
    let running = Running::new();
    let long = "x".repeat(256);
    let large = "x".repeat(65_537);
    for (method, path, body, expected) in [
        ("POST", SECRETS, "[]", &["body:model_type"][..]),
        ("POST", SECRETS, "null", &["body:model_type"]),
        ("POST", SECRETS, "1.5", &["body:model_type"]),
        ("POST", SECRETS, r#""x""#, &["body:model_type"]),
        ("POST", SECRETS, "{}", &["body.name:missing", "body.value:missing"]),
        (
            "POST",
            SECRETS,
            r#"{"name":"","value":""}"#,
            &["body.name:string_too_short", "body.value:string_too_short"],
        ),
        (
            "POST",
            SECRETS,
            r#"{"name":null,"value":7,"provider":[]}"#,
            &["body.name:string_type", "body.value:string_type", "body.provider:string_type"],
        ),
        (
            "POST",
            SECRETS,
            r#"{"name":"A B","value":"a\u0000b","provider":"Open AI"}"#,
            &[
                "body.name:string_pattern_mismatch",
                "body.value:string_pattern_mismatch",
                "body.provider:string_pattern_mismatch",
            ],
        ),
        (
            "POST",
            SECRETS,
            &format!(r#"{{"name":"{long}","value":"{large}","x":1,"y":2}}"#),
            &["body.name:string_too_long", "body.value:string_too_long", "body:extra_forbidden"],
        ),
        ("POST", "/api/v1/user/secrets/preset", "{}", &["body.provider:missing", "body.value:missing"]),
        (
            "PUT",
            "/api/v1/user/secrets/x",
            r#"{"name":"A"}"#,
            &["path.id:uuid_parsing", "body.value:missing", "body:extra_forbidden"],
        ),
        (
            "PATCH",
            ONE,
            r#"{"name":null,"note":"a\nb","expires_at":"soon","provider":7}"#,
            &[
                "body.name:string_type",
                "body.provider:string_type",
                "body.note:string_pattern_mismatch",
                "body.expires_at:datetime_parsing",
            ],
        ),
        ("POST", "/api/v1/user/secrets/reveal", "{}", &["body.secrets:missing", "body.purpose:missing"]),
        (
            "POST",
            "/api/v1/user/secrets/reveal",
            r#"{"secrets":"A","purpose":"run"}"#,
            &["body.secrets:list_type"],
        ),
        (
            "POST",
            "/api/v1/user/secrets/reveal",
            r#"{"secrets":[],"purpose":"run"}"#,
            &["body.secrets:too_short"],
        ),
        (
            "POST",
            "/api/v1/user/secrets/reveal",
            r#"{"secrets":["A",7,"-","[","B*"],"purpose":"Run","reason":""}"#,
            &[
                "body.secrets.1:string_type",
                "body.secrets.2:string_pattern_mismatch",
                "body.secrets.3:string_pattern_mismatch",
                "body.purpose:string_pattern_mismatch",
                "body.reason:string_too_short",
            ],
        ),
        ("POST", "/api/v1/vault/init", "{}", &["body.passphrase:missing"]),
        (
            "POST",
            "/api/v1/vault/init",
            r#"{"passphrase":null,"recovery_key":"x"}"#,
            &["body.passphrase:missing", "body:extra_forbidden"],
        ),
        ("POST", "/api/v1/vault/unlock", r#"{"passphrase":"x","recovery_key":"y"}"#, &["body:value_error"]),
        ("POST", "/api/v1/vault/unlock", r#"{"key_file":7}"#, &["body.key_file:string_type"]),
    ] {
        let reply = running.owner(method, path, JSON, body).await;
        assert_eq!(faults(&reply), expected, "{method} {path} {}", &body[..body.len().min(80)]);
    }
    let many = vec!["\"A\""; RevealRequest::MAX_SELECTORS + 1].join(",");
    let reply = running
        .owner(
            "POST",
            "/api/v1/user/secrets/reveal",
            JSON,
            &format!(r#"{{"secrets":[{many}],"purpose":"run"}}"#),
        )
        .await;
    assert_eq!(faults(&reply), ["body.secrets:too_long"]);
}

#[tokio::test]
async fn parameters_and_headers_are_checked_like_fields() {
    let running = Running::new();
    let bare_id = "/api/v1/user/secrets/2489e9ad2ee24e008ec932d5f69181c0";
    for (method, target, headers, expected) in [
        ("GET", "/api/v1/user/secrets?x=1", "", &["query:extra_forbidden"][..]),
        ("GET", "/api/v1/user/secrets?view=all", "", &["query.view:enum"]),
        ("GET", "/api/v1/user/secrets?view=full&view=full", "", &["query.view:value_error"]),
        ("GET", "/api/v1/user/secrets?name=%4", "", &["query.name:value_error"]),
        ("GET", "/api/v1/user/secrets?name=%ff", "", &["query.name:value_error"]),
        (
            "GET",
            "/api/v1/user/secrets?name=[&provider=A",
            "",
            &["query.provider:string_pattern_mismatch", "query.name:string_pattern_mismatch"],
        ),
        ("GET", "/api/v1/user/secrets/x?view=", "", &["path.id:uuid_parsing", "query.view:enum"]),
        ("GET", bare_id, "", &["path.id:uuid_parsing"]),
        ("GET", "/api/v1/vault?x", "", &["query:extra_forbidden"]),
        (
            "DELETE",
            "/api/v1/user/secrets/x?purge=yes",
            "If-Match: 3\r\n",
            &["path.id:uuid_parsing", "header.If-Match:value_error", "query.purge:enum"],
        ),
        ("DELETE", ONE, "If-Match: \"3\"\r\nIf-Match: 3\r\n", &["header.If-Match:value_error"]),
        ("GET", "/api/v1/audit?limit=0", "", &["query.limit:int_parsing"]),
        ("GET", "/api/v1/audit?limit=1001", "", &["query.limit:int_parsing"]),
        (
            "GET",
            "/api/v1/audit?limit=%2b5&since=x&name=a-b",
            "",
            &[
                "query.since:datetime_parsing",
                "query.name:string_pattern_mismatch",
                "query.limit:int_parsing",
            ],
        ),
    ] {
        let reply = running.owner(method, target, headers, "").await;
        assert_eq!(faults(&reply), expected, "{method} {target}");
    }
}

#[tokio::test]
async fn a_body_may_have_a_mebibyte_and_no_more() {
    let running = Running::new();
    let most = format!("{{\"x\":\"{}\"}}", "x".repeat((1 << 20) - 8));
    assert_eq!(most.len(), 1 << 20);
    let reply = running.owner("POST", SECRETS, JSON, &most).await;
    assert_eq!(reply.status, 422);
    let reply = running.owner("POST", SECRETS, JSON, &format!("{most} ")).await;
    assert_eq!(reply.error(), (400, "invalid_request_error".to_owned()));
    // Also where no body is wanted, and where nobody is known.
    let reply = running.owner("GET", "/healthz", "", &format!("{most} ")).await;
    assert_eq!(reply.status, 400);
    let reply = running
        .ask(format!("POST {SECRETS} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{most}", most.len()))
        .await;
    assert_eq!(reply.status, 401);
}
