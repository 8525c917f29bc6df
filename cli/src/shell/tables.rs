//! Which partitions there are.

use super::{Failure, Shell};
use crate::exec::answer::Answer;
use crate::exec::request::Op;
use crate::render::Mode;
use crate::table::printable;
use llmdb::PartitionId;
use serde_json::json;

/// Keys that are counted of a partition; there may be more.
const KEYS_MAX: usize = 10_000;
/// Lines of a row.
const LINES: usize = 2;

impl Shell<'_> {
    /// Writes partitions, and how many keys they have.
    pub(super) fn tables(&mut self) -> std::result::Result<(), Failure> {
        let mut partitions = vec![(String::new(), PartitionId(0))];
        partitions.extend(self.db.partitions()?);
        let read = self.db.read();
        let mut rows = Vec::new();
        for (name, id) in partitions {
            let mut keys = 0;
            for row in read.scan(id, "")?.take(KEYS_MAX + 1) {
                self.stop.check()?;
                row?;
                keys += 1;
            }
            rows.push((name, id, keys));
        }
        drop(read);
        let text = if self.settings.mode == Mode::Table {
            let row = |(name, id, keys): (String, PartitionId, usize)| {
                let more = if keys > KEYS_MAX { "more than " } else { "" };
                [printable(&name), id.0.to_string(), format!("{more}{}", keys.min(KEYS_MAX))]
            };
            let rows = rows.into_iter().map(row);
            self.settings.screen().table(LINES, ["partition", "number", "keys now"], rows)
        } else {
            let row = |(name, id, keys): (String, PartitionId, usize)| {
                let more = keys > KEYS_MAX;
                json!({"partition": name, "number": id.0, "keys": keys.min(KEYS_MAX), "more": more})
            };
            crate::render::objects(
                rows.into_iter().map(row),
                self.settings.mode,
                self.settings.screen(),
            )
        };
        Ok(self.settings.print(&text)?)
    }

    /// The segments of a key, or all that was believed of it, to draw them.
    pub(super) fn ask(&mut self, op: Op) -> std::result::Result<Answer, Failure> {
        let request = crate::exec::request::Request { txn: None, op };
        Ok(self.session.execute(request)?)
    }
}
