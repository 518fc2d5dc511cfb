//! The chunk of a series that grows. What it needs beyond a few words is in a store of its stripe: the
//! bits of its values in an [`Arena`], its times in [`Columns`] that series share.

use std::sync::Arc;

use model::ColumnId;

use crate::chunk::time_stream::SavedTimes;
use crate::chunk::value_stream::{BitSink, ValueState, decode_values};
use crate::head::arena::{Arena, Chain, NODE_BYTES};
use crate::head::columns::{ColumnRef, Columns};
use crate::head::sealed::SealedChunk;

/// What the open chunks of a stripe share.
#[derive(Debug)]
pub struct OpenStore {
    arena: Arena,
    columns: Columns,
    seed: u64,
}

/// The samples of a series since its last cut; at least one. It is not dropped but sealed or cleared,
/// with the store that it was made with.
#[derive(Debug)]
pub struct OpenChunk {
    column: ColumnRef,
    count: u16,
    mint: i64,
    maxt: i64,
    state: ValueState,
    bits: Chain,
}

const _: () = assert!(size_of::<OpenChunk>() <= 72, "each series has one");

/// A chunk as it stands, to be read without its store.
#[derive(Debug, Default)]
pub struct OpenCopy {
    /// Number of samples; 0 where there is nothing to read.
    pub count: u16,
    /// Names the times, where that is known.
    pub column: Option<ColumnId>,
    /// The encoded times; there may be more than `count`.
    pub times: Arc<[u8]>,
    /// The encoded values.
    pub values: Vec<u8>,
}

/// Where the values of an open chunk go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavedValues {
    /// Bits in use.
    pub num_bits: usize,
    /// What comes next is coded by.
    pub state: ValueState,
}

/// A chain that is written to.
struct Tail<'a> {
    bits: &'a mut Chain,
    arena: &'a mut Arena,
}

impl BitSink for Tail<'_> {
    #[inline]
    fn write(&mut self, v: u64, n: u32) {
        self.bits.write(self.arena, v, n);
    }
}

impl OpenStore {
    /// An empty store; `seed` is the process's.
    pub fn new(seed: u64) -> Self {
        Self { arena: Arena::default(), columns: Columns::new(seed), seed }
    }

    /// The seed of the process.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Bytes of memory that no chunk answers for.
    pub const fn shared_bytes(&self) -> usize {
        self.arena.idle_bytes() + self.columns.heap_bytes()
    }

    /// Whether [`OpenStore::settle`] would give memory back.
    pub const fn is_sparse(&self) -> bool {
        self.arena.is_sparse()
    }

    /// Moves the bits of `chunks`, which are all that there are, together.
    pub fn settle<'c>(&mut self, chunks: impl Iterator<Item = &'c mut OpenChunk>) {
        self.arena.settle(chunks.map(|chunk| &mut chunk.bits));
    }
}

impl OpenChunk {
    /// A chunk of one sample.
    pub fn new(t: i64, v: f64, store: &mut OpenStore) -> Self {
        let mut chunk = Self {
            column: store.columns.start(t),
            count: 1,
            mint: t,
            maxt: t,
            state: ValueState::starting_with(v),
            bits: Chain::EMPTY,
        };
        let is_in = chunk.push(v, &mut store.arena);
        debug_assert!(is_in, "the scale was chosen for it");
        chunk
    }

    /// Number of samples.
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// First time, ms.
    pub const fn mint(&self) -> i64 {
        self.mint
    }

    /// Last time, ms.
    pub const fn maxt(&self) -> i64 {
        self.maxt
    }

    /// Bits of the last value.
    pub const fn last_bits(&self) -> u64 {
        self.state.last
    }

    /// Bytes of memory outside the struct, without the column.
    pub const fn heap_bytes(&self) -> usize {
        self.bits.num_nodes() * NODE_BYTES
    }

    /// Appends a sample; `t` must be newer than [`OpenChunk::maxt`].
    #[inline]
    pub fn append(&mut self, t: i64, v: f64, store: &mut OpenStore) {
        debug_assert!(t > self.maxt, "times increase");
        self.column = store.columns.advance(self.column, self.count, t);
        if !self.push(v, &mut store.arena) {
            self.encode_anew(v, &mut store.arena);
        }
        self.maxt = t;
        self.count += 1;
    }

