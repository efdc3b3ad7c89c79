//! Requests that are signed for AWS: signed again with the real key, as botocore would, and refused by name where that cannot
//! be done.

use std::process::Command;

use secretsd_tests::harness::skip;
use secretsd_tests::origin::Seen;
use secretsd_tests::source::repository;
use secretsd_tests::{canary, process};
use serde_json::{Value, json};

use crate::world::World;

const KEYS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIACANARYKEYID01234"),
    ("AWS_SECRET_ACCESS_KEY", "canary/secret+key0123456789abcdefghijklm"),
    ("AWS_SESSION_TOKEN", "canary+session/token0123456789abcdefghijklmnopqrstuvwxyz=="),
];

fn script() -> String {
    repository().join("tests/tests/broker/signed.py").to_str().unwrap().to_owned()
}

/// A world with AWS's keys, which may sign for the host.
fn world(test: &str) -> Option<World> {
    let works = Command::new("python3").args(["-c", "import botocore"]).output();
    if !works.is_ok_and(|output| output.status.success()) {
        skip(test, "python3 has no botocore");
        return None;
    }
    let world = World::new(test)?;
    for (name, value) in KEYS {
        world.env.store(name, value);
        let site = "aws-sigv4:AWS_ACCESS_KEY_ID,AWS_SESSION_TOKEN";
        let rule = ["proxy", "rule", "set", name, "--private", "--host", &world.host(), "--site", site];
        world.env.ctl(rule).expect(0);
    }
    Some(world)
}

/// Has these requests signed and sent in a session with these secrets. Gives a line for each answer.
fn sent(world: &World, secrets: &str, cases: &Value) -> Vec<String> {
    let script = script();
    let mut command = world.command_with(&["-s", secrets], &["python3", &script, "send", &world.url("")]);
    let (_, output) = process::run(&mut command, cases.to_string().as_bytes());
    for (_, value) in KEYS {
        for written in [&output.stdout, &output.stderr] {
            assert_eq!(canary::find(written, value), None, "{}", String::from_utf8_lossy(written));
        }
    }
    canary::assert_absent(&world.env.path(""), &KEYS.map(|(_, value)| value));
    let out = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<String> = out.lines().map(str::to_owned).collect();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(lines.len(), cases.as_array().unwrap().len(), "{out}{err}");
    lines
}

/// That each request which the host has got is signed as botocore signs it with these keys.
fn assert_signed(world: &World, keys: &[(&str, &str)]) {
    let host = world.host();
    let seen: Vec<Value> = world
        .origin
        .seen()
        .iter()
        .map(|seen| json!({ "line": seen.line, "headers": seen.headers, "body": seen.body, "host": host }))
        .collect();
    let mut command = Command::new("python3");
    command.args([&script(), "expect"]).envs(keys.iter().copied());
    let (_, output) = process::run(&mut command, Value::Array(seen).to_string().as_bytes());
    let out = String::from_utf8(output.stdout).unwrap();
    let seen = world.origin.seen();
    assert_eq!(out.lines().count(), seen.len(), "{out}{}", String::from_utf8_lossy(&output.stderr));
    for (seen, expected) in seen.iter().zip(out.lines()) {
        assert_eq!(seen.header("authorization"), Some(expected), "{}", seen.whole());
        let key = KEYS[1].1;
        assert_eq!(canary::find(seen.whole().as_bytes(), key), None, "the key has left");
    }
}

