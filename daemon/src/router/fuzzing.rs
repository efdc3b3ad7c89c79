//! The door for the fuzz target that sends bodies, queries and heads. Compiled for it alone.

use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HeaderValue, IF_MATCH};
use secrets_proto::reveal::RevealRequest;
use secrets_proto::secret::{CreateFromPreset, CreateSecret};
use secrets_proto::token::CreateToken;
use secrets_proto::vault::VerifyRequest;

use super::codec::FromRequest;
use crate::handler::secrets::{ById, Delete, DropVersion, Edit, Get, List, Rollback, Update};
use crate::handler::vault::{AddKey, Init, Rotate, Unlock};
use crate::http::failure::Failure;
use crate::http::fields::Fields;
use crate::http::parts::RequestParts;
use crate::vault::AuditQuery;

/// Makes the request of each operation of this id, query, `If-Match` and body. None may panic, and what is refused is
/// the caller's fault, in 4xx.
pub fn json_body(id: Option<&str>, query: Option<&str>, if_match: &[u8], body: &[u8]) {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(line) = HeaderValue::from_bytes(if_match) {
        headers.insert(IF_MATCH, line);
    }
    let request = Request { id, query, headers: &headers, body };
    request.take::<()>();
    request.take::<List>();
    request.take::<Get>();
    request.take::<CreateSecret>();
    request.take::<CreateFromPreset>();
    request.take::<Update>();
    request.take::<Edit>();
    request.take::<Delete>();
    request.take::<RevealRequest>();
    request.take::<ById>();
    request.take::<Rollback>();
    request.take::<DropVersion>();
    request.take::<VerifyRequest>();
    request.take::<AddKey>();
    request.take::<Rotate>();
    request.take::<Init>();
    request.take::<Unlock>();
    request.take::<AuditQuery>();
    request.take::<CreateToken>();
}

struct Request<'a> {
    id: Option<&'a str>,
    query: Option<&'a str>,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

impl Request<'_> {
    fn take<I: FromRequest>(&self) {
        if let Err(failure) = self.try_take::<I>() {
            let status = failure.into_response("fuzz").status();
            assert!(status.is_client_error(), "a malformed request gives {status}");
        }
    }

    fn try_take<I: FromRequest>(&self) -> Result<I, Failure> {
        let fields = if I::BODY { Fields::parse(self.headers, self.body)? } else { Fields::default() };
        let mut parts = RequestParts::new(self.id, self.query, self.headers, fields);
        let taken = I::take(&mut parts);
        parts.finish(taken)
    }
}
