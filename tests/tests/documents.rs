//! What the documents say of the repository: that each test they name exists, each file and link, each command, and that
//! their tables leave nothing out. A promise whose test was renamed away is a promise without a test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use secretsd_tests::harness::skip;
use secretsd_tests::source::repository;
use secretsd_tests::{Env, programs};

/// Where documents are; those of the tests' data and vectors speak of nothing else.
const DIRECTORIES: [&str; 5] = ["", "docs", "docs/design", "findings", "systemd"];

/// Every document, by its path.
fn documents() -> Vec<String> {
    let mut found = Vec::new();
    for directory in DIRECTORIES {
        for entry in fs::read_dir(repository().join(directory)).unwrap() {
            let path = Path::new(directory).join(entry.unwrap().file_name());
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path.into_os_string().into_string().unwrap());
            }
        }
    }
    assert!(found.len() > 20, "{found:?}");
    found
}

/// The pages that `ARCHITECTURE.md` leads to, as one text.
fn design() -> String {
    documents().iter().filter(|page| page.starts_with("docs/design/")).map(|page| read(page)).collect()
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands between backquotes outside of code blocks, with `\|` of tables as `|`.
fn code_words(document: &str) -> Vec<String> {
    let prose: Vec<&str> = document.split("\n```").step_by(2).collect();
    let pieces = prose.iter().flat_map(|part| part.split('`').skip(1).step_by(2));
    pieces.map(|word| word.replace("\\|", "|").split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// The console's and the shell's blocks, line by line.
fn code_lines(document: &str) -> Vec<&str> {
    let blocks = document.split("\n```").skip(1).step_by(2);
    blocks
        .filter(|block| block.starts_with("console") || block.starts_with("sh"))
        .flat_map(|block| block.lines().skip(1))
        .collect()
}

/// The first block of this language.
fn block<'a>(document: &'a str, language: &str) -> &'a str {
    let (_, block) = document.split_once(&format!("\n```{language}\n")).unwrap();
    block.split_once("\n```").unwrap().0
}

/// Every Rust file of the packages, but what cargo built.
fn rust_files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
    found
}

/// The sources of a test target or of one of its modules: `lock`, `tamper::rows`.
fn test_module(path: &str) -> Option<String> {
    let at = repository().join("tests/tests").join(path.replace("::", "/"));
    let file = at.with_extension("rs");
    fs::read_to_string(file).or_else(|_| fs::read_to_string(at.join("main.rs"))).ok()
}

/// Whether a word is written like a test, and if so whether there is none of this name.
fn is_missing_test(word: &str, everything: &[String]) -> bool {
    if !word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_: ".contains(c)) {
        return false;
    }
    let has = |source: &String, name: &str| source.contains(&format!("fn {name}("));
    let (module, name) = word.rsplit_once(": ").or_else(|| word.rsplit_once("::")).unwrap_or(("", word));
    let target = module.split("::").next().unwrap_or_default();
    if !target.is_empty() && test_module(target).is_some() {
        // `systemd::start` names all tests of a module.
        return test_module(word).is_none() && !test_module(module).is_some_and(|source| has(&source, name));
    }
    // In a unit test's name, or beside it, stands where it is; of the words alone only sentences are names of tests.
    name.matches('_').count() >= 3 && !everything.iter().any(|source| has(source, name))
}

#[test]
fn every_test_that_is_named_exists() {
    let root = repository();
    let everything: Vec<String> = [
        "proto", "local", "runfiles", "scrub", "project", "fleet", "client", "daemon", "ctl", "broker",
        "mcp", "ui", "approve", "bus", "import", "scan", "sync", "tests",
    ]
    .iter()
    .flat_map(|package| rust_files(&root.join(package)))
    .collect();
    for document in documents() {
        let words = code_words(&read(&document));
        let missing: Vec<&String> = words.iter().filter(|word| is_missing_test(word, &everything)).collect();
        assert!(missing.is_empty(), "{document} names tests that do not exist: {missing:?}");
    }

    for gone in
        ["lock::memory_holds_nothing", "tamper::gone", "what_was_here_is_gone", "x: what_was_here_is_gone"]
    {
        assert!(is_missing_test(gone, &everything), "nobody misses {gone}");
    }
    for there in
        ["lock::memory_holds_nothing_after_a_lock", "systemd::start", "tamper::rows", "vault_locked_error"]
    {
        assert!(!is_missing_test(there, &everything), "{there} is there");
    }
}

