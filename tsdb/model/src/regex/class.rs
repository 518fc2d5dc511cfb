//! Character classes as Go's `regexp/syntax` reads them: Perl and POSIX classes are ASCII, and
//! nothing but a range, a group or an escape has a meaning between the brackets.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// Ranges of code points, in any order.
pub(super) type Ranges = Vec<(char, char)>;

/// The Perl class of `\d`, `\s`, `\w` or of their upper-case negations.
pub(super) fn perl(letter: u8) -> Option<(Ranges, bool)> {
    let name = match letter.to_ascii_lowercase() {
        b'd' => "digit",
        b's' => return Some((vec![('\t', '\n'), ('\x0c', '\r'), (' ', ' ')], letter == b'S')),
        b'w' => "word",
        _ => return None,
    };
    posix(name).map(|ranges| (ranges, letter.is_ascii_uppercase()))
}

/// The POSIX class of this name.
pub(super) fn posix(name: &str) -> Option<Ranges> {
    Some(match name {
        "alnum" => vec![('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => vec![('A', 'Z'), ('a', 'z')],
        "ascii" => vec![('\0', '\x7f')],
        "blank" => vec![('\t', '\t'), (' ', ' ')],
        "cntrl" => vec![('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => vec![('0', '9')],
        "graph" => vec![('!', '~')],
        "lower" => vec![('a', 'z')],
        "print" => vec![(' ', '~')],
        "punct" => vec![('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => vec![('\t', '\r'), (' ', ' ')],
        "upper" => vec![('A', 'Z')],
        "word" => vec![('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "xdigit" => vec![('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    })
}

/// The Unicode category or script of this name. As in Go 1.25, categories have their long names
/// too, and case, spaces, underscores and hyphens do not matter.
pub(super) fn unicode(name: &str) -> Option<Ranges> {
    let name: String = name
        .chars()
        .filter(|c| !matches!(c, ' ' | '_' | '-'))
        .collect::<String>()
        .to_ascii_lowercase();
    match name.as_str() {
        "any" => return Some(vec![('\0', char::MAX)]),
        "ascii" => return Some(vec![('\0', '\x7f')]),
        "cs" | "surrogate" => return Some(Vec::new()),
        _ if !name.bytes().all(|b| b.is_ascii_alphanumeric()) || name.is_empty() => return None,
        _ => {}
    }
    ["gc", "sc"].into_iter().find_map(|property| {
        let hir = regex_syntax::parse(&format!(r"\p{{{property}={name}}}")).ok()?;
        match hir.into_kind() {
            HirKind::Class(Class::Unicode(class)) => {
                Some(class.iter().map(|range| (range.start(), range.end())).collect())
            }
            _ => None,
        }
    })
}

/// The class of these ranges; with `fold`, of every case of them as well.
pub(super) fn build(mut ranges: Ranges, fold: bool) -> ClassUnicode {
    // `ClassUnicode` joins ranges that touch, except over the surrogates, and then negates wrongly.
    const BEFORE_SURROGATES: char = '\u{d7ff}';
    const AFTER_SURROGATES: char = '\u{e000}';
    let holds = |c| ranges.iter().any(|&(start, end)| start <= c && c <= end);
    if holds(BEFORE_SURROGATES) && holds(AFTER_SURROGATES) {
        ranges.push((BEFORE_SURROGATES, AFTER_SURROGATES));
    }
    let ranges = ranges.into_iter().map(|(start, end)| ClassUnicodeRange::new(start, end));
    let mut class = ClassUnicode::new(ranges);
    if fold {
        // Fails only where the Unicode tables are compiled out, and they are not.
        class.try_case_fold_simple().expect("the case folding tables are compiled in");
    }
    class
}

/// The ranges of a group, folded before they are negated, as Go does.
pub(super) fn group(ranges: Ranges, fold: bool, negated: bool) -> Ranges {
    let mut class = build(ranges, fold);
    if negated {
        class.negate();
    }
    class.iter().map(|range| (range.start(), range.end())).collect()
}

/// The characters from one code point to another: surrogates are none, and no text has them.
pub(super) fn chars(lo: u32, hi: u32) -> Option<(char, char)> {
    let lo = if (0xd800..0xe000).contains(&lo) { 0xe000 } else { lo };
    let hi = if (0xd800..0xe000).contains(&hi) { 0xd7ff } else { hi };
    if lo <= hi { char::from_u32(lo).zip(char::from_u32(hi)) } else { None }
}
