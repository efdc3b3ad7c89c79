//! `man`: the manual pages, made from the same description of the command line that parses it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Arg, Args, Command};
use rustix::fs::Mode;
use rustix::process::umask;

use crate::failure::{Exit, Failure};
use crate::new_file::NewFile;
use crate::output;

/// Print a manual page, or write all to a directory
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  secretctl man run | man -l -
  secretctl man key add > secretctl-key-add.1
  secretctl man --dir ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// The command whose page to print; without one, the page of secretctl itself
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    /// Write the pages of all commands to this directory; created if it does not exist
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    pub(crate) dir: Option<PathBuf>,
}

/// The head of the examples in a command's help.
pub(crate) const EXAMPLES: &str = "Example:\n";

/// `root` describes the whole command line.
pub(crate) fn run(args: &ManArgs, mut root: Command) -> Result<(), Failure> {
    // Built, each command has the full name that its page has.
    root.build();
    if let Some(dir) = &args.dir {
        return write_all(&root, dir);
    }
    let (mut command, mut above) = (&root, None);
    for word in &args.command {
        let below = command.find_subcommand(word).filter(|below| has_page(below));
        let below =
            below.ok_or_else(|| Failure::new(Exit::NotFound, "no such command; see: secretctl --help"))?;
        above = Some(name(command));
        command = below;
    }
    output::answer(&page(command, above.as_deref()))
}

fn write_all(root: &Command, dir: &Path) -> Result<(), Failure> {
    let failed = |path: &Path, error: io::Error| {
        Failure::new(Exit::Other, format!("cannot write manual pages to {}: {error}", path.display()))
    };
    // Readable by all, whatever our own umask: pages hold nothing but what the program says to everybody.
    let before = umask(Mode::WGRP | Mode::WOTH);
    let made = fs::create_dir_all(dir);
    umask(before);
    made.map_err(|error| failed(dir, error))?;
    let mut commands = vec![(root, None)];
    while let Some((command, above)) = commands.pop() {
        let path = dir.join(format!("{}.1", name(command)));
        let page = page(command, above.as_deref());
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        let written = NewFile::beside(&path, mode).and_then(|mut new| {
            new.file().write_all(&page)?;
            new.name_it(true)
        });
        written.map_err(|error| failed(&path, error))?;
        let below = command.get_subcommands().filter(|below| has_page(below));
        commands.extend(below.map(|below| (below, Some(name(command)))));
    }
    Ok(())
}

fn has_page(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

/// One page, as man(7) describes it. The lines of examples and lists stay lines.
fn page(command: &Command, above: Option<&str>) -> Vec<u8> {
    let mut page = Page::default();
    let name = name(command);
    let title = name.to_uppercase();
    let version = env!("CARGO_PKG_VERSION");
    // Without a date, which would be the build's: the same sources give the same page.
    page.request(&format!("TH {title} 1 \"\" \"secretctl {version}\" \"Secrets of a user\""));
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    page.section("NAME");
    page.text(&format!("{name} \\- {}", escaped(&about)));
    page.section("SYNOPSIS");
    let usage = command.clone().render_usage().to_string();
    page.lines(usage.trim_start_matches("Usage:").trim(), true);

    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (prose, examples) = help.split_once(EXAMPLES).unwrap_or((&help, ""));
    page.section("DESCRIPTION");
    page.lines(&format!("{about}."), false);
    for paragraph in prose.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        page.request("PP");
        let lines: Vec<&str> = paragraph.lines().collect();
        // What is indented, such as the list of exit codes, keeps its lines.
        for run in lines.chunk_by(|a, b| a.starts_with(' ') == b.starts_with(' ')) {
            page.lines(&run.join("\n"), run.first().is_some_and(|line| line.starts_with(' ')));
        }
    }
    let shown = |positional: bool, global: bool| {
        let of_kind = move |arg: &&Arg| arg.is_positional() == positional && arg.is_global_set() == global;
        command.get_arguments().filter(of_kind).filter(|arg| !arg.is_hide_set())
    };
    page.arguments("ARGUMENTS", shown(true, false));
    page.arguments("OPTIONS", shown(false, false));
    page.arguments("GLOBAL OPTIONS", shown(false, true));
    page.commands(command);
    if !examples.is_empty() {
        page.section("EXAMPLES");
        page.lines(examples, true);
    }
    page.section("SEE ALSO");
    page.text(&format!("\\fB{}\\fR(1)", escaped(above.unwrap_or("secretctl-doctor"))));
    page.0
}

