//! The vault on file systems that people have: whatever a file system lacks, the work is done or refused with its name,
//! and never "the disk is full". What cannot be mounted here is skipped aloud. `docs/filesystems.md` has the results.

mod lacking;
mod mounts;
mod work;
