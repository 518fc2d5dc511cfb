//! A block as a source: the selected series, which are in label order by number.

use std::sync::Arc;

use model::{Estimate, Labels, Matcher, ReadError, SeriesBuf};

use super::Source;
use crate::block::Block;

/// The series of a block that pass some matchers.
pub struct BlockSource {
    block: Arc<Block>,
    series: Vec<u32>,
}

impl BlockSource {
    /// Selects.
    ///
    /// # Errors
    /// [`ReadError`] where the index is damaged.
    pub fn select(block: Arc<Block>, matchers: &[Matcher]) -> Result<Self, ReadError> {
        let series = block.select(matchers)?.iter().collect();
        Ok(Self { block, series })
    }
}

impl Source for BlockSource {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, i: usize) -> Labels {
        self.block.labels(self.series[i])
    }

    fn bounds(&self) -> (i64, i64) {
        self.block.bounds()
    }

    fn late_seq(&self) -> u64 {
        self.block.late_seq()
    }

    fn read(&self, i: usize, mint: i64, maxt: i64, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        Ok(self.block.read(self.series[i], mint, maxt, buf)?)
    }

    fn estimate(&self) -> Estimate {
        self.block.estimate(&self.series)
    }
}
