//! Values from files and into files, piece by piece: of any length, in little memory.

use crate::args;
use crate::commands::{EXIT_NOTHING, bytes, partition, point, show_answer};
use crate::error::{Error, Result};
use crate::exec::answer::Answer;
use crate::exec::session::resolve;
use crate::input::Input;
use crate::progress;
use crate::stop::Stop;
use crate::write::{partition_to_read, partition_to_write};
use llmdb::{Db, Isolation, Key, TxTime};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How much is moved at once.
const PIECE_BYTES: usize = 64 << 10;

/// `llmdb put --file`
///
/// # Errors
/// Those of reading the file and of writing the value; the key keeps what it has.
pub fn put(args: &args::Put, file: &Path) -> Result<ExitCode> {
    let (mut source, len, stop): (Box<dyn Read>, _, _) = if file == Path::new("-") {
        let (input, stop) = Input::stdin()?;
        (Box::new(input), None, stop)
    } else {
        let stop = Stop::on_signals(|| {})?;
        let failed = |cause| Error::Read { path: file.to_owned(), cause };
        let opened = File::open(file).map_err(failed)?;
        let meta = opened.metadata().map_err(failed)?;
        (Box::new(opened), meta.is_file().then_some(meta.len()), stop)
    };
    let db = args.open.or_create()?;
    let tx = put_from(&db, args, &mut *source, file, len, &stop);
    let closed = db.close().map_err(Error::from);
    let tx = tx?;
    closed?;
    show_answer(Answer::Committed(tx), args.output)?;
    Ok(ExitCode::SUCCESS)
}

fn put_from(
    db: &Db,
    args: &args::Put,
    source: &mut dyn Read,
    file: &Path,
    len: Option<u64>,
    stop: &Stop,
) -> Result<Option<TxTime>> {
    let partition = partition_to_write(db, &partition(&args.keys.partition))?;
    let mut key = Key::new(partition, bytes(&args.key, &args.keys)?);
    if let Some(from) = args.valid_from {
        key = key.valid_from(from);
    }
    // It reads nothing, so it conflicts with nobody.
    let mut tx = db.begin_with(Isolation::Serializable)?;
    if let Some(note) = args.note.clone() {
        tx.note(crate::commands::json_or_text(note))?;
    }
    let mut value = match args.valid_to {
        Some(to) => tx.value_writer_until(key, len, to)?,
        None => tx.value_writer(key, len)?,
    };
    let bar = progress::bytes(len);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        stop.check()?;
        let read = match source.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(cause) => {
                stop.check()?;
                return Err(Error::Read { path: file.to_owned(), cause });
            }
        };
        value.push(&piece[..read])?;
        bar.inc(read as u64);
    }
    value.finish()?;
    bar.finish_and_clear();
    Ok(tx.commit()?)
}

/// `llmdb get --out`
///
/// # Errors
/// Damage; those of writing. A file that was there is replaced only by a whole value.
pub fn get(args: &args::Get, out: &Path) -> Result<ExitCode> {
    let stop = Stop::on_signals(|| {})?;
    let db = args.open.existing()?;
    let found = get_into(&db, args, out, &stop);
    let closed = db.close().map_err(Error::from);
    let found = found?;
    closed?;
    Ok(if found { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NOTHING) })
}

fn get_into(db: &Db, args: &args::Get, out: &Path, stop: &Stop) -> Result<bool> {
    let partition = partition_to_read(db, &partition(&args.keys.partition))?;
    let key = Key::new(partition, bytes(&args.key, &args.keys)?);
    let read = db.read();
    let at = resolve(&point(&args.at), &read)?;
    let view = read.as_of_valid(at.valid).as_of_transaction(at.tx);
    let Some(mut value) = view.value_reader(key)? else { return Ok(false) };
    if out == Path::new("-") {
        let mut stdout = io::stdout().lock();
        copy(&mut value, &mut stdout, Path::new("stdout"), stop)?;
        return Ok(true);
    }
    // A value that cannot be read whole leaves what was there.
    let special = std::fs::metadata(out).is_ok_and(|meta| !meta.is_file());
    let mut partial = out.as_os_str().to_owned();
    partial.push(".partial");
    let to = if special { out.to_owned() } else { PathBuf::from(partial) };
    let failed = |cause| Error::Write { path: out.to_owned(), cause };
    let mut file = File::create(&to).map_err(failed)?;
    let copied = copy(&mut value, &mut file, out, stop);
    if special {
        return copied.map(|()| true);
    }
    let done = copied.and_then(|()| std::fs::rename(&to, out).map_err(failed));
    if done.is_err() {
        // Whatever becomes of it: the error says what went wrong.
        let _ = std::fs::remove_file(&to);
    }
    done.map(|()| true)
}

fn copy(
    value: &mut llmdb::ValueReader<'_>,
    to: &mut dyn Write,
    path: &Path,
    stop: &Stop,
) -> Result<()> {
    let failed = |cause| Error::Write { path: path.to_owned(), cause };
    let bar = progress::bytes(Some(value.len()));
    let (mut piece, mut at) = (vec![0; PIECE_BYTES], 0);
    loop {
        stop.check()?;
        let read = value.read_at(&mut piece, at)?;
        if read == 0 {
            break;
        }
        to.write_all(&piece[..read]).map_err(failed)?;
        at += read as u64;
        bar.inc(read as u64);
    }
    bar.finish_and_clear();
    to.flush().map_err(failed)
}