/// Requests that can be signed in two ways by those who read the description carelessly.
fn table() -> Value {
    json!([
        { "target": "/" },
        { "target": "/bucket/key%20with%20spaces/%C3%A9//x/../y" },
        { "target": "/bucket/a+b~c_d-e.f%2Bg" },
        { "target": "/bucket?list-type=2&prefix=a%2Fb&delimiter=%2F" },
        { "target": "/bucket?b=2&a=3&a=1&B=0&b=10&c" },
        { "target": "/bucket?uploads" },
        { "target": "/bucket?x-id=A&=&a=%20&a=" },
        { "target": "/bucket/key", "method": "PUT", "body": "the object" },
        { "target": "/bucket/key", "method": "PUT", "body": "the object", "payload": "UNSIGNED-PAYLOAD" },
        { "target": "/bucket/key", "method": "PUT", "body": "4\r\nbody\r\n0\r\nx-amz-checksum-crc32:x\r\n\r\n",
          "payload": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "headers": [["x-amz-trailer", "x-amz-checksum-crc32"]] },
        { "target": "/bucket", "headers": [["X-Amz-Meta-A", "  two   words\t"], ["x-amz-meta-b", "1"], ["x-amz-meta-b", "2"]] },
        { "target": "/bucket", "headers": [["Accept-Encoding", "gzip"], ["User-Agent", "test"]] },
        { "target": "/bucket", "region": "eu-central-1", "late": -800 },
        { "target": "/bucket", "late": 800 },
        { "target": "/", "service": "dynamodb", "method": "POST", "body": "{\"TableName\":\"t\"}",
          "headers": [["X-Amz-Target", "DynamoDB_20120810.GetItem"], ["Content-Type", "application/x-amz-json-1.0"]] },
        { "target": "/2015-03-31/functions/a%3Ab/invocations", "service": "lambda", "method": "POST", "body": "{}" },
        { "target": "/a//b/./c/../d/%20e/", "service": "execute-api", "region": "us-west-2" },
        { "target": "/?Action=ListQueues&Version=2012-11-05", "service": "sqs", "method": "POST" },
        { "target": "/", "service": "dynamodb", "method": "POST", "body": "x".repeat(2 << 20) },
    ])
}

#[test]
fn a_signed_request_is_signed_again_as_botocore_signs_it() {
    let Some(world) = world("a_signed_request_is_signed_again_as_botocore_signs_it") else { return };
    let cases = table();
    for (secrets, keys) in [("AWS_*", &KEYS[..]), ("AWS_ACCESS_KEY_ID,AWS_SECRET_ACCESS_KEY", &KEYS[..2])] {
        let before = world.origin.seen().len();
        for (answer, case) in sent(&world, secrets, &cases).iter().zip(cases.as_array().unwrap()) {
            assert!(answer.starts_with("200 "), "{case}: {answer}");
        }
        assert_eq!(world.origin.seen().len() - before, cases.as_array().unwrap().len());
        if before == 0 {
            assert_signed(&world, keys);
            assert!(
                world.origin.seen().iter().all(|seen| seen.header("x-amz-security-token") == Some(KEYS[2].1))
            );
        }
    }
    let audit = world.env.ctl(["audit", "--json"]).expect(0);
    for (name, _) in KEYS {
        assert!(audit.contains(name), "{name} is not in the audit log: {audit}");
    }
}

