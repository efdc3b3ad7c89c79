//! A value in a field of a body: whole, once, and the rest byte for byte; what cannot be read is not sent.

use serde_json::Value;

use crate::world::{VALUE, World};

fn world(test: &str, sites: &[&str]) -> Option<World> {
    let world = World::new(test)?;
    for site in sites {
        world.rule(&["--host", &world.host(), "--path", "/v1/**", "--site", site]);
    }
    Some(world)
}

/// Sends what these arguments of curl's say, in both versions of HTTP; `@` stands for the placeholder of KEY. Gives the
/// answers, two for each.
fn sent<'a>(world: &World, secrets: &str, arguments: impl IntoIterator<Item = &'a str>) -> Vec<Value> {
    let url = world.url("/v1/echo");
    let mut script = String::new();
    for arguments in arguments {
        for version in ["--http1.1", "--http2"] {
            let arguments = arguments.replace('@', "$KEY");
            script.push_str(&format!("curl -sS {version} {arguments} {url}; echo\n"));
        }
    }
    let output = world.run_with(&["-s", secrets], &["sh", "-c", &script]);
    world.assert_nowhere(&output);
    let answer = |line| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {}{}", output.out(), output.err()))
    };
    output.out().lines().map(answer).collect()
}

const JSON: &str = "-H 'Content-Type: application/json'";

