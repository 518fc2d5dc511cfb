//! Which blocks retention drops: a pure function of what the blocks say about themselves.
//!
//! Only whole blocks go. A block that beats another one (see ARCHITECTURE.md, "Which write wins") stays as
//! long as that one does, or the values that it overwrote would come back.

use crate::block::BlockId;
use crate::compact::Candidate;

/// The blocks that end before `min_time_ms`.
pub fn by_time(blocks: &[Candidate], min_time_ms: i64) -> Vec<BlockId> {
    drop_while(blocks, |oldest, _| oldest.maxt < min_time_ms)
}

/// The oldest blocks, as many as must go for the rest to have at most `max_bytes`.
pub fn by_size(blocks: &[Candidate], max_bytes: u64) -> Vec<BlockId> {
    drop_while(blocks, |_, live| {
        live.iter().fold(0_u64, |sum, b| sum.saturating_add(b.bytes)) > max_bytes
    })
}

/// Drops the oldest block that beats none of the others, while `goes` says so of it and of all
/// that are left.
fn drop_while(
    blocks: &[Candidate],
    goes: impl Fn(&Candidate, &[Candidate]) -> bool,
) -> Vec<BlockId> {
    let mut live = blocks.to_vec();
    live.sort_by_key(|b| (b.maxt, b.mint, b.id));
    let mut gone = Vec::new();
    loop {
        let beats_none =
            |b: &Candidate| !live.iter().any(|o| o.late_seq < b.late_seq && o.overlaps(b));
        let Some(at) = live.iter().position(beats_none) else { return gone };
        if !goes(&live[at], &live) {
            return gone;
        }
        gone.push(live.remove(at).id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(n: u128, mint: i64, maxt: i64, late_seq: u64) -> Candidate {
        Candidate { id: BlockId::new(0, n), mint, maxt, late_seq, bytes: 10 }
    }

    fn ids(numbers: &[u128]) -> Vec<BlockId> {
        numbers.iter().map(|n| BlockId::new(0, *n)).collect()
    }

    #[test]
    fn blocks_that_end_before_the_bound_go() {
        let blocks = [block(2, 10, 19, 0), block(1, 0, 9, 0), block(3, 20, 29, 0)];
        assert_eq!(by_time(&blocks, 9), []);
        assert_eq!(by_time(&blocks, 10), ids(&[1]));
        assert_eq!(by_time(&blocks, i64::MAX), ids(&[1, 2, 3]));
    }

    #[test]
    fn a_block_stays_while_it_hides_values_of_one_that_stays() {
        let blocks = [block(1, 0, 29, 0), block(2, 5, 9, 7), block(3, 5, 8, 9), block(4, 0, 4, 0)];
        assert_eq!(by_time(&blocks, 20), ids(&[4]));
        assert_eq!(by_time(&blocks, 30), ids(&[4, 1, 2, 3]));
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits() {
        let blocks = [block(3, 20, 29, 0), block(1, 0, 9, 0), block(2, 10, 19, 0)];
        assert_eq!(by_size(&blocks, 30), []);
        assert_eq!(by_size(&blocks, 29), ids(&[1]));
        assert_eq!(by_size(&blocks, 10), ids(&[1, 2]));
        assert_eq!(by_size(&blocks, 0), ids(&[1, 2, 3]));
    }
}
