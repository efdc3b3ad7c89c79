//! Texts below a command's options. In the sources they are broken so that they can be read there; shown, their paragraphs
//! are as wide as the window.

use clap::Command;

/// The command and those below it, with texts of which each paragraph is one line for clap to wrap.
pub(super) fn filled(command: Command) -> Command {
    let text = command.get_after_help().map(|text| joined(&text.to_string()));
    let command = match text {
        Some(text) => command.after_help(text),
        None => command,
    };
    command.mut_subcommands(filled)
}

/// Joins the lines of each paragraph. Lines that are indented stay lines, as do those before them: a heading, or what an
/// example is of.
fn joined(text: &str) -> String {
    let stays = |line: &str| line.is_empty() || line.starts_with(' ');
    let mut joined = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        joined.push_str(line);
        match lines.peek() {
            Some(next) if stays(line) || stays(next) => joined.push('\n'),
            Some(_) => joined.push(' '),
            None => {}
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paragraph_is_one_line_and_an_example_stays() {
        let text =
            "One two\nthree.\n\nA list:\n  x\n  y\nand\nmore.\n\nExample:\n  secretctl a\n  secretctl b";
        let expected =
            "One two three.\n\nA list:\n  x\n  y\nand more.\n\nExample:\n  secretctl a\n  secretctl b";
        assert_eq!(joined(text), expected);
    }
}
