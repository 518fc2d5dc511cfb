//! Which blocks retention drops: a pure function of what the blocks say about themselves.
//!
//! Only whole blocks go. A block that beats another one (see ARCHITECTURE.md, "Which write wins") stays as
//! long as that one does, or the values that it overwrote would come back.

use crate::block::BlockId;
use crate::compact::Candidate;

/// The blocks that end before `min_time_ms`.
pub fn by_time(blocks: &[Candidate], min_time_ms: i64) -> Vec<BlockId> {
    drop_while(blocks, |oldest| oldest.maxt < min_time_ms)
}

/// The oldest blocks of several databases that share a disk, as many as must go for the rest to have
/// at most `max_bytes`: for each database those that go, in the order in which they may.
pub fn by_size(databases: &[Vec<Candidate>], max_bytes: u64) -> Vec<Vec<BlockId>> {
    let mut bytes = databases.iter().flatten().fold(0_u64, |sum, b| sum.saturating_add(b.bytes));
    let orders: Vec<Vec<BlockId>> =
        databases.iter().map(|blocks| drop_while(blocks, |_| true)).collect();
    let mut gone = vec![0; databases.len()];
    let next = |gone: &[usize], n: usize| {
        let id = orders[n].get(gone[n])?;
        databases[n].iter().find(|b| b.id == *id)
    };
    while bytes > max_bytes {
        let heads = (0..databases.len()).filter_map(|n| Some((next(&gone, n)?, n)));
        let Some((oldest, n)) = heads.min_by_key(|(b, n)| (b.maxt, *n)) else { break };
        bytes = bytes.saturating_sub(oldest.bytes);
        gone[n] += 1;
    }
    orders
        .into_iter()
        .zip(gone)
        .map(|(mut order, n)| {
            order.truncate(n);
            order
        })
        .collect()
}

/// Those of `chosen` that may still go, after the set of blocks changed since they were chosen.
pub fn still(blocks: &[Candidate], chosen: &[BlockId]) -> Vec<BlockId> {
    drop_while(blocks, |oldest| chosen.contains(&oldest.id))
}

/// Drops the oldest block that beats none of the others, while `goes` says so of it.
fn drop_while(blocks: &[Candidate], goes: impl Fn(&Candidate) -> bool) -> Vec<BlockId> {
    let mut live = blocks.to_vec();
    live.sort_by_key(|b| (b.maxt, b.mint, b.id));
    let mut gone = Vec::new();
    loop {
        let beats_none =
            |b: &Candidate| !live.iter().any(|o| o.late_seq < b.late_seq && o.overlaps(b));
        let Some(at) = live.iter().position(beats_none) else { return gone };
        if !goes(&live[at]) {
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
        let blocks = vec![block(3, 20, 29, 0), block(1, 0, 9, 0), block(2, 10, 19, 0)];
        for (max_bytes, gone) in [(30, &[][..]), (29, &[1]), (10, &[1, 2]), (0, &[1, 2, 3])] {
            assert_eq!(by_size(std::slice::from_ref(&blocks), max_bytes), [ids(gone)]);
        }
    }

    #[test]
    fn of_several_databases_the_oldest_block_of_all_goes_first() {
        let a = vec![block(1, 0, 9, 0), block(2, 20, 29, 0)];
        // The oldest of this one hides values of the next: that goes before it.
        let b = vec![block(3, 0, 4, 9), block(4, 0, 14, 0), block(5, 30, 39, 0)];
        for (max_bytes, gone_a, gone_b) in [
            (50, &[][..], &[][..]),
            (49, &[1], &[]),
            (30, &[1], &[4]),
            (20, &[1], &[4, 3]),
            (15, &[1, 2], &[4, 3]),
            (0, &[1, 2], &[4, 3, 5]),
        ] {
            let got = by_size(&[a.clone(), vec![], b.clone()], max_bytes);
            // Ten bytes too many are one block.
            assert_eq!(got, [ids(gone_a), vec![], ids(gone_b)], "{max_bytes}");
        }
    }

    #[test]
    fn what_was_chosen_goes_only_while_it_is_the_oldest() {
        let blocks = [block(1, 0, 9, 0), block(2, 10, 19, 0), block(3, 20, 29, 0)];
        assert_eq!(still(&blocks, &ids(&[1, 2])), ids(&[1, 2]));
        assert_eq!(still(&blocks[1..], &ids(&[1, 2])), ids(&[2]), "one is gone already");
        let with_late = [blocks[0], blocks[1], block(4, 0, 4, 7)];
        assert_eq!(still(&with_late, &ids(&[1, 2])), ids(&[1]), "an older one came into sight");
        let with_older = [blocks[0], blocks[1], block(4, 0, 4, 0)];
        assert_eq!(still(&with_older, &ids(&[1, 2])), [], "an older block came: plan anew");
    }
}
