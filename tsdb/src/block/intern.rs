//! Gathers the labels of a block while it is written: symbols get their final numbers, which are
//! in string order, only when all are known.

use std::collections::HashMap;

use model::Labels;
use roaring::RoaringBitmap;

use super::sealed::SealedWriter;
use super::series::SeriesWriter;
use super::{BlockError, kind, postings, series, symbols};

/// Label sets by preliminary numbers: about 100 bytes a series.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    symbols: HashMap<Box<str>, u32>,
    /// Lists of name symbols.
    schemas: HashMap<Vec<u32>, u32>,
    /// (name, value) symbols to the place in `sets`.
    pairs: HashMap<(u32, u32), u32>,
    sets: Vec<RoaringBitmap>,
    /// Per series its schema and its value symbols.
    series: Vec<u32>,
    num_series: u32,
    names: Vec<u32>,
}

impl Interner {
    /// Adds the next series.
    pub(crate) fn add(&mut self, labels: &Labels) -> Result<(), BlockError> {
        let schema_at = self.series.len();
        self.series.push(0);
        self.names.clear();
        for (name, value) in labels {
            let (name, value) = (self.symbol(name)?, self.symbol(value)?);
            self.names.push(name);
            self.series.push(value);
            let next = number(self.sets.len())?;
            let pair = *self.pairs.entry((name, value)).or_insert(next);
            if pair == next {
                self.sets.push(RoaringBitmap::new());
            }
            if let Some(set) = self.sets.get_mut(pair as usize) {
                set.insert(self.num_series);
            }
        }
        let next = number(self.schemas.len())?;
        let schema = match self.schemas.get(&self.names) {
            Some(known) => *known,
            None => *self.schemas.entry(self.names.clone()).or_insert(next),
        };
        self.series[schema_at] = schema;
        self.num_series = self.num_series.checked_add(1).ok_or(BlockError::TooLarge)?;
        Ok(())
    }

    fn symbol(&mut self, text: &str) -> Result<u32, BlockError> {
        if let Some(known) = self.symbols.get(text) {
            return Ok(*known);
        }
        let next = number(self.symbols.len())?;
        self.symbols.insert(text.into(), next);
        Ok(next)
    }

    pub(crate) const fn num_series(&self) -> u32 {
        self.num_series
    }

    /// Writes symbols, schemas, label sets and postings.
    pub(crate) fn finish(self, file: &mut SealedWriter) -> Result<(), BlockError> {
        let mut sorted: Vec<(Box<str>, u32)> = self.symbols.into_iter().collect();
        sorted.sort_unstable();
        symbols::write(file, kind::SYMBOLS, sorted.iter().map(|(text, _)| &**text))?;
        let mut ranks = vec![0; sorted.len()];
        for (rank, (_, preliminary)) in (0..).zip(&sorted) {
            ranks[*preliminary as usize] = rank;
        }
        drop(sorted);
        let rank = |symbol: &u32| ranks[*symbol as usize];

        let mut schemas = vec![Vec::new(); self.schemas.len()];
        for (names, schema) in &self.schemas {
            schemas[*schema as usize] = names.iter().map(rank).collect();
        }
        series::write_schemas(file, kind::SCHEMAS, &schemas)?;
        let mut writer = SeriesWriter::new(file, kind::SERIES);
        let mut rest = self.series.as_slice();
        let mut values = Vec::new();
        while let Some((schema, tail)) = rest.split_first() {
            let (of_this, of_next) = tail.split_at(schemas[*schema as usize].len());
            values.clear();
            values.extend(of_this.iter().map(rank));
            writer.add(file, *schema, &values)?;
            rest = of_next;
        }
        writer.finish(file)?;

        let mut sets: Vec<Option<RoaringBitmap>> = self.sets.into_iter().map(Some).collect();
        let mut pairs: Vec<_> = self
            .pairs
            .into_iter()
            .filter_map(|((name, value), at)| {
                Some(((rank(&name), rank(&value)), sets.get_mut(at as usize)?.take()?))
            })
            .collect();
        pairs.sort_unstable_by_key(|(pair, _)| *pair);
        postings::write(file, kind::POSTINGS, pairs)
    }
}

fn number(n: usize) -> Result<u32, BlockError> {
    // The last number stays free: postings count values from one.
    u32::try_from(n).ok().filter(|n| *n < u32::MAX).ok_or(BlockError::TooLarge)
}
