//! Page sources and compression, in figures. Printed, never asserted.
//!
//! ```text
//! cargo bench -p llmdb-benches --bench pages                  # all
//! cargo bench -p llmdb-benches --bench pages -- sources       # map and reads, warm and cold
//! cargo bench -p llmdb-benches --bench pages -- compression   # sizes and costs
//! ```
//!
//! Cold means that the operating system was told to forget the file (`/proc/sys/vm/drop_caches`,
//! which takes root; without it the figures say so). Files lie in the temporary directory (`TMPDIR`).

#![allow(missing_docs, reason = "a bench")]
#![allow(clippy::unwrap_used, reason = "a bench")]

use llmdb_storage::{
    Batch, Compression, Cursor, Opened, PageSource, StoreOptions, TreeId, TreeOptions, View,
    create, open,
};
use llmdb_vfs::{OsVfs, Vfs};
use std::hint::black_box;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

fn main() {
    let only = std::env::args().skip(1).find(|a| !a.starts_with('-'));
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name.contains(only));
    if wanted("sources") {
        sources();
    }
    if wanted("compression") {
        compression();
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Keys in random order: neighbours in the tree are written at different times.
fn key(i: u64) -> [u8; 8] {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

fn load(
    path: &Path,
    options: &StoreOptions,
    how: TreeOptions,
    count: u64,
    value: impl Fn(u64) -> Vec<u8>,
) -> TreeId {
    let vfs: Arc<dyn Vfs> = Arc::new(OsVfs::new());
    create(&vfs, path, options).unwrap();
    let mut opened = open(&vfs, path, options).unwrap();
    let tree = opened.writer.create_tree_with("t", how).unwrap();
    for from in (0..count).step_by(5_000) {
        let mut batch = Batch::new();
        (from..(from + 5_000).min(count)).for_each(|i| batch.put(tree, &key(i), &value(i)));
        batch.sort();
        opened.writer.apply(&batch).unwrap();
        if from % 50_000 == 0 {
            checkpoint(&mut opened);
        }
    }
    (0..2).for_each(|_| checkpoint(&mut opened));
    opened.writer.mark_clean(0, 0).unwrap();
    tree
}

fn checkpoint(opened: &mut Opened) {
    let checkpoint = opened.writer.begin_checkpoint(opened.mark).unwrap();
    checkpoint.write(&opened.pager).unwrap();
    checkpoint.commit(&opened.pager).unwrap();
    let sealed = opened.writer.finish_checkpoint(checkpoint);
    opened.writer.reclaim(&[sealed.version], &[]);
}

fn reopen(path: &Path, options: &StoreOptions) -> Opened {
    let vfs: Arc<dyn Vfs> = Arc::new(OsVfs::new());
    open(&vfs, path, options).unwrap()
}

fn forget() -> &'static str {
    match std::fs::write("/proc/sys/vm/drop_caches", "3") {
        Ok(()) => "cold",
        Err(_) => "not cold, this takes root",
    }
}

fn scan(opened: &Opened, tree: TreeId) -> (u64, u64) {
    let reader = opened.writer.reader();
    let mut cursor = reader.cursor(tree);
    let (mut entries, mut bytes) = (0, 0);
    let mut more = cursor.first().unwrap();
    while more {
        entries += 1;
        bytes += cursor.value().unwrap().len() as u64;
        more = cursor.next().unwrap();
    }
    (entries, bytes)
}

fn gets(opened: &Opened, tree: TreeId, count: u64, n: u64) -> f64 {
    let reader = opened.writer.reader();
    let mut random = Random(7);
    let start = Instant::now();
    for _ in 0..n {
        black_box(reader.get(tree, &key(random.next() % count)).unwrap().unwrap());
    }
    start.elapsed().as_secs_f64() * 1e6 / n as f64
}

fn sources() {
    const COUNT: u64 = 400_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sources");
    let base = StoreOptions::default();
    let tree = load(&path, &base, TreeOptions::default(), COUNT, |i| vec![i as u8; 256]);
    let megabytes = std::fs::metadata(&path).unwrap().len() >> 20;
    println!(
        "page sources: {COUNT} keys in random order, values of 256 bytes, a file of {megabytes} MiB"
    );
    for (name, page_source, page_cache_bytes) in [
        ("mmap", PageSource::Mmap, base.page_cache_bytes),
        ("buffered, all fits", PageSource::Buffered, 512 << 20),
        ("buffered, a tenth fits", PageSource::Buffered, 16 << 20),
    ] {
        let options = StoreOptions { page_source, page_cache_bytes, ..base.clone() };
        let how = forget();
        let opened = reopen(&path, &options);
        let start = Instant::now();
        let (entries, bytes) = scan(&opened, tree);
        let seconds = start.elapsed().as_secs_f64();
        let rate = bytes as f64 / seconds / 1e6;
        println!("{name:<24} first scan ({how}) {:>8.0} ms {rate:>7.0} MB/s", seconds * 1e3);
        let start = Instant::now();
        black_box(scan(&opened, tree));
        let per = start.elapsed().as_secs_f64() * 1e9 / entries as f64;
        gets(&opened, tree, COUNT, 200_000);
        let get = gets(&opened, tree, COUNT, 500_000);
        println!("{name:<24} scan again {per:>6.0} ns an entry, random get {get:>6.2} us");
    }
}

fn json(i: u64) -> Vec<u8> {
    let mut random = Random(i);
    let cities = ["Lisbon", "Nairobi", "Osaka", "Quito", "Tallinn"];
    let mut text = format!("{{\"id\":\"user:{i}\",\"events\":[");
    for n in 0..6 {
        let (a, b) = (random.next(), random.next());
        let city = cities[a as usize % 5];
        text += &format!(
            "{}{{\"at\":\"2024-{:02}-{:02}T{:02}:00:00Z\",\"city\":\"{city}\",\"amount\":{},\"note\":\"paid by card {:04}\"}}",
            if n > 0 { "," } else { "" },
            a % 12 + 1,
            a % 28 + 1,
            a % 24,
            b % 100_000,
            b % 10_000,
        );
    }
    (text + "]}").into_bytes()
}

fn noise(i: u64) -> Vec<u8> {
    let mut random = Random(i);
    (0..70).flat_map(|_| random.next().to_le_bytes()).collect()
}

fn compression() {
    const COUNT: u64 = 100_000;
    let dir = tempfile::tempdir().unwrap();
    type Kind = (&'static str, fn(u64) -> Vec<u8>);
    let kinds: [Kind; 2] = [("JSON", json), ("random bytes", noise)];
    for (kind, value) in kinds {
        let raw: usize = (0..1000).map(|i| value(i).len()).sum::<usize>() / 1000;
        println!("\ncompression: {COUNT} values of about {raw} bytes, {kind}");
        println!(
            "{:<36} {:>9} {:>10} {:>10} {:>10}",
            "", "file MiB", "write us", "get us", "scan ns"
        );
        for page_size in [4_096, 16_384] {
            for (name, pages, values) in [
                ("none", None, None),
                ("values lz4", None, Some(Compression::Lz4)),
                ("values zstd", None, Some(Compression::Zstd)),
                ("pages lz4", Some(Compression::Lz4), None),
                ("pages zstd", Some(Compression::Zstd), None),
            ] {
                if page_size == 4_096 && pages.is_some() {
                    continue;
                }
                let path = dir.path().join("file");
                let options = StoreOptions {
                    page_size,
                    page_cache_bytes: 512 << 20,
                    ..StoreOptions::default()
                };
                let start = Instant::now();
                let tree = load(&path, &options, TreeOptions { pages, values }, COUNT, value);
                let write = start.elapsed().as_secs_f64() * 1e6 / COUNT as f64;
                let size = std::fs::metadata(&path).unwrap().blocks() * 512;
                let opened = reopen(&path, &options);
                let start = Instant::now();
                let (entries, _) = scan(&opened, tree);
                let scan = start.elapsed().as_secs_f64() * 1e9 / entries as f64;
                let get = gets(&opened, tree, COUNT, 200_000);
                let size = size as f64 / (1 << 20) as f64;
                let name = format!("pages of {} KiB, {name}", page_size >> 10);
                println!("{name:<36} {size:>9.1} {write:>10.2} {get:>10.2} {scan:>10.0}");
                drop(opened);
                std::fs::remove_file(&path).unwrap();
            }
        }
    }
}
