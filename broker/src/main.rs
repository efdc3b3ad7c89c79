//! The broker; all of it is in the library.

fn main() -> std::process::ExitCode {
    secretsd_broker::main()
}
