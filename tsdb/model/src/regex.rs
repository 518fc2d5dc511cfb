//! Regular expressions as Prometheus has them: Go's RE2 syntax and messages, fully anchored, dot
//! matches newline, linear time.
//!
//! The `regex` family of crates has another syntax (Unicode `\d`, set operators in classes, `x`),
//! so the text is read by a parser of our own; what an expression means is then matched by
//! comparing strings where that is enough, and by `regex-automata` where not.

mod class;
mod expand;
mod literals;
mod parse;
mod token;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use regex_automata::meta;
use regex_syntax::hir::{Hir, Look};

use expand::Reference;
use literals::{Glob, Required};

/// Longest expression text in bytes (limit L17).
const MAX_TEXT: usize = 1 << 20;
/// Largest compiled program in bytes (limit L17).
const MAX_PROGRAM: usize = 4 << 20;
/// Largest lazy DFA in bytes (limit L17).
const MAX_DFA: usize = 8 << 20;

/// The expression is not RE2, or too large.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RegexError(pub String);

/// Go's words for what is over its limits, which here are those of L17.
const TOO_LARGE: &str = "expression too large";
const TOO_DEEP: &str = "expression nests too deeply";

impl RegexError {
    /// Whether the expression may be RE2, but is over limit L17.
    pub fn is_over_limit(&self) -> bool {
        let text = self.0.strip_prefix("error parsing regexp: ").unwrap_or(&self.0);
        [TOO_LARGE, TOO_DEEP, TOO_LONG].iter().any(|words| text.starts_with(words))
    }
}

/// A compiled expression. Cheap to clone.
#[derive(Clone)]
pub struct Regex(Arc<Inner>);

struct Inner {
    source: String,
    plan: Plan,
    required: Required,
    /// The names of the groups, from 1 on.
    names: Vec<Option<String>>,
    /// What to compile when groups are asked for, if the plan has no program and there are groups.
    hir: Option<Hir>,
    groups: OnceLock<meta::Regex>,
}

/// How to match.
enum Plan {
    /// One of these sorted strings.
    Set(Vec<String>),
    /// Literals with gaps.
    Glob(Glob),
    /// All else.
    Program(meta::Regex),
}

impl Regex {
    /// Compiles `^(?s:source)$`. Alternatives of literals and expressions such as `a.*b` are not
    /// compiled, and so have no limit but that of the text.
    ///
    /// # Errors
    /// [`RegexError`] for bad syntax, with Go's message, or an expression over limit L17.
    pub fn anchored(source: &str) -> Result<Self, RegexError> {
        check_text(source)?;
        if !source.contains(['\\', '.', '+', '*', '?', '(', ')', '[', ']', '{', '}', '^', '$']) {
            let mut set: Vec<&str> = source.split('|').collect();
            set.sort_unstable();
            set.dedup();
            let set: Vec<String> = set.into_iter().map(str::to_owned).collect();
            let required = Required::of_set(&set);
            return Ok(Self::new(source, Plan::Set(set), required, Vec::new(), None));
        }
        let parse::Parsed { hir, names } = parse::parse(source, true)?;
        let required = Required::of_hir(&hir);
        let plan = if let Some(set) = literals::set(&hir, source.len()) {
            Plan::Set(set)
        } else if let Some(glob) = Glob::new(&hir) {
            Plan::Glob(glob)
        } else {
            let program = compile(&whole(hir), Some(MAX_PROGRAM))
                .map_err(|_too_large| token::error("expression too large", source))?;
            return Ok(Self::new(source, Plan::Program(program), required, names, None));
        };
        let hir = if names.is_empty() { None } else { Some(hir) };
        Ok(Self::new(source, plan, required, names, hir))
    }

    /// Compiles the text `^(?s:source)$`, as `label_replace` and relabelling do. It differs from
    /// [`Regex::anchored`] where `source` reaches out of its parentheses: `a)|(b` is legal here,
    /// and an open `\Q` is not.
    ///
    /// # Errors
    /// As [`Regex::anchored`], about the text with the anchors.
    pub fn wrapped(source: &str) -> Result<Self, RegexError> {
        match Self::anchored(source) {
            Ok(regex) if !source.contains(r"\Q") => Ok(regex),
            _ => {
                check_text(source)?;
                Self::whole_text(source, &format!("^(?s:{source})$"))
            }
        }
    }

    /// Compiles `source` as it is: it matches anywhere in a text, and dot does not match newline.
    ///
    /// # Errors
    /// As [`Regex::anchored`].
    pub fn unanchored(source: &str) -> Result<Self, RegexError> {
        check_text(source)?;
        Self::whole_text(source, source)
    }

