//! Lines of input, of bounded length, in batches.

use std::fmt;
use std::io::{self, Read};

/// The longest line taken, its end not counted: a value of 64 MiB, and what is around it.
pub const LINE_BYTES_MAX: usize = (64 << 20) + (1 << 20);

/// What is asked of the input at once, and so the bound of a batch of short lines.
const CHUNK_BYTES: usize = 64 << 10;

/// One line of input.
#[derive(Clone, PartialEq, Eq)]
pub enum Line {
    /// Its bytes, without the end.
    Bytes(Vec<u8>),
    /// It was longer than the limit; its bytes are dropped.
    TooLong,
}

/// Cuts `input` into lines.
pub struct Lines<R> {
    input: R,
    chunk: Box<[u8]>,
    bytes_max: usize,
    /// The beginning of a line whose end has not been read.
    begun: Vec<u8>,
    /// Whether the line that has begun is over the limit already.
    too_long: bool,
}

impl<R: Read> Lines<R> {
    /// Lines of at most [`LINE_BYTES_MAX`] bytes.
    pub fn new(input: R) -> Self {
        Self::with_bytes_max(input, LINE_BYTES_MAX)
    }

    fn with_bytes_max(input: R, bytes_max: usize) -> Self {
        let chunk = vec![0; CHUNK_BYTES].into_boxed_slice();
        Self { input, chunk, bytes_max, begun: Vec::new(), too_long: false }
    }

    /// The lines that have arrived; waits for one. None is the end of input. The last line need
    /// not have an end.
    ///
    /// # Errors
    /// What reading gave.
    pub fn next_batch(&mut self) -> io::Result<Vec<Line>> {
        let mut batch = Vec::new();
        while batch.is_empty() {
            let read = match self.input.read(&mut self.chunk) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if read == 0 {
                if self.too_long || !self.begun.is_empty() {
                    batch.push(self.finish_line());
                }
                break;
            }
            self.split_chunk(read, &mut batch);
        }
        Ok(batch)
    }

    fn split_chunk(&mut self, read: usize, batch: &mut Vec<Line>) {
        let mut start = 0;
        while start < read {
            let rest = &self.chunk[start..read];
            let end = rest.iter().position(|&byte| byte == b'\n');
            let piece = &rest[..end.unwrap_or(rest.len())];
            if self.too_long || self.begun.len() + piece.len() > self.bytes_max {
                self.too_long = true;
                self.begun = Vec::new();
            } else {
                self.begun.extend_from_slice(piece);
            }
            start += piece.len() + 1;
            if end.is_some() {
                batch.push(self.finish_line());
            }
        }
    }

    fn finish_line(&mut self) -> Line {
        let line = std::mem::take(&mut self.begun);
        if std::mem::take(&mut self.too_long) { Line::TooLong } else { Line::Bytes(line) }
    }
}

impl fmt::Debug for Line {
    /// Lengths alone: contents are the user's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(line) => write!(f, "Line({} bytes)", line.len()),
            Self::TooLong => f.write_str("Line(too long)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes out a few at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let len = self.0.len().min(self.1).min(buffer.len());
            buffer[..len].copy_from_slice(&self.0[..len]);
            self.0 = &self.0[len..];
            Ok(len)
        }
    }

    fn lines(input: &[u8], drip: usize, bytes_max: usize) -> Vec<Line> {
        let mut lines = Lines::with_bytes_max(Drip(input, drip), bytes_max);
        let mut all = Vec::new();
        loop {
            let batch = lines.next_batch().unwrap();
            if batch.is_empty() {
                return all;
            }
            all.extend(batch);
        }
    }

    fn bytes(line: &[u8]) -> Line {
        Line::Bytes(line.to_vec())
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let expected = [bytes(b"one"), bytes(b""), bytes(b"two\r"), bytes(b"last")];
        for drip in 1..20 {
            assert_eq!(lines(b"one\n\ntwo\r\nlast", drip, 100), expected, "{drip} at a time");
        }
    }

    #[test]
    fn a_line_over_the_limit_is_dropped_alone() {
        for drip in 1..20 {
            let got = lines(b"12345\n123456\n1\n1234567890123456", drip, 5);
            assert_eq!(got, [bytes(b"12345"), Line::TooLong, bytes(b"1"), Line::TooLong]);
        }
    }

    #[test]
    fn what_is_too_long_takes_no_memory() {
        let input = vec![b'x'; 1 << 20];
        let mut lines = Lines::with_bytes_max(Drip(&input, usize::MAX), 1000);
        assert_eq!(lines.next_batch().unwrap(), [Line::TooLong]);
        assert!(lines.begun.capacity() <= CHUNK_BYTES);
    }
}
