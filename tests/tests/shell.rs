//! `secretctl` at home in a shell: completion in real shells at a real terminal, and manual pages that real
//! formatters take without a word.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use secretsd_tests::harness::skip;
use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, process, programs};
use serde_json::json;

/// What makes a shell complete `shows`, which prints the words it gets, as it does `secretctl`.
const SHELLS: [(&str, &[&str], &str); 3] = [
    (
        "bash",
        &["bash", "--norc", "--noprofile", "-i"],
        "eval \"$(secretctl completions bash)\"; complete -F _secretctl shows; bind 'set bell-style none'",
    ),
    (
        "zsh",
        &["zsh", "-f", "-i"],
        "autoload -Uz compinit; compinit -u -D; eval \"$(secretctl completions zsh)\"; compdef _secretctl shows; unsetopt beep",
    ),
    (
        "fish",
        &["fish", "--no-config", "--interactive"],
        "secretctl completions fish | source; complete -c shows -f -a '(__secretctl_complete)'",
    ),
];

fn search_path(env: &Env) -> String {
    let own = Path::new(env.programs().client).parent().unwrap().to_owned();
    format!("{}:{}", own.display(), std::env::var("PATH").unwrap())
}

fn has(program: &str) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", "command -v \"$1\"", "sh", program]);
    process::run(&mut command, b"").1.status.success()
}

/// A shell that is ready to complete; none, said aloud, where it is not installed.
fn shell(env: &Env, test: &str, (name, words, setup): (&str, &[&str], &str)) -> Option<Terminal> {
    if !has(name) {
        skip(test, &format!("{name} is not installed"));
        return None;
    }
    let path = format!("PATH={}", search_path(env));
    let mut terminal = Terminal::run(env, &[&["env", &path], words].concat());
    let shows = env.path("home/shows");
    fs::write(&shows, "#!/bin/sh\nprintf '<%s>' \"$@\"; echo .\n").unwrap();
    fs::set_permissions(&shows, fs::Permissions::from_mode(0o755)).unwrap();
    let as_function = match name {
        "fish" => format!("function shows; '{}' $argv; end", shows.display()),
        _ => format!("shows() {{ '{}' \"$@\"; }}", shows.display()),
    };
    terminal.type_keys(&format!("{setup}; {as_function}; echo rea''dy\r"));
    terminal.wait_for("ready");
    Some(terminal)
}

/// Types this, the tabulator in it too, and looks which words the command got. On a machine that is busy with other
/// things the daemon may take longer than a person would be kept waiting for names, but not each time.
#[track_caller]
fn completes(shell: &mut Terminal, typed: &str, expected: &str) {
    let (line, rest) = typed.split_once('\t').unwrap();
    let expected = format!("{expected}.");
    for _ in 0..20 {
        let before = shell.shown().matches(&expected).count();
        // fish completes in its own time, and takes what is typed meanwhile as it comes; so do the others.
        shell.type_keys(&format!("{line}\t{rest}\r"));
        shell.wait_for(">.");
        if shell.shown().matches(&expected).count() > before {
            return;
        }
    }
    panic!("{typed:?} does not become {expected}: {:?}", shell.shown());
}

