//! How the vault's file was left when it was last closed, in a small file beside the rollback guard. Anyone who finds it like
//! that need not walk through an audit log of years again: it was sound and complete, and nobody has written to it.
//!
//! It is a MAC under the anchor key, over two parts: `left`, and device, inode, length and time of the last change of the
//! vault's file as [`Stamp::to_bytes`] has them. It need not be durable: without it, or with an older one, the log is
//! walked through.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use secrets_local::files;

use crate::crypto::keys::{Keys, Purpose};
use crate::store::Stamp;

const LABEL: &[u8] = b"left";

/// Notes that the vault's file was left like this, sound and with every entry of its audit log.
pub(in crate::vault) fn note(path: &Path, keys: &Keys, file: Stamp) -> Result<(), files::Error> {
    let at = |error: io::Error| files::Error::Io(path.to_owned(), error);
    let mac = keys.mac(Purpose::Anchor, &[LABEL, &file.to_bytes()]);
    let note = files::open_private(path)?;
    note.set_len(mac.len() as u64).and_then(|()| note.write_all_at(&mac, 0)).map_err(at)
}

/// Whether it is noted that the file was left like this.
pub(in crate::vault) fn is_as_left(path: &Path, keys: &Keys, file: Stamp) -> bool {
    let noted = files::read_private(path, 32);
    noted.is_ok_and(|mac| keys.verify(Purpose::Anchor, &[LABEL, &file.to_bytes()], &mac).is_ok())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::crypto::keys::{DataKey, Identity};
    use crate::store::{HeaderRow, ManifestRow, Store};

    fn keys() -> Keys {
        Keys::derive(DataKey::generate().unwrap(), Identity { vault: [3; 16], epoch: 1 }).unwrap()
    }

    #[test]
    fn a_file_is_as_it_was_left_until_somebody_writes_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, noted) = (dir.path().join("vault.db"), dir.path().join("left"));
        files::open_private(&path).unwrap();
        let header = HeaderRow { vault: [3; 16], lineage: [1; 16], epoch: 1, mac: [0; 32] };
        Store::create(&path, &header, &[], &ManifestRow { generation: 1, sealed: Vec::new() }).unwrap();
        let open = || {
            let store = Store::open(&path).unwrap();
            let found = store.untouched().unwrap();
            store.leave();
            found
        };
        let keys = keys();
        assert!(!is_as_left(&noted, &keys, open()), "nothing was noted");
        let store = Store::open(&path).unwrap();
        store.allow_writing().unwrap();
        note(&noted, &keys, store.close().unwrap().unwrap()).unwrap();
        assert!(is_as_left(&noted, &keys, open()));
        assert!(!is_as_left(&noted, &self::keys(), open()), "another vault's key has noted it");

        let note_of_keys = fs::read(&noted).unwrap();
        fs::write(&noted, [&*note_of_keys, b"x"].concat()).unwrap();
        assert!(!is_as_left(&noted, &keys, open()));
        fs::write(&noted, &note_of_keys).unwrap();
        let content = fs::read(&path).unwrap();
        let times = fs::metadata(&path).unwrap();
        fs::write(&path, content).unwrap();
        let times = fs::FileTimes::new()
            .set_accessed(times.accessed().unwrap())
            .set_modified(times.modified().unwrap());
        fs::File::options().write(true).open(&path).unwrap().set_times(times).unwrap();
        assert!(!is_as_left(&noted, &keys, open()), "it was written to and its times were put back");
    }
}
