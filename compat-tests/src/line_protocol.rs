//! Line protocol, as senders write it.

use std::fmt::Write as _;

/// Appends one line with float fields and a time in nanoseconds.
pub fn line(
    out: &mut String,
    measurement: &str,
    tags: &[(&str, &str)],
    fields: &[(&str, f64)],
    t_ns: i64,
) {
    escape(out, measurement, ", ");
    for (key, value) in tags {
        out.push(',');
        escape(out, key, ",= ");
        out.push('=');
        escape(out, value, ",= ");
    }
    for (i, (key, value)) in fields.iter().enumerate() {
        out.push(if i == 0 { ' ' } else { ',' });
        escape(out, key, ",= ");
        let _ = write!(out, "={value}");
    }
    let _ = writeln!(out, " {t_ns}");
}

fn escape(out: &mut String, text: &str, special: &str) {
    for c in text.chars() {
        if special.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_escapes_what_would_end_a_part() {
        let mut out = String::new();
        line(&mut out, "a,b c", &[("k=", "v w")], &[("f", 1.5), ("g", -0.0)], 7);
        assert_eq!(out, "a\\,b\\ c,k\\==v\\ w f=1.5,g=-0 7\n");
    }
}
