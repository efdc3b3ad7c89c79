//! Which files on this machine hold secrets that nobody encrypted, and what to do with each. It reads them to count; it
//! prints no value; of what a file holds it says hosts and profiles alone.

mod known;
mod look;
mod shown;
mod walk;

use std::path::PathBuf;

use look::Look;

/// A file or directory, and the format by which it is imported; none for a dotenv file.
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
}

/// What can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Dotenv,
    Of(crate::format::Format),
    /// An archive that is not read itself.
    OnePux,
}

/// What was found, as a text for eyes or as JSON.
pub(crate) fn find(json: bool) -> String {
    let mut places = known::places();
    let known: Vec<PathBuf> = places.iter().map(|place| place.path.clone()).collect();
    let walked = walk::places();
    for place in walked.places {
        if !places.iter().any(|known| known.path == place.path) {
            places.push(place);
        }
    }
    let looks: Vec<Look> = places.iter().filter_map(Look::at).collect();
    if json { shown::json(&looks, walked.complete) } else { shown::text(&looks, walked.complete, &known) }
}
