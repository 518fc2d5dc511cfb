//! The walk over a `WriteRequest`.
#![deny(clippy::indexing_slicing)]

use super::{
    ExemplarRow, HistogramRow, Limits, MetadataRow, Place, SeriesRows, WriteBatch, fields,
    too_large,
};
use crate::error::DecodeError;
use crate::histogram::{Budget, decode_histogram};
use crate::wire::Reader;
use model::MetricType;

/// Longest body and arena together: a place in them is a `u32`.
const MAX_BYTES: usize = u32::MAX as usize / 2;

/// Decodes the `WriteRequest` in `body`, which snappy has left, into `batch`; what `batch` held is
/// dropped. Labels are stepped over, not parsed: their content is judged by
/// [`super::parse_labels`].
///
/// Rules are those of proto3: unknown fields are skipped, the last of repeated scalars counts,
/// repeated numbers may be packed or not.
///
/// # Errors
/// [`DecodeError`]; `batch` is then empty.
pub fn scan<'a>(
    body: &'a [u8],
    limits: &Limits,
    batch: &mut WriteBatch<'a>,
) -> Result<(), DecodeError> {
    batch.clear();
    let done = request(body, limits, batch);
    if done.is_err() {
        batch.clear();
    }
    done
}

fn request<'a>(
    body: &'a [u8],
    limits: &Limits,
    batch: &mut WriteBatch<'a>,
) -> Result<(), DecodeError> {
    if body.len() > MAX_BYTES {
        return Err(too_large("bytes", MAX_BYTES));
    }
    batch.body = body;
    let mut histograms = Budget::new(limits.histogram_bytes);
    let mut r = Reader::new(body);
    while let Some(key) = r.key()? {
        match key {
            fields::TIMESERIES => series(r.message()?, limits, &mut histograms, batch)?,
            fields::METADATA => metadata(r.message()?, limits, batch)?,
            _ => r.skip(key, &[1, 3])?,
        }
    }
    Ok(())
}

fn series(
    mut r: Reader<'_>,
    limits: &Limits,
    histograms: &mut Budget,
    batch: &mut WriteBatch<'_>,
) -> Result<(), DecodeError> {
    if batch.series.len() >= limits.series {
        return Err(too_large("series", limits.series));
    }
    let message = r.clone();
    let mut labels = Run::default();
    let first_sample = small(batch.times.len());
    let mut at = r.pos();
    while let Some(key) = r.key()? {
        match key {
            fields::LABELS => {
                r.skip_run(LABELS_BYTE)?;
                labels.add(at, r.pos());
            }
            fields::SAMPLES => {
                let (t_ms, value) = sample(r.message()?)?;
                spare_sample(limits, batch)?;
                batch.times.push(t_ms);
                batch.values.push(value);
            }
            fields::EXEMPLARS => exemplar(r.message()?, limits, batch)?,
            fields::HISTOGRAMS => {
                spare_sample(limits, batch)?;
                let (t_ms, value) = decode_histogram(r.message()?, histograms)?;
                let series = small(batch.series.len());
                batch.histograms.push(HistogramRow { series, t_ms, value });
            }
            _ => r.skip(key, &[1, 2, 3, 4])?,
        }
        at = r.pos();
    }
    let labels = match labels.place() {
        Some(place) => place,
        None => gather(&message, fields::LABELS, batch)?,
    };
    let end_sample = small(batch.times.len());
    batch.series.push(SeriesRows { labels, first_sample, end_sample });
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "field 1 makes a key of one byte")]
const LABELS_BYTE: u8 = fields::LABELS as u8;
const _: () = assert!(fields::LABELS < 0x80 && fields::LABELS == fields::EXEMPLAR_LABELS);

/// Fields that follow each other so far.
#[derive(Default)]
struct Run {
    start: usize,
    end: usize,
    scattered: bool,
}

impl Run {
    #[inline]
    fn add(&mut self, start: usize, end: usize) {
        if self.end == 0 {
            self.start = start;
        } else {
            self.scattered |= self.end != start;
        }
        self.end = end;
    }

