//! Takes known values out of a stream of output, or tells where they are in a text. Bytes go in and bytes come out; it
//! knows no clock, no descriptor and nothing of where the values come from.
//!
//! Every occurrence of every spelling is covered as a whole, those that overlap together; a covered stretch becomes one
//! [`MARK`]. Colours and line ends inside of it are kept, so that a screen stays in order. What may be the beginning of
//! a value is held back until more comes, or until the caller says that it may wait no longer. What was shown because
//! waiting ended is still looked at: the rest of a value that began there is masked.
//!
//! ```
//! use secrets_scrub::{Forms, Masker};
//!
//! let forms = Forms::new(["canary-value"]);
//! let (mut masker, mut out) = (Masker::new(&forms), Vec::new());
//! masker.push(b"password=canary-", &mut out);
//! assert_eq!(out, b"password=");
//! masker.push(b"value\n", &mut out);
//! // In base64 it is the same value.
//! masker.push(b"Y2FuYXJ5LXZhbHVl", &mut out);
//! masker.finish(&mut out);
//! assert_eq!(String::from_utf8(out)?, "password=••••\n••••");
//! # Ok::<(), std::string::FromUtf8Error>(())
//! ```

mod digits;
mod filter;
mod finder;
mod form;
mod forms;
mod gaps;
mod grams;
mod masker;
mod parts;
mod read;
mod search;
mod task;
mod trie;

#[cfg(test)]
mod tests;

pub use forms::Forms;
pub use masker::{MARK, Masker};
pub use parts::{SHORTEST, is_masked};
pub use search::{Found, Search, Written};

#[cfg(test)]
use form::Begin;

#[cfg(test)]
fn ignore(_start: usize, _end: usize) {}
