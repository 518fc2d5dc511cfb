//! Reading the log to find damage, and nothing else.

use std::path::{Path, PathBuf};

use super::reader::Cursor;
use super::repair::scan;
use super::segment::SegmentIndex;
use super::{Position, WalError, list};
use crate::fs::Fs;

/// A part of a segment that holds no whole record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// The segment's file.
    pub path: PathBuf,
    /// Where the part begins.
    pub offset: u64,
    /// What is wrong.
    pub what: String,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Bytes of the segments.
    pub bytes: u64,
    /// The last sequence number; 0 where there is no record.
    pub last_seq: u64,
    /// What is wrong.
    pub damaged: Vec<Damaged>,
}

/// Reads every record behind `from` of the log in `dir`, as a start would.
///
/// # Errors
/// A segment is of a newer format or cannot be read.
pub fn verify(fs: &dyn Fs, dir: &Path, from: Position) -> Result<Found, WalError> {
    let found = list(fs, dir)?;
    let segments: Vec<SegmentIndex> =
        found.range(from.segment..).map(|(index, _)| *index).collect();
    let cursors = segments
        .iter()
        .map(|index| Cursor::open(fs, dir, *index))
        .collect::<Result<Vec<_>, _>>()?;
    let path = |index: SegmentIndex| dir.join(index.file_name());
    let mut damaged: Vec<Damaged> = cursors
        .iter()
        .filter(|cursor| cursor.header_seq().is_none())
        .map(|cursor| Damaged {
            path: path(cursor.index),
            offset: 0,
            what: "damaged header of a segment".to_owned(),
        })
        .collect();
    let (report, regions) = scan(cursors, from.seq, &mut |_, _| Ok(()))?;
    damaged.extend(regions.into_iter().map(|region| Damaged {
        path: path(region.segment),
        offset: region.offset,
        what: if region.torn {
            format!("the last {} bytes are no whole record", region.len)
        } else {
            format!("{} bytes are no whole record", region.len)
        },
    }));
    if report.lost_records > 0 {
        damaged.push(Damaged {
            path: dir.to_owned(),
            offset: 0,
            what: format!("{} records before the first segment are lost", report.lost_records),
        });
    }
    if report.missing_records > 0 {
        let first = report.gaps.first().map_or(0, |(first, _)| *first);
        damaged.push(Damaged {
            path: dir.to_owned(),
            offset: 0,
            what: format!("{} records are missing, from {first} on", report.missing_records),
        });
    }
    let bytes = found.range(from.segment..).map(|(_, len)| len).sum();
    Ok(Found { bytes, last_seq: report.last_seq, damaged })
}
