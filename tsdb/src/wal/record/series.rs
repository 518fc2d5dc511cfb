//! Series definitions: labels in the order of the record, each label told relative to the label
//! set before it, because the series of one target share most of their labels.

#![deny(clippy::indexing_slicing)]

use std::iter::Peekable;

use model::Labels;

use super::{Corrupt, MAX_LABEL_BYTES, SeriesRef, corrupt};
use crate::encoding::varint::{Reader, put_bytes, put_i64, put_u64};

/// Name and value of the next label of the set before, after `skip` others.
const SAME: u64 = 0;
/// Its name; the value follows.
const SAME_NAME: u64 = 1;
/// Name and value follow.
const NEW: u64 = 2;
const KINDS: u64 = 3;

/// Appends the definitions.
pub(super) fn encode(series: &[(SeriesRef, Labels)], out: &mut Vec<u8>) {
    put_u64(out, series.len() as u64);
    let empty = Labels::empty();
    let (mut before_ref, mut before) = (0_u64, &empty);
    for (series_ref, labels) in series {
        put_i64(out, series_ref.0.wrapping_sub(before_ref).cast_signed());
        put_u64(out, labels.len() as u64);
        let mut shared = before.iter().peekable();
        for (name, value) in labels {
            let skip = skip_while(&mut shared, |n| n < name);
            match shared.next_if(|(n, _)| *n == name) {
                Some((_, v)) if v == value => put_u64(out, skip * KINDS + SAME),
                Some(_) => {
                    put_u64(out, skip * KINDS + SAME_NAME);
                    put_bytes(out, value.as_bytes());
                }
                None => {
                    put_u64(out, skip * KINDS + NEW);
                    put_bytes(out, name.as_bytes());
                    put_bytes(out, value.as_bytes());
                }
            }
        }
        (before_ref, before) = (series_ref.0, labels);
    }
}

fn skip_while<'a>(
    labels: &mut Peekable<impl Iterator<Item = (&'a str, &'a str)>>,
    skip: impl Fn(&str) -> bool,
) -> u64 {
    let mut skipped = 0;
    while labels.next_if(|(n, _)| skip(n)).is_some() {
        skipped += 1;
    }
    skipped
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(input: &mut Reader<'_>) -> Result<Vec<(SeriesRef, Labels)>, Corrupt> {
    let n = input.len().ok_or(corrupt("number of series"))?;
    // A definition takes two bytes or more.
    let mut series: Vec<(SeriesRef, Labels)> = Vec::with_capacity(n.min(input.rest().len() / 2));
    let (mut before_ref, mut label_bytes) = (0_u64, 0);
    for _ in 0..n {
        let step = input.i64().ok_or(corrupt("series ref"))?;
        before_ref = before_ref.wrapping_add(step.cast_unsigned());
        let before = series.last().map(|(_, labels)| labels);
        let labels = decode_labels(input, before).ok_or(corrupt("labels of a series"))?;
        // Shared labels make big sets from few bytes.
        label_bytes += labels.heap_bytes();
        if label_bytes > MAX_LABEL_BYTES {
            return Err(corrupt("size of the label sets"));
        }
        series.push((SeriesRef(before_ref), labels));
    }
    Ok(series)
}

fn decode_labels(input: &mut Reader<'_>, before: Option<&Labels>) -> Option<Labels> {
    let n = input.len()?;
    let mut pairs: Vec<(&str, &str)> = Vec::with_capacity(n.min(input.rest().len()));
    let mut shared = before.into_iter().flatten();
    for _ in 0..n {
        let head = input.u64()?;
        for _ in 0..head / KINDS {
            shared.next()?;
        }
        let pair = match head % KINDS {
            SAME => shared.next()?,
            SAME_NAME => (shared.next()?.0, input.str()?),
            _ => (input.str()?, input.str()?),
        };
        // `Labels` relies on its order; nothing that was read may break it.
        if pair.1.is_empty() || pairs.last().is_some_and(|last| last.0 >= pair.0) {
            return None;
        }
        pairs.push(pair);
    }
    Some(Labels::from_sorted(pairs.iter().copied()))
}