#[test]
fn what_cannot_be_signed_again_is_refused_by_name() {
    let Some(world) = world("what_cannot_be_signed_again_is_refused_by_name") else { return };
    let streaming = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    let cases = [
        (json!({ "target": "/b", "payload": streaming }), "signed one by one"),
        (
            json!({ "target": "/b", "payload": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" }),
            "signed one by one",
        ),
        (json!({ "target": "/b", "payload": "anything" }), "neither a digest"),
        (
            json!({ "target": "/b", "sent": "/b?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ID%2F20260101&X-Amz-Signature=0" }),
            "presigned",
        ),
        (json!({ "target": "/b", "sent": "/b?AWSAccessKeyId=ID&Signature=0" }), "presigned"),
        (json!({ "target": "/b", "change": [["Authorization", "AWS ID:c2ln"]] }), "another way"),
        (
            json!({ "target": "/b", "change": [["Authorization", "AWS4-ECDSA-P256-SHA256 Credential=ID/x"]] }),
            "another way",
        ),
        (
            json!({ "target": "/b", "change": [["Authorization", "AWS4-HMAC-SHA256 Credential=ID/x"]] }),
            "no signature",
        ),
        (json!({ "target": "/b", "sent": "/c" }), "not that of this request"),
        (json!({ "target": "/b?a=1", "sent": "/b?a=2" }), "not that of this request"),
        (
            json!({ "target": "/b", "headers": [["x-amz-meta-a", "1"]], "change": [["x-amz-meta-a", "2"]] }),
            "not that of this request",
        ),
        (
            json!({ "target": "/", "service": "dynamodb", "method": "POST", "body": "one", "other": "two" }),
            "not that of this request",
        ),
        (
            json!({ "target": "/", "service": "dynamodb", "method": "POST", "length": 7 << 20 }),
            "longer than 6 MiB",
        ),
        (json!({ "target": "/b", "late": 1_000 }), "15 minutes"),
        (json!({ "target": "/b", "late": -1_000 }), "15 minutes"),
        (json!({ "target": "/b", "change": [["x-amz-security-token", "another"]] }), "session token"),
    ];
    let all = Value::Array(cases.iter().map(|(case, _)| case.clone()).collect());
    for (answer, (case, says)) in sent(&world, "AWS_*", &all).iter().zip(&cases) {
        let item = "\"signature_form\"";
        let short: String = case.to_string().chars().take(200).collect();
        assert!(answer.starts_with("403 ") && answer.contains(item), "{short}: {answer}");
        assert!(answer.contains(says), "{short}: {answer}");
    }
    // The key's id has no other place.
    let cases =
        json!([{ "target": "/b", "headers": [["x-amz-meta-a", "1"]], "change": [["x-amz-meta-a", "ID"]] }]);
    let answers = sent(&world, "AWS_*", &cases);
    assert!(answers[0].contains("\"placeholder_repeated\""), "{answers:?}");
    assert!(world.origin.seen().is_empty());
}

/// The AWS CLI itself, from PyPI: it has placeholders, signs with them, and the host gets what the real keys sign.
#[test]
fn the_aws_cli_works_in_a_session() {
    let test = "the_aws_cli_works_in_a_session";
    let works = Command::new("aws").arg("--version").output();
    if !works.is_ok_and(|output| output.status.success()) {
        return skip(test, "the AWS CLI (PyPI's awscli) is not installed");
    }
    let Some(world) = world(test) else { return };
    world.origin.answer_by(|seen: &Seen, _| {
        let body = if seen.line.starts_with("GET /") {
            "<?xml version=\"1.0\"?><ListAllMyBucketsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Owner><ID>1</ID></Owner><Buckets><Bucket><Name>shop-backups</Name><CreationDate>2026-01-01T00:00:00.000Z</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>"
        } else if seen.line.starts_with("POST /") {
            "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Arn>arn:aws:iam::123456789012:user/ci</Arn><UserId>ci</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
        } else {
            return None;
        };
        Some(hyper::Response::builder().header("content-type", "text/xml").body(body.as_bytes().to_vec()).unwrap())
    });
    let secrets = KEYS.map(|(name, _)| name).join(",");
    // Each for itself: the CLI takes long to start on a busy machine.
    for (words, answer) in [
        ("s3api list-buckets --query Buckets[].Name", "shop-backups\n"),
        ("sts get-caller-identity --query Arn", "arn:aws:iam::123456789012:user/ci\n"),
    ] {
        let script = format!(
            "aws --endpoint-url {} --output text {words}; echo \"$AWS_SECRET_ACCESS_KEY\"",
            world.url("")
        );
        let mut command = world.command_with(&["-s", &secrets], &["sh", "-c", &script]);
        command
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_MAX_ATTEMPTS", "1");
        let (_, output) = process::run(&mut command, b"");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(out.starts_with(answer), "{words}: {out}{err}");
        for (_, value) in KEYS {
            for written in [&output.stdout, &output.stderr] {
                assert_eq!(canary::find(written, value), None, "{words}: {out}{err}");
            }
        }
    }
    assert_signed(&world, &KEYS);
}
