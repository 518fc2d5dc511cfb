//! Native histograms, one after the other.
//!
//! Each: a byte with bit 0 float counts, bits 1-2 counter reset hint, bit 3 same layout as the one
//! before; unless that, the layout: schema (zig-zag), zero threshold (8 bytes), positive and
//! negative spans (number; then offset zig-zag and length each), custom bounds (number; 8 bytes
//! each); then zero count and count, sum (8 bytes), buckets. Integers are variable-length, floats
//! 8 bytes, all little-endian. The number of buckets is the sum of the span lengths.

use std::ops::Range;
use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, HistogramValue, IntHistogram, Span};

use super::ChunkError;
use crate::encoding::varint::{Reader, put_i64, put_u64};

const FLOAT: u8 = 1;
const SAME_LAYOUT: u8 = 8;

/// Why a histogram cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("spans hold {spans} buckets, histogram has {buckets}")]
pub struct BadLayout {
    /// Buckets that the spans of one side describe.
    pub spans: u64,
    /// Buckets that are there.
    pub buckets: u64,
}

/// What histograms of one series mostly share.
#[derive(Debug, Clone, Default)]
struct Layout {
    schema: i32,
    zero_threshold: f64,
    positive: Vec<Span>,
    negative: Vec<Span>,
    bounds: Vec<f64>,
}

impl Layout {
    fn of(value: &HistogramValue) -> Self {
        macro_rules! layout {
            ($h:expr) => {
                Self {
                    schema: $h.schema,
                    zero_threshold: $h.zero_threshold,
                    positive: $h.positive_spans.clone(),
                    negative: $h.negative_spans.clone(),
                    bounds: $h.custom_values.clone(),
                }
            };
        }
        match value {
            HistogramValue::Int(h) => layout!(h),
            HistogramValue::Float(h) => layout!(h),
        }
    }

    fn same(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
            && self.positive == other.positive
            && self.negative == other.negative
            && self.bounds.len() == other.bounds.len()
            && self.bounds.iter().zip(&other.bounds).all(|(a, b)| a.to_bits() == b.to_bits())
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_i64(out, i64::from(self.schema));
        out.extend_from_slice(&self.zero_threshold.to_le_bytes());
        for spans in [&self.positive, &self.negative] {
            put_u64(out, spans.len() as u64);
            for span in spans {
                put_i64(out, i64::from(span.offset));
                put_u64(out, u64::from(span.length));
            }
        }
        put_u64(out, self.bounds.len() as u64);
        put_floats(out, &self.bounds);
    }

    fn read(r: &mut Reader<'_>) -> Option<Self> {
        let schema = i32::try_from(r.i64()?).ok()?;
        let zero_threshold = float(r)?;
        let positive = read_spans(r)?;
        let negative = read_spans(r)?;
        let num_bounds = r.len()?;
        Some(Self { schema, zero_threshold, positive, negative, bounds: floats(r, num_bounds)? })
    }
}

/// Appends `values`.
///
/// # Errors
/// [`BadLayout`] where the buckets of a histogram are not as many as its spans say; `out` may
/// then have grown.
pub fn encode<'a>(
    values: impl IntoIterator<Item = &'a HistogramValue>,
    out: &mut Vec<u8>,
) -> Result<(), BadLayout> {
    let mut before: Option<Layout> = None;
    for value in values {
        let layout = Layout::of(value);
        check(value)?;
        let same = before.as_ref().is_some_and(|b| b.same(&layout));
        let (float, hint) = match value {
            HistogramValue::Int(h) => (0, h.hint),
            HistogramValue::Float(h) => (FLOAT, h.hint),
        };
        out.push(float | hint_number(hint) << 1 | if same { SAME_LAYOUT } else { 0 });
        if !same {
            layout.write(out);
        }
        match value {
            HistogramValue::Int(h) => {
                put_u64(out, h.zero_count);
                put_u64(out, h.count);
                out.extend_from_slice(&h.sum.to_le_bytes());
                for delta in h.positive_deltas.iter().chain(&h.negative_deltas) {
                    put_i64(out, *delta);
                }
            }
            HistogramValue::Float(h) => {
                put_floats(out, &[h.zero_count, h.count, h.sum]);
                put_floats(out, &h.positive_buckets);
                put_floats(out, &h.negative_buckets);
            }
        }
        before = Some(layout);
    }
    Ok(())
}

