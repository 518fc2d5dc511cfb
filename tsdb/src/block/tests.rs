use std::collections::BTreeMap;
use std::fs;

use model::{HistogramValue, IntHistogram, MatchOp, STALE_NAN, SeriesBuf};
use proptest::prelude::*;

use super::directory::Found;
use super::*;
use crate::fs::sim::{CrashPolicy, SimFs};
use crate::fs::std::StdFs;
use crate::manifest::{Edit, Manifest};

/// What a series holds, by bits.
#[derive(Debug, Clone, Default, PartialEq)]
struct Samples {
    floats: Vec<(i64, u64)>,
    histograms: Vec<(i64, HistogramValue)>,
}

type Model = BTreeMap<Labels, Samples>;

fn write(dir: &Path, model: &Model) -> BlockMeta {
    write_as(dir, model, BlockMeta::new(BlockId::new(1_700_000_000_000, 7)))
}

fn write_as(dir: &Path, model: &Model, meta: BlockMeta) -> BlockMeta {
    write_to(Arc::new(StdFs), dir, model, meta).unwrap()
}

fn write_to(
    fs: Arc<dyn Fs>,
    dir: &Path,
    model: &Model,
    meta: BlockMeta,
) -> Result<BlockMeta, BlockError> {
    let mut writer = BlockWriter::create(fs, dir, meta)?;
    for (labels, samples) in model {
        let times: Vec<i64> = samples.floats.iter().map(|(t, _)| *t).collect();
        let values: Vec<f64> = samples.floats.iter().map(|(_, v)| f64::from_bits(*v)).collect();
        writer.add_series(labels, &times, &values, &samples.histograms)?;
    }
    writer.finish()
}

fn open(dir: &Path, meta: &BlockMeta) -> Result<Arc<Block>, BlockError> {
    Block::open(&StdFs, &dir.join(meta.id.to_string()))
}

fn read_all(
    block: &Arc<Block>,
    mint: i64,
    maxt: i64,
) -> Result<Vec<(Labels, Samples)>, BlockError> {
    let (mut buf, mut reader, mut out) = (SeriesBuf::new(), block.reader(), Vec::new());
    for series in 0..block.num_series() {
        buf.begin();
        reader.read(series, mint, maxt, &mut buf)?;
        buf.end();
        let bits = buf.values().iter().map(|v| v.to_bits());
        let floats = buf.times().iter().copied().zip(bits).collect();
        let histograms = buf.histograms().to_vec();
        out.push((block.labels(series)?, Samples { floats, histograms }));
    }
    Ok(out)
}

fn clipped(model: &Model, mint: i64, maxt: i64) -> Vec<(Labels, Samples)> {
    let inside = |t: &i64| (mint..=maxt).contains(t);
    let mut out = Vec::new();
    for (labels, all) in model {
        let floats = all.floats.iter().filter(|(t, _)| inside(t)).copied().collect();
        let histograms = all.histograms.iter().filter(|(t, _)| inside(t)).cloned().collect();
        out.push((labels.clone(), Samples { floats, histograms }));
    }
    out.retain(|(labels, _)| model[labels] != Samples::default());
    out
}

fn histogram(count: u64) -> HistogramValue {
    HistogramValue::Int(Arc::new(IntHistogram {
        hint: model::CounterResetHint::Unknown,
        schema: 0,
        zero_threshold: 0.5,
        zero_count: count,
        count,
        sum: 1.5,
        positive_spans: vec![],
        negative_spans: vec![],
        positive_deltas: vec![],
        negative_deltas: vec![],
        custom_values: vec![],
    }))
}

