//! TFF's SQLite layout: one database with both splits of both variants.
//!
//! `client_metadata` says which clients a split has and how many examples each; `examples` has one
//! row an example. A client's examples keep the order of their rows. All rows are read in one
//! sweep, in the order in which they lie in the file.

use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::fill::Filling;
use super::{Ask, proto};
use crate::error::DataError;
use crate::open::Progress;
use crate::split::Split;

const FORMAT: &str = "SQLite database of client data";

/// Reads the training and test split of a database.
pub(crate) fn read(path: &Path, ask: &mut Ask<'_>) -> Result<(Split, Split), DataError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let wrong = |error| from_sqlite(path, &error);
    check_length(path)?;
    let connection = Connection::open_with_flags(path, flags).map_err(wrong)?;
    // Files of strangers: no schema of theirs may call functions or write.
    connection
        .execute_batch("PRAGMA trusted_schema = OFF; PRAGMA query_only = ON;")
        .map_err(wrong)?;

    let prefix = ask.variant.name();
    let names = [format!("{prefix}_train"), format!("{prefix}_test")];
    let [train, test] = [&names[0], &names[1]].map(|split| {
        let clients = clients(&connection, path, split)?;
        Filling::new(path, split, ask.variant.classes(), clients, ask.allow_empty_clients)
    });
    let mut fillings = [train?, test?];
    sweep(&connection, path, &names, &mut fillings, ask.progress)?;
    let [train, test] = fillings;
    Ok((train.finish()?, test.finish()?))
}

/// The clients of a split, sorted, each with its number of examples.
fn clients(
    connection: &Connection,
    path: &Path,
    split: &str,
) -> Result<Vec<(Box<str>, usize)>, DataError> {
    let wrong = |error| from_sqlite(path, &error);
    let mut statement = connection
        .prepare(
            "SELECT client_id, MAX(num_examples) FROM client_metadata \
             WHERE split_name = ?1 GROUP BY client_id",
        )
        .map_err(wrong)?;
    let mut clients = statement
        .query_map([split], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))
        .map_err(wrong)?
        .map(|row| {
            let (id, count) = row.map_err(wrong)?;
            let count = usize::try_from(count).map_err(|_| {
                DataError::corrupt(path, FORMAT, format!("client `{id}` has {count} examples"))
            })?;
            Ok((id.into_boxed_str(), count))
        })
        .collect::<Result<Vec<_>, DataError>>()?;
    if clients.is_empty() {
        return Err(no_split(connection, path, split));
    }
    clients.sort();
    // The numbers are promises of the file: before memory is taken for them, rows are counted.
    let promised: usize = clients.iter().map(|(_, count)| *count).fold(0, usize::saturating_add);
    let rows: i64 = connection
        .query_row("SELECT COUNT(*) FROM examples WHERE split_name = ?1", [split], |row| row.get(0))
        .map_err(wrong)?;
    if usize::try_from(rows).is_ok_and(|rows| promised > rows) {
        return Err(DataError::corrupt(
            path,
            FORMAT,
            format!("the clients of `{split}` should have {promised} examples, but it has {rows}"),
        ));
    }
    Ok(clients)
}

/// Reads every example of the splits `names` into `fillings`.
fn sweep(
    connection: &Connection,
    path: &Path,
    names: &[String; 2],
    fillings: &mut [Filling; 2],
    progress: &mut dyn FnMut(Progress),
) -> Result<(), DataError> {
    let wrong = |error| from_sqlite(path, &error);
    let index: [HashMap<Box<str>, usize>; 2] = [0, 1].map(|split| {
        fillings[split].ids().iter().cloned().enumerate().map(|(index, id)| (id, index)).collect()
    });
    let last_row: i64 = connection
        .query_row("SELECT COALESCE(MAX(rowid), 0) FROM examples", [], |row| row.get(0))
        .map_err(wrong)?;
    // NOT INDEXED: in the order of the file, which is also each client's order.
    let mut statement = connection
        .prepare(
            "SELECT rowid, split_name, client_id, serialized_example_proto \
             FROM examples NOT INDEXED WHERE split_name IN (?1, ?2) ORDER BY rowid",
        )
        .map_err(wrong)?;
    let mut rows = statement.query([&names[0], &names[1]]).map_err(wrong)?;
    let mut last = (0, 0);
    while let Some(row) = rows.next().map_err(wrong)? {
        let rowid: i64 = row.get(0).map_err(wrong)?;
        let at = |detail: String| {
            DataError::corrupt(path, FORMAT, format!("row {rowid} of `examples`: {detail}"))
        };
        let text = |column: usize| {
            row.get_ref(column)
                .map_err(wrong)?
                .as_str()
                .map_err(|error| at(format!("column {column} is not text: {error}")))
        };
        let split = usize::from(text(1)? != names[0]);
        let id = text(2)?;
        // Rows of a client mostly follow one another.
        if last.0 != split || &*fillings[split].ids()[last.1] != id {
            // Clients that the metadata does not list are not clients of the split.
            let Some(&client) = index[split].get(id) else { continue };
            last = (split, client);
        }
        let blob = row
            .get_ref(3)
            .map_err(wrong)?
            .as_blob()
            .map_err(|error| at(format!("the example is not a blob: {error}")))?;
        let (label, pixels) = proto::decode(blob).map_err(at)?;
        fillings[split].push(last.1, &[label], &pixels)?;
        if rowid % 4096 == 0 {
            progress(Progress {
                step: "reading examples",
                done: rowid.unsigned_abs(),
                total: Some(last_row.unsigned_abs()),
            });
        }
    }
    Ok(())
}

/// The database says in its header how many pages it has: a truncated one is told at once.
fn check_length(path: &Path) -> Result<(), DataError> {
    use std::io::Read;
    let mut file = std::fs::File::open(path).map_err(|error| DataError::io("open", path, error))?;
    let length = file.metadata().map_err(|error| DataError::io("read", path, error))?.len();
    let mut header = [0; 32];
    if file.read_exact(&mut header).is_err() || !header.starts_with(b"SQLite format 3\0") {
        return Err(DataError::corrupt(
            path,
            FORMAT,
            "it does not begin as a SQLite database does",
        ));
    }
    let page = match u64::from(u16::from_be_bytes([header[16], header[17]])) {
        1 => 65_536,
        page => page,
    };
    let pages = u64::from(u32::from_be_bytes([header[28], header[29], header[30], header[31]]));
    // Databases of very old writers leave the count at zero.
    if pages * page > length {
        return Err(DataError::corrupt(
            path,
            FORMAT,
            format!("it has {length} bytes of {}: it is truncated", pages * page),
        ));
    }
    Ok(())
}

fn no_split(connection: &Connection, path: &Path, split: &str) -> DataError {
    let found = connection
        .prepare("SELECT DISTINCT split_name FROM client_metadata ORDER BY split_name LIMIT 20")
        .and_then(|mut statement| {
            statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()
        })
        .unwrap_or_default();
    let found = if found.is_empty() { "no split at all".to_owned() } else { found.join(", ") };
    DataError::NoSplit { path: path.to_owned(), split: split.to_owned(), found }
}

fn from_sqlite(path: &Path, error: &rusqlite::Error) -> DataError {
    if let rusqlite::Error::SqliteFailure(failure, _) = error
        && matches!(failure.code, ErrorCode::CannotOpen | ErrorCode::PermissionDenied)
    {
        let source = std::io::Error::other(error.to_string());
        return DataError::Io { action: "open", path: path.to_owned(), source };
    }
    DataError::corrupt(path, FORMAT, error)
}
