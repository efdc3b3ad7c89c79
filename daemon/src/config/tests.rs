//! The precedence of settings, and what their errors say and do not say.

use std::collections::HashMap;
use std::fs;

use tracing::Level;

use super::*;

struct Machine {
    home: tempfile::TempDir,
    variables: HashMap<&'static str, OsString>,
    runtime_dir: Option<PathBuf>,
}

impl Machine {
    fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            variables: HashMap::new(),
            runtime_dir: Some("/run/user/7".into()),
        }
    }

    fn settings(self, text: &str) -> Self {
        let dir = self.home.path().join("config/secretsd");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("config.toml"), text).unwrap();
        self
    }

    fn set(mut self, name: &'static str, value: &str) -> Self {
        self.variables.insert(name, value.into());
        self
    }

    fn read(&self, args: &[&str]) -> Result<Config, Error> {
        read(std::iter::once("secretsd").chain(args.iter().copied()).map(OsString::from), |name| {
            let home = |below: &str| Some(self.home.path().join(below).into_os_string());
            let set = self.variables.get(name).cloned();
            set.or_else(|| match name {
                "XDG_DATA_HOME" => home("data"),
                "XDG_STATE_HOME" => home("state"),
                "XDG_CONFIG_HOME" => home("config"),
                "XDG_RUNTIME_DIR" => self.runtime_dir.clone().map(PathBuf::into_os_string),
                _ => None,
            })
        })
    }
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let machine = Machine::new();
    let config = machine.read(&[]).unwrap();
    assert_eq!(config.data_dir, machine.home.path().join("data/secretsd"));
    assert_eq!(config.state_dir, machine.home.path().join("state/secretsd"));
    assert_eq!(config.socket, Path::new("/run/user/7/secretsd/secretsd.sock"));
    assert_eq!(config.token_path(&config.socket), Path::new("/run/user/7/secretsd/token"));
    assert_eq!(config.log, "info");
    assert_eq!(config.auto_lock.idle.as_secs(), 900);
    assert_eq!(config.auto_lock.max.as_secs(), 28_800);
    assert_eq!(config.kdf, Kdf { memory_kib: 65_536, passes: 3, lanes: 1 });
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.credentials, CredentialSettings { socket: true, system_manager: false });
}

#[test]
fn units_are_served_as_the_file_says() {
    let read = |text: &str| Machine::new().settings(text).read(&[]);
    let config = read("[credentials]\nsocket = false\nsystem_manager = true\n").unwrap();
    assert_eq!(config.credentials, CredentialSettings { socket: false, system_manager: true });
    let config = read("[credentials]\nsystem_manager = true\n").unwrap();
    assert_eq!(config.credentials, CredentialSettings { socket: true, system_manager: true });
    for bad in ["[credentials]\nsockets = true\n", "[credentials]\nsocket = 1\n"] {
        assert!(matches!(read(bad), Err(Error::Line { line: 2, .. })), "{bad}");
    }
}

#[test]
fn what_locks_is_set_by_the_file_and_the_bus_by_its_variable() {
    let read = |text: &str| Machine::new().settings(text).read(&[]);
    let config = read("").unwrap();
    assert_eq!(config.lock_on, LockOn { suspend: true, session_lock: true });
    assert_eq!(config.system_bus.as_deref(), Some(Path::new("/run/dbus/system_bus_socket")));
    let config = read("[lock_on]\nsuspend = false\n").unwrap();
    assert_eq!(config.lock_on, LockOn { suspend: false, session_lock: true });
    let config = read("[lock_on]\nsession_lock = false\n").unwrap();
    assert_eq!(config.lock_on, LockOn { suspend: true, session_lock: false });
    for bad in ["[lock_on]\nresume = true\n", "[lock_on]\nsuspend = 1\n"] {
        assert!(matches!(read(bad), Err(Error::Line { line: 2, .. })), "{bad}");
    }

    let bus = |address| Machine::new().set("DBUS_SYSTEM_BUS_ADDRESS", address).read(&[]).unwrap().system_bus;
    for good in ["unix:path=/b", "unix:path=/b,guid=7", "unix:guid=7,path=/b;tcp:host=h"] {
        assert_eq!(bus(good).as_deref(), Some(Path::new("/b")), "{good}");
    }
    for bad in
        ["unixexec:path=/b", "tcp:host=h,port=1", "unix:abstract=b", "unix:path=b", "unix:path=/%62", "/b"]
    {
        assert_eq!(bus(bad), None, "{bad}");
    }
}

