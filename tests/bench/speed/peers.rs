//! What people use instead, as far as it is installed: each hands one secret to a program, from a store of its own in
//! the bench's directory. Nothing reads or writes what its user keeps in them, and what they leave running is ended.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use secretsd_tests::Env;
use secretsd_tests::process::{self, DEADLINE};

/// Another keeper of secrets.
struct Peer {
    /// How the table names it.
    what: &'static str,
    /// The program without which there is nothing to measure.
    program: &'static str,
    /// Shell that stores the text `secret`.
    store: &'static str,
    /// Shell that the command stands behind which gets the text as `X`.
    hand: &'static str,
}

/// GnuPG's agent listens in this directory, or in one whose name is derived from it: never the user's own agent.
const GNUPG: &str = "export GNUPGHOME=\"$HOME/gnupg\"";
const BUS: &str = "export DBUS_SESSION_BUS_ADDRESS=\"unix:path=$HOME/bus\"";
/// A key of its own, without which the machine's would be made or used.
const CREDENTIAL: &str = "export SYSTEMD_CREDENTIAL_SECRET=\"$HOME/credential.secret\"";

const PEERS: [Peer; 8] = [
    Peer {
        what: "age, key file",
        program: "age",
        store: "age-keygen -o age.key && echo secret | age -r $(age-keygen -y age.key) -o age.secret",
        hand: "X=$(age -d -i age.key age.secret) exec",
    },
    Peer {
        what: "rage, key file",
        program: "rage",
        store: "rage-keygen -o rage.key && echo secret | rage -r $(rage-keygen -y rage.key) -o rage.secret",
        hand: "X=$(rage -d -i rage.key rage.secret) exec",
    },
    Peer {
        what: "systemd-creds, host key",
        program: "systemd-creds",
        store: "echo secret | systemd-creds encrypt --with-key=host --name=x - x.cred",
        hand: "X=$(systemd-creds decrypt --name=x x.cred -) exec",
    },
    Peer {
        what: "secret-tool, gnome-keyring",
        program: "secret-tool",
        store: "echo secret | timeout 10 secret-tool store --label=x name x",
        hand: "X=$(secret-tool lookup name x) exec",
    },
    Peer {
        what: "pass, no passphrase",
        program: "pass",
        store: "pass init bench && echo secret | pass insert -e x",
        hand: "X=$(pass show x) exec",
    },
    Peer {
        what: "gopass (Debian has aviau's), no passphrase",
        program: "gopass",
        // Two programs have this name, and each puts a secret in by ways of its own; Debian's reads this.
        store: "mkdir -p \"$HOME/gopass\" && echo bench > \"$HOME/gopass/.gpg-id\" && \
                echo secret | gpg --batch --encrypt --recipient bench --output \"$HOME/gopass/x.gpg\"",
        hand: "X=$(PASSWORD_STORE_DIR=\"$HOME/gopass\" gopass show x) exec",
    },
    Peer {
        what: "varlock, a file that is not encrypted",
        program: "varlock",
        store: "mkdir -p varlock && printf '# @defaultSensitive=true\\n# ---\\nX=\\n' > varlock/.env.schema && \
                echo X=secret > varlock/.env.local",
        hand: "export VARLOCK_TELEMETRY_DISABLED=true; cd varlock; exec varlock run --",
    },
    Peer {
        what: "dotenvx, key file",
        program: "dotenvx",
        store: "echo X=secret > dotenvx.env && dotenvx encrypt --quiet -f dotenvx.env -fk dotenvx.keys",
        hand: "exec dotenvx run --quiet -f dotenvx.env -fk dotenvx.keys --",
    },
];

/// Where `tests/bench/peers/install.sh` puts those that no package of the system has.
const INSTALLED: [&str; 3] = ["rage/bin", "varlock/node_modules/.bin", "dotenvx/node_modules/.bin"];

/// The peers that work here, and what runs for them; it is ended when this is dropped.
pub struct Peers<'a> {
    env: &'a Env,
    running: Vec<Child>,
    /// What the table names them, and the words that start them.
    pub commands: Vec<(&'static str, [String; 3])>,
}