/// Two targets with a few series each, one late-born, one with histograms, stale markers, gaps.
fn small() -> Model {
    let mut model = Model::new();
    for (name, target) in [("a", 0), ("a", 1), ("b", 0), ("c", 1), ("d", 0)] {
        let instance = format!("host-{target}");
        let labels = [("__name__", name), ("instance", &instance), ("job", "node")];
        let mut samples = Samples::default();
        for i in 0..40_i32 {
            let t = 1_700_000_000_000 + i64::from(i * 15_000 + i * i % 7 + target);
            let v = match name {
                "a" => 1.0,
                "b" => f64::from(i * i) / 10.0,
                "c" if i == 20 => f64::from_bits(STALE_NAN),
                "c" => f64::from(i).sqrt(),
                _ => f64::from(100 - i),
            };
            if name == "d" && i < 10 {
                samples.histograms.push((t, histogram(3 * u64::from(i.unsigned_abs()))));
            } else if name != "c" || i > 5 {
                samples.floats.push((t, v.to_bits()));
            }
        }
        model.insert(Labels::from_pairs(labels).unwrap(), samples);
    }
    model
}

#[test]
fn a_block_gives_back_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let model = small();
    let meta = write(dir.path(), &model);
    let block = open(dir.path(), &meta).unwrap();
    block.verify().unwrap();
    assert_eq!(block.meta(), &meta);
    assert_eq!((meta.num_series, meta.num_samples, meta.num_histograms), (5, 184, 10));
    for (mint, maxt) in [
        (i64::MIN, i64::MAX),
        (meta.mint, meta.maxt),
        (meta.mint + 100_000, meta.mint + 400_000),
        (meta.mint + 1, meta.mint + 2),
        (meta.maxt, meta.maxt),
        (meta.maxt + 1, i64::MAX),
    ] {
        assert_eq!(read_all(&block, mint, maxt).unwrap(), clipped(&model, mint, maxt));
    }
    block.drop_caches();
    assert_eq!(read_all(&block, 0, i64::MAX).unwrap(), clipped(&model, 0, i64::MAX));
}

/// `BLESS=1` writes the fixture anew, which only a new format version may.
#[test]
fn the_bytes_of_version_3_are_frozen_and_open() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v3/blocks");
    let dir = tempfile::tempdir().unwrap();
    let model = small();
    let meta = write(dir.path(), &model);
    let (made, kept) = (dir.path().join(meta.id.to_string()), fixture.join(meta.id.to_string()));
    for name in [META_FILE, CHUNKS_FILE, INDEX_FILE] {
        if std::env::var_os("BLESS").is_some() {
            fs::create_dir_all(&kept).unwrap();
            fs::copy(made.join(name), kept.join(name)).unwrap();
        }
        assert!(fs::read(made.join(name)).unwrap() == fs::read(kept.join(name)).unwrap(), "{name}");
    }
    let block = open(&fixture, &meta).unwrap();
    block.verify().unwrap();
    assert_eq!(read_all(&block, 0, i64::MAX).unwrap(), clipped(&model, 0, i64::MAX));
}

#[test]
fn series_of_a_target_share_their_times() {
    let dir = tempfile::tempdir().unwrap();
    let meta = write(dir.path(), &small());
    let block = open(dir.path(), &meta).unwrap();
    let mut reader = block.reader();
    let columns: Vec<Vec<u32>> =
        (0..5).map(|s| reader.chunks(s).unwrap().iter().map(|row| row.column).collect()).collect();
    assert_eq!(columns[0], columns[2], "a and b of host-0");
    assert_ne!(columns[0], columns[1], "other targets, other times");
}

#[test]
fn rows_know_resets_stale_markers_and_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let meta = write(dir.path(), &small());
    let block = open(dir.path(), &meta).unwrap();
    let mut reader = block.reader();
    let mut row = |series: u32| *reader.chunks(series).unwrap().last().unwrap();
    assert_eq!((row(0).has_reset, row(0).has_stale, row(0).bounds), (false, false, None));
    let near = |row: ChunkRow, min: f64, max: f64| {
        let (low, high) = row.bounds.unwrap();
        low <= min
            && min - low < min.abs() / 4000.0 + 1e-9
            && max <= high
            && high - max < max / 4000.0
    };
    assert!(!row(2).has_reset && near(row(2), 0.0, 152.1), "{:?}", row(2).bounds);
    assert!(row(3).has_stale && !row(3).has_reset);
    assert_eq!((row(4).has_reset, row(4).bounds), (true, Some((61.0, 90.0))));
}