#[test]
fn shells_complete_commands_flags_and_names() {
    let env = Env::unlocked(programs!());
    env.post("/user/secrets", &json!({ "name": "OPENAI_API_KEY", "value": "v", "provider": "openai" }));
    for name in ["OTHER_ONE", "ZULU", "GONE"] {
        env.store(name, "v");
    }
    env.ctl(["rm", "GONE"]).expect(0);
    // Ids are in hexadecimal: none begins with a z.
    for name in ["agent", "z$(touch owned)", "-rf"] {
        env.post("/tokens", &json!({ "name": name, "scopes": ["list"] })).expect(201);
    }
    env.ctl(["credential", "allow", "web.service", "ZULU"]).expect(0);
    // What would be taken for a flag is offered by its id.
    let dash = env.get("/tokens").expect(200)["tokens"][0].clone();
    assert_eq!(dash["name"], "-rf");
    // The daemon is not waited for.
    let ask = || env.ctl(["__complete"]).stdin(b"token\0revoke\0\0").expect(0);
    let offered = (0..100).map(|_| ask()).find(|offered| !offered.is_empty()).unwrap_or_default();
    assert!(offered.contains(&format!("{}\t-rf, list\n", dash["id"].as_str().unwrap())), "{offered}");
    assert!(!offered.lines().any(|line| line.starts_with('-')), "{offered}");
    fs::write(env.path("a file"), "").unwrap();
    for choice in SHELLS {
        let Some(mut shell) = shell(&env, "shells_complete_commands_flags_and_names", choice) else {
            continue;
        };
        for (typed, expected) in [
            ("shows hist\t", "<history>"),
            ("shows key rem\t", "<key><remove>"),
            ("shows show OPE\t", "<show><OPENAI_API_KEY>"),
            ("shows show ope\t", "<show><OPENAI_API_KEY>"),
            ("shows rm ZULU OT\t", "<rm><ZULU><OTHER_ONE>"),
            ("shows restore G\t", "<restore><GONE>"),
            ("shows show G\tX", "<show><GX>"),
            ("shows list --prov\topenai", "<list><--provider><openai>"),
            ("shows list --provider anth\t", "<list><--provider><anthropic>"),
            ("shows list --provider=anth\t", "<list><--provider=anthropic>"),
            ("shows run -s ZULU,OPE\t", "<run><-s><ZULU,OPENAI_API_KEY>"),
            ("shows run -s ZULU -- unam\t", "<run><-s><ZULU><--><uname>"),
            ("shows token revoke ag\t", "<token><revoke><agent>"),
            ("shows token create --scope list,rev\t", "<token><create><--scope><list,reveal>"),
            ("shows token revoke z\tX", "<token><revoke><zX>"),
            ("shows credential revoke w\t", "<credential><revoke><web.service>"),
            ("shows man cred\tall\t", "<man><credential><allow>"),
            ("shows --color nev\t", "<--color><never>"),
            ("shows completions f\t", "<completions><fish>"),
            ("shows set A --value-file a\\ f\t", "<set><A><--value-file><a file>"),
            ("shows set A --value-file=a\\ f\t", "<set><A><--value-file=a file>"),
        ] {
            completes(&mut shell, typed, expected);
        }
        assert!(!shell.shown().contains("passphrase"), "{}: {}", choice.0, shell.shown());
    }
}

#[test]
fn completing_is_silent_when_there_is_nobody_to_ask_and_starts_nobody() {
    let mut env = Env::unlocked(programs!());
    env.store("OPENAI_API_KEY", "v");
    env.post("/vault/lock", &json!({})).expect(200);
    for state in ["locked", "stopped"] {
        if state == "stopped" {
            env.stop();
        }
        for choice in SHELLS {
            let test = "completing_is_silent_when_there_is_nobody_to_ask_and_starts_nobody";
            let Some(mut shell) = shell(&env, test, choice) else { continue };
            completes(&mut shell, "shows show OPE\tX", "<show><OPEX>");
            completes(&mut shell, "shows hist\t", "<history>");
            assert!(!shell.shown().contains("passphrase"), "{}: {}", choice.0, shell.shown());
        }
    }
    assert!(!env.socket().exists());
    assert!(env.listener().is_none());
}

/// systemd would start the daemon at any connection.
#[test]
fn completing_does_not_knock_at_a_socket_whose_daemon_does_not_run() {
    let env = Env::new(programs!());
    env.private_dir("run/secretsd");
    env.private_dir("run/systemd");
    env.private_file("run/systemd/private", "");
    env.private_dir("config/systemd/user");
    env.private_file("config/systemd/user/secretsd.socket", "");
    let listener = UnixListener::bind(env.socket()).unwrap();
    listener.set_nonblocking(true).unwrap();
    let output = env.ctl(["__complete"]).stdin("show\0\0").run();
    assert_eq!((output.out(), output.err()), (String::new(), String::new()));
    assert!(listener.accept().is_err(), "completing connects, which starts the daemon");
    // With the token of a daemon there it does ask, and is not kept waiting by one that does not answer.
    env.private_file("run/secretsd/token", "x".repeat(43));
    env.ctl(["__complete"]).stdin("show\0\0").expect(0);
    assert!(listener.accept().is_ok());
}

