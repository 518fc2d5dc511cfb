//! Re-reading blocks, because a disk may lose what was written long ago (reliability contract R16).

use super::Db;
use super::steps::StepError;
use crate::block::{BlockError, BlockId};

/// What a scrub found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scrubbed {
    /// The block is as it was written.
    Sound,
    /// It is damaged, and now in quarantine.
    Damaged,
    /// It is not live any more, or the scrub was told to stop.
    Gone,
}

impl Db {
    /// Reads a block whole and compares its hashes. `pace` hears of every piece before it is read, and
    /// may take its time; the block is left where it says `false`.
    ///
    /// # Errors
    /// [`StepError`] where the block could not be read or moved.
    pub fn scrub(
        &self,
        id: BlockId,
        pace: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Scrubbed, StepError> {
        let found = self.views.load().blocks.iter().find(|b| b.id() == id).cloned();
        let Some(block) = found else { return Ok(Scrubbed::Gone) };
        match block.verify_paced(pace) {
            Ok(true) => Ok(Scrubbed::Sound),
            Ok(false) => Ok(Scrubbed::Gone),
            Err(why @ BlockError::Corrupt { .. }) => {
                self.quarantine(&block, &why)?;
                Ok(Scrubbed::Damaged)
            }
            Err(error) => Err(error.into()),
        }
    }
}
