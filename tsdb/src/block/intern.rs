//! Gathers the labels of a block while it is written: symbols get their final numbers, which are
//! in string order, only when all are known.
//!
//! Until then a symbol has preliminary numbers, one for each *epoch* in which it occurs. When the symbols
//! of an epoch take their share of memory they go to a scratch file, sorted, and the next epoch begins; the
//! end merges them. Label sets are written in preliminary numbers and read back once for the label sets
//! and once for each group of label names whose postings fit in memory. So four bytes a preliminary number
//! and eight bytes a series are held besides the buffers.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::path::Path;
use std::sync::Arc;

use roaring::RoaringBitmap;

use model::Labels;

use super::postings::PostingsWriter;
use super::scratch::{Scratch, ScratchReader};
use super::sealed::SealedWriter;
use super::series::SeriesWriter;
use super::symbols::SymbolWriter;
use super::{BlockError, kind, series};
use crate::encoding::varint::{Reader, put_u64};
use crate::fs::Fs;

/// Names of the scratch files.
pub(crate) const SCRATCH_FILES: [&str; 2] = ["symbols.scratch", "series.scratch"];

/// Bytes of a symbol in memory beside its text.
const SYMBOL_BYTES: usize = 56;
/// Bytes of a posting while postings are sorted: value and series.
const POSTING_BYTES: usize = 8;
/// Frames of the file of symbols: one of each epoch is in memory while they are merged.
const SYMBOL_FRAME_BYTES: usize = 16 << 10;

/// Label sets by preliminary numbers.
#[derive(Debug)]
pub(crate) struct Interner {
    buffer_bytes: usize,
    /// The symbols of this epoch.
    symbols: HashMap<Box<str>, u32>,
    symbols_bytes: usize,
    num_preliminary: u32,
    /// Symbols of earlier epochs: sorted runs, and where each ends.
    spilled: Scratch,
    run_ends: Vec<u64>,
    /// Lists of name symbols of this epoch, and all lists.
    schemas: HashMap<Vec<u32>, u32>,
    all_schemas: Vec<Vec<u32>>,
    /// How many series have each schema.
    series_of: Vec<u32>,
    /// Per series its schema and its value symbols.
    series: Scratch,
    num_series: u32,
    names: Vec<u32>,
    values: Vec<u32>,
    record: Vec<u8>,
}

impl Interner {
    /// An empty one that holds about `buffer_bytes` and has its scratch files in `dir`.
    pub(crate) fn new(fs: &Arc<dyn Fs>, dir: &Path, buffer_bytes: usize) -> Self {
        let [symbols, series] = SCRATCH_FILES.map(|name| dir.join(name));
        Self {
            buffer_bytes,
            symbols: HashMap::new(),
            symbols_bytes: 0,
            num_preliminary: 0,
            spilled: Scratch::new(Arc::clone(fs), symbols, SYMBOL_FRAME_BYTES),
            run_ends: Vec::new(),
            schemas: HashMap::new(),
            all_schemas: Vec::new(),
            series_of: Vec::new(),
            series: Scratch::new(Arc::clone(fs), series, buffer_bytes / 4),
            num_series: 0,
            names: Vec::new(),
            values: Vec::new(),
            record: Vec::new(),
        }
    }

    /// Adds the next series.
    pub(crate) fn add(&mut self, labels: &Labels) -> Result<(), BlockError> {
        if self.symbols_bytes > self.buffer_bytes / 2 {
            self.spill()?;
        }
        self.names.clear();
        self.values.clear();
        for (name, value) in labels {
            let (name, value) = (self.symbol(name)?, self.symbol(value)?);
            self.names.push(name);
            self.values.push(value);
        }
        let schema = if let Some(known) = self.schemas.get(&self.names) {
            *known
        } else {
            let next = number(self.all_schemas.len())?;
            self.all_schemas.push(self.names.clone());
            self.series_of.push(0);
            self.schemas.insert(self.names.clone(), next);
            next
        };
        self.series_of[schema as usize] += 1;
        self.record.clear();
        put_u64(&mut self.record, u64::from(schema));
        for value in &self.values {
            put_u64(&mut self.record, u64::from(*value));
        }
        self.series.push(&self.record)?;
        self.num_series = self.num_series.checked_add(1).ok_or(BlockError::TooLarge)?;
        Ok(())
    }

