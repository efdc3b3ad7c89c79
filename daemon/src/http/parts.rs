//! A request taken apart. What an operation wants is taken field by field; every fault is noted, and all of them are
//! answered together. A taker returns `None` when it noted a fault.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use hyper::HeaderMap;
use secrets_proto::selector::parse_id;
use secrets_proto::{FieldError, FieldErrorType, Invalid, Loc, Uuid};
use serde_json::Value;

use super::conditional;
use super::failure::Failure;
use super::fields::{Fields, wipe};
use super::query::Query;

/// A request on its way to becoming the request of one operation.
pub(crate) struct RequestParts<'a> {
    id: Option<&'a str>,
    query: Query<'a>,
    headers: &'a HeaderMap,
    fields: Fields,
    faults: Vec<FieldError>,
}

impl<'a> RequestParts<'a> {
    /// Takes apart a request with this `{id}`, query, head and body.
    pub(crate) fn new(
        id: Option<&'a str>,
        query: Option<&'a str>,
        headers: &'a HeaderMap,
        fields: Fields,
    ) -> Self {
        Self { id, query: Query::new(query), headers, fields, faults: Vec::new() }
    }

    /// Ends the taking: what nobody has asked for is a fault too.
    pub(crate) fn finish<T>(mut self, taken: Option<T>) -> Result<T, Failure> {
        if self.fields.has_more() {
            self.fault(vec![Loc::field("body")], EXTRA_FIELD);
        }
        if self.query.has_more() {
            self.fault(vec![Loc::field("query")], EXTRA_PARAMETER);
        }
        match taken {
            Some(taken) if self.faults.is_empty() => Ok(taken),
            _ => Err(Failure::validation(self.faults)),
        }
    }

    /// Notes a fault.
    pub(crate) fn fault(&mut self, loc: Vec<Loc>, invalid: Invalid) {
        self.faults.push(FieldError::new(loc, invalid));
    }

    /// The id in the path.
    pub(crate) fn id(&mut self) -> Option<Uuid> {
        let id = self.id.and_then(parse_id);
        if id.is_none() {
            let invalid = Invalid::new(FieldErrorType::UuidParsing, "expected a UUID of 36 characters");
            self.fault(vec![Loc::field("path"), Loc::field("id")], invalid);
        }
        id
    }

    /// The versions of which `If-Match` demands one.
    pub(crate) fn expected_versions(&mut self) -> Option<Option<Vec<u64>>> {
        let result = conditional::expected_versions(self.headers);
        self.noting(result, || vec![Loc::field("header"), Loc::field("If-Match")])
    }

    /// A query parameter.
    pub(crate) fn parameter<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<Option<T>> {
        let result = self.query.take(name).and_then(|text| text.as_deref().map(parse).transpose());
        self.noting(result, || vec![Loc::field("query"), Loc::field(name)])
    }

