//! Log lines as `key=value` pairs.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Longest line (limit L32).
const MAX_LINE_BYTES: usize = 8 << 10;

/// `time=... level=... msg="..." key=value`.
pub(super) struct Logfmt;

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str("time=")?;
        SystemTime.format_time(&mut writer)?;
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        let mut pairs = Pairs::default();
        event.record(&mut pairs);
        let mut line = format!(" level={level} msg={}", quoted(&pairs.message));
        line.push_str(&pairs.rest);
        if line.len() > MAX_LINE_BYTES {
            let end = (0..=MAX_LINE_BYTES).rev().find(|i| line.is_char_boundary(*i)).unwrap_or(0);
            line.truncate(end);
        }
        writeln!(writer, "{line}")
    }
}

#[derive(Default)]
struct Pairs {
    message: String,
    rest: String,
}

impl Pairs {
    fn push(&mut self, field: &Field, text: &str) {
        if field.name() == "message" {
            text.clone_into(&mut self.message);
        } else {
            let _ = write!(self.rest, " {}={}", field.name(), quoted(text));
        }
    }
}

impl Visit for Pairs {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.push(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, &format!("{value:?}"));
    }
}

/// `text` as a logfmt value: quoted where it must be, and always on one line.
fn quoted(text: &str) -> String {
    let plain = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'=' | b'\\'));
    if plain { text.to_owned() } else { model::go_quote(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_they_must_be() {
        for (text, want) in [
            ("a", "a"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a\nb", "\"a\\nb\""),
            ("a=b", "\"a=b\""),
        ] {
            assert_eq!(quoted(text), want);
        }
    }
}
