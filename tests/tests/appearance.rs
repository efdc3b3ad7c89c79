//! What `secretctl` looks like: colour and signs of progress for eyes on a terminal that wants them, and nothing of
//! either anywhere else.

use std::fs;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use secretsd_tests::env::PASSPHRASE;
use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, process, programs};
use serde_json::{Value, json};

const ERASE: &str = "\r\x1b[K";

/// Runs a script at a terminal while the daemon stands still, until the person was told what is waited for.
fn while_waiting(env: &Env, variables: &[&str], script: &str, note: &str) -> String {
    process::signal(env.pid(), Signal::STOP);
    let client = format!("client={}", env.programs().client);
    let words = [&["env", &client], variables, &["sh", "-c", script]].concat();
    let mut terminal = Terminal::run(env, &words);
    terminal.wait_for(note);
    process::signal(env.pid(), Signal::CONT);
    assert!(terminal.wait().success(), "{}", terminal.shown());
    terminal.wait_for("end.");
    terminal.shown()
}

#[test]
fn a_wait_is_shown_on_a_terminal_and_gone_after_it() {
    let env = Env::unlocked(programs!());
    let script = "\"$client\" --json status > out; echo end.";
    let shown = while_waiting(&env, &[], script, "waiting for secretsd…");
    assert!(shown.starts_with(&format!("{ERASE}waiting for secretsd…")), "{shown:?}");
    assert!(shown.ends_with(&format!("{ERASE}end.\r\n")), "{shown:?}");
    let status: Value = serde_json::from_slice(&fs::read(env.path("out")).unwrap()).unwrap();
    assert_eq!(status["state"], "unlocked");

    // It counts.
    process::signal(env.pid(), Signal::STOP);
    let mut terminal = Terminal::ctl(&env, &["verify"]);
    terminal.wait_for(&format!("{ERASE}reading the whole vault… 1 s"));
    process::signal(env.pid(), Signal::CONT);
    terminal.expect(0, "verified: all data is authentic");
}

#[test]
fn a_terminal_that_wants_none_of_it_gets_one_plain_line() {
    let env = Env::unlocked(programs!());
    for variable in ["NO_COLOR=1", "TERM=dumb"] {
        let script = "\"$client\" list; echo end.";
        let shown = while_waiting(&env, &[variable], script, "secretctl: waiting for secretsd…");
        assert!(!shown.contains('\x1b'), "{shown:?}");
        assert_eq!(shown.matches("waiting").count(), 1);
    }
}

#[test]
fn a_wait_leaves_nothing_where_nobody_looks() {
    let env = Env::unlocked(programs!());
    let script = "(sleep 1; kill -CONT \"$daemon\") & \"$client\" list 2>err; cat err >&2; echo end.";
    process::signal(env.pid(), Signal::STOP);
    let daemon = format!("daemon={}", env.pid());
    let client = format!("client={}", env.programs().client);
    let mut terminal = Terminal::run(&env, &["env", &client, &daemon, "sh", "-c", script]);
    terminal.wait_for("end.");
    assert_eq!(terminal.shown(), "secretctl: no secrets yet; store one with: secretctl set NAME\r\nend.\r\n");
}

#[test]
fn what_is_quick_is_not_announced() {
    let env = Env::unlocked(programs!());
    env.store("A", "v");
    // On a machine that is busy with other things even this may take long, but not each time.
    let is_quiet = || {
        let mut terminal = Terminal::ctl(&env, &["show", "A"]);
        assert!(terminal.wait().success());
        terminal.wait_for("name");
        !terminal.shown().contains("waiting")
    };
    assert!((0..20).any(|_| is_quiet()));
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let env = Env::unlocked(programs!());
    env.store("A", "v");
    let client = env.programs().client;
    let bold = |variables: &[&str], flags: &[&str]| {
        let words = [&["env"], variables, &[client, "list"], flags].concat();
        let mut terminal = Terminal::run(&env, &words);
        assert!(terminal.wait().success());
        terminal.wait_for("••••");
        terminal.shown().contains("\x1b[1mNAME")
    };
    assert!(bold(&[], &[]));
    assert!(bold(&["NO_COLOR="], &[]), "an empty variable is none");
    assert!(bold(&["NO_COLOR=1"], &["--color", "always"]), "a flag beats a variable");
    for (variables, flags) in
        [(&["NO_COLOR=1"][..], &[][..]), (&["TERM=dumb"], &[]), (&[], &["--color", "never"][..])]
    {
        assert!(!bold(variables, flags), "{variables:?} {flags:?}");
    }
    for command in [&["list"][..], &["status"], &["doctor"], &["audit"], &["--help"], &["run", "--help"]] {
        for variable in ["CLICOLOR_FORCE", "LANG"] {
            let output = env.ctl(command).env(variable, "1").run();
            let all = [output.stdout, output.stderr].concat();
            assert!(!all.contains(&0x1b), "{command:?}: {}", String::from_utf8_lossy(&all));
        }
    }
    assert!(env.ctl(["--color", "always", "list"]).expect(0).contains("\x1b[1mNAME"));
    assert!(
        env.ctl(["--color", "always", "status"])
            .expect(0)
            .starts_with("vault      \x1b[1;32munlocked\x1b[0m, locks in ")
    );
}

