//! `run --or-env`: one line for a machine with a vault and for one whose environment has the variables already.

use secretsd_tests::{Env, programs};

use crate::{VALUE, assert_not_shown, stored};

const SHOW: [&str; 4] = ["--", "sh", "-c", "echo \"$A $B\""];

fn run(env: &Env, line: &[&str]) -> secretsd_tests::ctl::Ctl {
    env.ctl([&["run", "--or-env"], line, &SHOW].concat())
}

/// The line of a CI: no daemon is there, none is started, and no directory for its socket is named.
#[test]
fn what_the_environment_has_needs_no_vault() {
    let env = Env::new(programs!());
    let ran = run(&env, &["-s", "A,B"]).env("A", "from ci").env("B", "b").env("XDG_RUNTIME_DIR", "");
    assert_eq!(ran.expect(0), "from ci b\n");
    let line = ["run", "--or-env", "--file", "A", "--", "sh", "-c", "cat \"$A\"; stat -c %a \"$A\""];
    assert_eq!(env.ctl(line).env("A", "from ci\n").expect(0), "from ci\n400\n");
    assert_eq!(env.listener(), None);
}

/// Without the flag it is named, where there is no vault and the environment has what is asked for.
#[test]
fn a_ci_without_the_flag_is_told_of_it() {
    let env = Env::started(programs!());
    let line = ["run", "-s", "A,B", "--file", "C", "--", "true"];
    let output = env.ctl(line).env("A", "from ci").env("C", "c").run();
    output.assert_code(125);
    let told =
        "there is no vault yet, but the environment has A, C: add --or-env to take that; create it with: ";
    assert!(output.err().contains(told), "{}", output.err());
    assert!(!output.err().contains("from ci"), "{}", output.err());
    let output = env.ctl(line).run();
    assert!(output.err().contains("there is no vault yet; create it with: "), "{}", output.err());
}

#[test]
fn what_is_nowhere_is_named_as_that() {
    let env = Env::new(programs!());
    let absent = |env: &Env, expected: &str, line: &[&str]| {
        let output = run(env, line).env("A", "a").env("B", "").run();
        output.assert_code(125);
        assert_eq!(output.err(), format!("secretctl: {expected}\n"));
    };
    let both = "B, C are neither in the environment nor in a vault";
    // Without a daemon, without a vault, and with one that does not have it.
    absent(&env, "B is neither in the environment nor in a vault", &["--no-spawn", "-s", "A,B"]);
    absent(&env, both, &["--no-spawn", "-s", "A,B,C"]);
    let env = Env::started(programs!());
    absent(&env, both, &["-s", "A,B,C"]);
    let env = Env::unlocked(programs!());
    absent(&env, both, &["-s", "A,B,C"]);
    absent(
        &env,
        &format!("{both}; X_* matches no secret of a vault; name variables of the environment exactly"),
        &["-s", "A,X_*,B,C"],
    );
    absent(&env, "B is neither in the environment nor in a vault", &["-s", "P_A,B", "--prefix-strip", "P_"]);
}

/// That a vault is locked does not say that it has nothing.
#[test]
fn a_locked_vault_is_not_an_empty_one() {
    let env = stored();
    env.ctl(["lock"]).expect(0);
    let output = run(&env, &["-s", "A"]).run();
    output.assert_code(125);
    assert!(output.err().contains("secretctl unlock"), "{}", output.err());
    assert_eq!(run(&env, &["-s", "A,B"]).env("A", "a").env("B", "b").expect(0), "a b\n");
}

/// Also what a glob means; and no value that is not needed leaves the vault.
#[test]
fn the_environment_comes_first_and_the_vault_has_the_rest() {
    let env = Env::unlocked(programs!());
    for name in ["A", "B", "P_A"] {
        env.store(name, "from vault");
    }
    for selectors in ["A,B", "[AB]", "B,*"] {
        assert_eq!(
            run(&env, &["-s", selectors]).env("A", "own").expect(0),
            "own from vault\n",
            "{selectors}"
        );
    }
    assert_eq!(run(&env, &["--all", "--clean-env"]).env("A", "own").expect(0), "own from vault\n");
    let audit = env.ctl(["audit", "--json", "--name", "A"]).expect(0);
    assert!(!audit.contains("\"reveal\""), "{audit}");
    // The variable is what counts, not the secret's name.
    let strip = ["-s", "P_A,B", "--prefix-strip", "P_"];
    assert_eq!(run(&env, &strip).env("A", "own").env("P_A", "x").expect(0), "own from vault\n");
    assert_eq!(run(&env, &strip).env("P_A", "x").expect(0), "from vault from vault\n");
}

#[test]
fn a_token_that_may_not_list_gets_the_rest_too() {
    let env = Env::unlocked(programs!());
    env.store("A", "from vault");
    env.store("B", "from vault");
    let token = env.ctl(["token", "create", "--name", "t", "--scope", "reveal"]).expect(0);
    let ran = run(&env, &["-s", "*"]).env("A", "own").env("SECRETSD_TOKEN", token.trim());
    assert_eq!(ran.expect(0), "own from vault\n");
}

#[test]
fn masks_hide_what_the_environment_had() {
    let env = stored();
    let line = ["run", "--or-env", "--mask", "-s", "A,B", "--", "sh", "-c", "echo $A; echo $B; echo $B >&2"];
    let output = env.ctl(line).env("B", VALUE).run();
    output.assert_code(0);
    assert_not_shown(&output.stdout);
    assert_not_shown(&output.stderr);
    assert_eq!(output.out().matches("••••").count(), 2, "{}", output.out());
}

/// A name that shells or programs heed is no less so because the environment has it, and our token is never a value.
#[test]
fn names_with_a_meaning_are_refused_as_ever() {
    let env = Env::unlocked(programs!());
    let line = ["-s", "P_PATH", "--prefix-strip", "P_"];
    run(&env, &line).run().assert_code(2);
    let ours = env.ctl(["run", "--or-env", "-s", "SECRETSD_TOKEN_FILE", "--", "env"]);
    let output = ours.env("SECRETSD_TOKEN_FILE", env.path("run/secretsd/token")).run();
    output.assert_code(125);
    assert!(output.err().contains("neither in the environment"), "{}", output.err());
}
