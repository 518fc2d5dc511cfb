use proptest::prelude::*;

use super::*;
use crate::fs::sim::SimFs;

fn disk() -> SimFs {
    SimFs::new(1)
}

fn open(disk: &SimFs) -> Result<Manifest, ManifestError> {
    Manifest::open(Arc::new(disk.clone()), Path::new("/"))
}

fn path() -> PathBuf {
    Path::new("/").join(FILE_NAME)
}

/// The file's content.
fn content(disk: &SimFs) -> Vec<u8> {
    disk.read(&path()).unwrap()
}

fn set_content(disk: &SimFs, bytes: &[u8]) {
    disk.edit(&path(), |content| bytes.clone_into(content)).unwrap();
}

fn id(n: u64) -> BlockId {
    BlockId::new(n, u128::from(n))
}

fn tombstone(seq: u64) -> Arc<Tombstone> {
    let maxt = i64::try_from(seq).unwrap();
    let selectors = vec![vec![], vec![model::Matcher::equal("__name__", "m")]];
    Arc::new(Tombstone { seq, what: Deletion { selectors, mint: -1, maxt } })
}

fn edit(n: u64) -> Edit {
    let n_ms = i64::try_from(n).unwrap();
    Edit {
        boundary: Some(n_ms * 1000),
        late_seq: Some(n),
        add: vec![id(n)],
        remove: if n.is_multiple_of(3) { vec![id(n - 1)] } else { vec![] },
        checkpoint: n.is_multiple_of(2).then_some(n),
        max_series_ref: Some(n * 10),
        last_seen_ms: Some(n_ms),
        add_tombstones: vec![tombstone(n)],
        remove_tombstones: if n.is_multiple_of(4) { vec![n - 1, n - 2] } else { vec![] },
    }
}

/// The states after 0, 1, 2, ... edits.
fn states(n: u64) -> Vec<State> {
    let mut out = vec![State::default()];
    for i in 1..=n {
        let mut next = out[out.len() - 1].clone();
        next.apply(&edit(i));
        out.push(next);
    }
    out
}

#[test]
fn what_was_appended_is_there_after_reopening() {
    let disk = disk();
    let mut manifest = open(&disk).unwrap();
    assert_eq!(manifest.state(), &State::default());
    // Far enough that the file is written anew on the way.
    let num = MAX_RECORDS + 5;
    let want = states(num);
    for n in 1..=num {
        manifest.append(&edit(n)).unwrap();
        assert_eq!(manifest.state(), &want[usize::try_from(n).unwrap()]);
    }
    assert!(manifest.num_records < 10);
    drop(manifest);
    assert_eq!(open(&disk).unwrap().state(), &want[want.len() - 1]);
}

#[test]
fn a_torn_end_loses_only_what_was_not_acknowledged() {
    let disk = disk();
    let mut manifest = open(&disk).unwrap();
    manifest.append(&edit(1)).unwrap();
    let acknowledged = content(&disk).len();
    manifest.append(&edit(2)).unwrap();
    drop(manifest);
    let good = content(&disk);
    let want = states(3);
    for len in acknowledged..=good.len() {
        for zeros in [0, 4096] {
            let mut bytes = good[..len].to_vec();
            bytes.resize(len + zeros, 0);
            set_content(&disk, &bytes);
            let mut manifest = open(&disk).unwrap();
            let state = manifest.state().clone();
            let copies_end = acknowledged + (good.len() - acknowledged) / 2;
            assert_eq!(state, want[if len >= copies_end { 2 } else { 1 }], "{len}");
            manifest.append(&edit(3)).unwrap();
            let state = manifest.state().clone();
            assert_eq!(open(&disk).unwrap().state(), &state, "repaired before appending");
        }
    }
}

#[test]
fn a_flipped_bit_costs_nothing_and_a_lost_record_is_noticed() {
    let disk = disk();
    let mut manifest = open(&disk).unwrap();
    for n in 1..=3 {
        manifest.append(&edit(n)).unwrap();
    }
    drop(manifest);
    let good = content(&disk);
    let want = states(3);
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        set_content(&disk, &bytes);
        match open(&disk) {
            Ok(manifest) => assert_eq!(manifest.state(), &want[3], "bit {bit}"),
            Err(ManifestError::Corrupt { .. } | ManifestError::Version { .. }) => {
                assert!(bit / 8 < HEADER_LEN, "bit {bit}");
            }
            Err(other) => panic!("{other}"),
        }
    }
    // Both copies of the second edit.
    let second = record(3, &edit(2));
    let at = good.windows(second.len()).position(|w| w == second).unwrap();
    let mut bytes = good.clone();
    bytes[at..at + 2 * second.len()].fill(0xff);
    set_content(&disk, &bytes);
    let err = open(&disk).unwrap_err();
    assert!(matches!(err, ManifestError::Corrupt { .. }), "{err}");
    for len in 0..HEADER_LEN + 10 {
        set_content(&disk, &good[..len]);
        assert!(matches!(open(&disk), Err(ManifestError::Corrupt { .. })), "{len}");
    }
}

#[test]
fn blocks_without_a_manifest_are_not_taken_for_an_empty_database() {
    let disk = disk();
    disk.create_dir(&Path::new("/").join(id(1).to_string())).unwrap();
    assert!(matches!(open(&disk), Err(ManifestError::Missing { .. })));
}

#[test]
fn the_bytes_are_frozen() {
    let mut bytes = header();
    bytes.extend(record(2, &edit(3)));
    let hex: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let want = concat!(
        "53424b6d616e6966",
        "01000000",
        "b92b4f90", // magic number, version, checksum
        "3f000000",
        "8e65c6c8",
        "02", // length, checksum, record number
        "01f02e",
        "0203",                               // boundary, late_seq
        "0303000000000000000000030000000000", // added
        "0402000000000000000000020000000000", // removed
        "061e",
        "0706",       // highest series ref, last seen
        "0803",       // tombstone added
        "0106020001", // its range, two selectors, the second of one matcher
        "00085f5f6e616d655f5f016d",
    );
    assert_eq!(hex.concat(), want);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut whole = header();
        whole.extend(bytes);
        let _ = read(Path::new("x"), &whole);
    }
}
