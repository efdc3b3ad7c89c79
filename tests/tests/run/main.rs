//! What `secretctl run` promises: everything is settled before the start, files are gone at the end, and no output
//! shows a value.

mod files;
mod mask;
mod or_env;
mod selection;
mod tty;

use secretsd_tests::Env;
use secretsd_tests::canary;

/// A value with what the encodings treat in their own ways.
const VALUE: &str = "sk-canary/4711+Zz=\"q\" äé";

/// A value of several lines, as keys are.
const KEY: &str = "-----BEGIN TEST KEY-----\nMIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSi\nAgEAAoIBAQC7VJTUt9Us8cKj\n-----END TEST KEY-----\n";

fn stored() -> Env {
    let env = Env::unlocked(secretsd_tests::programs!());
    env.store("A", VALUE);
    env.store("KEY", KEY);
    env
}

#[track_caller]
fn assert_not_shown(shown: &[u8]) {
    // What JSON and URLs leave as it is.
    assert!(!shown.windows(6).any(|part| part == b"canary"), "{}", String::from_utf8_lossy(shown));
    let lines = KEY.lines().filter(|line| !line.starts_with('-'));
    for value in [VALUE, KEY].into_iter().chain(lines) {
        let found = canary::find(shown, value);
        assert_eq!(found, None, "{}", String::from_utf8_lossy(shown));
    }
}
