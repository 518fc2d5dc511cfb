//! The frames that hold the series of the head: labels, what they have logged, and chunks. Each frame
//! has the strings, schemas and time columns that its series name, so that frames are read in any
//! order and damage to one costs only its own series.

use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashMap;
use model::ColumnId;

use crate::chunk::Encoding;
use crate::chunk::time_stream::{MAX_SAMPLES, SavedTimes};
use crate::chunk::value_stream::ValueState;
use crate::encoding::varint::{Reader, put_bytes, put_i64, put_u64};
use crate::head::index::HeadIndex;
use crate::head::label_codes::SchemaId;
use crate::head::open::{OpenChunk, OpenStore, SavedValues};
use crate::head::sealed::SealedChunk;
use crate::head::series::Series;
use crate::head::symbols::SymbolId;
use crate::wal::record::SeriesRef;

/// What a series has besides labels and sealed chunks.
mod flag {
    /// The newest logged value is a float, whose bits follow.
    pub(super) const FLOAT: u8 = 1;
    /// The newest logged value is that of the open chunk.
    pub(super) const SAME_FLOAT: u8 = 2;
    /// The newest logged time follows; else it is that of the open chunk.
    pub(super) const LOGGED_T: u8 = 4;
    /// The newest late time follows.
    pub(super) const LATE_T: u8 = 8;
    /// There is an open chunk.
    pub(super) const OPEN: u8 = 16;
    pub(super) const ALL: u8 = 31;
}

/// The number of the encoding of a sealed chunk that is still the stream of an open one.
const STREAM: u8 = 0;

/// Builds a frame, series by series.
#[derive(Debug, Default)]
pub(super) struct FrameBuilder {
    strings: Table<SymbolId>,
    schemas: Table<SchemaId>,
    columns: Table<(ColumnId, bool)>,
    series: Vec<u8>,
    num_series: u64,
    before: u64,
    /// The label values of the series before, and their numbers: most stay from series to series.
    latest: Vec<(SymbolId, u64)>,
}

/// What is written once and named by its number.
#[derive(Debug)]
struct Table<K> {
    numbers: HashMap<K, u64>,
    bytes: Vec<u8>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), bytes: Vec::new() }
    }
}

impl<K: Eq + std::hash::Hash> Table<K> {
    fn number(&mut self, key: K, write: impl FnOnce(&mut Vec<u8>)) -> u64 {
        let next = self.numbers.len() as u64;
        *self.numbers.entry(key).or_insert_with(|| {
            write(&mut self.bytes);
            next
        })
    }

    fn put(&self, out: &mut Vec<u8>) {
        put_u64(out, self.numbers.len() as u64);
        out.extend_from_slice(&self.bytes);
    }
}

impl FrameBuilder {
    /// Adds a series with what of it is not below `boundary`; histograms are not part of it.
    pub(super) fn push(
        &mut self,
        series: &Series,
        store: &OpenStore,
        (slot, index): (u32, &HeadIndex),
        boundary: i64,
    ) {
        let out = &mut self.series;
        put_i64(out, series.id.0.wrapping_sub(self.before).cast_signed());
        self.before = series.id.0;
        self.num_series += 1;

        let strings = &mut self.strings;
        let mut string = |id| strings.number(id, |out| put_bytes(out, index.text(id).as_bytes()));
        let (schema, names) = index.schema(slot);
        let schema = self.schemas.number(schema, |out| {
            put_u64(out, names.len() as u64);
            for name in names {
                put_u64(out, string(*name));
            }
        });
        put_u64(out, schema);
        for (place, (_, value)) in index.pairs(slot).enumerate() {
            let number = match self.latest.get_mut(place) {
                Some((of, number)) if *of == value => *number,
                Some(latest) => {
                    *latest = (value, string(value));
                    latest.1
                }
                None => {
                    let number = string(value);
                    self.latest.push((value, number));
                    number
                }
            };
            put_u64(out, number);
        }

        let open = series.open.as_ref().filter(|c| c.maxt() >= boundary);
        let logged = series.logged.float_bits();
        let same = logged.is_some() && open.map(OpenChunk::last_bits) == logged;
        let mut flags = if open.is_some() { flag::OPEN } else { 0 };
        flags |= if same { flag::SAME_FLOAT } else { 0 };
        flags |= if logged.is_some() && !same { flag::FLOAT } else { 0 };
        let newest = open.is_some_and(|c| c.maxt() == series.logged_t);
        flags |= if newest { 0 } else { flag::LOGGED_T };
        flags |= if series.late_t > i64::MIN { flag::LATE_T } else { 0 };
        out.push(flags);
        if let (Some(bits), false) = (logged, same) {
            out.extend_from_slice(&bits.to_le_bytes());
        }
        if !newest {
            put_i64(out, series.logged_t);
        }
        if series.late_t > i64::MIN {
            put_i64(out, series.late_t);
        }

        let sealed = series.sealed.iter().filter(|c| c.maxt >= boundary);
        put_u64(out, sealed.clone().count() as u64);
        for chunk in sealed {
            let write = |out: &mut Vec<u8>| put_times(out, &sealed_times(chunk));
            put_u64(out, self.columns.number((chunk.column, false), write));
            out.push(chunk.encoding.map_or(STREAM, Encoding::number));
            put_bytes(out, &chunk.values);
        }
        if let Some(chunk) = open {
            let write = |out: &mut Vec<u8>| put_times(out, &chunk.save_times(store));
            put_u64(out, self.columns.number((chunk.column(store), true), write));
            put_values(out, chunk, store);
        }
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        let tables = [&self.strings.bytes, &self.schemas.bytes, &self.columns.bytes];
        self.series.len() + tables.iter().map(|t| t.len()).sum::<usize>()
    }

