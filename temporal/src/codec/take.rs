//! Checked reading of fields from the front of untrusted bytes.

use crate::{Error, Interval, Result, TreeName, TxTime, ValidTime};

/// What is left of an entry, and the tree to blame when it is too short.
pub(crate) struct Take<'b> {
    rest: &'b [u8],
    tree: TreeName,
}

impl<'b> Take<'b> {
    pub(crate) fn new(tree: TreeName, bytes: &'b [u8]) -> Self {
        Self { rest: bytes, tree }
    }

    pub(crate) fn corrupt(&self, what: &'static str) -> Error {
        Error::Corrupt { tree: self.tree, what }
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some((field, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.corrupt("it is cut short"));
        };
        self.rest = rest;
        Ok(*field)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(crate) fn valid(&mut self) -> Result<ValidTime> {
        self.bytes().map(i64::from_le_bytes).map(ValidTime)
    }

    pub(crate) fn tx(&mut self) -> Result<TxTime> {
        self.bytes().map(i64::from_le_bytes).map(TxTime)
    }

    pub(crate) fn interval(&mut self) -> Result<Interval> {
        let (from, to) = (self.valid()?, self.valid()?);
        self.check_interval(from, to)
    }

    pub(crate) fn check_interval(&self, from: ValidTime, to: ValidTime) -> Result<Interval> {
        Interval::new(from, to).map_err(|_| self.corrupt("its interval is empty"))
    }

    /// Seven bits a byte, low ones first; at most 64 of them.
    pub(crate) fn varint(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7F);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.corrupt("a number is too long"))
    }

    /// The next `len` bytes.
    pub(crate) fn slice(&mut self, len: usize) -> Result<&'b [u8]> {
        let Some((bytes, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.corrupt("it is cut short"));
        };
        self.rest = rest;
        Ok(bytes)
    }

    /// Big-endian, as in keys.
    pub(crate) fn u64_be(&mut self) -> Result<u64> {
        self.bytes().map(u64::from_be_bytes)
    }

    /// Big-endian, as in keys.
    pub(crate) fn u32_be(&mut self) -> Result<u32> {
        self.bytes().map(u32::from_be_bytes)
    }

    /// All that is left.
    pub(crate) fn rest(self) -> &'b [u8] {
        self.rest
    }

    /// How many bytes are left.
    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.corrupt("it is too long")) }
    }
}
