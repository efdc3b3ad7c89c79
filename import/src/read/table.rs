//! Comma-separated values with a head that names the columns (RFC 4180): quotes around fields with commas, quotes and line
//! breaks.

use csv::{ByteRecord, ReaderBuilder};
use zeroize::Zeroizing;

/// A table and its columns' names, in lower case.
pub(crate) struct Table {
    head: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

/// One row, and the line on which it begins.
pub(crate) struct Row {
    pub(crate) line: u64,
    fields: Vec<Zeroizing<String>>,
}

/// Why a table is not read.
pub(crate) struct Bad {
    pub(crate) line: u64,
    pub(crate) reason: &'static str,
}

/// Reads all of it. A quote that is never closed would take the rest of the file into one field; quotes come in pairs.
pub(crate) fn read(text: &str) -> Result<Table, Bad> {
    if text.matches('"').count() % 2 == 1 {
        return Err(Bad { line: 1, reason: "a quote is not closed; quotes inside of a field are doubled" });
    }
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut table = Table { head: Vec::new(), rows: Vec::new() };
    let mut record = ByteRecord::new();
    loop {
        let bad = |line, reason| Bad { line, reason };
        match reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return Ok(table),
            Err(_) => return Err(bad(reader.position().line(), "not a table of comma-separated values")),
        }
        let line = record.position().map_or(1, |position| line_at(text, position.byte()));
        if table.head.is_empty() {
            table.head =
                record.iter().map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase()).collect();
            continue;
        }
        if record.len() != table.head.len() {
            return Err(bad(line, "another number of fields than the head has"));
        }
        // Of a text only pieces between ASCII characters are cut.
        let fields = record.iter().map(|field| Zeroizing::new(String::from_utf8_lossy(field).into_owned()));
        table.rows.push(Row { line, fields: fields.collect() });
    }
}

/// The line of what begins behind this many bytes and the line ends after them. The reader's own count is one less where
/// lines end with CRLF: there it begins a record before the LF.
fn line_at(text: &str, byte: u64) -> u64 {
    let start = usize::try_from(byte).unwrap_or(usize::MAX);
    let rest = text.get(start..).unwrap_or_default();
    let ends = rest.len() - rest.trim_start_matches(['\r', '\n']).len();
    1 + text.get(..start + ends).unwrap_or_default().matches('\n').count() as u64
}

impl Table {
    /// Where a column is that has one of these names.
    pub(crate) fn column(&self, names: &[&str]) -> Option<usize> {
        self.head.iter().position(|name| names.contains(&name.as_str()))
    }
}

impl Row {
    /// What stands in a column; empty if there is no such column.
    pub(crate) fn field(&self, column: Option<usize>) -> &str {
        column.and_then(|at| self.fields.get(at)).map_or("", |field| field.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_hold_commas_quotes_and_lines() {
        let table = read("Title,Password\r\na,\"x,\"\"y\"\"\nz\"\r\n\r\nb, p \r\n").ok().unwrap();
        let (title, password) = (table.column(&["title"]), table.column(&["password"]));
        let rows: Vec<_> =
            table.rows.iter().map(|row| (row.line, row.field(title), row.field(password))).collect();
        assert_eq!(rows[0], (2, "a", "x,\"y\"\nz"));
        assert_eq!((rows[1].0, rows[1].1, rows[1].2, rows.len()), (5, "b", " p ", 2));
        assert!(read("a,b\nx\n").is_err() && read("a,b\nx,y,z\n").is_err() && read("a,b\nx,\"y\n").is_err());
    }
}
