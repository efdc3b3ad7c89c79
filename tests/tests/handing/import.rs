//! `import`: everything is checked first, nothing is half done without a word, and the file is deleted last.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use secretsd_tests::process::{self, DEADLINE};
use secretsd_tests::terminal::Terminal;
use secretsd_tests::{Env, programs};
use serde_json::json;

use crate::{awkward, has, output_of, store_all};

fn file(env: &Env, content: impl AsRef<[u8]>) -> String {
    path(&env.private_file("env", content))
}

fn path(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn total(env: &Env) -> u64 {
    env.get("/user/secrets").expect(200)["total"].as_u64().unwrap()
}

#[test]
fn what_was_exported_is_imported_byte_for_byte() {
    let env = Env::unlocked(programs!());
    let stored = store_all(&env, &awkward());
    let texts =
        ["dotenv", "json"].map(|format| env.ctl(["export", "--all", "--format", format]).run().stdout);
    for text in texts {
        let other = Env::unlocked(programs!());
        let output = other.ctl(["import", &file(&other, text)]).run();
        output.assert_code(0);
        assert!(output.stdout.is_empty());
        for (name, value) in &stored {
            assert!(other.value(name) == *value, "{name}");
        }
    }
}

#[test]
fn every_fault_and_conflict_is_listed_by_its_line_and_nothing_is_stored() {
    let env = Env::unlocked(programs!());
    env.store("TAKEN", "before");
    let text = "GOOD=canary1\ntaken=canary2\nBAD canary3\n\nEMPTY=\nDOLLAR=canary4$x\ngood=canary5\nX.Y=canary6\nOPEN='canary7\n";
    let source = file(&env, text);
    for more in [&[][..], &["--dry-run"], &["--delete-source"]] {
        let output = env.ctl([&["import", &source], more].concat()).run();
        output.assert_code(7);
        let told = output.err();
        assert!(!told.contains("canary"), "{told}");
        let lines: Vec<&str> = told
            .lines()
            .filter_map(|line| line.strip_prefix("secretctl: line ")?.split(':').next())
            .collect();
        assert_eq!(lines, ["2", "3", "5", "6", "7", "8", "9"], "{told}");
        assert!(
            told.contains("TAKEN already exists") && told.ends_with("7 problems; nothing was stored\n"),
            "{told}"
        );
        assert_eq!(total(&env), 1);
        assert_eq!(fs::read_to_string(&source).unwrap(), text);
    }
    // Of a file that is something else, the beginning is enough.
    let source = file(&env, "a line\n".repeat(200));
    let told = env.ctl(["import", &source]).run().err();
    assert!(told.ends_with("and 180 more\nsecretctl: 200 problems; nothing was stored\n"), "{told}");
    assert_eq!(told.matches("secretctl: line ").count(), 20, "{told}");
    // Conflicts alone, and what resolves them.
    let source = file(&env, "TAKEN=after\nNEW=x\n");
    env.ctl(["import", &source]).expect(6);
    assert_eq!(total(&env), 1);
    env.ctl(["import", &source, "--on-conflict", "skip"]).expect(0);
    assert_eq!((env.value("TAKEN"), env.value("NEW")), ("before".to_owned(), "x".to_owned()));
    env.ctl(["import", &source, "--on-conflict", "replace"]).expect(0);
    assert_eq!(env.value("TAKEN"), "after");
    env.ctl(["rollback", "TAKEN", "1"]).expect(0);
    assert_eq!(env.value("TAKEN"), "before");
    env.ctl(["import", &file(&env, "# nothing\n")]).expect(7);
    env.ctl(["import", "none"]).expect(4);
    // What is wrong with a file is told although nobody may look into the vault.
    env.ctl(["lock"]).expect(0);
    env.ctl(["import", &file(&env, "A")]).expect(7);
    env.ctl(["import", &file(&env, "A=x")]).expect(3);
}

#[test]
fn a_dry_run_says_what_would_happen_and_writes_nothing() {
    let env = Env::unlocked(programs!());
    env.store("TAKEN", "before");
    let source = file(&env, "TAKEN=canary\nopenai_key=sk-proj-canarycanary\n");
    let output = env.ctl(["import", &source, "--dry-run", "--on-conflict", "replace"]).run();
    output.assert_code(0);
    let rows: Vec<Vec<String>> = output
        .out()
        .lines()
        .map(|line| {
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
        })
        .collect();
    assert_eq!(
        rows,
        [
            ["NAME", "WOULD BE", "PROVIDER", "FROM"],
            ["TAKEN", "replace", "-", "line 1"],
            ["OPENAI_KEY", "new", "openai", "line 2"]
        ]
    );
    assert!(
        !output.err().contains("canary") && output.err().contains("upper case: OPENAI_KEY"),
        "{}",
        output.err()
    );
    assert_eq!((total(&env), env.value("TAKEN")), (1, "before".to_owned()));
    assert!(Path::new(&source).exists());
    env.ctl(["import", &source, "--dry-run", "--delete-source"]).expect(2);
}

#[test]
fn the_source_is_deleted_only_when_all_of_it_reads_back() {
    let env = Env::unlocked(programs!());
    let source = file(&env, "A=x\nB=y\n");
    let output = env.ctl(["import", &source, "--delete-source"]).run();
    output.assert_code(0);
    assert!(output.err().contains("backups and git's history"), "{}", output.err());
    assert!(!Path::new(&source).exists());
    assert_eq!((env.value("A"), env.value("B")), ("x".to_owned(), "y".to_owned()));
    assert!(env.ctl(["audit", "--json"]).expect(0).contains("\"import\""));

    // What was skipped is in the file alone.
    let source = file(&env, "A=other\nC=z\n");
    let output = env.ctl(["import", &source, "--on-conflict", "skip", "--delete-source"]).run();
    output.assert_code(6);
    assert!(output.err().contains("a different value for A;"), "{}", output.err());
    assert_eq!((env.value("A"), env.value("C")), ("x".to_owned(), "z".to_owned()));
    assert!(Path::new(&source).exists());
    // The same value skipped is in the vault, too.
    let source = file(&env, "A=x\nC=z\n");
    env.ctl(["import", &source, "--on-conflict", "skip", "--delete-source"]).expect(0);
    assert!(!Path::new(&source).exists());

    // Who may not read back cannot delete.
    let body = json!({"name": "writer", "scopes": ["list", "write"], "ttl_seconds": 60});
    let token = env.post("/tokens", &body).expect(201)["token"].as_str().unwrap().to_owned();
    let source = file(&env, "D=w\n");
    let output = env.ctl(["import", &source, "--delete-source"]).env("SECRETSD_TOKEN", token).run();
    output.assert_code(5);
    assert!(output.err().contains("cannot be read back"), "{}", output.err());
    assert!(Path::new(&source).exists());

    let source = file(&env, "E=v\n");
    let link = env.path("link");
    std::os::unix::fs::symlink(&source, &link).unwrap();
    env.ctl(["import", &path(&link), "--delete-source"]).expect(7);
    env.ctl(["import", "-", "--delete-source"]).stdin("E=v").expect(2);
    assert!(Path::new(&source).exists() && link.exists());
}

#[test]
fn empty_values_are_left_out_when_told_and_named() {
    let env = Env::unlocked(programs!());
    let source = file(&env, "A=x\nOPTIONAL=\nQUOTED=\"\"\nCOMMENT= # later\n");
    let output = env.ctl(["import", &source]).run();
    output.assert_code(7);
    assert!(output.err().contains("line 2: the value is empty"), "{}", output.err());
    assert!(output.err().contains("--skip-empty") && output.err().contains("3 problems"), "{}", output.err());
    let output = env.ctl(["import", &source, "--skip-empty", "--delete-source"]).run();
    output.assert_code(0);
    assert!(output.err().contains("empty: OPTIONAL, QUOTED, COMMENT\n"), "{}", output.err());
    assert_eq!((total(&env), env.value("A")), (1, "x".to_owned()));
    assert!(!Path::new(&source).exists());
    let json = "{\"B\": \"y\", \"C\": \"\"}";
    let output = env.ctl(["import", "-", "--skip-empty"]).stdin(json).run();
    output.assert_code(0);
    assert!(output.err().contains("empty: C\n"), "{}", output.err());
    env.ctl(["import", "-", "--skip-empty"]).stdin("A=\n").expect(7);
}

#[test]
fn a_selection_is_imported_whatever_stands_beside_it() {
    let env = Env::unlocked(programs!());
    let source = file(&env, "API_KEY=x\nGREETING=$USER is here\nEMPTY=\na.b=c\ndb_token=y\n");
    env.ctl(["import", &source]).expect(7);
    env.ctl(["import", &source, "--only", "*_KEY,*_TOKEN", "--delete-source"]).expect(2);
    env.ctl(["import", &source, "--only", "NONE*"]).expect(7);
    env.ctl(["import", &source, "--only", "A-B"]).expect(7);
    env.ctl(["import", &source, "--only", "*_KEY,*_TOKEN"]).expect(0);
    assert_eq!(
        (total(&env), env.value("API_KEY"), env.value("DB_TOKEN")),
        (2, "x".to_owned(), "y".to_owned())
    );
    let json = "{\"SET_A\": \"1\", \"PORT\": 8080}";
    env.ctl(["import", "-", "--only", "set_*"]).stdin(json).expect(0);
    assert_eq!(env.value("SET_A"), "1");
}

#[test]
fn stdin_is_a_source_too() {
    let env = Env::unlocked(programs!());
    env.ctl(["import", "-"]).stdin("A='x\ny'\n").expect(0);
    env.ctl(["import", "-", "--format", "json"]).stdin("{\"B\":\"x\\r\\n\"}").expect(0);
    env.ctl(["import", "-"]).stdin(b"C=\xff").expect(7);
    assert_eq!((env.value("A"), env.value("B")), ("x\ny".to_owned(), "x\r\n".to_owned()));
}

#[test]
fn a_write_that_fails_in_the_middle_tells_what_is_stored_and_keeps_the_file() {
    let env = Env::unlocked(programs!());
    let lines: String = (0..400).map(|number| format!("N{number:03}=value\n")).collect();
    let source = file(&env, &lines);
    // Locks the vault once some are stored.
    let stored = Arc::new(AtomicUsize::new(0));
    let output = std::thread::scope(|scope| {
        let run = scope.spawn(|| env.ctl(["import", &source, "--delete-source"]).run());
        while !run.is_finished() {
            let reply = env.get("/user/secrets");
            if reply.status != 200 {
                break;
            }
            let count = total_of(&reply.expect(200));
            stored.store(count, Ordering::Relaxed);
            if count >= 5 {
                env.post("/vault/lock", &json!({})).expect(200);
                break;
            }
        }
        run.join().unwrap()
    });
    if output.code == Some(0) {
        secretsd_tests::harness::skip(
            "a_write_that_fails_in_the_middle",
            "the import was faster than the lock",
        );
        return;
    }
    let told = output.err();
    assert_eq!(output.code, Some(3), "{told}");
    assert_eq!(fs::read_to_string(&source).unwrap(), lines);
    let named = |begin: &str| -> Vec<String> {
        let line = told.lines().find_map(|line| line.strip_prefix(&format!("secretctl: {begin}: ")));
        line.map(|line| line.split(", ").map(str::to_owned).collect()).unwrap_or_default()
    };
    let (done, perhaps, open) =
        (named("stored"), named("perhaps stored, check with secretctl list"), named("not stored"));
    assert_eq!(done.len() + perhaps.len() + open.len(), 400, "{told}");
    env.ctl(["unlock", "--passphrase-file", "-"]).stdin(secretsd_tests::env::PASSPHRASE).expect(0);
    let there: Vec<String> = env.ctl(["list", "--names"]).expect(0).lines().map(str::to_owned).collect();
    assert!(there.is_empty() || there.len() == 400, "{} are there", there.len());
    assert!(done.iter().all(|name| there.contains(name)), "{told}");
    assert!(open.iter().all(|name| !there.contains(name)), "{told}");
    // And on from there.
    env.ctl(["import", &source, "--on-conflict", "skip", "--delete-source"]).expect(0);
    assert_eq!(total(&env), 400);
    assert!(!Path::new(&source).exists());
}

fn total_of(list: &serde_json::Value) -> usize {
    usize::try_from(list["total"].as_u64().unwrap()).unwrap()
}

#[test]
fn a_file_that_others_see_is_told() {
    let test = "a_file_that_others_see_is_told";
    let env = Env::unlocked(programs!());
    let warned = |source: &str, expected: &[&str]| {
        let output = env.ctl(["import", source, "--dry-run", "--on-conflict", "replace"]).run();
        output.assert_code(0);
        for word in ["others could read it", "git tracks", "cannot find out whether git tracks"] {
            assert_eq!(output.err().contains(word), expected.contains(&word), "{word}: {}", output.err());
        }
    };
    let source = file(&env, "A=x\n");
    warned(&source, &[]);
    for mode in [0o640, 0o604] {
        fs::set_permissions(&source, Permissions::from_mode(mode)).unwrap();
        warned(&source, &["others could read it"]);
    }
    if !has(test, "git") {
        return;
    }
    let repository: PathBuf = env.private_dir("repository");
    let dir = path(&repository);
    output_of(&env, &["git", "init", "-q", &dir], b"");
    // A name that is a pattern to git, and a repository that would run something when it is looked at.
    let source = path(&env.private_file("repository/[e]nv", "A=x\n"));
    env.private_file("repository/env", "A=x\n");
    let ran = path(&env.path("ran"));
    output_of(&env, &["git", "-C", &dir, "config", "core.fsmonitor", &format!("touch {ran}; false")], b"");
    output_of(&env, &["git", "-C", &dir, "-c", "core.fsmonitor=false", "add", "env"], b"");
    warned(&source, &[]);
    warned(&path(&repository.join("env")), &["git tracks"]);
    let link = env.path("link");
    std::os::unix::fs::symlink(repository.join("env"), &link).unwrap();
    warned(&path(&link), &["git tracks"]);
    assert!(!Path::new(&ran).exists(), "something of the repository ran");
    // Without git nobody knows.
    let bin = env.private_dir("bin");
    let setsid = output_of(&env, &["sh", "-c", "command -v setsid"], b"");
    std::os::unix::fs::symlink(String::from_utf8(setsid).unwrap().trim(), bin.join("setsid")).unwrap();
    let output =
        env.ctl(["import", &path(&repository.join("env")), "--dry-run"]).env("PATH", path(&bin)).run();
    output.assert_code(0);
    assert!(output.err().contains("git not found"), "{}", output.err());
}

#[test]
fn a_thousand_secrets_are_stored_in_one_transaction() {
    let env = Env::unlocked(programs!());
    let lines: String = (0..1_000).map(|number| format!("N{number:04}=value-{number}\n")).collect();
    env.store("N0500", "before");
    let source = file(&env, &lines);
    let refused = env.ctl(["import", &source]).run();
    refused.assert_code(6);
    assert_eq!(total(&env), 1);
    assert!(refused.err().contains("two projects? add --prefix "), "{}", refused.err());
    // The directory gives the prefix, where it can.
    let blog = env.private_dir("home/blog-2");
    fs::copy(&source, blog.join(".env")).unwrap();
    let refused = env.ctl(["import", ".env"]).dir(&blog).run();
    let told = "two projects? add --prefix BLOG_2_, and run with --prefix-strip BLOG_2_";
    assert!(refused.err().contains(told), "{}", refused.err());
    env.ctl(["import", &source, "--on-conflict", "replace"]).expect(0);
    assert_eq!((total(&env), env.value("N0500")), (1_000, "value-500".to_owned()));
    // Of ten problems and more it is said how many there are.
    let refused = env.ctl(["import", &source]).run().err();
    assert!(refused.contains("line 10: N0009 already") && !refused.contains("line 11: "), "{refused}");
    assert!(
        refused.contains("and 990 more\n") && refused.ends_with("1000 problems; nothing was stored\n"),
        "{refused}"
    );
    // More than one request holds goes in parts.
    let big: String = (0..40).map(|number| format!("BIG{number:02}={}\n", "x".repeat(60_000))).collect();
    env.ctl(["import", "-"]).stdin(big).expect(0);
    assert_eq!(env.value("BIG39").len(), 60_000);
    assert_eq!(total(&env), 1_040);
}

#[test]
fn a_second_project_gets_a_prefix_and_some_names_stay_out() {
    let env = Env::unlocked(programs!());
    env.store("API_KEY", "first");
    let source = file(&env, "API_KEY=second\nurl=u\nPORT=3000\nNODE_ENV=test\nOTHER=$x\n");
    env.ctl(["import", &source, "--except", "PORT", "--delete-source"]).expect(2);
    env.ctl(["import", &source, "--prefix", "sh-op", "--except", "OTHER"]).expect(7);
    env.ctl(["import", &source, "--prefix", "SHOP_", "--except", "PORT,*_ENV,OTHER"]).expect(0);
    assert_eq!((env.value("API_KEY"), env.value("SHOP_API_KEY")), ("first".to_owned(), "second".to_owned()));
    let names = env.ctl(["list", "--names"]).expect(0);
    assert_eq!(names.lines().collect::<Vec<_>>(), ["API_KEY", "SHOP_API_KEY", "SHOP_URL"]);
}

#[test]
fn settings_stay_in_the_file_if_a_person_wants_so() {
    let env = Env::unlocked(programs!());
    let source = file(&env, "API_KEY=canary\nPORT=3000\nNODE_ENV=test\n");
    let question = format!("PORT, NODE_ENV look like settings; leave them in {source}? [Y/n] ");
    for (answer, names) in [("", "API_KEY\n"), ("n", "API_KEY\nNODE_ENV\nPORT\n")] {
        let mut terminal = Terminal::ctl(&env, &["import", &source, "--on-conflict", "skip"]);
        terminal.wait_for(&question);
        terminal.type_keys(&format!("{answer}\r"));
        terminal.expect(0, "read back and checked");
        assert_eq!(env.ctl(["list", "--names"]).expect(0), names);
    }
    // With a prefix, both names are told; and what stays is all that stays of a file that is deleted otherwise.
    let mut terminal = Terminal::ctl(&env, &["import", &source, "--prefix", "SHOP_", "--delete-source"]);
    terminal
        .wait_for("PORT, NODE_ENV (stored as SHOP_PORT, SHOP_NODE_ENV) look like settings; leave them in ");
    terminal.type_keys("\r");
    terminal.expect(0, "removed all but 2 lines from ");
    assert_eq!(fs::read_to_string(&source).unwrap(), "PORT=3000\nNODE_ENV=test\n");
    assert_eq!(env.value("SHOP_API_KEY"), "canary");
    fs::write(&source, "API_KEY=canary\nPORT=3000\nNODE_ENV=test\n").unwrap();
    // Who is not there is asked nothing.
    env.ctl(["import", &source, "--on-conflict", "replace"]).expect(0);
}

#[test]
fn an_interrupted_import_says_that_nothing_was_stored() {
    let env = Env::unlocked(programs!());
    let source = file(&env, "A=canary\n");
    process::signal(env.pid(), rustix::process::Signal::STOP);
    let mut terminal = Terminal::ctl(&env, &["import", &source]);
    terminal.wait_for("waiting for secretsd");
    terminal.type_keys("\u{3}");
    terminal.wait_for("interrupted; nothing was stored");
    terminal.wait();
    process::signal(env.pid(), rustix::process::Signal::CONT);
    assert_eq!(total(&env), 0);
}

#[test]
fn an_import_on_a_terminal_opens_the_vault_and_goes_on() {
    let env = Env::unlocked(programs!());
    env.post("/vault/lock", &json!({})).expect(200);
    let source = file(&env, "A=canary\n");
    let mut terminal = Terminal::ctl(&env, &["import", &source]);
    terminal.wait_for("passphrase of the vault: ");
    terminal.type_keys(&format!("{}\r", secretsd_tests::env::PASSPHRASE));
    terminal.expect(0, "imported 1 new");
    assert!(!terminal.shown().contains("canary"));
}

#[test]
fn a_fifo_that_nobody_writes_to_is_named_and_one_that_somebody_does_is_read() {
    let env = Env::unlocked(programs!());
    let fifo = path(&env.path("fifo"));
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0)
        .unwrap();
    let out = path(&env.path("out"));
    for (arguments, content) in [
        (&["import", &fifo][..], "A=canary-value"),
        (&["inject", "-i", &fifo, "-o", &out], "plain"),
        (&["set", "B", "--value-file", &fifo], "canary-value"),
    ] {
        let mut command = env.command(env.programs().client);
        let mut client = command.args(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(client.stderr.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains(&fifo) && line.contains("FIFO"), "{line}");
        fs::write(&fifo, content).unwrap();
        said.read_to_string(&mut line).unwrap();
        assert!(process::wait(&mut client, DEADLINE).success(), "{line}");
    }
    assert_eq!((env.value("A"), env.value("B")), ("canary-value".to_owned(), "canary-value".to_owned()));
    assert_eq!(fs::read(&out).unwrap(), b"plain");

    // What a shell puts together is there at once, or comes while it is read.
    for (index, program) in ["echo C=x", "echo C=x; sleep 0.1; echo D=y"].into_iter().enumerate() {
        let script = format!("exec \"$0\" import --on-conflict skip <({program})");
        let mut command = env.command("bash");
        let (_, output) = process::run(command.args(["-c", &script, env.programs().client]), b"");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("waiting"), "{said}");
        assert_eq!(total(&env), 3 + u64::try_from(index).unwrap(), "{said}");
    }
}

