use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000;
const MIB: u64 = 1 << 20;
/// Long after everything settled.
const LATER: u64 = u64::MAX / 2;

fn block(n: u64, hours: std::ops::Range<i64>, late_seq: u64, mib: u64) -> Candidate {
    let (mint, maxt) = (hours.start * HOUR, hours.end * HOUR - 1);
    let id = BlockId::new(0, u128::from(n));
    Candidate { id, mint, maxt, late_seq, bytes: mib * MIB }
}

fn rules() -> Rules {
    Rules::new(2 * HOUR, 240 * HOUR, 1000 * MIB)
}

fn ids(numbers: &[u64]) -> Vec<BlockId> {
    numbers.iter().map(|n| BlockId::new(0, u128::from(*n))).collect()
}

/// What it is about, the blocks, the boundary in hours, the clock, and what is to be done.
type Case = (&'static str, Vec<Candidate>, i64, u64, Option<Plan>);

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn plans_are_as_the_table_says() {
    let merge = |numbers: &[u64]| Some(Plan::Merge(ids(numbers)));
    let hours = |range: std::ops::Range<i64>| Window {
        mint: range.start * HOUR,
        maxt: range.end * HOUR - 1,
    };
    let open = |from: i64| Window { mint: from * HOUR, maxt: i64::MAX };
    let day = |n: u64| block(n, 24 * n.cast_signed()..24 * n.cast_signed() + 24, 0, 100);
    let scrapes = |n: i64| (0..n).map(|i| block(i.unsigned_abs(), i * 2..i * 2 + 2, 0, 10));
    let cases: Vec<Case> = vec![
        ("nothing", vec![], 0, LATER, None),
        (
            "eight hours of a day that is not over",
            scrapes(11).collect(),
            22,
            LATER,
            merge(&[0, 1, 2, 3]),
        ),
        (
            "a day that is not over",
            [block(1, 0..8, 0, 40), block(2, 8..16, 0, 40)]
                .into_iter()
                .chain(scrapes(11).skip(8))
                .collect(),
            22,
            LATER,
            None,
        ),
        (
            "a day that is over",
            scrapes(12).collect(),
            24,
            0,
            merge(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        ),
        (
            "two hours in parts are merged before the day is over",
            vec![block(1, 0..1, 0, 10), block(2, 1..2, 0, 10)],
            2,
            0,
            merge(&[1, 2]),
        ),
        (
            "two hours that are not over",
            vec![block(1, 0..1, 0, 10), block(2, 1..2, 0, 10)],
            1,
            LATER,
            None,
        ),
        ("ten days that are not over", (0..9).map(day).collect(), 9 * 24, LATER, None),
        (
            "ten days that are over, as many as the size limit takes",
            (0..10).map(|n| Candidate { bytes: 300 * MIB, ..day(n) }).collect(),
            240,
            0,
            merge(&[0, 1, 2]),
        ),
        (
            "a few late samples wait",
            vec![block(1, 0..24, 0, 100), block(2, 3..4, 7, 1)],
            24,
            0,
            None,
        ),
        (
            "until nothing came for a while",
            vec![block(1, 0..24, 0, 100), block(2, 3..4, 7, 1)],
            24,
            LATER,
            merge(&[1, 2]),
        ),
        (
            "many late samples do not wait",
            vec![block(1, 0..24, 0, 100), block(2, 3..4, 7, 60)],
            24,
            0,
            merge(&[1, 2]),
        ),
        (
            "a late block over days that are over and today",
            vec![block(1, 0..24, 0, 100), block(2, 3..60, 7, 60)],
            50,
            0,
            Some(Plan::Split(ids(&[2])[0], vec![hours(0..24), hours(24..48), open(48)])),
        ),
        (
            "a late block is split along ten days where they are over",
            vec![block(1, 0..240, 0, 100), block(2, 3..290, 7, 60)],
            280,
            0,
            Some(Plan::Split(ids(&[2])[0], vec![hours(0..240), hours(240..264), open(264)])),
        ),
        ("a long block alone stays", vec![block(2, 0..24 * 365, 7, 60)], 24 * 365, LATER, None),
        (
            "a block that would be too many pieces stays",
            vec![block(1, 0..240, 0, 100), block(2, 0..240 * 1000, 7, 60)],
            240 * 1001,
            LATER,
            None,
        ),
        (
            "late samples that a left-out block beats are not put above it",
            vec![block(1, 0..24, 0, 9), block(2, 0..240 * 1000, 7, 60), block(3, 1..2, 8, 9)],
            240 * 1001,
            LATER,
            None,
        ),
        (
            "nor do they have to, where that one beats both",
            vec![block(1, 0..24, 0, 9), block(2, 0..240 * 1000, 7, 60), block(3, 1..2, 6, 9)],
            240 * 1001,
            LATER,
            merge(&[1, 3]),
        ),
        (
            "nothing in order yet",
            vec![block(1, 0..24, 3, 1), block(2, 0..24, 4, 1)],
            i64::MIN / HOUR,
            LATER,
            None,
        ),
    ];
    for (what, blocks, boundary_hours, now, want) in cases {
        let boundary = boundary_hours.saturating_mul(HOUR);
        assert_eq!(plan(&blocks, boundary, &rules(), now), want, "{what}");
    }
}

#[test]
fn extreme_times_are_planned_without_overflow() {
    for (mint, maxt) in [(i64::MIN, i64::MAX), (i64::MIN, i64::MIN + 1), (i64::MAX - 1, i64::MAX)] {
        for boundary in [i64::MIN, 0, i64::MAX] {
            let one = Candidate { mint, maxt, ..block(1, 0..1, 3, 1) };
            let two = Candidate { mint, maxt, ..block(2, 0..1, 4, 1) };
            let _ = plan(&[one, two], boundary, &rules(), LATER);
        }
    }
}

/// A block and what is in it: values by (series, time).
#[derive(Debug, Clone)]
struct Model {
    candidate: Candidate,
    samples: BTreeMap<(u8, i64), u32>,
}

impl Model {
    fn new(n: u64, late_seq: u64, samples: BTreeMap<(u8, i64), u32>) -> Option<Self> {
        let mint = samples.keys().map(|k| k.1).min()?;
        let maxt = samples.keys().map(|k| k.1).max()?;
        let bytes = samples.len() as u64 * MIB;
        let id = BlockId::new(0, u128::from(n));
        Some(Self { candidate: Candidate { id, mint, maxt, late_seq, bytes }, samples })
    }
}

/// What a query sees: of each (series, time) the value of the highest rank.
fn visible(blocks: &[Model]) -> BTreeMap<(u8, i64), u32> {
    let mut ranked = BTreeMap::<(u8, i64), (u64, u32)>::new();
    for block in blocks {
        let rank = block.candidate.late_seq;
        for (key, value) in &block.samples {
            let best = ranked.entry(*key).or_insert((rank, *value));
            if rank > best.0 {
                *best = (rank, *value);
            } else {
                assert!(rank < best.0 || *best == (rank, *value), "two samples of one rank");
            }
        }
    }
    ranked.into_iter().map(|(key, (_, value))| (key, value)).collect()
}

/// Carries out a plan.
fn carry_out(plan: &Plan, blocks: &mut Vec<Model>, next: &mut u64) {
    let (mut inputs, rest): (Vec<_>, Vec<_>) =
        blocks.drain(..).partition(|b| plan.inputs().contains(&b.candidate.id));
    assert_eq!(inputs.len(), plan.inputs().len());
    *blocks = rest;
    inputs.sort_by_key(|b| b.candidate.late_seq);
    let rank = inputs.iter().map(|b| b.candidate.late_seq).max().unwrap();
    let all: BTreeMap<_, _> = inputs.into_iter().flat_map(|b| b.samples).collect();
    let windows = match plan {
        Plan::Merge(_) => vec![Window { mint: i64::MIN, maxt: i64::MAX }],
        Plan::Split(_, windows) => windows.clone(),
    };
    let mut pieces = 0;
    for window in windows {
        let inside = |t: i64| window.mint <= t && t <= window.maxt;
        let samples = all.iter().filter(|(k, _)| inside(k.1)).map(|(k, v)| (*k, *v)).collect();
        if let Some(piece) = Model::new(*next, rank, samples) {
            blocks.push(piece);
            pieces += 1;
            *next += 1;
        }
    }
    assert!(matches!(plan, Plan::Merge(_)) || pieces > 1, "a split makes progress");
}

fn late() -> impl Strategy<Value = BTreeMap<(u8, i64), u32>> {
    let narrow = (0..1500_i64, 1..60_i64).prop_flat_map(|(from, len)| {
        proptest::collection::btree_map((0..3_u8, from..from + len), any::<u32>(), 1..12)
    });
    let wide = proptest::collection::btree_map((0..3_u8, 0..1500_i64), any::<u32>(), 1..12);
    prop_oneof![2 => narrow, 1 => wide]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn plans_keep_every_winner_and_come_to_an_end(
        in_order in proptest::collection::vec((1..40_i64, any::<u32>()), 0..60),
        late in proptest::collection::vec(late(), 0..12),
        max_mib in 4..200_u64, max_inputs in 2..40_usize, max_pieces in 2..12_usize,
        settled in any::<bool>(),
    ) {
        let (mut blocks, mut next, mut boundary) = (Vec::new(), 1, 0);
        for (len, value) in in_order {
            let samples = (boundary..boundary + len).step_by(5).map(|t| ((0, t), value)).collect();
            blocks.extend(Model::new(next, 0, samples));
            next += 1;
            boundary += len;
        }
        for samples in late {
            blocks.extend(Model::new(next, next, samples));
            next += 1;
        }
        let rules = Rules {
            ranges_ms: vec![10, 60, 300],
            max_bytes: max_mib * MIB,
            max_inputs,
            max_pieces,
            ..rules()
        };
        let now = if settled { LATER } else { 0 };
        let want = visible(&blocks);
        let mut steps = 0;
        loop {
            let candidates: Vec<Candidate> = blocks.iter().map(|b| b.candidate).collect();
            let Some(plan) = plan(&candidates, boundary, &rules, now) else { break };
            let inputs = candidates.iter().filter(|b| plan.inputs().contains(&b.id));
            match &plan {
                Plan::Merge(ids) => {
                    prop_assert!((2..=max_inputs).contains(&ids.len()));
                    prop_assert!(inputs.clone().map(|b| b.bytes).sum::<u64>() <= rules.max_bytes);
                    let in_order_only = inputs.clone().all(|b| b.late_seq == 0);
                    let ends_before = inputs.clone().map(|b| b.maxt).max().unwrap() < boundary;
                    prop_assert!(!in_order_only || ends_before, "still being filled");
                }
                Plan::Split(_, windows) => {
                    prop_assert!((2..=max_pieces).contains(&windows.len()));
                    prop_assert!(windows.is_sorted_by(|a, b| a.maxt < b.mint));
                }
            }
            carry_out(&plan, &mut blocks, &mut next);
            prop_assert_eq!(visible(&blocks), want.clone());
            steps += 1;
            prop_assert!(steps < 1000, "no end");
        }
        // Where no limit was in the way, nothing below the open window overlaps.
        let candidates: Vec<Candidate> = blocks.iter().map(|b| b.candidate).collect();
        let open = aligned(boundary, 60).mint;
        let stuck = |b: &Candidate| rules.pieces(b, boundary).is_none_or(|p| p.len() > 1);
        let total = candidates.iter().map(|b| b.bytes).sum::<u64>();
        if settled && total <= rules.max_bytes && !candidates.iter().any(stuck) {
            for (i, a) in candidates.iter().enumerate() {
                for b in &candidates[i + 1..] {
                    prop_assert!(!a.overlaps(b) || a.maxt.min(b.maxt) >= open, "{:?} {:?}", a, b);
                }
            }
        }
    }
}
