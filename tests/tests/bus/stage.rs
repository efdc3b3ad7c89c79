//! A session bus of the test's own, with `secretsd-bus` on it and the daemon behind that. Dropping it ends them all.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use secretsd_tests::process::DEADLINE;
use secretsd_tests::{Env, programs};
use serde::Serialize;
use tokio::runtime::Runtime;
use zbus::wire::DynamicDeserialize;
use zbus::{Connection, DynamicType, Message, MessageStream, OwnedObjectPath};

pub const NAME: &str = "org.freedesktop.secrets";
pub const SERVICE: &str = "/org/freedesktop/secrets";
pub const LOGIN: &str = "/org/freedesktop/secrets/collection/login";

/// The bus, with an open vault.
pub struct Stage {
    pub env: Env,
    pub dbus: Child,
    pub service: Child,
}

/// Waits until something is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "not so in time: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

impl Stage {
    pub fn new() -> Self {
        let env = Env::unlocked(programs!());
        let conf = env.private_file(
            "bus.conf",
            format!(
                r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
                "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
                <busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
                <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
                <allow own="*"/></policy></busconfig>"#,
                env.path("session-bus").display()
            ),
        );
        let mut dbus = command(&env, "dbus-daemon");
        let dbus = dbus.arg("--nofork").arg("--config-file").arg(conf).spawn().unwrap();
        until("the bus listens", || env.path("session-bus").exists());
        let service = command(&env, env!("CARGO_BIN_EXE_secretsd-bus")).spawn().unwrap();
        let stage = Self { env, dbus, service };
        let caller = stage.caller();
        until("the name is taken", || caller.has_owner());
        stage
    }

    /// A command on this bus.
    pub fn command(&self, program: &str) -> Command {
        command(&self.env, program)
    }

    /// A connection.
    pub fn caller(&self) -> Caller {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let address = format!("unix:path={}", self.env.path("session-bus").display());
        let connection = runtime
            .block_on(zbus::connection::Builder::address(address.as_str()).method_timeout(DEADLINE).build())
            .unwrap();
        Caller { runtime, connection }
    }
}

fn command(env: &Env, program: &str) -> Command {
    let mut command = env.command(program);
    let bus = format!("unix:path={}", env.path("session-bus").display());
    command.env("DBUS_SESSION_BUS_ADDRESS", bus);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in [&mut self.service, &mut self.dbus] {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// A value on its way.
pub type Carried = (OwnedObjectPath, Vec<u8>, Vec<u8>, String);

/// A program on the bus.
pub struct Caller {
    pub runtime: Runtime,
    pub connection: Connection,
}

impl Caller {
    /// Whether somebody has the name.
    pub fn has_owner(&self) -> bool {
        let call = self.connection.call_method(
            Some("org.freedesktop.DBus"),
            "/org/freedesktop/DBus",
            Some("org.freedesktop.DBus"),
            "NameHasOwner",
            &NAME,
        );
        self.runtime.block_on(call).unwrap().body().deserialize().unwrap()
    }

    /// Calls a method, `Interface.Method` of the Secret Service or a whole name.
    pub fn try_call(
        &self,
        path: &str,
        method: &str,
        body: &(impl Serialize + DynamicType),
    ) -> Result<Message, String> {
        let (interface, member) = method.rsplit_once('.').unwrap();
        let whole = format!("org.freedesktop.Secret.{interface}");
        let interface = if interface.contains('.') { interface } else { &whole };
        let call = self.connection.call_method(Some(NAME), path, Some(interface), member, body);
        // Of an error it shows the name first, and then the text.
        let name = |error: zbus::Error| error.to_string().split(':').next().unwrap_or_default().to_owned();
        self.runtime.block_on(call).map_err(name)
    }

    /// Calls a method that must answer.
    #[track_caller]
    pub fn call<T: for<'a> DynamicDeserialize<'a>>(
        &self,
        path: &str,
        method: &str,
        body: &(impl Serialize + DynamicType),
    ) -> T {
        let answer = self.try_call(path, method, body).unwrap_or_else(|name| panic!("{method}: {name}"));
        answer.body().deserialize().unwrap()
    }

    /// A session without encryption.
    pub fn session(&self) -> OwnedObjectPath {
        let (_, session): (zbus::OwnedVariant, OwnedObjectPath) =
            self.call(SERVICE, "Service.OpenSession", &("plain", zbus::Variant::from("")));
        session
    }

    /// Stores an item in the vault.
    pub fn create(
        &self,
        session: &OwnedObjectPath,
        attributes: &[(&str, &str)],
        value: &[u8],
        replace: bool,
    ) -> Result<(OwnedObjectPath, OwnedObjectPath), String> {
        let attributes: std::collections::HashMap<&str, &str> = attributes.iter().copied().collect();
        let properties = std::collections::HashMap::from([
            ("org.freedesktop.Secret.Item.Label", zbus::Variant::from("label")),
            ("org.freedesktop.Secret.Item.Attributes", zbus::Variant::from(attributes)),
        ]);
        let carried = (session.clone(), Vec::<u8>::new(), value.to_vec(), "text/plain");
        let answer = self.try_call(LOGIN, "Collection.CreateItem", &(properties, carried, replace))?;
        Ok(answer.body().deserialize().unwrap())
    }

    /// An item's value.
    pub fn value(&self, session: &OwnedObjectPath, item: &str) -> Result<Vec<u8>, String> {
        let answer = self.try_call(item, "Item.GetSecret", &session)?;
        let body = answer.body();
        let (_, _, value, _): Carried = body.deserialize().unwrap();
        Ok(value)
    }

    /// What is found: unlocked and locked.
    pub fn search(&self, attributes: &[(&str, &str)]) -> (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) {
        let attributes: std::collections::HashMap<&str, &str> = attributes.iter().copied().collect();
        self.call(SERVICE, "Service.SearchItems", &attributes)
    }

    /// Shows a prompt, and gives what came of it: whether it was dismissed, and the unlocked objects.
    pub fn prompted(&self, prompt: &str) -> (bool, zbus::OwnedVariant) {
        let mut messages = MessageStream::from(&self.connection);
        self.call::<()>(prompt, "Prompt.Prompt", &"");
        let next = async {
            loop {
                let poll = |cx: &mut std::task::Context<'_>| {
                    futures_core::Stream::poll_next(std::pin::Pin::new(&mut messages), cx)
                };
                let message = std::future::poll_fn(poll).await.unwrap().unwrap();
                if message.header().member().is_some_and(|member| member.as_str() == "Completed") {
                    return message.body().deserialize().unwrap();
                }
            }
        };
        let bounded = async { tokio::time::timeout(DEADLINE, next).await };
        self.runtime.block_on(bounded).expect("the prompt does not end")
    }
}