    #[inline]
    fn push(&mut self, v: f64, arena: &mut Arena) -> bool {
        self.state.append(v, &mut Tail { bits: &mut self.bits, arena })
    }

    /// Takes a finer scale, in which what is there and `v` can be.
    #[cold]
    fn encode_anew(&mut self, v: f64, arena: &mut Arena) {
        let (mut bytes, mut values) = (vec![self.state.scale], Vec::new());
        self.bits.copy_to(arena, &mut bytes);
        decode_values(&bytes, self.count, 0, self.count.into(), &mut values)
            .expect("an open chunk was encoded here");
        self.bits.clear(arena);
        self.state = self.state.finer(&values, v);
        for v in values.into_iter().chain([v]) {
            let is_in = self.push(v, arena);
            debug_assert!(is_in, "the scale was chosen for it");
        }
    }

    /// Reads a word of each cache line of `store` that [`OpenChunk::append`] will change.
    pub fn look(&self, store: &OpenStore) -> u64 {
        self.bits.look(&store.arena) ^ store.columns.look(self.column)
    }

    /// Copies what it takes to read it.
    pub fn copy_to(&self, store: &mut OpenStore, copy: &mut OpenCopy) {
        copy.count = self.count;
        copy.column = store.columns.id(self.column, self.count);
        copy.times = store.columns.bytes(self.column);
        copy.values.clear();
        copy.values.push(self.state.scale);
        self.bits.copy_to(&store.arena, &mut copy.values);
    }

    /// The chunk as it stands, for good.
    pub fn seal(mut self, store: &mut OpenStore) -> SealedChunk {
        let (times, column, times_share) = store.columns.seal(self.column, self.count);
        let mut values = Vec::with_capacity(1 + self.bits.num_bits().div_ceil(8));
        values.push(self.state.scale);
        self.bits.copy_to(&store.arena, &mut values);
        self.bits.clear(&mut store.arena);
        store.columns.release(self.column);
        SealedChunk {
            mint: self.mint,
            maxt: self.maxt,
            count: self.count,
            column,
            times,
            times_share,
            encoding: None,
            values: values.into_boxed_slice(),
        }
    }

    /// Gives back what it has in `store`.
    pub fn clear(mut self, store: &mut OpenStore) {
        self.bits.clear(&mut store.arena);
        store.columns.release(self.column);
    }

    /// Names its times.
    pub fn column(&self, store: &OpenStore) -> ColumnId {
        let known = store.columns.id(self.column, self.count);
        known.unwrap_or_else(|| self.save_times(store).column)
    }

    /// The times, with what it takes to go on.
    pub fn save_times(&self, store: &OpenStore) -> SavedTimes {
        store.columns.save(self.column, self.count)
    }

    /// What it takes to go on with the values, besides their bits.
    pub const fn saved_values(&self) -> SavedValues {
        SavedValues { num_bits: self.bits.num_bits(), state: self.state }
    }

    /// Appends the bits of the values to `out`.
    pub fn copy_values(&self, store: &OpenStore, out: &mut Vec<u8>) {
        self.bits.copy_to(&store.arena, out);
    }

    /// Goes on where [`OpenChunk::save_times`] and [`OpenChunk::saved_values`] were; `None` where that
    /// cannot be.
    pub fn resume(
        times: &SavedTimes,
        SavedValues { num_bits, state }: SavedValues,
        values: &[u8],
        store: &mut OpenStore,
    ) -> Option<Self> {
        if times.count == 0 || !state.is_sound() {
            return None;
        }
        let mut bits = Chain::resume(&mut store.arena, values, num_bits)?;
        let Some(column) = store.columns.resume(times) else {
            bits.clear(&mut store.arena);
            return None;
        };
        let &SavedTimes { count, mint, maxt, .. } = times;
        Some(Self { column, count, mint, maxt, state, bits })
    }
}
