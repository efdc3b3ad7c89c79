//! The name on the bus: asked for without taking it from anybody and without waiting for it, and who has it else.

use std::fs;

use zbus::Connection;

use crate::peers::DRIVER;

const DRIVER_PATH: &str = "/org/freedesktop/DBus";

/// `DBUS_NAME_FLAG_DO_NOT_QUEUE`, and the two answers that say that it is ours (D-Bus Specification, `RequestName`).
const DO_NOT_QUEUE: u32 = 4;
const OURS: [u32; 2] = [1, 4];

/// Takes the name, or says who has it.
pub(crate) async fn take(connection: &Connection, name: &str) -> Result<(), String> {
    let reply = connection
        .call_method(Some(DRIVER), DRIVER_PATH, Some(DRIVER), "RequestName", &(name, DO_NOT_QUEUE))
        .await
        .map_err(|_| format!("the bus does not give the name {name}"))?;
    let answer: u32 = reply.body().deserialize().map_err(|_| "the bus answers oddly".to_owned())?;
    if OURS.contains(&answer) {
        return Ok(());
    }
    let holder = holder(connection, name).await.unwrap_or_else(|| "another program".to_owned());
    Err(format!("{holder} has {name}; end it, and keep it from being started again"))
}

/// Who has a name, as a person knows it: program and process id.
pub(crate) async fn holder(connection: &Connection, name: &str) -> Option<String> {
    Some(holder_at(connection, name).await?.1)
}

/// Whether that is this program, of whatever version.
pub(crate) fn is_ours(holder: &str) -> bool {
    let program = holder.split(" (pid ").next().unwrap_or_default();
    program.rsplit('/').next() == Some(crate::PROGRAM)
}

/// The unique name of who has a name, and who that is.
pub(crate) async fn holder_at(connection: &Connection, name: &str) -> Option<(String, String)> {
    let owner = ask(connection, "GetNameOwner", name).await?;
    let owner: String = owner.body().deserialize().ok()?;
    let told = told(connection, &owner).await;
    Some((owner, told))
}

async fn told(connection: &Connection, owner: &str) -> String {
    let reply = ask(connection, "GetConnectionUnixProcessID", owner).await;
    let pid: Option<u32> = reply.and_then(|reply| reply.body().deserialize().ok());
    let Some(pid) = pid else { return "another program".to_owned() };
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok();
    let program = match exe {
        Some(path) => path.to_string_lossy().into_owned(),
        None => fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned(),
    };
    let program = secrets_proto::printable::printable(&program).into_owned();
    if program.is_empty() { format!("process {pid}") } else { format!("{program} (pid {pid})") }
}

async fn ask(connection: &Connection, method: &str, argument: &str) -> Option<zbus::Message> {
    connection.call_method(Some(DRIVER), DRIVER_PATH, Some(DRIVER), method, &argument).await.ok()
}

/// Has the bus start what it would start for a program that asks, and says who has the name then.
pub(crate) async fn start(connection: &Connection, name: &str) -> Result<Option<String>, String> {
    let no_flags = 0_u32;
    let reply = connection
        .call_method(Some(DRIVER), DRIVER_PATH, Some(DRIVER), "StartServiceByName", &(name, no_flags))
        .await;
    reply.map_err(|_| format!("the bus cannot start what is to have {name}"))?;
    Ok(holder(connection, name).await)
}

/// Has the bus read again which names can be started.
pub(crate) async fn reload(connection: &Connection) -> Result<(), String> {
    let reply = connection.call_method(Some(DRIVER), DRIVER_PATH, Some(DRIVER), "ReloadConfig", &()).await;
    reply.map(drop).map_err(|_| "the bus does not read its settings again".to_owned())
}