#[test]
fn what_is_out_of_order_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let meta = BlockMeta::new(BlockId::new(1, 1));
    let mut writer = BlockWriter::create(Arc::new(StdFs), dir.path(), meta).unwrap();
    let labels = |name: &str| Labels::from_pairs([("__name__", name)]).unwrap();
    writer.add_series(&labels("b"), &[1, 2], &[1.0, 2.0], &[]).unwrap();
    for (name, times, values) in [
        ("a", &[1][..], &[1.0][..]),
        ("b", &[1], &[1.0]),
        ("c", &[2, 2], &[1.0, 1.0]),
        ("c", &[1], &[]),
    ] {
        let err = writer.add_series(&labels(name), times, values, &[]).unwrap_err();
        assert!(matches!(err, BlockError::Unordered(_)), "{name} {times:?}: {err}");
    }
    writer.add_series(&labels("c"), &[5], &[0.0], &[]).unwrap();
    drop(writer);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "a dropped writer leaves nothing");
}

/// Flips every bit and cuts at every length of every file: an error, or the same answers.
#[test]
fn damage_is_found_before_it_is_believed() {
    damage_is_found(BlockMeta::new(BlockId::new(1_700_000_000_000, 7)));
}

#[test]
fn damage_of_a_cold_block_is_found_before_it_is_believed() {
    damage_is_found(cold());
}

fn cold() -> BlockMeta {
    BlockMeta { format: meta::COLD_FORMAT, ..BlockMeta::new(BlockId::new(1_700_000_000_000, 7)) }
}

/// Another version of zstd may write other bytes; these open for ever. `BLESS=1` writes them anew, which
/// only a new format version may.
#[test]
fn the_cold_block_of_version_4_opens() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v4/blocks");
    let dir = tempfile::tempdir().unwrap();
    let model = small();
    let meta = write_as(dir.path(), &model, cold());
    let (made, kept) = (dir.path().join(meta.id.to_string()), fixture.join(meta.id.to_string()));
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all(&kept).unwrap();
        for name in [META_FILE, CHUNKS_FILE, INDEX_FILE] {
            fs::copy(made.join(name), kept.join(name)).unwrap();
        }
    }
    // What zstd does not write: header of the file, header of the page, and the whole index.
    let chunks = |dir: &Path| fs::read(dir.join(CHUNKS_FILE)).unwrap();
    assert_eq!(chunks(&made)[..21], chunks(&kept)[..21]);
    assert_eq!(chunks(&kept)[16], 1, "a page of zstd");
    assert!(fs::read(made.join(INDEX_FILE)).unwrap() == fs::read(kept.join(INDEX_FILE)).unwrap());
    let block = Block::open(&StdFs, &kept).unwrap();
    block.verify().unwrap();
    assert!(block.meta().is_cold());
    assert_eq!(read_all(&block, 0, i64::MAX).unwrap(), clipped(&model, 0, i64::MAX));
}

#[test]
fn a_cold_block_of_many_pages_is_smaller_and_equal_in_every_bit() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new();
    for n in 0..200_u32 {
        let mut samples = Samples::default();
        for i in 0..1000_u32 {
            let v = f64::from(i * n % 97) + f64::from(i / 7).sqrt() * f64::from(n % 3);
            samples.floats.push((i64::from(i) * 15_000 + i64::from(n % 5), v.to_bits()));
        }
        // Longer than a page that is compressed.
        if n == 100 {
            samples.histograms = (0..1500).map(|i| (i * 15_000, wide_histogram(i))).collect();
        }
        let labels = Labels::from_pairs([("i", format!("{n:03}"))]).unwrap();
        model.insert(labels, samples);
    }
    let hot = write(dir.path(), &model);
    let cold = write_as(dir.path(), &model, BlockMeta { id: BlockId::new(1, 1), ..cold() });
    assert!(cold.chunks.len < hot.chunks.len, "{} of {}", cold.chunks.len, hot.chunks.len);
    assert_eq!((cold.num_samples, cold.num_chunks), (hot.num_samples, hot.num_chunks));
    let (hot, cold) = (open(dir.path(), &hot).unwrap(), open(dir.path(), &cold).unwrap());
    for (mint, maxt) in [(i64::MIN, i64::MAX), (700_000, 900_000), (14_000_000, i64::MAX)] {
        let got = read_all(&cold, mint, maxt).unwrap();
        assert!(got == read_all(&hot, mint, maxt).unwrap());
        assert!(got == clipped(&model, mint, maxt));
    }
    assert!(cold.heap_bytes() > hot.heap_bytes());
    cold.drop_caches();
}

