//! What `secretctl mcp` promises: an agent that asks it gets no value, since it asks the daemon for none.

use secretsd_tests::source::{Source, sources};

use super::{Findings, assert_found, assert_none, finding, in_module, only_in};

/// Everything by which a value could be asked for, or a right be changed.
const NEVER: [&str; 8] = ["reveal", "expose", "take", "export", "token_ops", "post", "put", "delete"];

/// An import that is no request.
const PURPOSE: &str = "use secrets_proto::reveal::Purpose;";

fn asks_for_lists_and_rules_alone(sources: &[Source]) -> Findings {
    let one_place = "only `daemon` and `asking` ask the daemon";
    let mut findings = only_in(sources, "secrets_client", in_module(&["daemon", "asking"]), one_place);
    for source in sources.iter().filter(|source| source.module() == "daemon") {
        for word in NEVER {
            let lines = source.lines_with(word).into_iter();
            findings.extend(
                lines.map(|line| finding(source, line, &format!("`{word}`: it may only list and read"))),
            );
        }
        let calls = source.places("Call::").into_iter();
        let others = calls.filter(|at| !source.code[*at..].starts_with("Call::get"));
        findings.extend(others.map(|at| finding(source, source.line_at(at), "a call that is no GET")));
    }
    // A person is asked by beginning a session of use, in which there is no value.
    for source in sources.iter().filter(|source| source.module() == "asking") {
        let more = NEVER.iter().filter(|word| !["post", "delete"].contains(word));
        for word in more {
            // The word for what an ask is made for lies beside reveals.
            let is_purpose = |line: usize| source.code.lines().nth(line - 1) == Some(PURPOSE);
            let lines = source.lines_with(word).into_iter().filter(|line| !is_purpose(*line));
            findings.extend(lines.map(|line| finding(source, line, &format!("`{word}`: it may only ask"))));
        }
        let known = [
            "Call::get(",
            "Call::new(Method::POST, SESSIONS).json(&request)",
            "Call::new(Method::DELETE, &format!(",
        ];
        let calls = source.places("Call::").into_iter();
        let others = calls.filter(|at| !known.iter().any(|call| source.code[*at..].starts_with(call)));
        findings.extend(others.map(|at| finding(source, source.line_at(at), "a call that asks for more")));
    }
    findings
}

#[test]
fn an_agents_tools_ask_for_no_value() {
    let check = asks_for_lists_and_rules_alone;
    assert_none("an agent's tools ask for no value", &check(&sources("mcp/src")));
    assert_found(check, "mcp/src/tools.rs", "use secrets_client::Client;");
    assert_found(check, "mcp/src/daemon.rs", "fn x() { self.client.reveal(request) }");
    assert_found(check, "mcp/src/daemon.rs", "fn x() { Call::new(Method::POST, route) }");
    assert_found(check, "mcp/src/asking.rs", "fn x() { Call::new(Method::POST, route) }");
    assert_found(check, "mcp/src/asking.rs", "fn x() { client.reveal(request) }");
}
