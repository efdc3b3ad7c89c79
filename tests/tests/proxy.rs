//! `secretctl proxy`: the rules of a secret on the command line, and what they make of a request.

use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

/// What a command has ended in.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn ran(output: secretsd_tests::ctl::CtlOutput) -> Ran {
    Ran { code: output.code.unwrap(), out: output.out(), err: output.err() }
}

impl Ran {
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.err);
        self
    }
}

fn rules(env: &Env) -> Value {
    let id = env.get("/user/secrets?name=KEY").expect(200)["secrets"][0]["id"].as_str().unwrap().to_owned();
    env.get(&format!("/user/secrets/{id}/rules")).expect(200)["rules"].clone()
}

#[test]
fn rules_are_set_shown_and_removed() {
    let env = Env::unlocked(programs!());
    env.store("KEY", "value-0123456789");
    let proxy = |arguments: &[&str]| ran(env.ctl([&["proxy", "rule"], arguments].concat()).run());
    assert!(proxy(&["show", "KEY"]).err.contains("it has no rule"));
    let set = proxy(&[
        "set",
        "KEY",
        "--host",
        "api.example.com",
        "--method",
        "GET,POST",
        "--path",
        "/v1/**",
        "--except",
        "/v1/keys",
    ]);
    assert_eq!((set.code, set.err.trim()), (0, "secretctl: KEY has 1 rule"));
    proxy(&["set", "KEY", "--host", "*.example.net:8443", "--site", "header:x-api-key", "--private"])
        .expect(0);
    let first = json!({ "host": "api.example.com", "methods": ["GET", "POST"], "paths": ["/v1/**"], "except": ["/v1/keys"], "site": "bearer" });
    let second = json!({ "host": "*.example.net:8443", "site": "header:x-api-key", "private": true });
    assert_eq!(rules(&env), json!([first, second]));
    // The same host and site: in its place.
    proxy(&["set", "KEY", "--host", "api.example.com"]).expect(0);
    assert_eq!(rules(&env), json!([{ "host": "api.example.com", "site": "bearer" }, second]));
    let shown = proxy(&["show", "KEY"]);
    for part in ["HOST", "api.example.com", "*.example.net:8443 (private)", "header:x-api-key", "own"] {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
    let json: Value =
        serde_json::from_str(&ran(env.ctl(["proxy", "rule", "show", "KEY", "--json"]).run()).expect(0).out)
            .unwrap();
    assert_eq!((&json["source"], json["rules"].as_array().unwrap().len()), (&json!("own"), 2));
    proxy(&["rm", "KEY", "1"]).expect(0);
    assert_eq!(rules(&env), json!([second]));
    proxy(&["rm", "KEY", "2"]).expect(4);
    assert!(proxy(&["rm", "KEY"]).err.contains("cannot be used"));
    assert_eq!(rules(&env), json!([]));
    for (bad, says) in [
        (&["set", "KEY", "--host", "127.0.0.1"][..], "IP address"),
        (&["set", "KEY", "--host", "a.example", "--site", "cookie:token"], "one of bearer"),
        (&["set", "KEY", "--host", "a.example", "--method", "get"], "upper case"),
        (&["set", "KEY", "--host", "a.example", "--path", "v1"], "begins with /"),
        (&["rm", "KEY", "0"], "from 1 to 16"),
    ] {
        let answer = proxy(bad);
        assert_eq!(answer.code, 7, "{bad:?}: {}", answer.err);
        assert!(answer.err.contains(says), "{bad:?}: {}", answer.err);
    }
    proxy(&["set", "OTHER", "--host", "a.example"]).expect(4);
}

#[test]
fn a_preset_holds_until_there_is_an_own_rule() {
    let env = Env::unlocked(programs!());
    env.post("/user/secrets", &json!({ "name": "KEY", "value": "x", "provider": "anthropic" })).expect(201);
    let shown = ran(env.ctl(["proxy", "rule", "show", "KEY"]).run()).expect(0).out.to_owned();
    assert!(
        shown.contains("preset") && shown.contains("api.anthropic.com") && shown.contains("header:x-api-key")
    );
    let set = ran(env.ctl(["proxy", "rule", "set", "KEY", "--host", "llm.example.com"]).run()).expect(0);
    assert!(set.err.contains("no longer apply"), "{}", set.err);
    let shown = ran(env.ctl(["proxy", "rule", "show", "KEY"]).run()).expect(0).out.to_owned();
    assert!(shown.contains("preset, replaced") && shown.contains("llm.example.com"), "{shown}");
    assert!(
        ran(env.ctl(["proxy", "rule", "rm", "KEY"]).run())
            .expect(0)
            .err
            .contains("those of its provider hold")
    );
}

#[test]
fn check_tells_which_rule_decides_and_leaves_no_trace() {
    let env = Env::unlocked(programs!());
    env.store("KEY", "value-0123456789");
    let set = [
        "proxy",
        "rule",
        "set",
        "KEY",
        "--host",
        "api.example.com",
        "--except",
        "/keys/**",
        "--method",
        "GET",
    ];
    ran(env.ctl(set).run()).expect(0);
    let before = env.get("/audit?limit=1").expect(200);
    let check = |method: &str, url: &str| ran(env.ctl(["proxy", "check", "KEY", method, url]).run());
    let allowed = check("GET", "https://api.example.com/v1/models?key=x");
    assert_eq!((allowed.code, allowed.out.as_str()), (0, "KEY/1: api.example.com bearer (own)\n"));
    for (method, url, says) in [
        ("POST", "https://api.example.com/", "--method METHOD"),
        ("GET", "https://evil.example.com/", "--host HOST"),
        ("GET", "https://api.example.com:8443/", "host and port"),
        ("GET", "https://api.example.com/keys/1", "KEY/1 excepts this path"),
        ("GET", "https://api.example.com/a/../keys/1", "two ways"),
    ] {
        let refused = check(method, url);
        assert_eq!((refused.code, refused.out.as_str()), (5, ""), "{url}: {}", refused.err);
        assert!(refused.err.contains(says), "{url}: {}", refused.err);
    }
    assert_eq!(check("GET", "http://api.example.com/").code, 7);
    assert_eq!(ran(env.ctl(["proxy", "check", "NONE", "GET", "https://a.example/"]).run()).code, 4);
    let json =
        ran(env.ctl(["proxy", "check", "KEY", "GET", "https://api.example.com/", "--json"]).run()).expect(0);
    assert_eq!(serde_json::from_str::<Value>(&json.out).unwrap()["number"], 1);
    assert_eq!(env.get("/audit?limit=1").expect(200), before);
}

#[test]
fn the_audit_log_shows_uses_with_rule_method_host_and_path() {
    let env = Env::unlocked(programs!());
    env.store("KEY", "value-0123456789");
    ran(env.ctl(["proxy", "rule", "set", "KEY", "--host", "api.example.com"]).run()).expect(0);
    let session = env.post("/use/sessions", &json!({ "secrets": ["KEY"], "purpose": "run" })).expect(201);
    let wanted = json!({ "secret": "KEY", "method": "GET", "host": "api.example.com", "port": 443, "path": "/v1/models" });
    secretsd_tests::http::Request::new(&env.runtime_dir().join("use.sock"), "POST", "/api/v1/use/take")
        .bearer(session["token"].as_str().unwrap())
        .json(&wanted)
        .send()
        .expect(200);
    let log = ran(env.ctl(["audit"]).run()).expect(0);
    assert!(log.out.contains("rule 1: GET api.example.com/v1/models"), "{}", log.out);
    let show = ran(env.ctl(["show", "KEY"]).run()).expect(0);
    assert!(!show.out.contains("never"), "{}", show.out);
}
