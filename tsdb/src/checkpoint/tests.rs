#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use model::Labels;

use super::*;
use crate::fs::sim::SimFs;
use crate::head::open::{OpenChunk, OpenStore};
use crate::head::sealed::SealedChunk;
use crate::head::series::Logged;
use crate::wal::record::{Rows, SeriesRef};

const DIR: &str = "/wal";

/// A series as it is read: what all of its parts come to.
type Seen = (u64, Labels, i64, i64, Option<u64>, Vec<SealedBytes>, Option<SealedBytes>);
type SealedBytes = (i64, i64, u16, Vec<u8>, Vec<u8>);

fn bytes_of(chunk: &SealedChunk) -> SealedBytes {
    (chunk.mint, chunk.maxt, chunk.count, chunk.times.to_vec(), chunk.values.to_vec())
}

/// One series of each kind.
fn series(store: &mut OpenStore) -> Vec<(Labels, Series)> {
    let labels = |name: &str, zone: &str| {
        Labels::from_pairs([("__name__", name), ("job", "x"), ("zone", zone)]).unwrap()
    };
    let mut all = Vec::new();
    for (n, zone) in [(3, "a"), (4, ""), (900, "b"), (2, "ä"), (70, "a")] {
        let mut s = Series::free();
        s.id = SeriesRef(n);
        all.push((labels(&format!("m{n}"), zone), s));
    }
    let mut append = |s: &mut Series, t: i64, v: f64| {
        s.apply_float(t, v, 1000, store);
        (s.logged_t, s.logged) = (t, Logged::Float(v.to_bits()));
    };
    for (_, s) in &mut all[..3] {
        for (t, v) in [(10, 0.1), (900, 1.5), (1500, 1e9 / 7.0), (1600, 0.3), (2100, -0.7)] {
            append(s, t, v);
        }
    }
    // Corrected, late, and with nothing but a histogram logged.
    all[1].1.logged = Logged::Float(f64::NAN.to_bits());
    all[2].1.late_t = 50;
    (all[2].1.logged_t, all[2].1.logged) = (2500, Logged::Nothing);
    append(&mut all[4].1, i64::MIN, 0.0);
    append(&mut all[4].1, 1990, -0.0);
    all
}

fn record() -> Record {
    let late = Rows { refs: vec![SeriesRef(3)], times: vec![7], values: vec![0.25] };
    Record { late, databases: vec!["db".to_owned()], ..Record::default() }
}

fn written(boundary: i64) -> (SimFs, Vec<Seen>) {
    let fs = SimFs::new(1);
    fs.create_dir(Path::new(DIR)).unwrap();
    let mut index = HeadIndex::new(7);
    let mut writer = CheckpointWriter::create(&fs, Path::new(DIR), 5, 41).unwrap();
    let mut want = Vec::new();
    let mut store = OpenStore::new(1);
    for (labels, mut s) in series(&mut store) {
        let slot = index.insert(&labels, s.id);
        writer.series(&s, &store, (slot, &index), boundary);
        if s.id.0 == 900 {
            writer.write_series().unwrap();
        }
        let sealed = s.sealed.iter().filter(|c| c.maxt >= boundary).map(|c| bytes_of(c)).collect();
        let open = s.open.take_if(|open| open.maxt() >= boundary);
        let open = open.map(|open| bytes_of(&open.seal(&mut store)));
        want.push((s.id.0, labels, s.logged_t, s.late_t, s.logged.float_bits(), sealed, open));
    }
    writer.record(&record()).unwrap();
    let len = writer.finish().unwrap();
    assert_eq!(len, fs.read(&path(Path::new(DIR), 5)).unwrap().len() as u64);
    want.sort();
    (fs, want)
}

