//! What reaches the terminal: data on standard output, talk on standard error, both wrapped to its
//! width where it is prose, and with nothing in them that would steer it.

use std::io::{self, IsTerminal, Write};

use console::Term;
use fed_sim::text::escaped;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

use crate::failure::Failure;

/// Columns that prose gets at least, on a terminal that claims to have fewer.
const NARROWEST: usize = 20;

/// Prints a line to standard output; a reader that went away (`| head`) ends the program quietly.
pub(crate) fn say(line: impl std::fmt::Display) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{}", escaped(&line.to_string())).map_err(Failure::output)
}

/// Prints text in a format of its own (JSON) to standard output, letter for letter.
pub(crate) fn hand_over(text: impl std::fmt::Display) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{text}").map_err(Failure::output)
}

/// Prints prose to standard output, wrapped to the terminal.
pub(crate) fn tell(text: impl std::fmt::Display) -> Result<(), Failure> {
    say(wrapped(text))
}

/// Prose with its lines wrapped between words to the width of the terminal. A file or another
/// program gets it as it is: what searches for a sentence finds it whole.
pub(crate) fn wrapped(text: impl std::fmt::Display) -> String {
    fit(&text.to_string(), &Term::stdout(), io::stdout().is_terminal())
}

/// Says something on standard error, wrapped to the terminal. Nobody is there to be told if that
/// fails.
pub(crate) fn talk(text: impl std::fmt::Display) {
    let text = fit(&escaped(&text.to_string()), &Term::stderr(), io::stderr().is_terminal());
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// As [`talk`], for text that has colours of our own in it.
pub(crate) fn talk_in_colour(text: &str) {
    let text = fit(&coloured(text), &Term::stderr(), io::stderr().is_terminal());
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether standard error is coloured: a terminal, unless `NO_COLOR` is set.
pub(crate) fn talk_has_colours() -> bool {
    io::stderr().is_terminal() && console::colors_enabled_stderr()
}

fn fit(text: &str, term: &Term, is_terminal: bool) -> String {
    match term.size_checked() {
        Some((_, width)) if is_terminal => wrap(text, usize::from(width)),
        _ => text.to_owned(),
    }
}

/// Standard error for log lines: each is wrapped and, but for its own colours, escaped.
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = coloured(&String::from_utf8_lossy(bytes));
        let text = fit(text.trim_end(), &Term::stderr(), io::stderr().is_terminal());
        writeln!(io::stderr().lock(), "{text}")?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Escaped but for colours (`ESC [ 31 m`).
fn coloured(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for (number, part) in text.split("\u{1b}[").enumerate() {
        let colour = part.find(|c: char| !c.is_ascii_digit() && c != ';');
        let rest = match colour {
            _ if number == 0 => part,
            Some(end) if part[end..].starts_with('m') => {
                safe.push_str("\u{1b}[");
                safe.push_str(&part[..=end]);
                &part[end + 1..]
            }
            _ => {
                safe.push_str(&escaped("\u{1b}["));
                part
            }
        };
        safe.push_str(&escaped(rest));
    }
    safe
}

/// Prose with no line longer than `width` columns, words that are longer excepted. Lines go on
/// below where they begin, and lines of a file that are shown stay as they are.
fn wrap(text: &str, width: usize) -> String {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        if is_quoted(line) {
            lines.push(line.to_owned());
            continue;
        }
        let indent = " ".repeat(line.len() - line.trim_start_matches(' ').len());
        let options = Options::new(width.max(NARROWEST))
            .subsequent_indent(&indent)
            .break_words(false)
            .word_separator(WordSeparator::AsciiSpace)
            .word_splitter(WordSplitter::NoHyphenation)
            .wrap_algorithm(WrapAlgorithm::FirstFit);
        lines.extend(textwrap::wrap(line, options).into_iter().map(|line| line.into_owned()));
    }
    lines.join("\n")
}

/// Whether this is a line of a file with its number, or with a mark below it: `12 | rounds = 0`.
fn is_quoted(line: &str) -> bool {
    line.trim_start_matches(' ')
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .trim_start()
        .starts_with('|')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_wrapped_between_words() {
        assert_eq!(wrap("ε is the price\n\nof one run", 20), "ε is the price\n\nof one run");
        assert_eq!(wrap("ε is the price of one run", 20), "ε is the price of\none run");
        assert_eq!(
            wrap("a word-that-is-too-long/for-this b", 20),
            "a\nword-that-is-too-long/for-this\nb"
        );
        assert_eq!(wrap("", 20), "");
        // Two columns a letter.
        assert_eq!(wrap("漢字漢字漢字 漢字漢字漢字", 20), "漢字漢字漢字\n漢字漢字漢字");
    }

    #[test]
    fn lines_go_on_below_where_they_begin() {
        assert_eq!(wrap("  one two three four five", 20), "  one two three four\n  five");
    }

    #[test]
    fn a_line_of_a_file_stays_whole() {
        let shown = "  |\n3 | rounds = \"three and some more words\"\n  |          ^^^^^^^";
        assert_eq!(wrap(shown, 20), shown);
    }

    #[test]
    fn colours_pass_and_nothing_else() {
        let text = "\u{1b}[33mWARN\u{1b}[0m a \u{1b}[2J\u{7} b";
        assert_eq!(coloured(text), "\u{1b}[33mWARN\u{1b}[0m a \\u{1b}[2J\\u{7} b");
    }
}
