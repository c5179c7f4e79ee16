//! TFF's SQLite layout: one database with both splits of both variants.
//!
//! `client_metadata` says which clients a split has and how many examples each; `examples` has one
//! row an example. A client's examples keep the order of their rows. All rows are read in one
//! sweep, in the order in which they lie in the file.
//!
//! Either may be a table, a table WITHOUT ROWID or a view; ids may be text or whole numbers; where
//! the number of examples is missing, the rows are counted. Rows and counts must agree, so that no
//! client is lost unseen.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::companions::{Companion, companion, immutable_uri, log_fault};
use super::fill::Filling;
use super::proto::Wrong;
use super::{Ask, PIXELS, proto};
use crate::error::{DataError, shown};
use crate::open::Progress;
use crate::split::Split;

const FORMAT: &str = "SQLite database of client data";

/// Reads the training and test split of a database.
pub(crate) fn read(path: &Path, ask: &mut Ask<'_>) -> Result<(Split, Split), DataError> {
    let wrong = |error| from_sqlite(path, &error);
    let length = check_length(path)?;
    let connection = open(path)?;
    // Files of strangers: no schema of theirs may call functions or write. One transaction: what
    // is counted and what is read are of one moment.
    connection
        .execute_batch("PRAGMA trusted_schema = OFF; PRAGMA query_only = ON; BEGIN;")
        .map_err(wrong)?;
    let examples = Table::find(&connection, path, "examples", &EXAMPLES)?;
    let metadata = Table::find(&connection, path, "client_metadata", &METADATA)?;

    let prefix = ask.variant.name();
    let names = [format!("{prefix}_train"), format!("{prefix}_test")];
    let mut total = 0;
    let [train, test] = [&names[0], &names[1]].map(|split| {
        let clients = clients(&connection, path, split, &metadata)?;
        // The numbers are promises of the file: before memory is taken for them, they are
        // compared with what it can hold.
        let rows = clients.iter().map(|(_, count)| *count as u64).fold(0, u64::saturating_add);
        total += rows;
        if total.saturating_mul(4 * PIXELS as u64) > length {
            return Err(DataError::corrupt(
                path,
                FORMAT,
                format!("its {total} examples do not fit into its {length} bytes"),
            ));
        }
        Filling::new(path, split, ask.variant.classes(), clients, ask.allow_empty_clients)
    });
    let mut fillings = [train?, test?];
    sweep(&connection, path, (&names, &examples, total), &mut fillings, ask.progress)?;
    let [train, test] = fillings;
    Ok((train.finish()?, test.finish()?))
}

/// Opens a database to read from it, and to leave no trace beside it.
fn open(path: &Path) -> Result<Connection, DataError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    let fault = log_fault(path).map_err(|error| DataError::io("read the log of", path, error))?;
    if let Some(detail) = fault {
        return Err(DataError::corrupt(path, FORMAT, detail));
    }
    let journal = Companion::ALL.into_iter().find(|&kind| companion(path, kind).is_some());
    let opened = match journal {
        // Nobody is in the middle of writing: no lock is needed, and none of the files that
        // SQLite would make beside a database in its write-ahead mode.
        None => Connection::open_with_flags(immutable_uri(path), flags),
        Some(_) => Connection::open_with_flags(
            std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
            flags,
        ),
    };
    // The first look shows whether what lies in the journal can be taken in.
    let looked = opened.and_then(|connection| {
        connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    });
    looked.map_err(|error| match (journal, &error) {
        (Some(kind), rusqlite::Error::SqliteFailure(failure, _))
            if matches!(failure.code, ErrorCode::CannotOpen | ErrorCode::ReadOnly) =>
        {
            DataError::Unsupported {
                path: path.to_owned(),
                what: format!(
                    "`{}` beside it holds changes that are not in it yet ({error})",
                    kind.beside(path).display()
                ),
                instead: kind.way_out().to_owned(),
            }
        }
        _ => from_sqlite(path, &error),
    })
}

const EXAMPLES: [&str; 3] = ["split_name", "client_id", "serialized_example_proto"];
const METADATA: [&str; 2] = ["client_id", "split_name"];

/// A table or view, and what is special about it.
struct Table {
    view: bool,
    columns: HashSet<String>,
    /// A name by which its row numbers can be asked for; none in views and WITHOUT ROWID.
    rowid: Option<&'static str>,
}

