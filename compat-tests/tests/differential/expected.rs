//! Where the server differs from the peer on purpose: it follows a newer Prometheus.

use std::collections::{BTreeMap, BTreeSet};

use compat_tests::awkward::FIRST_MS;
use compat_tests::http::Client;
use compat_tests::promql::{Answer, Data, Histogram, Labels, Query, Series, When, close};
use compat_tests::random_promql::{Meaning, RandomQuery};

/// A difference that is meant.
#[derive(Debug)]
pub(crate) struct Expected {
    /// What differs.
    pub(crate) what: &'static str,
    /// The section of the Prometheus contract that says so.
    pub(crate) contract: &'static str,
    /// Whether this difference explains these two answers: ours, then the peer's, who may be asked more.
    pub(crate) explains: fn(&RandomQuery, &Answer, &Answer, &mut Client) -> bool,
}

/// What a sort over a range is warned with.
const INEFFECTIVE: &str = "sort is ineffective for range queries";

/// Whether the query has one of `words`.
fn says(query: &RandomQuery, words: &[&str]) -> bool {
    words.iter().any(|word| query.query.expr.contains(word))
}

/// Whether the only difference is that we warn.
fn only_we_warn(ours: &Answer, theirs: &Answer, text: &str) -> bool {
    let more = |warning: &&String| !theirs.warnings.contains(warning);
    let told = Answer { warnings: ours.warnings.clone(), ..theirs.clone() };
    ours.same_as(&told).is_ok()
        && ours.warnings.len() > theirs.warnings.len()
        && ours.warnings.iter().filter(more).all(|warning| warning.contains(text))
}

/// Whether the expression is a call of `name` and nothing else.
fn is_call(query: &RandomQuery, name: &str) -> bool {
    query.query.expr.strip_prefix(name).is_some_and(super::encloses)
}

/// Whether both have the same series with the same times, and each pair of values is `alike`.
fn differ_only(
    ours: &Answer,
    theirs: &Answer,
    mut alike: impl FnMut(&Labels, i64, f64, f64) -> bool,
) -> bool {
    let find = |labels: &Labels| theirs.series().iter().find(|s| s.labels == *labels);
    let mut same = |series: &Series| {
        find(&series.labels).is_some_and(|other| {
            let mut pairs = series.floats.iter().zip(&other.floats);
            series.floats.len() == other.floats.len()
                && pairs.all(|(a, b)| a.0 == b.0 && alike(&series.labels, a.0, a.1, b.1))
        })
    };
    (ours.status, theirs.status) == (200, 200)
        && ours.series().len() == theirs.series().len()
        && ours.series().iter().all(&mut same)
}

/// What `meaning` is, as the peer answers it.
fn meant(query: &RandomQuery, theirs: &Answer, peer: &mut Client) -> Option<Answer> {
    match &query.meaning {
        Meaning::AsWritten => None,
        Meaning::Rewritten(expr) => {
            Some(Query { expr: expr.clone(), when: query.query.when }.run(peer))
        }
        Meaning::Steps { expr, at_ms, offset_ms } => {
            let mut steps = match query.query.when {
                When::At(t) => vec![t],
                When::Range(..) => Vec::new(),
            };
            if let When::Range(start, end, step) = query.query.when {
                steps.extend((0..).map(|i| start + i * step).take_while(|t| *t <= end));
            }
            let mut all = Answer { warnings: vec![], infos: vec![], ..theirs.clone() };
            let mut series: Vec<Series> = Vec::new();
            for t in steps {
                let mut answer = Query::at(expr, at_ms.unwrap_or(t) - offset_ms).run(peer);
                if answer.status != 200 {
                    return None;
                }
                if let Data::Scalar(t, v) = answer.data {
                    let (labels, histograms) = (Labels::new(), vec![]);
                    let floats = vec![(t, v)];
                    answer.data = Data::Vector(vec![Series { labels, floats, histograms }]);
                }
                for one in answer.series() {
                    let at = series.iter().position(|s| s.labels == one.labels);
                    let at = at.unwrap_or_else(|| {
                        let empty = Series { floats: vec![], histograms: vec![], ..one.clone() };
                        series.push(empty);
                        series.len() - 1
                    });
                    series[at].floats.extend(one.floats.iter().map(|f| (t, f.1)));
                    let histograms = one.histograms.iter().map(|h| (t, h.1.clone()));
                    series[at].histograms.extend(histograms);
                }
                all.warnings.extend(answer.warnings);
                all.infos.extend(answer.infos);
            }
            all.data = match query.query.when {
                When::At(_) => Data::Vector(series),
                When::Range(..) => Data::Matrix(series),
            };
            Some(all)
        }
    }
}