/// For eyes alone: logs and programs get one line.
#[test]
fn what_to_do_has_a_line_of_its_own_at_a_terminal() {
    let env = Env::started(programs!());
    let shown = |words: &[&str]| {
        let mut terminal = Terminal::run(&env, &[&["sh", "-c", "\"$@\"; echo end", "sh"], words].concat());
        terminal.expect(0, "end\r\n");
        terminal.shown().strip_suffix("end\r\n").unwrap().to_owned()
    };
    let client = env.programs().client;
    let plain = "secretctl: there is no vault yet\r\nfix: secretctl init\r\n";
    assert_eq!(shown(&[client, "list", "--color", "never"]), plain);
    assert_eq!(shown(&["env", "NO_COLOR=1", client, "list"]), plain);
    let coloured = "secretctl: there is no vault yet\r\n\x1b[1;32mfix:\x1b[0m secretctl init\r\n";
    assert_eq!(shown(&[client, "list"]), coloured);
    let asked = shown(&[client, "--color", "always", "lits"]);
    assert!(asked.ends_with("did you mean list?\r\n\x1b[1;32msee:\x1b[0m secretctl --help\r\n"), "{asked}");
    assert_eq!(
        env.ctl(["list"]).run().err(),
        "secretctl: there is no vault yet; create it with: secretctl init\n"
    );
}

#[test]
fn a_start_page_says_how_the_vault_is_and_what_to_do() {
    let mut env = Env::new(programs!());
    let page = |env: &Env| {
        let script = "\"$0\"; echo ended:$?";
        let mut terminal = Terminal::run(env, &["sh", "-c", script, env.programs().client]);
        // A script that has lost its command fails.
        terminal.expect(0, "ended:2");
        let shown = terminal.shown();
        assert!(shown.lines().count() <= 13, "{shown}");
        assert!(shown.contains("secretctl run") && shown.contains("all commands: secretctl help"), "{shown}");
        shown
    };
    assert!(page(&env).starts_with("there is no vault yet; create it with: secretctl init\r\n"));
    assert_eq!(env.listener(), None, "it starts nothing");
    env.start();
    env.init();
    assert!(page(&env).starts_with("the vault is unlocked; it is empty, begin with: secretctl import .env"));
    for (name, days) in [("A", 10), ("B", 20), ("C", 200)] {
        env.store(name, "v");
        env.ctl(["set", name, "--expires", &format!("{days}d")]).stdin("v").expect(0);
    }
    let shown = page(&env);
    assert!(
        shown.starts_with("the vault is unlocked, with 3 secrets\r\n2 to be replaced within 30 days"),
        "{shown}"
    );
    env.post("/vault/lock", &json!({})).expect(200);
    let locked = "the vault is locked; unlock it with: secretctl unlock\r\n";
    assert!(page(&env).starts_with(locked));
    env.stop();
    assert!(page(&env).starts_with(locked));
    // Without a terminal it is the help, as ever.
    let output = env.ctl::<&str>([]).run();
    assert!(output.err().contains("Usage: secretctl"), "{}", output.err());
    output.assert_code(2);
}

