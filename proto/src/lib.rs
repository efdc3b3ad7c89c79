//! What travels over the socket: requests, responses, the error envelope, and the checked types they
//! are made of.
//!
//! Both programs depend on this crate and it depends on neither; it knows no runtime, no HTTP library
//! and no database. Everything that can be checked about a field is checked by the constructor of its
//! type, so that a value of that type is always valid.
//!
//! # Layout
//!
//! - [`error`]: the error envelope, its types and their status codes
//! - [`invalid`]: why a field was refused, in pydantic's vocabulary
//! - [`name`], [`provider`], [`selector`], [`timestamp`], [`sensitive`]: the checked field types
//! - [`printable`]: what of a text may be shown
//! - [`secret`]: the operations on `/user/secrets`
//! - [`reveal`]: the one operation that hands values over
//! - [`vault`]: the operations on `/vault`
//! - [`approval`]: guarded secrets, and the operations on `/approvals`
//! - [`proof`]: what shows that the owner asks
//! - [`credential`]: the operations on `/credentials`
//! - [`item`]: secrets that are found by attributes, and the operations on `/items`
//! - [`audit`]: entries of the audit log
//! - [`broker`]: what `secretctl` and the broker that it starts say to each other
//! - [`rule`]: to which requests a value may be put without being seen
//! - [`session`]: the operations on `/use/sessions`
//! - [`token`]: access tokens, their form, and the operations on `/tokens`
//! - [`variable`]: names of variables that shells and programs give a meaning of their own
//!
//! With the feature `openapi` each type has a JSON Schema, from which the tests write the API's description.

#![forbid(unsafe_code)]

pub mod approval;
pub mod audit;
pub mod broker;
pub mod credential;
pub mod error;
pub mod fleet;
pub mod invalid;
pub mod item;
mod matching;
pub mod name;
pub mod printable;
pub mod proof;
pub mod provider;
pub mod reveal;
pub mod rule;
#[cfg(feature = "openapi")]
mod schema;
pub mod secret;
pub mod selector;
pub mod sensitive;
pub mod session;
pub mod timestamp;
pub mod token;
pub mod variable;
pub mod vault;

pub use credential::UnitName;
pub use error::{ErrorBody, ErrorType, FieldError, Loc};
pub use invalid::{FieldErrorType, Invalid};
pub use matching::Matcher;
pub use name::SecretName;
pub use provider::Provider;
pub use selector::{Glob, Selector};
pub use sensitive::{SecretValue, SensitiveString};
pub use timestamp::Timestamp;
pub use uuid::Uuid;

/// Where every route of the API begins.
pub const API_BASE: &str = "/api/v1";

/// The API version that `X-Secretsd-Api` may ask for.
pub const API_VERSION: &str = "1";
