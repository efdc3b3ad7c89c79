//! `doctor`: what was found, worst of all the number of faults, which is also the exit code.

use clap::Args;
use secrets_proto::printable::without_numbers;
use serde_json::json;

use crate::doctor::{self, Finding, Level};
use crate::environment;
use crate::failure::{Exit, Failure};
use crate::globals::Globals;
use crate::output::{self, Output};

/// Find problems in this setup and print the fix
#[derive(Debug, Args)]
#[command(after_help = "\
Checks directories, socket, token, vault files, both programs, systemd units and
the system. It works with a locked vault, asks nothing, starts no daemon and
changes nothing. Each problem is printed with the command that fixes it.

Exit status: 1 if there is a fault, else 0. Warnings do not count.

Example:
  secretctl doctor
  secretctl doctor --json")]
pub(crate) struct DoctorArgs {}

pub(crate) fn run(globals: &Globals, output: Output) -> Result<(), Failure> {
    let findings = match environment::paths(globals) {
        Ok(paths) => doctor::examine(paths)?,
        Err(failure) => doctor::without_place(&failure),
    };
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (faults, warnings) = (count(Level::Fault), count(Level::Warning));
    if output.json {
        let object = json!({ "faults": faults, "warnings": warnings, "findings": findings });
        output::answer_json_line(object.to_string().as_bytes())?;
    } else {
        let columns = output::columns();
        let lines: String = findings.iter().map(|finding| shown(finding, output.colour, columns)).collect();
        output::answer(lines.as_bytes())?;
    }
    let summary = format!("{}, {}", counted(faults, "fault"), counted(warnings, "warning"));
    if faults > 0 {
        return Err(Failure::new(Exit::Other, summary));
    }
    output::say(&summary);
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// Where what was found begins on its line.
const INDENT: usize = 28;

/// Where a command begins that fixes it.
const FIX: usize = 9;

fn shown(finding: &Finding, colour: bool, columns: Option<usize>) -> String {
    let (word, code) = match finding.level {
        Level::Ok => ("ok", "32"),
        Level::Warning => ("warning", "33"),
        Level::Fault => ("fault", "31"),
    };
    let padded = format!("{word:<7}");
    let word = if colour { format!("\x1b[{code}m{padded}\x1b[0m") } else { padded };
    let shown =
        |line: &str, indent| output::wrapped(&output::printable(&without_numbers(line)), columns, indent);
    let mut text = format!("{word}  {:<17}  {}\n", finding.check, shown(&finding.what, INDENT));
    if let Some(why) = finding.why {
        text.push_str(&format!("{:INDENT$}why: {}\n", "", shown(why, INDENT + 5)));
    }
    if let Some(fix) = &finding.fix {
        // On one line, however long, so that it can be copied as it is; in a window from where it has most room.
        let indent = if columns.is_some() { FIX } else { INDENT };
        text.push_str(&format!("{:indent$}fix: {}\n", "", output::printable(fix)));
    }
    text
}