    /// Where the fields are, or `None` where something else is among them.
    #[inline]
    fn place(&self) -> Option<Place> {
        let place = Place { start: small(self.start), len: small(self.end - self.start) };
        (!self.scattered).then_some(place)
    }
}

/// Copies the fields of `message` with this key next to each other. Only senders that write fields
/// out of order come here.
#[cold]
fn gather(
    message: &Reader<'_>,
    wanted: u32,
    batch: &mut WriteBatch<'_>,
) -> Result<Place, DecodeError> {
    let start = batch.body.len() + batch.arena.len();
    let mut r = message.clone();
    loop {
        let field = r.rest();
        let Some(key) = r.key()? else { break };
        r.skip(key, &[])?;
        if key == wanted {
            let len = field.len() - r.rest().len();
            batch.arena.extend_from_slice(field.get(..len).unwrap_or_default());
        }
    }
    let end = batch.body.len() + batch.arena.len();
    if end > MAX_BYTES {
        return Err(too_large("bytes", MAX_BYTES));
    }
    Ok(Place { start: small(start), len: small(end - start) })
}

/// An offset in the body and the arena, or a count of rows, which are at least two bytes each.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "bodies are at most MAX_BYTES long")]
fn small(n: usize) -> u32 {
    debug_assert!(u32::try_from(n).is_ok());
    n as u32
}

#[inline]
fn spare_sample(limits: &Limits, batch: &WriteBatch<'_>) -> Result<(), DecodeError> {
    if batch.times.len() + batch.histograms.len() >= limits.samples {
        return Err(too_large("samples", limits.samples));
    }
    Ok(())
}

#[inline]
fn sample(mut r: Reader<'_>) -> Result<(i64, f64), DecodeError> {
    let (mut t_ms, mut value) = (0, 0.0);
    while let Some(key) = r.key()? {
        match key {
            fields::SAMPLE_VALUE => value = r.double()?,
            fields::SAMPLE_TIME => t_ms = r.varint()?.cast_signed(),
            _ => r.skip(key, &[1, 2])?,
        }
    }
    Ok((t_ms, value))
}

fn exemplar(
    mut r: Reader<'_>,
    limits: &Limits,
    batch: &mut WriteBatch<'_>,
) -> Result<(), DecodeError> {
    let message = r.clone();
    let mut labels = Run::default();
    let (mut t_ms, mut value) = (0, 0.0);
    let mut at = r.pos();
    while let Some(key) = r.key()? {
        match key {
            fields::EXEMPLAR_LABELS => {
                r.skip_run(LABELS_BYTE)?;
                labels.add(at, r.pos());
            }
            fields::EXEMPLAR_VALUE => value = r.double()?,
            fields::EXEMPLAR_TIME => t_ms = r.varint()?.cast_signed(),
            _ => r.skip(key, &[1, 2, 3])?,
        }
        at = r.pos();
    }
    batch.num_exemplars += 1;
    if batch.exemplars.len() < limits.exemplars {
        let labels = match labels.place() {
            Some(place) => place,
            None => gather(&message, fields::EXEMPLAR_LABELS, batch)?,
        };
        let series = small(batch.series.len());
        batch.exemplars.push(ExemplarRow { series, t_ms, value, labels });
    }
    Ok(())
}

fn metadata<'a>(
    mut r: Reader<'a>,
    limits: &Limits,
    batch: &mut WriteBatch<'a>,
) -> Result<(), DecodeError> {
    let mut row = MetadataRow { kind: MetricType::Unknown, family: "", help: "", unit: "" };
    while let Some(key) = r.key()? {
        match key {
            fields::KIND => {
                let number = r.varint32()?.cast_signed();
                row.kind = MetricType::from_number(number).unwrap_or_default();
            }
            fields::FAMILY => row.family = r.string()?,
            fields::HELP => row.help = r.string()?,
            fields::UNIT => row.unit = r.string()?,
            _ => r.skip(key, &[1, 2, 4, 5])?,
        }
    }
    if batch.metadata.len() < limits.metadata {
        batch.metadata.push(row);
    }
    Ok(())
}
