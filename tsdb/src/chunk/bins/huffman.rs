//! Prefix codes: lengths from frequencies, and canonical codes from lengths.

/// Code lengths, none above `max_len`, for symbols that occur so often: a Huffman code (Huffman, "A Method for
/// the Construction of Minimum-Redundancy Codes", 1952). A symbol that never occurs has length 0, and so has
/// one that occurs alone. `2^max_len` is more than the number of symbols.
pub(super) fn code_lengths(counts: &[u32], max_len: u32) -> Vec<u32> {
    let mut order: Vec<usize> = (0..counts.len()).filter(|at| counts[*at] > 0).collect();
    order.sort_unstable_by_key(|at| counts[*at]);
    let mut lengths = vec![0; counts.len()];
    let mut floor = 1;
    loop {
        // Rare symbols that count as more frequent than they are get shorter codes.
        let weights: Vec<u64> = order.iter().map(|at| u64::from(counts[*at].max(floor))).collect();
        let depths = depths(&weights);
        if depths.iter().all(|depth| *depth <= max_len) {
            for (at, depth) in order.iter().zip(depths) {
                lengths[*at] = depth;
            }
            return lengths;
        }
        floor = floor.saturating_mul(2);
    }
}

/// Depths in the Huffman tree of leaves with ascending weights.
fn depths(weights: &[u64]) -> Vec<u32> {
    let num = weights.len();
    if num < 2 {
        return vec![0; num];
    }
    // Nodes are the leaves, then the inner ones in the order in which they are made, which is that of their
    // weights: the two lightest are always at the fronts of these two queues.
    let mut all = weights.to_vec();
    let mut parents = vec![0; 2 * num - 1];
    let (mut leaf, mut inner) = (0, num);
    for made in num..2 * num - 1 {
        let mut weight = 0;
        for _ in 0..2 {
            let take_leaf = leaf < num && (inner == made || all[leaf] <= all[inner]);
            let lightest = if take_leaf { &mut leaf } else { &mut inner };
            parents[*lightest] = made;
            weight += all[*lightest];
            *lightest += 1;
        }
        all.push(weight);
    }
    let mut depths = vec![0; 2 * num - 1];
    for node in (0..2 * num - 2).rev() {
        depths[node] = depths[parents[node]] + 1;
    }
    depths.truncate(num);
    depths
}

/// The first canonical code of each length, of which there are so many codes (none is counted at 0); `None` where they
/// are not a code that uses every bit string.
pub(super) fn first_codes<const N: usize>(
    numbers: &[usize; N],
    max_len: u32,
) -> Option<[usize; N]> {
    let mut first = [0; N];
    let mut next = 0;
    for (len, (first, number)) in first.iter_mut().zip(numbers).enumerate().skip(1) {
        next <<= 1;
        *first = next;
        next += number;
        if len > max_len as usize && *number > 0 {
            return None;
        }
    }
    (next == 1 << (N - 1)).then_some(first)
}

/// The canonical code of each length.
pub(super) fn codes(lengths: &[u32], max_len: u32) -> Option<Vec<u64>> {
    let mut numbers = [0; 16];
    for len in lengths.iter().filter(|len| **len > 0) {
        *numbers.get_mut(*len as usize)? += 1;
    }
    let mut next = first_codes(&numbers, max_len)?;
    let code = |len: &u32| match next.get_mut(*len as usize) {
        Some(next) if *len > 0 => {
            *next += 1;
            *next as u64 - 1
        }
        _ => 0,
    };
    Some(lengths.iter().map(code).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Parts of the code space that the lengths take, of `2^max_len`.
    fn taken(lengths: &[u32], max_len: u32) -> u64 {
        lengths.iter().filter(|len| **len > 0).map(|len| 1 << (max_len - len)).sum()
    }

    #[test]
    fn frequent_symbols_have_short_codes() {
        assert_eq!(code_lengths(&[8, 4, 0, 2, 2], 9), [1, 2, 0, 3, 3]);
        assert_eq!(code_lengths(&[0, 7], 9), [0, 0]);
        assert_eq!(code_lengths(&[1, 1], 9), [1, 1]);
        assert_eq!(codes(&[1, 2, 0, 3, 3], 9).unwrap(), [0b0, 0b10, 0, 0b110, 0b111]);
    }

    #[test]
    fn lengths_that_leave_a_gap_or_overlap_are_refused() {
        for bad in [&[][..], &[0, 0], &[1], &[1, 2], &[1, 1, 1], &[2, 2, 2], &[1, 2, 2, 9]] {
            assert_eq!(codes(bad, 9), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn codes_fill_their_space_and_none_begins_another(
            counts in proptest::collection::vec(
                prop_oneof![Just(0), 1..50_u32, any::<u32>()], 2..200),
        ) {
            prop_assume!(counts.iter().filter(|n| **n > 0).count() > 1);
            let lengths = code_lengths(&counts, 9);
            prop_assert!(lengths.iter().zip(&counts).all(|(len, n)| (*len > 0) == (*n > 0) && *len <= 9));
            prop_assert_eq!(taken(&lengths, 9), 1 << 9);
            let codes = codes(&lengths, 9).unwrap();
            let used: Vec<(u64, u32)> = codes.into_iter().zip(lengths).filter(|(_, len)| *len > 0).collect();
            for (i, (a, len)) in used.iter().enumerate() {
                for (b, other) in &used[i + 1..] {
                    let short = (*len).min(*other);
                    prop_assert!(a >> (len - short) != b >> (other - short));
                }
            }
        }
    }
}
