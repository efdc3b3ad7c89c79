//! Doors for the fuzz targets in `tests/fuzz`, compiled for them alone. Each takes arbitrary bytes and panics when a
//! promise is broken; nothing else here may panic.

use std::sync::OnceLock;

use crate::crypto::keys::{DataKey, Identity, Keys};
use crate::crypto::seal::{self, AadContext};
use crate::router::Api;
use crate::server::fuzzing::FuzzedServer;

pub use crate::router::fuzzing::json_body;
pub use crate::vault::fuzzing::{slot_params, vault_image};

/// The real service without a vault.
pub struct HttpService(FuzzedServer<Api>);

impl HttpService {
    /// Starts it in a directory of its own. To be called inside a runtime.
    pub fn start() -> Option<Self> {
        FuzzedServer::start(Api::new).map(Self)
    }

    /// Sends these bytes in pieces of this size, 0 for all at once, and panics when what comes back breaks a promise.
    pub async fn feed(&self, bytes: &[u8], piece: usize) {
        self.0.feed(bytes, piece).await;
    }
}

/// What was not sealed does not open; what was opens as it was, and not once a bit of it is another.
pub fn sealed_blob(data: &[u8]) {
    static KEYS: OnceLock<Option<Keys>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        DataKey::generate().and_then(|data| Keys::derive(data, Identity { vault: [9; 16], epoch: 1 })).ok()
    });
    let Some(keys) = keys else { return };
    let Some((&[version, row_length, at_high, at_low, bit], rest)) = data.split_first_chunk() else { return };
    let (row, plaintext) = rest.split_at(usize::from(row_length).min(rest.len()));
    let at_version = |version| AadContext { table: "secret".into(), row, column: "sealed", version };
    let context = || at_version(u64::from(version));

    assert!(seal::open(keys, context(), plaintext).is_err(), "arbitrary bytes open");
    let mut blob = seal::seal(keys, context(), plaintext).unwrap_or_default();
    assert!(
        seal::open(keys, context(), &blob).is_ok_and(|opened| *opened == plaintext),
        "other bytes come back"
    );
    let elsewhere = at_version(u64::from(version) + 1);
    assert!(seal::open(keys, elsewhere, &blob).is_err(), "a blob opens elsewhere");

    let at = usize::from(u16::from_be_bytes([at_high, at_low])) % blob.len();
    assert!(seal::open(keys, context(), blob.get(..at).unwrap_or_default()).is_err(), "a cut blob opens");
    if let Some(byte) = blob.get_mut(at) {
        *byte ^= 1 << (bit % 8);
    }
    assert!(seal::open(keys, context(), &blob).is_err(), "a changed blob opens");
}
