//! Native histograms on the wire: decoding, which remote write 1.0 and 2.0 share, and the rules
//! that one must pass before it is stored.
#![deny(clippy::indexing_slicing)]

mod reduce;
mod validate;

use crate::error::DecodeError;
use crate::wire::{I64, LEN, Reader, VARINT};
use model::{CounterResetHint, FloatHistogram, HistogramValue, IntHistogram, Span};
use std::sync::Arc;

pub use reduce::admit;
pub use validate::{Defect, HistogramError, Side, validate_histogram};

/// Memory that the histograms of a request may still take.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        Self { left: limit, limit }
    }

    /// Takes `n` elements of type `T`, before they are allocated.
    fn take<T>(&mut self, n: usize) -> Result<(), DecodeError> {
        let left = n.checked_mul(size_of::<T>()).and_then(|bytes| self.left.checked_sub(bytes));
        self.left =
            left.ok_or(DecodeError::TooLarge { what: "bytes of histograms", limit: self.limit })?;
        Ok(())
    }
}

/// The fields of the message, whichever kind of histogram they make.
#[derive(Default)]
struct Fields {
    count: Count,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    zero_count: Count,
    negative: Buckets,
    positive: Buckets,
    hint: CounterResetHint,
    t_ms: i64,
    custom_values: Vec<f64>,
}

/// A `oneof`: the member that came last counts.
#[derive(Clone, Copy)]
enum Count {
    Int(u64),
    Float(f64),
}

impl Default for Count {
    fn default() -> Self {
        Self::Int(0)
    }
}

#[derive(Default)]
struct Buckets {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

/// Decodes one `Histogram` message into its time and value. It is a float histogram if, and only
/// if, its count is a float; buckets of the other kind are dropped.
pub(crate) fn decode_histogram(
    mut r: Reader<'_>,
    budget: &mut Budget,
) -> Result<(i64, HistogramValue), DecodeError> {
    budget.take::<IntHistogram>(1)?;
    let mut f = Fields::default();
    while let Some(key) = r.key()? {
        match (key >> 3, key & 7) {
            (1, VARINT) => f.count = Count::Int(r.varint()?),
            (2, I64) => f.count = Count::Float(r.double()?),
            (3, I64) => f.sum = r.double()?,
            (4, VARINT) => f.schema = r.sint32()?,
            (5, I64) => f.zero_threshold = r.double()?,
            (6, VARINT) => f.zero_count = Count::Int(r.varint()?),
            (7, I64) => f.zero_count = Count::Float(r.double()?),
            (8, LEN) => span(r.message()?, budget, &mut f.negative.spans)?,
            (9, wire @ (LEN | VARINT)) => deltas(&mut r, wire, budget, &mut f.negative.deltas)?,
            (10, wire @ (LEN | I64)) => doubles(&mut r, wire, budget, &mut f.negative.counts)?,
            (11, LEN) => span(r.message()?, budget, &mut f.positive.spans)?,
            (12, wire @ (LEN | VARINT)) => deltas(&mut r, wire, budget, &mut f.positive.deltas)?,
            (13, wire @ (LEN | I64)) => doubles(&mut r, wire, budget, &mut f.positive.counts)?,
            (14, VARINT) => f.hint = hint(r.varint32()?),
            (15, VARINT) => f.t_ms = r.varint()?.cast_signed(),
            (16, wire @ (LEN | I64)) => doubles(&mut r, wire, budget, &mut f.custom_values)?,
            _ => r.skip(key, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])?,
        }
    }
    Ok((f.t_ms, f.value()))
}

impl Fields {
    fn value(self) -> HistogramValue {
        let Self { hint, schema, zero_threshold, sum, custom_values, .. } = self;
        match self.count {
            Count::Int(count) => HistogramValue::Int(Arc::new(IntHistogram {
                hint,
                schema,
                zero_threshold,
                zero_count: if let Count::Int(n) = self.zero_count { n } else { 0 },
                count,
                sum,
                positive_spans: self.positive.spans,
                negative_spans: self.negative.spans,
                positive_deltas: self.positive.deltas,
                negative_deltas: self.negative.deltas,
                custom_values,
            })),
            Count::Float(count) => HistogramValue::Float(Arc::new(FloatHistogram {
                hint,
                schema,
                zero_threshold,
                zero_count: if let Count::Float(n) = self.zero_count { n } else { 0.0 },
                count,
                sum,
                positive_spans: self.positive.spans,
                negative_spans: self.negative.spans,
                positive_buckets: self.positive.counts,
                negative_buckets: self.negative.counts,
                custom_values,
            })),
        }
    }
}

fn hint(number: u32) -> CounterResetHint {
    match number {
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}

fn span(mut r: Reader<'_>, budget: &mut Budget, spans: &mut Vec<Span>) -> Result<(), DecodeError> {
    budget.take::<Span>(1)?;
    let mut span = Span { offset: 0, length: 0 };
    while let Some(key) = r.key()? {
        match (key >> 3, key & 7) {
            (1, VARINT) => span.offset = r.sint32()?,
            (2, VARINT) => span.length = r.varint32()?,
            _ => r.skip(key, &[1, 2])?,
        }
    }
    spans.push(span);
    Ok(())
}

/// A field of repeated `sint64`: one number, or packed ones.
fn deltas(
    r: &mut Reader<'_>,
    wire: u32,
    budget: &mut Budget,
    out: &mut Vec<i64>,
) -> Result<(), DecodeError> {
    if wire != LEN {
        budget.take::<i64>(1)?;
        out.push(r.sint64()?);
        return Ok(());
    }
    let mut packed = r.message()?;
    // Each number ends with a byte that has no continuation bit.
    let n = packed.rest().iter().filter(|byte| **byte < 0x80).count();
    budget.take::<i64>(n)?;
    out.reserve(n);
    while !packed.rest().is_empty() {
        out.push(packed.sint64()?);
    }
    Ok(())
}

/// A field of repeated `double`: one number, or packed ones.
fn doubles(
    r: &mut Reader<'_>,
    wire: u32,
    budget: &mut Budget,
    out: &mut Vec<f64>,
) -> Result<(), DecodeError> {
    if wire != LEN {
        budget.take::<f64>(1)?;
        out.push(r.double()?);
        return Ok(());
    }
    let mut packed = r.message()?;
    let n = packed.rest().len() / size_of::<f64>();
    budget.take::<f64>(n)?;
    out.reserve(n);
    while !packed.rest().is_empty() {
        out.push(packed.double()?);
    }
    Ok(())
}