    /// A query parameter that must be there.
    pub(crate) fn required_parameter<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        let taken = self.parameter(name, parse)?;
        if taken.is_none() {
            let invalid = Invalid::new(FieldErrorType::Missing, "this parameter is required");
            self.fault(vec![Loc::field("query"), Loc::field(name)], invalid);
        }
        taken
    }

    /// A field that must be there.
    pub(crate) fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(String) -> Result<T, Invalid>,
    ) -> Option<T> {
        let result = match self.fields.take(name) {
            None => Err(Invalid::new(FieldErrorType::Missing, "this field is required")),
            Some(value) => string(value).and_then(parse),
        };
        self.noting(result, || in_body(name))
    }

    /// A field that may be absent, but not null.
    pub(crate) fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(String) -> Result<T, Invalid>,
    ) -> Option<Option<T>> {
        let result = self.fields.take(name).map(|value| string(value).and_then(parse)).transpose();
        self.noting(result, || in_body(name))
    }

    /// A field that may be absent (outer `None` of the inside) or null (inner `None`).
    pub(crate) fn nullable<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(String) -> Result<T, Invalid>,
    ) -> Option<Option<Option<T>>> {
        let result = match self.fields.take(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(value) => string(value).and_then(parse).map(|field| Some(Some(field))),
        };
        self.noting(result, || in_body(name))
    }

    /// A field that is an object and may be absent or null. What is wrong inside is noted with its place.
    pub(crate) fn object<T>(
        &mut self,
        name: &'static str,
        take: impl FnOnce(&mut RequestParts<'_>) -> Option<T>,
    ) -> Option<Option<T>> {
        let mut value = match self.fields.take(name) {
            None | Some(Value::Null) => return Some(None),
            Some(value) => value,
        };
        let Value::Object(object) = &mut value else {
            wipe(&mut value);
            self.fault(in_body(name), Invalid::new(FieldErrorType::ModelType, "a JSON object is expected"));
            return None;
        };
        let fields = Fields::of(std::mem::take(object));
        let mut parts = RequestParts::new(None, None, self.headers, fields);
        let taken = take(&mut parts);
        if parts.fields.has_more() {
            self.fault(in_body(name), EXTRA_FIELD);
        }
        for mut fault in std::mem::take(&mut parts.faults) {
            let inside = fault.loc.split_off(1);
            fault.loc = in_body(name).into_iter().chain(inside).collect();
            self.faults.push(fault);
        }
        taken.map(Some)
    }

    /// A field that is an object of strings and must be there. What is wrong with a member is noted without its name, which is
    /// the caller's own text.
    pub(crate) fn required_map<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(BTreeMap<String, String>) -> Result<T, Invalid>,
    ) -> Option<T> {
        let taken = self.optional_map(name, parse)?;
        if taken.is_none() {
            let invalid = Invalid::new(FieldErrorType::Missing, "this field is required");
            self.fault(in_body(name), invalid);
        }
        taken
    }

    /// A field that is an object of strings and may be absent, but not null.
    pub(crate) fn optional_map<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(BTreeMap<String, String>) -> Result<T, Invalid>,
    ) -> Option<Option<T>> {
        let result = self.fields.take(name).map(|value| strings(value).and_then(parse)).transpose();
        self.noting(result, || in_body(name))
    }

    /// Notes a fault in a field of the body.
    pub(crate) fn fault_in_body(&mut self, name: &'static str, invalid: Invalid) {
        self.fault(in_body(name), invalid);
    }

    /// A field that is true or false and must be there.
    pub(crate) fn required_flag(&mut self, name: &'static str) -> Option<bool> {
        let result = match self.fields.take(name) {
            None => Err(Invalid::new(FieldErrorType::Missing, "this field is required")),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(Invalid::new(FieldErrorType::BoolType, "expected true or false")),
        };
        self.noting(result, || in_body(name))
    }

    /// A field that is true or false, and false if it is absent.
    pub(crate) fn flag(&mut self, name: &'static str) -> Option<bool> {
        let result = match self.fields.take(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(Invalid::new(FieldErrorType::BoolType, "expected true or false")),
        };
        self.noting(result, || in_body(name))
    }

    /// A field that is a whole number from 1 on and must be there.
    pub(crate) fn number(&mut self, name: &'static str) -> Option<u64> {
        let result = match self.fields.take(name) {
            None => Err(Invalid::new(FieldErrorType::Missing, "this field is required")),
            Some(Value::Number(number)) => whole(&number).filter(|number| *number > 0).ok_or(Invalid::new(
                FieldErrorType::IntParsing,
                "expected a whole number from 1 to 2^53 - 1",
            )),
            Some(_) => Err(Invalid::new(FieldErrorType::IntType, "expected a whole number")),
        };
        self.noting(result, || in_body(name))
    }

    /// A field that is a port and must be there.
    pub(crate) fn port(&mut self, name: &'static str) -> Option<u16> {
        let port = u16::try_from(self.number(name)?);
        let invalid = Invalid::new(FieldErrorType::IntParsing, "a port from 1 to 65535 is expected");
        self.noting(port.map_err(|_| invalid), || in_body(name))
    }

    /// A field that is a whole number in a range, and that may be absent (outer `None` of the inside) or null (inner `None`).
    pub(crate) fn nullable_number(
        &mut self,
        name: &'static str,
        range: RangeInclusive<u64>,
    ) -> Option<Option<Option<u64>>> {
        let result = match self.fields.take(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::Number(number)) => match whole(&number).filter(|number| range.contains(number)) {
                Some(number) => Ok(Some(Some(number))),
                None => Err(Invalid::new(FieldErrorType::IntParsing, "not a whole number, or out of range")),
            },
            Some(mut other) => {
                wipe(&mut other);
                Err(Invalid::new(FieldErrorType::IntType, "expected a whole number"))
            }
        };
        self.noting(result, || in_body(name))
    }

    /// A field that is a list of strings and may be absent or null.
    pub(crate) fn nullable_list<T>(
        &mut self,
        name: &'static str,
        lengths: RangeInclusive<usize>,
        parse: impl Fn(String) -> Result<T, Invalid>,
    ) -> Option<Option<Vec<T>>> {
        match self.fields.take(name) {
            None | Some(Value::Null) => Some(None),
            Some(value) => self.items(name, Ok(value), lengths, parse).map(Some),
        }
    }

    /// A field that is a list of strings and must be there.
    pub(crate) fn list<T>(
        &mut self,
        name: &'static str,
        lengths: RangeInclusive<usize>,
        parse: impl Fn(String) -> Result<T, Invalid>,
    ) -> Option<Vec<T>> {
        let required = Invalid::new(FieldErrorType::Missing, "this field is required");
        let value = self.fields.take(name).ok_or(required);
        self.items(name, value, lengths, parse)
    }

    /// A field that is a list of objects and must be there. What is wrong with one is noted with its place in the list.
    pub(crate) fn objects<T>(
        &mut self,
        name: &'static str,
        lengths: RangeInclusive<usize>,
        take: impl Fn(&mut RequestParts<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let required = Invalid::new(FieldErrorType::Missing, "this field is required");
        let value = self.fields.take(name).ok_or(required);
        let items = self.values(name, value, lengths)?;
        let mut taken = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let place = || vec![Loc::field("body"), Loc::field(name), Loc::Index(index)];
            let mut item = item;
            let Value::Object(object) = &mut item else {
                wipe(&mut item);
                self.fault(place(), Invalid::new(FieldErrorType::ModelType, "a JSON object is expected"));
                continue;
            };
            let fields = Fields::of(std::mem::take(object));
            let mut parts = RequestParts::new(None, None, self.headers, fields);
            let one = take(&mut parts);
            if parts.fields.has_more() {
                self.fault(place(), EXTRA_FIELD);
            }
            for mut fault in std::mem::take(&mut parts.faults) {
                let inside = fault.loc.split_off(1);
                fault.loc = place().into_iter().chain(inside).collect();
                self.faults.push(fault);
            }
            taken.extend(one);
        }
        Some(taken)
    }

    fn items<T>(
        &mut self,
        name: &'static str,
        value: Result<Value, Invalid>,
        lengths: RangeInclusive<usize>,
        parse: impl Fn(String) -> Result<T, Invalid>,
    ) -> Option<Vec<T>> {
        let items = self.values(name, value, lengths)?;
        let mut taken = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            match string(item).and_then(&parse) {
                Ok(item) => taken.push(item),
                Err(invalid) => {
                    self.fault(vec![Loc::field("body"), Loc::field(name), Loc::Index(index)], invalid);
                }
            }
        }
        // A fault in an item is noted, so that the whole fails in `finish`.
        Some(taken)
    }

    fn values(
        &mut self,
        name: &'static str,
        value: Result<Value, Invalid>,
        lengths: RangeInclusive<usize>,
    ) -> Option<Vec<Value>> {
        let result = value.and_then(|value| match value {
            Value::Array(items) if items.len() < *lengths.start() => {
                Err(Invalid::new(FieldErrorType::TooShort, "this list needs at least one item"))
            }
            Value::Array(items) if items.len() > *lengths.end() => {
                Err(Invalid::new(FieldErrorType::TooLong, "this list has too many items"))
            }
            Value::Array(items) => Ok(items),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
                Err(Invalid::new(FieldErrorType::ListType, "expected a list"))
            }
        });
        self.noting(result, || in_body(name))
    }

    fn noting<T>(&mut self, result: Result<T, Invalid>, loc: impl FnOnce() -> Vec<Loc>) -> Option<T> {
        match result {
            Ok(taken) => Some(taken),
            Err(invalid) => {
                self.fault(loc(), invalid);
                None
            }
        }
    }
}

