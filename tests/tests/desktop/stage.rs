//! A desktop of the test's own: a session bus, an X server without a screen, the real dunst, and a pinentry that types what
//! the test says. Dropping it ends them all.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use secretsd_tests::process::{DEADLINE, until};
use secretsd_tests::session_bus::SessionBus;
use secretsd_tests::{Env, process, programs};
use serde_json::Value;

pub const VALUE: &str = "guarded-value-0123456789abcdef";

/// What dunst does with a click that opens its menu: the entry that the file `choice` names.
const MENU: &str = "#!/bin/sh\nwhile read -r line || [ -n \"$line\" ]; do\n    case $line in *\"$(cat CHOICE)\"*) echo \"$line\" ;; esac\ndone\n";

/// A pinentry that notes what it is told, says the flavor in the file `flavor`, and types what is in the file `typed`, the first
/// line first; without one it waits.
const PINENTRY: &str = r##"#!/bin/sh
echo "OK Pleased to meet you"
while read -r line; do
    echo "$line" >>NOTED
    case $line in
    'GETINFO flavor') echo "D $(cat FLAVOR)"; echo OK ;;
    GETPIN)
        typed=$(head -n 1 TYPED)
        sed -i 1d TYPED
        case $typed in
        '') sleep 100 & wait ;;
        cancel) echo 'ERR 83886179 Operation cancelled <Pinentry>' ;;
        *) echo "D $typed"; echo OK ;;
        esac ;;
    *) echo OK ;;
    esac
done
"##;

/// The desktop, and the daemon with a guarded secret.
pub struct Stage {
    pub env: Env,
    display: String,
    running: Vec<Child>,
    agent: Option<Child>,
    _bus: SessionBus,
}

impl Stage {
    /// With the bus and the X server; without a server for notifications.
    pub fn new() -> Self {
        let env = Env::unlocked(programs!());
        env.store("KEY", VALUE);
        env.ctl(["guard", "KEY"]).expect(0);
        let bus = SessionBus::start(&env);
        let mut stage = Self { env, display: String::new(), running: Vec::new(), agent: None, _bus: bus };
        let mut x = stage.command("sh");
        let number = stage.env.path("display");
        x.arg("-c").arg(format!(
            "exec Xvfb -displayfd 3 -screen 0 800x600x24 -nolisten tcp 3>'{}'",
            number.display()
        ));
        stage.start(&mut x);
        let read = || fs::read_to_string(&number).unwrap_or_default();
        until("there is a display", || read().ends_with('\n'));
        stage.display = format!(":{}", read().trim());
        stage.script("pinentry", PINENTRY);
        stage.script("menu", MENU);
        for (file, text) in [("noted", ""), ("typed", ""), ("choice", "Answer"), ("flavor", "gtk2")] {
            stage.env.private_file(file, text);
        }
        stage
    }

    /// With dunst, and the approver.
    pub fn ready(expiry: u32) -> Self {
        let mut stage = Self::new();
        stage.dunst(expiry);
        stage.agent(&[]);
        stage
    }

    /// A command on this desktop.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = SessionBus::command(&self.env, program);
        command.env("DISPLAY", &self.display);
        command
    }

    fn start(&mut self, command: &mut Command) {
        self.running.push(command.spawn().unwrap());
    }

    /// Writes a script, in which names of files in capitals are those of the test.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        let mut text = text.to_owned();
        for file in ["NOTED", "TYPED", "FLAVOR", "CHOICE"] {
            text = text.replace(file, &self.env.path(file.to_lowercase()).display().to_string());
        }
        let path = self.env.private_file(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        path
    }

    /// Starts dunst, whose notifications end after so many seconds; 0 is never. What it shows goes into the file `shown`.
    pub fn dunst(&mut self, expiry: u32) {
        let menu = self.env.path("menu");
        let config = format!(
            "[global]\nmonitor = 0\ndmenu = {}\nmouse_left_click = context\nmarkup = full\nidle_threshold = 0\n\
             show_age_threshold = -1\n[urgency_critical]\ntimeout = {expiry}\n[all]\nsummary = \"*\"\ntimeout = {expiry}\n",
            menu.display()
        );
        let config = self.env.private_file("dunstrc", config);
        let shown = fs::File::create(self.env.path("shown")).unwrap();
        let mut dunst = self.command("dunst");
        dunst.arg("-conf").arg(config).arg("-print").stdout(shown);
        self.start(&mut dunst);
        until("dunst answers", || self.command("dunstctl").arg("is-paused").status().unwrap().success());
    }

    /// Starts the approver and waits until it waits for asks.
    pub fn agent(&mut self, more: &[(&str, &str)]) {
        let mut agent = self.agent_command(more);
        self.agent = Some(agent.spawn().unwrap());
        until("the approver waits", || self.approvers() == 1);
    }

    /// The approver's command.
    pub fn agent_command(&self, more: &[(&str, &str)]) -> Command {
        let log = fs::File::create(self.env.path("agent.log")).unwrap();
        let mut agent = self.command(self.env.programs().client);
        agent.args(["approve", "--agent"]).env("SECRETSD_PINENTRY", self.env.path("pinentry"));
        agent.envs(more.iter().copied()).stderr(log);
        agent
    }

    pub fn spawn_agent(&mut self, mut command: Command) {
        self.agent = Some(command.spawn().unwrap());
    }

    pub fn agent_says(&self) -> String {
        fs::read_to_string(self.env.path("agent.log")).unwrap()
    }

    pub fn approvers(&self) -> u64 {
        self.env.get("/approvals").expect(200)["approvers"].as_u64().unwrap()
    }

    pub fn asks(&self) -> Vec<Value> {
        self.env.get("/approvals").expect(200)["approvals"].as_array().unwrap().clone()
    }

    /// Runs `dunstctl`.
    pub fn dunstctl(&self, words: &[&str]) -> String {
        let mut command = self.command("dunstctl");
        let (_, output) = process::run(command.args(words), b"");
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn displayed(&self) -> String {
        self.dunstctl(&["count", "displayed"])
    }

    /// What the scripted pinentry was told.
    pub fn noted(&self) -> String {
        fs::read_to_string(self.env.path("noted")).unwrap()
    }

    /// Asks for the secret in the background, as a program without a terminal does.
    pub fn ask(&self, words: &[&str]) -> Child {
        let mut command = self.env.command("setsid");
        command.arg("--wait").arg(self.env.programs().client).args(words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Ends the ask and tells how.
    pub fn end(&self, child: Child) -> (i32, String, String) {
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Presses a button of the notification that is shown: opens dunst's menu, which chooses it.
    pub fn press(&self, button: &str) {
        self.env.private_file("choice", button);
        self.dunstctl(&["context"]);
    }

    /// Ends the approver by this signal, and waits until it has.
    pub fn stop_agent(&mut self, signal: rustix::process::Signal) {
        let mut agent = self.agent.take().unwrap();
        process::signal(agent.id(), signal);
        assert!(process::wait(&mut agent, DEADLINE).success());
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in self.agent.iter_mut().chain(self.running.iter_mut().rev()) {
            child.kill().ok();
            child.wait().ok();
        }
    }
}
