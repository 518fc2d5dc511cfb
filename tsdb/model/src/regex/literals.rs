//! What an expression says without a regular-expression engine: a finite set of strings, or
//! literals with anything between them; and the text that every match begins or ends with.

use std::borrow::Cow;

use memchr::memmem::Finder;
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind, Look};

/// Strings that a set may have besides one for each two bytes of the expression's text, which
/// is what a list of alternatives needs.
const MAX_STRINGS: usize = 1024;
/// Bytes that those strings may have besides the length of the expression's text.
const MAX_BYTES: usize = 64 << 10;

/// Whether a position is at an end of the text whatever the text is, since the whole of it has to
/// match: assertions of those ends are then void.
#[derive(Debug, Clone, Copy)]
struct Ends {
    start: bool,
    end: bool,
}

impl Ends {
    const WHOLE: Self = Self { start: true, end: true };

    fn imply(self, look: Look) -> bool {
        match look {
            Look::Start | Look::StartLF => self.start,
            Look::End | Look::EndLF => self.end,
            _ => false,
        }
    }

    /// The items of a concatenation, each with its own ends.
    fn of(self, items: &[Hir]) -> impl Iterator<Item = (&Hir, Self)> {
        let is_look = |hir: &Hir| matches!(hir.kind(), HirKind::Look(_));
        let first = items.iter().position(|hir| !is_look(hir)).unwrap_or(items.len());
        let last = items.iter().rposition(|hir| !is_look(hir)).unwrap_or(0);
        items.iter().enumerate().map(move |(at, hir)| {
            (hir, Self { start: self.start && at <= first, end: self.end && at >= last })
        })
    }
}

/// Strings with their length, and how many and how long they may become.
struct Strings {
    strings: Vec<String>,
    bytes: usize,
}

impl Strings {
    fn new(strings: Vec<String>) -> Self {
        let bytes = strings.iter().map(String::len).sum();
        Self { strings, bytes }
    }
}

/// All strings that match the whole of `hir`, sorted, if they are few.
pub(super) fn set(hir: &Hir, source_len: usize) -> Option<Vec<String>> {
    let limit = Limit { strings: MAX_STRINGS + source_len / 2, bytes: MAX_BYTES + source_len };
    let mut strings = limit.strings(hir, Ends::WHOLE)?.strings;
    strings.sort_unstable();
    strings.dedup();
    Some(strings)
}

struct Limit {
    strings: usize,
    bytes: usize,
}

impl Limit {
    fn fits(&self, strings: usize, bytes: usize) -> Option<()> {
        (strings <= self.strings && bytes <= self.bytes).then_some(())
    }

    fn strings(&self, hir: &Hir, ends: Ends) -> Option<Strings> {
        Some(Strings::new(match hir.kind() {
            HirKind::Empty => vec![String::new()],
            HirKind::Look(look) if ends.imply(*look) => vec![String::new()],
            HirKind::Literal(literal) => vec![str::from_utf8(&literal.0).ok()?.to_owned()],
            HirKind::Class(class) => {
                let class = chars(class)?;
                let num_chars = class.iter().map(ClassUnicodeRange::len).sum();
                self.fits(num_chars, 0)?;
                class.iter().flat_map(|r| r.start()..=r.end()).map(String::from).collect()
            }
            HirKind::Repetition(repetition) if repetition.max == Some(1) => {
                let mut strings = self.strings(&repetition.sub, ends)?.strings;
                strings.push(String::new());
                strings
            }
            HirKind::Capture(capture) => return self.strings(&capture.sub, ends),
            HirKind::Alternation(branches) => {
                let mut all = Strings::new(Vec::new());
                for branch in branches {
                    let more = self.strings(branch, ends)?;
                    all.bytes += more.bytes;
                    all.strings.extend(more.strings);
                    self.fits(all.strings.len(), all.bytes)?;
                }
                return Some(all);
            }
            HirKind::Concat(items) => return self.product(items, ends),
            _ => return None,
        }))
    }

