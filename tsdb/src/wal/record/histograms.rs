//! Histogram rows, one after the other.

#![deny(clippy::indexing_slicing)]

use std::sync::Arc;

use model::{CounterResetHint, FloatHistogram, HistogramValue, IntHistogram, Span};

use super::{Corrupt, HistogramRow, SeriesRef, corrupt};
use crate::encoding::varint::{Reader, put_i64, put_u64};

const LATE: u8 = 1;
const FLOAT: u8 = 2;
/// The hint stands in the bits above the flags.
const HINT_SHIFT: u32 = 2;

/// Appends the rows.
pub(super) fn encode(rows: &[HistogramRow], out: &mut Vec<u8>) {
    put_u64(out, rows.len() as u64);
    let (mut before_ref, mut before_t) = (0_u64, 0_i64);
    for row in rows {
        put_i64(out, row.series.0.wrapping_sub(before_ref).cast_signed());
        put_i64(out, row.t_ms.wrapping_sub(before_t));
        (before_ref, before_t) = (row.series.0, row.t_ms);
        let late = if row.late { LATE } else { 0 };
        match &row.value {
            HistogramValue::Int(h) => {
                out.push(late | hint_number(h.hint) << HINT_SHIFT);
                encode_int(h, out);
            }
            HistogramValue::Float(h) => {
                out.push(late | FLOAT | hint_number(h.hint) << HINT_SHIFT);
                encode_float(h, out);
            }
        }
    }
}

/// Reads what [`encode`] wrote.
pub(super) fn decode(input: &mut Reader<'_>) -> Result<Vec<HistogramRow>, Corrupt> {
    let n = input.len().ok_or(corrupt("number of histograms"))?;
    let mut rows = Vec::new();
    let (mut before_ref, mut before_t) = (0_u64, 0_i64);
    for _ in 0..n {
        let row = decode_row(input, before_ref, before_t).ok_or(corrupt("histogram row"))?;
        (before_ref, before_t) = (row.series.0, row.t_ms);
        rows.push(row);
    }
    Ok(rows)
}

fn decode_row(input: &mut Reader<'_>, before_ref: u64, before_t: i64) -> Option<HistogramRow> {
    let series = SeriesRef(before_ref.wrapping_add(input.i64()?.cast_unsigned()));
    let t_ms = before_t.wrapping_add(input.i64()?);
    let flags = input.u8()?;
    let hint = hint_from_number(flags >> HINT_SHIFT)?;
    let value = if flags & FLOAT == 0 {
        HistogramValue::Int(Arc::new(decode_int(input, hint)?))
    } else {
        HistogramValue::Float(Arc::new(decode_float(input, hint)?))
    };
    Some(HistogramRow { series, t_ms, late: flags & LATE != 0, value })
}

const fn hint_number(hint: CounterResetHint) -> u8 {
    match hint {
        CounterResetHint::Unknown => 0,
        CounterResetHint::Reset => 1,
        CounterResetHint::NotReset => 2,
        CounterResetHint::Gauge => 3,
    }
}

const fn hint_from_number(n: u8) -> Option<CounterResetHint> {
    Some(match n {
        0 => CounterResetHint::Unknown,
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        _ => return None,
    })
}

fn encode_int(h: &IntHistogram, out: &mut Vec<u8>) {
    put_i64(out, i64::from(h.schema));
    put_f64(out, h.zero_threshold);
    put_u64(out, h.zero_count);
    put_u64(out, h.count);
    put_f64(out, h.sum);
    for (spans, deltas) in
        [(&h.positive_spans, &h.positive_deltas), (&h.negative_spans, &h.negative_deltas)]
    {
        put_spans(out, spans);
        put_u64(out, deltas.len() as u64);
        for delta in deltas {
            put_i64(out, *delta);
        }
    }
    put_floats(out, &h.custom_values);
}

fn decode_int(input: &mut Reader<'_>, hint: CounterResetHint) -> Option<IntHistogram> {
    // Fields are read in the order in which they are written.
    Some(IntHistogram {
        hint,
        schema: i32::try_from(input.i64()?).ok()?,
        zero_threshold: take_f64(input)?,
        zero_count: input.u64()?,
        count: input.u64()?,
        sum: take_f64(input)?,
        positive_spans: take_list(input, take_span)?,
        positive_deltas: take_list(input, Reader::i64)?,
        negative_spans: take_list(input, take_span)?,
        negative_deltas: take_list(input, Reader::i64)?,
        custom_values: take_list(input, take_f64)?,
    })
}

fn encode_float(h: &FloatHistogram, out: &mut Vec<u8>) {
    put_i64(out, i64::from(h.schema));
    for v in [h.zero_threshold, h.zero_count, h.count, h.sum] {
        put_f64(out, v);
    }
    put_spans(out, &h.positive_spans);
    put_floats(out, &h.positive_buckets);
    put_spans(out, &h.negative_spans);
    put_floats(out, &h.negative_buckets);
    put_floats(out, &h.custom_values);
}

fn decode_float(input: &mut Reader<'_>, hint: CounterResetHint) -> Option<FloatHistogram> {
    Some(FloatHistogram {
        hint,
        schema: i32::try_from(input.i64()?).ok()?,
        zero_threshold: take_f64(input)?,
        zero_count: take_f64(input)?,
        count: take_f64(input)?,
        sum: take_f64(input)?,
        positive_spans: take_list(input, take_span)?,
        positive_buckets: take_list(input, take_f64)?,
        negative_spans: take_list(input, take_span)?,
        negative_buckets: take_list(input, take_f64)?,
        custom_values: take_list(input, take_f64)?,
    })
}

fn put_f64(out: &mut Vec<u8>, v: f64) {
    out.extend_from_slice(&v.to_bits().to_le_bytes());
}

fn put_floats(out: &mut Vec<u8>, values: &[f64]) {
    put_u64(out, values.len() as u64);
    for v in values {
        put_f64(out, *v);
    }
}

fn put_spans(out: &mut Vec<u8>, spans: &[Span]) {
    put_u64(out, spans.len() as u64);
    for span in spans {
        put_i64(out, i64::from(span.offset));
        put_u64(out, u64::from(span.length));
    }
}

fn take_f64(input: &mut Reader<'_>) -> Option<f64> {
    input.u64_le().map(f64::from_bits)
}

fn take_span(input: &mut Reader<'_>) -> Option<Span> {
    let offset = i32::try_from(input.i64()?).ok()?;
    Some(Span { offset, length: u32::try_from(input.u64()?).ok()? })
}

/// A length and as many items; the vector grows only as items are really there.
fn take_list<'a, T>(
    input: &mut Reader<'a>,
    mut take: impl FnMut(&mut Reader<'a>) -> Option<T>,
) -> Option<Vec<T>> {
    let n = input.len()?;
    let mut items = Vec::new();
    for _ in 0..n {
        items.push(take(input)?);
    }
    Some(items)
}
