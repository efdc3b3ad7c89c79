//! Query parameters, read strictly: what an operation does not define, or what is given twice, is refused.

use secrets_proto::{FieldErrorType, Invalid};

/// The parameters of one request that nobody has asked for yet.
#[derive(Debug, Default)]
pub(crate) struct Query<'a> {
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Query<'a> {
    /// Splits the part of a target after `?`.
    pub(crate) fn new(text: Option<&'a str>) -> Self {
        let Some(text) = text else { return Self::default() };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self { pairs: pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect() }
    }

    /// Takes the value of a parameter.
    pub(crate) fn take(&mut self, name: &str) -> Result<Option<String>, Invalid> {
        if self.pairs.is_empty() {
            return Ok(None);
        }
        let mut values = Vec::new();
        self.pairs.retain(|(found, value)| {
            if *found == name {
                values.push(*value);
            }
            *found != name
        });
        match values.as_slice() {
            [] => Ok(None),
            [value] => decode(value)
                .map(Some)
                .ok_or(Invalid::new(FieldErrorType::ValueError, "expected percent-encoded UTF-8")),
            _ => Err(Invalid::new(FieldErrorType::ValueError, "this parameter is given twice")),
        }
    }

    /// Whether anything is left that nobody has asked for.
    pub(crate) fn has_more(&self) -> bool {
        !self.pairs.is_empty()
    }
}

/// `+` stays `+`: it stands in times, and nothing here has spaces.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, after @ ..] = rest else { return None };
        bytes.push(hex(*high)? << 4 | hex(*low)?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_each_parameter_once() {
        let mut query = Query::new(Some("a=1&b=%41%2b+&c&d=1&d=2&e=%4&f=%ff&g=%zz"));
        assert_eq!(query.take("a").unwrap().unwrap(), "1");
        assert_eq!(query.take("a").unwrap(), None);
        assert_eq!(query.take("b").unwrap().unwrap(), "A++");
        assert_eq!(query.take("c").unwrap().unwrap(), "");
        for bad in ["d", "e", "f"] {
            assert_eq!(query.take(bad).unwrap_err().kind, FieldErrorType::ValueError, "{bad}");
        }
        assert!(query.has_more());
        assert!(query.take("g").is_err());
        assert!(!query.has_more());
        assert!(!Query::new(None).has_more());
        assert!(!Query::new(Some("&")).has_more());
    }
}
