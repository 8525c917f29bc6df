//! The table of codes: each variant of [`Error`], its code and its class, once.

use super::Error;

/// What kind of thing can be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorClass {
    /// Ask for something else: the call itself is wrong.
    Validation,
    /// Say who you are, or ask for less.
    Auth,
    /// What was named is not there.
    NotFound,
    /// Run the transaction again.
    Conflict,
    /// Wait until whoever holds it lets go.
    Busy,
    /// Free some space or memory.
    ResourceExhausted,
    /// Code that runs beside the data failed.
    Wasm,
    /// Look at the clock, or at another time.
    Temporal,
    /// Restore the file, or salvage what is left of it.
    Corrupt,
    /// Use the version that wrote the file.
    Version,
    /// Get the right to write.
    ReadOnly,
    /// Open the database anew.
    Poisoned,
    /// Look at the file system.
    Io,
}

impl ErrorClass {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Validation,
        Self::Auth,
        Self::NotFound,
        Self::Conflict,
        Self::Busy,
        Self::ResourceExhausted,
        Self::Wasm,
        Self::Temporal,
        Self::Corrupt,
        Self::Version,
        Self::ReadOnly,
        Self::Poisoned,
        Self::Io,
    ];
}

macro_rules! table {
    ($($variant:ident $code:literal $class:ident;)*) => {
        impl Error {
            /// Every code and its class, in the order of the classes.
            pub const CODES: &[(&'static str, ErrorClass)] =
                &[$(($code, ErrorClass::$class)),*];

            pub(super) fn entry(&self) -> (&'static str, ErrorClass) {
                match self {
                    $(Error::$variant { .. } => ($code, ErrorClass::$class),)*
                }
            }
        }
    };
}

table! {
    EmptyKey            "empty_key"             Validation;
    KeyTooLong          "key_too_long"          Validation;
    ValueTooLong        "value_too_long"        Validation;
    BadValue            "bad_value"             Validation;
    Lossy               "lossy"                 Validation;
    ValueMismatch       "value_mismatch"        Validation;
    ReservedPartition   "reserved_partition"    Validation;
    EmptyName           "empty_name"            Validation;
    EmptyInterval       "empty_interval"        Validation;
    BadTtl              "bad_ttl"               Validation;
    BadTime             "bad_time"              Validation;
    TimeTooFine         "time_too_fine"         Validation;
    TimeOutOfRange      "time_out_of_range"     Validation;
    BadOption           "bad_option"            Validation;
    BadCursor           "bad_cursor"            Validation;
    BadPolicy           "bad_policy"            Validation;
    NameTaken           "name_taken"            Validation;
    BadTicket           "bad_ticket"            Validation;
    Closed              "closed"                Validation;
    NoSavepoint         "no_savepoint"          Validation;
    AlreadyExists       "already_exists"        Validation;
    WrongBase           "wrong_base"            Validation;
    BackupTooNew        "backup_too_new"        Validation;
    NotFound            "not_found"             NotFound;
    ArchiveGap          "archive_gap"           NotFound;
    FeedNotFound        "no_feed"               NotFound;
    UnknownCheckpoint   "unknown_checkpoint"    NotFound;
    UnknownTransaction  "unknown_transaction"   NotFound;
    UnknownErasure      "unknown_erasure"       NotFound;
    Conflict            "conflict"              Conflict;
    Deadlock            "deadlock"              Conflict;
    SnapshotTooOld      "snapshot_too_old"      Conflict;
    Busy                "busy"                  Busy;
    LockTimeout         "lock_timeout"          Busy;
    TooManyTransactions "too_many_transactions" Busy;
    NoSpace             "no_space"              ResourceExhausted;
    FileFull            "file_full"             ResourceExhausted;
    CacheFull           "cache_full"            ResourceExhausted;
    PagesHeld           "pages_held"            ResourceExhausted;
    TxExhausted         "tx_exhausted"          Temporal;
    ClockStepped        "clock_step"            Temporal;
    LastTxAhead         "last_tx_ahead"         Temporal;
    HistoryRetired      "history_retired"       Temporal;
    Corrupt             "corrupt"               Corrupt;
    NotABackup          "not_a_backup"          Corrupt;
    NotADatabase        "not_a_database"        Corrupt;
    Truncated           "truncated"             Corrupt;
    UnsupportedVersion  "unsupported_version"   Version;
    UnsupportedValue    "unsupported_value"     Version;
    ReadOnly            "read_only"             ReadOnly;
    NeedsRecovery       "needs_recovery"        ReadOnly;
    PermissionDenied    "permission_denied"     ReadOnly;
    Poisoned            "poisoned"              Poisoned;
    Broken              "broken"                Io;
    Source              "source_failed"         Io;
    Unsupported         "unsupported"           Io;
    Io                  "io"                    Io;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_unique_and_in_snake_case() {
        let codes: BTreeSet<&str> = Error::CODES.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes.len(), Error::CODES.len());
        for code in codes {
            assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{code}");
        }
    }

    #[test]
    fn the_table_is_in_the_order_of_the_classes() {
        assert!(Error::CODES.is_sorted_by_key(|(_, class)| *class));
        assert!(ErrorClass::ALL.is_sorted());
    }

    #[test]
    fn what_may_be_tried_again_is_a_conflict_or_a_lock() {
        let conflict = Error::Conflict { seq: 7 };
        assert_eq!((conflict.code(), conflict.class()), ("conflict", ErrorClass::Conflict));
        assert!(conflict.is_retryable());
        assert!(!Error::EmptyKey.is_retryable());
    }
}
