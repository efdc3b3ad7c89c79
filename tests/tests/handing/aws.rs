//! `aws-credentials`, asked by AWS's own library for Python.

use std::time::{Duration, Instant};

use secretsd_tests::{Env, process, programs};
use serde_json::{Value, json};

use crate::python;

const SCRIPT: &str = "
import botocore.session, json
found = botocore.session.Session().get_credentials()
frozen = found.get_frozen_credentials()
print(json.dumps([frozen.access_key, frozen.secret_key, frozen.token, found.method]))
";

/// As above, with what newer versions of the library know.
const ALL: &str = "
import botocore.session, json
found = botocore.session.Session().get_credentials()
end = getattr(found, '_expiry_time', None)
print(json.dumps([found.access_key, getattr(found, 'account_id', 'unknown'), end and end.isoformat()]))
";

/// Makes a secret one that has expired.
fn expire(env: &Env, name: &str) {
    let id = env.ctl(["show", name, "--json"]).run().json()["id"].as_str().unwrap().to_owned();
    let body = json!({"expires_at": "2020-01-01T00:00:00Z"});
    env.request("PATCH", &format!("/user/secrets/{id}")).json(&body).send().expect(200);
}

#[test]
fn the_sdk_gets_its_credentials() {
    let Some(python) = python("the_sdk_gets_its_credentials", "botocore") else { return };
    let env = Env::unlocked(programs!());
    let ask = |prefix: &str| -> Result<Value, String> {
        let client = env.programs().client;
        let config = format!(
            "[default]\nregion = eu-central-1\ncredential_process = {client} aws-credentials {prefix}\n"
        );
        let config = env.private_file("aws", config);
        let mut command = env.command("setsid");
        command.arg(python).args(["-c", SCRIPT]);
        // Nothing is asked over the network.
        command.env("AWS_CONFIG_FILE", config).env("AWS_EC2_METADATA_DISABLED", "true");
        let (_, output) = process::run(&mut command, b"");
        if output.status.success() {
            Ok(serde_json::from_slice(&output.stdout).unwrap())
        } else {
            Err(String::from_utf8(output.stderr).unwrap())
        }
    };
    env.store("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE");
    let error = ask("").unwrap_err();
    assert!(error.contains("no such secret: AWS_SECRET_ACCESS_KEY"), "{error}");
    env.store("AWS_SECRET_ACCESS_KEY", "wJalr\"XUtn\\FEMI/K7");
    let method = "custom-process";
    assert_eq!(ask("").unwrap(), json!(["AKIAIOSFODNN7EXAMPLE", "wJalr\"XUtn\\FEMI/K7", null, method]));
    for (name, value) in [("ACCESS_KEY_ID", "id"), ("SECRET_ACCESS_KEY", "key"), ("SESSION_TOKEN", "token")] {
        env.store(&format!("PROD_AWS_{name}"), value);
    }
    assert_eq!(ask("--prefix PROD_").unwrap(), json!(["id", "key", "token", method]));
    // The library compares the time itself, and asks again when it has passed.
    env.ctl(["set", "PROD_AWS_SESSION_TOKEN", "--expires", "2h"]).stdin("token2").expect(0);
    assert_eq!(ask("--prefix prod_").unwrap(), json!(["id", "key", "token2", method]));
    expire(&env, "PROD_AWS_SESSION_TOKEN");
    let error = ask("--prefix PROD_").unwrap_err();
    assert!(error.contains("PROD_AWS_SESSION_TOKEN expired at"), "{error}");
    env.post("/vault/lock", &json!({})).expect(200);
    let begin = Instant::now();
    let error = ask("").unwrap_err();
    assert!(error.contains("the vault is locked"), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn the_sdk_is_told_the_account_and_the_end_of_long_term_keys() {
    // The system's may be too old to know the account.
    let fetched = concat!(env!("CARGO_TARGET_TMPDIR"), "/clients/python/bin/python");
    let test = "the_sdk_is_told_the_account_and_the_end_of_long_term_keys";
    let is_new = std::path::Path::new(fetched).exists();
    let Some(python) = Some(fetched).filter(|_| is_new).or_else(|| python(test, "botocore")) else { return };
    let env = Env::unlocked(programs!());
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        env.store(name, "x");
    }
    let ask = || -> Value {
        let client = env.programs().client;
        let config =
            env.private_file("aws", format!("[default]\ncredential_process = {client} aws-credentials\n"));
        let mut command = env.command("setsid");
        command.arg(python).args(["-c", ALL]);
        command.env("AWS_CONFIG_FILE", config).env("AWS_EC2_METADATA_DISABLED", "true");
        let (_, output) = process::run(&mut command, b"");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(ask()[2], Value::Null);
    env.ctl(["edit", "AWS_ACCESS_KEY_ID", "--note", "account=123456789012"]).expect(0);
    env.ctl(["edit", "AWS_SECRET_ACCESS_KEY", "--expires", "2099-01-01"]).expect(0);
    let told = ask();
    assert_eq!(told[2], "2099-01-01T00:00:00+00:00");
    // An old one does not know of accounts, and the system's may be either.
    assert!(told[1] == "123456789012" || !is_new && told[1] == "unknown", "{told}");
    let account = || env.ctl(["aws-credentials"]).run().json()["AccountId"].clone();
    assert_eq!(account(), "123456789012");
    env.store("AWS_ACCOUNT_ID", "210987654321\n");
    assert_eq!(account(), "210987654321");
    env.ctl(["set", "AWS_ACCOUNT_ID"]).stdin("canary").expect(0);
    let output = env.ctl(["aws-credentials"]).run();
    output.assert_code(7);
    assert!(output.err().contains("AWS_ACCOUNT_ID") && !output.err().contains("canary"), "{}", output.err());
    env.ctl(["set", "AWS_ACCOUNT_ID"]).stdin("210987654321").expect(0);
    expire(&env, "AWS_ACCESS_KEY_ID");
    env.ctl(["aws-credentials"]).expect(1);
}

#[test]
fn the_answer_is_the_protocols_and_failures_are_quick() {
    let mut env = Env::unlocked(programs!());
    env.ctl(["aws-credentials"]).expect(4);
    for name in ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"] {
        env.store(&format!("AWS_{name}"), name);
    }
    env.ctl(["set", "AWS_SESSION_TOKEN", "--expires", "2099-01-01"]).stdin("t").expect(0);
    assert_eq!(
        env.ctl(["aws-credentials"]).run().json(),
        json!({"Version": 1, "AccessKeyId": "ACCESS_KEY_ID", "SecretAccessKey": "SECRET_ACCESS_KEY",
               "SessionToken": "t", "Expiration": "2099-01-01T00:00:00Z"})
    );
    env.ctl(["aws-credentials", "--prefix", "A-"]).expect(7);
    env.post("/vault/lock", &json!({})).expect(200);
    env.ctl(["aws-credentials"]).expect(3);
    env.stop();
    env.ctl(["aws-credentials"]).expect(8);
    assert!(env.listener().is_none(), "a daemon was started");
}

#[test]
fn inside_of_a_session_the_answer_is_its_placeholders_and_nothing_is_revealed() {
    let env = Env::unlocked(programs!());
    for name in ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"] {
        env.store(&format!("AWS_{name}"), "canary");
    }
    let ask = |names: &[&str]| {
        let mut command = env.ctl(["aws-credentials"]).env("SECRETSD_PROXY", "s");
        for name in names {
            command = command.env(&format!("AWS_{name}"), format!("placeholder-of-{name}"));
        }
        command.run()
    };
    assert_eq!(
        ask(&["ACCESS_KEY_ID", "SECRET_ACCESS_KEY"]).json(),
        json!({"Version": 1, "AccessKeyId": "placeholder-of-ACCESS_KEY_ID",
               "SecretAccessKey": "placeholder-of-SECRET_ACCESS_KEY"})
    );
    let with_token = ask(&["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"]).json();
    assert_eq!(with_token["SessionToken"], "placeholder-of-SESSION_TOKEN");
    let output = ask(&["ACCESS_KEY_ID"]);
    output.assert_code(4);
    assert!(output.err().contains("proxy run -s AWS_SECRET_ACCESS_KEY"), "{}", output.err());
    assert!(!env.ctl(["audit", "--json"]).expect(0).contains("aws-credentials"), "a value was revealed");
}

