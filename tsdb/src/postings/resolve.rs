//! Matchers to series, with the rules of Prometheus: a series without the label has the empty
//! value, so a matcher that accepts the empty value also selects the series that lack the label.

use model::{MatchOp, Matcher};
use roaring::RoaringBitmap;

use super::{Postings, PostingsSource, ops};

/// The series that pass all `matchers`; every series where there are none.
///
/// # Errors
/// The index could not be read.
pub fn select<S: PostingsSource>(
    source: &S,
    matchers: &[Matcher],
) -> Result<RoaringBitmap, S::Error> {
    let (mut keep, mut drop) = (Vec::new(), Vec::new());
    // Equalities first: they are cheap, and one without series ends the work.
    let (cheap, dear): (Vec<_>, Vec<_>) = matchers.iter().partition(|m| m.regex().is_none());
    for matcher in cheap.into_iter().chain(dear) {
        match term(source, matcher)? {
            Term::Everything => {}
            Term::Keep(set) if set.is_empty() => return Ok(RoaringBitmap::new()),
            Term::Keep(set) => keep.push(set),
            Term::Drop(set) => drop.push(set),
        }
    }
    let mut out = match ops::intersect(keep) {
        Some(out) => out,
        None => source.all()?,
    };
    for set in &drop {
        ops::subtract(&mut out, set);
    }
    Ok(out)
}

/// The label names of the series in `within`, ascending; of all series where it is `None`.
///
/// # Errors
/// The index could not be read.
pub fn label_names<S: PostingsSource>(
    source: &S,
    within: Option<&RoaringBitmap>,
) -> Result<Vec<String>, S::Error> {
    let mut names = Vec::new();
    source.for_each_name(&mut |name| {
        let there = match within {
            Some(within) => source.has_name(name)?.intersects(within),
            None => true,
        };
        if there {
            names.push(name.to_owned());
        }
        Ok(())
    })?;
    Ok(names)
}

/// The values that `name` has among the series in `within`, ascending; among all series where it
/// is `None`.
///
/// # Errors
/// The index could not be read.
pub fn label_values<S: PostingsSource>(
    source: &S,
    name: &str,
    within: Option<&RoaringBitmap>,
) -> Result<Vec<String>, S::Error> {
    let mut values = Vec::new();
    source.for_each_value(name, "", &mut |value, id| {
        let there = match within {
            Some(within) => source.postings(id)?.intersects(within),
            None => true,
        };
        if there {
            values.push(value.to_owned());
        }
        Ok(())
    })?;
    Ok(values)
}

/// What one matcher does to the result.
enum Term<'a> {
    /// Nothing.
    Everything,
    /// Only these stay.
    Keep(Postings<'a>),
    /// These go.
    Drop(Postings<'a>),
}

fn term<'a, S: PostingsSource>(source: &'a S, m: &Matcher) -> Result<Term<'a>, S::Error> {
    let negative = matches!(m.op, MatchOp::Ne | MatchOp::Nre);
    let test = positive_test(m);
    // `=` and `=~` that refuse the empty value keep the values they accept, and `!=` and `!~`
    // of the same text drop them. Where the positive form accepts the empty value, it is the values
    // outside it that go, or that alone stay.
    let (set, accepts_empty) = match test {
        Test::Anything if negative => return Ok(Term::Keep(Postings::empty())),
        Test::Anything => return Ok(Term::Everything),
        Test::Present => (source.has_name(&m.name)?, false),
        Test::Absent => (source.has_name(&m.name)?, true),
        Test::Value(value) => match source.value_id(&m.name, value)? {
            Some(id) => (source.postings(id)?, false),
            None => (Postings::empty(), false),
        },
        Test::Values(values) => {
            let mut sets = Vec::with_capacity(values.len());
            for value in values {
                if let Some(id) = source.value_id(&m.name, value)? {
                    sets.push(source.postings(id)?);
                }
            }
            (ops::union(sets), false)
        }
        Test::Regex { prefix, accepts_empty } => {
            let mut sets = Vec::new();
            source.for_each_value(&m.name, prefix, &mut |value, id| {
                // Of a positive form that refuses the empty value: what it accepts. Else: what it
                // refuses, which is the smaller side as a rule.
                if (m.matches(value) != negative) != accepts_empty {
                    sets.push(source.postings(id)?);
                }
                Ok(())
            })?;
            (ops::union(sets), accepts_empty)
        }
    };
    Ok(if negative == accepts_empty { Term::Keep(set) } else { Term::Drop(set) })
}

