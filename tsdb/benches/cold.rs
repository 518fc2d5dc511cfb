//! What compressing a block a second time saves, and what reading it then costs:
//! `cargo bench -p tsdb --bench cold`. Prints bytes a sample and samples a second, best of five runs.

#![expect(clippy::unwrap_used, reason = "a program")]
#![expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use model::{Labels, SeriesBuf};
use tsdb::block::meta::{COLD_FORMAT, FORMAT};
use tsdb::block::{Block, BlockId, BlockMeta, BlockWriter};
use tsdb::fs::std::StdFs;

const SERIES: u32 = 1000;
const SAMPLES: u32 = 5760;

/// A generator of numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

/// A day of a series of one of the kinds that exporters have.
fn values(series: u32, random: &mut Random) -> Vec<f64> {
    let (mut sum, mut gauge) = (0_u64, 1000_u64);
    let mut next = |_| -> f64 {
        match series % 20 {
            0..5 => 42.0,
            5..7 => {
                sum += u64::from(random.below(20) == 0);
                sum as f64
            }
            7..11 => {
                sum += random.below(1000);
                sum as f64
            }
            11..13 => {
                sum += random.below(150);
                sum as f64 / 100.0
            }
            13 => {
                sum += random.below(20_000_000);
                sum as f64 / 1e9
            }
            14..16 => {
                gauge = (gauge + random.below(65)).saturating_sub(32);
                (gauge * 4096) as f64
            }
            16 => random.below(8) as f64,
            17 => random.below(10_000) as f64 / 10.0,
            18 => {
                sum += random.below(4);
                sum as f64
            }
            _ => (random.below(1 << 52) as f64).sqrt(),
        }
    };
    (0..SAMPLES).map(&mut next).collect()
}

fn write(dir: &Path, format: u32) -> BlockMeta {
    let id = BlockId::new(u64::from(format), 1);
    let meta = BlockMeta { format, ..BlockMeta::new(id) };
    let mut writer = BlockWriter::create(Arc::new(StdFs), dir, meta).unwrap();
    let mut random = Random(7);
    for series in 0..SERIES {
        let jitter: Vec<i64> = (0..SAMPLES).map(|i| i64::from(i % 33 == series % 20)).collect();
        let times: Vec<i64> =
            (0..i64::from(SAMPLES)).zip(jitter).map(|(i, j)| i * 15_000 + j * 3).collect();
        let labels =
            Labels::from_pairs([("__name__", "m"), ("i", &format!("{series:06}"))]).unwrap();
        writer.add_series(&labels, &times, &values(series, &mut random), &[]).unwrap();
    }
    writer.finish().unwrap()
}

/// Samples a second when every series is read whole, and when `1 / 50` of the time is read of each.
fn read(block: &Arc<Block>, mint: i64, maxt: i64) -> f64 {
    let mut best = 0.0_f64;
    for _ in 0..5 {
        block.drop_caches();
        let (mut buf, mut reader, mut samples) = (SeriesBuf::new(), block.reader(), 0);
        let began = Instant::now();
        for series in 0..block.num_series() {
            buf.begin();
            reader.read(series, mint, maxt, &mut buf).unwrap();
            buf.end();
            samples += buf.values().len();
        }
        best = best.max(samples as f64 / began.elapsed().as_secs_f64());
    }
    best / 1e6
}

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let mut out = std::io::stdout();
    for (name, format) in [("hot", FORMAT), ("cold", COLD_FORMAT)] {
        let began = Instant::now();
        let meta = write(dir.path(), format);
        let took = began.elapsed().as_secs_f64();
        let block = Block::open(&StdFs, &dir.path().join(meta.id.to_string())).unwrap();
        let samples = meta.num_samples as f64;
        let hour = 3_600_000;
        writeln!(
            out,
            "{name}: {:.4} B/sample in chunks, {:.4} in the index; written at {:.1} M samples/s; read whole at \
             {:.0}, half an hour of each at {:.1} M samples/s",
            meta.chunks.len as f64 / samples,
            meta.index.len as f64 / samples,
            samples / 1e6 / took,
            read(&block, i64::MIN, i64::MAX),
            read(&block, 12 * hour, 12 * hour + hour / 2),
        )
        .unwrap();
    }
}
