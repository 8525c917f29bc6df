//! From a call to the operation it means.

use crate::key::KeyRef;
use crate::{Error, PartitionId, Result, ValidTime, Value};
use llmdb_temporal::{Op, When};
use std::time::Duration;

/// The partition of the database's own records.
pub(crate) const META: PartitionId = PartitionId(u32::MAX);

/// From the key's own time, or now, with an open end.
pub(crate) fn open(key: KeyRef<'_>) -> When {
    key.valid_from.map_or(When::FromNow, When::From)
}

/// From the key's own time, or now, to exactly `to`.
pub(crate) fn until(key: KeyRef<'_>, to: ValidTime) -> When {
    key.valid_from.map_or(When::FromNowTo(to), |from| When::Range(from, to))
}

/// From the key's own time, or now, for as long as `ttl`.
///
/// # Errors
/// [`Error::BadTtl`], [`Error::TimeTooFine`], [`Error::TimeOutOfRange`]
pub(crate) fn lasting(key: KeyRef<'_>, ttl: Duration) -> Result<When> {
    if !ttl.subsec_nanos().is_multiple_of(1_000) {
        return Err(Error::TimeTooFine);
    }
    let ttl = i64::try_from(ttl.as_micros()).map_err(|_| Error::TimeOutOfRange)?;
    match key.valid_from {
        Some(from) => Ok(When::Range(from, from.after(ttl)?)),
        None if ttl == 0 => Err(Error::BadTtl { ttl }),
        None => Ok(When::FromNowFor(ttl)),
    }
}

/// A value over `when`.
pub(crate) fn put(key: KeyRef<'_>, value: Value, when: When) -> Result<Op> {
    Ok(Op::put(partition(key)?, key.user_key, value.encode()?, when))
}

/// An absence over `when`.
pub(crate) fn absent(key: KeyRef<'_>, when: When) -> Result<Op> {
    Ok(Op::absent(partition(key)?, key.user_key, when))
}

pub(crate) fn partition(key: KeyRef<'_>) -> Result<PartitionId> {
    match key.partition {
        META => Err(Error::ReservedPartition { partition: META }),
        partition => Ok(partition),
    }
}

