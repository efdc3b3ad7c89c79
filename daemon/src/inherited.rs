//! The text by which an image of the program tells the next which descriptors it has left open for it. It is read twice:
//! first to keep these open, when all others are closed, then to take them over ([`relaunch`](crate::relaunch)).

use std::collections::HashSet;
use std::os::fd::RawFd;

/// Tells the new image what it was handed: its process id, and descriptors with what they are, as `name=number`, all
/// apart by spaces. After each `pipe` comes its `stream`.
pub(crate) const VARIABLE: &str = "SECRETSD_RELAUNCH";

/// The descriptors that `VARIABLE`'s text names for the process `own`, in ascending order: those that must stay open.
pub(crate) fn kept(text: Option<&str>, own: u32) -> Vec<RawFd> {
    let Some(named) = text.and_then(|text| named(text, own)) else { return Vec::new() };
    let mut kept: Vec<RawFd> = named.into_iter().map(|(_, number)| number).collect();
    kept.sort_unstable();
    kept
}

/// The descriptors after the process id, if it is this process that is meant.
pub(crate) fn named(text: &str, own: u32) -> Option<Vec<(String, RawFd)>> {
    let (pid, rest) = text.split_once(' ')?;
    if pid.parse::<u32>().ok()? != own {
        return None;
    }
    let named: Vec<(String, RawFd)> = rest
        .split(' ')
        .map(|item| {
            let (name, number) = item.split_once('=')?;
            Some((name.to_owned(), number.parse().ok()?))
        })
        .collect::<Option<_>>()?;
    let descriptors: HashSet<RawFd> = named.iter().map(|(_, number)| *number).collect();
    // Each at most once, and none of the three that every process has: two owners of one would close it twice.
    let sound = descriptors.len() == named.len() && descriptors.iter().all(|number| *number > 2);
    sound.then_some(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_kept_for_the_process_that_is_meant() {
        assert_eq!(kept(Some("7 api-made=9 lock=4 unwritten=5 pipe=12 stream=11"), 7), [4, 5, 9, 11, 12]);
        for foreign in [
            None,
            Some("8 api=9 lock=4"),
            Some("7 api=9 lock"),
            Some("7 api=9 lock=-4"),
            Some("7 api=x lock=4"),
            Some("7 api=9 lock=9"),
            Some("7 api=2 lock=4"),
            Some("7"),
            Some("7 "),
            Some(""),
        ] {
            assert!(kept(foreign, 7).is_empty(), "{foreign:?}");
        }
    }
}
