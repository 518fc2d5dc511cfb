//! Memory for the bits of open chunks: nodes of one cache line in chains, so that a chunk that grows
//! moves nothing, and an append touches one line of it.

/// Words of bits in a node; the eighth is the link.
const WORDS: usize = 7;
/// Bytes of a node.
pub const NODE_BYTES: usize = 64;
/// Nodes that are allocated at once.
const PAGE: u32 = 256;
const NONE: u32 = u32::MAX;
/// Bits of a word behind which one more value mostly fills it.
const NEARLY_FULL: u8 = 40;

#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Node {
    words: [u64; WORDS],
    next: u32,
}

const _: () = assert!(size_of::<Node>() == NODE_BYTES, "a node is a cache line");

/// The nodes of one stripe.
#[derive(Debug)]
pub struct Arena {
    pages: Vec<Box<[Node]>>,
    /// First of the free nodes; they are chained.
    free: u32,
    num_free: u32,
}

impl Default for Arena {
    fn default() -> Self {
        Self { pages: Vec::new(), free: NONE, num_free: 0 }
    }
}

impl Arena {
    /// Bytes of memory of nodes that hold nothing.
    pub const fn idle_bytes(&self) -> usize {
        self.num_free as usize * NODE_BYTES
    }

    /// Whether most of it is idle, so that it is worth to move what is not ([`Arena::settle`]).
    pub const fn is_sparse(&self) -> bool {
        let (nodes, idle) = (self.pages.len() * PAGE as usize, self.num_free as usize);
        idle == nodes && nodes > 0 || nodes > PAGE as usize && idle * 2 > nodes
    }

    /// Moves `chains`, which are all that there are, to where they leave no room, and gives the rest
    /// of the memory back.
    pub fn settle<'c>(&mut self, chains: impl Iterator<Item = &'c mut Chain>) {
        let mut settled = Self::default();
        for chain in chains {
            let mut from = chain.first;
            let mut moved = Chain { first: NONE, last: NONE, ..*chain };
            for _ in 0..chain.num_nodes() {
                let node = *self.node(from);
                from = node.next;
                let to = settled.take();
                *settled.node_mut(to) = Node { next: NONE, ..node };
                settled.link(&mut moved, to);
            }
            *chain = moved;
        }
        *self = settled;
    }

    fn node(&self, number: u32) -> &Node {
        &self.pages[(number / PAGE) as usize][(number % PAGE) as usize]
    }

    fn node_mut(&mut self, number: u32) -> &mut Node {
        &mut self.pages[(number / PAGE) as usize][(number % PAGE) as usize]
    }

    fn take(&mut self) -> u32 {
        if self.free == NONE {
            self.add_page();
        }
        let taken = self.free;
        self.free = self.node(taken).next;
        self.num_free -= 1;
        taken
    }

    #[cold]
    fn add_page(&mut self) {
        let first = u32::try_from(self.pages.len()).expect("a stripe has fewer nodes") * PAGE;
        let links = (first + 1..first + PAGE).chain([NONE]);
        self.pages.push(links.map(|next| Node { words: [0; WORDS], next }).collect());
        (self.free, self.num_free) = (first, self.num_free + PAGE);
    }

    fn link(&mut self, chain: &mut Chain, node: u32) {
        match chain.last {
            NONE => chain.first = node,
            last => self.node_mut(last).next = node,
        }
        chain.last = node;
    }
}

/// A stream of bits in an [`Arena`], which must be the same for all calls. Most significant bit first.
#[derive(Debug, Clone, Copy)]
pub struct Chain {
    /// Bits that are in no node yet, in the low `pending` bits.
    word: u64,
    first: u32,
    last: u32,
    num_words: u16,
    pending: u8,
}

impl Chain {
    /// No bits.
    pub const EMPTY: Self = Self { word: 0, first: NONE, last: NONE, num_words: 0, pending: 0 };

    /// Nodes that it takes.
    pub const fn num_nodes(&self) -> usize {
        (self.num_words as usize).div_ceil(WORDS)
    }

    /// Number of bits.
    pub const fn num_bits(&self) -> usize {
        self.num_words as usize * 64 + self.pending as usize
    }

    /// Appends the low `n` bits of `v`; higher bits of `v` must be zero. `n <= 64`.
    #[inline]
    pub fn write(&mut self, arena: &mut Arena, v: u64, n: u32) {
        debug_assert!(n == 64 || v >> n == 0, "bits above the width");
        let pending = u32::from(self.pending);
        let free = 64 - pending;
        if n < free {
            self.word = self.word << n | v;
            self.pending = (pending + n).to_le_bytes()[0];
            return;
        }
        // The word fills up and moves out, what does not fit begins the next one.
        let over = n - free;
        let full = if free == 64 { v >> over } else { self.word << free | v >> over };
        self.push(arena, full);
        self.word = if over == 0 { 0 } else { v & (u64::MAX >> (64 - over)) };
        self.pending = over.to_le_bytes()[0];
    }

    fn push(&mut self, arena: &mut Arena, word: u64) {
        let place = usize::from(self.num_words) % WORDS;
        if place == 0 {
            let node = arena.take();
            arena.node_mut(node).next = NONE;
            arena.link(self, node);
        }
        arena.node_mut(self.last).words[place] = word;
        self.num_words += 1;
    }

    /// Reads a word of the last node, if a value or two will get there; else of any, because a processor that
    /// has to guess what to read guesses wrong.
    pub fn look(&self, arena: &Arena) -> u64 {
        let is_due = self.pending >= NEARLY_FULL && self.last != NONE;
        let number = if is_due { self.last } else { 0 };
        let page = arena.pages.get((number / PAGE) as usize);
        page.map_or(0, |page| page[(number % PAGE) as usize].words[0])
    }