/// Each promise of SECURITY.md is a row whose last cell names a test.
#[test]
fn every_promise_names_a_test() {
    let document = read("SECURITY.md");
    let (_, promises) = document.split_once("## What is promised").unwrap();
    let (promises, _) = promises.split_once("\n## ").unwrap();
    let rows: Vec<&str> = promises.lines().filter(|line| line.starts_with("| ")).collect();
    assert!(rows.len() > 40, "{}", rows.len());
    for row in rows.iter().filter(|row| **row != "| promise | test |") {
        let test = row.trim_end_matches('|').rsplit('|').next().unwrap();
        assert!(test.contains('`'), "a promise without a test: {row}");
    }
}

/// The names of a directory's files and directories, without `.rs`.
fn entries(directory: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(repository().join(directory)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.map(|name| name.trim_end_matches(".rs").to_owned()).collect()
}

#[test]
fn the_designs_tables_leave_nothing_out() {
    let document = design();
    // The words in the first column, whatever the table.
    let first_cells: String = document
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .filter_map(|row| row.split('|').next())
        .collect();
    let cells: BTreeSet<String> = first_cells
        .split('`')
        .map(|word| word.trim_end_matches('/').trim_end_matches(".rs").to_owned())
        .collect();
    for (directory, elsewhere) in [
        ("daemon/src", &["daemon", "fuzzing", "lib", "main"][..]),
        ("daemon/src/vault", &["format", "fuzzing", "tests", "writer"]),
        ("daemon/src/vault/format", &[]),
        ("daemon/src/vault/writer", &[]),
        ("broker/src", &["fuzzing", "lib", "main"]),
        ("tests/tests", &[]),
    ] {
        let missing: Vec<String> = entries(directory)
            .into_iter()
            .filter(|name| !cells.contains(name) && !elsewhere.contains(&name.as_str()))
            .collect();
        assert!(missing.is_empty(), "docs/design has no line for these of {directory}: {missing:?}");
    }
}

/// A file or directory that a document names: by its path, or by that below one of the programs' sources.
fn named(word: &str) -> Option<PathBuf> {
    ["", "daemon/src", "ctl/src", "broker/src"]
        .iter()
        .map(|base| repository().join(base).join(word))
        .find(|path| path.exists())
}

/// What the first hour and the guide say where: each source file, and each function or type right behind a file's name.
#[test]
fn files_and_functions_that_are_named_exist() {
    let mut functions = 0;
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = read(document);
        let prose: String = text.split("\n```").step_by(2).collect();
        let pieces: Vec<&str> = prose.split('`').collect();
        for (index, word) in pieces.iter().enumerate().skip(1).step_by(2) {
            let is_path = word.contains('/') || document == "ARCHITECTURE.md";
            if !is_path || !word.ends_with(".rs") || word.contains(['{', ' ']) || word.contains("NAME") {
                continue;
            }
            let path = named(word).unwrap_or_else(|| panic!("{document} names {word}, which is not there"));
            let (Some(between), Some(name)) = (pieces.get(index + 1), pieces.get(index + 2)) else {
                continue;
            };
            let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c));
            if !is_name || ![" ", ": ", ", ", " ("].contains(between) {
                continue;
            }
            let name = name.rsplit("::").next().unwrap();
            let source = fs::read_to_string(path).unwrap();
            let there = ["fn", "struct", "enum"].iter().any(|kind| {
                let start = format!("{kind} {name}");
                source.match_indices(&start).any(|(at, _)| {
                    !source[at + start.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
                })
            });
            assert!(there, "{document}: {name} is not in {word}");
            functions += 1;
        }
    }
    assert!(functions > 20, "{functions}");
}

/// What GitHub makes of a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn links_lead_somewhere() {
    for document in documents() {
        let text = read(&document);
        let beside = Path::new(&document).parent().unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (file, section) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { Path::new(&document).to_owned() } else { beside.join(file) };
            let content = fs::read_to_string(repository().join(&target));
            let content = content.unwrap_or_else(|error| panic!("{document}: {link}: {error}"));
            let mut headings = content.lines().filter(|line| line.starts_with('#')).map(anchor);
            assert!(section.is_empty() || headings.any(|heading| heading == section), "{document}: {link}");
        }
    }
}

