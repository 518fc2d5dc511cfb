//! Model: the samples themselves. Whatever a need asks of them is the same where some stand for others.

use std::path::Path;
use std::sync::Arc;

use model::{Labels, NAME_LABEL, STALE_NAN, StandIn, is_stale};
use proptest::prelude::*;

use super::*;
use crate::block::{BlockId, BlockMeta, BlockWriter};
use crate::chunk::tests::float;
use crate::fs::Fs as _;
use crate::fs::sim::SimFs;

/// Samples of one series as they are or as an excerpt, stale markers removed.
#[derive(Debug)]
struct Seen {
    times: Vec<i64>,
    values: Vec<f64>,
    stand_ins: Vec<StandIn>,
}

impl Seen {
    fn of(buf: &SeriesBuf) -> Self {
        assert_eq!(buf.times().len(), buf.values().len());
        assert!(buf.times().is_sorted_by(|a, b| a < b));
        let is_live: Vec<bool> = buf.values().iter().map(|v| !is_stale(*v)).collect();
        let live = |at: usize| is_live[..at].iter().filter(|l| **l).count();
        let stand_ins = buf.stand_ins().iter().map(|s| {
            assert!(is_live[s.at], "a stale marker stands for nothing");
            StandIn { at: live(s.at), ..*s }
        });
        let keep = |i: &usize| is_live[*i];
        Self {
            stand_ins: stand_ins.collect(),
            times: (0..is_live.len()).filter(keep).map(|i| buf.times()[i]).collect(),
            values: (0..is_live.len()).filter(keep).map(|i| buf.values()[i]).collect(),
        }
    }

    /// What a need asks of a window, as text, so that NaN is NaN.
    fn answer(&self, need: Need, (start, end): (i64, i64)) -> String {
        let from = self.times.partition_point(|t| *t <= start);
        let to = self.times.partition_point(|t| *t <= end);
        let count = (to - from) as u64 + StandIn::left_out(&self.stand_ins, from..to);
        let samples: Vec<(i64, u64)> =
            (from..to).map(|i| (self.times[i], self.values[i].to_bits())).collect();
        let values = &self.values[from..to];
        let best = |side: Side| side.best(values).map(f64::to_bits);
        match need {
            Need::All => format!("{samples:?}"),
            Need::Falls => {
                let falls: Vec<(u64, u64)> = values
                    .windows(2)
                    .filter(|w| w[1] < w[0])
                    .map(|w| (w[0].to_bits(), w[1].to_bits()))
                    .collect();
                format!("{count} {:?} {:?} {falls:?}", samples.first(), samples.last())
            }
            Need::Edges { first, last } => {
                let head = samples.iter().take(first as usize);
                let tail = samples.iter().rev().take(last as usize);
                format!("{count} {:?} {:?}", head.collect::<Vec<_>>(), tail.collect::<Vec<_>>())
            }
            Need::Greatest => format!("{count} {:?}", best(Side::Greatest)),
            Need::Least => format!("{count} {:?}", best(Side::Least)),
        }
    }
}

const NEEDS: [Need; 9] = [
    Need::All,
    Need::Falls,
    Need::COUNT,
    Need::Edges { first: 1, last: 1 },
    Need::Edges { first: 1, last: 0 },
    Need::Edges { first: 0, last: 1 },
    Need::Edges { first: 0, last: 2 },
    Need::Greatest,
    Need::Least,
];

fn write(fs: &SimFs, chunk_samples: usize, series: &[Vec<(i64, f64)>]) -> Arc<Block> {
    let dir = Path::new("/b");
    fs.create_dir(dir).unwrap();
    let meta = BlockMeta::new(BlockId::new(1, 1));
    let mut writer = BlockWriter::create(Arc::new(fs.clone()), dir, meta).unwrap();
    writer.cut_chunks_at(chunk_samples);
    for (i, samples) in series.iter().enumerate() {
        let (times, values): (Vec<i64>, Vec<f64>) = samples.iter().copied().unzip();
        let labels = Labels::from_pairs([(NAME_LABEL, format!("{i:03}"))]).unwrap();
        writer.add_series(&labels, &times, &values, &[]).unwrap();
    }
    let meta = writer.finish().unwrap();
    Block::open(fs, &dir.join(meta.id.to_string())).unwrap()
}

