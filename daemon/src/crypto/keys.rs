//! The data key, and one key for each purpose derived from it.

use ring::{hkdf, hmac};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Error, framed_length, random};

/// The number of the vault's file format; part of every derivation and every sealed blob.
pub(crate) const FORMAT: u32 = 1;

/// The random 32-byte key of an epoch, from which all others are derived. Slots wrap it.
pub(crate) struct DataKey(pub(super) Zeroizing<[u8; 32]>);

impl DataKey {
    /// A fresh one.
    pub(crate) fn generate() -> Result<Self, Error> {
        Ok(Self(Zeroizing::new(random()?)))
    }
}

/// Which vault and which epoch a key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The vault's random id.
    pub(crate) vault: [u8; 16],
    /// Counts rotations, from 1.
    pub(crate) epoch: u32,
}

/// The keys of an unlocked vault, each for one purpose:
/// `HKDF-SHA256(ikm = data key, salt = empty, info = label ‖ vault id ‖ epoch)` with the epoch as big-endian
/// u32 (RFC 5869), 32 bytes each. The labels are `secretsd/1/` and `record` (for sealed blobs), `header`, `manifest`
/// (for the rows that the manifest counts), `audit` or `anchor`. ring keeps its HMAC keys and this struct inline, so pinning the struct pins them all.
pub(crate) struct Keys {
    identity: Identity,
    data: DataKey,
    pub(super) record: Zeroizing<[u8; 32]>,
    header: hmac::Key,
    manifest: hmac::Key,
    audit: hmac::Key,
    anchor: hmac::Key,
}

/// What a MAC is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// The header and all slots.
    Header,
    /// One row, as the manifest counts it.
    Row,
    /// One audit entry, chained to the one before.
    Audit,
    /// What lies outside of the vault: the rollback guard, and how the file was left.
    Anchor,
}

impl Keys {
    /// Derives all keys of this vault and epoch.
    pub(crate) fn derive(data: DataKey, identity: Identity) -> Result<Self, Error> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&*data.0);
        let key = |label: &str| -> Result<Zeroizing<[u8; 32]>, Error> {
            let mut out = Zeroizing::new([0; 32]);
            let epoch = identity.epoch.to_be_bytes();
            root.expand(&[label.as_bytes(), &identity.vault, &epoch], Length32)
                .and_then(|okm| okm.fill(&mut *out))
                .map_err(|_| Error::Malformed)?;
            Ok(out)
        };
        let mac = |label: &str| Ok::<_, Error>(hmac::Key::new(hmac::HMAC_SHA256, &*key(label)?));
        Ok(Self {
            identity,
            record: key("secretsd/1/record")?,
            header: mac("secretsd/1/header")?,
            manifest: mac("secretsd/1/manifest")?,
            audit: mac("secretsd/1/audit")?,
            anchor: mac("secretsd/1/anchor")?,
            data,
        })
    }

    /// Which vault and epoch these keys belong to.
    pub(crate) const fn identity(&self) -> Identity {
        self.identity
    }

    /// The data key, to be wrapped under another slot.
    pub(crate) const fn data(&self) -> &DataKey {
        &self.data
    }

    /// The data key alone, to derive its keys again.
    pub(crate) fn into_data(self) -> DataKey {
        self.data
    }

    /// HMAC-SHA256 over the parts, each with its length before it (u32, big-endian).
    pub(crate) fn mac(&self, purpose: Purpose, parts: &[&[u8]]) -> [u8; 32] {
        let mut out = [0; 32];
        out.copy_from_slice(self.tag(purpose, parts).as_ref());
        out
    }

    /// Checks a MAC in constant time.
    pub(crate) fn verify(&self, purpose: Purpose, parts: &[&[u8]], mac: &[u8]) -> Result<(), Error> {
        if bool::from(self.tag(purpose, parts).as_ref().ct_eq(mac)) {
            Ok(())
        } else {
            Err(Error::NotAuthentic)
        }
    }

    /// Fed part by part: every row of the vault goes through here at unlock, and a buffer for each is a tenth of it.
    fn tag(&self, purpose: Purpose, parts: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(self.mac_key(purpose));
        for part in parts {
            context.update(&framed_length(part));
            context.update(part);
        }
        context.sign()
    }

    const fn mac_key(&self, purpose: Purpose) -> &hmac::Key {
        match purpose {
            Purpose::Header => &self.header,
            Purpose::Row => &self.manifest,
            Purpose::Audit => &self.audit,
            Purpose::Anchor => &self.anchor,
        }
    }
}

/// 32 bytes of key material, as ring wants to be told.
pub(super) struct Length32;

impl hkdf::KeyType for Length32 {
    fn len(&self) -> usize {
        32
    }
}

#[cfg(test)]
mod tests {
    use super::super::vectors::{array, bytes, keys, list, vectors};
    use super::*;

    #[test]
    fn derived_keys_are_the_known_ones() {
        let (keys, known) = (keys(), vectors());
        assert_eq!(*keys.record, array(&known["record_key"]));
        let parts: Vec<Vec<u8>> = list(&known["macs"]["parts"]).iter().map(bytes).collect();
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        for (purpose, name) in [
            (Purpose::Header, "header"),
            (Purpose::Row, "manifest"),
            (Purpose::Audit, "audit"),
            (Purpose::Anchor, "anchor"),
        ] {
            let mac = array(&known["macs"][name]);
            assert_eq!(keys.mac(purpose, &parts), mac, "{name}");
            assert_eq!(keys.verify(purpose, &parts, &mac), Ok(()), "{name}");
        }
    }
}
