//! The file of an LLMDB database: pages, page cache, free space, copy-on-write B+trees, meta pages.
//!
//! One [`Writer`] edits; any number of [`Reader`]s see the version that they pinned, unchanged.
//! When a version may be seen, and when nobody sees it any more, is decided one level up.
//!
//! ```
//! use llmdb_storage::{Batch, StoreOptions, View, create, open};
//! use llmdb_vfs::{MemVfs, Vfs};
//! use std::{path::Path, sync::Arc};
//!
//! let vfs: Arc<dyn Vfs> = Arc::new(MemVfs::new());
//! let path = Path::new("/memory.llmdb");
//! create(&vfs, path, &StoreOptions::default())?;
//! let mut opened = open(&vfs, path, &StoreOptions::default())?;
//! let notes = opened.writer.create_tree("notes");
//!
//! let mut batch = Batch::new();
//! batch.put(notes, b"2024-01-01", b"started");
//! batch.sort();
//! opened.writer.apply(&batch)?;
//! assert_eq!(&*opened.writer.reader().get(notes, b"2024-01-01")?.unwrap(), b"started");
//!
//! let checkpoint = opened.writer.begin_checkpoint(opened.mark)?;
//! checkpoint.write(&opened.pager).and_then(|_| checkpoint.commit(&opened.pager)).unwrap();
//! opened.writer.finish_checkpoint(checkpoint);
//! # Ok::<(), llmdb_storage::Error>(())
//! ```
//!
//! # Modules, in reading order
//!
//! - `ids`, [`View`] and [`Cursor`], [`Batch`]: the words of the crate's interface
//! - `page`: the header and checksum of every page; `node`: leaves and branches, searched and
//!   edited in place; `extent`: long values; `meta`: the slots from which all is found
//! - [`Entry`], [`ValueReader`]: values without reading all of them; `long`: values written ahead
//!   of the write that names them
//! - `frames`: the write-back cache's memory and the page table; `source`, `pager`: where a page's
//!   bytes are; `cache`, `pin`: pages read into memory of a fixed size, and what keeps them there
//! - `reader`, `cursor`, `read_ahead`: reading a version
//! - `writer`: the owner of all that changes; `apply`: what it applies; `edit`, `entries`, `split`,
//!   `spread`, `merge`, `trend`: changing a tree; `catalog`, `roots`: the trees by name and by number;
//!   `dropped`: giving back the pages of those that were dropped
//! - [`Budget`]: memory, whoever uses it; `spill`: room for frames; `undo`: taking a batch back
//! - `space`: free pages in memory; `space_pages`: the same in the file
//! - `checkpoint`, `store`, `verify`: making it durable, opening it, judging it
//! - `survey`, [`Filling`], `bulk`: how a tree is made up; a new file that is filled; copying trees
//! - `salvage`: what a damaged file still holds, found by its trees and by searching for leaves
//! - `image`, `increment`, `restore`: copies of a checkpoint, of what changed since another, and back
//!
//! - [`Runs`]: writes beyond memory, in a file of their own
//! - `compress`, `packed_page`: values and leaves made smaller, where a tree wants that
//! - `separators`, `wipe`: leaving nothing of what is gone, where that is asked for
//!
//! # Invariants
//!
//! - **I1** A write to the file only touches pages outside of what every live root reaches. Live
//!   roots are those of snapshots, of published and sealed versions, and of retained meta pages.
//! - **I2** Before meta page g+1 is written, the log is durable up to its LSN and all pages and
//!   bitmaps that it reaches are durable, as is the file's length.
//! - **I3** Metas g and g+1 are both retained: the pages of g stay until g+2 is durable. Page table
//!   entries are cleared only after g+1 is durable. A clean close marks every slot before the log
//!   goes.
//! - **I4** A failed page write abandons a checkpoint, which can be tried again. A failed sync or
//!   meta write poisons the writer for good: a sync is never repeated, readers go on.
//! - **I5** A page is edited only while it was born in the version being made and is in a frame; a
//!   sealed version never changes, and a page that was spilled is only copied.
//! - **I6** Below a page that is read from the file, all is read from the file: pages are spilled
//!   with all changed pages below them, their bytes before their table entries.
//! - **I7** A batch is applied whole or not at all. What fails half-way goes back to the roots
//!   before it; where that cannot be, the writer is poisoned.
//! - **I8** Frames are taken from the budget before they are used; it is never exceeded.
//! - **I9** A page of a dropped tree is below exactly one of the parts that the catalog has, or was
//!   dropped itself.
//!
//! # Not here
//!
//! No log, no transactions, no locks between threads, no time: `llmdb-wal`, `llmdb-mvcc` and
//! `llmdb-temporal` have these.

