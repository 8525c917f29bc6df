use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const SIZE: usize = 4096;

fn leaf(prefix: &[u8]) -> Vec<u8> {
    let mut page = vec![0; SIZE];
    NodeMut::new(&mut page).init(0, TreeId(1), prefix);
    page
}

fn put(page: &mut [u8], key: &[u8], value: &[u8]) -> bool {
    let prefix_len = page::prefix_len(page) as usize;
    if let Ok(i) = Node::new(page).search(key) {
        NodeMut::new(page).remove(i);
    }
    let i = Node::new(page).search(key).unwrap_err();
    NodeMut::new(page).insert(i, [&key[prefix_len..], &[]], value, Form::INLINE)
}

#[test]
fn a_leafs_bytes_are_where_the_format_says() {
    let mut page = leaf(b"user:");
    assert!(put(&mut page, b"user:bob", b"2"));
    assert!(put(&mut page, b"user:al", b"1"));
    assert_eq!(&page[HEADER..HEADER + 8], [0, 0, b'l', b'a', 0, b'b', b'o', b'b']);
    assert_eq!(u16_at(&page, HEADER + 8), SIZE - 5 - 8 - 7);
    assert_eq!(u16_at(&page, HEADER + 10), SIZE - 5 - 8);
    assert_eq!(&page[SIZE - 20..], b"\x02\0\x01\0al1\x03\0\x01\0bob2user:");
    Node::new(&page).validate(PageId(1)).unwrap();
}

#[test]
fn a_childs_bytes_are_where_the_format_says() {
    let child = PageRef { id: PageId(0x0605_0403_0201), stamp: 0x0a09_0807 };
    assert_eq!(encode_child(child), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(decode_child(&encode_child(child)), child);
}

#[test]
fn a_branch_finds_the_child_that_covers_a_key() {
    let mut page = vec![0; SIZE];
    let mut node = NodeMut::new(&mut page);
    node.init(1, TreeId(1), b"");
    let child = |id| encode_child(PageRef { id: PageId(id), stamp: id as u32 });
    // The first key never counts, whatever it is.
    for (i, key) in [&b"zzz"[..], b"b", b"d"].iter().enumerate() {
        assert!(node.insert(i, [key, &[]], &child(i as u64 + 10), Form::INLINE));
    }
    let node = Node::new(&page);
    node.validate(PageId(1)).unwrap();
    for (key, index) in [("", 0), ("a", 0), ("b", 1), ("c", 1), ("d", 2), ("zzzz", 2)] {
        assert_eq!(node.child_index(key.as_bytes()), index, "{key}");
    }
    assert_eq!(node.child(2), PageRef { id: PageId(12), stamp: 12 });
}

proptest! {
    #[test]
    fn a_leaf_behaves_as_a_map(
        prefix in prop::collection::vec(0u8..3, 0..3),
        ops in prop::collection::vec(
            (prop::collection::vec(0u8..3, 0..7), prop::option::of(0usize..40)), 1..120)
    ) {
        let mut page = leaf(&prefix);
        let mut model = BTreeMap::new();
        for (suffix, value) in ops {
            let key = [&prefix[..], &suffix].concat();
            match value {
                Some(len) => {
                    let value = vec![len as u8; len];
                    if put(&mut page, &key, &value) {
                        model.insert(key, value);
                    } else {
                        model.remove(&key);
                    }
                }
                None => match Node::new(&page).search(&key) {
                    Ok(i) => {
                        prop_assert!(model.remove(&key).is_some());
                        NodeMut::new(&mut page).remove(i);
                    }
                    Err(_) => prop_assert!(!model.contains_key(&key)),
                },
            }
            let node = Node::new(&page);
            prop_assert_eq!(node.count(), model.len());
            if !model.is_empty() {
                node.validate(PageId(1)).unwrap();
            }
            let mut found = Vec::new();
            for (i, (key, value)) in model.iter().enumerate() {
                prop_assert_eq!(node.search(key), Ok(i));
                prop_assert_eq!(node.compare(key, i), Ordering::Equal);
                node.key_into(i, &mut found);
                prop_assert_eq!(&found, key);
                prop_assert_eq!(node.cell(i).body, &value[..]);
            }
        }
    }

    #[test]
    fn a_key_that_is_missing_is_placed_between_its_neighbours(
        keys in prop::collection::btree_set(prop::collection::vec(0u8..4, 0..8), 1..60),
        probe in prop::collection::vec(0u8..5, 0..9)
    ) {
        let mut page = leaf(b"");
        for key in &keys {
            prop_assert!(put(&mut page, key, b"v"));
        }
        let below = keys.range(..probe.clone()).count();
        let expected = if keys.contains(&probe) { Ok(below) } else { Err(below) };
        prop_assert_eq!(Node::new(&page).search(&probe), expected);
    }

    #[test]
    fn no_bytes_lead_a_node_outside_its_page(
        edits in prop::collection::vec((0usize..SIZE, any::<u8>()), 1..12)
    ) {
        let mut page = leaf(b"k");
        for i in 0..40u8 {
            put(&mut page, &[b'k', i, i], &[i; 20]);
        }
        for (at, byte) in edits {
            // Aim half of the edits at the header and the arrays, where they hurt.
            let at = if byte % 2 == 0 { at % (HEADER + 240) } else { at };
            page[at] = byte;
        }
        let node = Node::new(&page);
        if node.validate(PageId(1)).is_ok() {
            let mut key = Vec::new();
            for i in 0..node.count() {
                node.key_into(i, &mut key);
                let _ = node.search(&key);
            }
        }
    }
}