#[test]
fn a_field_of_a_body_is_filled_and_the_rest_stays_byte_for_byte() {
    let Some(world) = world("a_field_of_a_body_is_filled_and_the_rest_stays_byte_for_byte", &["body:token"])
    else {
        return;
    };
    // As it is in JSON and in a form: with a quotation mark, a percent sign and a letter that is not ASCII.
    let odd = "sk-proj-canary-0123 \"%é&+\\\n-end";
    let in_json = serde_json::to_string(odd).unwrap();
    let in_form = "sk-proj-canary-0123%20%22%25%C3%A9%26%2B%5C%0A-end";
    world.env.store("ODD", odd);
    let rule = ["--private", "--host", &world.host(), "--site", "body:token"];
    world.env.ctl(["proxy", "rule", "set", "ODD"].iter().chain(&rule)).expect(0);
    let (mut cases, mut expected) = (Vec::new(), Vec::new());
    let value = format!("\"{VALUE}\"");
    for (name, in_json, in_form) in [("KEY", value.as_str(), VALUE), ("ODD", &in_json, in_form)] {
        cases.push(format!(r#"{JSON} -d "{{\"a\" : 1.50,\"token\": \"${name}\" , \"b\":[\"é\"]}} ""#));
        expected.push(format!(r#"{{"a" : 1.50,"token": {in_json} , "b":["é"]}} "#));
        cases.push(format!("-d 'a=%7e+b' -d token=${name} -d c"));
        expected.push(format!("a=%7e+b&token={in_form}&c"));
    }
    let answers = sent(&world, "KEY,ODD", cases.iter().map(String::as_str));
    let seen = world.origin.seen();
    assert_eq!((answers.len(), seen.len()), (8, 8));
    for (seen, expected) in seen.iter().zip(expected.iter().flat_map(|body| [body; 2])) {
        assert_eq!(seen.body, *expected);
        assert_eq!(seen.header("content-length"), Some(expected.len().to_string().as_str()));
    }
    for answer in &answers[..4] {
        assert!(answer["body"].as_str().unwrap().contains("sk-proj-ssdph"), "{answer}");
        assert!(!answer.to_string().contains("canary-0123"), "{answer}");
    }
}

#[test]
fn a_placeholder_elsewhere_in_a_body_or_in_a_body_that_cannot_be_read_is_refused() {
    let test = "a_placeholder_elsewhere_in_a_body_or_in_a_body_that_cannot_be_read_is_refused";
    let Some(world) = world(test, &["body:token"]) else { return };
    let large = world.env.path("large");
    std::fs::write(&large, format!("token=x&more={}", "y".repeat(1 << 20))).unwrap();
    let large = format!("--data-binary '@{}'", large.display()).replace('@', "\u{40}");
    let cases = [
        (format!(r#"{JSON} -d '{{"a":{{"token":"'@'"}}}}'"#), "placeholder_misplaced"),
        (format!(r#"{JSON} -d '{{"token":["'@'"]}}'"#), "placeholder_misplaced"),
        (format!(r#"{JSON} -d '{{"token":"Bearer '@'"}}'"#), "placeholder_misplaced"),
        (format!(r#"{JSON} -d '{{"tokens":"'@'"}}'"#), "placeholder_misplaced"),
        (format!(r#"{JSON} -d '["'@'"]'"#), "body_form"),
        (format!(r#"{JSON} -d '{{"token":"'@'","token":"x"}}'"#), "body_form"),
        (format!(r#"{JSON} -d '{{"token":"'@'",}}'"#), "body_form"),
        (format!(r#"{JSON} -d '{{"token":"'@'","b":"'@'"}}'"#), "placeholder_repeated"),
        ("-d token=@ -d b=@".to_owned(), "placeholder_repeated"),
        ("-d token=@ -d token=x".to_owned(), "body_form"),
        ("-d token=x@".to_owned(), "placeholder_misplaced"),
        ("-F token=@".to_owned(), "body_form"),
        ("-H 'Content-Type: text/plain' -d @".to_owned(), "body_form"),
        ("-H 'Content-Type: application/json; charset=utf-16' -d @".to_owned(), "body_form"),
        (format!(r#"{JSON} -H 'Content-Encoding: gzip' -d '{{"token":"'@'"}}'"#), "body_form"),
        (format!(r#"{JSON} -H 'Trailer: x-end' -d '{{"token":"'@'"}}'"#), "body_form"),
    ];
    let answers = sent(&world, "KEY", cases.iter().map(|(arguments, _)| arguments.as_str()));
    assert_eq!(answers.len(), 2 * cases.len());
    for (answers, (arguments, item)) in answers.chunks(2).zip(&cases) {
        for answer in answers {
            assert_eq!(answer["errors"][0]["type"], *item, "{arguments}: {answer}");
            assert_eq!(answer["code"], 403, "{arguments}: {answer}");
        }
    }
    // Without the placeholder, for it is longer than what is looked into.
    let script = format!("curl -sS {large} {}", world.url("/v1/echo"));
    let answer = world.run(&["sh", "-c", &script]).json();
    assert_eq!(answer["errors"][0]["type"], "body_form", "{answer}");
    assert!(answer["errors"][0]["msg"].as_str().unwrap().contains("longer than 1 MiB"), "{answer}");
    let script =
        format!("curl -sS --http1.1 -H 'Transfer-Encoding: chunked' -d token=$KEY {}", world.url("/v1/echo"));
    let answer = world.run(&["sh", "-c", &script]).json();
    assert_eq!(answer["errors"][0]["type"], "body_form", "{answer}");
    assert!(answer["errors"][0]["msg"].as_str().unwrap().contains("chunked"), "{answer}");
    assert!(world.origin.seen().is_empty());
}

#[test]
fn a_body_that_needs_no_value_passes_as_it_is() {
    let test = "a_body_that_needs_no_value_passes_as_it_is";
    let Some(world) = world(test, &["bearer", "body:token"]) else { return };
    let large = world.env.path("large");
    std::fs::write(&large, vec![b'x'; 3 << 20]).unwrap();
    // The head carries the value: the body is no place for it then, and may be of any kind and length.
    let script = format!(
        "curl -sSf -o echo -H \"Authorization: Bearer $KEY\" -F 'file=@{}' {}",
        large.display(),
        world.url("/v1/files")
    );
    let output = world.run(&["sh", "-c", &script]);
    assert_eq!(output.code, Some(0), "{}", output.err());
    assert!(world.origin.last().body.len() > 3 << 20);
    // No rule is for this path; and without a placeholder JSON may be as odd as it likes.
    let script = format!(
        "curl -sSf -o echo -F 'file=@{}' {}; curl -sSf -o echo {JSON} -d '{{\"a\":1,\"a\":2' {}",
        large.display(),
        world.url("/other"),
        world.url("/v1/odd")
    );
    let output = world.run(&["sh", "-c", &script]);
    assert_eq!(output.code, Some(0), "{}", output.err());
    assert_eq!(world.origin.last().body, "{\"a\":1,\"a\":2");
    assert_eq!(world.origin.seen().len(), 3);
    // A field of a path that no rule is for.
    let script = format!("curl -sS -d token=$KEY {}", world.url("/other"));
    let answer = world.run(&["sh", "-c", &script]).json();
    assert_eq!(answer["errors"][0]["type"], "rule_mismatch", "{answer}");
}