    fn product(&self, items: &[Hir], ends: Ends) -> Option<Strings> {
        let mut all = Strings::new(vec![String::new()]);
        for (item, ends) in ends.of(items) {
            let tails = self.strings(item, ends)?;
            let (num_heads, num_tails) = (all.strings.len(), tails.strings.len());
            // Neither factor is over a mebibyte.
            self.fits(num_heads * num_tails, all.bytes * num_tails + tails.bytes * num_heads)?;
            let mut strings = Vec::with_capacity(num_heads * num_tails);
            for head in &all.strings {
                strings.extend(tails.strings.iter().map(|tail| format!("{head}{tail}")));
            }
            all = Strings::new(strings);
        }
        Some(all)
    }
}

/// The characters of a class. The tree has classes of bytes where nothing or only ASCII matches.
fn chars(class: &Class) -> Option<Cow<'_, ClassUnicode>> {
    match class {
        Class::Unicode(class) => Some(Cow::Borrowed(class)),
        Class::Bytes(class) => class.to_unicode_class().map(Cow::Owned),
    }
}

/// A part of an expression that is a sequence.
enum Part<'h> {
    Literal(&'h str),
    /// This many characters or more, of any kind.
    Gap(usize),
    Other,
}

fn parts(hir: &Hir) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    add_parts(hir, Ends::WHOLE, &mut parts);
    parts
}

fn add_parts<'h>(hir: &'h Hir, ends: Ends, parts: &mut Vec<Part<'h>>) {
    match hir.kind() {
        HirKind::Empty => {}
        HirKind::Look(look) if ends.imply(*look) => {}
        HirKind::Literal(literal) => {
            parts.push(str::from_utf8(&literal.0).map_or(Part::Other, Part::Literal));
        }
        HirKind::Repetition(repetition)
            if repetition.max.is_none() && is_any_char(&repetition.sub) && repetition.min <= 1 =>
        {
            parts.push(Part::Gap(usize::from(repetition.min == 1)));
        }
        HirKind::Capture(capture) => add_parts(&capture.sub, ends, parts),
        HirKind::Concat(items) => {
            for (item, ends) in ends.of(items) {
                add_parts(item, ends, parts);
            }
        }
        _ => parts.push(Part::Other),
    }
}

fn is_any_char(hir: &Hir) -> bool {
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            matches!(class.ranges(), [all] if (all.start(), all.end()) == ('\0', char::MAX))
        }
        HirKind::Capture(capture) => is_any_char(&capture.sub),
        _ => false,
    }
}

/// Literals with any text between them, such as `a.*`, `.*b.+` or `a.*b.*c`.
#[derive(Debug, Clone)]
pub(super) struct Glob {
    prefix: String,
    /// The literals after the first gap but the last one, each with the least number of
    /// characters before it.
    middle: Vec<(usize, Finder<'static>)>,
    /// The least number of characters before the suffix.
    last_gap: usize,
    suffix: String,
}

impl Glob {
    /// The glob that `hir` is, if it is one.
    pub(super) fn new(hir: &Hir) -> Option<Self> {
        // Literals and the gaps between them, in turn.
        let (mut literals, mut gaps) = (vec![String::new()], Vec::new());
        for part in parts(hir) {
            let last = literals.last_mut()?;
            match part {
                Part::Literal(text) => last.push_str(text),
                Part::Gap(chars) if last.is_empty() && !gaps.is_empty() => {
                    *gaps.last_mut()? += chars;
                }
                Part::Gap(chars) => {
                    gaps.push(chars);
                    literals.push(String::new());
                }
                Part::Other => return None,
            }
        }
        let last_gap = gaps.pop()?;
        let suffix = literals.pop()?;
        let mut literals = literals.into_iter();
        let prefix = literals.next()?;
        let finder = |text: String| Finder::new(text.as_bytes()).into_owned();
        let middle = gaps.into_iter().zip(literals.map(finder)).collect();
        Some(Self { prefix, middle, last_gap, suffix })
    }

    /// Whether the whole of `text` matches. The leftmost place of each literal leaves most room
    /// for those after it, so no other place has to be tried.
    pub(super) fn is_match(&self, text: &str) -> bool {
        self.rest(text).is_some_and(|rest| skip_chars(rest, self.last_gap).is_some())
    }

