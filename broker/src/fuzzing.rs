//! Doors for the fuzz targets in `tests/fuzz`, compiled for them alone. Each takes arbitrary bytes and panics when a promise
//! is broken; nothing else here may panic.
#![allow(clippy::panic, reason = "a broken promise is what is looked for")]

use std::sync::{Arc, LazyLock};

use hyper::Request;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::http::request::Parts;
use hyper::http::uri::Scheme;
use secrets_proto::Timestamp;
use serde_json::{Value, json};

use crate::field::{Form, Text};
use crate::grants::{Grants, Target};
use crate::placeholders::{self, Placed};
use crate::sigv4::{self, Signed};
use crate::sought::Sought;
use crate::tunnel::{Hello, named_in};
use crate::websocket::Frames;
use crate::{inspect, place, step};

const PLACEHOLDER: &str = "sk-ssdphAAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH";
const VALUE: &str = "value-that-takes-its-place";

static GRANTS: LazyLock<Option<Grants>> = LazyLock::new(|| {
    let sites = ["bearer", "basic", "header:x-key", "query:key"];
    let rules: Vec<_> = sites.iter().map(|site| json!({"host": "a.example", "site": site})).collect();
    let secret = json!({"name": "KEY", "placeholder": PLACEHOLDER, "rules": rules});
    Some(Grants::new(vec![serde_json::from_value(secret).ok()?], Vec::new()))
});

/// A request's head, a part a line: the target, then fields; `@` stands for the placeholder. What is not refused carries the
/// value once at most, and no placeholder.
pub fn head(data: &[u8]) {
    let (Some(grants), Some(mut head)) = (&*GRANTS, parsed(data)) else { return };
    let Some(target) = Target::parse("a.example", Some(443)) else { return };
    if inspect::check(&head, &target, &Scheme::HTTPS).is_err() {
        return;
    }
    step::keep_end_to_end(&mut head.headers);
    let Ok(placed) = placeholders::find(&head, grants, &target) else { return };
    for Placed { site, .. } in &placed {
        if place::put(&mut head, site, PLACEHOLDER, VALUE).is_err() {
            return;
        }
    }
    assert!(placed.len() <= 1, "a placeholder has two places");
    assert!(!placeholders::are_in(&head, grants), "a placeholder is left");
}

fn parsed(data: &[u8]) -> Option<Parts> {
    parsed_text(&str::from_utf8(data).ok()?.replace('@', PLACEHOLDER))
}

fn parsed_text(text: &str) -> Option<Parts> {
    let mut lines = text.lines();
    let mut request = Request::builder().uri(lines.next()?).header("host", "a.example");
    for line in lines {
        let (name, value) = line.split_once(':')?;
        request = request.header(name, value.trim());
    }
    Some(request.body(()).ok()?.into_parts().0)
}

/// The beginning of TLS says the same whole and when it is cut short before.
pub fn client_hello(data: &[u8]) {
    let whole = named_in(data);
    if let Ok(Hello::Names(name)) = &whole {
        for end in 0..data.len() {
            match data.get(..end).map(named_in) {
                Some(Ok(Hello::Names(other))) => assert_eq!(other, *name, "a name that depends on the cut"),
                Some(Err(_)) => panic!("a beginning is refused that goes on well"),
                Some(Ok(Hello::Cut)) | None => {}
            }
        }
    }
}

static SOUGHT: LazyLock<Arc<Sought>> = LazyLock::new(|| Arc::new(Sought::new([VALUE].into_iter())));

/// What a host says over a WebSocket, in pieces of so many bytes as the first one says; `@` stands for the value. The same
/// comes out however it is cut, no longer than it was. Then the same as the payloads of frames, a line each behind the frame's
/// first byte: no payload has the value, and all else is as it was.
pub fn frames(data: &[u8]) {
    let Some((piece, rest)) = data.split_first() else { return };
    let sent = with(rest, VALUE);
    let (whole, is_sound) = read(&sent, sent.len());
    let (pieces, is_sound_too) = read(&sent, usize::from(*piece));
    assert_eq!(is_sound, is_sound_too, "whether it is sound depends on the cut");
    let both = whole.iter().zip(&pieces);
    assert!(both.clone().all(|(one, other)| one == other), "what comes out depends on the cut");
    assert!(whole.len().max(pieces.len()) <= sent.len(), "more comes out than was sent");

    let mut sent = Vec::new();
    let mut payloads = Vec::new();
    for line in rest.split(|byte| *byte == b'\n') {
        let Some((first, payload)) = line.split_first() else { continue };
        let payload = with(payload, VALUE);
        sent.push(*first);
        match u8::try_from(payload.len()) {
            Ok(length @ 0..=125) => sent.push(length),
            _ => {
                let Ok(length) = u16::try_from(payload.len()) else { return };
                sent.push(126);
                sent.extend(length.to_be_bytes());
            }
        }
        payloads.push(sent.len()..sent.len() + payload.len());
        sent.extend(payload);
    }
    let (out, is_sound) = read(&sent, sent.len());
    if !is_sound {
        return;
    }
    assert_eq!(out.len(), sent.len(), "frames have other lengths");
    let mut at = 0;
    for payload in payloads {
        assert_eq!(out.get(at..payload.start), sent.get(at..payload.start), "a frame's head has changed");
        let shown = out.get(payload.clone()).unwrap_or_default();
        assert!(!shown.windows(VALUE.len()).any(|part| part == VALUE.as_bytes()), "a frame has the value");
        at = payload.end;
    }
}