#[test]
fn what_has_expired_is_not_handed_over() {
    let env = Env::unlocked(programs!());
    let set = |name: &str, expires: &str| {
        env.ctl(["set", name, "--expires", expires]).stdin("canary").expect(0);
    };
    for name in ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"] {
        env.store(&format!("P_AWS_{name}"), "canary");
    }
    expire(&env, "P_AWS_SESSION_TOKEN");
    let output = env.ctl(["aws-credentials", "--prefix", "P_"]).run();
    output.assert_code(1);
    assert!(output.err().contains("P_AWS_SESSION_TOKEN expired at 2020-01-01T00:00:00Z"), "{}", output.err());
    assert!(!env.ctl(["audit", "--json"]).expect(0).contains("\"aws-credentials\""), "a value was revealed");
    // What goes with it ends with it, and the tools are told of the first end.
    set("P_AWS_SESSION_TOKEN", "2099-02-01");
    set("P_AWS_ACCESS_KEY_ID", "2099-01-01");
    let answer = env.ctl(["aws-credentials", "--prefix", "P_"]).run().json();
    assert_eq!(answer["Expiration"], "2099-01-01T00:00:00Z");
    expire(&env, "P_AWS_SECRET_ACCESS_KEY");
    let output = env.ctl(["aws-credentials", "--prefix", "P_"]).run();
    output.assert_code(1);
    assert!(output.err().contains("P_AWS_SECRET_ACCESS_KEY expired"), "{}", output.err());
}

#[test]
fn a_line_end_behind_a_key_is_no_part_of_it_and_one_inside_is_refused() {
    let env = Env::unlocked(programs!());
    for (name, end) in [("ACCESS_KEY_ID", "\n"), ("SECRET_ACCESS_KEY", "\r\n"), ("SESSION_TOKEN", "")] {
        env.store(&format!("AWS_{name}"), &format!("{name}{end}"));
    }
    let answer = env.ctl(["aws-credentials"]).run().json();
    assert_eq!(
        answer,
        json!({"Version": 1, "AccessKeyId": "ACCESS_KEY_ID", "SecretAccessKey": "SECRET_ACCESS_KEY",
               "SessionToken": "SESSION_TOKEN"})
    );
    for bad in ["canary\n\n", "can\tary", "canary\nx", "\n", "\r\n", "canary\u{85}"] {
        env.ctl(["set", "AWS_SECRET_ACCESS_KEY", "--exact"]).stdin(bad).expect(0);
        let output = env.ctl(["aws-credentials"]).run();
        output.assert_code(7);
        let told = output.err();
        assert!(told.contains("AWS_SECRET_ACCESS_KEY") && !told.contains("canary"), "{told}");
    }
}
