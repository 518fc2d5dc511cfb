//! Go's `regexp/syntax` (Perl flags), read into the syntax tree of `regex-syntax`.
//!
//! One pass with a stack of open groups, in the order in which Go's own parser decides, because
//! that order is what gives each bad expression its message.

use regex_syntax::hir::{Capture, Class, Hir, Look, Repetition};

use super::{
    RegexError, class,
    token::{counts, difference, error, escape},
};

/// Deepest nesting of groups and repetitions (limit L17).
const MAX_NESTING: usize = 64;
/// Largest number in a repetition, and largest product of nested ones.
const MAX_REPEAT: u32 = 1000;
/// What the tree may hold besides literal text: ranges of classes, and nodes at [`NODE_COST`].
const MAX_TREE: usize = 1 << 20;
/// What a node counts for in [`MAX_TREE`].
const NODE_COST: usize = 8;

/// Flags of Go's that an expression can switch.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "they are four independent switches")]
pub(super) struct Flags {
    /// `i`
    pub fold: bool,
    /// `m`
    pub multi_line: bool,
    /// `s`
    pub dot_newline: bool,
    /// `U`
    pub swap_greed: bool,
}

/// What an expression means.
#[derive(Debug)]
pub(super) struct Parsed {
    pub hir: Hir,
    /// The names of the groups, from 1 on.
    pub names: Vec<Option<String>>,
}

/// Parses `source` with `dot_newline` as the flag `s` at its start.
pub(super) fn parse(source: &str, dot_newline: bool) -> Result<Parsed, RegexError> {
    let flags = Flags { fold: false, multi_line: false, dot_newline, swap_greed: false };
    let mut parser = Parser {
        source,
        rest: source,
        flags,
        group: Group::new(flags, Open::Whole),
        outer: Vec::new(),
        names: Vec::new(),
        tree: 0,
    };
    let mut last_repeat = None;
    while !parser.rest.is_empty() {
        let before = parser.rest;
        last_repeat = if parser.step(last_repeat)? { Some(before) } else { None };
    }
    if !parser.outer.is_empty() {
        return Err(error("missing closing )", source));
    }
    let (Item { hir, .. }, ..) = parser.group.finish();
    Ok(Parsed { hir, names: parser.names })
}

/// Which parenthesis opened a group.
#[derive(Debug)]
enum Open {
    /// None: the whole expression.
    Whole,
    /// `(?:` or `(?flags:`
    Plain,
    /// The capture of this number.
    Capture(u32),
}

/// A node of the tree with what the limits need to know of it.
#[derive(Debug)]
struct Item {
    hir: Hir,
    height: usize,
    /// Product of the counted repetitions on the heaviest path down.
    weight: u32,
}

/// An open group: finished alternatives, and the one that is being read.
#[derive(Debug)]
struct Group {
    /// Flags to restore at its end.
    flags: Flags,
    open: Open,
    branches: Vec<Hir>,
    items: Vec<Hir>,
    /// Literal text after the items.
    literal: String,
    /// Height and weight of the last of `items`, which a repetition may replace.
    last: (usize, u32),
    /// The largest height and weight of those before it.
    largest: (usize, u32),
}

impl Group {
    fn new(flags: Flags, open: Open) -> Self {
        Self {
            flags,
            open,
            branches: Vec::new(),
            items: Vec::new(),
            literal: String::new(),
            last: (0, 1),
            largest: (0, 1),
        }
    }

    fn push(&mut self, item: Item) {
        self.flush();
        self.commit();
        self.last = (item.height, item.weight);
        self.items.push(item.hir);
    }

    fn commit(&mut self) {
        let (height, weight) = self.last;
        self.largest = (self.largest.0.max(height), self.largest.1.max(weight));
        self.last = (0, 1);
    }

    fn flush(&mut self) {
        if !self.literal.is_empty() {
            self.items.push(literal(&self.literal));
            self.literal.clear();
        }
    }

    /// Takes back what a repetition applies to: the last character or item.
    fn pop(&mut self) -> Option<Item> {
        if let Some(c) = self.literal.pop() {
            return Some(Item { hir: literal(c.encode_utf8(&mut [0; 4])), height: 0, weight: 1 });
        }
        let (height, weight) = std::mem::replace(&mut self.last, (0, 1));
        self.items.pop().map(|hir| Item { hir, height, weight })
    }

    fn end_branch(&mut self) {
        self.flush();
        self.commit();
        self.branches.push(Hir::concat(std::mem::take(&mut self.items)));
    }