fn read(sent: &[u8], piece: usize) -> (Vec<u8>, bool) {
    let (mut frames, mut out) = (Frames::new(SOUGHT.clone()), Vec::new());
    let read = sent.chunks(piece.max(1)).try_for_each(|piece| frames.push(piece, &mut out));
    (out, read.is_ok())
}

fn with(text: &[u8], in_place: &str) -> Vec<u8> {
    let one = |byte: &u8| if *byte == b'@' { in_place.as_bytes().to_vec() } else { vec![*byte] };
    text.iter().flat_map(one).collect()
}

/// A body with a field `token`: a form if the first byte is odd, else JSON; `@` stands for the placeholder. Where a value is put
/// into that field, it is there as it is, and all other fields are as they were.
pub fn field(data: &[u8]) {
    const NAME: &str = "token";
    const VALUE: &str = "a\"b\\c&d=\u{e9}+ %41/\u{1f980}";
    let Some((kind, rest)) = data.split_first() else { return };
    let form = if kind % 2 == 0 { Form::Json } else { Form::Urlencoded };
    let Ok(mut text) = Text::new(form, with(rest, PLACEHOLDER).into()) else { return };
    if text.has(NAME, PLACEHOLDER) != Ok(true) {
        return;
    }
    let before = text.bytes.clone();
    assert!(place::put_into_field(&mut text, NAME, VALUE).is_ok(), "a field that is there is not filled");
    assert_eq!(text.has(NAME, VALUE), Ok(true), "the value is not what was put in");
    if form == Form::Urlencoded {
        let (before, after) = (before.split(|byte| *byte == b'&'), text.bytes.split(|byte| *byte == b'&'));
        assert_eq!(before.clone().count(), after.clone().count(), "a form has more fields, or fewer");
        assert_eq!(before.zip(after).filter(|(before, after)| before != after).count(), 1);
        return;
    }
    let object = |bytes: &[u8]| match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => object,
        _ => panic!("a body with a field is no object"),
    };
    let (mut before, mut after) = (object(&before), object(&text.bytes));
    assert_eq!(before.remove(NAME), Some(PLACEHOLDER.into()), "another field was filled");
    assert_eq!(after.remove(NAME), Some(VALUE.into()), "the value is not what a reader finds");
    assert_eq!(before, after, "other fields have changed");
}

const KEY_ID: &str = "AKIAPLACEHOLDEROFID1";
const VALUE_OF_ID: &str = "AKIAVALUEOFTHISKEY22";

/// The secrets of a key for AWS, as a program or as the host has them.
fn keys(id: &str, key: &str) -> Option<Grants> {
    let secret = |name: &str, placeholder: &str| {
        let rule = json!({"host": "a.example", "site": "aws-sigv4:ID"});
        serde_json::from_value(json!({"name": name, "placeholder": placeholder, "rules": [rule]})).ok()
    };
    Some(Grants::new(vec![secret("ID", id)?, secret("SECRET", key)?], Vec::new()))
}

static KEYS: LazyLock<Option<[Grants; 2]>> =
    LazyLock::new(|| Some([keys(KEY_ID, PLACEHOLDER)?, keys(VALUE_OF_ID, VALUE)?]));

/// A request's head as in [`head`], which is signed for AWS: `@` stands for the key's id, `~` for the time and `^` for the day.
/// Whatever its signature is, one by the program's key in its place is taken; signed again it holds no placeholder and not the
/// key, and the host takes it.
pub fn signature(data: &[u8]) {
    let (Some([program, host]), Ok(text)) = (&*KEYS, str::from_utf8(data)) else { return };
    let time = Timestamp::now().to_string().replace(['-', ':'], "");
    let text = text.replace('@', KEY_ID).replace('~', &time).replace('^', time.get(..8).unwrap_or_default());
    // What is looked for must not be there before; and no signature is for itself.
    let has = |part: &str| text.to_ascii_lowercase().contains(&part.to_ascii_lowercase());
    if has(VALUE) || has(VALUE_OF_ID) || has("=authorization;") || has(";authorization") {
        return;
    }
    let (Some(mut head), Some(target)) = (parsed_text(&text), Target::parse("a.example", Some(443))) else {
        return;
    };
    let found = |head: &Parts, grants: &Grants| {
        let found = sigv4::find(head, grants, &target).ok().flatten();
        found.map(|signed: Signed| if signed.needs_body() { signed.with_body(b"a body") } else { signed })
    };
    let Some(signed) = found(&head, program) else { return };
    let made = signed.authorization(&head, "a.example", KEY_ID, PLACEHOLDER);
    let Ok(made) = HeaderValue::from_str(&made) else { return };
    head.headers.insert(AUTHORIZATION, made);
    let checked = found(&head, program).and_then(|signed| signed.checked(&head, program).ok());
    let Some(checked) = checked else { panic!("a signature by the program's key is not taken") };
    if place::sign(&mut head, &checked, "a.example", (VALUE, VALUE_OF_ID, None)).is_err() {
        panic!("a request that was signed is not signed again");
    }
    assert!(!placeholders::are_in(&head, program), "a placeholder is left");
    let has_key =
        |value: &HeaderValue| value.as_bytes().windows(VALUE.len()).any(|part| part == VALUE.as_bytes());
    assert!(!head.headers.values().any(has_key), "the key itself is in the request");
    let taken = found(&head, host).is_some_and(|signed| signed.checked(&head, host).is_ok());
    assert!(taken, "the host does not take what was signed again");
}
