//! The owner's token: new at each start, in a file that only the owner reads.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use secrets_local::files;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::crypto;

/// The token of this run as words: comparing in constant time is slow for each step that it takes.
#[derive(Clone)]
pub(crate) struct OwnerToken(Arc<Zeroizing<[u64; WORDS]>>);

/// 256 bits in base64url.
const LENGTH: usize = 43;
const WORDS: usize = LENGTH.div_ceil(8);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// No randomness.
    #[error(transparent)]
    Random(#[from] crypto::Error),
    /// The token's file cannot be written.
    #[error("the owner token cannot be written: {0}")]
    Files(#[from] files::Error),
}

impl OwnerToken {
    /// Makes a new token of 256 bits and writes it to its file, in place of an older one.
    pub(crate) fn create(path: &Path) -> Result<(Self, TokenFile), Error> {
        let token = Self::random()?;
        let mut file = TokenFile { path: path.to_owned(), token: token.clone(), identity: None };
        file.write()?;
        Ok((token, file))
    }

    /// The token that the image before this one made: locking does not shut its holders out. If it is gone, a new one, and
    /// if that cannot be written now, it is to be written later.
    pub(crate) fn resume(path: &Path) -> Result<(Self, TokenFile), Error> {
        let content = files::read_private(path, LENGTH as u64).ok();
        let text = content.as_deref().and_then(|content| std::str::from_utf8(content).ok());
        let is_whole = |token: &&str| data_encoding::BASE64URL_NOPAD.decode_len(token.len()) == Ok(32);
        let Some(token) = text.filter(is_whole) else {
            let token = Self::random()?;
            let mut file = TokenFile { path: path.to_owned(), token: token.clone(), identity: None };
            if let Err(error) = file.write() {
                tracing::warn!(%error, "there is no owner token for the moment");
            }
            return Ok((token, file));
        };
        let token = Self(pack(token.as_bytes()));
        let file = TokenFile { identity: identity_of(path), path: path.to_owned(), token: token.clone() };
        Ok((token, file))
    }

    fn random() -> Result<Self, Error> {
        let bytes = Zeroizing::new(crypto::random::<32>()?);
        let token = Zeroizing::new(data_encoding::BASE64URL_NOPAD.encode(&*bytes));
        Ok(Self(pack(token.as_bytes())))
    }

    /// Whether this is the token, in a time that does not tell how much of it is right.
    pub(super) fn is(&self, token: &[u8]) -> bool {
        // The length is no secret.
        let Ok(token) = <&[u8; LENGTH]>::try_from(token) else { return false };
        let differences =
            self.0.iter().zip(words(token)).fold(0, |found, (ours, theirs)| found | (ours ^ theirs));
        bool::from(std::hint::black_box(differences).ct_eq(&0))
    }

    /// A token that a test knows.
    #[cfg(test)]
    pub(crate) fn fixed(token: &str) -> Self {
        assert_eq!(token.len(), LENGTH);
        Self(pack(token.as_bytes()))
    }
}

/// A token as words: all that is not in the whole ones is in the last, which begins in one before it.
fn words(token: &[u8; LENGTH]) -> impl Iterator<Item = u64> {
    let (whole, _) = token.as_chunks::<8>();
    whole.iter().chain(token.last_chunk()).map(|word| u64::from_ne_bytes(*word))
}

/// The token that was packed into these words.
fn unpack(words: &[u64; WORDS]) -> Zeroizing<[u8; LENGTH]> {
    let mut token = Zeroizing::new([0; LENGTH]);
    let [whole @ .., last] = words;
    for (place, word) in token.chunks_exact_mut(8).zip(whole) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    if let Some(place) = token.last_chunk_mut() {
        *place = last.to_ne_bytes();
    }
    token
}

fn pack(token: &[u8]) -> Arc<Zeroizing<[u64; WORDS]>> {
    let mut packed = Zeroizing::new([0; WORDS]);
    if let Ok(token) = token.try_into() {
        packed.iter_mut().zip(words(token)).for_each(|(place, word)| *place = word);
    }
    Arc::new(packed)
}

impl fmt::Debug for OwnerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The file that the token was written to.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
    token: OwnerToken,
    /// To tell it from one that another daemon or anybody else has put in its place.
    identity: Option<Identity>,
}

