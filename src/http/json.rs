//! JSON by hand, byte for byte as Prometheus writes it.

use promql::number;

/// A JSON text under construction; the caller writes the punctuation.
#[derive(Debug, Default)]
pub(super) struct Json(Vec<u8>);

impl Json {
    /// An empty text with room for `bytes`.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The text.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Appends punctuation, names and other text as it is.
    pub(super) fn raw(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// Appends a string with the escapes of Go's encoder: what HTML or JavaScript could
    /// misread is escaped too.
    pub(super) fn string(&mut self, text: &str) -> &mut Self {
        self.0.push(b'"');
        let bytes = text.as_bytes();
        let mut from = 0;
        for (at, &b) in bytes.iter().enumerate() {
            let escape: &[u8] = match b {
                b'"' => b"\\\"",
                b'\\' => b"\\\\",
                b'\n' => b"\\n",
                b'\r' => b"\\r",
                b'\t' => b"\\t",
                0x08 => b"\\b",
                0x0c => b"\\f",
                b'<' => b"\\u003c",
                b'>' => b"\\u003e",
                b'&' => b"\\u0026",
                // U+2028 and U+2029, which JavaScript takes for line ends.
                0xe2 if bytes[at..].starts_with(&[0xe2, 0x80, 0xa8]) => b"\\u2028",
                0xe2 if bytes[at..].starts_with(&[0xe2, 0x80, 0xa9]) => b"\\u2029",
                0..0x20 => b"",
                _ => continue,
            };
            self.0.extend_from_slice(&bytes[from..at]);
            if escape.is_empty() {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                self.0.extend_from_slice(b"\\u00");
                self.0.extend([HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
            } else {
                self.0.extend_from_slice(escape);
            }
            from = at + if b == 0xe2 { 3 } else { 1 };
        }
        self.0.extend_from_slice(&bytes[from..]);
        self.0.push(b'"');
        self
    }

    /// Appends an integer.
    pub(super) fn int(&mut self, n: impl itoa::Integer) -> &mut Self {
        self.0.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
        self
    }

    /// Appends a time in ms as the seconds of a vector or matrix sample: three decimals or none.
    pub(super) fn time(&mut self, t_ms: i64) -> &mut Self {
        let (seconds, ms) = (t_ms.unsigned_abs() / 1000, t_ms.unsigned_abs() % 1000);
        if t_ms < 0 {
            self.0.push(b'-');
        }
        self.int(seconds);
        if ms != 0 {
            let digit = |n: u64| b'0' + u8::try_from(n % 10).expect("a digit");
            self.0.extend([b'.', digit(ms / 100), digit(ms / 10), digit(ms)]);
        }
        self
    }

    /// Appends a finite float as Go's encoder does: the time of a scalar, or a statistic.
    pub(super) fn float(&mut self, v: f64) -> &mut Self {
        let size = v.abs();
        if size != 0.0 && !(1e-6..1e21).contains(&size) {
            let mut text = number::format_e(v);
            // Go shortens e-09 to e-9 here, and only here.
            if let Some(at) = text.find("e-0") {
                text.remove(at + 2);
            }
            self.raw(&text)
        } else {
            number::push_f(&mut self.0, v);
            self
        }
    }

    /// Appends the value of a sample, in quotes.
    pub(super) fn value(&mut self, v: f64) -> &mut Self {
        self.0.push(b'"');
        number::push_sample_value(&mut self.0, v);
        self.0.push(b'"');
        self
    }

    /// Appends a list with commas.
    pub(super) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.0.push(b'[');
        self.items(items, &mut write);
        self.0.push(b']');
        self
    }

    /// Appends an object with commas; `write` writes name and value of each member.
    pub(super) fn object<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.0.push(b'{');
        self.items(items, &mut write);
        self.0.push(b'}');
        self
    }

    fn items<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        write: &mut impl FnMut(&mut Self, T),
    ) {
        for (i, item) in items.into_iter().enumerate() {
            if i > 0 {
                self.0.push(b',');
            }
            write(self, item);
        }
    }

    /// Appends a list of strings.
    pub(super) fn strings<S: AsRef<str>>(
        &mut self,
        items: impl IntoIterator<Item = S>,
    ) -> &mut Self {
        self.list(items, |json, item| {
            json.string(item.as_ref());
        })
    }

    /// Appends a label set as an object.
    pub(super) fn labels(&mut self, labels: &model::Labels) -> &mut Self {
        self.object(labels, |json, (name, value)| {
            json.string(name).raw(":").string(value);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Json)) -> String {
        let mut json = Json::default();
        write(&mut json);
        String::from_utf8(json.into_bytes()).unwrap()
    }

    #[test]
    fn strings_are_escaped_as_go_does() {
        for (text, want) in [
            ("a<b>&\"\\", r#""a\u003cb\u003e\u0026\"\\""#),
            ("\n\r\t\u{8}\u{c}\u{0}\u{1f}\u{7f}", "\"\\n\\r\\t\\b\\f\\u0000\\u001f\u{7f}\""),
            ("\u{2028}x\u{2029}\u{2027}é", "\"\\u2028x\\u2029\u{2027}é\""),
        ] {
            assert_eq!(
                written(|json| {
                    json.string(text);
                }),
                want
            );
        }
    }

    #[test]
    fn times_have_three_decimals_or_none() {
        for (t_ms, want) in [
            (0, "0"),
            (1050, "1.050"),
            (1_435_781_451_781, "1435781451.781"),
            (-1500, "-1.500"),
            (-5, "-0.005"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            assert_eq!(
                written(|json| {
                    json.time(t_ms);
                }),
                want
            );
        }
    }

    #[test]
    fn plain_floats_are_those_of_encoding_json() {
        for (v, want) in [
            (1.05, "1.05"),
            (4.0, "4"),
            (1e21, "1e+21"),
            (1e-7, "1e-7"),
            (0.0, "0"),
            (1.5e-10, "1.5e-10"),
            (123_456_789.125, "123456789.125"),
        ] {
            assert_eq!(
                written(|json| {
                    json.float(v);
                }),
                want
            );
        }
    }

    proptest! {
        /// What is written reads back as it was.
        #[test]
        fn strings_survive(text in any::<String>()) {
            let json = written(|json| { json.string(&text); });
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