    /// Compiles `text` and nothing around it.
    fn whole_text(source: &str, text: &str) -> Result<Self, RegexError> {
        let parse::Parsed { hir, names } = parse::parse(text, false)?;
        let program =
            compile(&hir, Some(MAX_PROGRAM)).map_err(|_too_large| token::error(TOO_LARGE, text))?;
        Ok(Self::new(source, Plan::Program(program), Required::default(), names, None))
    }

    fn new(
        source: &str,
        plan: Plan,
        required: Required,
        names: Vec<Option<String>>,
        hir: Option<Hir>,
    ) -> Self {
        let (source, groups) = (source.to_owned(), OnceLock::new());
        Self(Arc::new(Inner { source, plan, required, names, hir, groups }))
    }

    /// The expression as written, without the anchors.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// Whether the whole of `text` matches; any part of it for [`Regex::unanchored`].
    pub fn is_match(&self, text: &str) -> bool {
        match &self.0.plan {
            Plan::Set(set) => set.binary_search_by(|one| one.as_str().cmp(text)).is_ok(),
            Plan::Glob(glob) => glob.is_match(text),
            Plan::Program(program) => program.is_match(text),
        }
    }

    /// All strings that match, sorted and distinct, where they are a finite set that is not much
    /// larger than the expression, such as for `a|b(c|d)`. Some expressions match none.
    pub fn set_matches(&self) -> Option<&[String]> {
        match &self.0.plan {
            Plan::Set(set) => Some(set),
            Plan::Glob(_) | Plan::Program(_) => None,
        }
    }

    /// Text that every match begins with; not always the longest. Empty if none is known, as for
    /// [`Regex::unanchored`].
    pub fn prefix(&self) -> &str {
        &self.0.required.prefix
    }

    /// Text that every match ends with; not always the longest. Empty if none is known.
    pub fn suffix(&self) -> &str {
        &self.0.required.suffix
    }

    /// Text that every match has somewhere; not always the longest. Empty if none is known.
    pub fn contained(&self) -> &str {
        &self.0.required.contained
    }

    /// Matches `text` and expands `template` as Go's `Regexp.Expand` does: `$1`, `${1}`, `$name`
    /// and `${name}` become what the group matched, or nothing if there is no such group or it
    /// took no part; a name is as long as it can be (`$1x` is group `1x`); `$$` is a dollar sign.
    ///
    /// `None` if the text does not match.
    pub fn captures_expand(&self, text: &str, template: &str) -> Option<String> {
        let mut out = String::new();
        let Some(program) = self.program() else {
            // Anchored and without groups: all there is to refer to is the text.
            if !self.is_match(text) {
                return None;
            }
            expand::expand(&mut out, template, |out, reference| {
                if reference == Reference::Number(0) {
                    out.push_str(text);
                }
            });
            return Some(out);
        };
        let mut captures = program.create_captures();
        program.captures(text, &mut captures);
        if !captures.is_match() {
            return None;
        }
        let group = |number| captures.get_group(number).and_then(|span| text.get(span.range()));
        expand::expand(&mut out, template, |out, reference| {
            let matched = match reference {
                Reference::Number(number) => group(number),
                // A name may be there twice: the first group that took part counts.
                Reference::Name(name) => (1..)
                    .zip(&self.0.names)
                    .filter(|(_, one)| one.as_deref() == Some(name))
                    .find_map(|(number, _)| group(number)),
            };
            out.push_str(matched.unwrap_or_default());
        });
        Some(out)
    }

    /// The program, made late if matching does without; `None` if there are no groups either.
    fn program(&self) -> Option<&meta::Regex> {
        if let Plan::Program(program) = &self.0.plan {
            return Some(program);
        }
        let hir = self.0.hir.as_ref()?;
        Some(self.0.groups.get_or_init(|| {
            // Such a tree has no counted repetition, so its program is not much larger than it.
            compile(&whole(hir.clone()), None).expect("nothing limits the program")
        }))
    }
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Regex").field(&self.0.source).finish()
    }
}

/// The beginning of the text that says so.
const TOO_LONG: &str = "regular expression is";

fn check_text(source: &str) -> Result<(), RegexError> {
    if source.len() > MAX_TEXT {
        let bytes = source.len();
        return Err(RegexError(format!("{TOO_LONG} {bytes} bytes, limit {MAX_TEXT}")));
    }
    Ok(())
}

/// `hir` anchored at both ends.
fn whole(hir: Hir) -> Hir {
    Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)])
}

fn compile(hir: &Hir, max_bytes: Option<usize>) -> Result<meta::Regex, Box<meta::BuildError>> {
    let config = meta::Config::new().nfa_size_limit(max_bytes).hybrid_cache_capacity(MAX_DFA);
    meta::Builder::new().configure(config).build_from_hir(hir).map_err(Box::new)
}

#[cfg(test)]
mod tests;
