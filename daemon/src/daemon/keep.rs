//! Keeping the daemon reachable: looks whether the names of its sockets and of its token still lead to them, and makes them
//! again if not. A directory for the runtime may be removed at any time: at the end of a session, by a cleaner, by hand.
//! It looks when something has happened to them, and from time to time only while not all is well.

use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

use super::path_watch::PathWatch;
use super::set_up::Names;
use crate::auth::TokenFile;
use crate::listener::Standing;
use crate::reach::Lost;

/// How often it looks while something is lost or cannot be watched. A client that finds no socket waits a little longer.
const BEAT: Duration = Duration::from_secs(1);

/// After how long it looks when something has happened: who removes a directory removes what is in it one by one.
const BURST: Duration = Duration::from_millis(100);

/// Looks until it is dropped.
pub(super) async fn keep(names: &mut Names, lost: &Lost) -> ! {
    let mut watch = None;
    loop {
        // Watched first: what happens while it looks is not missed.
        let watched = follow(&mut watch, names);
        let now = look(names);
        let is_well = watched && now.is_empty();
        for new in lost.note(now) {
            tracing::error!("{new}");
        }
        tokio::select! {
            () = changed(&mut watch) => sleep(BURST).await,
            () = sleep(BEAT), if !is_well => {}
        }
    }
}

/// Whether all that leads to the names is watched from now on.
fn follow(watch: &mut Option<PathWatch>, names: &Names) -> bool {
    let followed = match watch {
        Some(watch) => watch.follow(paths(names)),
        None => PathWatch::new().and_then(|new| watch.insert(new).follow(paths(names))),
    };
    if let Err(error) = &followed {
        tracing::debug!(%error, "not everything that leads to the daemon is watched");
    }
    followed.is_ok()
}

async fn changed(watch: &mut Option<PathWatch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

fn paths(names: &Names) -> impl Iterator<Item = &Path> {
    let Names { api, credentials, uses, tokens } = names;
    let sockets = [Some(api), credentials.as_ref(), uses.as_ref()].into_iter().flatten();
    sockets.map(Standing::path).chain(tokens.iter().map(TokenFile::path))
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
