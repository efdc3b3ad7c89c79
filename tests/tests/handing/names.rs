//! Names that mean something to the shell that reads them: held against what the shells that are here do with them, and
//! refused by whatever makes a variable of a secret.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use secrets_proto::variable::{self, Reason};
use secretsd_tests::{Env, process, programs};

use crate::{has, output_of};

/// Shells without the user's settings.
const SHELLS: [&[&str]; 9] = [
    &["bash", "--norc"],
    &["bash", "--posix", "--norc"],
    &["dash"],
    &["zsh", "-f"],
    &["fish", "--no-config"],
    &["mksh"],
    &["ksh93"],
    &["yash"],
    &["busybox", "ash"],
];

/// The shells that are here; each other one is named aloud.
fn shells(test: &str) -> impl Iterator<Item = &'static [&'static str]> {
    SHELLS.into_iter().filter(move |words| has(test, words[0]))
}

/// Runs a script from a file, so that it may be long; what it writes, whatever it ends with.
fn output_in(directory: &Path, shell: &[&str], script: &str) -> String {
    let file = directory.join("script");
    fs::write(&file, script).unwrap();
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg(&file).current_dir(directory).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", directory).env("TERM", "xterm");
    String::from_utf8_lossy(&process::run(&mut command, b"").1.stdout).into_owned()
}

/// Every text in a shell's program and modules that could be a variable's name, and the ends of such, because linkers let
/// one text be the end of another.
fn texts_in(directory: &Path, shell: &[&str]) -> BTreeSet<String> {
    let found = output_of_which(shell[0]);
    let mut files = vec![fs::canonicalize(found).unwrap()];
    if shell[0] == "zsh" {
        let modules = output_in(directory, shell, "print -l $module_path");
        modules.lines().for_each(|path| files.extend(files_below(Path::new(path))));
    }
    let is_text = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let mut names = BTreeSet::new();
    for file in files {
        let bytes = fs::read(file).unwrap();
        // Some keep their texts in characters of four bytes.
        let wide: Vec<u8> =
            bytes.chunks(4).map(|four| if four[1..] == [0; 3] { four[0] } else { 0 }).collect();
        for piece in bytes.split(|byte| *byte == 0).chain(wide.split(|byte| *byte == 0)) {
            if (3..=40).contains(&piece.len()) && piece.iter().all(|byte| is_text(*byte)) {
                let text = std::str::from_utf8(piece).unwrap();
                let ends = (0..=text.len() - 3).map(|start| &text[start..]);
                names.extend(
                    ends.filter(|end| !end.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned),
                );
            }
        }
    }
    assert!(names.len() > 50, "{shell:?}");
    names
}

