//! `label_replace`, `label_join` and the labels of `absent` (contract 3.11).

use model::{Labels, LabelsBuilder, MatchOp, Matcher, NAME_LABEL, Regex};

use crate::ast::Text;

/// A `label_replace` with its arguments checked.
#[derive(Debug, Clone)]
pub struct LabelReplace {
    dst: String,
    template: String,
    src: String,
    regex: Regex,
}

impl LabelReplace {
    /// The arguments in the order of the text.
    ///
    /// # Errors
    /// The text of the execution error where the expression or the label name is not valid.
    pub fn new(dst: &Text, template: &str, src: &str, expression: &str) -> Result<Self, String> {
        let bad = || format!("invalid regular expression in label_replace(): {expression}");
        let regex = Regex::wrapped(expression).map_err(|_| bad())?;
        let dst = label_name(dst)
            .map_err(|e| format!("invalid destination label name in label_replace(): {e}"))?;
        Ok(Self { dst, template: template.to_owned(), src: src.to_owned(), regex })
    }

    /// The new labels, or `None` where the expression does not match and nothing changes.
    pub fn apply(&self, labels: &Labels) -> Option<Labels> {
        let value = self.regex.captures_expand(labels.get(&self.src), &self.template)?;
        let mut builder = LabelsBuilder::new(labels);
        builder.set(&self.dst, &value);
        Some(builder.build())
    }

    /// Whether it writes the metric name, which it then keeps.
    pub fn sets_name(&self) -> bool {
        self.dst == NAME_LABEL
    }
}

/// The label name that `text` is; the text itself where it is none.
fn label_name(text: &Text) -> Result<String, &str> {
    let name = text.as_str();
    if name.is_empty() || !text.is_utf8() { Err(name) } else { Ok(name.to_owned()) }
}

/// A `label_join` with its arguments checked.
#[derive(Debug, Clone)]
pub struct LabelJoin {
    dst: String,
    separator: String,
    sources: Vec<String>,
}

impl LabelJoin {
    /// The arguments in the order of the text.
    ///
    /// # Errors
    /// The text of the execution error where a label name is not valid.
    pub fn new(dst: &Text, separator: &str, sources: &[&Text]) -> Result<Self, String> {
        let sources: Result<Vec<String>, &str> = sources.iter().map(|s| label_name(s)).collect();
        let sources =
            sources.map_err(|e| format!("invalid source label name in label_join(): {e}"))?;
        let dst = label_name(dst)
            .map_err(|e| format!("invalid destination label name in label_join(): {e}"))?;
        Ok(Self { dst, separator: separator.to_owned(), sources })
    }

    /// The new labels.
    pub fn apply(&self, labels: &Labels) -> Labels {
        let values: Vec<&str> = self.sources.iter().map(|s| labels.get(s)).collect();
        let mut builder = LabelsBuilder::new(labels);
        builder.set(&self.dst, &values.join(&self.separator));
        builder.build()
    }

    /// Whether it writes the metric name, which it then keeps.
    pub fn sets_name(&self) -> bool {
        self.dst == NAME_LABEL
    }
}

/// The labels of `absent(selector)`: what the equality matchers say, without the name. A label with
/// another matcher after that, or with a second one, is left out.
///
/// "After" is not quite as written: Prometheus' storage has by then moved the negative matchers that
/// a missing label passes behind all others.
pub fn absent(matchers: &[Matcher]) -> Labels {
    let mut builder = LabelsBuilder::default();
    let mut seen: Vec<&str> = Vec::new();
    let subtracts = |m: &&Matcher| {
        matches!(m.op, MatchOp::Ne | MatchOp::Nre) && m.matches_empty() && m.name != NAME_LABEL
    };
    let (last, first): (Vec<&Matcher>, Vec<&Matcher>) = matchers.iter().partition(subtracts);
    for m in first.into_iter().chain(last).filter(|m| m.name != NAME_LABEL) {
        if m.op == MatchOp::Eq && !seen.contains(&m.name.as_str()) {
            builder.set(&m.name, &m.value);
            seen.push(&m.name);
        } else {
            builder.del(&m.name);
        }
    }
    builder.build()
}

