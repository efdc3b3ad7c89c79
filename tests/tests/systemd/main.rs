//! The daemon under a real systemd: its units, and what they promise.

mod activation;
mod approvals;
mod credentials;
mod deb;
mod dialect;
mod install;
mod lab;
mod logind;
mod sandbox;
mod secret_service;
mod sessions;
mod start;
mod support;
mod sync;
mod units;