#[test]
fn help_is_as_wide_as_the_window_and_fits_on_it() {
    let env = Env::new(programs!());
    let help = |columns: u16, line: &str| {
        let script = format!(
            "stty cols {columns} rows 24; PAGER=cat '{}' {line}; echo ended:$?",
            env.programs().client
        );
        let mut terminal = Terminal::run(&env, &["sh", "-c", &script]);
        terminal.expect(0, "ended:0");
        let shown = terminal.shown();
        shown.rsplit_once("ended:0").unwrap().0.replace("\x1b[1m", "*").replace("\x1b[0m", "*")
    };
    for columns in [80, 100] {
        for line in ["run --help", "import --help", "set --help", "init --help"] {
            let shown = help(columns, line);
            let widest = shown.lines().map(|line| line.chars().filter(|c| *c != '*').count()).max();
            assert!(widest <= Some(columns.into()), "{line} at {columns}: {shown}");
            assert!(shown.contains("*Usage:* secretctl") && shown.contains("\n*Options:*"), "{shown}");
        }
        // On the smallest terminal all of it is seen at once, above the prompt.
        let shown = help(columns, "--help");
        assert!(shown.lines().count() <= 23, "{} lines: {shown}", shown.lines().count());
        assert!(
            shown.lines().all(|line| line.len() <= 84) && shown.contains("*Usage:* secretctl"),
            "{shown}"
        );
        assert!(shown.contains("*Every day:*") && shown.trim_end().ends_with(": secretctl help"), "{shown}");
    }
    assert!(help(80, "help").contains("Replace the vault with a backup"));
    assert!(!env.ctl(["--help"]).expect(0).contains("Exit status"));
    assert!(env.ctl(["man"]).expect(0).contains("no daemon"));
}

#[test]
fn status_begins_with_the_state_and_what_to_do_about_it() {
    let env = Env::started(programs!());
    let first = || env.ctl(["status"]).expect(0).lines().next().unwrap().to_owned();
    assert_eq!(first(), "vault      not created yet; create it with: secretctl init");
    env.init();
    let open = first();
    // The time may pass from 15 minutes to less of it.
    assert!(
        open.starts_with("vault      unlocked, locks in 15 min")
            || open.starts_with("vault      unlocked, locks in 14 min"),
        "{open}"
    );
    env.store("A", "v");
    let text = env.ctl(["status"]).expect(0);
    let auto_lock =
        "auto-lock  15 min without use, 8 h after unlock; not at suspend or session lock: no system bus";
    for line in ["secrets    1", "opens with passphrase, recovery key", auto_lock] {
        assert!(text.lines().any(|shown| shown == line), "{line}: {text}");
    }
    let json = env.ctl(["status", "--json"]).expect(0);
    let json: Value = serde_json::from_str(&json).unwrap();
    let api = env.get("/vault").expect(200);
    for (key, value) in api.as_object().unwrap().iter().filter(|(key, _)| *key != "auto_lock") {
        assert_eq!(&json[key], value, "{key}");
    }
    env.post("/vault/lock", &json!({})).expect(200);
    assert!(first().ends_with("unlock it with: secretctl unlock"), "{}", first());
    env.post("/vault/unlock", &json!({ "passphrase": PASSPHRASE })).expect(200);
    let keys = env.get("/vault/keys").expect(200);
    let recovery = keys["keys"].as_array().unwrap().iter().find(|key| key["kind"] == "recovery").unwrap();
    env.request("DELETE", &format!("/vault/keys/{}", recovery["id"].as_str().unwrap())).send();
    let output = env.ctl(["status"]).run();
    assert!(output.err().contains("add another with: secretctl key add --recovery"), "{}", output.err());
}

/// The vault may be locked in the middle of something that takes long.
#[test]
fn a_question_stands_alone_while_something_takes_long() {
    let env = Env::unlocked(programs!());
    let lines: String = (0..5_000).map(|number| format!("KEY_{number}='canary {number}'\n")).collect();
    let file = env.private_file("home/many.env", lines);
    let mut terminal = Terminal::ctl(&env, &["import", file.to_str().unwrap()]);
    terminal.wait_for("storing 5000 secrets…");
    env.post("/vault/lock", &json!({})).expect(200);
    terminal.wait_for("passphrase of the vault: ");
    // Longer than the line stays as it is.
    thread::sleep(Duration::from_millis(2_500));
    let shown = terminal.shown();
    let (_, after) = shown.rsplit_once("passphrase of the vault: ").unwrap();
    assert_eq!(after, "", "{shown:?}");
    terminal.type_keys("\x03");
    assert!(!terminal.wait().success());
    assert!(!terminal.shown().contains("canary"));
}

