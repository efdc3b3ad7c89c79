//! What stands in a text: escapes, digits, and what may stand between two characters of a value.

/// Between two characters of a value may stand so many bytes that are none.
pub(crate) const GAP_MAX: usize = 32;

/// Which values are read, as far as what may stand between their characters depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Between {
    /// Any.
    Characters,
    /// Values of digits only, as they are: one below the other they are a column of numbers, not a wrapped value.
    Figures,
    /// Values in hexadecimal, with the separators of dumps.
    HexDigits,
}

/// What a text begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read<T> {
    /// The text does not begin with what was looked for.
    Other,
    /// The text ends too early to tell.
    Cut,
    /// So many bytes of it are that.
    Is(usize, T),
}

impl<T> Read<T> {
    /// The same of something else.
    pub(crate) fn map<U>(self, to: impl FnOnce(T) -> U) -> Read<U> {
        match self {
            Self::Other => Read::Other,
            Self::Cut => Read::Cut,
            Self::Is(length, what) => Read::Is(length, to(what)),
        }
    }
}

/// What may stand between two characters and is none: what wraps lines and what sets colours.
pub(crate) fn gap(between: Between, rest: &[u8]) -> Read<()> {
    let is = |bytes| Read::Is(bytes, ());
    match rest {
        [] | [0x1b] => Read::Cut,
        [b'\r' | b'\n', ..] if between != Between::Figures => is(1),
        // At the right edge readline writes a space and goes back, to make the terminal wrap.
        [b' '] => Read::Cut,
        [b' ', b'\r', ..] => is(2),
        [b' ' | b':', ..] if between == Between::HexDigits => is(1),
        [0x1b, b'[', sequence @ ..] => control_sequence(sequence),
        _ => Read::Other,
    }
}

/// The rest of a control sequence, ECMA-48 section 5.4: parameters, intermediates, a final byte.
fn control_sequence(rest: &[u8]) -> Read<()> {
    match rest.iter().position(|byte| !(0x20..=0x3f).contains(byte)) {
        None => Read::Cut,
        Some(end) if matches!(rest.get(end), Some(0x40..=0x7e)) => Read::Is(end + 3, ()),
        Some(_) => Read::Other,
    }
}

/// A percent sign and two digits (RFC 3986).
pub(crate) fn percent(rest: &[u8]) -> Read<u8> {
    match hex_number(rest.get(1..).unwrap_or_default(), 2) {
        Read::Is(_, number) => u8::try_from(number).map_or(Read::Other, |byte| Read::Is(3, byte)),
        Read::Cut => Read::Cut,
        Read::Other => Read::Other,
    }
}

/// A percent sign and two digits, of which the sign may be encoded itself: `%2F` and `%252F`.
pub(crate) fn percent_twice(rest: &[u8]) -> Read<u8> {
    let once = percent(rest);
    if once != Read::Is(3, b'%') {
        return once;
    }
    match hex_number(rest.get(3..).unwrap_or_default(), 2) {
        Read::Is(_, number) => u8::try_from(number).map_or(once, |byte| Read::Is(5, byte)),
        Read::Cut => Read::Cut,
        Read::Other => once,
    }
}

/// The sign of ASCII that has this name in HTML ("Named character references" of the HTML Standard).
fn named(name: &[u8]) -> Option<char> {
    Some(match name {
        b"Hat" => '^',
        b"NewLine" => '\n',
        b"Tab" => '\t',
        b"UnderBar" | b"lowbar" => '_',
        b"VerticalLine" | b"verbar" | b"vert" => '|',
        b"amp" | b"AMP" => '&',
        b"apos" => '\'',
        b"ast" | b"midast" => '*',
        b"bsol" => '\\',
        b"colon" => ':',
        b"comma" => ',',
        b"commat" => '@',
        b"dollar" => '$',
        b"equals" => '=',
        b"excl" => '!',
        b"grave" | b"DiacriticalGrave" => '`',
        b"gt" | b"GT" => '>',
        b"lbrace" | b"lcub" => '{',
        b"lbrack" | b"lsqb" => '[',
        b"lpar" => '(',
        b"lt" | b"LT" => '<',
        b"num" => '#',
        b"percnt" => '%',
        b"period" => '.',
        b"plus" => '+',
        b"quest" => '?',
        b"quot" | b"QUOT" => '"',
        b"rbrace" | b"rcub" => '}',
        b"rbrack" | b"rsqb" => ']',
        b"rpar" => ')',
        b"semi" => ';',
        b"sol" => '/',
        _ => return None,
    })
}