fn output_of_which(program: &str) -> PathBuf {
    let output = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().into()
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// The names that a shell's own tables have: what is set, integer, read-only or special in it.
fn names_of(directory: &Path, shell: &[&str]) -> BTreeSet<String> {
    let script = match shell[0] {
        "bash" => {
            ": $RANDOM; { declare -pi; declare -pr; declare -pa; declare -pA; } | sed 's/^declare -[^ ]* //; s/=.*//'"
        }
        "zsh" => {
            "for module in parameter system datetime zle complete watch sched; do zmodload zsh/$module; done 2>/dev/null\n\
             for name in ${(k)parameters}; do [[ ${parameters[$name]} == *(special|integer|readonly)* ]] && print -- $name; done"
        }
        "fish" => "for name in (set --names); true; set -gx $name x; or echo $name; end",
        "mksh" | "ksh93" => "typeset -i; typeset -r",
        "yash" => "typeset -rp",
        _ => "readonly -p",
    };
    let is_name = |text: &&str| {
        text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let output = output_in(directory, shell, script);
    let words = output.lines().map(|line| line.split(['=', '[']).next().unwrap());
    words
        .filter(is_name)
        .filter(|name| name.starts_with(|c: char| !c.is_ascii_digit()))
        .map(str::to_owned)
        .collect()
}

/// Values that are executed as arithmetic, and those that no integer keeps.
fn probes(marker: &str) -> String {
    format!("1 text 'x[$(: >{marker})]' 'PATH[$(: >{marker})]' 'path[$(: >{marker})0]'")
}

#[test]
fn what_a_shell_does_not_simply_keep_is_on_the_list() {
    let test = "what_a_shell_does_not_simply_keep_is_on_the_list";
    for shell in shells(test) {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let mut names = texts_in(directory, shell);
        let own = names_of(directory, shell);
        for name in own.iter().filter(|name| !name.is_empty()) {
            assert!(
                variable::reasons(name).next().is_some(),
                "{shell:?} has {name} for itself: it belongs on the list"
            );
        }
        names.extend(own);
        let mut script = String::new();
        for name in &names {
            // In a process of its own: what is refused may end it.
            script += &if shell[0] == "fish" {
                // It leaves the status alone when it succeeds.
                format!("true; set -gx {name} text; and test \"${name}\" = text; and echo {name}\n")
            } else {
                format!(
                    "(for v in {}; do export {name}=\"$v\"; [ \"${name}\" = \"$v\" ] || exit 1; done; echo {name}) 2>/dev/null\n",
                    probes(&format!("marker-{name}"))
                )
            };
        }
        let kept = output_in(directory, shell, &script);
        let kept: BTreeSet<&str> = kept.lines().collect();
        assert!(kept.len() > names.len() / 2, "{shell:?} keeps {} of {}", kept.len(), names.len());
        for name in &names {
            let is_executed = directory.join(format!("marker-{name}")).exists();
            if is_executed {
                assert_eq!(
                    variable::in_shell(name),
                    Some(Reason::Evaluated),
                    "{shell:?} executes what {name} holds"
                );
            } else if !kept.contains(name.as_str()) {
                assert!(
                    variable::in_shell(name).is_some(),
                    "{shell:?} does not keep {name}: it belongs on the list"
                );
            }
        }
    }
}

#[test]
fn what_a_shell_runs_at_its_prompt_is_on_the_list() {
    let test = "what_a_shell_runs_at_its_prompt_is_on_the_list";
    for shell in shells(test).filter(|shell| shell[0] != "fish") {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let mut names = texts_in(directory, shell);
        names.extend(["PS0", "PS1", "PS2", "PS3", "PS4"].map(str::to_owned));
        // Those would end it, or it could not go on.
        let gets_in_the_way = |name: &str| {
            let reason = variable::in_shell(name);
            matches!(reason, Some(Reason::Evaluated | Reason::NotKept))
                || ["IFS", "PATH", "HISTFILE"].contains(&name)
        };
        names.retain(|name| !gets_in_the_way(name));
        let lines = names.iter().map(|name| format!("export {name}='$(: >marker-{name})'\n"));
        fs::write(directory.join("values"), lines.collect::<String>()).unwrap();
        let session = "setopt prompt_subst 2>/dev/null\n. ./values\ntrue\n(\ntrue\n)\nset -x; true; set +x\n\
                       select x in a; do break; done\n1\nno-such-command\nprintf %s x\nmail\ntrue\nexit\nexit\n";
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]).arg("-i").current_dir(directory).env_clear().env("HOME", directory);
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("TERM", "xterm");
        process::run(&mut command, session.as_bytes());
        let run: Vec<&String> =
            names.iter().filter(|name| directory.join(format!("marker-{name}")).exists()).collect();
        // ksh93 does not expand this in a prompt without a terminal.
        assert!(!run.is_empty() || shell[0] == "ksh93", "{shell:?} printed no prompt");
        for name in run {
            assert_eq!(variable::in_shell(name), Some(Reason::Executed), "{shell:?} runs what {name} holds");
        }
    }
}

