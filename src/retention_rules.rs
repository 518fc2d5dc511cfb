//! Retention by pattern: how long the series of a name, of a prefix, or of all are kept. A series
//! follows the most specific rule that it matches: an exact name before the longest prefix before `*`,
//! and of equal names the one with more matchers, then the earlier one.

use std::fmt;

use model::{MatchOp, Matcher, NAME_LABEL};
use tsdb::tombstones::Deletion;

use crate::config::{Millis, Value};

/// Most rules.
const MAX_RULES: usize = 100;
/// Most selectors that a rule may come to, once those that keep longer are taken out of it.
const MAX_SELECTORS: usize = 256;

/// The names that a rule is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    Name(String),
    /// Empty for `*`.
    Prefix(String),
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pattern: Pattern,
    /// What else a series must match.
    matchers: Vec<Matcher>,
    /// How long samples are kept.
    pub(crate) keep: Millis,
}

/// All rules, the most specific first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RetentionRules(Vec<Rule>);

impl Rule {
    /// Reads `name{label="value"}=30d`; the name may end in `*`, and the braces may be left out.
    fn parse(text: &str) -> Result<Self, String> {
        let (series, keep) = text.rsplit_once('=').ok_or("a rule is PATTERN=DURATION")?;
        let (name, braces) = match series.trim().split_once('{') {
            None => (series.trim(), String::new()),
            Some((name, rest)) => (name.trim(), format!("{{{rest}")),
        };
        let matchers = match braces.as_str() {
            "" => Vec::new(),
            braces => promql::parse_selector(braces).map_err(|e| e.to_string())?,
        };
        if matchers.iter().any(|m| m.name == NAME_LABEL) {
            return Err("the name stands before the braces".to_owned());
        }
        let pattern = match name.strip_suffix('*') {
            Some(prefix) => Pattern::Prefix(prefix.to_owned()),
            None => Pattern::Name(name.to_owned()),
        };
        let (Pattern::Name(plain) | Pattern::Prefix(plain)) = &pattern;
        if plain.contains('*') || plain.is_empty() && matches!(pattern, Pattern::Name(_)) {
            return Err(format!("{name:?} is no name, with or without one * at its end"));
        }
        let keep = Millis::parse(keep.trim())?;
        if keep.0 == 0 {
            return Err("a rule that keeps nothing".to_owned());
        }
        Ok(Self { pattern, matchers, keep })
    }

    /// The higher, the more specific.
    fn rank(&self) -> (bool, usize, usize) {
        match &self.pattern {
            Pattern::Name(_) => (true, 0, self.matchers.len()),
            Pattern::Prefix(prefix) => (false, prefix.len(), self.matchers.len()),
        }
    }

    /// The test of the name, or that it fails; `None` where it always passes.
    fn name_matcher(&self, passes: bool) -> Option<Matcher> {
        let (op, value) = match (&self.pattern, passes) {
            (Pattern::Prefix(prefix), _) if prefix.is_empty() => return None,
            (Pattern::Name(name), true) => (MatchOp::Eq, name.clone()),
            (Pattern::Name(name), false) => (MatchOp::Ne, name.clone()),
            (Pattern::Prefix(prefix), true) => (MatchOp::Re, format!("{}.*", quoted(prefix))),
            (Pattern::Prefix(prefix), false) => (MatchOp::Nre, format!("{}.*", quoted(prefix))),
        };
        Some(Matcher::new(op, NAME_LABEL, &value).expect("a quoted text is an expression"))
    }

    /// The tests of which one fails where the rule is not for a series.
    fn opposites(&self) -> Vec<Matcher> {
        let others = self.matchers.iter().map(|m| {
            let op = match m.op {
                MatchOp::Eq => MatchOp::Ne,
                MatchOp::Ne => MatchOp::Eq,
                MatchOp::Re => MatchOp::Nre,
                MatchOp::Nre => MatchOp::Re,
            };
            Matcher::new(op, &m.name, &m.value).expect("it was compiled before")
        });
        self.name_matcher(false).into_iter().chain(others).collect()
    }
}

