//! The manifests of `tests/manifests`, held against what SecretSpec's own program says of them: the same are refused, and
//! of the others secrets, statuses, values and the report are the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use data_encoding::BASE64;
use secretsd_tests::ctl::CtlOutput;
use secretsd_tests::source::repository;
use secretsd_tests::{Env, programs};
use serde_json::{Value, json};

use crate::{allow, write};

/// One of the manifests.
struct Case {
    name: String,
    files: BTreeMap<String, String>,
}

/// All of them; what stands before the first one is for people.
fn cases() -> Vec<Case> {
    let text = fs::read_to_string(repository().join("tests/manifests/corpus.txt")).unwrap();
    let parts = text.split("\n== ").skip(1);
    parts
        .map(|part| {
            let (name, rest) = part.split_once('\n').unwrap();
            let rest = format!("\n{rest}");
            let files = rest.split("\n-- ").skip(1).map(|piece| {
                let (head, body) = piece.split_once('\n').unwrap();
                let mut words = head.split(' ');
                let path = words.next().unwrap().to_owned();
                let how: Vec<&str> = words.collect();
                let mut body = format!("{}\n", body.trim_end_matches('\n'));
                if how.contains(&"crlf") {
                    body = body.replace('\n', "\r\n");
                }
                if how.contains(&"bom") {
                    body.insert(0, '\u{feff}');
                }
                (path, body)
            });
            Case { name: name.to_owned(), files: files.collect() }
        })
        .collect()
}

impl Case {
    fn text(&self, path: &str) -> &str {
        self.files.get(path).map_or("", String::as_str)
    }

    /// Stores what the case has, under the project's names.
    fn store(&self, env: &Env) {
        let project = self.text("secretspec.toml").lines().find_map(|line| line.strip_prefix("name = \""));
        let project = project.and_then(|name| name.split('"').next()).unwrap_or_default();
        let prefix: String = project
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        let mut stored: Vec<String> = Vec::new();
        for (key, value) in self.text("stored.env").lines().filter_map(|line| line.split_once('=')) {
            let name = format!("{prefix}__{}", key.to_ascii_uppercase());
            if !stored.contains(&name) && !prefix.is_empty() {
                env.store(&name, value);
                stored.push(name);
            }
        }
    }

    fn runs(&self) -> Vec<String> {
        let runs: Vec<String> = self.text("runs").lines().map(str::to_owned).collect();
        if runs.is_empty() { vec!["default".to_owned()] } else { runs }
    }
}

/// Flags for a run: the profile, and the scope if there is one.
fn flags(line: &str) -> Vec<&str> {
    let mut words = line.split(' ');
    let mut flags = vec!["--profile", words.next().unwrap()];
    words.next().into_iter().for_each(|scope| flags.extend(["--scope", scope]));
    flags
}

/// A report without the stores' own names, of which only counts whether there is one.
fn without_stores(report: &Value) -> Value {
    let mut report = report.clone();
    let is_none = report["provider"] == "";
    report["provider"] = json!(!is_none);
    for secret in report["secrets"].as_array_mut().unwrap() {
        let has_source = secret.get("source_provider").is_some();
        secret["source_provider"] = json!(has_source);
    }
    report
}

/// What a command was given, as the record has it.
fn given(output: &CtlOutput) -> Value {
    let mut found = json!({});
    for line in output.out().lines() {
        let (key, kind_and_value) = line.split_once('=').unwrap();
        let (kind, value) = kind_and_value.split_once(':').unwrap();
        found[key] = json!({ kind: value });
    }
    found
}

/// Prints each variable of the record in base 64, or what is in the file that it names.
fn show(keys: &[&str]) -> String {
    let of = |key: &&str| {
        format!(
            "if [ -n \"${{{key}+x}}\" ]; then if [ -f \"${key}\" ]; then echo \"{key}=file:$(base64 -w0 < \"${key}\")\"; \
             else echo \"{key}=value:$(printf %s \"${key}\" | base64 -w0)\"; fi; fi"
        )
    };
    keys.iter().map(of).collect::<Vec<_>>().join("\n")
}