/// One of many buckets, which no two have in common.
fn wide_histogram(seed: i64) -> HistogramValue {
    let deltas: Vec<i64> =
        (0..160).map(|i| (seed + 3) * (i % 7 + 1) * (1 - i % 2 * 2) + i).collect();
    let counts = deltas.iter().scan(0_i64, |sum, d| {
        *sum += d;
        Some(*sum)
    });
    let least = counts.clone().min().unwrap_or(0);
    let mut deltas = deltas.clone();
    deltas[0] -= least.min(0);
    let mut count = 0_i64;
    let total: i64 = deltas
        .iter()
        .map(|d| {
            count += d;
            count
        })
        .sum();
    HistogramValue::Int(Arc::new(IntHistogram {
        hint: model::CounterResetHint::Unknown,
        schema: 3,
        zero_threshold: 0.5,
        zero_count: 0,
        count: total.unsigned_abs(),
        sum: 1.0,
        positive_spans: vec![model::Span { offset: 0, length: 160 }],
        negative_spans: vec![],
        positive_deltas: deltas,
        negative_deltas: vec![],
        custom_values: vec![],
    }))
}

fn damage_is_found(meta: BlockMeta) {
    let dir = tempfile::tempdir().unwrap();
    let mut model = small();
    model.retain(|labels, _| labels.get("instance") == "host-0");
    for samples in model.values_mut() {
        samples.floats.truncate(24);
    }
    let meta = write_as(dir.path(), &model, meta);
    let want = clipped(&model, i64::MIN, i64::MAX);
    let all = Matcher::new(MatchOp::Re, "job", "n.*").unwrap();
    let same = |block: &Arc<Block>| -> Result<bool, BlockError> {
        let found = block.select(&[Matcher::equal("__name__", "b"), all.clone()])?;
        Ok(found.iter().eq([1]) && read_all(block, i64::MIN, i64::MAX)? == want)
    };
    assert!(same(&open(dir.path(), &meta).unwrap()).unwrap());
    let (mut missed, mut found) = (0, 0);
    for name in [META_FILE, CHUNKS_FILE, INDEX_FILE] {
        let path = dir.path().join(meta.id.to_string()).join(name);
        let good = fs::read(&path).unwrap();
        let flips = (0..good.len() * 8).map(|bit| {
            let mut bytes = good.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            bytes
        });
        let cuts = (0..good.len()).map(|len| good[..len].to_vec());
        let more = [[&good[..], &[0]].concat(), vec![0; good.len()]];
        for bytes in flips.chain(cuts).chain(more) {
            // A new file each time: maps of the old one may still be open.
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
            match open(dir.path(), &meta).and_then(|block| same(&block)) {
                Ok(true) => missed += 1,
                Ok(false) => panic!("wrong answer from damaged {name}"),
                Err(_) => found += 1,
            }
        }
        fs::write(&path, good).unwrap();
    }
    // The hash of a file is not compared on opening, but to that in the meta; nothing else is spare.
    assert!(missed <= 128, "{missed}, {found} found");
    assert!(same(&open(dir.path(), &meta).unwrap()).unwrap());
}

#[test]
fn other_versions_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let meta = write(dir.path(), &small());
    let newer = BlockMeta { format: 5, ..meta.clone() };
    fs::write(dir.path().join(meta.id.to_string()).join(META_FILE), newer.encode()).unwrap();
    let err = open(dir.path(), &meta).unwrap_err();
    assert!(matches!(err, BlockError::Version { found: 5, known: 4, .. }), "{err}");
}

