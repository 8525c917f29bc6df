//! Surveys: how a tree is made up, counted page by page.

use crate::extent::Extents;
use crate::node::Node;
use crate::page;
use crate::pager::Where;
use crate::reader::Reader;
use crate::space::Bitmap;
use crate::{Error, PageRef, Result, TreeId, space_pages};

/// How a tree is made up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct TreeSurvey {
    /// Entries.
    pub entries: u64,
    /// Levels, the leaves included; 0 for an empty tree.
    pub depth: u64,
    /// Pages that lead to others.
    pub branch_pages: u64,
    /// Pages that hold entries.
    pub leaf_pages: u64,
    /// Bytes of these pages in use, headers included.
    pub used_bytes: u64,
    /// Values with pages of their own.
    pub long_values: u64,
    /// Their pages.
    pub long_value_pages: u64,
    /// Their bytes.
    pub long_value_bytes: u64,
}

impl Reader<'_> {
    /// Counts what `tree` is made up of. Reads all of its pages but those of long values.
    ///
    /// # Errors
    /// Damage; the file system's.
    pub fn survey(&self, tree: TreeId) -> Result<TreeSurvey> {
        let mut survey = TreeSurvey::default();
        let root = self.root(tree);
        if root.is_none() {
            return Ok(survey);
        }
        let page_size = self.pager().page_size;
        let mut seen = Bitmap::new(space_pages::region_pages(page_size));
        let mut todo: Vec<(PageRef, Option<u8>, Where)> = vec![(root, None, Where::Anywhere)];
        while let Some((page_ref, level, mut at)) = todo.pop() {
            let page = self.page(page_ref, &mut at)?;
            let node = Node::new(&page);
            // Levels fall by one with each step down, so nothing goes round; but pages that many
            // lead to would be counted many times over.
            if !seen.set(page_ref.id.0) {
                return Err(Error::corrupt(page_ref.id, "it is reached twice"));
            }
            if level.is_some_and(|level| level != node.level()) {
                return Err(Error::corrupt(page_ref.id, "it is not one level below its parent"));
            }
            survey.depth = survey.depth.max(u64::from(node.level()) + 1);
            survey.used_bytes += (page::HEADER + node.used()) as u64;
            if !node.is_leaf() {
                survey.branch_pages += 1;
                let below = node.level() - 1;
                todo.extend((0..node.count()).map(|i| (node.child(i), Some(below), at)));
                continue;
            }
            survey.leaf_pages += 1;
            survey.entries += node.count() as u64;
            for cell in
                (0..node.count()).map(|i| node.cell(i)).filter(|cell| cell.form.is_in_extents())
            {
                let (extents, _) = Extents::decode(cell.body, page_ref.id, page_size)?;
                survey.long_values += 1;
                survey.long_value_bytes += u64::from(extents.len);
                survey.long_value_pages += extents.parts.iter().map(|part| part.1).sum::<u64>();
            }
        }
        Ok(survey)
    }
}