/// Whether the peer gives our answer when it is asked in the other way.
fn is_meant(query: &RandomQuery, ours: &Answer, theirs: &Answer, peer: &mut Client) -> bool {
    meant(query, theirs, peer).is_some_and(|mut want| {
        // Another row.
        if ours.warnings.iter().all(|warning| warning.contains(INEFFECTIVE)) {
            want.warnings.clone_from(&ours.warnings);
        }
        ours.same_as(&want).is_ok()
    })
}

/// The lower end and the buckets of `histogram_fraction(low, high, buckets)`.
fn fraction(expr: &str) -> Option<(f64, &str)> {
    let (low, rest) = expr.strip_prefix("histogram_fraction(")?.split_once(", ")?;
    let (_, of) = rest.strip_suffix(')')?.split_once(", ")?;
    Some((low.replace("Inf", "inf").parse().ok()?, of))
}

/// The bounds that the histogram `labels` has at `t`, in the order of their texts.
fn bounds(buckets: &Answer, labels: &Labels, t: i64) -> Vec<f64> {
    let mut texts: Vec<&str> = Vec::new();
    for series in buckets.series().iter().filter(|s| s.floats.iter().any(|f| f.0 == t)) {
        let of = |(name, _): &(&String, &String)| !["le", "__name__"].contains(&name.as_str());
        if series.labels.iter().filter(of).eq(labels.iter().filter(of)) {
            texts.extend(series.labels.get("le").map(String::as_str));
        }
    }
    texts.sort_unstable();
    let bound = |text: &&str| text.to_lowercase().parse().ok();
    texts.iter().filter_map(bound).collect()
}

/// Whether 3.5 has no answer for a fraction from `low` of a histogram with these bounds: it has one
/// bucket, `low` is in the first one, or the bounds are sorted as texts only.
fn is_odd(bounds: &[f64], low: f64) -> bool {
    // A bucket up to `-Inf` holds nothing.
    let finite = |all: &[f64]| all.iter().copied().filter(|b| b.is_finite()).collect::<Vec<_>>();
    let first = finite(bounds).into_iter().fold(f64::INFINITY, f64::min);
    let mut sorted = bounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    // `+Inf` comes first as a text, and is last as a number.
    bounds.len() <= 1 || low <= first || finite(bounds) != finite(&sorted)
}

