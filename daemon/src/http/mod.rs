//! HTTP's words, which the stages that speak it share: what a head may be, bodies within limits, requests taken apart,
//! responses and errors on their way out. Nothing here knows a route, a connection or the vault.
//!
//! - [`head`]: requests that two programs could read in two ways, refused; what a head says of its sender
//! - [`body`], [`fields`], [`query`]: bodies within limits, as JSON objects; query parameters
//! - [`parts`]: a request taken apart, field by field
//! - [`conditional`]: `ETag` and what asks for it
//! - [`response`], [`failure`]: what is answered
//! - [`service`]: what stands behind the server

pub(crate) mod body;
pub(crate) mod conditional;
pub(crate) mod failure;
pub(crate) mod fields;
pub(crate) mod head;
pub(crate) mod parts;
mod query;
pub(crate) mod response;
pub(crate) mod service;
