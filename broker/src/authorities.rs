//! The machine's certificate authorities: hosts are checked against them, and a program believes them beside the session's.
//! They are where OpenSSL looks (openssl-env(7)): in one file, in the files of directories, or in both, as most are. So each
//! is decoded once, however often it is there: it is most of what a broker does until it serves.

use std::collections::HashSet;
use std::env;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use memchr::memmem::Finder;
use rustls::pki_types::CertificateDer;

use crate::certificate;

/// The lines around a certificate (RFC 7468, section 5.1).
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// As much is read of a file; machines have a quarter of a megabyte in all.
const MOST: u64 = 16 << 20;

/// Authorities, in order of their text.
#[derive(Debug)]
pub(crate) struct Authorities {
    /// Their certificates. There may be some that are none: nobody has looked into them.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// The same in PEM.
    pub(crate) pem: String,
}

/// Those of the machine, or of `SSL_CERT_FILE` and `SSL_CERT_DIR`, each once. What cannot be read is left out.
///
/// # Errors
/// With what to do, if there is none.
pub(crate) fn find() -> Result<Authorities, &'static str> {
    let (file, dirs) = places();
    let found = Authorities::in_texts(&texts(file.as_deref(), &dirs));
    if found.certificates.is_empty() {
        return Err(
            "no certificate authority is found to check hosts against; install ca-certificates, or correct SSL_CERT_FILE",
        );
    }
    Ok(found)
}

impl Authorities {
    fn in_texts(texts: &[Vec<u8>]) -> Self {
        // Most are written in the same way wherever they are.
        let lines = [BEGIN, END].map(Finder::new);
        let mut bodies: Vec<&[u8]> = texts.iter().flat_map(|text| bodies(text, &lines)).collect();
        bodies.sort_unstable();
        bodies.dedup();
        let mut all: Vec<String> = bodies.into_iter().filter_map(digits).collect();
        all.sort_unstable();
        all.dedup();
        // Their lines are about a twentieth more.
        let length = all.iter().map(|digits| digits.len() + digits.len() / 32 + 64).sum();
        let mut found =
            Self { certificates: Vec::with_capacity(all.len()), pem: String::with_capacity(length) };
        for digits in all {
            if let Ok(der) = BASE64.decode(digits.as_bytes()) {
                found.certificates.push(der.into());
                certificate::write_pem(&digits, &mut found.pem);
            }
        }
        found
    }
}

/// The file and the directories where they are.
fn places() -> (Option<PathBuf>, Vec<PathBuf>) {
    let file = env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let dirs = env::var_os("SSL_CERT_DIR").unwrap_or_default();
    let dirs: Vec<_> = env::split_paths(&dirs).filter(|dir| !dir.as_os_str().is_empty()).collect();
    if file.is_some() || !dirs.is_empty() {
        return (file, dirs);
    }
    let probed = openssl_probe::probe();
    (probed.cert_file, probed.cert_dir)
}

/// What is in the file, and in each of those in the directories. Most have several names there: they are read once.
fn texts(file: Option<&Path>, dirs: &[PathBuf]) -> Vec<Vec<u8>> {
    let id = |about: &Metadata| (about.dev(), about.ino());
    let mut seen: HashSet<_> = file.and_then(|file| fs::metadata(file).ok()).iter().map(id).collect();
    let in_dirs = dirs.iter().filter_map(|dir| fs::read_dir(dir).ok()).flatten().flatten();
    let others = in_dirs
        .map(|entry| entry.path())
        .filter(|path| fs::metadata(path).is_ok_and(|about| about.is_file() && seen.insert(id(&about))));
    let paths = file.map(Path::to_owned).into_iter().chain(others);
    paths.filter_map(|path| read(&path).ok()).collect()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let length = file.metadata().map_or(0, |about| about.len().min(MOST));
    let mut text = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.take(MOST).read_to_end(&mut text)?;
    Ok(text)
}

/// What is between the lines that begin and end a certificate.
fn bodies<'t>(text: &'t [u8], [begin, end]: &[Finder<'_>; 2]) -> impl Iterator<Item = &'t [u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        loop {
            let at = begin.find(rest)?;
            let is_line = at.checked_sub(1).and_then(|at| rest.get(at)).is_none_or(|byte| is_line_end(*byte));
            rest = rest.get(at + BEGIN.len()..)?;
            if is_line {
                let body = rest.get(..end.find(rest)?)?;
                rest = rest.get(body.len() + END.len()..)?;
                return Some(body);
            }
        }
    })
}

const fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

/// Base64 without its line ends.
fn digits(body: &[u8]) -> Option<String> {
    let mut digits = String::with_capacity(body.len());
    for part in str::from_utf8(body).ok()?.split_ascii_whitespace() {
        digits.push_str(part);
    }
    Some(digits)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::certificate::pem;

    fn found(texts: &[&str]) -> Vec<Vec<u8>> {
        let texts: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        let found = Authorities::in_texts(&texts);
        // What programs read is what hosts are checked against.
        let read = Authorities::in_texts(&[found.pem.into_bytes()]).certificates;
        assert_eq!(read, found.certificates);
        read.into_iter().map(|found| found.to_vec()).collect()
    }

    #[test]
    fn each_certificate_is_found_once_in_whatever_way_it_is_written() {
        let [one, other] = [vec![1; 200], vec![2; 100]];
        let text = pem(&other) + "a name\n" + &pem(&one) + &pem(&other);
        let in_other_lines = pem(&one).replace('\n', "\r\n");
        let in_one_line =
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----", BASE64.encode(&other));
        assert_eq!(found(&[&text, &in_other_lines, &in_one_line, ""]), [one.clone(), other.clone()]);
        assert_eq!(found(&[&in_one_line, &in_other_lines]), [one, other]);
    }

    #[test]
    fn what_is_no_certificate_is_left_out_and_the_next_one_is_found() {
        let good = pem(&[7; 100]);
        for before in [
            "# -----BEGIN CERTIFICATE-----\nAAAA\n",
            "-----BEGIN CERTIFICATE-----\nno base64!\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "-----BEGIN TRUSTED CERTIFICATE-----\nAAAA\n-----END TRUSTED CERTIFICATE-----\n",
        ] {
            assert_eq!(found(&[&(before.to_owned() + &good)]), [vec![7; 100]], "{before}");
        }
        let commented = good.replace("-----BEGIN", "# -----BEGIN");
        for none in ["-----BEGIN CERTIFICATE-----\nAAAA\n", "-----END CERTIFICATE-----\n", &commented] {
            assert_eq!(found(&[none]), [[0; 0]; 0], "{none}");
        }
    }

    #[test]
    fn a_file_is_read_once_and_a_directory_may_hold_anything() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("all.pem"), pem(&[1; 10])).unwrap();
        fs::write(path("other.pem"), pem(&[2; 10])).unwrap();
        fs::create_dir(path("directory")).unwrap();
        symlink("other.pem", path("01234567.0")).unwrap();
        symlink("nowhere", path("89abcdef.0")).unwrap();
        let dirs = [dir.path().to_owned(), path("missing")];
        assert_eq!(texts(Some(&path("all.pem")), &dirs).len(), 2);
        assert_eq!(texts(Some(&path("missing")), &dirs).len(), 2);
        assert_eq!(texts(None, &dirs[1..]).len(), 0);
    }
}
