use super::*;
use crate::NewValue;
use llmdb_vfs::{MemVfs, OpenMode, Vfs};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

const TREE: TreeId = TreeId(3);

fn runs(vfs: &MemVfs) -> Runs {
    let vfs = vfs.clone();
    Runs::new(Arc::new(move || Ok(vfs.open(Path::new("/runs"), OpenMode::CreateOrTruncate)?)))
}

fn write<'w>(key: &'w [u8], value: &'w [u8]) -> Write<'w> {
    Write { tree: TREE, key, value: NewValue::Bytes(value) }
}

/// Every number with its write, in the order in which they come.
fn all(runs: &Runs, from: Option<(TreeId, &[u8])>) -> Vec<(Vec<u8>, u64, Vec<u8>)> {
    let mut merge = runs.merge(from).unwrap();
    let mut all = Vec::new();
    while let Some((number, write)) = merge.current() {
        all.push((write.key.to_vec(), number, write.value.bytes().unwrap().to_vec()));
        merge.advance().unwrap();
    }
    all
}

fn add(runs: &mut Runs, writes: &[(Vec<u8>, Vec<u8>)]) -> Result<()> {
    let first = runs.len();
    let mut order: Vec<_> = (first..).zip(writes).collect();
    order.sort_by(|a, b| (&a.1.0, a.0).cmp(&(&b.1.0, b.0)));
    let end = first + writes.len() as u64;
    runs.add(end, |add| {
        order.iter().try_for_each(|(number, (key, value))| add(*number, &write(key, value)))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Runs, merged and taken back in part, against a list of writes.
    #[test]
    fn what_was_added_and_not_taken_back_is_there_in_order(
        steps in prop::collection::vec(
            (prop::collection::vec((0u16..60, 0usize..1500), 1..80), prop::option::of(0u64..4000)),
            1..40,
        ),
        asked in prop::collection::vec(0u16..64, 10),
    ) {
        let mut runs = runs(&MemVfs::new());
        let mut model: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (round, (writes, back_to)) in steps.into_iter().enumerate() {
            let writes: Vec<_> = (writes.into_iter())
                .map(|(key, len)| {
                    // Some are longer than a block.
                    let len = if len > 1490 { 20_000 } else { len };
                    (key.to_be_bytes().to_vec(), vec![round as u8; len])
                })
                .collect();
            add(&mut runs, &writes).unwrap();
            model.extend(writes);
            if let Some(len) = back_to {
                runs.truncate(len);
                model.truncate(len as usize);
            }
            prop_assert_eq!(runs.len(), model.len() as u64);
        }
        let mut expected: Vec<_> = (model.iter().zip(0..))
            .map(|((key, value), number)| (key.clone(), number, value.clone()))
            .collect();
        expected.sort();
        prop_assert!(all(&runs, None) == expected);
        let newest: BTreeMap<_, _> = model.into_iter().collect();
        for key in asked {
            let key = key.to_be_bytes();
            let found = runs.newest(TREE, &key, |write| write.value.bytes().unwrap().to_vec());
            prop_assert!(found.unwrap().as_ref() == newest.get(&key[..]));
            let behind: Vec<_> = expected.iter().filter(|at| at.0[..] >= key[..]).cloned().collect();
            prop_assert!(all(&runs, Some((TREE, &key))) == behind);
            let mut source = runs.newest_from(Some((TREE, &key))).unwrap();
            for (key, value) in newest.range(key.to_vec()..) {
                let write = source.next_write().unwrap().unwrap();
                prop_assert!((write.key, write.value.bytes().unwrap()) == (&key[..], &value[..]));
            }
            prop_assert!(source.next_write().unwrap().is_none());
        }
    }
}

/// However many writes there are, a block of each run is all that reading takes.
#[test]
fn there_are_few_runs() {
    let mut runs = runs(&MemVfs::new());
    for i in 0..600u32 {
        add(&mut runs, &[(i.to_be_bytes().to_vec(), vec![1])]).unwrap();
        assert!(runs.runs.len() <= 4 * FAN_IN);
    }
    assert_eq!(all(&runs, None).len(), 600);
}

#[test]
fn bytes_that_changed_are_an_error_wherever_they_are_read() {
    let vfs = MemVfs::new();
    let mut runs = runs(&vfs);
    let writes: Vec<_> = (0..300u32).map(|i| (i.to_be_bytes().to_vec(), vec![1; 100])).collect();
    add(&mut runs, &writes).unwrap();
    let file = vfs.open(Path::new("/runs"), OpenMode::ReadWrite).unwrap();
    let len = file.len().unwrap();
    for offset in (0..len).step_by(97) {
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[IoSlice::new(&[byte[0] ^ 4])], offset).unwrap();
        let read = || -> Result<()> {
            let mut merge = runs.merge(None)?;
            while merge.current().is_some() {
                merge.advance()?;
            }
            for (key, _) in &writes {
                runs.newest(TREE, key, |_| ())?;
            }
            Ok(())
        };
        assert!(matches!(read(), Err(Error::Vfs(_))), "byte {offset}");
        file.write_all_at(&[IoSlice::new(&byte)], offset).unwrap();
    }
    assert_eq!(all(&runs, None).len(), 300);
}

#[test]
fn a_run_that_cannot_be_written_leaves_those_before() {
    let vfs = MemVfs::new();
    let mut runs = runs(&vfs);
    let batch: Vec<_> = (0..40u8).map(|i| (vec![i], vec![i; 700])).collect();
    // Enough that the next has to merge first.
    (0..FAN_IN).for_each(|_| add(&mut runs, &batch).unwrap());
    let before = all(&runs, None);
    vfs.set_free_bytes(Some(20_000));
    assert!(add(&mut runs, &batch).is_err());
    assert!(all(&runs, None) == before);
    vfs.set_free_bytes(None);
    add(&mut runs, &batch).unwrap();
    assert_eq!(all(&runs, None).len(), before.len() + batch.len());
}

#[test]
fn a_blocks_bytes_are_where_the_format_says() {
    let vfs = MemVfs::new();
    let mut runs = runs(&vfs);
    add(&mut runs, &[(b"k".to_vec(), b"vw".to_vec())]).unwrap();
    let file = vfs.open(Path::new("/runs"), OpenMode::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    let entry = b"\0\0\0\0\0\0\0\0\x03\0\0\0\x01\0\0\0\x02\0\0\0kvw";
    assert_eq!(bytes[..4], (entry.len() as u32).to_le_bytes());
    assert_eq!(bytes[4..8], checksum(0, &[&[0; 4], &entry[..]].concat()).to_le_bytes());
    assert_eq!(bytes[8..12], [0; 4]);
    assert_eq!(bytes[12..], *entry);
}
