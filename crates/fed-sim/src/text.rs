//! Text for people: lines that fit a terminal of 80 columns.

use std::fmt;

const WIDTH: usize = 80;

/// Where the text of an item begins.
const INDENT: usize = 15;

/// Writes an item, its head in front of the first line, wrapped.
pub(crate) fn item(f: &mut fmt::Formatter<'_>, head: &str, text: &str) -> fmt::Result {
    let hanging = if text.starts_with("- ") { 2 } else { 0 };
    let head = format!("  {head}");
    let mut line = format!("{head:<0$}", INDENT - 1);
    let (mut length, mut empty) = (INDENT - 1, true);
    for word in text.split(' ') {
        let width = word.chars().count();
        if !empty && length + 1 + width > WIDTH {
            writeln!(f, "{}", line.trim_end())?;
            line = " ".repeat(INDENT - 1 + hanging);
            length = INDENT - 1 + hanging;
        }
        line.push(' ');
        line.push_str(word);
        length += 1 + width;
        empty = false;
    }
    writeln!(f, "{}", line.trim_end())
}
