//! The layout of the *exchange*: the directory between the daemon, which has no network, and whatever moves its files.
//!
//! ```text
//! exchange/                     0700, of the user
//!   l-<writer>-<number>-<hash>  objects (see the module `name`); a reader may trust its name only after hashing
//!   i-…  m-…  s-…               its bytes. 0600: no store is known to have it; 0400: the mover has seen it in the store
//!   .tmp-*                      being written; renamed when whole and durable; nobody reads them
//!   .drop                       written by the daemon: names of objects to delete from the store, one a line
//!   .dropped                    written by the mover: the `.drop` that is done
//!   .gone                       written by the mover: what the store had, and lists no more, see [`GONE`]
//!   .status                     written by the mover after each run: JSON, see [`STATUS`]
//!   .nudge                      touched by the daemon when there is something to move
//!   .lock                       held (flock, exclusive) by the mover while it runs
//!   .store                      written by the client: which store the mover moves to, and where its credential is
//!   .token                      written by the client: the access token for a credential that is in the vault
//!   .merged                     written by the daemon: which objects it has considered, see [`MERGED`]
//! ```
//!
//! Objects are immutable: a name that is there never gets other bytes. The daemon alone creates objects of its own
//! machine here and removes objects from here; the mover adds what the store has, puts into the store what it lacks, and
//! deletes from the store what `.drop` names. It changes no object and never looks into one. Every other name is left
//! alone by both: `.tmp`, `.sync-conflict` and the like of programs that synchronize directories are harmless.
//!
//! When the exchange is itself a directory that another program shares (engine `dir:`), there is no mover and no `.store`,
//! `.drop`, `.merged` or `.status`: the daemon deletes the objects itself.

/// What begins the name of a file that is still being written. It must be on the same file system, and so it is here.
pub const TEMPORARY: &str = ".tmp-";

/// Names of objects to delete from the store: one a line, each ending with a line break. The daemon replaces the file as
/// a whole. The mover deletes what is named and still in the store, and leaves the file as it is.
pub const DROP: &str = ".drop";

/// What `.drop` was when the store listed nothing of it any more, written by the mover: as long as both are the same, the
/// daemon begins a new list.
pub const DROPPED: &str = ".dropped";

/// Names of objects that the store has had and did not list in the last run, one a line. The daemon removes those from the
/// exchange in whose place another machine has put a snapshot; what is left when it has merged, the mover puts again.
pub const GONE: &str = ".gone";

/// What the mover says of its last run, replaced as a whole: a JSON object with `time` (RFC 3339), `date` (the store's
/// own, or null), `listed`, `got`, `put`, `deleted`, `spoilt`, `lost`, `waiting`, `requests` (counts), `error`: null, or one of `locked`, `refused`,
/// `other-fleet`, `place`, `offline`, `full`, `clock`, `absent`, `too-much`, `unreadable`, `exchange`; and `detail`, the
/// same for people, or null. Nothing in it is secret.
pub const STATUS: &str = ".status";

/// Touched by the daemon when there is something to move: a systemd path unit watches it.
pub const NUDGE: &str = ".nudge";

/// The names of all objects that were in the exchange when the daemon had merged them, one a line, each ending with a line
/// break, in order; then an empty line, and [`GONE`] as it was then. As long as both are as they are now, the mover puts again
/// what is gone.
pub const MERGED: &str = ".merged";

/// Held by the mover while it runs, by `flock`, so that two never move at once.
pub const LOCK: &str = ".lock";

/// The most bytes that objects may take in the exchange: a hostile store cannot fill the disk. The mover stops getting
/// objects before that, the daemon's own come on top.
pub const MOST_BYTES: u64 = 256 << 20;

/// The most objects in the exchange.
pub const MOST_FILES: usize = 20_000;
