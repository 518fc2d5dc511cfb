//! Every bit of every float comes back from both codecs: blocks' and open chunks'.
//!
//! `ROUND_TRIPS` sets the number of values of each kind (200,000); `ROUND_TRIPS=100000000 cargo test --release -p tsdb
//! --test round_trip` takes some minutes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the sizes are worth a look")]

use tsdb::chunk::value_stream::{ValueState, decode_values};
use tsdb::chunk::{self, MAX_SAMPLES};
use tsdb::encoding::bits::BitWriter;

/// Random numbers (xorshift).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.bits() >> 33).unwrap() % n
    }

    fn integer(&mut self) -> f64 {
        f64::from(u32::try_from(self.bits() >> 40).unwrap()) - 8_000_000.0
    }
}

/// Appends `count` values of a kind: any bits; ends of the ranges of doubles; decimal numbers, some multiplied and
/// some divided; counters with resets; a mix of all.
fn values(kind: usize, count: usize, random: &mut Random, out: &mut Vec<f64>) {
    let scale = 10_f64.powi(i32::try_from(random.below(9)).unwrap());
    let mut counter = random.integer();
    for _ in 0..count {
        let one = if kind == 4 { random.below(4) } else { kind };
        out.push(match one {
            0 => f64::from_bits(random.bits()),
            1 => {
                let ends = [0, 1, 0x7ff0_0000_0000_0000, 0x7ff0_0000_0000_0002, 1 << 52, 1 << 63];
                f64::from_bits(ends[random.below(ends.len())] ^ (random.bits() & 1))
            }
            2 if random.below(2) == 0 => random.integer() / scale,
            2 => random.integer() * (1.0 / scale),
            5 => {
                let size = u32::try_from(random.bits() >> 32).unwrap() >> random.below(32);
                counter += if random.below(4) == 0 { -f64::from(size) } else { f64::from(size) };
                counter / scale
            }
            _ => {
                counter =
                    if random.below(300) == 0 { 0.0 } else { counter + random.integer().abs() };
                counter
            }
        });
    }
}

fn same(a: &[f64], b: &[f64]) -> bool {
    a.iter().map(|v| v.to_bits()).eq(b.iter().map(|v| v.to_bits()))
}

/// As an open chunk of the head is filled.
fn stream(values: &[f64]) -> Vec<u8> {
    let (mut state, mut bits) = (ValueState::starting_with(values[0]), BitWriter::new());
    for (n, v) in values.iter().enumerate() {
        if !state.append(*v, &mut bits) {
            (state, bits) = (state.finer(&values[..n], *v), BitWriter::new());
            assert!(values[..=n].iter().all(|v| state.append(*v, &mut bits)));
        }
    }
    let mut out = vec![state.scale];
    bits.copy_to(&mut out);
    out
}

#[test]
fn every_bit_comes_back() {
    let wanted = std::env::var("ROUND_TRIPS").map_or(200_000, |n| n.parse().unwrap());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for kind in 0..6 {
        let (mut done, mut block_bytes, mut stream_bytes) = (0_usize, 0, 0);
        while done < wanted {
            let count = 1 + random.below(MAX_SAMPLES);
            let (mut sent, mut back, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
            values(kind, count, &mut random, &mut sent);
            let encoding = chunk::encode(&sent, &mut bytes);
            chunk::decode(encoding, &bytes, count, 0..count, &mut back).unwrap();
            assert!(same(&sent, &back), "{encoding:?}");
            block_bytes += bytes.len();

            back.clear();
            let bytes = stream(&sent);
            decode_values(&bytes, count.try_into().unwrap(), 0, count, &mut back).unwrap();
            assert!(same(&sent, &back), "scale {}", bytes[0]);
            stream_bytes += bytes.len();
            done += count;
        }
        println!(
            "kind {kind}: {done} values, {block_bytes} bytes in blocks, {stream_bytes} in streams"
        );
    }
}