#[test]
fn completing_takes_less_than_a_person_notices() {
    let env = Env::unlocked(programs!());
    env.store("OPENAI_API_KEY", "v");
    // A machine that is busy with other things needs more tries, not more time for each.
    let end = Instant::now() + process::DEADLINE;
    let mut best = Duration::MAX;
    while best >= Duration::from_millis(50) {
        assert!(Instant::now() < end, "{best:?}");
        let start = Instant::now();
        if env.ctl(["__complete"]).stdin("show\0OPE").expect(0) == "OPENAI_API_KEY\tsecret\n" {
            best = best.min(start.elapsed());
        }
    }
}

/// Somebody may have typed a value where none belongs; arguments can be seen by others.
#[test]
fn what_stands_on_the_line_is_in_no_process_list() {
    let env = Env::new(programs!());
    for choice in SHELLS {
        let test = "what_stands_on_the_line_is_in_no_process_list";
        let Some(mut shell) = shell(&env, test, choice) else { continue };
        // From now on another program answers, which notes how it was called.
        let stub = env.private_dir("stub").join("secretctl");
        let called = env.path("called");
        let note =
            "#!/bin/sh\nexec >>\"$CALLED\"; tr '\\0' ' ' </proc/$$/cmdline; echo; cat | tr '\\0' ' '; echo\n";
        fs::write(&stub, note.replace("$CALLED", called.to_str().unwrap())).unwrap();
        fs::set_permissions(&stub, fs::Permissions::from_mode(0o700)).unwrap();
        let _ = fs::remove_file(&called);
        let dir = stub.parent().unwrap().display();
        shell.type_keys(&match choice.0 {
            "fish" => format!("set -x PATH {dir} $PATH; echo chan''ged\r"),
            _ => format!("PATH={dir}:$PATH; echo chan''ged\r"),
        });
        shell.wait_for("changed");
        completes(&mut shell, "shows set A sk-canary\t", "<set><A><sk-canary>");
        let called = fs::read_to_string(&called).unwrap();
        let (call, input) = called.split_once('\n').unwrap();
        assert_eq!(call, format!("/bin/sh {} __complete ", stub.display()), "{}", choice.0);
        assert!(input.starts_with("set A sk-canary"), "{}: {called}", choice.0);
    }
}

