//! docker's protocol, and podman, skopeo and docker themselves.

use secretsd_tests::ctl::CtlOutput;
use serde_json::{Value, json};

use crate::{Server, TOKEN, World, assert_ends, has};

const NOT_FOUND: &str = "credentials not found in native keychain\n";

fn ask(world: &World, operation: &str, input: &str) -> CtlOutput {
    world.run(&["docker-credential-secretctl", operation], input)
}

fn store(world: &World, server: &str, user: &str, secret: &str) -> CtlOutput {
    let offer = json!({"ServerURL": server, "Username": user, "Secret": secret}).to_string();
    ask(world, "store", &offer)
}

fn login(world: &World, server: &str) -> Option<(String, String)> {
    let output = ask(world, "get", server);
    if output.code == Some(1) {
        assert_eq!((output.out().as_str(), output.err().as_str()), (NOT_FOUND, ""), "{server}");
        return None;
    }
    let answer = output.json();
    assert_eq!(answer["ServerURL"], server);
    Some((answer["Username"].as_str().unwrap().to_owned(), answer["Secret"].as_str().unwrap().to_owned()))
}

#[test]
fn a_login_is_stored_given_listed_and_erased_for_its_own_registry() {
    let world = World::new();
    let pair = |user: &str, secret: &str| Some((user.to_owned(), secret.to_owned()));
    assert_eq!(login(&world, "reg.example:5000"), None);
    for (server, user, secret) in [
        ("https://index.docker.io/v1/", "me", "hub"),
        ("https://index.docker.io/v1/access-token", "me", "access"),
        ("reg.example:5000", "me", "a\"b\\c\nd é"),
        ("reg.example", "<token>", TOKEN),
        ("reg-example", "other", "x"),
        ("[::1]:5000", "six", "y"),
    ] {
        assert_ends(&store(&world, server, user, secret), true);
        assert_eq!(login(&world, server), pair(user, secret));
    }
    assert_eq!(login(&world, "docker.io"), pair("me", "hub"));
    assert_eq!(login(&world, "https://REG.example/v2/"), pair("<token>", TOKEN));
    for other in
        ["reg.example:5001", "sub.reg.example", "reg.example/team", "example", "reg--example", "[::2]:5000"]
    {
        assert_eq!(login(&world, other), None);
    }
    let listed = json!({
        "https://index.docker.io/v1/": "me", "https://index.docker.io/v1/access-token": "me",
        "reg.example:5000": "me", "reg.example": "<token>", "reg-example": "other", "[::1]:5000": "six",
    });
    assert_eq!(ask(&world, "list", "unused").json(), listed);
    // A new login takes the old one's place, in the history of the same secret.
    assert_ends(&store(&world, "reg.example", "you", "new"), true);
    assert_eq!(login(&world, "reg.example"), pair("you", "new"));
    assert_eq!(ask(&world, "erase", "reg.example:5001").out(), NOT_FOUND);
    assert_ends(&ask(&world, "erase", "reg.example"), true);
    assert_eq!(login(&world, "reg.example"), None);
    assert_eq!(login(&world, "reg.example:5000"), pair("me", "a\"b\\c\nd é"));
    assert_eq!(world.names().len(), 5, "{:?}", world.names());
    assert!(ask(&world, "version", "").out().starts_with("docker-credential-secretctl "));
}

