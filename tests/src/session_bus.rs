//! A session bus of a test's own: in the environment's directory, and ended with the value. Programs that the bus starts
//! are those whose files are in the environment's data directory.

use std::ffi::OsStr;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use crate::env::Env;
use crate::process::until;

/// The bus.
pub struct SessionBus {
    daemon: Child,
}

impl SessionBus {
    /// Starts one, and waits until it listens.
    pub fn start(env: &Env) -> Self {
        let conf = env.private_file(
            "bus.conf",
            format!(
                r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
                "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
                <busconfig><type>session</type><listen>{}</listen><auth>EXTERNAL</auth>
                <servicedir>{}</servicedir>
                <!-- As those of a login session. -->
                <limit name="max_incoming_bytes">1000000000</limit><limit name="max_incoming_unix_fds">250000000</limit>
                <limit name="max_outgoing_bytes">1000000000</limit><limit name="max_outgoing_unix_fds">250000000</limit>
                <limit name="max_message_size">1000000000</limit><limit name="max_message_unix_fds">4096</limit>
                <limit name="max_completed_connections">100000</limit>
                <limit name="max_incomplete_connections">10000</limit>
                <limit name="max_connections_per_user">100000</limit>
                <limit name="max_match_rules_per_connection">50000</limit>
                <limit name="max_replies_per_connection">50000</limit>
                <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
                <allow own="*"/></policy></busconfig>"#,
                Self::address(env),
                env.path("data/dbus-1/services").display()
            ),
        );
        let mut daemon = Self::command(env, "dbus-daemon");
        let daemon = daemon.arg("--nofork").arg("--config-file").arg(conf).spawn().unwrap();
        let bus = Self { daemon };
        until("the bus listens", || UnixStream::connect(env.path("session-bus")).is_ok());
        bus
    }

    /// Where it listens.
    pub fn address(env: &Env) -> String {
        format!("unix:path={}", env.path("session-bus").display())
    }

    /// A command of this environment on this bus, whose output nobody reads.
    pub fn command(env: &Env, program: impl AsRef<OsStr>) -> Command {
        let mut command = env.command(program);
        command.env("DBUS_SESSION_BUS_ADDRESS", Self::address(env));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Ends it.
    pub fn end(&mut self) {
        self.daemon.kill().ok();
        self.daemon.wait().ok();
    }
}

impl Drop for SessionBus {
    fn drop(&mut self) {
        self.end();
    }
}