#[test]
fn there_is_a_manual_page_for_every_command_and_formatters_find_no_fault() {
    let env = Env::new(programs!());
    let dir = env.path("man/man1");
    assert_eq!(env.ctl(["man", "--dir", dir.to_str().unwrap()]).expect(0), "");
    let mut pages: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    let names: Vec<String> =
        pages.iter().map(|page| page.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let help = env.ctl(["--help"]).expect(0);
    // From the first group of commands to the options; a command's line begins with two blanks.
    let (commands, _) = help.split_once("\nOptions:\n").unwrap();
    let commands: Vec<&str> = commands.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert!(commands.len() > 30, "{help}");
    for line in commands {
        let name = line.split_whitespace().next().unwrap();
        assert!(name == "help" || names.contains(&format!("secretctl-{name}")), "{name} has no page");
    }
    assert!(names.contains(&"secretctl".to_owned()) && names.contains(&"secretctl-key-add".to_owned()));
    assert!(!names.iter().any(|name| name.contains("__")), "{names:?}");
    // Those of the daemon and of the broker are written by hand.
    for (name, text) in [
        ("secretsd.1", include_str!("../../daemon/secretsd.1")),
        ("secretsd-broker.1", include_str!("../../broker/secretsd-broker.1")),
        ("secretsd-bus.1", include_str!("../../bus/secretsd-bus.1")),
    ] {
        let page = env.private_file(name, text);
        fs::set_permissions(&page, fs::Permissions::from_mode(0o644)).unwrap();
        pages.push(page);
    }
    let formatters: [&[&str]; 3] = [
        &["groff", "-ww", "-man", "-Tutf8"],
        &["man", "--warnings", "-l"],
        &["mandoc", "-T", "lint", "-W", "warning"],
    ];
    for formatter in formatters {
        if !has(formatter[0]) {
            skip("formatters_find_no_fault", &format!("{} is not installed", formatter[0]));
            continue;
        }
        for page in &pages {
            assert_eq!(fs::metadata(page).unwrap().permissions().mode() & 0o777, 0o644);
            let mut command = env.command(formatter[0]);
            let (_, output) = process::run(command.args(&formatter[1..]).arg(page), b"");
            let said = [output.stderr, if formatter[0] == "mandoc" { output.stdout } else { Vec::new() }];
            let said = String::from_utf8(said.concat()).unwrap();
            // A page has no date on purpose: the same sources make the same page.
            let complaints: Vec<&str> = said
                .lines()
                .filter(|line| !line.contains("missing date") && !line.contains("outdated mandoc.db"))
                .collect();
            assert!(complaints.is_empty(), "{}: {complaints:?}", page.display());
        }
    }
    // One page alone is the same as among the others.
    for (words, name) in [(&["man"][..], "secretctl"), (&["man", "key", "add"], "secretctl-key-add")] {
        let page = fs::read_to_string(dir.join(format!("{name}.1"))).unwrap();
        assert_eq!(env.ctl(words).expect(0), page);
    }
    env.ctl(["man", "nonsense"]).expect(4);
    env.ctl(["man", "help"]).expect(4);
}

#[test]
fn an_example_of_a_page_keeps_its_lines() {
    let env = Env::new(programs!());
    let page = env.private_file("page.1", env.ctl(["man", "set"]).expect(0));
    if !has("groff") {
        return skip("an_example_of_a_page_keeps_its_lines", "groff is not installed");
    }
    let (_, output) = process::run(env.command("groff").args(["-man", "-Tascii", "-P-cbou"]).arg(page), b"");
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "secretctl set OPENAI_API_KEY",
        "secretctl set TLS_KEY --value-file key.pem",
        "printf %s \"$KEY\" | secretctl set OPENAI_API_KEY --provider openai",
    ] {
        assert!(text.lines().any(|shown| shown.trim() == line), "{line}: {text}");
    }
}

#[test]
fn the_daemons_page_has_its_flags_variables_and_version() {
    let page = include_str!("../../daemon/secretsd.1").replace("\\-", "-");
    let (_, help) = process::run(Command::new(programs!().daemon).arg("--help"), b"");
    let help = String::from_utf8(help.stdout).unwrap();
    let words = help.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
    let named =
        words.filter(|word| word.len() > 2 && (word.starts_with("--") || word.starts_with("SECRETSD_")));
    let named: Vec<&str> = named.collect();
    assert!(named.len() >= 14, "{help}");
    for word in named {
        assert!(page.contains(word), "{word} is not in the page");
    }
    let (_, version) = process::run(Command::new(programs!().daemon).arg("--version"), b"");
    assert!(
        page.contains(String::from_utf8(version.stdout).unwrap().trim()),
        "the page is of another version"
    );
}

#[test]
fn the_brokers_page_is_of_its_version() {
    let page = include_str!("../../broker/secretsd-broker.1").replace("\\-", "-");
    let broker = Path::new(programs!().daemon).with_file_name("secretsd-broker");
    let (_, version) = process::run(Command::new(broker).arg("--version"), b"");
    let version = String::from_utf8(version.stdout).unwrap();
    assert!(version.starts_with("secretsd-broker ") && page.contains(version.trim()), "{version}");
}

#[test]
fn the_page_of_what_serves_the_bus_has_its_flags_and_version() {
    let page = include_str!("../../bus/secretsd-bus.1").replace("\\-", "-");
    let program = Path::new(programs!().daemon).with_file_name("secretsd-bus");
    let says =
        |flag: &str| String::from_utf8(process::run(Command::new(&program).arg(flag), b"").1.stdout).unwrap();
    let help = says("--help");
    let flags: Vec<&str> = help
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .filter(|word| word.len() > 2 && word.starts_with("--"))
        .collect();
    assert!(flags.len() >= 8, "{help}");
    for flag in flags.into_iter().filter(|flag| *flag != "--help") {
        assert!(page.contains(flag), "{flag} is not in the page");
    }
    assert!(page.contains(says("--version").trim()), "the page is of another version");
}
