//! Doors for the fuzz targets in `tests/fuzz`, compiled for them alone.

/// What `import` takes from a file of these bytes, as names and values; nothing if a line of it is at fault.
pub fn import(data: &[u8]) -> Option<Vec<(String, String)>> {
    let found = crate::command::import::entries::Reading::default().read(data);
    let pairs = found.items.iter().map(|item| (item.name.to_string(), item.value.expose().to_owned()));
    found.faults.is_empty().then(|| pairs.collect())
}

/// The line that `export` writes.
pub fn export(name: &str, value: &str) -> String {
    let mut text = String::new();
    crate::dotenv::write(name, value, &mut text);
    text
}