/// What exporters have, and what breaks rules.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let rising = proptest::collection::vec((0..5_u32, 0..40_u8), 1..300).prop_map(|steps| {
        let mut sum = 0_u32;
        let value = |(step, event): (u32, u8)| {
            sum = if event == 0 { 0 } else { sum + step };
            match event {
                1 => f64::from_bits(STALE_NAN),
                2 => f64::NAN,
                _ => f64::from(sum),
            }
        };
        steps.into_iter().map(value).collect::<Vec<f64>>()
    });
    let zeros = proptest::collection::vec(
        prop_oneof![6 => Just(0.0), 6 => Just(-0.0), 1 => Just(f64::NAN), 1 => Just(-1.0)],
        1..200,
    );
    let odd_nan = 0x7ff8_0000_0000_0123;
    let nothing = proptest::collection::vec(
        prop_oneof![Just(f64::NAN), Just(f64::from_bits(odd_nan))],
        1..100,
    );
    prop_oneof![
        4 => rising,
        2 => proptest::collection::vec((-9..9_i8).prop_map(f64::from), 1..300),
        2 => proptest::collection::vec(float(), 1..200),
        1 => zeros,
        1 => nothing,
        1 => (float(), 1..200_usize).prop_map(|(v, n)| vec![v; n]),
    ]
}

fn series() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let gap = prop_oneof![9 => 1..4_i64, 1 => 20..200_i64];
    (values(), proptest::collection::vec(gap, 300)).prop_map(|(values, gaps)| {
        let times = gaps.iter().scan(-100, |t, gap| {
            *t += gap;
            Some(*t)
        });
        times.zip(values).collect()
    })
}

fn read(block: &Arc<Block>, n: usize, span: (i64, i64), wanted: &Wanted, loose: bool) -> Seen {
    let (mut reader, mut buf) = (block.reader(), SeriesBuf::new());
    buf.begin();
    reader.chunks(u32::try_from(n).unwrap()).unwrap();
    if loose {
        // Bounds are only promised to be on the outside, or to be absent.
        for (i, row) in reader.rows.iter_mut().enumerate() {
            row.bounds = match i % 3 {
                0 => row.bounds.map(|(a, b)| (a.min(0.0) * 2.0 - 1.0, b.max(0.0) * 2.0 + 1.0)),
                1 => row.bounds,
                _ => None,
            };
        }
    }
    reader.excerpt(span, wanted, &mut buf).unwrap();
    buf.end();
    Seen::of(&buf)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn an_excerpt_answers_what_was_asked(
        all in proptest::collection::vec(series(), 1..4),
        chunk_samples in 1..40_usize,
        (first_end_ms, step_ms, count, range_ms) in (-200..600_i64, 1..400_i64, 1..9_u64, 1..700_i64),
        (loose, one) in any::<(bool, bool)>(),
    ) {
        let count = if one { 1 } else { count };
        let block = write(&SimFs::new(1), chunk_samples, &all);
        let windows = WindowGrid { first_end_ms, step_ms, count, range_ms };
        let ends: Vec<i64> =
            (0..i64::try_from(count).unwrap()).map(|k| first_end_ms + k * step_ms).collect();
        let span = (first_end_ms - range_ms + 1, ends[ends.len() - 1]);
        for n in 0..all.len() {
            let whole = read(&block, n, span, &Wanted { need: Need::All, windows }, false);
            for need in NEEDS {
                let some = read(&block, n, span, &Wanted { need, windows }, loose);
                for end in &ends {
                    let window = (*end - range_ms, *end);
                    prop_assert_eq!(
                        some.answer(need, window), whole.answer(need, window), "{:?} {:?}", need, window
                    );
                }
            }
        }
    }
}

#[test]
fn one_window_over_many_chunks_needs_few_of_their_values() {
    let rising: Vec<(i64, f64)> = (0..1000).map(|i: i32| (i64::from(i), f64::from(i))).collect();
    let block = write(&SimFs::new(1), 100, &[rising]);
    let windows = WindowGrid { first_end_ms: 999, step_ms: 1, count: 1, range_ms: 995 };
    let given = |need| {
        let seen = read(&block, 0, (5, 999), &Wanted { need, windows }, false);
        let is_given = |v: &&f64| !v.is_nan();
        (seen.times.len(), seen.values.iter().filter(is_given).count())
    };
    let (cut, chunks) = (rising_cut(&block), block.reader().chunks(0).unwrap().len() - 1);
    assert!(chunks > 9);
    assert_eq!(given(Need::All), (995, 995));
    assert_eq!(given(Need::COUNT), (cut + chunks, cut));
    assert_eq!(given(Need::Edges { first: 0, last: 1 }), (cut + chunks, cut + 1));
    assert_eq!(given(Need::Falls), (cut + 2 * chunks, cut + 2 * chunks));
    // The last chunk has the greatest number, and beats the others unread.
    assert_eq!(given(Need::Greatest), (cut + chunks, cut + 1));
}

/// Samples that a window from 5 on has of the first chunk.
fn rising_cut(block: &Arc<Block>) -> usize {
    block.reader().chunks(0).unwrap()[0].count as usize - 5
}