    /// Gives the nodes back.
    pub fn clear(&mut self, arena: &mut Arena) {
        if self.last != NONE {
            arena.node_mut(self.last).next = arena.free;
            arena.free = self.first;
            arena.num_free += u32::try_from(self.num_nodes()).expect("a chunk has few nodes");
        }
        *self = Self::EMPTY;
    }

    /// Appends the bits to `out`, the last byte padded with zero bits.
    pub fn copy_to(&self, arena: &Arena, out: &mut Vec<u8>) {
        let (mut left, mut at) = (usize::from(self.num_words), self.first);
        out.reserve(self.num_bits().div_ceil(8));
        while left > 0 {
            let node = arena.node(at);
            for word in node.words.iter().take(left) {
                out.extend_from_slice(&word.to_be_bytes());
            }
            left = left.saturating_sub(WORDS);
            at = node.next;
        }
        if self.pending > 0 {
            let word = self.word << (64 - self.pending);
            out.extend_from_slice(&word.to_be_bytes()[..usize::from(self.pending).div_ceil(8)]);
        }
    }

    /// The first `num_bits` bits of `bytes`; `None` where there are fewer, or more than a chunk has.
    pub fn resume(arena: &mut Arena, bytes: &[u8], num_bits: usize) -> Option<Self> {
        let (whole, tail) = bytes.split_at_checked(num_bits / 64 * 8)?;
        u16::try_from(num_bits / 64).ok()?;
        let pending = u32::try_from(num_bits % 64).ok()?;
        let mut word = [0; 8];
        let tail = tail.get(..(pending as usize).div_ceil(8))?;
        word[..tail.len()].copy_from_slice(tail);
        let mut chain = Self::EMPTY;
        for word in whole.as_chunks::<8>().0 {
            chain.push(arena, u64::from_be_bytes(*word));
        }
        chain.word = u64::from_be_bytes(word).checked_shr(64 - pending).unwrap_or(0);
        chain.pending = pending.to_le_bytes()[0];
        Some(chain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::bits::BitWriter;
    use proptest::prelude::*;

    fn bytes(chain: &Chain, arena: &Arena) -> Vec<u8> {
        let mut out = Vec::new();
        chain.copy_to(arena, &mut out);
        out
    }

    #[test]
    fn what_is_cleared_is_used_again_and_what_is_left_can_be_moved_together() {
        let mut arena = Arena::default();
        let mut chains = vec![Chain::EMPTY; 2000];
        for round in 0..20 {
            for (n, chain) in (0..).zip(&mut chains) {
                chain.write(&mut arena, n + round, 64);
            }
        }
        let pages = arena.pages.len();
        assert_eq!(pages, (2000 * 3_usize).div_ceil(PAGE as usize));
        let want: Vec<Vec<u8>> = chains.iter().map(|c| bytes(c, &arena)).collect();
        for chain in chains.iter_mut().step_by(2) {
            chain.clear(&mut arena);
        }
        let mut more = vec![Chain::EMPTY; 900];
        for chain in &mut more {
            (0..21).for_each(|v| chain.write(&mut arena, v, 64));
        }
        assert_eq!((arena.pages.len(), arena.is_sparse()), (pages, false));
        for chain in &mut more {
            chain.clear(&mut arena);
        }
        for chain in chains.iter_mut().skip(1).step_by(4) {
            chain.clear(&mut arena);
        }
        assert!(arena.is_sparse());
        arena.settle(chains.iter_mut());
        assert_eq!(arena.pages.len(), (500 * 3_usize).div_ceil(PAGE as usize));
        for (n, (chain, want)) in chains.iter_mut().zip(want).enumerate() {
            let want = if n % 4 == 3 { want } else { Vec::new() };
            assert_eq!(bytes(chain, &arena), want);
            // It goes on where it is.
            chain.write(&mut arena, 7, 64);
            assert_eq!(bytes(chain, &arena), [&want[..], &7_u64.to_be_bytes()].concat());
        }
    }

    proptest! {
        #[test]
        fn a_chain_holds_the_bits_of_a_bit_writer(
            parts in proptest::collection::vec((any::<u64>(), 1..=64_u32, 0..3_usize), 0..200),
        ) {
            let mut arena = Arena::default();
            let (mut chains, mut writers) = ([Chain::EMPTY; 3], [const { BitWriter::new() }; 3]);
            for (v, n, which) in &parts {
                chains[*which].write(&mut arena, v >> (64 - n), *n);
                writers[*which].write(v >> (64 - n), *n);
            }
            for (chain, writer) in chains.iter().zip(&writers) {
                let mut want = Vec::new();
                writer.copy_to(&mut want);
                prop_assert_eq!(bytes(chain, &arena), &want[..]);
                prop_assert_eq!(chain.num_bits(), writer.num_bits());
                let bits = writer.num_bits();
                let mut resumed = Chain::resume(&mut arena, &want, bits).unwrap();
                prop_assert_eq!(bytes(&resumed, &arena), &want[..]);
                let mut writer = BitWriter::resume(&want, bits).unwrap();
                resumed.write(&mut arena, 5, 7);
                writer.write(5, 7);
                prop_assert_eq!(bytes(&resumed, &arena), writer.finish());
                prop_assert!(Chain::resume(&mut arena, &want, want.len() * 8 + 1).is_none());
            }
        }
    }
}
