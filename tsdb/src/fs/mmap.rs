//! Read-only maps of immutable files: the one module of the crate with `unsafe`.

use ::std::borrow::Cow;
use ::std::fs::File;
use ::std::io;

use super::{FsRead, range};

/// A whole file, mapped.
#[derive(Debug)]
pub struct MappedFile(memmap2::Mmap);

impl MappedFile {
    /// Maps all of `file`, which nobody may truncate or write while the map lives: the callers
    /// map only published block files, and those are immutable (reliability contract R10, R11).
    ///
    /// # Errors
    /// What the system says.
    pub fn new(file: &File) -> io::Result<Self> {
        #[expect(unsafe_code, reason = "mapping a file has no safe interface")]
        // SAFETY: the bytes of a map may change only if somebody writes or truncates the file.
        // The data directory is locked against other servers, its files have mode 0600, and this
        // crate never opens a published file for writing.
        let map = unsafe { memmap2::Mmap::map(file) }?;
        Ok(Self(map))
    }
}

impl FsRead for MappedFile {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn bytes(&self, offset: u64, len: u64) -> io::Result<Cow<'_, [u8]>> {
        range(offset, len, self.len()).map(|r| Cow::Borrowed(&self.0[r]))
    }

    fn release(&self) {
        #[expect(unsafe_code, reason = "for private maps this advice would lose what was written")]
        // SAFETY: the map is a shared one of a file and nobody writes through it, so a page that went
        // is read from the file again, with the same bytes. A refusal changes nothing.
        let _ = unsafe { self.0.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
    }
}
