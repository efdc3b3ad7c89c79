//! The layout of the *exchange*: the directory between the daemon, which has no network, and whatever moves its files.
//!
//! ```text
//! exchange/                     0700, of the user
//!   l-<writer>-<number>-<hash>  objects (see the module `name`), 0600; whoever finds one may trust its name only
//!   i-…  m-…  s-…               after hashing its bytes
//!   .tmp-*                      being written; renamed when whole and durable; nobody reads them
//!   .drop                       written by the daemon: names of objects to delete from the store, one a line
//!   .status                     written by the mover after each run: JSON, see [`STATUS`]
//!   .nudge                      touched by the daemon when there is something to move
//!   .lock                       held (flock, exclusive) by the mover while it runs
//! ```
//!
//! Objects are immutable: a name that is there never gets other bytes. The daemon alone creates objects of its own
//! machine here and removes objects from here; the mover adds what the store has, puts into the store what it lacks, and
//! deletes from the store what `.drop` names. It changes no object and never looks into one. Every other name is left
//! alone by both: `.tmp`, `.sync-conflict` and the like of programs that synchronize directories are harmless.
//!
//! When the exchange is itself a directory that another program shares (engine `dir:`), there is no mover, no `.drop`
//! and no `.status`: the daemon deletes the objects itself.

/// The exchange's name below the data directory, when no directory was chosen.
pub const DIRECTORY: &str = "exchange";

/// What begins the name of a file that is still being written. It must be on the same file system, and so it is here.
pub const TEMPORARY: &str = ".tmp-";

/// Names of objects that the store shall delete: one a line, each ending with a line break. The daemon replaces the file as
/// a whole. The mover deletes what is named and still in the store, and leaves the file as it is; the daemon takes a name
/// out once a later `.status` says that the store does not list it.
pub const DROP: &str = ".drop";

/// What the mover says of its last run, replaced as a whole: a JSON object with `time` (RFC 3339), `date` (the store's
/// own, or null), `listed`, `got`, `put`, `deleted` (counts), and `error`: null, or one of `offline`, `refused`, `full`,
/// `clock`, `other-fleet`, `unreadable`. Nothing in it is secret.
pub const STATUS: &str = ".status";

/// Touched by the daemon when there is something to move: a systemd path unit watches it.
pub const NUDGE: &str = ".nudge";

/// Held by the mover while it runs, by `flock`, so that two never move at once.
pub const LOCK: &str = ".lock";

/// The most bytes that objects may take in the exchange: a hostile store cannot fill the disk. The mover stops getting
/// objects before that, the daemon's own come on top.
pub const MOST_BYTES: u64 = 256 << 20;

/// The most objects in the exchange.
pub const MOST_FILES: usize = 20_000;