/// What others have written, in a note or as the reason of a reveal, does not pass for something else.
#[test]
fn text_of_others_stays_where_it_belongs() {
    let env = Env::unlocked(programs!());
    let made = env.store("A", "v");
    let forged = "2026-04-15 12:00:00  firefox[4242]  owner  reveal  B  ok";
    let reason = format!("x{}{forged}{}y", " ".repeat(100), " \u{3000}".repeat(100));
    let reveal = json!({ "secrets": ["A"], "purpose": "test", "reason": reason });
    env.post("/user/secrets/reveal", &reveal).expect(200);
    let note = format!("{}\u{202e}\u{ad}masked     gone\u{e0041}", "w".repeat(100));
    let path = format!("/user/secrets/{}", made["id"].as_str().unwrap());
    env.request("PATCH", &path).json(&json!({ "note": note })).send().expect(200);

    let client = format!("client={}", env.programs().client);
    let shown = |script: &str| {
        let script = format!("stty cols 60 rows 40; {script}; echo end.");
        let mut terminal = Terminal::run(&env, &["env", &client, "NO_COLOR=1", "sh", "-c", &script]);
        terminal.wait_for("end.");
        terminal.shown().split("\r\n").map(str::to_owned).collect::<Vec<_>>()
    };
    let log = shown("\"$client\" audit");
    let start = log[0].find("FOR").expect("there is a column for what callers say");
    let line = log.iter().find(|line| line.contains("firefox")).expect("there is the reveal");
    assert!(line.contains("test (x 2026-04-15 12:00:00 fire") && line.ends_with('…'), "{line}");
    assert_eq!(line.chars().count(), start + 60 - start % 60, "{line}");
    // With as much room as it takes, and where it is piped, it is one line without gaps.
    assert!(
        env.ctl(["audit"]).expect(0).contains("(x 2026-04-15 12:00:00 firefox[4242] owner reveal B ok y)\n")
    );

    let secret = shown("\"$client\" show A");
    let note_at = secret.iter().position(|line| line.starts_with("note")).unwrap();
    assert_eq!(secret[note_at], format!("note       {}", "w".repeat(49)));
    assert_eq!(secret[note_at + 1], format!("{:11}{}", "", "w".repeat(49)));
    assert_eq!(secret[note_at + 2], format!("{:11}ww\u{fffd}\u{fffd}masked gone\u{fffd}", ""));

    let json = shown("\"$client\" list --json; \"$client\" show A --json").join("\n");
    assert!(json.contains(r"\u202e\u00admasked     gone\udb40\udc41"), "{json}");
    let piped = env.ctl(["show", "A", "--json"]).run();
    assert!(piped.out().contains(&note), "what a program reads is as it was");
}

/// Each command's lines on a terminal of this size.
fn lines_on(env: &Env, columns: u16, rows: u16, line: &str) -> Vec<String> {
    let client = format!("client={}", env.programs().client);
    let script = format!("stty cols {columns} rows {rows}; \"$client\" {line}; echo end.");
    let mut terminal =
        Terminal::run(env, &["env", &client, "NO_COLOR=1", "PAGER=cat", "TZ=EST5", "sh", "-c", &script]);
    terminal.wait_for("end.");
    let shown = terminal.shown();
    let shown = shown.rsplit_once("end.").unwrap().0;
    shown.split("\r\n").map(str::to_owned).collect()
}

