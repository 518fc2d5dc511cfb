//! Damaged segments: a wrong record is never replayed, and the rest is.

use model::{CounterResetHint, HistogramValue, IntHistogram};
use tsdb::wal::record::HistogramRow;

use super::*;

const SIZES: [usize; 7] = [10, 0, 300, 40, 1, 90, 12];

/// A log of three segments: 3 records, 3 records in one batch, 1 record.
fn sample(mode: WalMode) -> (SimFs, WalOptions) {
    let fs = SimFs::new(1);
    let options = options(mode);
    let (wal, ..) = open(&fs, &options);
    for n in 0..7 {
        let seq = enqueue(&wal, n, SIZES[usize::try_from(n).unwrap()]).unwrap();
        match n {
            2 | 5 => drop(wal.cut().unwrap()),
            3 | 4 => {}
            _ => wal.commit(seq, mode).unwrap(),
        }
    }
    wal.close().unwrap();
    // A later run, so that the last sync is attested in the weaker modes too.
    drop(open(&fs, &WalOptions { run: 8, ..options.clone() }));
    (fs, options)
}

/// Replays a copy of the log with the segment `name` changed.
fn replay(mode: WalMode, name: &str, edit: impl FnOnce(&mut Vec<u8>)) -> (Records, ReplayReport) {
    let (fs, options) = sample(mode);
    fs.edit(&options.dir.join(name), edit).unwrap();
    let options = WalOptions { run: 9, ..options };
    let (_, records, report) = open(&fs, &options);
    for (seq, replayed) in &records {
        let n = seq - 1;
        assert_eq!(*replayed, record(n, SIZES[usize::try_from(n).unwrap()]), "{seq}");
    }
    let order: Vec<u64> = records.iter().map(|(seq, _)| *seq).collect();
    assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
    let (_, again, _) = open(&fs, &WalOptions { run: 10, ..options });
    assert_eq!(again, records, "the next start finds the same");
    (records, report)
}

fn segment(name: &str) -> Vec<u8> {
    let (fs, options) = sample(WalMode::EveryWrite);
    fs.read(&options.dir.join(name)).unwrap()
}

#[test]
fn a_flipped_bit_costs_the_record_it_hits_and_nothing_else() {
    for mode in [WalMode::EveryWrite, WalMode::Periodic] {
        for name in ["00000001.wal", "00000002.wal", "00000003.wal"] {
            for bit in 0..segment(name).len() * 8 {
                let (records, report) = replay(mode, name, |data| data[bit / 8] ^= 1 << (bit % 8));
                let lost = usize::from(bit >= HEADER_BYTES * 8);
                assert_eq!(records.len(), 7 - lost, "{mode:?} {name} bit {bit}: {report:?}");
                assert!(report.damaged_regions == 1 || report.torn_bytes > 0);
                assert!(report.quarantined_bytes > 0);
            }
        }
    }
}

#[test]
fn a_cut_costs_what_it_cuts() {
    for (name, first) in [("00000001.wal", 0), ("00000002.wal", 3), ("00000003.wal", 6)] {
        let (whole, count) = (segment(name), if first == 6 { 1 } else { 3 });
        let mut ends = vec![HEADER_BYTES];
        for n in first..first + count {
            let bytes = payload(n, SIZES[usize::try_from(n).unwrap()]).len() + FRAME_BYTES;
            ends.push(ends.last().unwrap() + bytes);
        }
        assert_eq!(*ends.last().unwrap(), whole.len());
        for len in 0..whole.len() {
            let (records, report) = replay(WalMode::EveryWrite, name, |data| data.truncate(len));
            let kept = ends.iter().skip(1).filter(|end| **end <= len).count() as u64;
            assert_eq!(records.len() as u64, 7 - count + kept, "{name} cut to {len}");
            let clean = len == 0 || ends.contains(&len);
            assert_eq!(report.torn_bytes == 0, clean, "{name} cut to {len}: {report:?}");
        }
    }
}

#[test]
fn segments_found_empty_zeroed_extended_or_missing_do_not_stop_the_start() {
    let zero_page = |data: &mut Vec<u8>| data.fill(0);
    let garbage =
        |data: &mut Vec<u8>| data.extend((0..5000_u32).map(|i| i.to_le_bytes()[0] ^ 0x5a));
    let extended = |data: &mut Vec<u8>| data.resize(data.len() + 70_000, 0);
    for mode in [WalMode::EveryWrite, WalMode::Periodic] {
        let name = "00000002.wal";
        assert_eq!(replay(mode, name, Vec::clear).0.len(), 4);
        assert_eq!(replay(mode, name, zero_page).0.len(), 4);
        assert_eq!(replay(mode, name, garbage).0.len(), 7);
        let (records, report) = replay(mode, name, extended);
        assert_eq!((records.len(), report.quarantined_bytes), (7, 0), "zeros hold nothing");
        // A copy of the file behind itself: no record twice.
        assert_eq!(replay(mode, name, |data| data.extend(data.clone())).0.len(), 7);
        let (fs, options) = sample(mode);
        fs.remove_file(&options.dir.join(name)).unwrap();
        let (_, records, report) = open(&fs, &WalOptions { run: 9, ..options });
        assert_eq!((records.len(), report.missing_records), (4, 3));
        assert_eq!(report.gaps, [(4, 6)]);
    }
}

