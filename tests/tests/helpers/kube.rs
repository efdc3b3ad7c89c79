//! The exec plugin, asked by kubectl and by Kubernetes's own client for Python.

use serde_json::{Value, json};

use crate::{Server, TOKEN, World, assert_ends, has, installed};

fn answer(world: &World, name: &str, version: Option<&str>) -> Value {
    let mut command = world.env.ctl(["kube-credential", name]);
    if let Some(version) = version {
        command = command.env("KUBERNETES_EXEC_INFO", info(version));
    }
    command.run().json()
}

fn info(version: &str) -> String {
    json!({"apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": false}}).to_string()
}

const V1: &str = "client.authentication.k8s.io/v1";
const V1BETA1: &str = "client.authentication.k8s.io/v1beta1";

#[test]
fn a_token_or_a_certificate_is_answered_in_the_version_that_is_asked_for() {
    let world = World::new();
    world.env.store("CLUSTER", &format!("{TOKEN}\n"));
    let token =
        |version: &str| json!({"apiVersion": version, "kind": "ExecCredential", "status": {"token": TOKEN}});
    assert_eq!(answer(&world, "cluster", None), token(V1));
    assert_eq!(answer(&world, "CLUSTER", Some(V1)), token(V1));
    assert_eq!(answer(&world, "CLUSTER", Some(V1BETA1)), token(V1BETA1));
    world.env.ctl(["edit", "CLUSTER", "--expires", "2099-01-01"]).expect(0);
    assert_eq!(answer(&world, "CLUSTER", None)["status"]["expirationTimestamp"], "2099-01-01T00:00:00Z");
    let block = |label: &str| format!("-----BEGIN {label}-----\nMIIC\n-----END {label}-----\n");
    world.env.store("PAIR", &format!("{}{}", block("CERTIFICATE"), block("PRIVATE KEY")));
    let pair = json!({"clientCertificateData": block("CERTIFICATE"), "clientKeyData": block("PRIVATE KEY")});
    assert_eq!(answer(&world, "PAIR", None)["status"], pair);
    world.expire("CLUSTER");
    world.env.ctl(["kube-credential", "CLUSTER"]).expect(1);
    // What it cannot carry is refused, and not shown.
    world.env.store("HALF", &block("PRIVATE KEY").replace("MIIC", "canary"));
    world.env.store("LINES", "can\nary");
    for (arguments, version, code) in [
        (["kube-credential", "HALF"], V1, 7),
        (["kube-credential", "LINES"], V1, 7),
        (["kube-credential", "NONE"], V1, 4),
        (["kube-credential", "canary-canary"], V1, 7),
        (["kube-credential", "PAIR"], "client.authentication.k8s.io/v1alpha1", 7),
    ] {
        let output = world.env.ctl(arguments).env("KUBERNETES_EXEC_INFO", info(version)).run();
        output.assert_code(code);
        assert_ends(&output, false);
    }
    for bad in ["canary", "{}", "[\"canary\"]"] {
        let output = world.env.ctl(["kube-credential", "PAIR"]).env("KUBERNETES_EXEC_INFO", bad).run();
        output.assert_code(7);
        assert_ends(&output, false);
    }
}

fn kubeconfig(world: &World, port: &str, version: &str) -> String {
    // Clients use no credential over http, and do not run the plugin then.
    let server = json!({"server": format!("https://127.0.0.1:{port}"), "insecure-skip-tls-verify": true});
    let plugin = json!({"apiVersion": version, "command": "secretctl", "args": ["kube-credential", "CLUSTER"],
                        "interactiveMode": "Never", "provideClusterInfo": false});
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "c", "cluster": server}],
        "users": [{"name": "u", "user": {"exec": plugin}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    });
    world.env.private_file("kubeconfig", config.to_string()).to_str().unwrap().to_owned()
}

/// A certificate with its key, for the server as for a client.
struct Certificate {
    certificate: String,
    key: String,
}