/// Appends the histograms `range` of a chunk.
///
/// # Errors
/// [`ChunkError`] where the bytes are not such a chunk.
pub fn decode(
    bytes: &[u8],
    range: Range<usize>,
    mut push: impl FnMut(usize, HistogramValue),
) -> Result<(), ChunkError> {
    let mut r = Reader::new(bytes);
    let mut layout = None;
    for i in 0..range.end {
        let value = read_one(&mut r, &mut layout).ok_or(ChunkError("damaged histogram"))?;
        if i >= range.start {
            push(i, value);
        }
    }
    Ok(())
}

fn read_one(r: &mut Reader<'_>, layout: &mut Option<Layout>) -> Option<HistogramValue> {
    let head = r.u8()?;
    let hint = hint_from(head >> 1 & 3);
    if head & SAME_LAYOUT == 0 {
        *layout = Some(Layout::read(r)?);
    }
    let Layout { schema, zero_threshold, positive, negative, bounds } = layout.clone()?;
    let num_positive = usize::try_from(num_buckets(&positive)).ok()?;
    let num_negative = usize::try_from(num_buckets(&negative)).ok()?;
    if head & FLOAT == 0 {
        Some(HistogramValue::Int(Arc::new(IntHistogram {
            hint,
            schema,
            zero_threshold,
            zero_count: r.u64()?,
            count: r.u64()?,
            sum: float(r)?,
            positive_deltas: integers(r, num_positive)?,
            negative_deltas: integers(r, num_negative)?,
            positive_spans: positive,
            negative_spans: negative,
            custom_values: bounds,
        })))
    } else {
        Some(HistogramValue::Float(Arc::new(FloatHistogram {
            hint,
            schema,
            zero_threshold,
            zero_count: float(r)?,
            count: float(r)?,
            sum: float(r)?,
            positive_buckets: floats(r, num_positive)?,
            negative_buckets: floats(r, num_negative)?,
            positive_spans: positive,
            negative_spans: negative,
            custom_values: bounds,
        })))
    }
}

/// Whether a histogram can be stored.
///
/// # Errors
/// [`BadLayout`].
pub fn check(value: &HistogramValue) -> Result<(), BadLayout> {
    let sides = match value {
        HistogramValue::Int(h) => [
            (&h.positive_spans, h.positive_deltas.len()),
            (&h.negative_spans, h.negative_deltas.len()),
        ],
        HistogramValue::Float(h) => [
            (&h.positive_spans, h.positive_buckets.len()),
            (&h.negative_spans, h.negative_buckets.len()),
        ],
    };
    for (spans, buckets) in sides {
        let (spans, buckets) = (num_buckets(spans), buckets as u64);
        if spans != buckets {
            return Err(BadLayout { spans, buckets });
        }
    }
    Ok(())
}

fn num_buckets(spans: &[Span]) -> u64 {
    spans.iter().map(|s| u64::from(s.length)).sum()
}

fn read_spans(r: &mut Reader<'_>) -> Option<Vec<Span>> {
    let n = r.len()?;
    // A span takes two bytes at least: what is not there is not allocated for.
    if n > r.rest().len() / 2 {
        return None;
    }
    let span = |r: &mut Reader<'_>| {
        let offset = i32::try_from(r.i64()?).ok()?;
        Some(Span { offset, length: u32::try_from(r.u64()?).ok()? })
    };
    (0..n).map(|_| span(r)).collect()
}

fn integers(r: &mut Reader<'_>, n: usize) -> Option<Vec<i64>> {
    if n > r.rest().len() {
        return None;
    }
    (0..n).map(|_| r.i64()).collect()
}

fn floats(r: &mut Reader<'_>, n: usize) -> Option<Vec<f64>> {
    if n > r.rest().len() / 8 {
        return None;
    }
    (0..n).map(|_| float(r)).collect()
}

fn float(r: &mut Reader<'_>) -> Option<f64> {
    r.u64_le().map(f64::from_bits)
}

fn put_floats(out: &mut Vec<u8>, values: &[f64]) {
    for v in values {
        out.extend_from_slice(&v.to_le_bytes());
    }
}

const fn hint_number(hint: CounterResetHint) -> u8 {
    match hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    }
}

const fn hint_from(n: u8) -> CounterResetHint {
    match n {
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}