#[test]
fn commands_and_flags_of_the_documents_exist() {
    let env = Env::new(programs!());
    let mut helps: std::collections::BTreeMap<String, String> = std::collections::BTreeMap::new();
    for document in documents() {
        let text = read(&document);
        let lines: Vec<String> =
            code_words(&text).into_iter().chain(code_lines(&text).into_iter().map(str::to_owned)).collect();
        // What follows the name up to the end of a command, of which a pipe, a comment or `--` is one.
        let calls = lines.iter().flat_map(|line| line.split("secretctl ").skip(1));
        for call in calls.filter(|call| call.starts_with(|c: char| c.is_ascii_lowercase())) {
            let own = call.split([';', '|', '#', ')', '<']).next().unwrap_or_default();
            let own = own.split(" -- ").next().unwrap_or_default();
            let mut words = own.split_whitespace().map(|word| word.trim_matches(['"', '\'', '…', ',']));
            let mut command = vec![words.next().unwrap_or_default()];
            let mut below = words.clone();
            while ["key", "token", "credential", "project", "proxy", "rule", "rules", "machine", "sync"]
                .contains(&command[command.len() - 1])
            {
                let word = below.next().filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
                let Some(word) = word else { break };
                command.push(word);
            }
            let help = helps.entry(command.join(" ")).or_insert_with(|| {
                let mut line = command.clone();
                line.push("--help");
                env.ctl(line).expect(0)
            });
            for flag in words.filter(|word| word.starts_with("--") && word.len() > 2) {
                let flag = flag.split('=').next().unwrap();
                assert!(help.contains(flag), "{document}: secretctl {own}: {flag} is not known");
            }
        }
    }
    assert!(helps.len() > 25, "{:?}", helps.keys());
}

#[test]
fn the_settings_that_are_shown_are_settings() {
    let text = read("docs/settings.md");
    let settings = block(&text, "toml");
    let env = Env::new(programs!());
    let check = |settings: &str| {
        let file = env.private_file("settings.toml", settings);
        let mut command = env.command(env.programs().daemon);
        command.args(["--check-config", "--config"]).arg(file);
        let (_, output) = secretsd_tests::process::run(&mut command, b"");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = check(settings);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(check(&settings.replace("idle_seconds", "idel_seconds")).0, Some(7));
}

/// The programs that the page on the API shows, with the token that it creates.
#[test]
fn the_programs_that_are_shown_reveal_a_value() {
    let env = Env::unlocked(programs!());
    env.store("OPENAI_API_KEY", "sk-proj-0123456789");
    env.store("DATABASE_URL", "postgres://u");
    let page = read("docs/api.md");
    let creation = block(&page, "console").lines().find(|line| line.contains("token create")).unwrap();
    let client = Path::new(env.programs().client).parent().unwrap();
    let path = format!("{}:{}", client.display(), std::env::var("PATH").unwrap());
    let run = |program: &str, code: &str| {
        let mut command = env.command(program);
        command.args(["-c", code]).current_dir(env.path("")).env("PATH", &path);
        command.env("SECRETSD_TOKEN_FILE", "report.token");
        let (_, output) = secretsd_tests::process::run(&mut command, b"");
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let creation =
        creation.trim_start_matches("$ ").replace("secretctl", "env -u SECRETSD_TOKEN_FILE secretctl");
    run("sh", &creation);

    let said = run("sh", block(&page, "sh"));
    assert!(
        said.contains(r#""masked_value":"#) && said.contains(r#""value":"sk-proj-0123456789""#),
        "{said}"
    );
    assert!(!said.contains("DATABASE_URL"), "{said}");
    assert!(!env.path("header").exists());

    if Command::new("python3").arg("--version").output().is_err() {
        skip("the_programs_that_are_shown_reveal_a_value", "python3 is not installed");
        return;
    }
    let said = run("python3", block(&page, "python"));
    assert!(said.ends_with("OPENAI_API_KEY has 18 characters\n"), "{said}");
    assert!(said.starts_with("OPENAI_API_KEY ") && !said.contains("DATABASE_URL"), "{said}");
}

/// The picture in `docs/demo.svg` is drawn from what the demo prints now. `make picture` draws it again.
#[test]
fn the_picture_shows_what_the_demo_prints() {
    let test = "the_picture_shows_what_the_demo_prints";
    let has = |program: &str, word: &str| {
        Command::new(program).arg(word).output().is_ok_and(|output| output.status.success())
    };
    for (program, word) in [("python3", "--version"), ("openssl", "version"), ("curl", "--version")] {
        if !has(program, word) {
            return skip(test, &format!("{program} is not installed"));
        }
    }
    let programs = Path::new(programs!().client).parent().unwrap().to_owned();
    let script = "set -o pipefail; tests/demo.sh \"$0\" | python3 tests/picture.py";
    let drawn = Command::new("bash")
        .args(["-c", script])
        .arg(&programs)
        .current_dir(repository())
        // A socket's path is short, and nothing of the user's takes part.
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .unwrap();
    assert!(drawn.status.success(), "{}", String::from_utf8_lossy(&drawn.stderr));
    let drawn = String::from_utf8(drawn.stdout).unwrap();
    assert!(drawn.contains("you are known here") && drawn.contains("sk-pro••••789"), "{drawn}");
    if std::env::var_os("RENEW").is_some() {
        fs::write(repository().join("docs/demo.svg"), &drawn).unwrap();
    }
    assert_eq!(drawn, read("docs/demo.svg"), "run: make picture");
}