/// Names that shells treat in each of the ways, and those beside which they stand.
const SPECIAL: [&str; 24] = [
    "OPTIND",
    "RANDOM",
    "SECONDS",
    "UID",
    "EUID",
    "PPID",
    "BASHPID",
    "SRANDOM",
    "HISTCMD",
    "LINENO",
    "SHELLOPTS",
    "BASHOPTS",
    "MAILCHECK",
    "COLUMNS",
    "HISTSIZE",
    "SHLVL",
    "GID",
    "USERNAME",
    "PS1",
    "PS4",
    "PROMPT",
    "RPROMPT",
    "PROMPT_COMMAND",
    "PWD",
];

#[test]
fn export_refuses_special_names_as_a_whole_unless_each_is_allowed() {
    let env = Env::unlocked(programs!());
    env.store("A", "canary-a");
    env.store("ZLAST", "canary-z");
    let marker = env.path("marker");
    for name in SPECIAL {
        env.store(name, &format!("path[$(: >{})0]", marker.display()));
    }
    for format in ["shell", "dotenv"] {
        for selected in [&["--all"][..], &["-s", "A", "-s", &SPECIAL.join(","), "-s", "ZLAST"]] {
            let output = env.ctl([&["export", "--format", format], selected].concat()).run();
            output.assert_code(2);
            assert!(output.stdout.is_empty(), "{}", output.err());
            let told = output.err();
            for name in SPECIAL {
                assert!(told.split([' ', ',', ':']).any(|word| word == name), "{name}: {told}");
            }
            assert!(
                told.contains("--allow-name") && !told.contains("canary") && !told.contains("$("),
                "{told}"
            );
        }
        let output =
            env.ctl(["export", "--format", format, "-s", "A,PS1,OPTIND", "--allow-name", "ps1"]).run();
        output.assert_code(2);
        assert!(!output.err().contains("PS1") && output.err().contains("OPTIND"), "{}", output.err());
        let allowed = env.ctl(["export", "--format", format, "-s", "A,PS1", "--allow-name", "PS1"]).expect(0);
        assert!(allowed.contains("PS1="), "{allowed}");
        env.ctl(["export", "--format", format, "--all", "--allow-name", "*"]).expect(7);
    }
    // No shell reads it; but PS1 steers the one that a program starts.
    env.ctl(["export", "--format", "json", "--all"]).expect(2);
    assert!(env.ctl(["export", "--format", "json", "-s", "PS1,UID"]).expect(0).contains("PS1"));
    assert!(!marker.exists());
}

/// Whatever `export` does not refuse of all that shells know is read back whole, and nothing is executed.
#[test]
fn what_export_writes_is_kept_under_its_name_and_not_executed() {
    let test = "what_export_writes_is_kept_under_its_name_and_not_executed";
    let env = Env::unlocked(programs!());
    let directory = tempfile::tempdir().unwrap();
    let mut names = BTreeSet::new();
    for shell in shells(test).filter(|shell| ["bash", "zsh"].contains(&shell[0])) {
        names.extend(names_of(directory.path(), shell));
    }
    let manual = "BASH_COMPAT CHILD_MAX EMACS GLOBIGNORE HISTFILE HOSTNAME HOSTTYPE MACHTYPE OSTYPE TEXTDOMAIN TIMEFORMAT \
                  CPUTYPE HOST LOGNAME VENDOR TZ OPENAI_API_KEY DATABASE_URL USER_NAME";
    names.extend(manual.split_whitespace().map(str::to_owned));
    names.remove("");
    let value = |name: &str| format!("path[$(: >marker-{name})0]");
    for name in &names {
        env.store(name, &value(name));
    }
    let refused = env.ctl(["export", "--all", "--format", "shell"]).run();
    refused.assert_code(2);
    let told: BTreeSet<String> = refused.err().split([' ', ',', ':']).map(str::to_owned).collect();
    let left: Vec<&str> = names.iter().map(String::as_str).filter(|name| !told.contains(*name)).collect();
    assert!(left.len() > 8, "{left:?}");
    for (format, read) in [("shell", "eval \"$(cat values)\""), ("dotenv", ". ./values")] {
        let text = env.ctl(["export", "--format", format, "-s", &left.join(",")]).expect(0);
        fs::write(env.path("values"), text).unwrap();
        let dump: String = left.iter().map(|name| format!("printf '%s\\n' \"${name}\"\n")).collect();
        let expected: String = left.iter().map(|name| format!("{}\n", value(name))).collect();
        for shell in shells(test).filter(|shell| shell[0] != "fish") {
            let script = format!("{read}\n{dump}");
            let seen = output_of(&env, &[shell, &["-c", &script]].concat(), b"");
            assert_eq!(String::from_utf8(seen).unwrap(), expected, "{shell:?} {format}");
        }
    }
    for name in &names {
        assert!(!env.path(format!("marker-{name}")).exists(), "{name}");
    }
}