#[test]
fn times_at_a_terminal_are_local_and_those_for_programs_are_not() {
    let env = Env::unlocked(programs!());
    let time = "2099-01-01T03:00:00Z";
    env.store("A", "first-value-of-a");
    env.ctl(["edit", "A", "--expires", time]).expect(0);
    env.store("B", "value-of-b");
    env.ctl(["rm", "B"]).expect(0);
    env.ctl(["token", "create", "--name", "t", "--scope", "list", "--output", "t.token"]).expect(0);
    let field = |line: &[&str], pointer: &str| {
        let json = env.ctl([line, &["--json"]].concat()).run().json();
        let time = json.pointer(pointer).and_then(|time| time.as_str()).expect("there is a time").to_owned();
        assert!(time.ends_with('Z'), "{time}");
        // The hour five hours before, on the same day or the one before.
        let hour: u32 = time[11..13].parse().unwrap();
        (time.clone(), format!(" {:02}:{}", (hour + 19) % 24, &time[14..16]))
    };
    for (line, pointer) in [
        (&["show", "A"][..], "/created_at"),
        (&["history", "A"], "/versions/0/created_at"),
        (&["trash"], "/secrets/0/deleted_at"),
        (&["token", "list"], "/tokens/0/expires_at"),
    ] {
        let (utc, local) = field(line, pointer);
        let shown = lines_on(&env, 100, 30, &line.join(" ")).join("\n");
        assert!(shown.contains(&local) && !shown.contains(&utc), "{line:?}: {local}: {shown}");
        assert!(env.ctl(line).expect(0).contains(&utc), "{line:?}");
    }
    assert!(lines_on(&env, 80, 24, "show A").contains(&"expires    2098-12-31 22:00".to_owned()));
    // Completions are for a person, though no terminal reads them.
    let offered = |words: &[u8]| {
        // The daemon is not waited for.
        let ask = || env.ctl(["__complete"]).env("TZ", "EST5").stdin(words).expect(0);
        (0..100).map(|_| ask()).find(|offered| !offered.is_empty()).expect("there is something to complete")
    };
    for (words, line, pointer) in [
        (&b"key\0remove\0\0"[..], &["key", "list"][..], "/keys/0/created_at"),
        (b"restore\0\0", &["trash"], "/secrets/0/deleted_at"),
    ] {
        let (utc, local) = field(line, pointer);
        let shown = offered(words);
        assert!(shown.contains(&local) && !shown.contains(&utc), "{shown}");
    }
}

#[test]
fn lists_fit_their_window() {
    let env = Env::unlocked(programs!());
    for name in ["OPENAI_API_KEY_OF_THE_SHOP", "DATABASE_URL_OF_THE_SHOP", "STRIPE"] {
        env.store(name, "canary-value-0123456789");
    }
    let client = env.programs().client;
    let dir = env.private_dir("home/a/directory/of/some/length/with/the/shop");
    let script = "\"$0\" run -s OPENAI_API_KEY_OF_THE_SHOP,DATABASE_URL_OF_THE_SHOP -- true";
    assert!(env.command("sh").args(["-c", script, client]).current_dir(dir).status().unwrap().success());
    env.ctl(["get", "NOT_THERE"]).expect(4);
    env.ctl(["rm", "STRIPE"]).expect(0);
    for (name, scopes) in [("agent-for-the-shop", "list,reveal"), ("report", "admin")] {
        let file = format!("{name}.token");
        let create = ["token", "create", "--name", name, "--scope", scopes, "--output", &file];
        env.ctl(create).expect(0);
    }
    for (columns, rows) in [(80, 24), (100, 30)] {
        for line in ["audit", "doctor", "token list", "trash", "proxy list", "list", "show STRIPE"] {
            let lines = lines_on(&env, columns, rows, line);
            let is_table = |line: &&String| !line.trim_start().starts_with("fix: ");
            for shown in lines.iter().filter(is_table) {
                assert!(shown.chars().count() <= columns.into(), "{line} at {columns}: {}", lines.join("\n"));
            }
        }
        let audit = lines_on(&env, columns, rows, "audit").join("\n");
        assert!(audit.contains("the/shop") && audit.contains("OPENAI_API"), "{audit}");
        assert!(lines_on(&env, columns, rows, "token list").join("\n").contains("report"));
    }
}

/// Words are kept whole where they fit, in messages and in questions; a line to paste stays one.
#[test]
fn messages_and_questions_are_broken_between_words() {
    let env = Env::unlocked(programs!());
    let long = format!("A_{}", "VERY_LONG_NAME_".repeat(3));
    env.store(&long, "x");
    for columns in [80_u16, 100] {
        let lines = lines_on(&env, columns, 24, &format!("rm {long}"));
        let said =
            format!("secretctl: moved {long} to the trash for 30 days; undo with: secretctl restore {long}");
        assert_eq!(lines.join(" ").split_whitespace().collect::<Vec<_>>().join(" "), said);
        assert!(lines.iter().all(|line| line.chars().count() <= columns.into()), "{lines:?}");
        let command = format!("secretctl restore {long}");
        assert!(lines.iter().any(|line| line.ends_with(&command)), "{lines:?}");
        assert!(lines.len() > 2 && lines[1].starts_with("  ") && !lines[1].starts_with("   "), "{lines:?}");
        env.ctl(["restore", &long]).expect(0);
        // What can be pasted is not broken.
        let lines = lines_on(&env, columns, 24, &format!("add {long}"));
        assert!(lines.contains(&format!("fix: secretctl set {long}")), "{lines:?}");
    }
    let client = env.programs().client;
    let script = format!(
        "stty cols 80 rows 24; '{client}' history {long} --drop 1 --yes; '{client}' set {long}; '{client}' history {long} --drop 1"
    );
    let mut terminal = Terminal::run(&env, &["sh", "-c", &script]);
    terminal.wait_for("value: ");
    terminal.type_keys("another\r");
    terminal.wait_for("[y/N] ");
    let shown = terminal.shown();
    let question = shown.rsplit("\r\n").take(2).collect::<Vec<_>>();
    assert!(question.iter().all(|line| line.chars().count() <= 80), "{question:?}");
    assert!(question[1].starts_with("destroy version 1 of A_"), "{question:?}");
    assert!(question[0].starts_with("  ") && question[0].ends_with("[y/N] "), "{question:?}");
    // Where nobody sees it, a message is one line.
    assert_eq!(env.ctl(["rm", &long]).run().err().lines().count(), 1);
}

