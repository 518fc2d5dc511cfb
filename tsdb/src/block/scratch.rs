//! Scratch files of a block that is being written: what its writer does not hold in memory, record by
//! record, to be read back from front to back. They are never synced and go before the block is
//! published; what is read back is checked all the same, for the disk may be bad.
//!
//! A frame is its length and checksum (u32 each) and records: length (LEB128) and bytes. Little that was
//! written stays in memory and makes no file.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use super::BlockError;
use crate::encoding::crc;
use crate::encoding::varint::{Reader, put_bytes};
use crate::fs::{Fs, FsFile, FsRead};

/// Bytes before the records of a frame.
const FRAME_HEADER: u64 = 8;

/// A file that is written and then read.
#[derive(Debug)]
pub(crate) struct Scratch {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    file: Option<Box<dyn FsFile>>,
    /// Records that are not in the file.
    frame: Vec<u8>,
    frame_bytes: usize,
}

impl Scratch {
    /// An empty one; the file is made when there are `frame_bytes` of records.
    pub(crate) fn new(fs: Arc<dyn Fs>, path: PathBuf, frame_bytes: usize) -> Self {
        Self { fs, path, file: None, frame: Vec::new(), frame_bytes }
    }

    /// Adds a record.
    pub(crate) fn push(&mut self, record: &[u8]) -> Result<(), BlockError> {
        put_bytes(&mut self.frame, record);
        if self.frame.len() >= self.frame_bytes { self.flush() } else { Ok(()) }
    }

    /// Puts everything into the file; returns its length, where the next record begins.
    pub(crate) fn end_run(&mut self) -> Result<u64, BlockError> {
        self.flush()?;
        Ok(self.file.as_ref().map_or(0, |file| file.len()))
    }

    fn flush(&mut self) -> Result<(), BlockError> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let made = self.fs.create(&self.path).map_err(|e| BlockError::io(&self.path, e))?;
                none.insert(made)
            }
        };
        let len = u32::try_from(self.frame.len()).map_err(|_| BlockError::TooLarge)?;
        let mut header = len.to_le_bytes().to_vec();
        header.extend_from_slice(&crc(&self.frame).to_le_bytes());
        let written = file.append(&header).and_then(|()| file.append(&self.frame));
        written.map_err(|e| BlockError::io(&self.path, e))?;
        self.frame.clear();
        Ok(())
    }

    /// Reads the records of some runs, which are in the file.
    pub(crate) fn run(&self, range: Range<u64>) -> Result<ScratchReader<'_>, BlockError> {
        self.read(range, &[])
    }

    /// Reads all records.
    pub(crate) fn all(&self) -> Result<ScratchReader<'_>, BlockError> {
        self.read(0..self.file.as_ref().map_or(0, |file| file.len()), &self.frame)
    }

    fn read<'a>(
        &'a self,
        range: Range<u64>,
        tail: &'a [u8],
    ) -> Result<ScratchReader<'a>, BlockError> {
        let file = if range.is_empty() {
            None
        } else {
            let open = self.fs.open_scan(&self.path);
            Some(open.map_err(|e| BlockError::io(&self.path, e))?)
        };
        Ok(ScratchReader { scratch: self, file, left: range, frame: Vec::new(), at: 0, tail })
    }

    /// Bytes of memory held.
    pub(crate) const fn heap_bytes(&self) -> usize {
        self.frame.capacity()
    }

    /// Removes the file.
    pub(crate) fn remove(self) -> io::Result<()> {
        if self.file.is_some() { self.fs.remove_file(&self.path) } else { Ok(()) }
    }
}

/// Reads records in the order in which they were written.
#[derive(Debug)]
pub(crate) struct ScratchReader<'a> {
    scratch: &'a Scratch,
    file: Option<Arc<dyn FsRead>>,
    /// Frames of the file that were not read.
    left: Range<u64>,
    frame: Vec<u8>,
    at: usize,
    /// What comes behind the file.
    tail: &'a [u8],
}

impl ScratchReader<'_> {
    /// The next record.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, BlockError> {
        if self.at == self.frame.len() && !self.load()? {
            return Ok(None);
        }
        let rest = self.frame.get(self.at..).unwrap_or_default();
        let mut r = Reader::new(rest);
        let Some(record) = r.bytes() else { return Err(self.corrupt("damaged record")) };
        let end = self.at + rest.len() - r.rest().len();
        let start = end - record.len();
        self.at = end;
        Ok(self.frame.get(start..end))
    }

    fn load(&mut self) -> Result<bool, BlockError> {
        self.at = 0;
        let Some(file) = self.file.as_ref().filter(|_| !self.left.is_empty()) else {
            self.frame.clear();
            self.frame.extend_from_slice(std::mem::take(&mut self.tail));
            return Ok(!self.frame.is_empty());
        };
        let io = |e| BlockError::io(&self.scratch.path, e);
        let header = file.bytes(self.left.start, FRAME_HEADER).map_err(io)?;
        let mut r = Reader::new(&header);
        let (Some(len), Some(sum)) = (r.u32_le(), r.u32_le()) else {
            return Err(self.corrupt("damaged frame"));
        };
        let at = self.left.start + FRAME_HEADER;
        if u64::from(len) > self.left.end.saturating_sub(at) {
            return Err(self.corrupt("damaged frame"));
        }
        let frame = file.bytes(at, u64::from(len)).map_err(io)?.into_owned();
        if crc(&frame) != sum {
            return Err(self.corrupt("checksum does not match"));
        }
        self.left.start = at + u64::from(len);
        self.frame = frame;
        Ok(!self.frame.is_empty())
    }

    fn corrupt(&self, what: &'static str) -> BlockError {
        BlockError::Corrupt { path: self.scratch.path.clone(), offset: self.left.start, what }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fs::std::StdFs;

    proptest! {
        #[test]
        fn records_come_back_in_order_run_by_run(
            runs in proptest::collection::vec(proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..40), 0..20), 0..6),
            frame in 1..200_usize,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut scratch = Scratch::new(Arc::new(StdFs), dir.path().join("s"), frame);
            let mut ends = vec![0];
            let (last, first) = runs.split_last().map_or((&[][..], &[][..]), |(l, f)| (&l[..], f));
            for run in first {
                for record in run {
                    scratch.push(record).unwrap();
                }
                ends.push(scratch.end_run().unwrap());
            }
            for record in last {
                scratch.push(record).unwrap();
            }
            let collect = |mut reader: ScratchReader<'_>| {
                let mut out = Vec::new();
                while let Some(record) = reader.next().unwrap() {
                    out.push(record.to_vec());
                }
                out
            };
            prop_assert_eq!(collect(scratch.all().unwrap()), runs.concat());
            for (run, ends) in first.iter().zip(ends.windows(2)) {
                prop_assert_eq!(&collect(scratch.run(ends[0]..ends[1]).unwrap()), run);
            }
            scratch.remove().unwrap();
            prop_assert!(!dir.path().join("s").exists());
        }
    }

    #[test]
    fn a_changed_byte_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let mut scratch = Scratch::new(Arc::new(StdFs), path.clone(), 8);
        scratch.push(b"twelve bytes").unwrap();
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            std::fs::write(&path, bad).unwrap();
            assert!(scratch.all().unwrap().next().is_err(), "byte {at}");
        }
    }
}