impl<'a> Peers<'a> {
    /// Stores a secret with each peer. Those that are not installed or do not give it back are named on the standard
    /// error.
    pub fn start(env: &'a Env) -> Self {
        let mut peers = Self { env, running: Vec::new(), commands: Vec::new() };
        let mut absent = Vec::new();
        let installed = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
        let installed = INSTALLED.map(|place| installed.join(place).display().to_string()).join(":");
        for peer in &PEERS {
            let exports = format!("export PATH=\"$PATH:{installed}\"; {}", peers.prepare(peer));
            if !succeeds(&sh(env, &format!("{exports}\ncommand -v {}", peer.program))) {
                absent.push(format!("{} is not installed", peer.program));
                continue;
            }
            let stored = sh(env, &format!("{exports}\n{}", peer.store));
            let handing = |command: &str| format!("{exports}\n{} {command}", peer.hand);
            let given = sh(env, &handing("sh -c 'test \"$X\" = secret'"));
            if succeeds(&given) {
                peers.commands.push((peer.what, ["sh".to_owned(), "-c".to_owned(), handing("true")]));
            } else {
                let said = String::from_utf8_lossy(&[stored.stderr, given.stderr].concat()).into_owned();
                let last = said.lines().last().unwrap_or("nothing is said").to_owned();
                absent.push(format!("{} does not give its secret back ({last})", peer.program));
            }
        }
        if !absent.is_empty() {
            eprintln!("not measured beside secretctl: {}", absent.join(", "));
        }
        peers
    }

    /// What a peer needs to be there, and the variables by which it finds it.
    fn prepare(&mut self, peer: &Peer) -> &'static str {
        match peer.program {
            "pass" | "gopass" => {
                self.env.private_dir("home/gnupg");
                let make = "gpg --batch --list-keys bench || \
                            gpg --batch --passphrase '' --quick-gen-key bench default default never";
                sh(self.env, &format!("{GNUPG}\n{make}"));
                GNUPG
            }
            "secret-tool" => {
                self.open_keyring();
                BUS
            }
            "systemd-creds" => CREDENTIAL,
            _ => "",
        }
    }

    /// A bus that starts nothing by itself, and on it a keyring that is opened with a password of its own.
    fn open_keyring(&mut self) {
        let (bus, password) = (self.env.path("home/bus"), self.env.private_file("password", "password"));
        let settings = self.env.private_file(
            "bus.conf",
            format!(
                "<busconfig><type>session</type><listen>unix:path={}</listen><policy context='default'>\
                 <allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/><allow own='*'/></policy></busconfig>",
                bus.display()
            ),
        );
        let mut daemon = self.env.command("dbus-daemon");
        daemon.args(["--nofork", "--nopidfile", "--config-file"]).arg(settings);
        if !self.run(&mut daemon) || !within_a_while(|| UnixStream::connect(&bus).is_ok()) {
            return;
        }
        let mut keyring = self.env.command("sh");
        let script = format!("{BUS}\nexec gnome-keyring-daemon --foreground --unlock --components=secrets");
        keyring.args(["-c", &script]).stdin(fs::File::open(password).unwrap());
        let asks = "dbus-send --session --print-reply --dest=org.freedesktop.DBus / \
                    org.freedesktop.DBus.NameHasOwner string:org.freedesktop.secrets | grep -q true";
        if self.run(&mut keyring) {
            within_a_while(|| succeeds(&sh(self.env, &format!("{BUS}\n{asks}"))));
        }
    }

    fn run(&mut self, command: &mut Command) -> bool {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        child.map(|child| self.running.push(child)).is_ok()
    }
}

impl Drop for Peers<'_> {
    fn drop(&mut self) {
        for mut child in self.running.drain(..).rev() {
            child.kill().ok();
            child.wait().ok();
        }
        if fs::exists(self.env.path("home/gnupg")).unwrap_or(true) {
            sh(self.env, &format!("{GNUPG}\ngpgconf --kill all; gpgconf --remove-socketdir"));
        }
    }
}

fn sh(env: &Env, script: &str) -> Output {
    process::run(env.command("sh").args(["-c", script]), b"").1
}

fn succeeds(output: &Output) -> bool {
    output.status.success()
}

fn within_a_while(mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + DEADLINE / 3;
    while !done() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}