#[test]
fn foreign_names_are_left_alone() {
    let (fs, options) = sample(WalMode::EveryWrite);
    for name in ["1.wal", "00000001.wal.bak", "notes.txt", "0000000x.wal"] {
        fs.create(&options.dir.join(name)).unwrap().append(b"mine").unwrap();
    }
    fs.create_dir(&options.dir.join("00000009.wal")).unwrap();
    let (wal, records, _) = open(&fs, &options);
    assert_eq!(records.len(), 7);
    wal.remove_before(wal.cut().unwrap().segment).unwrap();
    assert_eq!(fs.read_dir(&options.dir).unwrap().len(), 6, "five of theirs, one of ours");
}

#[test]
fn damaged_bytes_are_copied_once_and_outlive_the_segment() {
    let (fs, options) = sample(WalMode::EveryWrite);
    let mut damaged = Vec::new();
    let path = options.dir.join("00000002.wal");
    let first = payload(3, SIZES[3]).len() + FRAME_BYTES;
    fs.edit(&path, |data| {
        data[HEADER_BYTES + FRAME_BYTES + 3] ^= 4;
        damaged = data[HEADER_BYTES..HEADER_BYTES + first].to_vec();
    })
    .unwrap();
    let (_, _, report) = open(&fs, &options);
    assert_eq!((report.damaged_regions, report.damaged_bytes), (1, first as u64));
    assert_eq!((report.quarantined_bytes, report.gaps), (first as u64, vec![(4, 4)]));
    let (wal, _, report) = open(&fs, &options);
    assert_eq!((report.damaged_regions, report.quarantined_bytes), (1, 0));
    wal.remove_before(wal.cut().unwrap().segment).unwrap();
    let copies = fs.read_dir(&options.quarantine).unwrap();
    assert_eq!(copies.len(), 1, "{copies:?}");
    assert_eq!(fs.read(&options.quarantine.join(&copies[0].name)).unwrap(), damaged);
}

#[test]
fn an_unreadable_sector_costs_the_records_in_it() {
    use tsdb::fs::sim::{Fault, FaultError, Op};
    let fs = SimFs::new(1);
    let options = WalOptions { segment_bytes: 1 << 20, ..options(WalMode::EveryWrite) };
    let (wal, ..) = open(&fs, &options);
    for n in 0..200 {
        write(&wal, n, 500, WalMode::EveryWrite).unwrap();
    }
    drop(wal);
    let path = "00000001.wal".to_owned();
    let bad = Fault { path, bytes: 40_960..45_056, ..Fault::sticky(Op::Read, 0, FaultError::Io) };
    fs.fail(bad);
    let (_, records, report) = open(&fs, &options);
    assert!((188..=191).contains(&records.len()), "{} {report:?}", records.len());
    assert_eq!(records.len() as u64 + report.missing_records, 200);
}

#[test]
fn a_newer_format_is_refused_with_one_line() {
    let (fs, options) = sample(WalMode::EveryWrite);
    fs.edit(&options.dir.join("00000002.wal"), |data| {
        data[8] = 2;
        let sum = tsdb::encoding::crc(&data[..28]).to_le_bytes();
        data[28..32].copy_from_slice(&sum);
    })
    .unwrap();
    let text = open_from(&fs, &options, Position::START).unwrap_err().to_string();
    let want = "/wal/00000002.wal: log format version 2 is newer than this program";
    assert_eq!(text, want);
}

/// A record whose payload contains the bytes of a whole frame, as a client could send it. The
/// frame that holds it is damaged, so that the search for the next frame runs over it.
fn planted(guessed_run: u32) -> Records {
    let other = SimFs::new(1);
    let guess = WalOptions { run: guessed_run, ..options(WalMode::EveryWrite) };
    let second = Position { seq: 2, ..Position::START };
    let (wal, ..) = open_from(&other, &guess, second).unwrap();
    write(&wal, 666, 10, WalMode::EveryWrite).unwrap();
    let mut bytes = other.read(&guess.dir.join("00000001.wal")).unwrap().split_off(HEADER_BYTES);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    let custom_values =
        bytes.chunks(8).map(|c| f64::from_le_bytes(c.try_into().unwrap())).collect();
    let fs = SimFs::new(1);
    let options = options(WalMode::EveryWrite);
    let (wal, ..) = open(&fs, &options);
    let carrier = Record {
        histograms: vec![HistogramRow {
            series: SeriesRef(1),
            t_ms: 0,
            late: false,
            value: HistogramValue::Int(Arc::new(IntHistogram {
                hint: CounterResetHint::Unknown,
                schema: 0,
                zero_threshold: 0.0,
                zero_count: 0,
                count: 0,
                sum: 0.0,
                positive_spans: vec![],
                negative_spans: vec![],
                positive_deltas: vec![],
                negative_deltas: vec![],
                custom_values,
            })),
        }],
        ..Record::default()
    };
    let mut payload = Vec::new();
    carrier.encode(&mut payload);
    let seq = wal.enqueue(wal.reserve(payload.len()).unwrap(), payload);
    wal.commit(seq, WalMode::EveryWrite).unwrap();
    drop(wal);
    fs.edit(&options.dir.join("00000001.wal"), |data| data[HEADER_BYTES + 5] ^= 1).unwrap();
    open(&fs, &options).1
}

#[test]
fn bytes_of_a_client_cannot_pose_as_a_record() {
    assert_eq!(planted(7).len(), 1, "the run is the one thing that a client cannot know");
    assert_eq!(planted(8), []);
}
