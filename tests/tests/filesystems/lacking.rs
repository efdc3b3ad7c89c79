//! Calls that some file systems lack, made to fail by strace where none of those can be mounted.

use std::fs;

use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::harness::{behind, no_strace, skip, strace};
use secretsd_tests::{Env, programs};
use serde_json::json;

/// A daemon for which these calls end like that.
fn lacking(test: &str, faults: &[&str]) -> Option<Env> {
    if let Some(reason) = no_strace() {
        skip(test, reason);
        return None;
    }
    let mut env = Env::new(programs!());
    let output = env.path("trace");
    let injected: Vec<String> = faults.iter().map(|fault| format!("inject={fault}")).collect();
    let mut options = Vec::new();
    for fault in &injected {
        options.extend(["-e", fault.as_str()]);
    }
    let command = behind(&env, &strace(output.to_str().unwrap(), &options));
    env.start_as(command);
    Some(env)
}

#[test]
fn init_works_without_new_names_links_and_reserved_blocks() {
    for faults in [
        &["renameat2:error=EINVAL"][..],
        &["renameat2:error=ENOSYS"],
        &["renameat2:error=EOPNOTSUPP", "linkat:error=EPERM"],
        &["renameat2:error=EINVAL", "linkat:error=EOPNOTSUPP"],
        &["renameat2:error=EINVAL", "linkat:error=ENOSYS"],
        &["fallocate:error=EOPNOTSUPP"],
        &["fallocate:error=ENOSYS"],
    ] {
        let Some(env) = lacking("calls that are lacking", faults) else { return };
        env.init();
        env.store("A", "value");
        assert_eq!(env.value("A"), "value", "{faults:?}");
        assert!(fs::metadata(env.data_dir().join("ballast")).unwrap().len() >= 2 << 20);
        env.post("/vault/init", &json!({ "passphrase": PASSPHRASE }))
            .expect_error(409, "already_exists_error");
        let names: Vec<_> =
            fs::read_dir(env.data_dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| !name.to_str().unwrap().contains(".new")), "{names:?}");
    }
}

#[test]
fn a_directory_that_cannot_be_made_durable_is_no_error() {
    if let Some(reason) = no_strace() {
        return skip("directories that cannot be made durable", reason);
    }
    for error in ["EINVAL", "EOPNOTSUPP"] {
        let mut env = Env::new(programs!());
        let output = env.path("trace");
        let fault = format!("inject=fsync:error={error}");
        let dirs =
            [env.data_dir(), env.state_dir(), env.runtime_dir()].map(|dir| dir.to_str().unwrap().to_owned());
        let mut options = vec!["-e", fault.as_str()];
        for dir in &dirs {
            options.extend(["-P", dir]);
        }
        let command = behind(&env, &strace(output.to_str().unwrap(), &options));
        env.start_as(command);
        env.init();
        env.store("A", "value");
        assert_eq!(env.value("A"), "value");
        assert!(fs::read_to_string(&output).unwrap().contains("INJECTED"), "nothing has failed");
    }
}

#[test]
fn locks_that_are_lacking_are_named_with_the_file_system() {
    if let Some(reason) = no_strace() {
        return skip("locks that are lacking", reason);
    }
    for error in ["ENOLCK", "EOPNOTSUPP", "ENOSYS"] {
        let env = Env::new(programs!());
        let output = env.path("trace");
        let fault = format!("inject=flock:error={error}");
        let command = behind(&env, &strace(output.to_str().unwrap(), &["-e", &fault]));
        let (_, said) = env.fail_to_start(command);
        assert!(said.contains("which cannot lock files") && said.contains(" is on "), "{said}");
        assert!(!said.contains("full"), "{said}");
    }
}