/// All of them. Over a long run each must be seen.
pub(crate) const EXPECTED: &[Expected] = &[
    Expected {
        what: "functions and modifiers that 3.5 does not parse",
        contract: "3.1",
        explains: |query, ours, theirs, _| {
            let future = [
                "start())",
                "end() -",
                "max_of",
                "histogram_quantiles",
                "fill (",
                "first_over_time",
            ];
            theirs.error_type == "bad_data" && ours.error_type != "bad_data" && says(query, &future)
        },
    },
    Expected {
        what: "a sort in a range query or subquery is warned about",
        contract: "3.11, 3.14",
        explains: |query, ours, theirs, _| {
            (matches!(query.query.when, When::Range(..)) || says(query, &[":"]))
                && says(query, &["sort(", "sort_desc(", "sort_by_label"])
                && only_we_warn(ours, theirs, INEFFECTIVE)
        },
    },
    Expected {
        what: "the parameters of ranks and ratios are checked where there is nothing to rank",
        contract: "3.8",
        explains: |query, ours, theirs, _| {
            let texts = ["Ratio value is NaN", "Parameter value is NaN", "overflows", "underflows"];
            theirs.status == 200
                && ours.error_type == "execution"
                && texts.iter().any(|text| ours.error.contains(text))
                && says(query, &["topk", "bottomk", "limitk", "limit_ratio"])
        },
    },
    Expected {
        what: "mad_over_time is NaN where any value is; 3.5 sorts NaN lowest",
        contract: "3.11",
        explains: |query, ours, theirs, peer| {
            // The sum is NaN where any value is, and there is no infinity of each sign.
            let expr = query.query.expr.replace("mad_over_time(", "sum_over_time(");
            let sums = Query { expr, when: query.query.when }.run(peer);
            is_call(query, "mad_over_time")
                && differ_only(ours, theirs, |labels, t, a, b| {
                    close(a, b) || (a.is_nan() && has_nan(&sums, labels, t))
                })
        },
    },
    Expected {
        what: "histogram_fraction of unsorted buckets, in the first bucket, and of +Inf alone",
        contract: "3.11",
        explains: |query, ours, theirs, peer| {
            let Some((low, of)) = fraction(&query.query.expr) else { return false };
            let buckets = Query { expr: of.to_owned(), when: query.query.when }.run(peer);
            is_call(query, "histogram_fraction")
                && differ_only(ours, theirs, |labels, t, a, b| {
                    close(a, b) || (b.is_nan() && is_odd(&bounds(&buckets, labels, t), low))
                })
        },
    },
    Expected {
        what: "timestamp of a selector with @ and an offset; 3.5 forgets the offset",
        contract: "3.11",
        explains: |query, ours, theirs, peer| {
            is_call(query, "timestamp") && is_meant(query, ours, theirs, peer)
        },
    },
    Expected {
        what: "info looks at the time that its argument looks at; 3.5 at that of the step",
        contract: "3.11",
        explains: |query, ours, theirs, peer| {
            is_call(query, "info")
                && says(query, &[" @ ", " offset "])
                && is_meant(query, ours, theirs, peer)
        },
    },
    Expected {
        what: "info over a range is info at each step; 3.5 keeps labels of series that are gone",
        contract: "3.6, 3.11",
        explains: |query, ours, theirs, peer| {
            says(query, &["info("])
                && matches!(query.query.when, When::Range(..))
                && is_meant(query, ours, theirs, peer)
        },
    },
    Expected {
        what: "what a comparison filters out has been matched: two of them are an error",
        contract: "3.9",
        explains: |query, ours, theirs, _| {
            let filters = [") == ", ") != ", ") < ", ") <= ", ") > ", ") >= ", " < on "];
            theirs.status == 200
                && says(query, &filters)
                && ours.error_type == "execution"
                && ours.error.starts_with("multiple matches for labels: ")
        },
    },
    Expected {
        what: "label_replace, label_join and unary minus merge series that take turns",
        contract: "3.10",
        explains: |query, ours, theirs, _| {
            ours.status == 200
                && theirs.error == "vector cannot contain metrics with the same labelset"
                && says(query, &["label_replace", "label_join", "-("])
        },
    },
];

/// What is seen now and then.
pub(crate) const RARE: &[Expected] = &[
    Expected {
        what: "a difference of histograms, or one negated, is a gauge; 3.5 does not say so",
        contract: "3.13",
        explains: |query, ours, theirs, _| {
            let texts = |of: &Answer| of.warnings.iter().cloned().collect::<BTreeSet<String>>();
            let of_kind = |text: &String| text.contains("this native histogram metric is not a ");
            let told = Answer { warnings: ours.warnings.clone(), ..theirs.clone() };
            says(query, &[") - ", "-("])
                && ours.same_as(&told).is_ok()
                && texts(ours).symmetric_difference(&texts(theirs)).all(of_kind)
        },
    },
    Expected {
        what: "histograms that are equal but for empty buckets are equal; 3.5 stored these",
        contract: "3.9, 3.13",
        explains: |query, ours, theirs, _| {
            let equal = says(query, &[") == "]) && extends(ours, theirs);
            let unequal = says(query, &[") != "]) && extends(theirs, ours);
            let told = differ_only(ours, theirs, |_, _, a, b| close(a, b) || close(a + b, 1.0));
            says(query, &["nh"])
                && (ours.status, theirs.status) == (200, 200)
                && (equal || unequal || (says(query, &["== bool", "!= bool"]) && told))
        },
    },
    Expected {
        what: "3.5 falls over its own feet: an index out of range, a zero bucket of custom buckets",
        contract: "3.13",
        explains: |_, ours, theirs, _| {
            let errors = ["unexpected error: runtime error", "have no zero bucket"];
            ours.status == 200 && errors.iter().any(|text| theirs.error.contains(text))
        },
    },
    Expected {
        what: "a subquery ends with the last step of the query around it; 3.5 goes on to its end",
        contract: "3.6",
        explains: |query, ours, theirs, _| {
            let of_parameter = |text: &String| {
                ["quantile value", "ratio value"].iter().any(|start| text.contains(start))
            };
            let texts = |of: &Answer| {
                of.warnings.iter().chain(&of.infos).cloned().collect::<BTreeSet<String>>()
            };
            let (said, want) = (texts(ours), texts(theirs));
            // Between the last step and the end there may be what is told of, too.
            let (warnings, infos) = (ours.warnings.clone(), ours.infos.clone());
            let told = Answer { warnings, infos, ..theirs.clone() };
            let goes_on = |start: i64, end: i64, step: i64| (end - start) % step != 0;
            matches!(query.query.when, When::Range(start, end, step)
                if said.symmetric_difference(&want).all(of_parameter)
                    || said.is_subset(&want) && goes_on(start, end, step))
                && says(query, &[":"])
                && ours.same_as(&told).is_ok()
        },
    },
    Expected {
        what: "of matchers for one label 3.5 sorts those first that a missing label does not pass, \
               but not where it has no data at that time",
        contract: "3.11",
        explains: |query, ours, theirs, _| {
            let empty = |series: &[Series]| {
                let mut values = series.iter().flat_map(|s| &s.floats).map(|f| f.1);
                series.len() == 1 && values.all(|v| close(v, 1.0))
            };
            let outside = match query.query.when {
                When::At(t) | When::Range(_, t, _) => t < FIRST_MS,
            };
            (is_call(query, "absent_over_time") || is_call(query, "absent"))
                && outside
                && empty(ours.series())
                && empty(theirs.series())
        },
    },
];