/// Device and inode, length and time of the last change: the inode alone may become another file's.
type Identity = (u64, u64, u64, SystemTime);

impl TokenFile {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is still what was written.
    pub(crate) fn is_in_place(&self) -> bool {
        self.identity.is_some() && identity_of(&self.path) == self.identity
    }

    /// Writes the token to its file, in place of what is there. Its directory is made if it is absent.
    pub(crate) fn write(&mut self) -> Result<(), Error> {
        let (Some(parent), Some(name)) = (self.path.parent(), self.path.file_name()) else {
            return Err(files::Error::WrongKind(self.path.clone(), "file in a directory").into());
        };
        let path = files::private_dir(parent)?.join(name);
        files::check_private_file(&path)?;
        files::replace_private(&path, &*unpack(&self.token.0))?;
        self.identity = identity_of(&path);
        self.path = path;
        Ok(())
    }

    /// Removes it, if it is still the one: the token is worth nothing when the daemon is gone.
    pub(crate) fn remove(self) {
        if self.is_in_place() {
            let _ = std::fs::remove_file(self.path);
        }
    }
}

fn identity_of(path: &Path) -> Option<Identity> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.len(), metadata.modified().ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn each_start_has_a_token_of_its_own_that_only_the_owner_reads() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("run/token");
        let (first, _) = OwnerToken::create(&path).unwrap();
        let old = fs::read_to_string(&path).unwrap();
        let (second, file) = OwnerToken::create(&path).unwrap();
        let new = fs::read_to_string(&path).unwrap();
        assert_eq!((old.len(), new.len()), (43, 43));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(first.is(old.as_bytes()) && second.is(new.as_bytes()) && !second.is(old.as_bytes()));
        assert_eq!(format!("{second:?}"), "[redacted]");
        file.remove();
        assert!(!path.exists());
    }

    #[test]
    fn what_packs_to_the_same_words_is_not_the_same_token() {
        let text = "0123456789abcdef0123456789abcdef01234567xyz";
        let token = OwnerToken::fixed(text);
        assert_eq!(&*unpack(&token.0), text.as_bytes());
        let (start, end) = text.split_at(40);
        assert!(token.is(text.as_bytes()));
        for other in
            [format!("{start}\0\0\0\0\0{end}"), format!("{start}\0\0\0\0\0{end}more"), start.to_owned()]
        {
            assert!(!token.is(other.as_bytes()), "{other:?}");
        }
    }

    #[test]
    fn a_file_that_is_gone_or_changed_is_written_again_with_the_same_token() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("run/token");
        let (token, mut file) = OwnerToken::create(&path).unwrap();
        type Harm = fn(&Path);
        let harms: [Harm; 3] = [
            |path| fs::remove_dir_all(path.parent().unwrap()).unwrap(),
            |path| fs::remove_file(path).unwrap(),
            |path| fs::File::options().write(true).open(path).unwrap().set_len(0).unwrap(),
        ];
        for harm in harms {
            assert!(file.is_in_place());
            harm(&path);
            assert!(!file.is_in_place());
            file.write().unwrap();
            assert!(token.is(&fs::read(&path).unwrap()));
        }
    }

    #[test]
    fn a_link_in_the_place_of_the_token_is_refused() {
        let base = tempfile::tempdir().unwrap();
        let path = base.path().join("run/token");
        files::private_dir(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(base.path().join("elsewhere"), &path).unwrap();
        assert!(matches!(OwnerToken::create(&path), Err(Error::Files(files::Error::Symlink(_)))));
    }
}