/// The positive form of a matcher, as far as it can be told without looking at values.
enum Test<'m> {
    /// Accepts every value, the empty one too.
    Anything,
    /// Accepts every value but the empty one.
    Present,
    /// Accepts the empty value alone.
    Absent,
    /// Accepts one value.
    Value(&'m str),
    /// Accepts a few values, none of them empty.
    Values(&'m [String]),
    /// Accepts what the expression accepts. All of it begins with `prefix`, which is empty where
    /// the expression accepts the empty value.
    Regex { prefix: &'m str, accepts_empty: bool },
}

fn positive_test(m: &Matcher) -> Test<'_> {
    let Some(regex) = m.regex() else {
        return if m.value.is_empty() { Test::Absent } else { Test::Value(&m.value) };
    };
    match m.value.as_str() {
        "" => return Test::Absent,
        ".*" => return Test::Anything,
        ".+" => return Test::Present,
        _ => {}
    }
    let accepts_empty = regex.is_match("");
    match regex.set_matches() {
        Some(values) if !accepts_empty => Test::Values(values),
        Some([_]) => Test::Absent,
        // A prefix helps only where what begins otherwise is refused and stays so.
        _ if accepts_empty => Test::Regex { prefix: "", accepts_empty },
        _ => Test::Regex { prefix: regex.prefix(), accepts_empty },
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::convert::Infallible;

    use model::Labels;
    use proptest::prelude::*;

    use super::*;

    /// The plainest index: maps.
    struct Maps {
        pairs: BTreeMap<(String, String), RoaringBitmap>,
        num_series: u32,
    }

    impl Maps {
        fn new(series: &[Labels]) -> Self {
            let mut pairs = BTreeMap::<_, RoaringBitmap>::new();
            for (i, labels) in (0..).zip(series) {
                for (n, v) in labels {
                    pairs.entry((n.to_owned(), v.to_owned())).or_default().insert(i);
                }
            }
            Self { pairs, num_series: u32::try_from(series.len()).unwrap() }
        }
    }

    impl PostingsSource for Maps {
        type ValueId = usize;
        type Error = Infallible;

        fn all(&self) -> Result<RoaringBitmap, Infallible> {
            Ok((0..self.num_series).collect())
        }

        fn for_each_name(
            &self,
            visit: &mut dyn FnMut(&str) -> Result<(), Infallible>,
        ) -> Result<(), Infallible> {
            let mut names: Vec<_> = self.pairs.keys().map(|(n, _)| n).collect();
            names.dedup();
            names.into_iter().try_for_each(|n| visit(n))
        }

        fn has_name(&self, name: &str) -> Result<Postings<'_>, Infallible> {
            let sets = self.pairs.iter().filter(|((n, _), _)| n == name);
            Ok(ops::union(
                sets.map(|(_, p)| Postings::Bitmap(std::borrow::Cow::Borrowed(p))).collect(),
            ))
        }

        fn value_id(&self, name: &str, value: &str) -> Result<Option<usize>, Infallible> {
            Ok(self.pairs.keys().position(|(n, v)| n == name && v == value))
        }

        fn for_each_value(
            &self,
            name: &str,
            prefix: &str,
            visit: &mut super::super::VisitValue<'_, usize, Infallible>,
        ) -> Result<(), Infallible> {
            let pairs = self.pairs.keys().enumerate();
            let mut found = pairs.filter(|(_, (n, v))| n == name && v.starts_with(prefix));
            found.try_for_each(|(i, (_, v))| visit(v, i))
        }

        fn postings(&self, id: usize) -> Result<Postings<'_>, Infallible> {
            let list: Vec<u32> = self.pairs.values().nth(id).unwrap().iter().collect();
            Ok(Postings::List(list.into()))
        }
    }

    fn labels() -> impl Strategy<Value = Labels> {
        proptest::collection::btree_map("[abc]", "[abx]{0,3}", 0..4)
            .prop_map(|map| Labels::from_pairs(map).unwrap())
    }

    fn matcher() -> impl Strategy<Value = Matcher> {
        let regex = prop_oneof![
            Just(".*"),
            Just(".+"),
            Just(""),
            Just("a|b"),
            Just("a|"),
            Just("a.*"),
            Just("ab?"),
            Just("(a|b)x"),
            Just("()"),
            Just("(|a)b"),
            Just("(|a)"),
            Just("[^a]"),
            Just("a\\b"),
            Just("x*"),
            Just("a.?|b"),
            Just("[ab]+"),
            Just("aa*"),
            Just("a{0}b"),
        ];
        let op = prop_oneof![Just(MatchOp::Re), Just(MatchOp::Nre)];
        prop_oneof![
            ("[abcd]", "[abx]{0,2}", prop_oneof![Just(MatchOp::Eq), Just(MatchOp::Ne)])
                .prop_map(|(n, v, op)| Matcher::new(op, &n, &v).unwrap()),
            ("[abcd]", regex, op).prop_map(|(n, v, op)| Matcher::new(op, &n, v).unwrap()),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn agrees_with_a_filter_over_all_series(
            series in proptest::collection::vec(labels(), 0..20),
            matchers in proptest::collection::vec(matcher(), 0..4),
        ) {
            let maps = Maps::new(&series);
            let Ok(got) = select(&maps, &matchers);
            let want: RoaringBitmap = (0..).zip(&series)
                .filter(|(_, l)| matchers.iter().all(|m| m.matches(l.get(&m.name))))
                .map(|(i, _)| i).collect();
            prop_assert_eq!(&got, &want);

            let Ok(names) = label_names(&maps, Some(&want));
            let mut wanted: Vec<_> = want.iter()
                .flat_map(|i| series[i as usize].iter().map(|(n, _)| n.to_owned())).collect();
            wanted.sort();
            wanted.dedup();
            prop_assert_eq!(names, wanted);
            let Ok(values) = label_values(&maps, "a", Some(&want));
            let mut wanted: Vec<_> = want.iter().map(|i| series[i as usize].get("a").to_owned())
                .filter(|v| !v.is_empty()).collect();
            wanted.sort();
            wanted.dedup();
            prop_assert_eq!(values, wanted);
        }
    }
}
