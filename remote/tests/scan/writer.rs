//! A writer that uses every freedom of the wire format, as no sender should and every receiver must
//! bear: fields out of order, repeated scalars, long varints, packed and unpacked numbers, unknown
//! fields and groups.

use remote::proto::{self, histogram::Count, histogram::ZeroCount};

/// Encoded fields by field number; a number's own order is kept, all else is shuffled.
struct Fields(Vec<Vec<Vec<u8>>>);

pub(crate) struct Writer {
    pub(crate) state: u64,
}

impl Writer {
    /// Splitmix64.
    fn below(&mut self, n: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn rarely(&mut self) -> bool {
        self.below(8) == 0
    }

    /// A varint, sometimes longer than it must be.
    fn varint(&mut self, mut v: u64, out: &mut Vec<u8>) {
        let pad = if self.rarely() { self.below(3) } else { 0 };
        let start = out.len();
        loop {
            let byte = u8::try_from(v & 0x7f).unwrap();
            v >>= 7;
            if v == 0 {
                out.push(byte);
                break;
            }
            out.push(byte | 0x80);
        }
        for _ in 0..pad {
            // A varint has at most ten bytes.
            if out.len() - start < 10 {
                *out.last_mut().unwrap() |= 0x80;
                out.push(0);
            }
        }
    }

    fn field(&mut self, number: u32, wire: u32, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.varint(u64::from(number << 3 | wire), &mut out);
        if wire == 2 {
            self.varint(value.len() as u64, &mut out);
        }
        out.extend_from_slice(value);
        out
    }

    fn int(&mut self, number: u32, v: u64) -> Vec<u8> {
        let mut value = Vec::new();
        self.varint(v, &mut value);
        self.field(number, 0, &value)
    }

    /// A scalar that may come twice, of which the last counts.
    fn ints(&mut self, number: u32, v: u64) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        if self.rarely() {
            let wrong = self.below(1 << 40);
            out.push(self.int(number, wrong));
        }
        out.push(self.int(number, v));
        out
    }

