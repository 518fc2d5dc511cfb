//! Templates of a replacement, as Go's `Regexp.Expand` reads them: `$1`, `${name}`, `$$`.

use std::sync::LazyLock;

use regex_syntax::hir::ClassUnicode;

use super::class;

/// Characters of a name besides the ASCII ones: letters and decimal digits.
static NAME: LazyLock<ClassUnicode> = LazyLock::new(|| {
    let ranges = ["L", "Nd"].into_iter().filter_map(class::unicode).flatten();
    class::build(ranges.collect(), false)
});

/// A group that a template refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reference<'a> {
    /// By number; 0 is the whole match.
    Number(usize),
    /// By name.
    Name(&'a str),
}

/// Appends `template` to `out`, with each reference replaced by what `group` appends for it.
pub(super) fn expand(
    out: &mut String,
    mut template: &str,
    mut group: impl FnMut(&mut String, Reference<'_>),
) {
    while let Some((before, after)) = template.split_once('$') {
        out.push_str(before);
        template = after;
        if let Some(rest) = after.strip_prefix('$') {
            out.push('$');
            template = rest;
        } else if let Some((reference, rest)) = reference(after) {
            group(out, reference);
            template = rest;
        } else {
            // A `$` that refers to nothing is text.
            out.push('$');
        }
    }
    out.push_str(template);
}

/// The reference at the start of `text`, and what follows it. The name is as long as it can be:
/// `$1x` is the group `1x`, not the group 1 and an `x`.
fn reference(text: &str) -> Option<(Reference<'_>, &str)> {
    let braced = text.strip_prefix('{');
    let rest = braced.unwrap_or(text);
    let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    if name.is_empty() {
        return None;
    }
    let rest = if braced.is_some() { rest.strip_prefix('}')? } else { rest };
    let digits = name.bytes().all(|b| b.is_ascii_digit());
    let leading_zero = name.len() > 1 && name.starts_with('0');
    // Go reads no number of more than nine digits; nothing has so many groups anyhow.
    let number = if digits && !leading_zero { name.parse().ok() } else { None };
    Some((number.map_or(Reference::Name(name), Reference::Number), rest))
}

fn is_name(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    NAME.ranges()
        .binary_search_by(|range| {
            if range.end() < c {
                std::cmp::Ordering::Less
            } else if range.start() > c {
                std::cmp::Ordering::Greater
            } else {
                std::cmp::Ordering::Equal
            }
        })
        .is_ok()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn references_are_read_as_go_reads_them() {
        for (template, want) in [
            ("a$1b", "a<1b>"),
            ("a${1}b", "a(1)b"),
            ("$0-$1", "(0)-(1)"),
            ("$$1", "$1"),
            ("$$$1", "$(1)"),
            ("$", "$"),
            ("$ 1", "$ 1"),
            ("${", "${"),
            ("${}", "${}"),
            ("${1", "${1"),
            ("${1 }", "${1 }"),
            ("$name.x", "<name>.x"),
            ("$01", "<01>"),
            ("$0", "(0)"),
            ("$_", "<_>"),
            ("$é$1", "<é>(1)"),
            ("$-$1", "$-(1)"),
            ("99%", "99%"),
        ] {
            let mut out = String::new();
            expand(&mut out, template, |out, reference| match reference {
                Reference::Number(n) => write!(out, "({n})").unwrap(),
                Reference::Name(name) => write!(out, "<{name}>").unwrap(),
            });
            assert_eq!(out, want, "{template}");
        }
    }
}
