//! A session bus of the test's own, with `secretsd-bus` on it and the daemon behind that. Dropping it ends them all.

use std::process::{Child, ChildStdin, Command};

use secretsd_tests::process::{DEADLINE, until};
use secretsd_tests::session_bus::SessionBus;
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
    pub bus: SessionBus,
    services: Vec<Child>,
}

impl Stage {
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// With these arguments for `secretsd-bus`.
    pub fn with(arguments: &[&str]) -> Self {
        let mut stage = Self::empty();
        stage.serve(arguments);
        stage
    }

    /// With nobody who has the name.
    pub fn empty() -> Self {
        let env = Env::unlocked(programs!());
        let bus = SessionBus::start(&env);
        Self { env, bus, services: Vec::new() }
    }

    /// Starts `secretsd-bus`, and waits until it has the name.
    pub fn serve(&mut self, arguments: &[&str]) {
        let mut service = self.command(env!("CARGO_BIN_EXE_secretsd-bus"));
        self.start(service.args(arguments));
    }

    /// Starts a program that takes the name, and waits until it has.
    pub fn start(&mut self, program: &mut Command) -> &mut Child {
        self.start_with(program, |_| ())
    }

    /// The same with what it reads first, if its standard input is a pipe.
    pub fn start_with(&mut self, program: &mut Command, write: impl FnOnce(&mut ChildStdin)) -> &mut Child {
        let mut child = program.spawn().unwrap();
        if let Some(mut stdin) = child.stdin.take() {
            write(&mut stdin);
        }
        self.services.push(child);
        let caller = self.caller();
        until("the name is taken", || caller.has_owner());
        self.service()
    }

    /// The program that was started last.
    pub fn service(&mut self) -> &mut Child {
        self.services.last_mut().unwrap()
    }

    /// Ends it.
    pub fn end_service(&mut self) {
        self.service().kill().unwrap();
        self.service().wait().unwrap();
        let caller = self.caller();
        until("the name is free", || !caller.has_owner());
    }

    /// A command on this bus.
    pub fn command(&self, program: &str) -> Command {
        SessionBus::command(&self.env, program)
    }

    /// A connection.
    pub fn caller(&self) -> Caller {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let address = SessionBus::address(&self.env);
        let connection = runtime
            .block_on(zbus::connection::Builder::address(address.as_str()).method_timeout(DEADLINE).build())
            .unwrap();
        Caller { runtime, connection }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in &mut self.services {
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
