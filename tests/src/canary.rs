//! Values that must not turn up anywhere, and the forms in which they could.

use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};

/// The forms in which a value could have been written: as it is, in hex, in base64 at each of the three
/// alignments, as UTF-16. Each with the form's name.
pub fn forms(value: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = value.as_bytes();
    let mut forms = vec![
        ("raw", bytes.to_vec()),
        ("hex", HEXLOWER.encode(bytes).into_bytes()),
        ("upper-case hex", HEXUPPER.encode(bytes).into_bytes()),
        ("UTF-16", value.encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ];
    for skip in 0..3 {
        // Only whole groups of three bytes look the same whatever stands around them.
        let inner = &bytes[skip.min(bytes.len())..];
        let inner = &inner[..inner.len() - inner.len() % 3];
        forms.push(("base64", BASE64.encode(inner).into_bytes()));
        forms.push(("base64url", BASE64URL.encode(inner).into_bytes()));
    }
    forms.retain(|(_, form)| form.len() >= 8);
    forms
}

/// The name of the form in which `value` occurs in `haystack`, if it does.
pub fn find(haystack: &[u8], value: &str) -> Option<&'static str> {
    forms(value)
        .into_iter()
        .find(|(_, form)| haystack.windows(form.len()).any(|window| window == form.as_slice()))
        .map(|(name, _)| name)
}

/// Every regular file under a directory.
pub fn files_under(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            found.extend(files_under(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}

/// Fails if any of the values is in any file under the directory, in any form.
#[track_caller]
pub fn assert_absent(directory: &Path, values: &[&str]) {
    assert!(directory.is_dir(), "{} is no directory", directory.display());
    for path in files_under(directory) {
        // One that is removed meanwhile is there no more.
        let Ok(content) = fs::read(&path) else { continue };
        for (index, value) in values.iter().enumerate() {
            if let Some(form) = find(&content, value) {
                panic!("canary {index} is in {} ({form})", path.display());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_form_at_every_alignment() {
        let value = "canary-4711-0815-value";
        for shift in 0..3 {
            let text = format!("{}{value}tail", "x".repeat(shift));
            assert!(find(text.as_bytes(), value).is_some());
            assert!(find(BASE64.encode(text.as_bytes()).as_bytes(), value).is_some(), "{shift}");
            assert!(find(HEXLOWER.encode(text.as_bytes()).as_bytes(), value).is_some());
        }
        let utf16: Vec<u8> = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(find(&utf16, value), Some("UTF-16"));
        assert_eq!(find(b"nothing to see", value), None);
    }
}