    /// The payload and the number of its series; `None` where there is none.
    pub(super) fn finish(self) -> Option<(Vec<u8>, u64)> {
        if self.num_series == 0 {
            return None;
        }
        let mut out = Vec::with_capacity(self.len() + 32);
        self.strings.put(&mut out);
        self.schemas.put(&mut out);
        self.columns.put(&mut out);
        put_u64(&mut out, self.num_series);
        out.extend_from_slice(&self.series);
        Some((out, self.num_series))
    }
}

/// The times of a chunk that does not go on.
fn sealed_times(chunk: &SealedChunk) -> SavedTimes {
    SavedTimes {
        mint: chunk.mint,
        maxt: chunk.maxt,
        count: chunk.count,
        column: chunk.column,
        delta: 0,
        num_bits: chunk.times.len() * 8,
        bytes: Arc::clone(&chunk.times),
    }
}

fn put_times(out: &mut Vec<u8>, times: &SavedTimes) {
    put_i64(out, times.mint);
    put_i64(out, times.maxt);
    put_u64(out, u64::from(times.count));
    out.extend_from_slice(&times.column.0.to_le_bytes());
    put_i64(out, times.delta);
    put_u64(out, times.num_bits as u64);
    out.extend_from_slice(&times.bytes);
}

fn take_times(r: &mut Reader<'_>) -> Option<SavedTimes> {
    let (mint, maxt) = (r.i64()?, r.i64()?);
    let count = u16::try_from(r.u64()?).ok().filter(|n| *n > 0)?;
    let column = ColumnId(u128::from_le_bytes(r.take(16)?.try_into().ok()?));
    let (delta, num_bits) = (r.i64()?, r.len()?);
    let bytes = r.take(num_bits.div_ceil(8))?.into();
    Some(SavedTimes { mint, maxt, count, column, delta, num_bits, bytes })
}

fn put_values(out: &mut Vec<u8>, chunk: &OpenChunk, store: &OpenStore) {
    let SavedValues { num_bits, state } = chunk.saved_values();
    put_u64(out, num_bits as u64);
    chunk.copy_values(store, out);
    out.extend_from_slice(&[state.scale, state.window, state.width]);
    out.extend_from_slice(&state.last.to_le_bytes());
    put_i64(out, state.integer);
}

fn take_values<'a>(r: &mut Reader<'a>) -> Option<(SavedValues, &'a [u8])> {
    let num_bits = r.len()?;
    let bytes = r.take(num_bits.div_ceil(8))?;
    let (scale, window, width) = (r.u8()?, r.u8()?, r.u8()?);
    let state = ValueState { scale, window, width, last: r.u64_le()?, integer: r.i64()? };
    state.is_sound().then_some((SavedValues { num_bits, state }, bytes))
}

