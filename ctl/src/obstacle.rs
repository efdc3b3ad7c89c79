//! Words for what keeps the daemon from hearing of a suspend or a lock of the session.

use secrets_proto::vault::Obstacle;

/// What keeps the daemon from hearing of it.
pub(crate) const fn hindered_by(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::NoSystemBus => "no system bus",
        Obstacle::NoLogind => "no logind on the system bus",
        Obstacle::NoAnswer => "no answer from logind",
        Obstacle::Refused => "refused by logind",
        Obstacle::Suspending => "the machine is about to suspend",
    }
}