    fn symbol(&mut self, text: &str) -> Result<u32, BlockError> {
        if let Some(known) = self.symbols.get(text) {
            return Ok(*known);
        }
        let next = self.num_preliminary;
        // The last number stays free: postings count values from one.
        if next == u32::MAX - 1 {
            return Err(BlockError::TooLarge);
        }
        self.num_preliminary += 1;
        self.symbols_bytes += text.len() + SYMBOL_BYTES;
        self.symbols.insert(text.into(), next);
        Ok(next)
    }

    /// Ends the epoch.
    fn spill(&mut self) -> Result<(), BlockError> {
        for (text, preliminary) in sorted(std::mem::take(&mut self.symbols)) {
            self.record.clear();
            self.record.extend_from_slice(&preliminary.to_le_bytes());
            self.record.extend_from_slice(text.as_bytes());
            self.spilled.push(&self.record)?;
        }
        self.run_ends.push(self.spilled.end_run()?);
        self.symbols_bytes = 0;
        self.schemas = HashMap::new();
        Ok(())
    }

    pub(crate) const fn num_series(&self) -> u32 {
        self.num_series
    }

    /// Bytes of memory that it holds, or will when it writes what it gathered.
    pub(crate) fn heap_bytes(&self) -> usize {
        let postings = self.buffer_bytes.max(self.num_series as usize * POSTING_BYTES);
        self.symbols_bytes
            + self.series.heap_bytes()
            + self.all_schemas.iter().map(|s| s.len() * 8 + 96).sum::<usize>()
            + self.run_ends.len() * 2 * SYMBOL_FRAME_BYTES
            + self.num_preliminary as usize * 4
            + postings
    }

    /// Writes symbols, schemas, label sets and postings.
    pub(crate) fn finish(mut self, file: &mut SealedWriter) -> Result<(), BlockError> {
        let ranks = self.write_symbols(file)?;
        let rank = |symbol: u32| ranks.get(symbol as usize).copied().unwrap_or_default();

        // The same list of names has a number in each epoch.
        let (mut schemas, mut known) = (Vec::new(), HashMap::new());
        let mut final_schemas = Vec::with_capacity(self.all_schemas.len());
        for names in std::mem::take(&mut self.all_schemas) {
            let names: Vec<u32> = names.into_iter().map(rank).collect();
            let next = number(schemas.len())?;
            final_schemas.push(*known.entry(names.clone()).or_insert(next));
            if schemas.len() < known.len() {
                schemas.push(names);
            }
        }
        series::write_schemas(file, kind::SCHEMAS, &schemas)?;
        let mut sets = Sets { records: self.series.all()?, final_schemas: &final_schemas };
        let mut writer = SeriesWriter::new(file, kind::SERIES);
        let mut values = Vec::new();
        while let Some(schema) = sets.next(&rank, &mut values)? {
            writer.add(file, schema, &values)?;
        }
        writer.finish(file)?;

        let mut num_postings = std::collections::BTreeMap::<u32, usize>::new();
        for (schema, series) in final_schemas.iter().zip(&self.series_of) {
            for name in schemas.get(*schema as usize).into_iter().flatten() {
                *num_postings.entry(*name).or_default() += *series as usize;
            }
        }
        let mut writer = PostingsWriter::new(file, kind::POSTINGS);
        let most = self.buffer_bytes / POSTING_BYTES;
        let mut rest: Vec<(u32, usize)> = num_postings.into_iter().collect();
        while !rest.is_empty() {
            let mut sum = 0;
            let fit = rest.iter().take_while(|(_, n)| {
                sum += n;
                sum <= most
            });
            let fit = fit.count().max(1);
            let mut group: Vec<NamePostings> =
                rest.drain(..fit).map(|(name, n)| NamePostings::new(name, n)).collect();
            let places: Vec<Vec<(usize, usize)>> =
                schemas.iter().map(|names| places(names, &group)).collect();
            let mut sets = Sets { records: self.series.all()?, final_schemas: &final_schemas };
            for series in 0..self.num_series {
                let Some(schema) = sets.next(&rank, &mut values)? else { break };
                for (at, of) in places.get(schema as usize).into_iter().flatten() {
                    if let (Some(value), Some(name)) = (values.get(*at), group.get_mut(*of)) {
                        name.pairs.push(u64::from(*value) << 32 | u64::from(series));
                        name.any.insert(series);
                    }
                }
            }
            for NamePostings { name, mut pairs, any } in group {
                pairs.sort_unstable();
                writer.name(file, name, any, &pairs)?;
            }
        }
        writer.finish(file)?;
        for scratch in [self.spilled, self.series] {
            scratch.remove().map_err(|e| BlockError::io(Path::new(SCRATCH_FILES[0]), e))?;
        }
        Ok(())
    }