/// Whether two values are the same; of what is made, or has something in it that is, only the length.
fn is_same(one: &Value, other: &Value, has_made: bool) -> bool {
    let parts = |value: &Value| -> Option<(String, Vec<u8>)> {
        let (kind, text) = value.as_object()?.iter().next()?;
        Some((kind.clone(), BASE64.decode(text.as_str()?.as_bytes()).ok()?))
    };
    let (Some(one), Some(other)) = (parts(one), parts(other)) else { return false };
    one == other || has_made && one.0 == other.0 && one.1.len() == other.1.len()
}

#[test]
fn manifests_mean_what_they_mean_to_secretspec() {
    let env = Env::unlocked(programs!());
    let record = fs::read_to_string(repository().join("tests/manifests/recorded.json")).unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    let cases = cases();
    assert!(cases.len() > 140, "{}", cases.len());
    assert_eq!(
        record["cases"].as_object().unwrap().len(),
        cases.len(),
        "run tests/manifests/record.py again"
    );
    let mut wrong = Vec::new();
    for case in &cases {
        let dir = env.path("home").join(&case.name);
        fs::create_dir_all(dir.join(".git")).unwrap();
        case.files.iter().for_each(|(path, text)| write(&dir, path, text));
        case.store(&env);
        let recorded = record["cases"][&case.name].as_array().unwrap();
        for (line, expected) in case.runs().iter().zip(recorded) {
            assert_eq!(expected["run"], line.as_str(), "run tests/manifests/record.py again");
            if let Err(difference) = compare(&env, &dir, case, line, expected) {
                wrong.push(format!("{} ({line}): {difference}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn compare(env: &Env, dir: &Path, case: &Case, line: &str, expected: &Value) -> Result<(), String> {
    let flags = flags(line);
    let checked = env.ctl([&["check", "--json"], flags.as_slice()].concat()).dir(dir).run();
    let is_refused = checked.stdout.is_empty();
    // What SecretSpec passes over and we do not.
    let is_strict = case.name.starts_with("strict-");
    let expects_refusal = expected["refused"] == true || is_strict;
    if is_refused != expects_refusal || is_strict && expected["refused"] == true {
        return Err(format!("refused: {is_refused}, not {expects_refusal}: {}", checked.err()));
    }
    if is_refused {
        return Ok(());
    }
    let (report, code) = (checked.json(), if expected["complete"] == true { 0 } else { 4 });
    if checked.code != Some(code) || without_stores(&report) != without_stores(&expected["report"]) {
        return Err(format!("{:?} {report:#}\nand not {:#}", checked.code, expected["report"]));
    }
    allow(env, dir);
    let Some(wanted) = expected["given"].as_object() else {
        let code = env.ctl([&["run"], flags.as_slice(), &["--", "true"]].concat()).dir(dir).run().code;
        return if code == Some(125) { Ok(()) } else { Err(format!("run ends with {code:?}")) };
    };
    let keys: Vec<&str> =
        report["secrets"].as_array().unwrap().iter().map(|secret| secret["name"].as_str().unwrap()).collect();
    let ran =
        env.ctl([&["run"], flags.as_slice(), &["--", "sh", "-c", &show(&keys)]].concat()).dir(dir).run();
    if ran.code != Some(0) {
        return Err(format!("run ends with {:?}: {}", ran.code, ran.err()));
    }
    let given = given(&ran);
    let has_made = case.name.starts_with("generate");
    let names = |value: &serde_json::Map<String, Value>| value.keys().cloned().collect::<Vec<_>>();
    let is_all_same = wanted.iter().all(|(key, value)| is_same(&given[key], value, has_made));
    if names(given.as_object().unwrap()) != names(wanted) || !is_all_same {
        return Err(format!("{given} and not {}", expected["given"]));
    }
    Ok(())
}