#[test]
fn a_login_that_was_set_by_hand_is_given() {
    let world = World::new();
    world.env.store("DOCKER__A_EXAMPLE", "{\"username\": \"me\", \"password\": \"p\"}\n");
    world.note("DOCKER__B_EXAMPLE", "tok", "CI user=bot");
    world.env.store("DOCKER__C_EXAMPLE", TOKEN);
    assert_eq!(login(&world, "a.example"), Some(("me".into(), "p".into())));
    assert_eq!(login(&world, "b.example"), Some(("bot".into(), "tok".into())));
    let output = ask(&world, "get", "c.example");
    assert_ends(&output, false);
    assert!(output.out().contains("secretctl edit DOCKER__C_EXAMPLE --note user=NAME"), "{}", output.out());
    // What has expired is not given, and a new login is for good again.
    world.expire("DOCKER__A_EXAMPLE");
    let output = ask(&world, "get", "a.example");
    assert_ends(&output, false);
    assert!(output.out().starts_with("DOCKER__A_EXAMPLE expired at 2020"), "{}", output.out());
    assert_eq!(ask(&world, "list", "unused").json(), json!({"b.example": "bot"}));
    assert_ends(&store(&world, "a.example", "me", "q"), true);
    assert_eq!(login(&world, "a.example"), Some(("me".into(), "q".into())));
}

#[test]
fn a_guarded_login_is_left_out_of_the_list_and_nobody_is_asked() {
    let world = World::new();
    for server in ["a.example", "b.example"] {
        assert_ends(&store(&world, server, "me", "x"), true);
    }
    world.env.ctl(["guard", "DOCKER__A_EXAMPLE"]).expect(0);
    assert_eq!(ask(&world, "list", "unused").json(), json!({"b.example": "me"}));
    assert_eq!(world.env.get("/approvals").expect(200)["approvals"], json!([]));
    world.env.ctl(["guard", "DOCKER__B_EXAMPLE"]).expect(0);
    assert_eq!(ask(&world, "list", "unused").json(), json!({}));
}

#[test]
fn bad_input_is_refused_and_not_shown() {
    let world = World::new();
    let long = "x".repeat(65_537);
    let offer = |server: &str, user: &str, secret: &str| {
        json!({"ServerURL": server, "Username": user, "Secret": secret}).to_string()
    };
    for (operation, input, told) in [
        ("get", String::new(), "no credentials server URL"),
        ("get", "canary canary".into(), "no blanks"),
        ("get", "https://canary.example\\@other.example".into(), "backslashes"),
        ("get", "http://canary.example".into(), "unencrypted"),
        ("get", "ftp://canary.example".into(), "https://"),
        ("get", "bücher-canary.example".into(), "xn--"),
        ("get", "c".repeat(70_000), "more than"),
        ("erase", "canary:99999".into(), "no port"),
        ("store", "canary".into(), "expected a JSON object"),
        ("store", "{\"ServerURL\":\"canary\"}".into(), "expected a JSON object"),
        ("store", offer("", "canary", "canary"), "no credentials server URL"),
        ("store", offer("a.example", "", "canary"), "user name"),
        ("store", offer("a.example", "canary\ncanary", "canary"), "control characters"),
        ("store", offer("a.example", "canary", ""), "empty"),
        ("store", offer("a.example", "canary", "can\0ary"), "NUL"),
        ("store", offer("a.example", "canary", &long), "65536"),
        ("store", offer(&"canary.".repeat(60), "me", "x"), "expected lower-case"),
        ("canary", String::new(), "the operation is"),
    ] {
        let output = ask(&world, operation, &input);
        assert_ends(&output, false);
        assert!(output.out().contains(told) && output.err().contains(told), "{told}: {}", output.out());
        assert_eq!(output.out().lines().count(), 1);
    }
    assert_eq!(world.names(), [""; 0]);
}

