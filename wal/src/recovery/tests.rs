//! Logs that no writer writes: frames that are each in order and do not belong together.

use std::convert::Infallible;
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use llmdb_vfs::{MemVfs, OpenMode, Vfs};

use crate::frame::{FrameHeader, Kind, Origin};
use crate::segment::SegmentName;
use crate::{Error, Log, LogConfig, Lsn, Outcome, Recovery, ReplayError};

const UUID: [u8; 16] = [3; 16];

/// A frame of commit `seq`, number `part` of it, that calls `durable` durable.
fn frame(seq: u64, part: u32, kind: Kind, durable: u64) -> FrameHeader {
    FrameHeader {
        payload_len: 5,
        uuid: UUID,
        incarnation: 1,
        kind,
        origin: Origin::Appended,
        lsn: Lsn::ZERO,
        seq,
        durable: Lsn::new(durable),
        payload_crc: crc32fast::hash(b"hello"),
        part,
    }
}

/// Replays a log of these frames, one after the other.
fn replay(frames: &[FrameHeader]) -> Result<Outcome, Error> {
    let disk: Arc<dyn Vfs> = Arc::new(MemVfs::new());
    let (dir, config) = (Path::new("/log"), LogConfig::new(UUID));
    drop(Log::create(Arc::clone(&disk), dir, config, 1, Lsn::ZERO)?);
    let name = SegmentName { start: Lsn::ZERO, incarnation: 1 };
    let file = disk.open(&dir.join(name.file_name()), OpenMode::ReadWrite)?;
    let mut lsn = Lsn::ZERO;
    for frame in frames {
        let header = FrameHeader { lsn, ..*frame }.encode();
        let bufs = [IoSlice::new(&header), IoSlice::new(b"hello")];
        file.write_all_at(&bufs, 64 + lsn.get())?;
        lsn = lsn.advance(frame.frame_bytes());
    }
    let replayed =
        Recovery::open(disk, dir, config, 1, Lsn::ZERO)?.replay(|_| Ok::<(), Infallible>(()));
    replayed.map_err(|e| match e {
        ReplayError::Log(e) => e,
        ReplayError::Apply(never) => match never {},
    })
}

#[test]
fn parts_of_one_commit_follow_one_another() {
    use Kind::{Commit, Part};
    let whole = replay(&[frame(7, 0, Part, 0), frame(7, 1, Part, 0), frame(7, 2, Commit, 0)]);
    assert_eq!(whole.unwrap().last_seq, Some(7));
    let strange: [&[FrameHeader]; 3] = [
        &[frame(7, 0, Part, 0), frame(8, 1, Commit, 0)],
        &[frame(7, 0, Part, 0), frame(7, 2, Commit, 0)],
        &[frame(7, 1, Commit, 0)],
    ];
    for frames in strange {
        let found = replay(frames);
        assert!(matches!(found, Err(Error::Corrupt { .. })), "{frames:?}: {found:?}");
    }
}

/// A commit that was given up half-way left parts that nothing closes.
#[test]
fn parts_that_were_not_closed_are_passed_over() {
    use Kind::{Commit, Part};
    let given_up = [frame(7, 0, Part, 0), frame(7, 1, Part, 0)];
    for next in [[frame(7, 0, Part, 0), frame(7, 1, Commit, 0)], [frame(7, 0, Part, 0); 2]] {
        let frames = [&[frame(6, 0, Commit, 0)][..], &given_up, &next].concat();
        let outcome = replay(&frames).unwrap();
        let closed = next[1].kind == Commit;
        assert_eq!(outcome.last_seq, Some(if closed { 7 } else { 6 }));
        assert_eq!(outcome.commits, if closed { 2 } else { 1 });
        assert_eq!(outcome.torn.is_some(), !closed);
    }
}

#[test]
fn what_is_proven_lies_within_what_was_read() {
    // The first frame of an unclosed commit calls itself durable up to its own position: true. Its
    // second one calls the first durable, which no writer does.
    let outcome = replay(&[
        frame(1, 0, Kind::Commit, 0),
        frame(2, 0, Kind::Part, 72),
        frame(2, 1, Kind::Part, 144),
    ])
    .unwrap();
    assert_eq!((outcome.end, outcome.proven), (Lsn::new(72), Lsn::new(72)));
    assert_eq!(outcome.torn.unwrap().at, Lsn::new(216));
}
