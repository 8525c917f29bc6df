//! Bugs on purpose: what measures the tests.
//!
//! [`planted!`](crate::planted!) stands where a bug could be made, with the bug's name: it is `true`
//! where that bug is alive. In a build without `--cfg planted` it is the constant `false`, so
//! nothing that ships has any of them. In a build with it, at most one is alive in a
//! process: the one that the environment variable [`VARIABLE`] names.
//!
//! ```text
//! if !planted!("pages_not_synced") {
//!     file.sync_data()?;
//! }
//! ```

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that names the bug that is alive.
pub const VARIABLE: &str = "LLMDB_PLANTED";

/// A bug that can be alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bug {
    /// The crate that it is in.
    pub layer: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What is wrong while it is alive.
    pub what: &'static str,
}

/// Whether the planted bug of this name is alive. A name that is not one of
/// [`BUGS`](crate::planted::BUGS) does not compile.
#[macro_export]
macro_rules! planted {
    ($name:literal) => {
        $crate::planted::is_alive(const { $crate::planted::number_of($name) })
    };
}

/// Whether this build has them.
pub const fn is_built_in() -> bool {
    cfg!(planted)
}

/// The place in [`BUGS`] of the bug of this name.
///
/// # Panics
/// If there is none: where it is asked at compile time, that is an error of the compiler.
pub const fn number_of(name: &str) -> usize {
    let mut number = 0;
    while number < BUGS.len() {
        if is_same(BUGS[number].name.as_bytes(), name.as_bytes()) {
            return number;
        }
        number += 1;
    }
    panic!("no bug of that name is listed");
}

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

/// How often the place of the living bug was come to: one that never is proves nothing.
pub fn reached() -> u64 {
    REACHED.load(Ordering::Relaxed)
}

/// Relaxed: it is read when all is done.
static REACHED: AtomicU64 = AtomicU64::new(0);

/// Whether the bug of this number is alive; see [`planted!`](crate::planted!).
#[inline(always)]
pub fn is_alive(number: usize) -> bool {
    cfg!(planted) && is_chosen(number)
}

fn is_chosen(number: usize) -> bool {
    static CHOSEN: OnceLock<Option<usize>> = OnceLock::new();
    let chosen = *CHOSEN.get_or_init(|| {
        let name = std::env::var(VARIABLE).ok()?;
        let number = BUGS.iter().position(|bug| bug.name == name);
        Some(number.unwrap_or_else(|| panic!("{VARIABLE}={name} names no planted bug")))
    });
    let is_chosen = chosen == Some(number);
    if is_chosen {
        REACHED.fetch_add(1, Ordering::Relaxed);
    }
    is_chosen
}

const fn bug(layer: &'static str, name: &'static str, what: &'static str) -> Bug {
    Bug { layer, name, what }
}