#![deny(unsafe_code)]

mod apply;
mod batch;
mod budget;
mod bulk;
#[allow(unsafe_code, reason = "frames of the page cache are read under a pin, filled under a lock")]
mod cache;
mod catalog;
#[allow(unsafe_code, reason = "frames in flight are read while commits go on")]
mod checkpoint;
mod compress;
mod cursor;
mod dropped;
#[allow(unsafe_code, reason = "the writer edits frames that no reader can reach")]
mod edit;
mod entries;
#[allow(unsafe_code, reason = "long values are borrowed under the pin that was promised")]
mod entry;
mod error;
#[allow(unsafe_code, reason = "long values are borrowed from the map")]
mod extent;
mod filling;
#[allow(unsafe_code, reason = "frame memory, page table and map")]
mod frames;
mod ids;
mod image;
#[allow(unsafe_code, reason = "pages of a held image are read")]
mod increment;
mod long;
mod merge;
mod meta;
mod node;
mod packed_page;
mod page;
mod page_writes;
#[allow(unsafe_code, reason = "pages are borrowed from frames and map")]
mod pager;
mod pin;
mod read_ahead;
#[allow(unsafe_code, reason = "a reader rests on its pin")]
mod reader;
#[cfg(feature = "faults")]
mod refusals;
#[allow(unsafe_code, reason = "values are read by the writer that moves them")]
mod relocate;
mod restore;
mod roots;
mod runs;
mod salvage;
mod separators;
mod source;
#[allow(
    dead_code,
    unused_imports,
    reason = "what shrinking and statistics ask is modelled already"
)]
mod space;
mod space_pages;
#[allow(unsafe_code, reason = "frames are read by their writer")]
mod spill;
#[allow(unsafe_code, reason = "both halves of a split are new frames")]
mod split;
mod spread;
#[allow(unsafe_code, reason = "the catalog of a file just opened is read")]
mod store;
mod stream;
mod survey;
mod trend;
mod undo;
mod value;
#[allow(unsafe_code, reason = "a version that is held is read")]
mod verify;
mod view;
mod wipe;
#[allow(unsafe_code, reason = "the newest state is read by its owner")]
mod writer;

pub use apply::{BatchSource, WriteSource};
pub use batch::{Batch, NewValue, Write};
pub use budget::{Budget, MemoryStats, MemoryUse};
pub use bulk::{copy_tree, copy_trees};
pub use cache::PageCacheUse;
pub use checkpoint::{Checkpoint, CheckpointError, CheckpointReport, CommitMark};
pub use compress::{Compression, TreeOptions};
pub use cursor::TreeCursor;
pub use entry::{Entry, LongValue};
pub use error::Error;
pub use filling::Filling;
pub use ids::{PageId, PageRef, TreeId, Version};
pub use image::{BackupReport, Image, OnProgress, Progress, copy_image};
pub use increment::copy_changes;
pub use long::{LongWriter, REFERENCE_BYTES_MIN, Reference, Reserve};
pub use page::Kind as PageKind;
pub use pager::Pager;
pub use pin::Pinned;
pub use reader::Reader;
#[cfg(feature = "faults")]
pub use refusals::Refusals;
pub use relocate::Relocation;
pub use restore::Restoring;
pub use roots::Roots;
pub use runs::{MakeFile, Merge, Newest, Runs};
pub use salvage::{LostRange, Salvage, SalvageReport, TreeSalvage};
pub use source::PageSource;
pub use space::{Reservation, RunId};
pub use store::{Opened, StoreOptions, create, open};
pub use stream::ValueReader;
pub use survey::TreeSurvey;
pub use value::ValueRef;
pub use verify::{Problem, Verification, VerifyReport};
pub use view::{Cursor, View};
pub use wipe::{Stale, Wipe};
pub use writer::{Sealed, SpaceUse, Writer};

/// What storage operations return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
