//! A forged vault file: arbitrary bytes, the fixture with bytes changed, or the fixture with a forged log beside it.
//! It is refused, or gives exactly what the fixture holds.
#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use secretsd::fuzzing::vault_image;

const FIXTURE: &[u8] = include_bytes!("../../fixtures/format-1/vault.db");
const KEY: &[u8] = include_bytes!("../../fixtures/format-1/key");

static DIRECTORY: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    // In memory where there is such a place: the disk is not what is tested.
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
});

static CONTENT: LazyLock<Vec<(String, String)>> = LazyLock::new(|| open(FIXTURE, None).unwrap());

fuzz_target!(|data: &[u8]| {
    // First, so that a fixture that no longer opens ends this instead of letting everything pass.
    let expected = &*CONTENT;
    let Some((&mode, data)) = data.split_first() else { return };
    let outcome = match mode % 4 {
        0 => open(data, None),
        1 => open(FIXTURE, Some(data)),
        _ => open(&patched(data), None),
    };
    if let Ok(content) = outcome {
        assert!(content == *expected, "a forged file gives other secrets");
    }
});

/// The fixture with runs of bytes replaced: each is an offset (u16), a length (u8) and as many bytes.
fn patched(mut patches: &[u8]) -> Vec<u8> {
    let mut image = FIXTURE.to_vec();
    while let Some((&[high, low, length], rest)) = patches.split_first_chunk() {
        let at = usize::from(u16::from_be_bytes([high, low])) % image.len();
        let length = usize::from(length).min(rest.len()).min(image.len() - at);
        image[at..at + length].copy_from_slice(&rest[..length]);
        patches = &rest[length..];
    }
    image
}

fn open(image: &[u8], log: Option<&[u8]>) -> Result<Vec<(String, String)>, String> {
    let path: PathBuf = DIRECTORY.path().join("vault.db");
    let log_path = DIRECTORY.path().join("vault.db-wal");
    fs::write(&path, image).unwrap();
    match log {
        Some(log) => fs::write(&log_path, log).unwrap(),
        None => drop(fs::remove_file(&log_path)),
    }
    vault_image(&path, KEY)
}