/// Those of native histograms alone.
pub(crate) const EXPECTED_OF_HISTOGRAMS: &[Expected] = &[
    Expected {
        what: "an aggregation of histograms whose resets conflict is warned about",
        contract: "3.13, 3.14",
        explains: |query, ours, theirs, _| {
            // Nor are resets read where only counts and sums are.
            says(query, &["histogram_count", "histogram_sum", "histogram_avg"])
                && only_we_warn(ours, theirs, "conflicting counter resets during histogram")
        },
    },
    Expected {
        what: "equal histograms are no change; 3.5 sees the empty buckets that it stored",
        contract: "3.11, 3.13",
        explains: |query, ours, theirs, _| {
            is_call(query, "changes")
                && says(query, &["nh"])
                && differ_only(ours, theirs, |_, _, a, b| close(a, b) || (a < b && b <= a + 10.0))
        },
    },
    Expected {
        what: "a product has the buckets of the histogram; 3.5 shows empty ones times NaN or infinity",
        contract: "3.13",
        explains: |query, ours, theirs, _| {
            says(query, &["*", "/"])
                && histograms_differ_only(ours, theirs, |a, b| {
                    let shown = b.buckets.iter().filter(|bucket| !bucket[3].is_nan());
                    let all_nan = a.buckets.iter().all(|bucket| bucket[3].is_nan());
                    let mut theirs = b.buckets.iter();
                    let subset = a.buckets.iter().all(|x| theirs.any(|y| x[..3] == y[..3]));
                    (0..2).all(|i| close(a.totals[i], b.totals[i]))
                        && subset
                        && (all_nan || shown.eq(&a.buckets))
                })
        },
    },
    Expected {
        what: "the rate of a histogram reaches back to a count of 0 only, as that of a float does",
        contract: "3.11",
        explains: |query, ours, theirs, _| {
            let call = is_call(query, "rate") || is_call(query, "increase");
            call && says(query, &["nh"]) && is_scaled_down(ours, theirs)
        },
    },
    Expected {
        what: "quantiles of a histogram whose sum is NaN are found from below",
        contract: "3.11",
        explains: |query, ours, theirs, peer| {
            let of = query.query.expr.split_once(", ").and_then(|(_, of)| of.strip_suffix(')'));
            let Some(of) = of.filter(|_| is_call(query, "histogram_quantile")) else {
                return false;
            };
            let expr = format!("histogram_sum({of})");
            let sums = Query { expr, when: query.query.when }.run(peer);
            says(query, &["nh_odd_sums"])
                && differ_only(ours, theirs, |labels, t, a, b| {
                    close(a, b) || has_nan(&sums, labels, t)
                })
        },
    },
    Expected {
        what: "the mean of infinite sums is infinite; 3.5 makes it NaN",
        contract: "3.7, 3.8",
        explains: |query, ours, theirs, _| {
            let mean = |a: f64, b: f64| is_rounding(a, b) || (a.is_infinite() && b.is_nan());
            query.query.expr.starts_with("avg")
                && histograms_differ_only(ours, theirs, |a, b| {
                    (0..2).all(|i| mean(a.totals[i], b.totals[i]))
                        && buckets_differ_only(a, b, mean)
                })
        },
    },
    Expected {
        what: "where only counts are looked at buckets are of two kinds all the same; 3.5 does not see it",
        contract: "3.11, 3.13",
        explains: |query, ours, theirs, _| {
            let calls = ["histogram_count", "histogram_sum", "histogram_avg"];
            let mixed = |text: &String| text.contains("with exponential and custom buckets");
            // It does where nothing is around the call.
            says(query, &calls)
                && !calls.iter().any(|name| is_call(query, name))
                && (ours.status, theirs.status) == (200, 200)
                && ours.warnings.iter().any(mixed)
        },
    },
    Expected {
        what: "a quantile of negative counts is in the last bucket, which 3.5 may have stored empty",
        contract: "3.11",
        explains: |query, ours, theirs, peer| {
            let of = query.query.expr.split_once(", ").and_then(|(_, of)| of.strip_suffix(')'));
            let Some(of) = of.filter(|_| is_call(query, "histogram_quantile")) else {
                return false;
            };
            let shown = Query { expr: of.to_owned(), when: query.query.when }.run(peer);
            says(query, &["-("])
                && differ_only(ours, theirs, |labels, t, a, b| {
                    close(a, b) || is_outer_bound(&shown, labels, t, a)
                })
        },
    },
    Expected {
        what: "sums and means of histograms are compensated, which shows where they cancel",
        contract: "3.7, 3.8",
        explains: |query, ours, theirs, _| {
            says(query, &["sum", "avg", "histogram_quantile"])
                && differ_only(ours, theirs, |_, _, a, b| is_rounding(a, b))
                && histograms_differ_only(ours, theirs, |a, b| {
                    (0..2).all(|i| is_rounding(a.totals[i], b.totals[i]))
                        && buckets_differ_only(a, b, is_rounding)
                })
        },
    },
    Expected {
        what: "the same in the last digits of a histogram as a text",
        contract: "3.7, 3.8",
        explains: |query, ours, theirs, _| {
            says(query, &["count_values"]) && has_same_numbers(ours, theirs)
        },
    },
    Expected {
        what: "custom bounds that change are no reset; in 3.5 they are",
        contract: "3.13",
        explains: |query, ours, theirs, _| {
            let fewer = || differ_only(ours, theirs, |_, _, a, b| close(a, b) || a < b);
            let told = || ours.infos.iter().any(|text| text.contains("mismatched custom buckets"));
            says(query, &["nh_odd_bounds"])
                && (ours.status, theirs.status) == (200, 200)
                && match query.query.expr.split('(').next() {
                    Some("resets") => is_call(query, "resets") && fewer(),
                    Some(name @ ("rate" | "increase" | "irate")) => is_call(query, name) && told(),
                    _ => false,
                }
        },
    },
    Expected {
        what: "custom buckets with different bounds add up; 3.5 drops them",
        contract: "3.13",
        explains: |query, ours, theirs, _| {
            says(query, &["nh_odd_bounds"])
                && (theirs.warnings.iter().any(|text| text.contains("incompatible custom buckets"))
                    || ours.infos.iter().any(|text| text.contains("mismatched custom buckets")))
                && extends(ours, theirs)
        },
    },
];