#[test]
fn a_flag_beats_its_variable_which_beats_the_default() {
    let machine = Machine::new()
        .set("SECRETSD_DATA_DIR", "/v/data")
        .set("SECRETSD_STATE_DIR", "/v/state")
        .set("SECRETSD_SOCKET", "/v/sock")
        .set("SECRETSD_TOKEN_FILE", "/v/token")
        .set("RUST_LOG", "warn,secretsd=trace");
    let config = machine.read(&[]).unwrap();
    assert_eq!(config.data_dir, Path::new("/v/data"));
    assert_eq!(config.state_dir, Path::new("/v/state"));
    assert_eq!(config.socket, Path::new("/v/sock"));
    assert_eq!(config.token_path(&config.socket), Path::new("/v/token"));
    assert_eq!(config.log, "warn,secretsd=trace");
    let config = machine
        .read(&[
            "--data-dir",
            "/f/data",
            "--state-dir=/f/state",
            "--socket",
            "/f/sock",
            "--token-file",
            "/f/token",
        ])
        .unwrap();
    assert_eq!(config.data_dir, Path::new("/f/data"));
    assert_eq!(config.state_dir, Path::new("/f/state"));
    assert_eq!(config.socket, Path::new("/f/sock"));
    assert_eq!(config.token_path(&config.socket), Path::new("/f/token"));
    assert_eq!(machine.read(&["--log-level", "error"]).unwrap().log, "error");
    let empty = Machine::new().set("SECRETSD_SOCKET", "").read(&[]).unwrap();
    assert_eq!(empty.socket, Path::new("/run/user/7/secretsd/secretsd.sock"));
    assert!(machine.read(&["--socket", "here"]).unwrap().socket.is_absolute());
}

#[test]
fn the_file_sets_numbers_and_another_file_can_be_named() {
    let machine = Machine::new().settings(
        "[auto_lock]\nidle_seconds = 0\n[kdf]\nmemory_kib = 19456\npasses = 2\n[limits]\nidle_seconds = 7\n",
    );
    let config = machine.read(&[]).unwrap();
    assert_eq!(config.auto_lock.idle, Duration::ZERO);
    assert_eq!(config.kdf, Kdf { memory_kib: 19_456, passes: 2, lanes: 1 });
    assert_eq!(config.limits.idle.as_secs(), 7);
    let other = machine.home.path().join("other.toml");
    fs::write(&other, "[limits]\nidle_seconds = 8\n").unwrap();
    let config = machine.read(&["--config", other.to_str().unwrap()]).unwrap();
    assert_eq!(config.limits.idle.as_secs(), 8);
    assert_eq!(config.auto_lock.idle.as_secs(), 900);
    let absent = machine.read(&["--config", "/nowhere/x.toml"]).unwrap_err();
    assert!(matches!(absent, Error::Absent(_)));
}

#[test]
fn the_key_for_the_start_is_one_that_can_be_found() {
    let read = |text: &str| Machine::new().settings(text).read(&[]);
    let file = read("[unlock_at_start]\nkey_file = \"/media/key\"").unwrap();
    assert_eq!(file.unlock_at_start, Some(StartKey::File("/media/key".into())));
    let provider = "[key_providers.tpm]\nargv = [\"/bin/tpm\"]\n[unlock_at_start]\nkey_provider = \"tpm\"";
    assert_eq!(read(provider).unwrap().unlock_at_start, Some(StartKey::Provider("tpm".to_owned())));
    for text in [
        "[unlock_at_start]\n",
        "[unlock_at_start]\nkey_file = \"key\"",
        "[unlock_at_start]\nkey_provider = \"tpm\"",
        &format!("{provider}\nkey_file = \"/media/key\""),
    ] {
        assert!(matches!(read(text), Err(Error::Line { .. })), "{text}");
    }
}

#[test]
fn a_key_provider_has_its_own_time() {
    let read = |text: &str| {
        Machine::new().settings(&format!("[key_providers.tpm]\nargv = [\"/bin/tpm\"]\n{text}")).read(&[])
    };
    for (text, seconds, logs) in
        [("", 10, false), ("seconds = 30\nstderr = \"log\"\n", 30, true), ("seconds = 1\n", 1, false)]
    {
        let config = read(text).unwrap();
        let command = &config.key_providers["tpm"];
        assert_eq!((command.deadline.as_secs(), command.logs_stderr), (seconds, logs), "{text}");
    }
    for text in ["seconds = 0\n", "seconds = 31\n", "stderr = \"file\"\n"] {
        assert!(matches!(read(text), Err(Error::Line { line: 3, .. })), "{text}");
    }
}