/// `labels` without `__name__`, `__type__` and `__unit__`: what is dropped together where a result
/// is no longer the metric (contract 3.10).
pub fn without_name(labels: &Labels) -> Labels {
    labels.filtered(|name| !matches!(name, NAME_LABEL | "__type__" | "__unit__"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    fn replace(pairs: &[(&str, &str)], args: [&str; 4]) -> Option<String> {
        let [dst, template, src, expression] = args;
        let f = LabelReplace::new(&dst.into(), template, src, expression).unwrap();
        f.apply(&labels(pairs)).map(|l| l.to_string())
    }

    #[test]
    fn label_replace_expands_its_template() {
        let a = [("j", "a")];
        for (args, want) in [
            (["k", "$1-x", "j", "(a)"], Some(r#"{j="a", k="a-x"}"#)),
            (["j", "", "j", "a"], Some("{}")),
            (["k", "$1x", "j", "(a)"], Some(r#"{j="a"}"#)),
            (["k", "${1}x", "j", "(a)"], Some(r#"{j="a", k="ax"}"#)),
            (["k", "$first!", "j", "(?P<first>.)"], Some(r#"{j="a", k="a!"}"#)),
            (["k", "$$1", "j", "(a)"], Some(r#"{j="a", k="$1"}"#)),
            (["k", "$", "j", "a"], Some(r#"{j="a", k="$"}"#)),
            (["k", "${1", "j", "(a)"], Some(r#"{j="a", k="${1"}"#)),
            (["k", "$9$01", "j", "(a)"], Some(r#"{j="a"}"#)),
            (["k", "$0", "j", "a"], Some(r#"{j="a", k="a"}"#)),
            (["k", "none", "nope", ""], Some(r#"{j="a", k="none"}"#)),
            (["k", "x", "j", "b"], None),
            (["k", "x", "j", ""], None),
        ] {
            assert_eq!(replace(&a, args).as_deref(), want, "{args:?}");
        }
        assert_eq!(replace(&[("j", "a\nb")], ["j", "ok", "j", "a.b"]).unwrap(), r#"{j="ok"}"#);
    }

    #[test]
    fn bad_arguments_are_refused_in_the_words_of_prometheus() {
        let error = |dst: &str, re| LabelReplace::new(&dst.into(), "", "j", re).unwrap_err();
        assert_eq!(error("k", "("), "invalid regular expression in label_replace(): (");
        assert_eq!(error("", "a"), "invalid destination label name in label_replace(): ");
        assert!(LabelReplace::new(&"~".into(), "", "j", "a").is_ok(), "any UTF-8 name is valid");
        let bytes = Text::new(vec![b'a', 0xff]);
        let error = LabelReplace::new(&bytes, "", "j", "a").unwrap_err();
        assert_eq!(error, "invalid destination label name in label_replace(): a\u{fffd}");
        let error = LabelJoin::new(&"k".into(), "-", &[&"a".into(), &"".into()]).unwrap_err();
        assert_eq!(error, "invalid source label name in label_join(): ");
        let error = LabelJoin::new(&"".into(), "-", &[]).unwrap_err();
        assert_eq!(error, "invalid destination label name in label_join(): ");
    }

    #[test]
    fn label_join_joins_what_is_there() {
        let a = labels(&[("j", "a")]);
        let (j, nope) = ("j".into(), "nope".into());
        let join = LabelJoin::new(&"k".into(), "-", &[&j, &nope, &j]).unwrap();
        assert_eq!(join.apply(&a).to_string(), r#"{j="a", k="a--a"}"#);
        assert_eq!(LabelJoin::new(&j, "-", &[]).unwrap().apply(&a), Labels::empty());
    }

    #[test]
    fn absent_takes_unique_equality_matchers() {
        let matchers = [
            Matcher::equal("a", "1"),
            Matcher::new(MatchOp::Ne, "b", "2").unwrap(),
            Matcher::equal("c", "3"),
            Matcher::equal("c", "4"),
            Matcher::equal("d", ""),
            Matcher::equal(NAME_LABEL, "nope"),
            Matcher::new(MatchOp::Ne, "e", "2").unwrap(),
            Matcher::equal("e", "1"),
        ];
        assert_eq!(absent(&matchers), labels(&[("a", "1")]));
        assert_eq!(absent(&[]), Labels::empty());
    }

    #[test]
    fn the_name_goes_with_its_type_and_unit() {
        let all = [("__name__", "m"), ("__type__", "counter"), ("__unit__", "s"), ("a", "1")];
        assert_eq!(without_name(&labels(&all)), labels(&[("a", "1")]));
    }
}
