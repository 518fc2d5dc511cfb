//! The fuzz targets on stable: over their seeds and past failures.

#[path = "../fuzz/checks.rs"]
mod checks;

use std::path::Path;
use std::sync::Arc;

use model::{CounterResetHint, HistogramValue, IntHistogram, Span};
use tsdb::chunk::{self, Encoding, histogram as histograms, times};

/// Runs `check` over every seed of a target and returns how many there are and how many it took.
fn replay(target: &str, check: impl Fn(&[u8]) -> bool) -> (usize, usize) {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let (mut all, mut taken) = (0, 0);
    for entry in std::fs::read_dir(seeds).expect("the seeds are files of this repository") {
        let bytes = std::fs::read(entry.expect("readable").path()).expect("readable");
        all += 1;
        taken += usize::from(check(&bytes));
    }
    (all, taken)
}

#[test]
fn log_records_are_refused_or_mean_what_they_say() {
    let (all, taken) = replay("wal_record", checks::wal_record);
    assert!(all >= 8 && taken >= 4 && taken < all, "{taken} of {all} seeds are records");
}

#[test]
fn chunks_are_refused_or_give_the_same_in_part() {
    let (all, taken) = replay("chunk", checks::chunk);
    assert!(all >= 6 && taken >= 5 && taken < all, "{taken} of {all} seeds are chunks");
}

/// The seeds of chunks are valid: from there, changed bytes reach far into the decoders.
#[test]
fn damaged_chunks_never_panic() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/chunk");
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("below a usize")
    };
    for entry in std::fs::read_dir(seeds).expect("the seeds are files of this repository") {
        let seed = std::fs::read(entry.expect("readable").path()).expect("readable");
        for _ in 0..3000 {
            let mut bytes = seed.clone();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                bytes[at] = [bytes[at] ^ 1 << random(8), 0, 0xff][random(3)];
            }
            if random(4) == 0 {
                bytes.truncate(3 + random(bytes.len() - 2));
            }
            checks::chunk(&bytes);
        }
    }
}

/// Writes the valid seeds of chunks anew: `BLESS=1 cargo test -p tsdb --test replay`.
#[test]
fn the_seeds_of_chunks_are_what_the_encoders_write() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/chunk");
    for (name, bytes) in chunks() {
        let path = dir.join(name);
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(&path, &bytes).expect("writable");
        }
        assert_eq!(std::fs::read(&path).ok(), Some(bytes), "{name}");
    }
}

fn chunks() -> Vec<(&'static str, Vec<u8>)> {
    let framed = |what: u8, count: usize, body: &[u8]| {
        let count = u16::try_from(count).expect("a chunk").to_le_bytes();
        [&[what, count[0], count[1]], body].concat()
    };
    let floats = |values: &[f64]| {
        let mut body = Vec::new();
        let encoding = chunk::encode(values, &mut body);
        framed(encoding.number(), values.len(), &body)
    };
    let number = |i: u32| f64::from(i * i % 977);
    let counter: Vec<f64> = (0..300).map(|i| number(i) + f64::from(i) * 1000.0).collect();
    let mut decimals: Vec<f64> = (0..300).map(|i| number(i) / 100.0).collect();
    decimals[7] = f64::NAN;
    decimals[200] = f64::from_bits(0x7ff0_0000_0000_0002);
    let pages: Vec<f64> = (0..300).map(|i| f64::from(i % 128 * 4096 + i / 40 % 2)).collect();
    let roots: Vec<f64> = (0..150).map(|i| f64::from(i).sqrt()).collect();
    let repeats: Vec<f64> = (0..150).map(|i| f64::from(2 + i / 7 % 2).sqrt()).collect();
    let steps: Vec<i64> = (0..200).map(|i| i * 15_000 + i % 5).collect();
    let mut columns = Vec::new();
    times::encode(&steps, &mut columns);
    let mut body = Vec::new();
    let values: Vec<HistogramValue> = (0..20_u64).map(histogram).collect();
    histograms::encode(&values, &mut body).expect("good histograms");
    vec![
        ("constant", floats(&[1.5; 9])),
        ("pages", floats(&pages)),
        ("counter", floats(&counter)),
        ("decimals", floats(&decimals)),
        ("roots", floats(&roots)),
        ("repeats", floats(&repeats)),
        ("times", framed(0, steps.len(), &columns)),
        ("histograms", framed(Encoding::Histogram.number(), values.len(), &body)),
    ]
}

fn histogram(i: u64) -> HistogramValue {
    let span = |offset, length| Span { offset, length };
    HistogramValue::Int(Arc::new(IntHistogram {
        hint: CounterResetHint::Unknown,
        schema: if i < 15 { 3 } else { 2 },
        zero_threshold: 0.001,
        zero_count: i,
        count: 10 * i + 6,
        sum: 2.5,
        positive_spans: vec![span(-2, 2), span(3, 1)],
        positive_deltas: vec![i.cast_signed() + 1, 1, -1],
        negative_spans: vec![span(0, 1)],
        negative_deltas: vec![2],
        custom_values: Vec::new(),
    }))
}
