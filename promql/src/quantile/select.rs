//! The quantile of more numbers than should be sorted without a pause: some passes that count, each in
//! pieces, and no copy.

use super::ranks;
use crate::functions::window::PIECE;

/// Digits of a key: sixteen bits at a time, the highest first.
const DIGIT_BITS: u32 = 16;

/// As [`quantile`](super::quantile) of `map` of each of `values`; after each [`PIECE`] it asks
/// `goes_on`, and where that is not so the answer has no meaning.
pub fn quantile_of_many(
    q: f64,
    values: &[f64],
    map: impl Fn(f64) -> f64,
    goes_on: &mut dyn FnMut() -> bool,
) -> f64 {
    let (low, high, weight) = match ranks(q, values.len()) {
        Ok(ranks) => ranks,
        Err(answer) => return answer,
    };
    let mut counts = vec![0_usize; 1 << DIGIT_BITS];
    // Of those with this prefix, the one at `rest` is looked for; `equal` have the prefix.
    let (mut prefix, mut rest, mut equal) = (0_u64, low, values.len());
    for level in (0..u64::BITS / DIGIT_BITS).rev() {
        let shift = level * DIGIT_BITS;
        counts.fill(0);
        for piece in values.chunks(PIECE) {
            for v in piece {
                let key = key(map(*v));
                // In two steps, because the first prefix has no bits.
                if key >> shift >> DIGIT_BITS == prefix {
                    counts[usize::from(digit(key >> shift))] += 1;
                }
            }
            if !goes_on() {
                return f64::NAN;
            }
        }
        for (number, count) in (0_u64..).zip(&counts) {
            if rest < *count || number == u64::from(u16::MAX) {
                (prefix, equal) = (prefix << DIGIT_BITS | number, *count);
                break;
            }
            rest -= count;
        }
    }
    let found = prefix;
    let next = if high == low || rest + 1 < equal {
        found
    } else {
        let mut above = u64::MAX;
        for piece in values.chunks(PIECE) {
            let keys = piece.iter().map(|v| key(map(*v))).filter(|key| *key > found);
            above = keys.fold(above, u64::min);
            if !goes_on() {
                return f64::NAN;
            }
        }
        above
    };
    value(found) * (1.0 - weight) + value(next) * weight
}

/// The last sixteen bits.
const fn digit(key: u64) -> u16 {
    let [a, b, ..] = key.to_le_bytes();
    u16::from_le_bytes([a, b])
}

/// A number that sorts as `v` does, NaN lowest.
const fn key(v: f64) -> u64 {
    let bits = v.to_bits();
    if v.is_nan() {
        0
    } else if v.is_sign_negative() {
        !bits
    } else {
        bits | 1 << 63
    }
}

/// The inverse of [`key`].
const fn value(key: u64) -> f64 {
    match key {
        0 => f64::NAN,
        key if key >> 63 == 1 => f64::from_bits(key & !(1 << 63)),
        key => f64::from_bits(!key),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{nan_first, quantile};
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn float() -> impl Strategy<Value = f64> {
        prop_oneof![
            3 => (-20..20_i8).prop_map(f64::from),
            2 => any::<f64>(),
            1 => prop_oneof![
                Just(f64::NAN), Just(f64::INFINITY), Just(f64::NEG_INFINITY), Just(-0.0),
            ],
        ]
    }

    /// Equal bits, but that sorting finds zeros of either sign and any NaN.
    fn is_same(a: f64, b: f64) -> bool {
        a.is_nan() && b.is_nan() || (a + 0.0).to_bits() == (b + 0.0).to_bits()
    }

    proptest! {
        #[test]
        fn keys_sort_as_numbers(a in float(), b in float()) {
            let order = nan_first(&a, &b);
            prop_assert!(order.is_eq() && a == 0.0 || order == key(a).cmp(&key(b)));
            prop_assert!(a.is_nan() || value(key(a)).to_bits() == a.to_bits());
        }

        #[test]
        fn many_have_the_quantile_of_few(
            values in vec(float(), 0..80),
            q in prop_oneof![-0.1..1.1_f64, Just(0.0), Just(0.5), Just(1.0), Just(f64::NAN)],
        ) {
            let want = quantile(q, &mut values.clone());
            let got = quantile_of_many(q, &values, |v| v, &mut || true);
            prop_assert!(is_same(got, want), "{} {}", got, want);
            let twice: Vec<f64> = values.iter().map(|v| v * -2.0).collect();
            let want = quantile(q, &mut twice.clone());
            let got = quantile_of_many(q, &values, |v| v * -2.0, &mut || true);
            prop_assert!(is_same(got, want), "{} {}", got, want);
        }
    }
}
