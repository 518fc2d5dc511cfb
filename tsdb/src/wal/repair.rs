//! Replay: applies what is whole, keeps a copy of what is not, and says what is missing.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::reader::{Cursor, Damage, Entry, Merge};
use super::record::Record;
use super::segment::{FRAME_BYTES, SegmentIndex};
use super::{BoxError, WalError, WalMode};
use crate::fs::{Fs, FsRead};

/// Bytes copied at a time.
const COPY_BYTES: u64 = 1 << 20;
/// Gaps that a report lists.
const MAX_GAPS: usize = 16;

/// What a replay found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Segments read.
    pub segments: u64,
    /// Records handed to the caller.
    pub records: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Regions in the middle of a segment that hold no whole record.
    pub damaged_regions: u64,
    /// Bytes of these regions.
    pub damaged_bytes: u64,
    /// Bytes behind the last whole record of a segment: what a crash leaves of a record that was
    /// being written, or damage to the last record.
    pub torn_bytes: u64,
    /// Bytes copied to the quarantine by this replay; regions of zeros hold nothing to keep.
    pub quarantined_bytes: u64,
    /// Records missing between others; `gaps` says where.
    pub missing_records: u64,
    /// First and last missing sequence number of the first gaps.
    pub gaps: Vec<(u64, u64)>,
    /// Whole records behind a gap that were dropped, because nothing up to the gap was ever
    /// synced and the mode promises to lose only a suffix.
    pub dropped_records: u64,
    /// Records that were durable when a segment was begun, and that neither the log nor what it is
    /// replayed behind has.
    pub lost_records: u64,
    /// The last sequence number handed to the caller; 0 where there was none.
    pub last_seq: u64,
}

/// The damage that a replay found and could not copy: those segments must not be removed.
pub(super) type Uncopied = BTreeSet<SegmentIndex>;

/// Reads `cursors` in order and hands every record to `apply`; the first should be `first_seq`.
///
/// # Errors
/// [`WalError::Aborted`] when `apply` fails.
pub(super) fn replay(
    fs: &dyn Fs,
    quarantine: &Path,
    cursors: Vec<Cursor>,
    first_seq: u64,
    apply: &mut dyn FnMut(u64, Record) -> Result<(), BoxError>,
) -> Result<(ReplayReport, Uncopied), WalError> {
    let files: Vec<_> = cursors.iter().map(|c| (c.index, c.file.clone())).collect();
    let (mut report, damage) = scan(cursors, first_seq, apply)?;
    let mut uncopied = Uncopied::new();
    for region in damage {
        let Some((_, file)) = files.iter().find(|(index, _)| *index == region.segment) else {
            continue;
        };
        match keep_copy(fs, quarantine, &**file, region) {
            Ok(copied) => report.quarantined_bytes += copied,
            Err(error) => {
                tracing::warn!(segment = %region.segment, offset = region.offset, %error,
                    "damaged log bytes could not be copied; their segment will be kept whole");
                uncopied.insert(region.segment);
            }
        }
    }
    Ok((report, uncopied))
}

/// As [`replay`], and changes nothing: the regions that hold no record are left to the caller.
pub(super) fn scan(
    cursors: Vec<Cursor>,
    first_seq: u64,
    apply: &mut dyn FnMut(u64, Record) -> Result<(), BoxError>,
) -> Result<(ReplayReport, Vec<Damage>), WalError> {
    let mut report = ReplayReport { segments: cursors.len() as u64, ..ReplayReport::default() };
    let durable = cursors.iter().filter_map(Cursor::header_seq).max().unwrap_or(0);
    let mut merge = Merge::new(cursors);
    let mut expected = first_seq;
    let (mut payload, mut damage) = (Vec::new(), Vec::new());
    while let Some(entry) = merge.next(&mut payload) {
        let seq = entry.frame.seq;
        if expected < seq {
            if !keeps_what_follows(&merge, &entry) {
                report.dropped_records = 1;
                while merge.next(&mut payload).is_some() {
                    report.dropped_records += 1;
                }
                break;
            }
            report.missing_records += seq - expected;
            if report.gaps.len() < MAX_GAPS {
                report.gaps.push((expected, seq - 1));
            }
        }
        expected = seq + 1;
        report.last_seq = seq;
        match Record::decode(&payload) {
            Ok(record) => {
                report.records += 1;
                report.bytes += payload.len() as u64;
                apply(seq, record).map_err(WalError::Aborted)?;
            }
            Err(error) => {
                tracing::error!(seq, %error, "log record is whole but cannot be read");
                damage.push(Damage {
                    segment: entry.segment,
                    offset: entry.offset,
                    len: (FRAME_BYTES + payload.len()) as u64,
                    torn: false,
                });
            }
        }
    }
    damage.extend(merge.into_damage());
    report.lost_records = durable.saturating_sub(report.last_seq.saturating_add(1).max(first_seq));
    for region in &damage {
        if region.torn {
            report.torn_bytes += region.len;
        } else {
            report.damaged_regions += 1;
            report.damaged_bytes += region.len;
        }
    }
    Ok((report, damage))
}

/// Whether the records from `entry` on count although some before it are missing. In the mode
/// that syncs every write they do: at worst nobody was told that they were stored. In the other
/// modes a power cut leaves holes in what was never synced, and those modes promise to lose a
/// suffix and nothing else; a hole in what was synced is damage and costs only itself.
fn keeps_what_follows(merge: &Merge, entry: &Entry) -> bool {
    entry.frame.mode == WalMode::EveryWrite
        || entry.frame.durable_before() + 1 >= entry.frame.seq
        || merge.attests(entry, entry.frame.seq - 1)
}

/// Copies a region to the quarantine, once however often the log is replayed.
fn keep_copy(fs: &dyn Fs, quarantine: &Path, file: &dyn FsRead, region: Damage) -> io::Result<u64> {
    let name = format!("wal-{}-at-{}-len-{}", region.segment, region.offset, region.len);
    let path = quarantine.join(&name);
    let readable = |at, len| file.bytes(at, len).ok();
    let end = region.offset + region.len;
    let pieces = || (region.offset..end).step_by(usize::try_from(COPY_BYTES).unwrap_or(1));
    let piece = |at: u64| readable(at, COPY_BYTES.min(end - at));
    if pieces().all(|at| piece(at).is_none_or(|bytes| bytes.iter().all(|b| *b == 0))) {
        return Ok(0);
    }
    fs.create_dir(quarantine)?;
    if fs.exists(&path)? {
        return Ok(0);
    }
    let temporary = quarantine.join(format!("{name}.tmp"));
    if fs.exists(&temporary)? {
        fs.remove_file(&temporary)?;
    }
    let mut copy = fs.create(&temporary)?;
    for bytes in pieces().filter_map(piece) {
        copy.append(&bytes)?;
    }
    copy.sync()?;
    fs.rename(&temporary, &path)?;
    fs.sync_dir(quarantine)?;
    if let Some(parent) = quarantine.parent() {
        fs.sync_dir(parent)?;
    }
    Ok(copy.len())
}
