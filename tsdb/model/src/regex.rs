//! Regular expressions as Prometheus has them: RE2 syntax, fully anchored, dot matches newline.

/// A compiled, fully anchored expression.
#[derive(Debug, Clone)]
pub struct Regex {
    source: String,
    inner: regex::Regex,
}

/// The expression is not RE2, or too large.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RegexError(pub String);

/// Longest expression text in bytes (limit L17).
const MAX_TEXT: usize = 1 << 20;
/// Largest compiled program in bytes (limit L17).
const MAX_PROGRAM: usize = 4 << 20;
/// Largest lazy DFA in bytes (limit L17).
const MAX_DFA: usize = 8 << 20;
/// Deepest nesting of groups and repetitions (limit L17).
const MAX_NESTING: u32 = 64;

impl Regex {
    /// Compiles `^(?s:source)$`.
    ///
    /// # Errors
    /// [`RegexError`] for bad syntax or an expression over limit L17.
    pub fn anchored(source: &str) -> Result<Self, RegexError> {
        if source.len() > MAX_TEXT {
            return Err(RegexError(format!(
                "regular expression is {} bytes, limit {MAX_TEXT}",
                source.len()
            )));
        }
        let inner = regex::RegexBuilder::new(&format!("^(?s:{source})$"))
            .size_limit(MAX_PROGRAM)
            .dfa_size_limit(MAX_DFA)
            .nest_limit(MAX_NESTING)
            .build()
            .map_err(|e| RegexError(e.to_string()))?;
        Ok(Self { source: source.to_owned(), inner })
    }

    /// Whether the whole of `text` matches.
    pub fn is_match(&self, text: &str) -> bool {
        self.inner.is_match(text)
    }

    /// The expression as written, without the anchors.
    pub fn source(&self) -> &str {
        &self.source
    }
}
