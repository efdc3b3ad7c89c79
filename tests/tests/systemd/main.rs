//! The daemon under a real systemd: its units, and what they promise.

mod lab;
