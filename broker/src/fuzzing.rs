//! Doors for the fuzz targets in `tests/fuzz`, compiled for them alone. Each takes arbitrary bytes and panics when a promise
//! is broken; nothing else here may panic.
#![allow(clippy::panic, reason = "a broken promise is what is looked for")]

use std::sync::LazyLock;

use hyper::Request;
use hyper::http::request::Parts;
use hyper::http::uri::Scheme;
use serde_json::json;

use crate::grants::{Grants, Target};
use crate::placeholders::{self, Placed};
use crate::tunnel::{Hello, named_in};
use crate::{inspect, place};

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
    inspect::keep_end_to_end(&mut head.headers);
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
    let text = str::from_utf8(data).ok()?.replace('@', PLACEHOLDER);
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