/// Whether the series of `answer` with `labels` is NaN at `t`.
fn has_nan(answer: &Answer, labels: &Labels, t: i64) -> bool {
    let series = answer.series().iter().find(|s| s.labels == *labels);
    series.is_some_and(|s| s.floats.iter().any(|f| f.0 == t && f.1.is_nan()))
}

/// Whether both have the same histograms but for pairs that are `alike`.
fn histograms_differ_only(
    ours: &Answer,
    theirs: &Answer,
    alike: impl Fn(&Histogram, &Histogram) -> bool,
) -> bool {
    let same = |series: &Series| {
        let other = theirs.series().iter().find(|s| s.labels == series.labels);
        other.is_some_and(|other| {
            let mut pairs = series.histograms.iter().zip(&other.histograms);
            series.floats.len() == other.floats.len()
                && series.histograms.len() == other.histograms.len()
                && pairs.all(|(a, b)| a.0 == b.0 && alike(&a.1, &b.1))
        })
    };
    (ours.status, theirs.status) == (200, 200)
        && ours.series().len() == theirs.series().len()
        && ours.series().iter().all(same)
}

/// Whether `a` has the buckets of `b` with their counts times `factor`.
fn same_buckets(a: &Histogram, b: &Histogram, factor: f64) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
    let same = |(a, b): (&[f64; 4], &[f64; 4])| a[..3] == b[..3] && near(a[3], b[3] * factor);
    a.buckets.len() == b.buckets.len() && a.buckets.iter().zip(&b.buckets).all(same)
}

