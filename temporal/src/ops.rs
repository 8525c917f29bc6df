//! The operations of one transaction by their numbers, wherever they are.

use crate::Op;

/// All operations of a transaction, or those of one key.
#[derive(Clone, Copy)]
pub(crate) struct Ops<'o> {
    ops: &'o [Op],
    /// Their numbers, ascending; without, they are numbered from `first` on.
    numbers: Option<&'o [u32]>,
    first: u32,
}

impl<'o> Ops<'o> {
    /// Operations numbered from `first` on.
    pub(crate) fn from(first: u32, ops: &'o [Op]) -> Self {
        Self { ops, numbers: None, first }
    }

    /// Some, each with its number.
    pub(crate) fn numbered(numbers: &'o [u32], ops: &'o [Op]) -> Self {
        assert_eq!(numbers.len(), ops.len(), "each has its number");
        Self { ops, numbers: Some(numbers), first: 0 }
    }

    pub(crate) fn get(&self, number: u32) -> &'o Op {
        let at = match self.numbers {
            None => (number - self.first) as usize,
            Some(numbers) => numbers.binary_search(&number).expect("only its own are asked for"),
        };
        &self.ops[at]
    }
}