/// The longest of these names.
const LONGEST: usize = b"DiacriticalGrave".len();

/// So many digits a reference by number has at most: some write zeros in front.
const DIGITS: usize = 8;

/// A character reference of HTML, from its ampersand to its semicolon.
pub(crate) fn reference(rest: &[u8]) -> Read<char> {
    match rest.get(1..).unwrap_or_default() {
        [] | [b'#'] | [b'#', b'x' | b'X'] => Read::Cut,
        [b'#', b'x' | b'X', digits @ ..] => numbered(digits, 16, 3),
        [b'#', digits @ ..] => numbered(digits, 10, 2),
        text => {
            let name = text.iter().take(LONGEST + 1).take_while(|byte| byte.is_ascii_alphabetic()).count();
            match (text.get(name), text.get(..name).and_then(named)) {
                (Some(b';'), Some(c)) => Read::Is(name + 2, c),
                (None, _) if name <= LONGEST => Read::Cut,
                _ => Read::Other,
            }
        }
    }
}

/// Digits and a semicolon, behind so many bytes.
fn numbered(text: &[u8], base: u32, before: usize) -> Read<char> {
    let mut number = 0_u32;
    for (at, byte) in text.iter().take(DIGITS + 1).enumerate() {
        match char::from(*byte).to_digit(base) {
            Some(digit) => number = number.saturating_mul(base).saturating_add(digit),
            None if *byte == b';' && at > 0 => {
                return char::from_u32(number).map_or(Read::Other, |c| Read::Is(before + at + 1, c));
            }
            None => return Read::Other,
        }
    }
    if text.len() > DIGITS { Read::Other } else { Read::Cut }
}

/// A backslash and what makes an escape of it inside a JSON string (RFC 8259).
pub(crate) fn escape(rest: &[u8]) -> Read<char> {
    match rest.get(1) {
        None => Read::Cut,
        Some(b'u') => utf16(rest),
        Some(b'n') => Read::Is(2, '\n'),
        Some(b'r') => Read::Is(2, '\r'),
        Some(b't') => Read::Is(2, '\t'),
        Some(b'b') => Read::Is(2, '\u{8}'),
        Some(b'f') => Read::Is(2, '\u{c}'),
        Some(other) if other.is_ascii() => Read::Is(2, char::from(*other)),
        Some(_) => Read::Other,
    }
}

/// `\uXXXX`, twice for what UTF-16 needs two units for.
fn utf16(rest: &[u8]) -> Read<char> {
    let unit = |at: usize| hex_number(rest.get(at + 2..).unwrap_or_default(), 4);
    let first = match unit(0) {
        Read::Is(_, first) => first,
        Read::Cut => return Read::Cut,
        Read::Other => return Read::Other,
    };
    if let Some(c) = char::from_u32(first) {
        return Read::Is(6, c);
    }
    match rest.get(6..).unwrap_or_default() {
        [] | [b'\\'] => return Read::Cut,
        [b'\\', b'u', ..] => {}
        _ => return Read::Other,
    }
    match unit(6) {
        Read::Is(_, second @ 0xdc00..=0xdfff) if first < 0xdc00 => {
            let c = char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00));
            c.map_or(Read::Other, |c| Read::Is(12, c))
        }
        Read::Cut => Read::Cut,
        Read::Is(..) | Read::Other => Read::Other,
    }
}

fn hex_number(text: &[u8], digits: usize) -> Read<u32> {
    let mut number = 0;
    for at in 0..digits {
        match text.get(at).map(|byte| hex_digit(*byte)) {
            None => return Read::Cut,
            Some(None) => return Read::Other,
            Some(Some(digit)) => number = number << 4 | u32::from(digit),
        }
    }
    Read::Is(digits, number)
}

/// A digit of hexadecimal, in either case.
pub(crate) const fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// A character of base64, in either alphabet (RFC 4648).
pub(crate) const fn base64_digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}