#[test]
fn every_shell_reads_the_same_values_and_executes_none() {
    let test = "every_shell_reads_the_same_values_and_executes_none";
    let env = Env::unlocked(programs!());
    let marker = env.path("marker");
    let run = format!("; : >{} #", marker.display());
    let values = [r"\", &run, r"a\\b\n'x\''", r"\'", &run, r#""$(: >marker)`: >marker`!"#, r"\\\"];
    let names: Vec<String> = (0..values.len()).map(|at| format!("VALUE_{at}")).collect();
    names.iter().zip(values).for_each(|(name, value)| drop(env.store(name, value)));
    let template: String =
        names.iter().map(|name| format!("export {name}={{{{ secret:{name} }}}}\n")).collect();
    fs::write(env.path("template"), template).unwrap();
    let exported = env.ctl(["export", "--format", "shell", "-s", &names.join(",")]).expect(0);
    let injected = env.ctl(["inject", "--shell", "-i", "template"]).expect(0);
    let expected: String = values.iter().map(|value| format!("{value}\n")).collect();
    let dump: String = names.iter().map(|name| format!("printf '%s\\n' \"${name}\"\n")).collect();
    for text in [exported, injected] {
        for shell in shells(test) {
            let seen = output_in(env.path("home").as_path(), shell, &format!("{text}\n{dump}"));
            assert!(!marker.exists(), "{shell:?}");
            assert_eq!(seen, expected, "{shell:?}");
        }
    }
}

#[test]
fn direnv_gets_what_the_manual_says_and_no_special_name() {
    let env = Env::unlocked(programs!());
    if !has("direnv_gets_what_the_manual_says_and_no_special_name", "direnv") {
        return;
    }
    env.store("OPENAI_API_KEY", "it's");
    env.store("DATABASE_URL", "u");
    let marker = env.path("marker");
    env.store("OPTIND", &format!("path[$(: >{})0]", marker.display()));
    let manual = fs::read_to_string(secretsd_tests::source::repository().join("docs/using.md")).unwrap();
    let recipe = manual.split('`').find(|code| code.starts_with("eval \"$(secretctl export")).unwrap();
    let project = env.path("project");
    fs::create_dir(&project).unwrap();
    let client = Path::new(env.programs().client).parent().unwrap();
    let path = format!("{}:{}", client.display(), std::env::var("PATH").unwrap());
    let loaded = |recipe: &str, variable: &str| {
        fs::write(project.join(".envrc"), recipe).unwrap();
        let direnv = |words: &[&str]| {
            let mut command = env.command("direnv");
            command.args(words).current_dir(&project).env("PATH", &path);
            process::run(&mut command, b"").1
        };
        assert!(direnv(&["allow", "."]).status.success());
        String::from_utf8(direnv(&["exec", ".", "printenv", variable]).stdout).unwrap()
    };
    assert_eq!(loaded(recipe, "OPENAI_API_KEY"), "it's\n");
    let with_all = recipe.replace("-s OPENAI_API_KEY,DATABASE_URL", "--all");
    assert_ne!(with_all, recipe);
    assert_eq!(loaded(&with_all, "OPENAI_API_KEY"), "");
    assert!(!marker.exists());
}

#[test]
fn inject_for_a_shell_quotes_values_and_refuses_special_names() {
    let env = Env::unlocked(programs!());
    let marker = env.path("marker");
    let value = format!("it's $(: >{0}) `: >{0}` path[$(: >{0})0]\n\"\\", marker.display());
    env.store("A", &value);
    let output = env.path("out");
    let inject = |template: &str, more: &[&str]| {
        let input = env.private_file("template", template);
        let words = ["inject", "--shell", "-i", input.to_str().unwrap(), "-o", output.to_str().unwrap()];
        env.ctl([&words[..], more].concat()).run()
    };
    inject("# it's\nexport B={{ secret:A }}\nC={{ secret:A }}\n", &[]).assert_code(0);
    for shell in ["bash", "dash", "zsh"] {
        if has("inject_for_a_shell_quotes_values_and_refuses_special_names", shell) {
            let seen = output_of(&env, &[shell, "-c", ". ./out; printf %s \"$B$C\""], b"");
            assert_eq!(String::from_utf8(seen).unwrap(), format!("{value}{value}"), "{shell}");
        }
    }
    fs::remove_file(&output).unwrap();
    for name in SPECIAL {
        let run = inject(&format!("B={{{{ secret:A }}}}\nexport {name}={{{{ secret:A }}}}\n"), &[]);
        run.assert_code(2);
        assert!(run.err().contains(name) && run.err().contains("--allow-name"), "{}", run.err());
    }
    for bad in
        ["B=\"{{ secret:A }}\"", "B='\nC={{ secret:A }}\n'", "{{ secret:A }}", "cat <<E\nB={{ secret:A }}\nE"]
    {
        let run = inject(bad, &[]);
        run.assert_code(7);
        assert!(run.err().contains("line "), "{}", run.err());
    }
    assert!(!output.exists() && !marker.exists());
    inject("PS1={{ secret:A }}\n", &["--allow-name", "PS1"]).assert_code(0);
    assert!(output.exists());
    // Not told, it can only say so.
    let input = env.private_file("template", "export A='{{ secret:A }}'");
    for (file, hint) in
        [(".envrc", true), ("a.sh", true), (".bashrc", true), ("config.toml", false), (".npmrc", false)]
    {
        let file = env.path(file);
        let run = env.ctl(["inject", "-i", input.to_str().unwrap(), "-o", file.to_str().unwrap()]).run();
        run.assert_code(0);
        assert_eq!(run.err().contains("--shell"), hint, "{}", run.err());
    }
}

#[test]
fn import_and_others_warn_of_names_that_mean_something() {
    let env = Env::unlocked(programs!());
    let file = env.private_file("env", "OPTIND=canary\nPS1=canary\nGIT_ASKPASS=canary\nA=canary\n");
    let file = file.to_str().unwrap();
    for more in [&["--dry-run"][..], &[]] {
        let told = env.ctl([&["import", file], more].concat()).run();
        told.assert_code(0);
        for part in ["OPTIND: a shell evaluates", "PS1: a shell runs", "GIT_ASKPASS: it steers"] {
            assert!(told.err().contains(part), "{part}: {}", told.err());
        }
        assert!(!told.err().contains("canary"), "{}", told.err());
    }
    let warns = |line: &[&str], name: &str| {
        let output = env.ctl(line).stdin(b"x".as_slice()).run();
        output.assert_code(0);
        assert!(output.err().contains(&format!("{name}: ")), "{line:?}: {}", output.err());
    };
    warns(&["set", "LD_PRELOAD"], "LD_PRELOAD");
    warns(&["add", "HTTPS_PROXY"], "HTTPS_PROXY");
    warns(&["rename", "A", "RUSTC_WRAPPER"], "RUSTC_WRAPPER");
    env.ctl(["rm", "RUSTC_WRAPPER"]).expect(0);
    warns(&["restore", "RUSTC_WRAPPER"], "RUSTC_WRAPPER");
}