/// The numbers between versions are explained where there are some, to a person.
#[test]
fn gaps_in_a_history_are_explained() {
    let env = Env::unlocked(programs!());
    env.store("A", "one");
    env.ctl(["set", "A"]).stdin("two").expect(0);
    let told = "the numbers between are changes of name, note or expiry, or values that were dropped";
    let says = || lines_on(&env, 120, 30, "history A").iter().any(|line| line.contains(told));
    assert!(!says(), "versions 1 and 2 have nothing between them");
    env.ctl(["edit", "A", "--note", "n"]).expect(0);
    env.ctl(["set", "A"]).stdin("three").expect(0);
    let versions = env.ctl(["history", "A", "--json"]).run().json()["versions"].clone();
    let numbers: Vec<&Value> = versions.as_array().unwrap().iter().map(|one| &one["version"]).collect();
    assert_eq!(numbers, [4, 2, 1]);
    assert!(says());
    let output = env.ctl(["history", "A"]).run();
    assert!(!(output.out() + &output.err()).contains(told), "not to a program");
    // A version that was dropped leaves a gap, too.
    env.store("B", "one");
    for value in ["two", "three"] {
        env.ctl(["set", "B"]).stdin(value).expect(0);
    }
    env.ctl(["history", "B", "--drop", "2", "--yes"]).expect(0);
    assert!(lines_on(&env, 120, 30, "history B").iter().any(|line| line.contains(told)));
}

/// What stands behind `fix:` does what it says when it is pasted.
#[test]
fn a_line_to_paste_can_be_pasted() {
    let env = Env::unlocked(programs!());
    let fix = |line: &str| {
        let lines = lines_on(&env, 100, 30, line);
        let fix = lines.iter().find_map(|line| line.strip_prefix("fix: ").map(str::to_owned));
        fix.unwrap_or_else(|| panic!("{line}: {}", lines.join("\n")))
    };
    env.store("A", "v");
    assert_eq!(fix("run npm start"), "secretctl run -- npm start");
    assert_eq!(fix("run -s A sh -c 'echo $A'"), "secretctl run -s A -- sh -c 'echo $A'");
    assert_eq!(fix("proxy attach build npm ci"), "secretctl proxy attach build -- npm ci");
    assert_eq!(fix("add A"), "secretctl set A");
    // A key in its place is not shown again, nor what is read from a log.
    let shown = lines_on(&env, 100, 30, "run sk-proj-canary").join("\n");
    assert!(shown.contains("write: secretctl run -s NAME -- COMMAND"), "{shown}");
    assert_eq!(shown.matches("canary").count(), 0, "{shown}");
    assert!(!env.ctl(["run", "canary-word"]).run().err().contains("canary"));
    env.post("/vault/lock", &json!({})).expect(200);
    let mut terminal = Terminal::ctl(&env, &["unlock", "--recovery"]);
    for _ in 0..3 {
        terminal.wait_for("recovery key: ");
        terminal.type_keys("\r");
    }
    terminal.expect(5, "three wrong recovery keys");
    let shown = terminal.shown();
    let fix = shown.rsplit_once("fix:").map(|(_, fix)| fix.replace("\u{1b}[0m", ""));
    assert!(fix.is_none_or(|fix| fix.trim().starts_with("secretctl ")), "{shown}");
}
