//! Remote write 1.0 messages, by hand.

/// A field of bytes.
pub(crate) fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = varint(u64::from(number) << 3 | 2);
    out.extend(varint(bytes.len() as u64));
    out.extend_from_slice(bytes);
    out
}

pub(crate) fn varint(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push(u8::try_from(n & 0x7f).unwrap() | 0x80);
        n >>= 7;
    }
    out.push(u8::try_from(n).unwrap());
    out
}

/// A `TimeSeries` of a `WriteRequest`; `histograms` are encoded already.
pub(crate) fn series(
    labels: &[(&str, &str)],
    samples: &[(u64, f64)],
    histograms: &[Vec<u8>],
) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels {
        out.extend(field(1, &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat()));
    }
    for (t_ms, v) in samples {
        let sample = [vec![0x09], v.to_le_bytes().to_vec(), vec![0x10], varint(*t_ms)].concat();
        out.extend(field(2, &sample));
    }
    for histogram in histograms {
        out.extend(field(4, histogram));
    }
    field(1, &out)
}

/// Sends a message of these series; status and text of the answer.
pub(crate) fn write(server: &crate::peer::Server, message: &[Vec<u8>]) -> (u16, String) {
    let body = remote::snappy::compress(&message.concat());
    let answer = server.post("/api/v1/write", &[], &body);
    (answer.status, answer.text())
}