#[test]
fn ids_sort_by_time_and_survive_printing() {
    let (a, b) = (BlockId::new(1_700_000_000_000, u128::MAX), BlockId::new(1_700_000_000_001, 0));
    assert!(a < b && a.to_string() < b.to_string());
    assert_eq!(a.to_string(), "01HF7YAT00ZZZZZZZZZZZZZZZZ");
    assert_eq!((a.to_string().parse(), a.created_ms()), (Ok(a), 1_700_000_000_000));
    for bad in [
        "",
        "01HF7YAT00ZZZZZZZZZZZZZZZ",
        "81HF7YAT00ZZZZZZZZZZZZZZZZ",
        "01HF7YAT00ZZZZZZZZZZZZZZZl",
    ] {
        assert!(bad.parse::<BlockId>().is_err(), "{bad}");
    }
}

fn labels() -> impl Strategy<Value = Labels> {
    let pairs = proptest::collection::btree_map("[abc]|__name__", "[abx]{0,3}|é.", 0..5);
    pairs.prop_map(|map| Labels::from_pairs(map).unwrap())
}

fn samples() -> impl Strategy<Value = Samples> {
    let steps = prop_oneof![6 => Just(15_000), 2 => 1..60_000_i64, 1 => 1..1_000_000_000_i64];
    let one = (steps, crate::chunk::tests::float(), prop::bool::weighted(0.1));
    (any::<bool>(), proptest::collection::vec(one, 0..200)).prop_map(|(mixed, steps)| {
        let (mut t, mut out) = (1_700_000_000_000, Samples::default());
        for (step, v, is_histogram) in steps {
            t += step;
            if mixed && is_histogram {
                out.histograms.push((t, histogram(v.to_bits())));
            } else {
                out.floats.push((t, v.to_bits()));
            }
        }
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn agrees_with_a_map(
        model in proptest::collection::btree_map(labels(), samples(), 0..30),
        from in 0..3_000_000_i64, len in 0..3_000_000_i64,
        tests in proptest::collection::vec(("[abcd]", "[abx]{0,2}", 0..4_usize), 0..3),
        format in prop_oneof![Just(meta::FORMAT), Just(meta::COLD_FORMAT)],
    ) {
        let (disk, id) = (SimFs::new(1), BlockId::new(1, 1));
        let meta = BlockMeta { format, ..BlockMeta::new(id) };
        write_to(Arc::new(disk.clone()), Path::new("/"), &model, meta).unwrap();
        let block = Block::open(&disk, &Path::new("/").join(id.to_string())).unwrap();
        block.verify().unwrap();
        let mint = 1_700_000_000_000 + from;
        for (mint, maxt) in [(i64::MIN, i64::MAX), (mint, mint + len)] {
            prop_assert_eq!(read_all(&block, mint, maxt).unwrap(), clipped(&model, mint, maxt));
        }
        let ops = [MatchOp::Eq, MatchOp::Ne, MatchOp::Re, MatchOp::Nre];
        let matchers: Vec<_> = tests.iter().map(|(name, value, op)| {
            let value = if *op < 2 { value.clone() } else { format!("{value}.*") };
            Matcher::new(ops[*op], name, &value).unwrap()
        }).collect();
        let stored = clipped(&model, i64::MIN, i64::MAX);
        let want: Vec<u32> = (0..).zip(&stored)
            .filter(|(_, (l, _))| matchers.iter().all(|m| m.matches(l.get(&m.name))))
            .map(|(i, _)| i).collect();
        let got = block.select(&matchers).unwrap();
        prop_assert_eq!(got.iter().collect::<Vec<_>>(), want);
        let estimate = block.estimate(got.iter(), i64::MIN, i64::MAX).unwrap();
        prop_assert_eq!(estimate.num_series, got.len());
    }
}

#[test]
fn many_series_span_many_pages() {
    let dir = tempfile::tempdir().unwrap();
    let mut model = Model::new();
    for i in 0..20_000_u32 {
        let (instance, id) = (format!("host-{:03}", i % 100), format!("{}", i / 100));
        let labels = [("__name__", "m"), ("id", &id), ("instance", &instance)];
        let floats = vec![(i64::from(i % 100), f64::from(i).to_bits())];
        model.insert(Labels::from_pairs(labels).unwrap(), Samples { floats, histograms: vec![] });
    }
    let meta = write(dir.path(), &model);
    let block = open(dir.path(), &meta).unwrap();
    assert_eq!(meta.num_columns, 100);
    assert_eq!(read_all(&block, 0, 99).unwrap(), clipped(&model, 0, 99));
    for (op, name, value, want) in [
        (MatchOp::Eq, "id", "7", 100),
        (MatchOp::Re, "instance", "host-00.", 2000),
        (MatchOp::Nre, "instance", "host-.*", 0),
        (MatchOp::Ne, "instance", "host-000", 19_800),
        (MatchOp::Eq, "absent", "", 20_000),
    ] {
        let found = block.select(&[Matcher::new(op, name, value).unwrap()]).unwrap();
        assert_eq!(found.len(), want, "{name} {} {value}", op.as_str());
    }
    let values = resolve::label_values(&*block, "instance", None).unwrap();
    assert_eq!((values.len(), values.is_sorted()), (100, true));
    assert_eq!(resolve::label_names(&*block, None).unwrap(), ["__name__", "id", "instance"]);
}

/// Publishes a block and replaces it by a second, with the power cut at every operation.
#[test]
fn a_power_cut_at_any_operation_leaves_a_listed_block_whole() {
    let dir = Path::new("/db");
    let model = small();
    let ids = [BlockId::new(1, 1), BlockId::new(2, 2)];
    let run = |fs: &SimFs, acknowledged: &mut Option<BlockId>| -> Option<()> {
        let shared: Arc<dyn Fs> = Arc::new(fs.clone());
        let mut manifest = Manifest::open(Arc::clone(&shared), dir).ok()?;
        for (n, id) in ids.into_iter().enumerate() {
            write_to(Arc::clone(&shared), dir, &model, BlockMeta::new(id)).ok()?;
            let remove = ids[..n].to_vec();
            manifest.append(&Edit { add: vec![id], remove, ..Edit::default() }).ok()?;
            *acknowledged = Some(id);
            if let Some(old) = ids[..n].last() {
                directory::delete(fs, dir, *old).ok()?;
            }
        }
        Some(())
    };
    let start = || {
        let fs = SimFs::new(1);
        fs.create_dir(dir).unwrap();
        fs.sync_dir(Path::new("/")).unwrap();
        fs
    };
    let whole = start();
    run(&whole, &mut None).unwrap();
    let (mut states, num_ops) = (0, whole.ops());
    for op in start().ops() + 1..=num_ops {
        for (seed, policy) in (0..).zip(CrashPolicy::ALL.into_iter().cycle().take(14)) {
            let (fs, mut acknowledged) = (start(), None);
            fs.crash_at(op);
            assert!(run(&fs, &mut acknowledged).is_none());
            let after = fs.crash(policy, seed);
            let shared: Arc<dyn Fs> = Arc::new(after.clone());
            let manifest = Manifest::open(shared, dir).unwrap();
            let live = &manifest.state().blocks;
            let context = format!("op {op}, {policy:?}, seed {seed}: {live:?}");
            if let Some(id) = acknowledged {
                assert!(live.iter().any(|found| *found >= id), "{context}");
            }
            assert!(live.len() <= 1, "{context}");
            for found in directory::compare(&after.read_dir(dir).unwrap(), live) {
                match found {
                    Found::Live(id) => {
                        let block = Block::open(&after, &dir.join(id.to_string())).expect(&context);
                        block.verify().expect(&context);
                        let all = read_all(&block, i64::MIN, i64::MAX).unwrap();
                        assert!(all == clipped(&model, i64::MIN, i64::MAX), "{context}");
                    }
                    Found::Missing(id) => panic!("{id} is lost: {context}"),
                    Found::NotLive(id) => {
                        directory::quarantine(&after, dir, id, &dir.join("quarantine")).unwrap();
                    }
                    Found::Rest(name) => directory::remove(&after, dir, &name).unwrap(),
                    Found::Foreign(_) => {}
                }
            }
            states += 1;
        }
    }
    assert!(states > 300, "{states}");
}