const EXTRA_FIELD: Invalid = Invalid::new(FieldErrorType::ExtraForbidden, "unknown field");
const EXTRA_PARAMETER: Invalid = Invalid::new(FieldErrorType::ExtraForbidden, "unknown query parameter");

fn in_body(name: &'static str) -> Vec<Loc> {
    vec![Loc::field("body"), Loc::field(name)]
}

/// JSON has one kind of number: `3.0` is as whole as `3`. Numbers that are not the same for everybody who reads JSON,
/// from 2^53 on, are none here (RFC 8259, section 6).
fn whole(number: &serde_json::Number) -> Option<u64> {
    const LIMIT: u64 = 1 << 53;
    let of_float = || {
        let float =
            number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0)?;
        format!("{float}").parse().ok()
    };
    number.as_u64().or_else(of_float).filter(|number| *number < LIMIT)
}

fn strings(mut value: Value) -> Result<BTreeMap<String, String>, Invalid> {
    let Value::Object(members) = &mut value else {
        wipe(&mut value);
        return Err(Invalid::new(FieldErrorType::ModelType, "a JSON object is expected"));
    };
    let members = std::mem::take(members).into_iter();
    members.map(|(name, member)| Ok((name, string(member)?))).collect()
}

fn string(value: Value) -> Result<String, Invalid> {
    let mut value = value;
    if let Value::String(text) = &mut value {
        return Ok(std::mem::take(text));
    }
    wipe(&mut value);
    Err(Invalid::new(FieldErrorType::StringType, "expected a string"))
}
