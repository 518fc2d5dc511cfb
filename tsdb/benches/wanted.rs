//! One window over a month: what it costs to read every sample, and what where storage is told which
//! ones matter. `cargo bench -p tsdb --bench wanted`. Three blocks of ten days at 15 s; one line a
//! query, milliseconds, best of five runs each, and how many samples were left out.

#![expect(clippy::unwrap_used, reason = "a program")]
#![expect(clippy::cast_precision_loss, reason = "figures are rounded anyway")]

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use model::{
    Estimate, Labels, NamesRequest, Queryable, ReadError, Selection, SeriesBuf, SeriesSet,
};
use promql::engine::{Engine, EngineOptions, QueryContext, QueryResult};
use tsdb::block::{Block, BlockId, BlockMeta, BlockWriter};
use tsdb::fs::std::StdFs;
use tsdb::query::SharedSource;
use tsdb::query::block_source::BlockSource;
use tsdb::query::set::MergedSet;

const SERIES: u32 = 200;
const BLOCKS: u32 = 3;
/// Ten days.
const SAMPLES: u32 = 57_600;
const SCRAPE_MS: i64 = 15_000;
/// A boundary of eight hours.
const START_MS: i64 = 1_699_920_000_000;

const QUERIES: [&str; 10] = [
    "increase(counter[30d])",
    "rate(counter[30d])",
    "delta(gauge[30d])",
    "max_over_time(gauge[30d])",
    "max_over_time(counter[30d])",
    "count_over_time(gauge[30d])",
    "last_over_time(gauge[30d])",
    "avg_over_time(gauge[30d])",
    // Windows that are shorter than chunks: what asking costs where it is of no use.
    "max_over_time(rate(counter[5m])[1d:1m])",
    "max_over_time(max_over_time(gauge[5m])[1d:1m])",
];

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

/// Blocks as a database has them.
struct Blocks {
    blocks: Vec<Arc<Block>>,
    /// Give every sample.
    whole: bool,
}

struct Whole(MergedSet);

impl Queryable for Blocks {
    fn select(&self, selection: &Selection) -> Result<Box<dyn SeriesSet>, ReadError> {
        let source = |block: &Arc<Block>| -> Result<SharedSource, ReadError> {
            Ok(Arc::new(BlockSource::select(Arc::clone(block), &selection.matchers)?))
        };
        let sources = self.blocks.iter().map(source).collect::<Result<_, _>>()?;
        let bounds = (selection.mint, selection.maxt);
        let set = MergedSet::new(sources, bounds, 1, Arc::clone(&selection.interrupt))?;
        Ok(if self.whole { Box::new(Whole(set)) } else { Box::new(set) })
    }

    fn label_names(&self, _: &NamesRequest) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _: &str, _: &NamesRequest) -> Result<Vec<String>, ReadError> {
        Ok(Vec::new())
    }
}

impl SeriesSet for Whole {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, i: usize) -> Result<Labels, ReadError> {
        self.0.labels(i)
    }

    fn read(&self, i: usize, buf: &mut SeriesBuf) -> Result<(), ReadError> {
        self.0.read(i, buf)
    }

    fn estimate(&self) -> Estimate {
        self.0.estimate()
    }
}

/// Counters of events and of hundredths of a second, some of which begin anew now and then, and gauges
/// of a load that follows the day.
fn write(dir: &Path, number: u32) -> Arc<Block> {
    let meta = BlockMeta::new(BlockId::new(u64::from(number) + 1, 1));
    let mut writer = BlockWriter::create(Arc::new(StdFs), dir, meta).unwrap();
    let first = number * SAMPLES;
    for name in ["counter", "gauge"] {
        for series in 0..SERIES {
            let mut random = Random(u64::from(series * 8 + number) + 1);
            let jitter = i64::from(series) * 37 % 400;
            let times: Vec<i64> = (first..first + SAMPLES)
                .map(|i| START_MS + i64::from(i) * SCRAPE_MS + jitter)
                .collect();
            let mut sum = u64::from(first) * 100;
            let mut value = |i: u32| -> f64 {
                if name == "gauge" {
                    let day = (f64::from(i) / 5760.0 * std::f64::consts::TAU).sin();
                    return (day * 300.0 + random.below(400) as f64).round() / 10.0 + 50.0;
                }
                sum = if series % 10 == 0 && random.below(30_000) == 0 { 0 } else { sum };
                sum += random.below(200);
                if series % 2 == 0 { sum as f64 } else { sum as f64 / 100.0 }
            };
            let values: Vec<f64> = (first..first + SAMPLES).map(&mut value).collect();
            let labels =
                Labels::from_pairs([("__name__", name), ("i", &format!("{series:06}"))]).unwrap();
            writer.add_series(&labels, &times, &values, &[]).unwrap();
        }
    }
    let meta = writer.finish().unwrap();
    Block::open(&StdFs, &dir.join(meta.id.to_string())).unwrap()
}

fn best(queryable: &dyn Queryable, query: &str) -> (f64, QueryResult) {
    let engine = Engine::new(EngineOptions { max_samples: u64::MAX, ..EngineOptions::default() });
    let end_ms = START_MS + i64::from(BLOCKS * SAMPLES) * SCRAPE_MS;
    let run = || {
        let began = Instant::now();
        let result = engine.instant(queryable, query, end_ms, &QueryContext::default()).unwrap();
        (began.elapsed().as_secs_f64() * 1e3, result)
    };
    (0..5).map(|_| run()).min_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let blocks: Vec<Arc<Block>> = (0..BLOCKS).map(|n| write(dir.path(), n)).collect();
    let mut out = std::io::stdout();
    for query in QUERIES {
        let whole = Blocks { blocks: blocks.clone(), whole: true };
        let (before, plain) = best(&whole, query);
        let (after, result) = best(&Blocks { blocks: blocks.clone(), whole: false }, query);
        assert_eq!(format!("{:?}", plain.value), format!("{:?}", result.value), "{query}");
        writeln!(
            out,
            "{query}: {before:.1} ms, {after:.2} ms; {:.1} M samples, {:.1} % left out",
            result.stats.samples_read as f64 / 1e6,
            result.stats.samples_left_out as f64 * 100.0 / result.stats.samples_read as f64,
        )
        .unwrap();
    }
}