/// All of them.
pub const BUGS: &[Bug] = &[
    bug("wal", "log_not_synced", "what is appended is called durable, and never synced"),
    bug(
        "wal",
        "only_newest_segment_synced",
        "a sync of what lies in two segments syncs the newer one",
    ),
    bug(
        "wal",
        "frames_claim_too_much",
        "a frame says that all before it is durable, synced or not",
    ),
    bug(
        "wal",
        "segment_name_not_synced",
        "a segment gets its name, and the directory is not synced",
    ),
    bug("wal", "segment_header_not_synced", "a segment gets its name before its header is durable"),
    bug("wal", "payload_checksum_ignored", "a frame is believed whatever its payload"),
    bug("wal", "rest_of_log_dropped", "recovery ends with the first segment"),
    bug("wal", "torn_end_refused", "a log with a torn end is called damaged"),
    bug(
        "wal",
        "damage_taken_for_torn_end",
        "what was durable and cannot be read is cut off like a torn end",
    ),
    bug(
        "wal",
        "half_a_commit_replayed",
        "the first frame of a commit is replayed without the others",
    ),
    bug(
        "wal",
        "values_not_synced_before_the_log",
        "a record is durable before the value that it names",
    ),
    bug("wal", "failed_sync_repeated", "a failed sync is tried again, and believed"),
    bug(
        "wal",
        "recovered_end_not_copied",
        "recovery goes on behind the old end, and copies nothing",
    ),
    bug("wal", "frame_position_ignored", "a frame is believed wherever it lies"),
    bug(
        "wal",
        "spares_reused_too_early",
        "a file of the log is used again before its old name is gone for good",
    ),
    bug(
        "storage",
        "pages_not_synced",
        "a meta page is written before the pages that it leads to are durable",
    ),
    bug(
        "storage",
        "meta_not_synced",
        "a checkpoint counts as done before its meta page is durable",
    ),
    bug(
        "storage",
        "rewritten_meta_not_synced",
        "a meta page that is written again counts before it is durable",
    ),
    bug(
        "storage",
        "one_generation_retained",
        "pages of the older meta page are used again at once",
    ),
    bug(
        "storage",
        "retained_pages_reused",
        "pages that the newest meta page leads to are used again",
    ),
    bug("storage", "snapshot_pages_reused", "pages that an older snapshot looks at are used again"),
    bug(
        "storage",
        "dropped_pages_leak",
        "a page that was made and dropped within one version is never free again",
    ),
    bug(
        "storage",
        "extents_leak",
        "the pages of a value that is overwritten or deleted are never free again",
    ),
    bug(
        "storage",
        "extents_freed_at_once",
        "the pages of a value are used again while the log names them",
    ),
    bug("storage", "abandoned_values_leak", "a value that comes to nothing keeps its pages"),
    bug(
        "storage",
        "replaced_bitmaps_leak",
        "bitmap pages of the meta page before are never free again",
    ),
    bug("storage", "page_checksum_ignored", "a page is believed whatever its checksum"),
    bug("storage", "page_stamp_ignored", "a page is believed whatever moment it is of"),
    bug("storage", "value_checksum_ignored", "a value in extents is believed whatever its bytes"),
    bug("storage", "meta_checksum_ignored", "a meta page is believed whatever its bytes"),
    bug("storage", "stale_root_in_catalog", "a checkpoint leaves one tree at the root that it had"),
    bug(
        "storage",
        "spread_loses_an_entry",
        "of two leaves that share their entries the second lacks its first one",
    ),
    bug("storage", "separator_too_far_right", "a split is led to by a key behind its first one"),
    bug(
        "storage",
        "merged_page_leaks",
        "the page that was merged into its sibling is never free again",
    ),
    bug(
        "storage",
        "undone_pages_leak",
        "pages of a commit that is taken back are never free again",
    ),
    bug(
        "mvcc",
        "file_cut_too_early",
        "the file is cut while the older meta page reaches what is cut off",
    ),
    bug(
        "mvcc",
        "checkpoint_before_the_log",
        "a meta page is written before the log is durable up to it",
    ),
    bug(
        "mvcc",
        "log_given_up_too_early",
        "the log that leads on from the older meta page is given up",
    ),
    bug(
        "mvcc",
        "log_given_up_before_the_meta",
        "the log is given up before the meta page that needs none of it",
    ),
    bug(
        "mvcc",
        "published_before_durable",
        "a commit is visible, and acknowledged, before the log is synced",
    ),
    bug("mvcc", "acknowledged_before_durable", "a commit waits for no sync"),
    bug("mvcc", "unlogged_commits_not_settled", "a commit is logged behind one that no log holds"),
    bug(
        "mvcc",
        "unlogged_commits_in_one_meta",
        "after commits that no log holds the older meta page stays as it was",
    ),
    bug(
        "mvcc",
        "log_declared_in_one_meta",
        "of the meta pages one alone says that the log is needed",
    ),
    bug(
        "mvcc",
        "recovery_declared_in_one_meta",
        "after a recovery one meta page alone names the new log",
    ),
    bug(
        "mvcc",
        "log_removed_before_the_mark",
        "closing removes the log before the file says that it needs none",
    ),
    bug(
        "mvcc",
        "missing_values_not_looked_for",
        "recovery believes a record whose value did not reach the file",
    ),
    bug("mvcc", "recovered_values_not_synced", "recovery relies on values that may not be durable"),
    bug("mvcc", "new_trees_not_logged", "a tree is made, and the log does not say so"),
    bug(
        "mvcc",
        "conflicts_not_looked_for",
        "of two transactions that write the same key both commit",
    ),
    bug("mvcc", "savepoints_forget_nothing", "rolling back to a savepoint takes nothing back"),
    bug("mvcc", "meta_failure_forgotten", "after a failed write of a meta page writing goes on"),
    bug("mvcc", "a_commit_not_replayed", "recovery leaves out every eighth commit"),
    bug(
        "mvcc",
        "end_of_spilled_writes_lost",
        "of a transaction that spilled, what came last is left out",
    ),
    bug(
        "temporal",
        "remainder_dropped",
        "what lies behind a change of a part of a segment is forgotten",
    ),
    bug("temporal", "stale_head_kept", "the head of a key that ends goes on showing what was"),
    bug(
        "temporal",
        "closed_rectangle_lost",
        "what was believed is forgotten when it is not believed any more",
    ),
    bug(
        "temporal",
        "closed_rectangle_stays_open",
        "a segment that is not believed any more is still among the open ones",
    ),
    bug(
        "temporal",
        "old_value_lost",
        "the value that the head showed is not kept when it moves on",
    ),
    bug("temporal", "change_not_listed", "an event is missing from the list of changes"),
    bug(
        "temporal",
        "as_of_misses_the_moment",
        "AS OF the very transaction that closed a belief still gives it",
    ),
    bug("temporal", "fork_of_the_end", "a closed rectangle hangs at the wrong place"),
    bug("temporal", "erased_past_stays", "erasing leaves what was believed before"),
    bug("temporal", "pins_ignored", "retiring gives up moments that were pinned"),
    bug("temporal", "sweep_takes_too_much", "retiring takes out what a kept moment still asks for"),
    bug(
        "temporal",
        "retired_moments_answered",
        "what was given up is answered as if it had been kept",
    ),
    bug("temporal", "deltas_lose_their_base", "a value goes that another one is coded against"),
    bug(
        "temporal",
        "rest_of_own_write_lost",
        "a write is cut off where another one of its transaction lies within",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_has_a_name_of_its_own_and_none_is_alive_here() {
        let names: BTreeSet<&str> = BUGS.iter().map(|bug| bug.name).collect();
        assert_eq!(names.len(), BUGS.len());
        for (number, bug) in BUGS.iter().enumerate() {
            assert_eq!(number_of(bug.name), number);
            assert!(!is_alive(number), "{}", bug.name);
        }
    }
}
