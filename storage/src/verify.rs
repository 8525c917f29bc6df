//! Verification: every page that one version reaches is read again and judged.
//!
//! Checked are checksums (of the file's bytes, whether or not they were verified before), the
//! structure of each node, key order within and between nodes, levels, the bytes of long values,
//! that no page is reached twice, and that reachable + pending + free pages are all pages.

use crate::compress;
use crate::extent::Extents;
use crate::image::{OnProgress, Progress};
use crate::node::Node;
use crate::page;
use crate::pager::{Pager, Where};
use crate::reader::Reader;
use crate::roots::{Root, Roots};
use crate::space::Bitmap;
use crate::stream::ValueReader;
use crate::writer::{Sealed, Writer};
use crate::{Error, PageId, PageRef, TreeId, Version, meta, space_pages};
use std::fmt;
use std::sync::Arc;

/// What a verification found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Pages read and judged.
    pub pages: u64,
    /// Trees, the catalog included.
    pub trees: u64,
    /// Entries of all trees.
    pub entries: u64,
    /// What is wrong, at most [`VerifyReport::PROBLEMS_MAX`] findings.
    pub problems: Vec<Problem>,
}

impl VerifyReport {
    /// More findings than this are not listed.
    pub const PROBLEMS_MAX: usize = 1000;

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub page: PageId,
    /// What.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.page, self.what)
    }
}

/// A version that is held while it is judged, and what the writer knew of it: begun with the writer,
/// run without it.
#[derive(Debug)]
pub struct Verification {
    pager: Arc<Pager>,
    version: Version,
    roots: Roots,
    /// What is left of dropped trees.
    dropped: Vec<Root>,
    /// The pages that count as in use for this version.
    in_use: Bitmap,
    /// Those of them that hold the bitmaps of the newest meta page.
    space_pages: Vec<PageId>,
    page_count: u64,
}

impl Writer {
    /// Judges every page that the newest state reaches, while nothing else happens.
    pub fn verify(&self) -> VerifyReport {
        let roots = Roots(self.roots.as_slice().into());
        self.verification(self.version, roots).run(&mut |_| ())
    }

    /// Seals the newest state and holds it, pages and frames, until [`Writer::end_verify`]. No
    /// checkpoint is under way: its pages would be in use and reached by nothing.
    pub fn begin_verify(&mut self) -> (Verification, Sealed) {
        assert!(self.in_flight.is_none(), "no checkpoint is under way");
        let sealed = self.seal();
        self.judged.push(sealed.version);
        (self.verification(sealed.version, sealed.roots.clone()), sealed)
    }

    /// Lets go of a version that was judged.
    pub fn end_verify(&mut self, done: &Verification) {
        let at = self.judged.iter().position(|version| *version == done.version);
        self.judged.swap_remove(at.expect("a verification ends once"));
    }

    fn verification(&self, version: Version, roots: Roots) -> Verification {
        let pages = &self.space_pages;
        let space_pages = pages.bitmaps.iter().chain(&pages.directories);
        Verification {
            pager: self.pager.clone(),
            version,
            roots,
            dropped: self.catalog.parts.iter().collect(),
            in_use: self.space.in_use_at(version),
            space_pages: space_pages.map(|(page, _)| page.id).collect(),
            page_count: self.space.page_count(),
        }
    }
}

impl Verification {
    /// Judges every page of the version, while commits and checkpoints go on. Memory is bounded by
    /// one bit a page and the keys on the way to one leaf.
    pub fn run(&self, progress: OnProgress<'_>) -> VerifyReport {
        let mut walk = Walk {
            of: self,
            reached: Bitmap::new(space_pages::region_pages(self.pager.page_size)),
            report: VerifyReport::default(),
            total: self.in_use.count_ones(),
            steps: 0,
            progress,
        };
        for &(tree, root) in self.roots.0.iter().filter(|(_, root)| !root.is_none()) {
            walk.report.trees += 1;
            walk.tree(tree, root);
        }
        // Pages in use like others, of which nobody counts the entries any more.
        let entries = walk.report.entries;
        for &(tree, root) in &self.dropped {
            walk.tree(tree, root);
        }
        walk.report.entries = entries;
        walk.accounts();
        walk.report
    }

    fn reader(&self) -> Reader<'_> {
        // SAFETY: the version is held as long as this is run (`begin_verify`), or `run` is called
        // with the writer at hand, which is not used meanwhile (`Writer::verify`).
        unsafe { Reader::new(&self.pager, &self.roots) }
    }
}

/// Progress is told of after so many pages.
const STEP_PAGES: u64 = 64;

struct Walk<'w> {
    of: &'w Verification,
    reached: Bitmap,
    report: VerifyReport,
    total: u64,
    steps: u64,
    progress: OnProgress<'w>,
}

/// A node still to be judged: keys lie in `low..high`.
struct Todo {
    page: PageRef,
    level: Option<u8>,
    low: Vec<u8>,
    high: Option<Vec<u8>>,
    at: Where,
}

