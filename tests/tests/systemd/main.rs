//! The daemon under a real systemd: its units, and what they promise.

mod activation;
mod credentials;
mod lab;
mod sandbox;
mod support;
mod units;
