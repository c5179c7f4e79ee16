//! What a file is by its first bytes, whatever its name says.

/// How files begin, and what those are.
const BEGINNINGS: [(&[u8], &str); 20] = [
    (b"SQLite format 3\0", "a SQLite database"),
    (b"\x89HDF\r\n\x1A\n", "an HDF5 file"),
    (b"FEDDATA\n", "a cache of client data"),
    (b"\xFD7zXZ\0", "an xz archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\x1F\x8B", "a gzip archive"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x28\xB5\x2F\xFD", "a Zstandard archive"),
    (b"7z\xBC\xAF\x27\x1C", "a 7z archive"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
    (b"MATLAB", "a MATLAB file"),
    (b"\x89PNG", "a PNG picture"),
    (b"version https://git-lfs", "a pointer of Git LFS, not the file itself"),
    (b"<!DOCTYPE", "a web page"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
    (b"<?xml", "an XML file"),
    (b"%PDF", "a PDF file"),
];

/// What a file that begins so is, if that can be told.
pub(crate) fn known(start: &[u8]) -> Option<&'static str> {
    BEGINNINGS.iter().find(|(begins, _)| start.starts_with(begins)).map(|&(_, words)| words)
}

/// What a file that begins so is, in a few words.
pub(crate) fn words(start: &[u8]) -> &'static str {
    match known(start) {
        Some(words) => words,
        None if start.is_empty() => "empty",
        None if start.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) => {
            "text"
        }
        None => "of no kind that is known here",
    }
}
