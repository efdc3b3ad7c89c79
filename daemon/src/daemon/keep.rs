//! Keeping the daemon reachable: looks again and again whether the names of its sockets and of its token still lead to
//! them, and makes them again if not. A directory for the runtime may be removed at any time: at the end of a session, by
//! a cleaner, by hand. With the same beat, memory that is free goes back to the system.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::set_up::Names;
use crate::listener::Standing;
use crate::memory::Returning;
use crate::reach::Lost;

/// How often it looks. A client that finds no socket waits a little longer.
const BEAT: Duration = Duration::from_secs(1);

/// Looks until it is dropped.
pub(super) async fn keep(names: &mut Names, lost: &Lost) -> ! {
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut returning = Returning::default();
    loop {
        beat.tick().await;
        returning.again();
        for new in lost.note(look(names)) {
            tracing::error!("{new}");
        }
    }
}

/// Looks once; what is lost and could not be made again, and why.
fn look(names: &mut Names) -> Vec<String> {
    let mut lost = Vec::new();
    // If another daemon has the socket's name by now, the directory is its own.
    if let Err(problem) = stand(&names.api) {
        return vec![problem];
    }
    let beside = [&names.credentials, &names.uses];
    lost.extend(beside.into_iter().flatten().filter_map(|socket| stand(socket).err()));
    for token in names.tokens.iter_mut().filter(|token| !token.is_in_place()) {
        let path = token.path().display().to_string();
        match token.write() {
            Ok(()) => tracing::warn!("the token file {path} was removed or changed; it is written again"),
            Err(error) => lost.push(format!("the token file {path} was removed or changed: {error}")),
        }
    }
    lost
}

fn stand(socket: &Standing) -> Result<(), String> {
    if socket.is_in_place() {
        return Ok(());
    }
    let path = socket.path().display();
    socket
        .renew()
        .map_err(|error| format!("nobody reaches the socket {path}, which was removed: {error}"))?;
    tracing::warn!("the socket {path} was removed; it is bound again");
    Ok(())
}