    /// Writes the symbols of all epochs in order; returns the final numbers by preliminary ones.
    fn write_symbols(&mut self, file: &mut SealedWriter) -> Result<Vec<u32>, BlockError> {
        let mut ranks = vec![0; self.num_preliminary as usize];
        let mut runs = Vec::new();
        let mut start = 0;
        for end in &self.run_ends {
            runs.push(Run::File(self.spilled.run(start..*end)?));
            start = *end;
        }
        self.schemas = HashMap::new();
        runs.push(Run::Memory(sorted(std::mem::take(&mut self.symbols)).into_iter()));

        let mut next = BinaryHeap::new();
        for (n, run) in runs.iter_mut().enumerate() {
            next.extend(run.next()?.map(|(text, preliminary)| Reverse((text, n, preliminary))));
        }
        let mut writer = SymbolWriter::new(file, kind::SYMBOLS);
        let mut before: Option<Box<str>> = None;
        while let Some(Reverse((text, n, preliminary))) = next.pop() {
            if before.as_deref() != Some(&*text) {
                writer.add(file, &text)?;
                before = Some(text);
            }
            if let Some(rank) = ranks.get_mut(preliminary as usize) {
                *rank = writer.len() - 1;
            }
            if let Some(run) = runs.get_mut(n) {
                next.extend(run.next()?.map(|(text, preliminary)| Reverse((text, n, preliminary))));
            }
        }
        writer.finish(file)?;
        Ok(ranks)
    }
}

/// Sorted symbols of an epoch.
enum Run<'a> {
    File(ScratchReader<'a>),
    Memory(std::vec::IntoIter<(Box<str>, u32)>),
}

impl Run<'_> {
    fn next(&mut self) -> Result<Option<(Box<str>, u32)>, BlockError> {
        let reader = match self {
            Self::Memory(symbols) => return Ok(symbols.next()),
            Self::File(reader) => reader,
        };
        let Some(record) = reader.next()? else { return Ok(None) };
        let mut r = Reader::new(record);
        let preliminary = r.u32_le().unwrap_or_default();
        let text = std::str::from_utf8(r.rest()).unwrap_or_default();
        Ok(Some((text.into(), preliminary)))
    }
}

fn sorted(symbols: HashMap<Box<str>, u32>) -> Vec<(Box<str>, u32)> {
    let mut sorted: Vec<_> = symbols.into_iter().collect();
    sorted.sort_unstable();
    sorted
}

/// Reads the label sets back.
struct Sets<'a> {
    records: ScratchReader<'a>,
    final_schemas: &'a [u32],
}

impl Sets<'_> {
    /// Schema and values of the next series, in final numbers.
    fn next(
        &mut self,
        rank: &impl Fn(u32) -> u32,
        values: &mut Vec<u32>,
    ) -> Result<Option<u32>, BlockError> {
        let Some(record) = self.records.next()? else { return Ok(None) };
        let mut r = Reader::new(record);
        let mut symbol = || u32::try_from(r.u64()?).ok();
        let schema = symbol().and_then(|schema| self.final_schemas.get(schema as usize));
        values.clear();
        values.extend(std::iter::from_fn(symbol).map(rank));
        Ok(Some(schema.copied().unwrap_or_default()))
    }
}

/// The postings of a name, on their way to the file.
struct NamePostings {
    name: u32,
    /// Value in the upper half, series in the lower.
    pairs: Vec<u64>,
    any: RoaringBitmap,
}

impl NamePostings {
    fn new(name: u32, num_postings: usize) -> Self {
        Self { name, pairs: Vec::with_capacity(num_postings), any: RoaringBitmap::new() }
    }
}

/// Where in a schema the names of a group are, and where those are in the group.
fn places(names: &[u32], group: &[NamePostings]) -> Vec<(usize, usize)> {
    let of = |name: &u32| group.binary_search_by_key(name, |g| g.name).ok();
    names.iter().enumerate().filter_map(|(at, name)| Some((at, of(name)?))).collect()
}

fn number(n: usize) -> Result<u32, BlockError> {
    u32::try_from(n).ok().filter(|n| *n < u32::MAX).ok_or(BlockError::TooLarge)
}
