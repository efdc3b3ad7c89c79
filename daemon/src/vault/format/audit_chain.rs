//! The audit log in its sealed form: each entry by itself, and the chain of MACs that they make.

use crate::crypto::keys::{Keys, Purpose};
use crate::crypto::seal;

/// Where an audit entry's sealed content belongs: the sequence is its row (u64, big-endian) and its version.
pub(in crate::vault) fn audit_context(sequence_bytes: &[u8; 8], sequence: u64) -> seal::AadContext<'_> {
    seal::AadContext { table: "audit".into(), row: sequence_bytes, column: "sealed", version: sequence }
}

/// The MAC that chains an audit entry to the one before: (MAC before, or 32 zeros; sequence u64; sealed), each with its
/// length before it.
pub(in crate::vault) fn audit_mac(keys: &Keys, before: &[u8; 32], sequence: u64, sealed: &[u8]) -> [u8; 32] {
    keys.mac(Purpose::Audit, &[before, &sequence.to_be_bytes(), sealed])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit;
    use crate::crypto::vectors::{array, bytes, keys, list, number, vectors};

    #[test]
    fn the_audit_chain_is_the_known_one() {
        let keys = keys();
        let mut before = [0; 32];
        for known in list(&vectors()["audit"]) {
            let (sequence, sealed) = (number(&known["sequence"]), bytes(&known["sealed"]));
            before = audit_mac(&keys, &before, sequence, &sealed);
            assert_eq!(before, array(&known["mac"]));
            let row = sequence.to_be_bytes();
            let plaintext = seal::open(&keys, audit_context(&row, sequence), &sealed).unwrap();
            assert_eq!(*plaintext, bytes(&known["plaintext"]));
            assert_eq!(audit::decode(sequence, &plaintext).unwrap().sequence, sequence);
        }
    }
}