impl Walk<'_> {
    fn problem(&mut self, page: PageId, what: impl Into<String>) {
        if self.report.problems.len() < VerifyReport::PROBLEMS_MAX {
            self.report.problems.push(Problem { page, what: what.into() });
        }
    }

    /// Marks a page as reached; `false` if it was before, so that no loop goes round.
    fn reach(&mut self, page: PageId, pages: u64) -> bool {
        if page.0.saturating_add(pages) > self.of.page_count {
            self.problem(page, "a reference leads beyond the end of the file");
            return false;
        }
        let new = self.reached.set_run(page.0, pages);
        self.report.pages += new;
        if new != pages {
            self.problem(page, "it is reached twice");
        }
        new == pages
    }

    fn tree(&mut self, tree: TreeId, root: PageRef) {
        let low = Vec::new();
        let mut todo = vec![Todo { page: root, level: None, low, high: None, at: Where::Anywhere }];
        while let Some(next) = todo.pop() {
            let steps = self.report.pages / STEP_PAGES;
            if steps > self.steps {
                self.steps = steps;
                (self.progress)(Progress { done: self.report.pages, total: self.total });
            }
            if self.reach(next.page.id, 1) {
                match self.node(tree, next, &mut todo) {
                    Ok(()) => {}
                    Err((page, error)) => self.problem(page, error.to_string()),
                }
            }
        }
    }

    fn node(
        &mut self,
        tree: TreeId,
        next: Todo,
        todo: &mut Vec<Todo>,
    ) -> Result<(), (PageId, Error)> {
        let of = self.of;
        let (id, mut at) = (next.page.id, next.at);
        let fail = |error| (id, error);
        let reader: Reader<'_> = of.reader();
        let page = reader.page_anew(next.page, &mut at).map_err(fail)?;
        let node = Node::new(&page);
        node.validate(id).map_err(fail)?;
        if next.level.is_some_and(|level| level != node.level()) {
            self.problem(id, "it is not one level below its parent");
            return Ok(());
        }
        if page::tree(node.bytes()) != tree.0 {
            self.problem(id, "it belongs to another tree");
        }
        if page::birth(node.bytes()) > of.version.0 {
            self.problem(id, "it was born in a version that is still to come");
        }
        self.keys_in_bounds(node, &next);
        if node.is_leaf() {
            self.leaf(node, id);
            return Ok(());
        }
        for i in 0..node.count() {
            let key = |i: usize| {
                let mut key = Vec::new();
                node.key_into(i, &mut key);
                key
            };
            let low = if i == 0 { next.low.clone() } else { key(i) };
            let high = if i + 1 < node.count() { Some(key(i + 1)) } else { next.high.clone() };
            let level = Some(node.level() - 1);
            todo.push(Todo { page: node.child(i), level, low, high, at });
        }
        Ok(())
    }

    fn keys_in_bounds(&mut self, node: Node<'_>, bounds: &Todo) {
        let first = usize::from(!node.is_leaf());
        let mut key = Vec::new();
        for i in [first, node.count() - 1] {
            if i < first || i >= node.count() {
                continue;
            }
            node.key_into(i, &mut key);
            let high_enough = key >= bounds.low;
            let low_enough = bounds.high.as_ref().is_none_or(|high| key < *high);
            if !high_enough || !low_enough {
                self.problem(bounds.page.id, "its keys lie outside its parent's separators");
            }
        }
    }

    fn leaf(&mut self, leaf: Node<'_>, id: PageId) {
        self.report.entries += leaf.count() as u64;
        for i in 0..leaf.count() {
            let cell = leaf.cell(i);
            if !cell.form.is_in_extents() {
                if cell.form.is_packed()
                    && let Err(error) = compress::unpack_value(cell.body, id)
                {
                    self.problem(id, error.to_string());
                }
                continue;
            }
            match Extents::decode(cell.body, id, self.of.pager.page_size) {
                Ok((extents, _)) => {
                    let mut all_new = true;
                    for &(page, pages) in &extents.parts {
                        all_new &= self.reach(page, pages);
                    }
                    if all_new {
                        let first = extents.first();
                        let mut reader = ValueReader::new(&self.of.pager, extents);
                        let stored = match cell.form.is_packed() {
                            true => reader
                                .read_all()
                                .and_then(|stored| compress::unpack_value(&stored, id).map(drop)),
                            false => reader.check(),
                        };
                        if let Err(error) = stored {
                            self.problem(first, error.to_string());
                        }
                    }
                }
                Err(error) => self.problem(id, error.to_string()),
            }
        }
    }

    /// Reachable pages, the bitmaps' own and the meta slots are exactly the pages in use.
    fn accounts(&mut self) {
        let of = self.of;
        for slot in meta::slot_pages(of.pager.page_size) {
            self.reach(slot, 1);
        }
        for page in &of.space_pages {
            self.reach(*page, 1);
        }
        let in_use = &of.in_use;
        for page in in_use.difference(&self.reached).ones().collect::<Vec<_>>() {
            self.problem(PageId(page), "it counts as in use and nothing reaches it");
        }
        for page in self.reached.difference(in_use).ones().collect::<Vec<_>>() {
            self.problem(PageId(page), "it is reached and counts as free");
        }
    }
}
