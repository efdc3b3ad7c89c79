//! `secrets-client` as another program uses it: its example, on the real daemon.

use std::process::Output;

use secretsd_tests::{Env, process, programs};

fn ask(env: &Env, words: &[&str]) -> Output {
    let mut command = env.command(env!("CARGO_BIN_EXE_ask"));
    process::run(command.args(words), b"").1
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_example_lists_reveals_and_tells_errors_apart() {
    let mut env = Env::new(programs!());
    let asked = |env: &Env, name: &str, code: i32, told: &str| {
        let output = ask(env, &[name, "printenv", name]);
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{errors}");
        assert!(errors.contains(told), "{told:?} is not in {errors}");
        assert!(!errors.contains("canary-value"), "{errors}");
        text(&output.stdout)
    };
    assert_eq!(asked(&env, "API_KEY", 8, "nothing listens on"), "");

    env.start();
    env.init();
    env.ctl(["set", "API_KEY"]).stdin("canary-value-of-the-example").expect(0);
    assert_eq!(asked(&env, "API_KEY", 0, "API_KEY is "), "canary-value-of-the-example\n");
    assert_eq!(asked(&env, "NO_SUCH", 4, "ask: "), "");
    let log = env.ctl(["audit", "--json"]).expect(0);
    assert!(log.contains("\"purpose\":\"example\""), "{log}");

    // No answer of the daemon, but what is known before anything is sent.
    let token = env.runtime_dir().join("token");
    let kept = std::fs::read(&token).unwrap();
    std::fs::write(&token, "two words").unwrap();
    asked(&env, "API_KEY", 5, "not a token; check the token file");
    std::fs::write(&token, kept).unwrap();

    env.ctl(["lock"]).expect(0);
    assert_eq!(asked(&env, "API_KEY", 3, "ask: "), "");
    assert_eq!(ask(&env, &[]).status.code(), Some(2));
}