    fn finish(mut self) -> (Item, Flags, Open) {
        self.end_branch();
        let (height, weight) = self.largest;
        (Item { hir: Hir::alternation(self.branches), height, weight }, self.flags, self.open)
    }
}

fn literal(text: &str) -> Hir {
    Hir::literal(text.as_bytes())
}

struct Parser<'a> {
    source: &'a str,
    /// What is left to read.
    rest: &'a str,
    flags: Flags,
    group: Group,
    outer: Vec<Group>,
    names: Vec<Option<String>>,
    /// Used of [`MAX_TREE`].
    tree: usize,
}

impl<'a> Parser<'a> {
    /// Reads one token; true if it was a repetition. `last_repeat` is the text from the token
    /// before on, if that was one.
    fn step(&mut self, last_repeat: Option<&'a str>) -> Result<bool, RegexError> {
        let mut chars = self.rest.chars();
        let Some(c) = chars.next() else { return Ok(false) };
        let after = chars.as_str();
        match c {
            '(' if after.starts_with('?') => self.perl_group()?,
            '(' => {
                self.rest = after;
                self.open_capture(None)?;
            }
            '|' => {
                self.rest = after;
                self.group.end_branch();
            }
            ')' => {
                self.rest = after;
                self.close()?;
            }
            '^' | '$' | '.' => {
                self.rest = after;
                self.operator(c)?;
            }
            '[' => self.class()?,
            '*' => return self.repeat(after, 0, None, false, last_repeat).map(|()| true),
            '+' => return self.repeat(after, 1, None, false, last_repeat).map(|()| true),
            '?' => return self.repeat(after, 0, Some(1), false, last_repeat).map(|()| true),
            '{' => {
                if let Some((min, max, after)) = counts(self.rest) {
                    let text = difference(self.rest, after);
                    let too_many = |n: u32| n > MAX_REPEAT;
                    if too_many(min) || max.is_some_and(|max| too_many(max) || min > max) {
                        return Err(error("invalid repeat count", text));
                    }
                    return self.repeat(after, min, max, true, last_repeat).map(|()| true);
                }
                self.rest = after;
                self.literal('{')?;
            }
            '\\' => self.backslash()?,
            c => {
                self.rest = after;
                self.literal(c)?;
            }
        }
        Ok(false)
    }

    /// Adds a node to the current group.
    fn push(&mut self, hir: Hir, height: usize, weight: u32) -> Result<(), RegexError> {
        self.charge(NODE_COST)?;
        self.group.push(Item { hir, height, weight });
        Ok(())
    }

    fn charge(&mut self, cost: usize) -> Result<(), RegexError> {
        self.tree += cost;
        if self.tree > MAX_TREE {
            return Err(error(super::TOO_LARGE, self.source));
        }
        Ok(())
    }

    fn check_height(&self, height: usize) -> Result<(), RegexError> {
        if height > MAX_NESTING {
            return Err(error(super::TOO_DEEP, self.source));
        }
        Ok(())
    }

    fn literal(&mut self, c: char) -> Result<(), RegexError> {
        if self.flags.fold {
            let class = class::build(vec![(c, c)], true);
            if class.ranges().len() > 1 || class.iter().any(|range| range.start() != range.end()) {
                return self.push(Hir::class(Class::Unicode(class)), 0, 1);
            }
        }
        self.group.literal.push(c);
        Ok(())
    }

    fn operator(&mut self, c: char) -> Result<(), RegexError> {
        let look = match (c, self.flags.multi_line) {
            ('^', false) => Look::Start,
            ('^', true) => Look::StartLF,
            ('$', false) => Look::End,
            ('$', true) => Look::EndLF,
            _ => {
                let newline = if self.flags.dot_newline { None } else { Some(('\n', '\n')) };
                let ranges = class::group(newline.into_iter().collect(), false, true);
                return self.push_class(ranges, false);
            }
        };
        self.push(Hir::look(look), 0, 1)
    }

    fn push_class(&mut self, ranges: class::Ranges, negated: bool) -> Result<(), RegexError> {
        self.charge(ranges.len())?;
        let mut class = class::build(ranges, false);
        if negated {
            class.negate();
        }
        self.push(Hir::class(Class::Unicode(class)), 0, 1)
    }