    /// The text of the last gap.
    fn rest<'t>(&self, text: &'t str) -> Option<&'t str> {
        let mut rest =
            text.strip_prefix(self.prefix.as_str())?.strip_suffix(self.suffix.as_str())?;
        for (gap, finder) in &self.middle {
            rest = skip_chars(rest, *gap)?;
            let found = finder.find(rest.as_bytes())?;
            rest = rest.get(found + finder.needle().len()..)?;
        }
        Some(rest)
    }
}

fn skip_chars(text: &str, num_chars: usize) -> Option<&str> {
    match num_chars.checked_sub(1) {
        None => Some(text),
        Some(last) => {
            text.char_indices().nth(last).and_then(|(at, c)| text.get(at + c.len_utf8()..))
        }
    }
}

/// Text that every match has.
#[derive(Debug, Clone, Default)]
pub(super) struct Required {
    pub(super) prefix: String,
    pub(super) suffix: String,
    /// The longest literal; empty if none is known.
    pub(super) contained: String,
}

impl Required {
    /// What every one of these sorted strings has.
    pub(super) fn of_set(strings: &[String]) -> Self {
        let prefix = match strings {
            [first, .., last] => common(first.chars().zip(last.chars())).collect(),
            [one] => one.clone(),
            [] => String::new(),
        };
        let suffix = strings.iter().fold(None, |suffix: Option<String>, text| {
            Some(suffix.map_or_else(|| text.clone(), |suffix| common_suffix(&suffix, text)))
        });
        let contained = prefix.clone();
        Self { prefix, suffix: suffix.unwrap_or_default(), contained }
    }

    /// What every match of the whole of `hir` has.
    pub(super) fn of_hir(hir: &Hir) -> Self {
        let parts = parts(hir);
        let literals = parts.iter().filter_map(|part| match part {
            Part::Literal(text) => Some(*text),
            Part::Gap(_) | Part::Other => None,
        });
        let contained = literals.max_by_key(|text| text.len()).unwrap_or_default().to_owned();
        let (prefix, _) = edge(hir, Ends::WHOLE, Side::Start);
        let (suffix, _) = edge(hir, Ends::WHOLE, Side::End);
        Self { prefix, suffix, contained }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Start,
    End,
}

/// The text that every match of `hir` has on this side, and whether it is the whole match.
fn edge(hir: &Hir, ends: Ends, side: Side) -> (String, bool) {
    match hir.kind() {
        HirKind::Empty => (String::new(), true),
        HirKind::Look(look) if ends.imply(*look) => (String::new(), true),
        HirKind::Literal(literal) => match str::from_utf8(&literal.0) {
            Ok(text) => (text.to_owned(), true),
            Err(_) => (String::new(), false),
        },
        HirKind::Capture(capture) => edge(&capture.sub, ends, side),
        HirKind::Repetition(repetition) if repetition.min > 0 => {
            (edge(&repetition.sub, Ends { start: false, end: false }, side).0, false)
        }
        HirKind::Alternation(branches) => {
            let edges = branches.iter().map(|branch| edge(branch, ends, side).0);
            let shared = edges.reduce(|a, b| match side {
                Side::Start => common(a.chars().zip(b.chars())).collect(),
                Side::End => common_suffix(&a, &b),
            });
            (shared.unwrap_or_default(), false)
        }
        HirKind::Concat(items) => {
            let mut items: Vec<_> = ends.of(items).collect();
            if side == Side::End {
                items.reverse();
            }
            let mut text = String::new();
            for (item, ends) in items {
                let (part, whole) = edge(item, ends, side);
                text = if side == Side::Start { text + &part } else { part + &text };
                if !whole {
                    return (text, false);
                }
            }
            (text, true)
        }
        _ => (String::new(), false),
    }
}

fn common(pairs: impl Iterator<Item = (char, char)>) -> impl Iterator<Item = char> {
    pairs.take_while(|(a, b)| a == b).map(|(a, _)| a)
}

fn common_suffix(a: &str, b: &str) -> String {
    let reversed: String = common(a.chars().rev().zip(b.chars().rev())).collect();
    reversed.chars().rev().collect()
}
