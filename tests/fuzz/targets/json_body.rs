//! Arbitrary bytes as a request: the first three lines are id, query and `If-Match`, the rest is the body.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(4, |byte| *byte == b'\n');
    let [id, query, if_match, body] = [(); 4].map(|()| lines.next().unwrap_or_default());
    let text = |line| std::str::from_utf8(line).ok();
    secretsd::fuzzing::json_body(text(id), text(query), if_match, body);
});
