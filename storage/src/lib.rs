//! Work in progress.
#![deny(unsafe_op_in_unsafe_fn)]

mod batch;
mod ids;
mod value;
mod view;

pub use batch::{Batch, Write};
pub use ids::TreeId;
pub use value::ValueRef;
pub use view::{Cursor, View};

mod error;
pub use error::Error;
/// What storage operations return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
