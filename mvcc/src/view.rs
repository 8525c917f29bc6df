//! What one read of a transaction sees of others.

use crate::LeasedSnapshot;
use std::ops::Deref;

/// What one read of a transaction sees of others: the snapshot that the transaction keeps, or one
/// that was taken for this read alone.
#[derive(Debug)]
pub enum TxView<'t, 'e> {
    /// The transaction's.
    Kept(&'t LeasedSnapshot<'e>),
    /// This read's.
    Own(LeasedSnapshot<'e>),
}

impl<'e> Deref for TxView<'_, 'e> {
    type Target = LeasedSnapshot<'e>;

    fn deref(&self) -> &LeasedSnapshot<'e> {
        match self {
            TxView::Kept(snapshot) => snapshot,
            TxView::Own(snapshot) => snapshot,
        }
    }
}