/// The text as an expression that matches nothing else.
fn quoted(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_punctuation() && c != '_' {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

impl RetentionRules {
    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What each rule deletes at `now_ms`; the bound moves on in steps of `step_ms`. Where a more
    /// specific rule keeps longer, its series are taken out; where it keeps shorter, they went before.
    pub(crate) fn plan(&self, now_ms: i64, step_ms: i64) -> Vec<(String, Deletion)> {
        let step = step_ms.max(1);
        let due = self.0.iter().enumerate().filter_map(|(at, rule)| {
            let bound = now_ms.saturating_sub(rule.keep.as_i64()).div_euclid(step) * step;
            let what = Deletion {
                selectors: self.selectors(at)?,
                mint: i64::MIN,
                maxt: bound.saturating_sub(1),
            };
            Some((rule.to_string(), what))
        });
        due.collect()
    }

    /// The series of the rule at `at` without those of more specific rules that keep longer; `None`
    /// where that takes too many selectors.
    fn selectors(&self, at: usize) -> Option<Vec<Vec<Matcher>>> {
        let rule = &self.0[at];
        let own = rule.name_matcher(true).into_iter().chain(rule.matchers.clone()).collect();
        let mut selectors: Vec<Vec<Matcher>> = vec![own];
        for longer in self.0[..at].iter().filter(|r| r.keep > rule.keep) {
            let opposites = longer.opposites();
            if selectors.len() * opposites.len() > MAX_SELECTORS {
                return None;
            }
            let with = |s: &Vec<Matcher>| {
                let base = s.clone();
                opposites
                    .iter()
                    .map(move |m| {
                        let mut one = base.clone();
                        one.push(m.clone());
                        one
                    })
                    .collect::<Vec<_>>()
            };
            selectors = selectors.iter().flat_map(with).collect();
        }
        Some(selectors)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pattern {
            Pattern::Name(name) => f.write_str(name)?,
            Pattern::Prefix(prefix) => write!(f, "{prefix}*")?,
        }
        if !self.matchers.is_empty() {
            let all: Vec<String> = self.matchers.iter().map(ToString::to_string).collect();
            write!(f, "{{{}}}", all.join(","))?;
        }
        write!(f, "={}", self.keep.print())
    }
}

impl Value for RetentionRules {
    const UNIT: &'static str = "rules";

    fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(';').map(str::trim).filter(|part| !part.is_empty());
        let mut rules = parts
            .map(|part| Rule::parse(part).map_err(|why| format!("rule {part:?}: {why}")))
            .collect::<Result<Vec<_>, _>>()?;
        if rules.len() > MAX_RULES {
            return Err(format!("{} rules, limit {MAX_RULES}", rules.len()));
        }
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.rank()));
        let rules = Self(rules);
        for (at, rule) in rules.0.iter().enumerate() {
            if rules.selectors(at).is_none() {
                return Err(format!("rule {rule}: too many rules with matchers keep longer"));
            }
        }
        Ok(rules)
    }

    fn print(&self) -> String {
        let all: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        all.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Labels;

    const DAY: i64 = 86_400_000;

    /// How many days the series is kept, as the plan has it.
    fn days(rules: &str, name: &str, job: &str) -> Option<i64> {
        let rules = RetentionRules::parse(rules).unwrap();
        let labels = Labels::from_pairs([(NAME_LABEL, name), ("job", job)]).unwrap();
        let takes = |what: &Deletion| {
            what.selectors.iter().any(|all| all.iter().all(|m| m.matches(labels.get(&m.name))))
        };
        let bounds = rules.plan(0, 1).into_iter().filter(|(_, what)| takes(what));
        bounds.map(|(_, what)| -(what.maxt + 1) / DAY).min()
    }

    #[test]
    fn the_most_specific_rule_decides() {
        let rules = "*=30d; node_*=10d; node_cpu_*=60d; node_cpu_guest=5d; node_cpu_guest{job=\"a\"}=90d; up=1d";
        for (name, job, want) in [
            ("other", "a", 30),
            ("node_disk", "a", 10),
            ("node_cpu_seconds", "a", 60),
            ("node_cpu_guest", "b", 5),
            ("node_cpu_guest", "a", 90),
            ("node_cpu_guest_2", "a", 60),
            ("up", "a", 1),
            ("up_2", "a", 30),
        ] {
            assert_eq!(days(rules, name, job), Some(want), "{name} {job}");
        }
        assert_eq!(days("a.b*=3d", "aXb", ""), None, "a dot is a dot");
        assert_eq!(days("a.b*=3d", "a.bc", ""), Some(3));
    }

    #[test]
    fn rules_are_printed_as_they_are_read() {
        let text = "up{job!~\"a|b\"}=1d; node_*=30d; *=1w";
        assert_eq!(RetentionRules::parse(text).unwrap().print(), text);
        for bad in ["up", "=1d", "a*b=1d", "up=x", "up=0s", "up{__name__=\"x\"}=1d", "up{a=}=1d"] {
            assert!(RetentionRules::parse(bad).is_err(), "{bad}");
        }
        assert!(RetentionRules::parse("").unwrap().is_empty());
    }

    #[test]
    fn the_bound_moves_in_steps() {
        let rules = RetentionRules::parse("*=1d").unwrap();
        let maxt = |now| rules.plan(now, 3_600_000)[0].1.maxt;
        assert_eq!(maxt(DAY + 7_200_000), 7_199_999);
        assert_eq!(maxt(DAY + 7_200_000 + 3_599_999), 7_199_999);
    }
}