impl Certificate {
    fn new(test: &str, world: &World) -> Option<Self> {
        if !has(test, &["openssl", "version"]) {
            return None;
        }
        let path = |name: &str| world.env.path(name).to_str().unwrap().to_owned();
        let (certificate, key) = (path("cert.pem"), path("key.pem"));
        let words = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ];
        let more = ["-subj", "/CN=me", "-keyout", &key, "-out", &certificate];
        assert_ends(&world.run(&[&words[..], &more].concat(), ""), true);
        Some(Self { certificate, key })
    }

    /// A cluster that demands the token.
    fn server(&self, world: &World) -> Server {
        let variables = [("CERTIFICATE", self.certificate.as_str()), ("KEY", &self.key)];
        Server::start(&world.env, &format!("Bearer {TOKEN}"), &variables)
    }

    /// A cluster that demands this certificate.
    fn server_for_itself(&self, world: &World) -> Server {
        let own = self.certificate.as_str();
        let variables = [("CERTIFICATE", own), ("KEY", &self.key), ("CLIENT_CERTIFICATE", own)];
        Server::start(&world.env, "", &variables)
    }

    fn pair(&self) -> String {
        [&self.certificate, &self.key].map(|path| std::fs::read_to_string(path).unwrap()).concat()
    }
}

#[test]
fn kubectl_reaches_a_cluster_that_demands_a_token_or_a_certificate() {
    let test = "kubectl_reaches_a_cluster_that_demands_a_token_or_a_certificate";
    let world = World::new();
    let Some(certificate) =
        Certificate::new(test, &world).filter(|_| has(test, &["kubectl", "version", "--client"]))
    else {
        return;
    };
    let ask = |server: &Server, version: &str| {
        let config = kubeconfig(&world, &server.port, version);
        world.run(&["kubectl", "--kubeconfig", &config, "get", "--raw", "/version"], "")
    };
    let server = certificate.server(&world);
    let output = ask(&server, V1BETA1);
    assert_ends(&output, false);
    assert!(output.err().contains("no such secret: CLUSTER"), "{}", output.err());
    world.env.store("CLUSTER", TOKEN);
    let output = ask(&server, V1BETA1);
    assert_ends(&output, true);
    assert!(output.out().contains("v1.32.4"), "{}", output.out());
    world.lock();
    let output = ask(&server, V1BETA1);
    assert_ends(&output, false);
    assert!(output.err().contains("the vault is locked; run: secretctl unlock"), "{}", output.err());
    world.unlock();
    // Debian's is too old to know it.
    let version = ask(&server, V1);
    if !version.err().contains("invalid apiVersion") {
        assert_ends(&version, true);
    }
    world.env.ctl(["set", "CLUSTER"]).stdin(certificate.pair()).expect(0);
    assert_ends(&ask(&server, V1BETA1), false);
    let server = certificate.server_for_itself(&world);
    let output = ask(&server, V1BETA1);
    assert_ends(&output, true);
    assert!(output.out().contains("v1.32.4"), "{}", output.out());
}

const SCRIPT: &str = "
import sys
from kubernetes import client, config
config.load_kube_config(sys.argv[1])
print(client.VersionApi().get_code().git_version)
";

#[test]
fn the_python_client_reaches_a_cluster_that_demands_the_token() {
    let test = "the_python_client_reaches_a_cluster_that_demands_the_token";
    let Some(python) = installed(test, "python") else { return };
    let world = World::new();
    let Some(certificate) = Certificate::new(test, &world) else { return };
    let server = certificate.server(&world);
    world.env.store("CLUSTER", TOKEN);
    for version in [V1, V1BETA1] {
        let config = kubeconfig(&world, &server.port, version);
        let output = world.run(&[&python, "-W", "ignore", "-c", SCRIPT, &config], "");
        assert_ends(&output, true);
        assert_eq!(output.out(), "v1.32.4\n");
    }
}
