//! `doctor`
use crate::cli::Globals;
use crate::failure::Failure;
use crate::output::Output;
pub(crate) fn run(_globals: &Globals, _output: Output) -> Result<(), Failure> {
    Ok(())
}