    fn doubles(&mut self, number: u32, v: f64) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        if self.rarely() {
            out.push(self.field(number, 1, &1e9_f64.to_le_bytes()));
        }
        out.push(self.field(number, 1, &v.to_le_bytes()));
        out
    }

    /// Repeated scalars in packed and unpacked runs.
    fn repeated(&mut self, number: u32, wire: u32, values: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let mut rest = values;
        while !rest.is_empty() {
            let n = usize::try_from(self.below(rest.len() as u64 + 1)).unwrap();
            let (run, after) = rest.split_at(n.max(1));
            rest = after;
            if n == 0 {
                out.push(self.field(number, wire, &run[0]));
            } else {
                out.push(self.field(number, 2, &run.concat()));
            }
        }
        if self.rarely() {
            out.push(self.field(number, 2, &[]));
        }
        out
    }

    fn zigzags(&mut self, number: u32, values: &[i64]) -> Vec<Vec<u8>> {
        let mut coded = Vec::new();
        for v in values {
            let mut out = Vec::new();
            self.varint(((v << 1) ^ (v >> 63)).cast_unsigned(), &mut out);
            coded.push(out);
        }
        self.repeated(number, 0, &coded)
    }

    fn floats(&mut self, number: u32, values: &[f64]) -> Vec<Vec<u8>> {
        let coded: Vec<Vec<u8>> = values.iter().map(|v| v.to_le_bytes().to_vec()).collect();
        self.repeated(number, 1, &coded)
    }

    /// A field that no message has, of any wire type.
    fn unknown(&mut self) -> Vec<u8> {
        let number = 17 + u32::try_from(self.below(1 << 20)).unwrap();
        match self.below(5) {
            0 => self.int(number, u64::MAX),
            1 => self.field(number, 1, &[0xff; 8]),
            2 => self.field(number, 2, b"\x0a\x05whatever"),
            3 => {
                let mut out = self.field(number, 3, &[]);
                out.extend(self.int(1, 7));
                out.extend(self.field(2, 2, b"in a group"));
                out.extend(self.field(number, 4, &[]));
                out
            }
            _ => self.field(number, 5, &[0xff; 4]),
        }
    }

    /// Joins the fields of a message: in order as real writers do, or shuffled among the numbers.
    fn message(&mut self, Fields(mut columns): Fields) -> Vec<u8> {
        let mut out = Vec::new();
        let shuffled = self.below(3) == 0;
        for column in &mut columns {
            column.reverse();
        }
        loop {
            if self.rarely() {
                out.extend(self.unknown());
            }
            columns.retain(|column| !column.is_empty());
            let Some(last) = columns.len().checked_sub(1) else { return out };
            let at = if shuffled { self.below(last as u64 + 1) } else { 0 };
            out.extend(columns[usize::try_from(at).unwrap()].pop().unwrap());
        }
    }

    fn nested<T>(
        &mut self,
        number: u32,
        values: &[T],
        one: impl Fn(&mut Self, &T) -> Vec<u8>,
    ) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        for value in values {
            let message = one(self, value);
            out.push(self.field(number, 2, &message));
        }
        out
    }

    fn label(&mut self, label: &proto::Label) -> Vec<u8> {
        let name = vec![self.field(1, 2, label.name.as_bytes())];
        let value = vec![self.field(2, 2, label.value.as_bytes())];
        self.message(Fields(vec![name, value]))
    }

    fn sample(&mut self, sample: &proto::Sample) -> Vec<u8> {
        let value = self.doubles(1, sample.value);
        let time = self.ints(2, sample.timestamp.cast_unsigned());
        self.message(Fields(vec![value, time]))
    }

    fn exemplar(&mut self, exemplar: &proto::Exemplar) -> Vec<u8> {
        let labels = self.nested(1, &exemplar.labels, Self::label);
        let value = self.doubles(2, exemplar.value);
        let time = self.ints(3, exemplar.timestamp.cast_unsigned());
        self.message(Fields(vec![labels, value, time]))
    }

    fn span(&mut self, span: proto::BucketSpan) -> Vec<u8> {
        let zigzag = ((span.offset << 1) ^ (span.offset >> 31)).cast_unsigned();
        let offset = self.ints(1, u64::from(zigzag));
        let length = self.ints(2, u64::from(span.length));
        self.message(Fields(vec![offset, length]))
    }

    fn histogram(&mut self, h: &proto::Histogram) -> Vec<u8> {
        let count = match h.count.unwrap() {
            Count::CountInt(n) => self.ints(1, n),
            Count::CountFloat(x) => self.doubles(2, x),
        };
        let zero_count = match h.zero_count.unwrap() {
            ZeroCount::ZeroCountInt(n) => self.ints(6, n),
            ZeroCount::ZeroCountFloat(x) => self.doubles(7, x),
        };
        let zigzag = ((h.schema << 1) ^ (h.schema >> 31)).cast_unsigned();
        let columns = vec![
            count,
            self.doubles(3, h.sum),
            self.ints(4, u64::from(zigzag)),
            self.doubles(5, h.zero_threshold),
            zero_count,
            self.nested(8, &h.negative_spans, |w, s| w.span(*s)),
            self.zigzags(9, &h.negative_deltas),
            self.floats(10, &h.negative_counts),
            self.nested(11, &h.positive_spans, |w, s| w.span(*s)),
            self.zigzags(12, &h.positive_deltas),
            self.floats(13, &h.positive_counts),
            self.ints(14, u64::from(h.reset_hint.cast_unsigned())),
            self.ints(15, h.timestamp.cast_unsigned()),
            self.floats(16, &h.custom_values),
        ];
        self.message(Fields(columns))
    }

    fn series(&mut self, series: &proto::TimeSeries) -> Vec<u8> {
        let columns = vec![
            self.nested(1, &series.labels, Self::label),
            self.nested(2, &series.samples, Self::sample),
            self.nested(3, &series.exemplars, Self::exemplar),
            self.nested(4, &series.histograms, Self::histogram),
        ];
        self.message(Fields(columns))
    }

    fn metadata(&mut self, m: &proto::MetricMetadata) -> Vec<u8> {
        let columns = vec![
            self.ints(1, u64::from(m.r#type.cast_unsigned())),
            vec![self.field(2, 2, m.metric_family_name.as_bytes())],
            vec![self.field(4, 2, m.help.as_bytes())],
            vec![self.field(5, 2, m.unit.as_bytes())],
        ];
        self.message(Fields(columns))
    }

    pub(crate) fn request(&mut self, request: &proto::WriteRequest) -> Vec<u8> {
        let columns = vec![
            self.nested(1, &request.timeseries, Self::series),
            self.nested(3, &request.metadata, Self::metadata),
        ];
        self.message(Fields(columns))
    }
}