/// A page that is being written.
#[derive(Default)]
struct Page(Vec<u8>);

impl Page {
    fn request(&mut self, request: &str) {
        self.text(&format!(".{request}"));
    }

    fn section(&mut self, title: &str) {
        self.request(&format!("SH \"{title}\""));
    }

    /// A line that is escaped already.
    fn text(&mut self, line: &str) {
        self.0.extend_from_slice(line.as_bytes());
        self.0.push(b'\n');
    }

    /// Words of ours; `as_is` keeps their lines.
    fn lines(&mut self, plain: &str, as_is: bool) {
        if as_is {
            self.request("nf");
        }
        for line in plain.lines() {
            self.text(&escaped(if as_is { line } else { line.trim() }));
        }
        if as_is {
            self.request("fi");
        }
    }

    fn arguments<'a>(&mut self, title: &str, arguments: impl Iterator<Item = &'a Arg>) {
        let mut arguments = arguments.peekable();
        if arguments.peek().is_none() {
            return;
        }
        self.section(title);
        for arg in arguments {
            self.request("TP");
            self.text(&format!("\\fB{}\\fR", escaped(&heading(arg))));
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let values: Vec<String> = arg
                .get_possible_values()
                .iter()
                .filter(|value| takes_value(arg) && !value.is_hide_set())
                .map(|value| value.get_name().to_owned())
                .collect();
            let one_of = if values.is_empty() { String::new() } else { format!(": {}", values.join(", ")) };
            self.lines(&format!("{help}{one_of}."), false);
        }
    }

    fn commands(&mut self, command: &Command) {
        let mut below = command.get_subcommands().filter(|below| has_page(below)).peekable();
        if below.peek().is_none() {
            return;
        }
        self.section("COMMANDS");
        for below in below {
            self.request("TP");
            self.text(&format!("\\fB{}\\fR(1)", escaped(&name(below))));
            self.lines(
                &format!("{}.", below.get_about().map(ToString::to_string).unwrap_or_default()),
                false,
            );
        }
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|count| count.takes_values())
}

/// How an argument is written.
fn heading(arg: &Arg) -> String {
    let names =
        || arg.get_value_names().unwrap_or_default().iter().map(|name| name.as_str()).collect::<Vec<_>>();
    let value = if takes_value(arg) { names().join(" ") } else { String::new() };
    let short = arg.get_short().map(|short| format!("-{short}"));
    let flags: Vec<String> =
        short.into_iter().chain(arg.get_long().map(|long| format!("--{long}"))).collect();
    format!("{} {value}", flags.join(", ")).trim().to_owned()
}

/// Characters that the formatter would take for commands, or print as others than those that can be typed.
fn escaped(line: &str) -> String {
    let mut text = String::new();
    if line.starts_with(['.', '\'']) {
        text.push_str("\\&");
    }
    for c in line.chars() {
        match c {
            '\\' => text.push_str("\\e"),
            '-' => text.push_str("\\-"),
            '\'' => text.push_str("\\(aq"),
            '`' => text.push_str("\\(ga"),
            '~' => text.push_str("\\(ti"),
            '^' => text.push_str("\\(ha"),
            // groff reads bytes, not UTF-8; both formatters know a character by its number.
            c if !c.is_ascii() => text.push_str(&format!("\\[u{:04X}]", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}
