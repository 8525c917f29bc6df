//! A disk as one number, so that no state is judged twice.

use llmdb_vfs::{EntryKind, File, MemVfs, OpenMode, Vfs};
use std::path::{Path, PathBuf};

/// Four lanes of 64 bits, mixed into 128: good against chance.
struct Hash {
    lanes: [u64; 4],
    len: u64,
}

const ODD: [u64; 4] =
    [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f, 0x1656_67b1_9e37_79f9, 0xff51_afd7_ed55_8ccd];

impl Hash {
    fn new() -> Self {
        Hash { lanes: ODD, len: 0 }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        let mut chunks = bytes.chunks_exact(32);
        for chunk in &mut chunks {
            self.block(chunk);
        }
        let rest = chunks.remainder();
        let mut last = [0; 32];
        last[..rest.len()].copy_from_slice(rest);
        self.block(&last);
    }

    fn block(&mut self, chunk: &[u8]) {
        for (i, word) in chunk.chunks_exact(8).enumerate() {
            let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
            self.lanes[i] = (self.lanes[i] ^ word).wrapping_mul(ODD[i]).rotate_left(29);
        }
    }

    fn finish(mut self) -> u128 {
        let mut out = [0u64; 2];
        for round in 0..8 {
            let i = round % 4;
            self.len = (self.len ^ self.lanes[i]).wrapping_mul(ODD[round % 3]).rotate_left(31);
            self.len ^= self.len >> 33;
            out[round / 4] = self.len;
        }
        u128::from(out[0]) << 64 | u128::from(out[1])
    }
}

/// Equal for disks of the same names, lengths and bytes, whatever of them is durable.
pub(crate) fn fingerprint(disk: &MemVfs) -> u128 {
    let mut hash = Hash::new();
    let mut buffer = vec![0; 64 << 10];
    directory(disk, Path::new("/"), &mut hash, &mut buffer);
    hash.finish()
}

/// A file that holds these bytes, if there is one.
pub(crate) fn holding(disk: &MemVfs, bytes: &[u8]) -> Option<PathBuf> {
    files(disk, Path::new("/")).into_iter().find(|path| {
        let contents = contents_of(disk, path);
        contents.windows(bytes.len()).any(|window| window == bytes)
    })
}

/// The files in a directory, and in those in it.
fn files(disk: &MemVfs, at: &Path) -> Vec<PathBuf> {
    let names = disk.read_dir(at).expect("a directory").into_iter();
    names
        .map(|name| at.join(name))
        .flat_map(|path| match disk.kind(&path).expect("an entry") {
            Some(EntryKind::Directory) => files(disk, &path),
            _ => vec![path],
        })
        .collect()
}

fn contents_of(disk: &MemVfs, path: &Path) -> Vec<u8> {
    let file = disk.open(path, OpenMode::Read).expect("a file");
    let mut bytes = vec![0; file.len().expect("it has a length") as usize];
    file.read_exact_at(&mut bytes, 0).expect("a file is read");
    bytes
}

fn directory(disk: &MemVfs, at: &Path, hash: &mut Hash, buffer: &mut [u8]) {
    for name in disk.read_dir(at).expect("a directory") {
        let path = at.join(&name);
        hash.write(path.as_os_str().as_encoded_bytes());
        if disk.kind(&path).expect("an entry") == Some(EntryKind::Directory) {
            directory(disk, &path, hash, buffer);
            hash.write(b"/");
        } else {
            let file = disk.open(&path, OpenMode::Read).expect("a file");
            contents(&*file, hash, buffer);
        }
    }
}

fn contents(file: &dyn File, hash: &mut Hash, buffer: &mut [u8]) {
    let mut at = 0;
    loop {
        let n = file.read_at(buffer, at).expect("a file is read");
        hash.write(&buffer[..n]);
        at += n as u64;
        if n < buffer.len() {
            return hash.write(&at.to_le_bytes());
        }
    }
}