impl Table {
    fn find(
        connection: &Connection,
        path: &Path,
        name: &str,
        needed: &[&str],
    ) -> Result<Self, DataError> {
        let wrong = |error| from_sqlite(path, &error);
        let list = |sql: &str| -> rusqlite::Result<Vec<String>> {
            connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
        };
        let columns = list(&format!("SELECT lower(name) FROM pragma_table_info('{name}')"));
        let columns: HashSet<String> = columns.map_err(wrong)?.into_iter().collect();
        let unsupported = |what: String| DataError::Unsupported {
            path: path.to_owned(),
            what,
            instead: "the layout that is read is examples(split_name, client_id, \
                      serialized_example_proto) and client_metadata(client_id, split_name, \
                      num_examples); the second can be made with CREATE TABLE client_metadata AS \
                      SELECT client_id, split_name, COUNT(*) AS num_examples FROM examples GROUP \
                      BY split_name, client_id"
                .to_owned(),
        };
        if columns.is_empty() {
            let found = list("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')");
            let found: Vec<_> = found.map_err(wrong)?.iter().take(10).map(|t| shown(t)).collect();
            let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
            return Err(unsupported(format!("it has no such table as `{name}`, but {found}")));
        }
        if let Some(column) = needed.iter().find(|&&column| !columns.contains(column)) {
            return Err(unsupported(format!("its table `{name}` has no column `{column}`")));
        }
        let (view, without_rowid): (bool, bool) = connection
            .query_row(
                "SELECT type <> 'table', wr FROM pragma_table_list WHERE schema = 'main' AND name \
                 = ?1 COLLATE NOCASE",
                [name],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .map_err(wrong)?;
        let rowid = ["rowid", "_rowid_", "oid"].into_iter().find(|&name| !columns.contains(name));
        Ok(Self { view, columns, rowid: rowid.filter(|_| !view && !without_rowid) })
    }
}

/// The clients of a split, sorted, each with its number of examples.
fn clients(
    connection: &Connection,
    path: &Path,
    split: &str,
    metadata: &Table,
) -> Result<Vec<(Box<str>, usize)>, DataError> {
    let wrong = |error| from_sqlite(path, &error);
    let at_odds = |detail: String| DataError::corrupt(path, FORMAT, detail);
    // Counted in the rows themselves.
    let mut rows: HashMap<Box<str>, i64> = HashMap::new();
    let mut statement = connection
        .prepare(
            "SELECT client_id, COUNT(*) FROM examples WHERE split_name = ?1 GROUP BY client_id",
        )
        .map_err(wrong)?;
    let mut counted = statement.query([split]).map_err(wrong)?;
    while let Some(row) = counted.next().map_err(wrong)? {
        let id = client_id(row.get_ref(0).map_err(wrong)?)
            .map_err(|what| no_id(path, split, "examples", what))?;
        // A number and the same number as text are one id.
        *rows.entry(id).or_default() += row.get::<_, i64>(1).map_err(wrong)?;
    }

    // And promised by the metadata, where it says a number.
    let number = if metadata.columns.contains("num_examples") { "num_examples" } else { "NULL" };
    let mut statement = connection
        .prepare(&format!(
            "SELECT client_id, MIN({number}), MAX({number}) FROM client_metadata WHERE split_name \
             = ?1 GROUP BY client_id"
        ))
        .map_err(wrong)?;
    let mut clients: Vec<(Box<str>, usize)> = Vec::new();
    let mut listed = statement.query([split]).map_err(wrong)?;
    while let Some(row) = listed.next().map_err(wrong)? {
        let id = client_id(row.get_ref(0).map_err(wrong)?)
            .map_err(|what| no_id(path, split, "client_metadata", what))?;
        let there = rows.remove(&id).unwrap_or(0);
        for column in [1, 2] {
            let promised = match row.get_ref(column).map_err(wrong)? {
                ValueRef::Null => there,
                ValueRef::Integer(number) => number,
                _ => {
                    return Err(DataError::Unsupported {
                        path: path.to_owned(),
                        what: format!(
                            "client `{}` has no whole number of examples in `client_metadata`",
                            shown(&id)
                        ),
                        instead: "write a whole number, or NULL to have them counted".to_owned(),
                    });
                }
            };
            if promised < 0 || promised != there {
                return Err(at_odds(format!(
                    "client `{}` of `{split}` has {promised} examples in `client_metadata`, but \
                     {there} in `examples`",
                    shown(&id)
                )));
            }
        }
        clients.push((id, usize::try_from(there).unwrap_or(usize::MAX)));
    }
    if clients.is_empty() {
        return Err(no_split(connection, path, split));
    }
    if let Some(stranger) = rows.keys().min() {
        let some: i64 = rows.values().sum();
        return Err(at_odds(format!(
            "`examples` has {some} examples of {} clients of `{split}` that `client_metadata` does \
             not list, the first is `{}`: list them, or delete their examples",
            rows.len(),
            shown(stranger)
        )));
    }
    clients.sort();
    Ok(clients)
}

fn no_id(path: &Path, split: &str, table: &str, what: &str) -> DataError {
    DataError::Unsupported {
        path: path.to_owned(),
        what: format!("split `{split}` of `{table}` has a client whose id is {what}"),
        instead: "write ids as text or as whole numbers, or delete those rows".to_owned(),
    }
}

/// An id as text; what is wrong with it if it cannot be one.
fn client_id(value: ValueRef<'_>) -> Result<Box<str>, &'static str> {
    match value {
        ValueRef::Text(text) => {
            std::str::from_utf8(text).map(Box::from).map_err(|_| "text that is not UTF-8")
        }
        ValueRef::Integer(number) => Ok(number.to_string().into_boxed_str()),
        ValueRef::Null => Err("missing (NULL)"),
        ValueRef::Real(_) => Err("a number with a fraction"),
        ValueRef::Blob(_) => Err("bytes instead of text"),
    }
}

/// Reads every example of the splits, `total` in all, into `fillings`.
fn sweep(
    connection: &Connection,
    path: &Path,
    (names, table, total): (&[String; 2], &Table, u64),
    fillings: &mut [Filling; 2],
    progress: &mut dyn FnMut(Progress),
) -> Result<(), DataError> {
    let wrong = |error| from_sqlite(path, &error);
    let index: [HashMap<Box<str>, usize>; 2] = [0, 1].map(|split| {
        fillings[split].ids().iter().cloned().enumerate().map(|(index, id)| (id, index)).collect()
    });
    // NOT INDEXED: in the order of the file, which is also each client's order. A view gives its
    // rows in an order of its own.
    let not_indexed = if table.view { "" } else { "NOT INDEXED" };
    let (rowid, order) = match table.rowid {
        Some(rowid) => (rowid, format!("ORDER BY {rowid}")),
        None => ("NULL", String::new()),
    };
    let mut statement = connection
        .prepare(&format!(
            "SELECT {rowid}, split_name, client_id, serialized_example_proto FROM examples \
             {not_indexed} WHERE split_name IN (?1, ?2) {order}"
        ))
        .map_err(wrong)?;
    let mut rows = statement.query([&names[0], &names[1]]).map_err(wrong)?;
    let mut last = (0, 0);
    let mut done = 0;
    while let Some(row) = rows.next().map_err(wrong)? {
        done += 1;
        let rowid = row.get::<_, Option<i64>>(0).map_err(wrong)?.unwrap_or(done);
        let at = |detail: String| {
            DataError::corrupt(path, FORMAT, format!("row {rowid} of `examples`: {detail}"))
        };
        let form = |what: String| DataError::Unsupported {
            path: path.to_owned(),
            what: format!("row {rowid} of `examples`: {what}"),
            instead: "an example is a serialised tf.train.Example with `label`, one whole number, \
                      and `pixels`, 784 floats from 0 (ink) to 1 (paper)"
                .to_owned(),
        };
        let name = row.get_ref(1).map_err(wrong)?;
        let split = usize::from(name.as_str().map_err(|error| at(error.to_string()))? != names[0]);
        let value = row.get_ref(2).map_err(wrong)?;
        // Rows of a client mostly follow one another.
        let same = matches!(value, ValueRef::Text(text)
            if last.0 == split && fillings[split].ids()[last.1].as_bytes() == text);
        if !same {
            let id = client_id(value).map_err(|what| at(format!("its client's id is {what}")))?;
            let client = index[split].get(&id).copied();
            let unknown = || at(format!("its client `{}` was not listed before", shown(&id)));
            last = (split, client.ok_or_else(unknown)?);
        }
        let blob = row
            .get_ref(3)
            .map_err(wrong)?
            .as_blob()
            .map_err(|error| form(format!("it is not a blob ({error})")))?;
        let (label, pixels) = proto::decode(blob).map_err(|wrong| match wrong {
            Wrong::Damaged(detail) => at(detail),
            Wrong::Form(what) => form(what),
        })?;
        fillings[split].push(last.1, &[label], &pixels)?;
        if done % 4096 == 0 {
            progress(Progress {
                step: "reading examples",
                done: done.unsigned_abs(),
                total: Some(total),
            });
        }
    }
    Ok(())
}

/// The database says in its header how many pages it has: a truncated one is told at once.
fn check_length(path: &Path) -> Result<u64, DataError> {
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
    let wal = companion(path, Companion::WriteAheadLog).map_or(0, |file| file.len());
    Ok(length + wal)
}

fn no_split(connection: &Connection, path: &Path, split: &str) -> DataError {
    let found = connection
        .prepare("SELECT DISTINCT split_name FROM client_metadata ORDER BY split_name LIMIT 20")
        .and_then(|mut statement| {
            statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()
        })
        .unwrap_or_default();
    let found: Vec<_> = found.iter().map(|name| shown(name)).collect();
    let found = if found.is_empty() { "no split at all".to_owned() } else { found.join(", ") };
    DataError::NoSplit { path: path.to_owned(), split: split.to_owned(), found }
}

fn from_sqlite(path: &Path, error: &rusqlite::Error) -> DataError {
    let code = error.sqlite_error_code();
    match code {
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            let source = std::io::Error::other(error.to_string());
            DataError::Io { action: "open", path: path.to_owned(), source }
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            DataError::Changed { path: path.to_owned() }
        }
        _ => DataError::corrupt(path, FORMAT, shown(&error.to_string())),
    }
}