#[test]
fn every_fault_in_the_file_is_reported_with_its_line() {
    for (text, line, word) in [
        ("\n[kdf]\nmemory = 1\n", 3, "memory"),
        ("[auto_lock]\n\n[extra]\n", 3, "extra"),
        ("[kdf]\npasses = \"3\"\n", 2, "string"),
        ("[kdf]\npasses = -3\n", 2, "-3"),
        ("[kdf]\nlanes = 1\npasses = 1\n", 3, "from 2 to 16"),
        ("[kdf]\nmemory_kib = 2097153\n", 2, "from 19456 to 2097152"),
        ("[limits]\nbody_bytes = 1048577\n", 2, "from 1024 to 1048576"),
        ("[limits]\nconnections = 0\n", 2, "from 1"),
        ("[limits\n", 1, ""),
        ("[kdf]\nlanes = 1\nlanes = 2\n", 3, "duplicate"),
        // Of several the first.
        ("[key_providers.b]\nargv = [\"b\"]\n[key_providers.a]\nargv = [\"a\"]\n", 2, "absolute path"),
        ("[limits]\nconnections = 0\n[kdf]\npasses = 1\n[key_providers.a]\nargv = []\n", 2, "from 1 to"),
        ("[kdf]\npasses = 1\nlanes = 0\n", 2, "from 2"),
        ("[kdf]\nlanes = 0\npasses = 1\n", 2, "from 1 to 8"),
        ("[unlock_at_start]\n[kdf]\npasses = 1\n", 1, "unlock_at_start"),
        ("[unlock_at_start]\nkey_provider = \"a\"\n[key_providers.a]\nargv = []\n", 4, "absolute path"),
    ] {
        let error = Machine::new().settings(text).read(&[]).unwrap_err();
        let message = error.to_string();
        let Error::Line { line: found, .. } = error else { panic!("{text:?}: {message}") };
        assert_eq!(found, line, "{text:?}: {message}");
        assert!(message.contains(word), "{text:?}: {message}");
    }
}

#[test]
fn a_file_that_others_can_write_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let machine = Machine::new().settings("");
    let file = machine.home.path().join("config/secretsd/config.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(machine.read(&[]), Err(Error::Files(files::Error::TooOpen { .. }))));
}

#[test]
fn usage_errors_never_repeat_what_was_typed() {
    for args in [
        &["sk-canary"][..],
        &["--sk-canary"],
        &["--sk-canary=sk-canary"],
        &["--log-level", "sk-canary"],
        &["--socket", "/sk-canary", "--socket", "/sk-canary"],
        &["--socket"],
        &["--socket", ""],
        &["-sk-canary"],
        &["--log-level=info", "--", "sk-canary"],
    ] {
        let error = Machine::new().read(args).unwrap_err();
        assert!(matches!(error, Error::Usage(_)), "{args:?}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    let error = Machine::new().set("RUST_LOG", "secretsd=sk-canary=").read(&[]).unwrap_err();
    assert!(matches!(error, Error::Log));
    assert!(
        matches!(Machine::new().read(&["--help"]), Err(Error::Show(text)) if text.contains("SECRETSD_SOCKET"))
    );
    assert!(
        matches!(Machine::new().read(&["--version"]), Err(Error::Show(text)) if text.starts_with("secretsd "))
    );
}

#[test]
fn without_a_runtime_directory_nothing_falls_back_to_tmp() {
    let mut machine = Machine::new();
    machine.runtime_dir = None;
    let error = machine.read(&[]).unwrap_err();
    assert!(matches!(error, Error::NoPlace { variable: "XDG_RUNTIME_DIR", .. }));
    assert!(error.to_string().contains("--socket"));
    assert!(machine.read(&["--socket", "/x/y.sock"]).is_ok());
}

#[test]
fn the_approvers_settings_are_looked_at_and_not_used() {
    let named = Machine::new().settings("[approve]\npinentry = \"/usr/bin/pinentry-qt\"\n");
    let usual = Machine::new();
    assert_eq!(named.read(&[]).unwrap().limits, usual.read(&[]).unwrap().limits);
    for wrong in ["pinentry = \"pinentry-qt\"", "pinentry = 7", "pinentri = \"/a\""] {
        let read = Machine::new().settings(&format!("[approve]\n{wrong}\n")).read(&[]);
        assert!(matches!(read, Err(Error::Line { line: 2, .. })), "{wrong}");
    }
}

#[test]
fn what_is_logged_is_chosen_by_level_and_target_and_spans_are_passed_over() {
    for (text, of_us, of_others) in [
        ("", Level::ERROR, Level::ERROR),
        ("info", Level::INFO, Level::INFO),
        ("warn,secretsd=trace", Level::TRACE, Level::WARN),
        ("secretsd=debug,,warn,", Level::DEBUG, Level::WARN),
        ("app[request{id=7}]=trace", Level::ERROR, Level::ERROR),
        ("info,app[request{id=7}]=trace", Level::INFO, Level::INFO),
    ] {
        let chosen = what_to_log(text).unwrap();
        for (target, most) in [("secretsd::daemon", of_us), ("hyper", of_others)] {
            for level in [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE] {
                assert_eq!(chosen.would_enable(target, &level), level <= most, "{text}: {target} {level}");
            }
        }
    }
    for text in ["secretsd=much", "a=b=c"] {
        assert!(what_to_log(text).is_err(), "{text}");
    }
}
