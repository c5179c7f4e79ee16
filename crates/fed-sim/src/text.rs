//! Text for people: lines that fit a terminal of 80 columns, and nothing that upsets one.

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

/// A text as a terminal may see it: what would move its cursor, colour it or turn its direction
/// round is written out. Line ends stay, and a tab is a space.
///
/// Names and words that come out of files pass through here before anybody reads them.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' => safe.push('\n'),
            '\t' => safe.push(' '),
            // Marks that turn the direction of writing, or that nobody sees.
            '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}' => safe.extend(letter.escape_unicode()),
            letter if letter.is_control() => safe.extend(letter.escape_default()),
            letter => safe.push(letter),
        }
    }
    safe
}

/// The beginning of a name or value out of a file, of at most `most` letters, on one line.
#[must_use]
pub fn shortened(text: &str, most: usize) -> String {
    let mut letters = text.chars();
    let mut start: String = letters.by_ref().take(most).collect();
    if letters.next().is_some() {
        start.push('…');
    }
    escaped(&start).replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_gets_through() {
        assert_eq!(escaped("a\u{1b}[31mb\u{7}\r\u{9b}2J"), "a\\u{1b}[31mb\\u{7}\\r\\u{9b}2J");
        assert_eq!(escaped("left\u{202e}thgir"), "left\\u{202e}thgir");
        assert_eq!(escaped("ε ± σ\n\tnext"), "ε ± σ\n next");
        let every: String = (0..=0x10_ffff).filter_map(char::from_u32).collect();
        assert!(!escaped(&every).chars().any(|letter| letter.is_control() && letter != '\n'));
    }

    #[test]
    fn a_long_value_is_cut_and_stays_on_its_line() {
        assert_eq!(shortened("one\ntwo", 40), "one\\ntwo");
        assert_eq!(shortened(&"ä".repeat(50_000_000), 3), "äää…");
    }
}