/// The writes that the database, a transaction and a noted write have in common.
macro_rules! writes {
    (impl $type:ty, [$($mut:tt)?] -> $done:ty) => {
        impl $type {
            /// From now on the key has `value`, up to the next boundary of the key that is known
            /// already.
            ///
            /// # Errors
            /// [`Error::EmptyKey`](crate::Error::EmptyKey),
            /// [`Error::KeyTooLong`](crate::Error::KeyTooLong),
            /// [`Error::ValueTooLong`](crate::Error::ValueTooLong) and
            /// [`Error::BadValue`](crate::Error::BadValue) leave everything as it was, as do the
            /// failures of a commit: see [`Error`](crate::Error).
            pub fn put(
                &$($mut)? self,
                key: impl $crate::AsKey,
                value: impl Into<$crate::Value>,
            ) -> $crate::Result<$done> {
                let key = key.as_key();
                self.push($crate::op::put(key, value.into(), $crate::op::open(key))?)
            }

            /// From `valid_from` on the key has `value`, up to the next boundary of the key at
            /// which what holds changes: a late fact never wipes out what is known to come after
            /// it.
            ///
            /// # Errors
            /// Those of `put`, and [`Error::EmptyInterval`](crate::Error::EmptyInterval) where
            /// `valid_from` is infinity.
            pub fn put_at(
                &$($mut)? self,
                key: impl $crate::AsKey,
                value: impl Into<$crate::Value>,
                valid_from: $crate::ValidTime,
            ) -> $crate::Result<$done> {
                let when = llmdb_temporal::When::From(valid_from);
                self.push($crate::op::put(key.as_key(), value.into(), when)?)
            }

            /// Over exactly `[valid_from, valid_to)` the key has `value`.
            ///
            /// # Errors
            /// Those of `put`, and [`Error::EmptyInterval`](crate::Error::EmptyInterval).
            pub fn put_range(
                &$($mut)? self,
                key: impl $crate::AsKey,
                value: impl Into<$crate::Value>,
                valid_from: $crate::ValidTime,
                valid_to: $crate::ValidTime,
            ) -> $crate::Result<$done> {
                let when = llmdb_temporal::When::Range(valid_from, valid_to);
                self.push($crate::op::put(key.as_key(), value.into(), when)?)
            }

            /// From now to exactly `valid_to` the key has `value`.
            ///
            /// # Errors
            /// Those of `put_range`.
            pub fn put_until(
                &$($mut)? self,
                key: impl $crate::AsKey,
                value: impl Into<$crate::Value>,
                valid_to: $crate::ValidTime,
            ) -> $crate::Result<$done> {
                let key = key.as_key();
                self.push($crate::op::put(key, value.into(), $crate::op::until(key, valid_to))?)
            }

            /// From now, and for exactly as long as `ttl`, the key has `value`: a fact that ends by
            /// itself, over `[now, now + ttl)`. What was known to hold behind that holds again
            /// then. With the logical clock a microsecond of `ttl` is one transaction.
            ///
            /// # Errors
            /// Those of `put`; [`Error::BadTtl`](crate::Error::BadTtl) where `ttl` is zero,
            /// [`Error::TimeTooFine`](crate::Error::TimeTooFine) where it is finer than a
            /// microsecond, [`Error::TimeOutOfRange`](crate::Error::TimeOutOfRange) where it ends
            /// beyond time.
            pub fn put_for(
                &$($mut)? self,
                key: impl $crate::AsKey,
                value: impl Into<$crate::Value>,
                ttl: std::time::Duration,
            ) -> $crate::Result<$done> {
                let key = key.as_key();
                self.push($crate::op::put(key, value.into(), $crate::op::lasting(key, ttl)?)?)
            }

            /// From now on the key has no value, up to its next known boundary.
            ///
            /// # Errors
            /// Those of `put`.
            pub fn end(&$($mut)? self, key: impl $crate::AsKey) -> $crate::Result<$done> {
                let key = key.as_key();
                self.push($crate::op::absent(key, $crate::op::open(key))?)
            }

            /// From `valid_from` on the key has no value, up to its next boundary.
            ///
            /// # Errors
            /// Those of `put_at`.
            pub fn end_at(
                &$($mut)? self,
                key: impl $crate::AsKey,
                valid_from: $crate::ValidTime,
            ) -> $crate::Result<$done> {
                let when = llmdb_temporal::When::From(valid_from);
                self.push($crate::op::absent(key.as_key(), when)?)
            }

            /// From now to infinity the key has no value, whatever was known to come. The past
            /// stays.
            ///
            /// # Errors
            /// Those of `put`.
            pub fn delete(&$($mut)? self, key: impl $crate::AsKey) -> $crate::Result<$done> {
                self.delete_until(key, $crate::ValidTime::INFINITY)
            }

            /// From now to exactly `valid_to` the key has no value.
            ///
            /// # Errors
            /// Those of `put_range`.
            pub fn delete_until(
                &$($mut)? self,
                key: impl $crate::AsKey,
                valid_to: $crate::ValidTime,
            ) -> $crate::Result<$done> {
                let key = key.as_key();
                self.push($crate::op::absent(key, $crate::op::until(key, valid_to))?)
            }

            /// Over exactly `[valid_from, valid_to)` the key has no value.
            ///
            /// # Errors
            /// Those of `put_range`.
            pub fn delete_range(
                &$($mut)? self,
                key: impl $crate::AsKey,
                valid_from: $crate::ValidTime,
                valid_to: $crate::ValidTime,
            ) -> $crate::Result<$done> {
                let when = llmdb_temporal::When::Range(valid_from, valid_to);
                self.push($crate::op::absent(key.as_key(), when)?)
            }
        }
    };
}

pub(crate) use writes;