/// Whether two numbers are the same but for the rounding of the sums that they are the differences of:
/// the largest sums of the fleet are near 2^26.
fn is_rounding(a: f64, b: f64) -> bool {
    close(a, b) || (a - b).abs() < 1e-7
}

/// Whether the buckets of `a` and `b` are the same but for pairs of counts that are `alike`; one that
/// is not there has 0.
fn buckets_differ_only(a: &Histogram, b: &Histogram, alike: impl Fn(f64, f64) -> bool) -> bool {
    let count = |of: &Histogram, like: &[f64; 4]| {
        let found = of.buckets.iter().find(|bucket| bucket[..3] == like[..3]);
        found.map_or(0.0, |bucket| bucket[3])
    };
    a.buckets.iter().chain(&b.buckets).all(|bucket| alike(count(a, bucket), count(b, bucket)))
}

/// Whether `ours` has all that `theirs` has.
fn extends(ours: &Answer, theirs: &Answer) -> bool {
    let has_all = |series: &Series| {
        let our = ours.series().iter().find(|s| s.labels == series.labels);
        let Some(our) = our else { return false };
        let same = |a: &Histogram, b: &Histogram| {
            let equal = (0..2).all(|i| close(a.totals[i], b.totals[i]));
            (equal && buckets_differ_only(a, b, close)) || is_scaled(a, b)
        };
        series.floats.iter().all(|f| our.floats.iter().any(|o| o.0 == f.0 && close(o.1, f.1)))
            && series
                .histograms
                .iter()
                .all(|(t, h)| our.histograms.iter().any(|(time, our)| time == t && same(our, h)))
    };
    (ours.status, theirs.status) == (200, 200) && theirs.series().iter().all(has_all)
}

/// Whether two answers of `count_values` count the same but for the last digits of what they count,
/// which can make two values of one.
fn has_same_numbers(ours: &Answer, theirs: &Answer) -> bool {
    let words = |series: &Series| -> Vec<String> {
        let text = format!("{:?}", series.labels);
        let in_number = |c: char| c.is_ascii_alphanumeric() || ['.', '+', '-'].contains(&c);
        text.split(|c| !in_number(c)).map(str::to_owned).collect()
    };
    let alike = |a: &str, b: &str| {
        a == b || a.parse().is_ok_and(|a: f64| b.parse().is_ok_and(|b| close(a, b)))
    };
    let same = |a: &Series, b: &Series| {
        let (a, b) = (words(a), words(b));
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| alike(a, b))
    };
    let known = |of: &Answer, to: &Answer| {
        of.series().iter().all(|a| to.series().iter().any(|b| same(a, b)))
    };
    let counts = |of: &Answer| {
        let mut counts: BTreeMap<i64, f64> = BTreeMap::new();
        for (t, n) in of.series().iter().flat_map(|series| &series.floats) {
            *counts.entry(*t).or_default() += n;
        }
        counts
    };
    (ours.status, theirs.status) == (200, 200)
        && known(ours, theirs)
        && known(theirs, ours)
        && counts(ours) == counts(theirs)
}

/// Whether each histogram of ours is that of the peer times a factor of at most 1.
fn is_scaled_down(ours: &Answer, theirs: &Answer) -> bool {
    histograms_differ_only(ours, theirs, is_scaled)
}

/// Whether `a` is `b` times a factor of at most 1.
fn is_scaled(a: &Histogram, b: &Histogram) -> bool {
    let factor = a.totals[0] / b.totals[0];
    let sum = b.totals[1] * factor;
    let same_sum = close(a.totals[1], sum) || (a.totals[1] - sum).abs() <= 1e-9 * sum.abs();
    close(a.totals[0], b.totals[0])
        || (factor > 0.1 && factor < 1.0 && same_sum && same_buckets(a, b, factor))
}

/// Whether `value` is a bound of the first or the last bucket that is not empty.
fn is_outer_bound(shown: &Answer, labels: &Labels, t: i64, value: f64) -> bool {
    let series =
        shown.series().iter().filter(|s| s.labels.iter().filter(|l| l.0 != "__name__").eq(labels));
    let mut histograms = series.flat_map(|s| &s.histograms).filter(|h| h.0 == t);
    histograms.any(|(_, h)| {
        let outer = h.buckets.first().into_iter().chain(h.buckets.last());
        outer.flat_map(|bucket| &bucket[1..3]).any(|bound| close(*bound, value))
    })
}