fn read_all(fs: &SimFs) -> io::Result<(CheckpointReport, Vec<Seen>, Vec<Record>)> {
    let checkpoint = Checkpoint::open(fs, Path::new(DIR), 5)?;
    let seen = Mutex::new(Vec::new());
    checkpoint.series(&|frame| {
        for s in &frame.series {
            let names = &frame.schemas[s.schema as usize];
            let text = |place: &u32| frame.strings[*place as usize];
            let pairs = names.iter().map(text).zip(frame.values(s).iter().map(text));
            let labels = Labels::from_sorted(pairs);
            let sealed = frame.sealed(s).iter().map(|c| bytes_of(c)).collect();
            let store = &mut OpenStore::new(7);
            let open = frame.open(s, store).map(|open: OpenChunk| bytes_of(&open.seal(store)));
            seen.lock().push((s.id.0, labels, s.logged_t, s.late_t, s.logged, sealed, open));
        }
    })?;
    let mut records = Vec::new();
    checkpoint.records(|record| records.push(record))?;
    let mut seen = seen.into_inner();
    seen.sort();
    Ok((checkpoint.report(), seen, records))
}

#[test]
fn what_was_written_is_read() {
    for boundary in [i64::MIN, 1000, 2000, 2100, 3000] {
        let (fs, want) = written(boundary);
        let (report, seen, records) = read_all(&fs).unwrap();
        assert_eq!((report.seq, report.damaged_frames, report.truncated), (41, 0, false));
        assert_eq!((seen, records), (want, vec![record()]), "{boundary}");
    }
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed_and_nothing_is_invented() {
    let (fs, want) = written(i64::MIN);
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
        let Ok((report, seen, records)) = read_all(&fs) else { continue };
        assert!(report.damaged_frames > 0 || report.truncated, "{report:?}");
        assert!(seen.iter().all(|s| want.contains(s)));
        assert!(records.iter().all(|r| *r == record()));
    }
}

#[test]
fn damage_to_a_frame_costs_only_its_series() {
    let (fs, want) = written(i64::MIN);
    let path = path(Path::new(DIR), 5);
    // The first frame holds the first three series.
    fs.edit(&path, |file| file[HEADER_BYTES + FRAME_HEADER_BYTES + 20] ^= 1).unwrap();
    let (report, seen, records) = read_all(&fs).unwrap();
    assert_eq!((report.damaged_frames, records.len()), (1, 1));
    let rest: Vec<Seen> = want.into_iter().filter(|s| matches!(s.0, 2 | 70)).collect();
    assert_eq!(seen, rest);
}

/// Frames whose checksum is right and whose content is not: a bug elsewhere must not break the
/// order of labels, nor ask for memory that the file does not have.
#[test]
fn a_frame_that_is_no_frame_is_damage() {
    let (fs, _) = written(i64::MIN);
    let file = fs.read(&path(Path::new(DIR), 5)).unwrap();
    let len = u32::from_le_bytes(file[HEADER_BYTES..][..4].try_into().unwrap()) as usize;
    let payload = &file[HEADER_BYTES + FRAME_HEADER_BYTES..][..len];
    assert!(SeriesFrame::decode(payload).is_some());
    for n in 0..len {
        assert!(SeriesFrame::decode(&payload[..n]).is_none(), "cut at {n}");
        for bit in 0..8 {
            let mut bytes = payload.to_vec();
            bytes[n] ^= 1 << bit;
            // Many of these are frames of other series; none may panic.
            let Some(frame) = SeriesFrame::decode(&bytes) else { continue };
            for schema in &frame.schemas {
                let names: Vec<_> = schema.iter().map(|n| frame.strings[*n as usize]).collect();
                assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
            }
            for s in &frame.series {
                assert!(frame.values(s).iter().all(|v| !frame.strings[*v as usize].is_empty()));
                let _ = (frame.sealed(s), frame.open(s, &mut OpenStore::new(7)));
            }
        }
    }
    let many = |counts: &[u64]| {
        let mut bytes = Vec::new();
        for n in counts {
            put_u64(&mut bytes, *n);
        }
        SeriesFrame::decode(&bytes).is_none()
    };
    assert!(many(&[u64::MAX]) && many(&[0, u64::MAX]) && many(&[0, 0, 0, u64::MAX]));
}

#[test]
fn bytes_are_frozen() {
    let (fs, _) = written(i64::MIN);
    let file = fs.read(&path(Path::new(DIR), 5)).unwrap();
    assert_eq!(
        (file[4], file.len(), crc(&file)),
        (VERSION, 566, 2_351_299_985),
        "move the version byte"
    );
}
