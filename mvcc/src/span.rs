//! Spans of `tracing` around what takes long, with the feature of that name; nothing without it.

/// A span of a name, until the end of the block.
#[cfg(feature = "tracing")]
macro_rules! span {
    ($name:literal) => {
        let _span = tracing::info_span!(target: "llmdb", $name).entered();
    };
}

/// Nothing.
#[cfg(not(feature = "tracing"))]
macro_rules! span {
    ($name:literal) => {};
}

pub(crate) use span;
