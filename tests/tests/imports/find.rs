//! `import --find`: which files there are, without a value, and the next command.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use secretsd_tests::{Env, programs};
use serde_json::Value;

use crate::{home_file, names};

fn found(env: &Env, variables: &[(&str, &str)]) -> Vec<Value> {
    let mut ctl = env.ctl(["import", "--find", "--json"]).dir(&env.path("home"));
    for (name, value) in variables {
        ctl = ctl.env(name, value);
    }
    let output = ctl.run();
    output.assert_code(0);
    assert!(!output.out().contains("canary"), "{}", output.out());
    output.json()["files"].as_array().unwrap().clone()
}

fn short(env: &Env, files: &[Value]) -> Vec<(String, String, Value)> {
    let home = env.path("home");
    let short = |file: &Value| {
        let path = file["path"].as_str().unwrap();
        let path = path.strip_prefix(&format!("{}/", home.display())).unwrap_or(path);
        (path.to_owned(), file["format"].as_str().unwrap().to_owned(), file["secrets"].clone())
    };
    files.iter().map(short).collect()
}

#[test]
fn each_file_is_listed_with_the_command_that_takes_it() {
    let env = Env::unlocked(programs!());
    home_file(&env, ".netrc", "machine a.example login me password canary\n");
    home_file(
        &env,
        ".aws/credentials",
        "[default]\naws_access_key_id=canary\naws_secret_access_key=canary\n",
    );
    let open = home_file(&env, "it's a shop/.env", "A=canary\nB='canary'\n# C=x\nD=\n");
    fs::set_permissions(&open, Permissions::from_mode(0o644)).unwrap();
    env.private_dir("home/it's a shop/.git");
    home_file(&env, "shop/.env.example", "A=canary\n");
    home_file(&env, "shop/node_modules/x/.env", "A=canary\n");
    home_file(&env, ".docker/config.json", "{\"auths\":{}}");
    home_file(&env, "Downloads/bitwarden_export_1.json", "{\"encrypted\":true,\"data\":\"canary\"}");
    let files = found(&env, &[]);
    assert_eq!(
        short(&env, &files),
        [
            (".aws/credentials".to_owned(), "aws".to_owned(), 2.into()),
            (".netrc".to_owned(), "netrc".to_owned(), 1.into()),
            ("Downloads/bitwarden_export_1.json".to_owned(), "bitwarden".to_owned(), 0.into()),
            ("it's a shop/.env".to_owned(), "dotenv".to_owned(), 2.into()),
        ]
    );
    assert!(files[2]["problem"].as_str().unwrap().contains("an encrypted export"));
    let dotenv = &files[3];
    assert_eq!((&dotenv["mode"], &dotenv["git"]), (&"0644".into(), &true.into()));
    // The commands are what they seem: a shell runs them.
    let client = std::path::Path::new(env.programs().client).parent().unwrap();
    let path = format!("{}:{}", client.display(), std::env::var("PATH").unwrap());
    for file in [&files[0], &files[1], dotenv] {
        let mut shell = env.command("sh");
        shell.env("PATH", &path).args(["-c", file["next"].as_str().unwrap()]);
        crate::done(&mut shell, b"");
    }
    assert!(names(&env).is_empty());
    let text = env.ctl(["import", "--find"]).dir(&env.path("home")).expect(0);
    assert!(text.contains("dotenv, 2 secrets, mode 0644 (others can read it), in a git work tree"), "{text}");
    assert!(!text.contains("canary"), "{text}");
    env.ctl(["import", "--find", "x"]).expect(2);
    env.ctl(["import"]).expect(2);
}

#[test]
fn variables_that_move_files_are_followed() {
    let env = Env::new(programs!());
    let moved = |name: &str, text: &str| {
        env.private_dir("moved");
        env.private_file(&format!("moved/{name}"), text).to_str().unwrap().to_owned()
    };
    let aws = moved("aws", "[p]\naws_secret_access_key=canary\n");
    let npm = moved("npmrc", "//a/:_authToken=canary\n");
    let netrc = moved("netrc", "machine a password canary\n");
    let auth = moved("auth", "{\"auths\":{\"a\":{\"auth\":\"bWU6Y2FuYXJ5\"}}}");
    moved("config.json", "{\"auths\":{\"b\":{\"auth\":\"bWU6Y2FuYXJ5\"}}}");
    moved("credentials.toml", "[registry]\ntoken=\"canary\"\n");
    moved("x.gpg", "canary");
    let dir = env.path("moved").to_str().unwrap().to_owned();
    let variables = [
        ("AWS_SHARED_CREDENTIALS_FILE", aws.as_str()),
        ("NPM_CONFIG_USERCONFIG", &npm),
        ("NETRC", &netrc),
        ("REGISTRY_AUTH_FILE", &auth),
        ("DOCKER_CONFIG", &dir),
        ("CARGO_HOME", &dir),
        ("PASSWORD_STORE_DIR", &dir),
    ];
    let files = found(&env, &variables);
    let formats: Vec<String> = files.iter().map(|file| file["format"].as_str().unwrap().to_owned()).collect();
    assert_eq!(formats, ["aws", "docker", "docker", "npm", "cargo", "netrc", "pass"]);
    assert!(files.iter().all(|file| file["path"].as_str().unwrap().starts_with(&dir)));
    // Without them nothing is there.
    assert!(found(&env, &[]).is_empty());
}

#[test]
fn a_path_that_cannot_be_shown_gets_no_command_that_names_another_file() {
    use std::os::unix::ffi::OsStrExt;

    let env = Env::unlocked(programs!());
    let nothing = env.ctl(["import", "--find"]).dir(&env.path("home")).expect(0);
    assert!(
        nothing.contains("nothing found. Looked for dotenv files") && nothing.contains("~/.netrc"),
        "{nothing}"
    );
    home_file(&env, "line\nend\x1b[2J/.env", "A=canary\n");
    home_file(&env, "bidi\u{202e}/.env", "A=canary\n");
    let odd = env.path("home").join(std::ffi::OsStr::from_bytes(b"odd\xff"));
    fs::create_dir(&odd).unwrap();
    fs::write(odd.join(".env"), "A=canary\n").unwrap();
    let text = env.ctl(["import", "--find"]).dir(&env.path("home")).expect(0);
    let told: Vec<&str> = text.lines().filter(|line| line.starts_with("  next: ")).collect();
    assert_eq!(told.len(), 3, "{text}");
    for line in told {
        assert!(line.contains("rename it") && line.ends_with("secretctl import PATH"), "{text}");
    }
    // JSON can write the first two as they are.
    let next: Vec<Value> = found(&env, &[]).iter().map(|file| file["next"].clone()).collect();
    assert_eq!(next.iter().filter(|next| next.as_str() == Some("")).count(), 1, "{next:?}");
}