#[test]
fn what_readers_take_otherwise_is_refused_or_told() {
    let env = Env::unlocked(programs!());
    let source = file(&env, "P0=x\nP1=Canary\\nQ7zz\nP2=pa\"ss\"wd\nP3='a'#c\nP4=\"a\"b\n");
    for more in [&[][..], &["--delete-source"]] {
        let output = env.ctl([&["import", &source], more].concat()).run();
        output.assert_code(7);
        let told = output.err();
        for line in
            ["line 2: a backslash", "line 3: a quote inside", "line 4: something", "line 5: something"]
        {
            assert!(told.contains(line) && told.contains("4 problems") && !told.contains("anary"), "{told}");
        }
    }
    assert_eq!(total(&env), 0);
    let source = file(&env, "A=x#y\nB=`z`\nC=\"q\\\"q\"\nD='$same'\nE=same # comment\n");
    let output = env.ctl(["import", &source, "--dry-run"]).run();
    output.assert_code(0);
    let told: Vec<String> = output
        .err()
        .lines()
        .filter_map(|line| line.strip_prefix("secretctl: line ")?.split(';').next().map(str::to_owned))
        .collect();
    assert_eq!(
        told,
        [
            "1: another value for node, dotenv",
            "2: another value for node, dotenv",
            "3: another value for dotenv",
        ]
    );
    // The file would be gone with the other reading.
    let output = env.ctl(["import", &source, "--delete-source"]).run();
    output.assert_code(7);
    assert!(output.err().contains("3 problems; nothing was stored"), "{}", output.err());
    assert!(Path::new(&source).exists() && total(&env) == 0);
    let output = env.ctl(["import", &source, "--dialect", "dotenv"]).run();
    output.assert_code(0);
    assert!(!output.err().contains("another value"), "{}", output.err());
    assert_eq!([env.value("A"), env.value("B"), env.value("C")], ["x", "z", "q\\\"q"]);
}