    fn repeat(
        &mut self,
        after: &'a str,
        min: u32,
        max: Option<u32>,
        counted: bool,
        last_repeat: Option<&'a str>,
    ) -> Result<(), RegexError> {
        let (after, lazy) = after.strip_prefix('?').map_or((after, false), |after| (after, true));
        if let Some(last_repeat) = last_repeat {
            let text = difference(last_repeat, after);
            return Err(error("invalid nested repetition operator", text));
        }
        let text = difference(self.rest, after);
        let Some(item) = self.group.pop() else {
            return Err(error("missing argument to repetition operator", text));
        };
        let weight = match (counted, max) {
            (false, _) => item.weight,
            // Nothing is repeated, whatever it is.
            (true, Some(0)) => 1,
            (true, max) => item.weight.saturating_mul(max.unwrap_or(min).max(1)),
        };
        if counted && (min >= 2 || max >= Some(2)) && weight > MAX_REPEAT {
            return Err(error("invalid repeat count", text));
        }
        let height = item.height + 1;
        self.check_height(height)?;
        self.rest = after;
        let greedy = lazy == self.flags.swap_greed;
        let repetition = Repetition { min, max, greedy, sub: Box::new(item.hir) };
        self.push(Hir::repetition(repetition), height, weight)
    }

    fn open(&mut self, open: Open) -> Result<(), RegexError> {
        self.check_height(self.outer.len() + 1)?;
        let group = Group::new(self.flags, open);
        self.outer.push(std::mem::replace(&mut self.group, group));
        Ok(())
    }

    fn open_capture(&mut self, name: Option<&str>) -> Result<(), RegexError> {
        self.names.push(name.map(str::to_owned));
        // At most one group for each byte of the text.
        let index = u32::try_from(self.names.len()).expect("the text is at most a mebibyte");
        self.open(Open::Capture(index))
    }

    fn close(&mut self) -> Result<(), RegexError> {
        let Some(outer) = self.outer.pop() else {
            return Err(error("unexpected )", self.source));
        };
        let group = std::mem::replace(&mut self.group, outer);
        let (Item { hir, height, weight }, flags, open) = group.finish();
        self.flags = flags;
        let hir = match open {
            // The name stays with us: Go's names may start with a digit, or be there twice.
            Open::Capture(index) => Hir::capture(Capture { index, name: None, sub: Box::new(hir) }),
            Open::Plain | Open::Whole => hir,
        };
        self.check_height(height + 1)?;
        self.push(hir, height + 1, weight)
    }