/// A frame that was read: what its series share.
#[derive(Debug, Default)]
pub struct SeriesFrame<'a> {
    /// Strings, named by their place.
    pub strings: Vec<&'a str>,
    /// Lists of label names, which are places in `strings`.
    pub schemas: Vec<Vec<u32>>,
    /// The series.
    pub series: Vec<FrameSeries>,
    columns: Vec<SavedTimes>,
    /// How many sealed chunks name each column.
    users: Vec<u32>,
    values: Vec<u32>,
    sealed: Vec<(u32, Option<Encoding>, &'a [u8])>,
    open: Vec<(u32, SavedValues, &'a [u8])>,
}

/// A series in a frame.
#[derive(Debug)]
pub struct FrameSeries {
    /// Its name.
    pub id: SeriesRef,
    /// The place of its schema.
    pub schema: u32,
    /// Time of the newest logged row.
    pub logged_t: i64,
    /// Newest time of a row that was late when logged.
    pub late_t: i64,
    /// Bits of the newest logged row's value, where it is a float.
    pub logged: Option<u64>,
    values: Range<u32>,
    sealed: Range<u32>,
    open: Option<u32>,
}

impl<'a> SeriesFrame<'a> {
    /// Reads what [`FrameBuilder`] wrote, checking everything; `None` for other bytes. Allocates in
    /// proportion to `payload`.
    pub(super) fn decode(payload: &'a [u8]) -> Option<Self> {
        let (mut r, mut frame) = (Reader::new(payload), Self::default());
        for _ in 0..r.u64()? {
            frame.strings.push(r.str()?);
        }
        for _ in 0..r.u64()? {
            let schema = frame.take_schema(&mut r)?;
            frame.schemas.push(schema);
        }
        for _ in 0..r.u64()? {
            frame.columns.push(take_times(&mut r)?);
        }
        frame.users = vec![0; frame.columns.len()];
        let mut before = 0_u64;
        for _ in 0..r.u64()? {
            before = before.wrapping_add(r.i64()?.cast_unsigned());
            let series = frame.take_series(&mut r, SeriesRef(before))?;
            frame.series.push(series);
        }
        r.is_empty().then_some(frame)
    }

    fn take_schema(&self, r: &mut Reader<'_>) -> Option<Vec<u32>> {
        let mut names = Vec::new();
        let mut before = "";
        for _ in 0..r.u64()? {
            let name = u32::try_from(r.u64()?).ok()?;
            let text = self.strings.get(name as usize)?;
            // Label sets rely on their order; nothing that was read may break it.
            if !names.is_empty() && *text <= before {
                return None;
            }
            before = text;
            names.push(name);
        }
        Some(names)
    }

    fn take_series(&mut self, r: &mut Reader<'a>, id: SeriesRef) -> Option<FrameSeries> {
        let schema = u32::try_from(r.u64()?).ok()?;
        let num_values = self.schemas.get(schema as usize)?.len();
        let values = extent(&self.values)?;
        for _ in 0..num_values {
            let value = u32::try_from(r.u64()?).ok()?;
            self.strings.get(value as usize).filter(|text| !text.is_empty())?;
            self.values.push(value);
        }
        let flags = r.u8()?;
        if flags > flag::ALL || flags & flag::FLOAT != 0 && flags & flag::SAME_FLOAT != 0 {
            return None;
        }
        let has = |flag: u8| flags & flag != 0;
        let logged = if has(flag::FLOAT) { Some(r.u64_le()?) } else { None };
        let logged_t = if has(flag::LOGGED_T) { Some(r.i64()?) } else { None };
        let late_t = if has(flag::LATE_T) { r.i64()? } else { i64::MIN };
        let sealed = extent(&self.sealed)?;
        for _ in 0..r.u64()? {
            let column = self.take_column(r)?.0;
            let encoding = match r.u8()? {
                STREAM => None,
                number => Some(Encoding::from_number(number)?),
            };
            *self.users.get_mut(column as usize)? += 1;
            self.sealed.push((column, encoding, r.bytes()?));
        }
        let mut open = None;
        let mut newest = None;
        if has(flag::OPEN) {
            let (column, times) = self.take_column(r)?;
            let maxt = Some(times).filter(|times| times.count <= MAX_SAMPLES)?.maxt;
            let (values, bytes) = take_values(r)?;
            newest = Some((maxt, values.state.last));
            open = Some(extent(&self.open)?);
            self.open.push((column, values, bytes));
        }
        Some(FrameSeries {
            id,
            schema,
            logged_t: logged_t.or(newest.map(|(t, _)| t))?,
            late_t,
            logged: if has(flag::SAME_FLOAT) { Some(newest?.1) } else { logged },
            values: values..extent(&self.values)?,
            sealed: sealed..extent(&self.sealed)?,
            open,
        })
    }

    fn take_column(&self, r: &mut Reader<'_>) -> Option<(u32, &SavedTimes)> {
        let column = u32::try_from(r.u64()?).ok()?;
        Some((column, self.columns.get(column as usize)?))
    }

    /// The values of a series' labels, as places in `strings`.
    pub fn values(&self, series: &FrameSeries) -> &[u32] {
        self.values.get(within(&series.values)).unwrap_or_default()
    }

    /// The chunks of a series that do not grow, oldest first.
    pub fn sealed(&self, series: &FrameSeries) -> Vec<Arc<SealedChunk>> {
        let chunks = self.sealed.get(within(&series.sealed)).unwrap_or_default();
        let sealed = chunks.iter().filter_map(|(column, encoding, values)| {
            let times = self.columns.get(*column as usize)?;
            let users = self.users.get(*column as usize).copied().unwrap_or(1).max(1);
            Some(Arc::new(SealedChunk {
                mint: times.mint,
                maxt: times.maxt,
                count: times.count,
                column: times.column,
                times: Arc::clone(&times.bytes),
                times_share: u32::try_from(times.bytes.len()).ok()?.div_ceil(users),
                encoding: *encoding,
                values: (*values).into(),
            }))
        });
        sealed.collect()
    }

    /// The chunk of a series that grows.
    pub fn open(&self, series: &FrameSeries, store: &mut OpenStore) -> Option<OpenChunk> {
        let (column, saved, values) = self.open.get(series.open? as usize)?;
        OpenChunk::resume(self.columns.get(*column as usize)?, *saved, values, store)
    }
}

fn extent<T>(list: &[T]) -> Option<u32> {
    u32::try_from(list.len()).ok()
}

fn within(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}