#[test]
fn a_file_is_read_as_the_named_reader_reads_it() {
    let test = "a_file_is_read_as_the_named_reader_reads_it";
    let values = [
        "x",
        "a#b",
        "a #b",
        "a  # b",
        "\"a\" # c",
        "a\\nb",
        "a\\ b",
        "a\\\\b",
        "a\\$b",
        "'a\\nb'",
        "\"a\\nb\"",
        "\"a\\\"b\"",
        "\"a\\\\nb\"",
        "\"C:\\\\new\"",
        "\"a\\$b\"",
        "'a$b'",
        "'a\\'b'",
        "\"a\\tb\"",
        "`x`",
        "`a'b`",
        "pa\"ss\"wd",
        "a'b'c",
        "a'b",
        "'it''s'",
        "'it'\\''s'",
        "\"a\"b",
        "$a",
        "pa$$word",
        "'${A}'",
        "a b",
        "\"a\nb\"",
        "'a\nb'",
        "'a\r\nb'",
        "{\"k\": \"v w\"}",
        "a;b",
        "a&b",
        "a=b==",
        "~/x",
        "x:~/y",
        "é\u{a0}é",
        "a*",
        "\"a!b\"",
        "'a' 'b'",
        "a,b@c%d+e^f",
        "\"\\u00e9\"",
        "\"a",
        "'a\\\\b'",
        "=x",
        "-",
    ];
    let python = crate::python(test, "dotenv");
    let node = has(test, "node").then_some("node");
    let shell = r#". "$1"; for n in $(seq 0 99); do eval "v=\$A$n"; printf '%s=%s\0' "A$n" "$v"; done"#;
    let python_script = "import dotenv,json,sys; print(json.dumps(dotenv.dotenv_values(sys.argv[1])))";
    for (dialect, program) in [("shell", Some("sh")), ("node", node), ("python", python)] {
        let Some(program) = program else { continue };
        let env = Env::unlocked(programs!());
        // First all lines, then those that are not refused.
        let all: Vec<String> =
            values.iter().enumerate().map(|(index, value)| format!("A{index}={value}\n")).collect();
        let import = |lines: &[String]| {
            env.ctl(["import", &file(&env, lines.concat()), "--dialect", dialect, "--skip-empty"]).run()
        };
        let told = import(&all).err();
        let at_fault: Vec<usize> = told
            .lines()
            .filter_map(|line| line.strip_prefix("secretctl: line ")?.split(':').next()?.parse().ok())
            .collect();
        let mut line = 1;
        let mut good = Vec::new();
        for text in all {
            let lines = text.matches('\n').count();
            if !at_fault.iter().any(|fault| (line..line + lines).contains(fault)) {
                good.push(text.clone());
            }
            line += lines;
        }
        import(&good).assert_code(0);
        let source = file(&env, good.concat());
        let json = |bytes: Vec<u8>| -> BTreeMap<String, String> { serde_json::from_slice(&bytes).unwrap() };
        let read = match dialect {
            "node" => json(output_of(
                &env,
                &[program, &format!("--env-file={source}"), "-p", "JSON.stringify(process.env)"],
                b"",
            )),
            "python" => json(output_of(&env, &[program, "-c", python_script, &source], b"")),
            _ => String::from_utf8(output_of(&env, &[program, "-c", shell, "sh", &source], b""))
                .unwrap()
                .split_terminator('\0')
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
        };
        let names = env.ctl(["list", "--names"]).expect(0);
        for name in names.lines() {
            assert_eq!(env.value(name), read[name], "{dialect}: {name}");
        }
        // Not many are refused.
        assert!(names.lines().count() >= 20, "{dialect}: {told}");
    }
}