    /// `(?` and what follows: a named group, flags, or a group with flags.
    fn perl_group(&mut self) -> Result<(), RegexError> {
        let start = self.rest;
        let named = ["(?P<", "(?<"].into_iter().find_map(|open| {
            // Go wants a byte after the bracket before it takes this for a name.
            start.strip_prefix(open).filter(|name| !name.is_empty())
        });
        if let Some(name) = named {
            let Some((name, after)) = name.split_once('>') else {
                return Err(error("invalid named capture", start));
            };
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return Err(error("invalid named capture", difference(start, after)));
            }
            self.rest = after;
            return self.open_capture(Some(name));
        }
        let mut flags = self.flags;
        let (mut on, mut saw_flag) = (true, false);
        let mut chars = start.chars();
        let _open = (chars.next(), chars.next());
        while let Some(c) = chars.next() {
            let flag = match c {
                'i' => &mut flags.fold,
                'm' => &mut flags.multi_line,
                's' => &mut flags.dot_newline,
                'U' => &mut flags.swap_greed,
                '-' if on => {
                    (on, saw_flag) = (false, false);
                    continue;
                }
                ':' | ')' if on || saw_flag => {
                    self.rest = chars.as_str();
                    if c == ':' {
                        self.open(Open::Plain)?;
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => break,
            };
            *flag = on;
            saw_flag = true;
        }
        Err(error("invalid or unsupported Perl syntax", difference(start, chars.as_str())))
    }

    /// A backslash outside a class.
    fn backslash(&mut self) -> Result<(), RegexError> {
        let start = self.rest;
        let mut chars = start.chars();
        let (_backslash, letter) = (chars.next(), chars.next());
        let after = chars.as_str();
        let look = match letter {
            Some('A') => Look::Start,
            Some('b') => Look::WordAscii,
            Some('B') => Look::WordAsciiNegate,
            Some('z') => Look::End,
            Some('C') => return Err(error("invalid escape sequence", difference(start, after))),
            Some('Q') => {
                let (quoted, after) = after.split_once(r"\E").unwrap_or((after, ""));
                self.rest = after;
                return quoted.chars().try_for_each(|c| self.literal(c));
            }
            _ => {
                if let Some(ranges) = self.escaped_class()? {
                    return self.push_class(ranges, false);
                }
                let (code, after) = escape(start)?;
                self.rest = after;
                return match char::from_u32(code) {
                    Some(c) => self.literal(c),
                    // A surrogate, which no text has.
                    None => self.push(Hir::fail(), 0, 1),
                };
            }
        };
        self.rest = after;
        self.push(Hir::look(look), 0, 1)
    }

    /// A Perl or Unicode class at the start of what is left, if there is one.
    fn escaped_class(&mut self) -> Result<Option<class::Ranges>, RegexError> {
        let start = self.rest;
        let Some(letter @ (b'p' | b'P' | b'd' | b'D' | b's' | b'S' | b'w' | b'W')) =
            start.strip_prefix('\\').and_then(|rest| rest.bytes().next())
        else {
            return Ok(None);
        };
        let (_escape, after) = start.split_at(2);
        if let Some((ranges, negated)) = class::perl(letter) {
            self.rest = after;
            return Ok(Some(class::group(ranges, self.flags.fold, negated)));
        }
        let (name, after) = if let Some(name) = after.strip_prefix('{') {
            let parts = name.split_once('}');
            parts.ok_or_else(|| error("invalid character class range", start))?
        } else {
            let end = after.chars().next().map_or(0, char::len_utf8);
            after.split_at(end)
        };
        let (name, negated) = match name.strip_prefix('^') {
            Some(name) => (name, letter == b'p'),
            None => (name, letter == b'P'),
        };
        let Some(ranges) = class::unicode(name) else {
            return Err(error("invalid character class range", difference(start, after)));
        };
        self.charge(ranges.len())?;
        self.rest = after;
        Ok(Some(class::group(ranges, self.flags.fold, negated)))
    }

    /// A bracket class.
    fn class(&mut self) -> Result<(), RegexError> {
        let whole = self.rest;
        let inside = whole.strip_prefix('[').unwrap_or(whole);
        let negated = inside.strip_prefix('^');
        self.rest = negated.unwrap_or(inside);
        // Characters are folded together at the end; groups come folded.
        let (mut chars, mut groups) = (Vec::new(), Vec::new());
        let mut first = true;
        while first || !self.rest.starts_with(']') {
            first = false;
            if let Some(ranges) = self.posix_class()? {
                self.charge(ranges.len())?;
                groups.extend(ranges);
            } else if let Some(ranges) = self.escaped_class()? {
                self.charge(ranges.len())?;
                groups.extend(ranges);
            } else {
                let start = self.rest;
                let lo = self.class_char(whole)?;
                let mut hi = lo;
                let dash = self.rest.strip_prefix('-');
                if let Some(after) =
                    dash.filter(|after| !after.is_empty() && !after.starts_with(']'))
                {
                    self.rest = after;
                    hi = self.class_char(whole)?;
                    if hi < lo {
                        let text = difference(start, self.rest);
                        return Err(error("invalid character class range", text));
                    }
                }
                self.charge(1)?;
                chars.extend(class::chars(lo, hi));
            }
        }
        self.rest = self.rest.strip_prefix(']').unwrap_or(self.rest);
        if self.flags.fold {
            chars = class::group(chars, true, false);
        }
        groups.extend(chars);
        self.push_class(groups, negated.is_some())
    }

    fn posix_class(&mut self) -> Result<Option<class::Ranges>, RegexError> {
        let start = self.rest;
        let Some((name, after)) = start.strip_prefix("[:").and_then(|rest| rest.split_once(":]"))
        else {
            return Ok(None);
        };
        let negated = name.strip_prefix('^');
        let Some(ranges) = class::posix(negated.unwrap_or(name)) else {
            return Err(error("invalid character class range", difference(start, after)));
        };
        self.rest = after;
        Ok(Some(class::group(ranges, self.flags.fold, negated.is_some())))
    }

    fn class_char(&mut self, whole: &str) -> Result<u32, RegexError> {
        let mut chars = self.rest.chars();
        let (code, after) = match chars.next() {
            None => return Err(error("missing closing ]", whole)),
            Some('\\') => escape(self.rest)?,
            Some(c) => (u32::from(c), chars.as_str()),
        };
        self.rest = after;
        Ok(code)
    }
}

#[cfg(test)]
mod tests;
