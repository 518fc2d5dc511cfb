#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use model::Labels;

use super::*;
use crate::chunk::gorilla::GorillaChunk;
use crate::fs::sim::SimFs;

const DIR: &str = "/wal";

fn written() -> (SimFs, Record, ChunkState) {
    let fs = SimFs::new(1);
    fs.create_dir(Path::new(DIR)).unwrap();
    let labels = Labels::from_pairs([("__name__", "up")]).unwrap();
    let record = Record { series: vec![(SeriesRef(3), labels)], ..Record::default() };
    let mut chunk = GorillaChunk::new(1);
    chunk.append(10, 1.5);
    chunk.append(20, f64::NAN);
    let chunks = vec![Arc::new(chunk.seal())];
    let state =
        ChunkState { id: SeriesRef(3), logged_t: 20, late_t: i64::MIN, logged: Some(7), chunks };
    let mut writer = CheckpointWriter::create(&fs, Path::new(DIR), 5, 41).unwrap();
    writer.record(&record).unwrap();
    writer.chunks(&state).unwrap();
    writer.finish().unwrap();
    (fs, record, state)
}

fn read_all(fs: &SimFs) -> io::Result<(CheckpointReport, Vec<Part>)> {
    let mut parts = Vec::new();
    let report = read(fs, Path::new(DIR), 5, |seq, part| {
        assert_eq!(seq, 41);
        parts.push(part);
    })?;
    Ok((report, parts))
}

fn is_written(part: &Part, record: &Record, state: &ChunkState) -> bool {
    match part {
        Part::Record(r) => r == record,
        Part::Chunks(s) => s == state,
    }
}

#[test]
fn what_was_written_is_read() {
    let (fs, record, state) = written();
    let (report, parts) = read_all(&fs).unwrap();
    assert_eq!(report, CheckpointReport { seq: 41, damaged_frames: 0, truncated: false });
    assert_eq!(parts.len(), 2);
    assert!(parts.iter().all(|p| is_written(p, &record, &state)));
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed_and_nothing_is_invented() {
    let (fs, record, state) = written();
    let path = path(Path::new(DIR), 5);
    let whole = fs.read(&path).unwrap();
    let flips = (0..whole.len() * 8).map(|bit| {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes
    });
    let cuts = (0..whole.len()).map(|n| whole[..n].to_vec());
    for bytes in flips.chain(cuts) {
        fs.edit(&path, |file| *file = bytes).unwrap();
        let Ok((report, parts)) = read_all(&fs) else { continue };
        assert!(report.damaged_frames > 0 || report.truncated, "{report:?}");
        assert!(parts.iter().all(|p| is_written(p, &record, &state)));
    }
}