#[test]
fn podman_and_skopeo_log_in_pull_and_log_out() {
    let test = "podman_and_skopeo_log_in_pull_and_log_out";
    let world = World::new();
    let server = Server::basic(&world.env, "me", TOKEN);
    let registry = format!("127.0.0.1:{}", server.port);
    let settings = json!({"credHelpers": {&registry: "secretctl"}}).to_string();
    let file = world.env.private_file("auth.json", settings);
    let file = file.to_str().unwrap();
    let image = format!("docker://{registry}/team/app");
    for program in ["skopeo", "podman"] {
        if !has(test, &[program, "--version"]) {
            continue;
        }
        let tags = || match program {
            "skopeo" => {
                world.run(&["skopeo", "list-tags", "--tls-verify=false", "--authfile", file, &image], "")
            }
            _ => world.run(
                &["podman", "search", "--list-tags", "--tls-verify=false", "--authfile", file, &image[9..]],
                "",
            ),
        };
        let output = tags();
        assert_ends(&output, false);
        let words = [
            program,
            "login",
            "--tls-verify=false",
            "--authfile",
            file,
            "-u",
            "me",
            "--password-stdin",
            &registry,
        ];
        assert_ends(&world.run(&words, TOKEN), true);
        assert_eq!(world.names(), [format!("DOCKER__127_0_0_1___{}", server.port)]);
        let output = tags();
        assert_ends(&output, true);
        assert!(output.out().contains("one"), "{program}: {}", output.out());
        // It says why it has nothing, instead of asking without a login.
        world.lock();
        let output = tags();
        assert_ends(&output, false);
        assert!(output.err().contains("the vault is locked; run: secretctl unlock"), "{}", output.err());
        world.unlock();
        assert_ends(&world.run(&[program, "logout", "--authfile", file, &registry], ""), true);
        assert_eq!(world.names(), [""; 0]);
    }
    let left: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(left["auths"].as_object().map_or(0, serde_json::Map::len), 0, "{left}");
}

#[test]
fn docker_logs_in_pulls_and_logs_out() {
    let test = "docker_logs_in_pulls_and_logs_out";
    if !has(test, &["docker", "--version"]) {
        return;
    }
    let world = World::new();
    let server = Server::basic(&world.env, "me", TOKEN);
    let registry = format!("127.0.0.1:{}", server.port);
    let config = world.env.private_dir("docker");
    world.env.private_file("docker/config.json", "{\"credsStore\": \"secretctl\"}");
    let docker = |words: &[&str], input: &str| {
        let mut command = world.command(&[&["docker"], words].concat());
        command.env("DOCKER_CONFIG", &config).env("DOCKER_HOST", "unix:///nonexistent");
        world.run_with(command, input)
    };
    let output = docker(&["login", "-u", "me", "--password-stdin", &registry], TOKEN);
    assert_ends(&output, true);
    assert_eq!(world.names(), [format!("DOCKER__127_0_0_1___{}", server.port)]);
    let left = std::fs::read_to_string(config.join("config.json")).unwrap();
    assert!(!left.contains("\"auth\""), "{left}");
    let output = docker(&["login", &registry], "");
    assert!(format!("{}{}", output.out(), output.err()).contains("[Username: me]"), "{output:?}");
    // What it tells its daemon to log in with.
    let seen = world.env.path("seen");
    let daemon = Server::start(&world.env, "", &[("SEEN", seen.to_str().unwrap())]);
    let pull = || {
        let mut command = world.command(&["docker", "pull", &format!("{registry}/team/app:one")]);
        command.env("DOCKER_CONFIG", &config).env("DOCKER_HOST", format!("tcp://127.0.0.1:{}", daemon.port));
        world.run_with(command, "")
    };
    assert_ends(&pull(), true);
    let sent: Value = serde_json::from_str(&std::fs::read_to_string(&seen).unwrap()).unwrap();
    assert_eq!((&sent["username"], &sent["password"]), (&json!("me"), &json!(TOKEN)));
    // It goes on without a login, and says why.
    std::fs::remove_file(&seen).unwrap();
    world.lock();
    let output = pull();
    assert!(output.err().contains("the vault is locked; run: secretctl unlock"), "{output:?}");
    assert!(!std::fs::read_to_string(&seen).unwrap_or_default().contains("canary"));
    world.unlock();
    assert_ends(&docker(&["logout", &registry], ""), true);
    assert_eq!(world.names(), [""; 0]);
}
