//! Random well-typed PromQL over the series of [`crate::awkward`]: every operator, aggregation and
//! function, with the modifiers that change which samples they see.

mod directed;
pub(crate) mod words;

use crate::awkward::{FIRST_MS, LAST_MS, native};
use crate::promql::{Query, When, seconds};
use crate::rng::Rng;

use words::{
    AGGREGATIONS, ARITHMETIC, BUCKETS, COMPARISONS, DATES, ELEMENTWISE, EXPERIMENTAL_RANGES,
    FUTURE, GROUPINGS, LABELS, MATCHERS, METRICS, NUMBERS, RANGES, SORTS, SPANS,
};

/// An aggregation that picks some of its elements, so that the answer depends on the order of equal ones.
#[derive(Debug, Clone)]
pub struct Pick {
    /// The vector that it picks from.
    pub from: String,
    /// Whether it looks at values; otherwise it takes the first ones, whatever they are.
    pub by_value: bool,
}

/// Another way to ask for what a query means, for where 3.5 has one of the two wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Meaning {
    /// The query says it.
    AsWritten,
    /// This expression at the same times.
    Rewritten(String),
    /// This expression at each step alone, as an instant query at that time less the offset.
    Steps {
        /// The expression.
        expr: String,
        /// The time (ms) that all steps look at; none for their own.
        at_ms: Option<i64>,
        /// How far back, ms.
        offset_ms: i64,
    },
}

/// A random query.
#[derive(Debug, Clone)]
pub struct RandomQuery {
    /// The query.
    pub query: Query,
    /// What in it picks elements.
    pub picks: Vec<Pick>,
    /// What it means.
    pub meaning: Meaning,
}

/// Makes queries; the same ones for each seed.
#[derive(Debug)]
pub struct Generator {
    rng: Rng,
    experimental: bool,
    /// Whether most selectors are of native histograms.
    native: bool,
    picks: Vec<Pick>,
    /// How many subqueries the expression is in. Their steps are not those of the query, so nothing is
    /// picked there: whether elements were equal could not be asked.
    subqueries: usize,
}

impl Generator {
    /// A generator; `experimental` adds what stands behind feature flags.
    pub fn new(seed: u64, experimental: bool) -> Self {
        let (rng, native) = (Rng::new(seed), false);
        Self { rng, experimental, native, picks: Vec::new(), subqueries: 0 }
    }

    /// A generator of queries that are mostly about native histograms.
    pub fn of_native_histograms(seed: u64) -> Self {
        Self { native: true, ..Self::new(seed, true) }
    }

    /// The next query: half of them at one time, half over a range.
    pub fn query(&mut self) -> RandomQuery {
        self.picks.clear();
        self.subqueries = 0;
        let instant = self.rng.one_in(2);
        let when = self.when(instant);
        if self.rng.one_in(12) {
            let native = self.native && self.rng.one_in(2);
            return if native { self.directed_native(when) } else { self.directed(when) };
        }
        let expr = self.expr(instant);
        let meaning = match when {
            When::Range(start, end, _) if expr.contains("info(") => {
                let of = |t: i64| format!(" @ {}", seconds(t));
                let expr = expr.replace(" @ start()", &of(start)).replace(" @ end()", &of(end));
                Meaning::Steps { expr, at_ms: None, offset_ms: 0 }
            }
            _ => Meaning::AsWritten,
        };
        RandomQuery { query: Query { expr, when }, picks: self.picks.clone(), meaning }
    }

    fn expr(&mut self, instant: bool) -> String {
        let depth = [1, 2, 2, 3, 3, 4][self.index(6)];
        match self.rng.below(40) {
            0 => self.scalar(depth),
            1 if instant => self.one_of(&["\"text\"", "'\\u00e4\\n'", "`raw\\`"]),
            2 | 3 if instant => self.matrix(1),
            _ => self.vector(depth),
        }
    }

    fn when(&mut self, instant: bool) -> When {
        let start = FIRST_MS - 100_000 + self.ms((LAST_MS - FIRST_MS).unsigned_abs() + 200_000);
        if instant {
            // Whole seconds too: samples then lie on borders of windows.
            return When::At(if self.rng.one_in(2) { start } else { start / 1000 * 1000 });
        }
        let step: i64 = [1, 333, 1_000, 7_000, 15_000, 60_000, 61_003, 300_000][self.index(8)];
        let steps = i64::try_from(self.rng.below(40)).expect("small");
        let rest = self.ms(step.unsigned_abs());
        When::Range(start, start + step * steps + rest, step)
    }

    fn time_ms(&mut self) -> i64 {
        FIRST_MS + self.ms(3_600_000)
    }

    fn offset_ms(&mut self) -> i64 {
        self.ms(1_200_000) - 300_000
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.rng.below(len as u64)).expect("an index")
    }

    fn ms(&mut self, below: u64) -> i64 {
        self.rng.below(below).cast_signed()
    }

    fn one_of(&mut self, all: &[&str]) -> String {
        all[self.index(all.len())].to_owned()
    }

    fn scalar(&mut self, depth: u64) -> String {
        match self.rng.below(if depth == 0 { 6 } else { 12 }) {
            0..=3 => self.one_of(NUMBERS),
            4 => "time()".to_owned(),
            5 => self.one_of(&["pi()", "1m30s", "-1", "0x1F", "1_000"]),
            6 => format!("-({})", self.scalar(depth - 1)),
            7..=8 => {
                let (left, op) = (self.scalar(depth - 1), self.one_of(ARITHMETIC_OF_SCALARS));
                format!("({left} {op} {})", self.scalar(depth - 1))
            }
            9 => {
                let (left, op) = (self.scalar(depth - 1), self.one_of(COMPARISONS));
                format!("({left} {op} bool {})", self.scalar(depth - 1))
            }
            _ => format!("scalar({})", self.vector(depth - 1)),
        }
    }

    fn vector(&mut self, depth: u64) -> String {
        if depth == 0 {
            return self.instant_selector();
        }
        let kind = self.rng.below(100);
        match kind {
            0..=15 if self.native => self.histogram_call(depth - 1),
            0..=7 => self.instant_selector(),
            28..=47 => self.binary(depth - 1),
            48..=67 => self.range_call(depth - 1),
            68..=76 => self.element_call(depth - 1),
            77..=83 => self.histogram_call(depth - 1),
            84..=88 => self.label_call(depth - 1),
            89..=90 => self.absent(depth - 1),
            91..=92 => {
                let (name, of) = (self.one_of(SORTS), self.vector(depth - 1));
                format!("{name}({of})")
            }
            93 => format!("vector({})", self.scalar(depth - 1)),
            94 => {
                let of = match self.rng.below(4) {
                    0 => self.selector() + &self.at(),
                    1 => self.selector() + &self.offset(),
                    _ => self.vector(depth - 1),
                };
                // 3.5 has a selector with both wrong; see `directed`.
                let both = of.contains(" @ ") && of.contains(" offset ");
                let of = if both { self.selector() } else { of };
                format!("timestamp({of})")
            }
            95 => {
                let sign = self.one_of(&["-", "+"]);
                format!("{sign}({})", self.vector(depth - 1))
            }
            96 => format!("({})", self.vector(depth - 1)),
            97 if self.experimental => self.one_of(FUTURE),
            98 if self.experimental && self.subqueries == 0 => self.info(),
            99 if self.experimental => self.sort_by_label(depth - 1),
            _ => self.aggregation(depth - 1),
        }
    }

    /// `name{matchers}` without modifiers.
    fn selector(&mut self) -> String {
        let metric = self.rng.below(30);
        let (name, mut matchers) = match metric {
            0..=2 if self.native => {
                (String::new(), vec!["__name__=~\"nh|nh_float|nh_mixed\"".to_owned()])
            }
            3..=4 if self.native => {
                let odd = [native::SMALL, native::ODD_SUMS, native::ODD_BOUNDS, native::SHIFTS];
                (self.one_of(&odd), Vec::new())
            }
            0 => {
                (String::new(), vec![self.one_of(&["__name__=~\"g|flag\"", "__name__=~\"c_.*\""])])
            }
            1 => (String::new(), vec!["\"utf8.näme/x\"".to_owned()]),
            2 => (String::new(), vec![self.one_of(&["job=\"a\"", "instance=~\".+\",job!=\"a\""])]),
            _ if self.native && self.rng.below(8) > 0 => (self.one_of(native::NAMES), Vec::new()),
            _ => (self.one_of(METRICS), Vec::new()),
        };
        for _ in 0..[0, 0, 0, 0, 0, 1, 1, 2][self.index(8)] {
            matchers.push(self.one_of(MATCHERS));
        }
        match (name.is_empty(), matchers.is_empty()) {
            (false, true) => name,
            _ => format!("{name}{{{}}}", matchers.join(",")),
        }
    }

    fn at(&mut self) -> String {
        let t = FIRST_MS / 1000 + self.ms(3_600);
        match self.rng.below(4) {
            0 => " @ start()".to_owned(),
            1 => " @ end()".to_owned(),
            2 => format!(" @ {t}"),
            _ => format!(" @ {t}.{:03}", self.rng.below(1000)),
        }
    }

    fn offset(&mut self) -> String {
        let sign = self.one_of(&["", "", "-"]);
        format!(" offset {sign}{}", self.one_of(SPANS))
    }

    /// Often neither, sometimes both, in either order.
    fn modifiers(&mut self) -> String {
        match self.rng.below(50) {
            0 => self.at() + &self.offset(),
            1 => self.offset() + &self.at(),
            2..=5 => self.at(),
            6..=12 => self.offset(),
            _ => String::new(),
        }
    }

    fn instant_selector(&mut self) -> String {
        self.selector() + &self.modifiers()
    }

    fn span(&mut self) -> String {
        if self.experimental && self.rng.one_in(40) {
            return self.one_of(&["1m+30s", "2*45s", "5m/2", "3m-10s", "2^6"]);
        }
        self.one_of(SPANS)
    }

    fn matrix(&mut self, depth: u64) -> String {
        if depth == 0 || self.rng.below(4) > 0 {
            let (selector, span) = (self.selector(), self.span());
            return format!("{selector}[{span}]{}", self.modifiers());
        }
        self.subqueries += 1;
        let inner = self.vector(depth - 1);
        self.subqueries -= 1;
        let span = self.one_of(&["1m", "5m", "90s", "3m7s", "10m"]);
        let step = self.one_of(&["", "15s", "30s", "7s", "1m", "13s7ms"]);
        format!("({inner})[{span}:{step}]{}", self.modifiers())
    }

    fn range_call(&mut self, depth: u64) -> String {
        let matrix = self.matrix(depth);
        if self.experimental && self.rng.one_in(8) {
            if self.rng.one_in(3) {
                let factors =
                    self.one_of(&["0.5, 0.1", "0.9, 0.9", "1, 0.5", "0.3, 0", "NaN, 0.5"]);
                return format!("double_exponential_smoothing({matrix}, {factors})");
            }
            let name = self.one_of(EXPERIMENTAL_RANGES);
            if name == "mad_over_time" {
                // Not of NaN; see `directed`.
                let of = self.one_of(&["c_total", "flag", "gap", "h_bucket", "unix"]);
                return format!("{name}({of}[{}]{})", self.span(), self.modifiers());
            }
            return format!("{name}({matrix})");
        }
        match self.rng.below(14) {
            0 => {
                let q = self.quantile(depth);
                format!("quantile_over_time({q}, {matrix})")
            }
            1 => {
                let ahead = self.scalar(depth.min(1));
                format!("predict_linear({matrix}, {ahead})")
            }
            _ => format!("{}({matrix})", self.one_of(RANGES)),
        }
    }

    fn quantile(&mut self, depth: u64) -> String {
        match self.rng.below(6) {
            0 => self.scalar(depth.min(1)),
            _ => self.one_of(&["0", "0.5", "0.9", "0.99", "1", "0.25", "-0.5", "1.5", "NaN"]),
        }
    }

    fn element_call(&mut self, depth: u64) -> String {
        let v = self.vector(depth);
        match self.rng.below(10) {
            0 => format!("round({v}, {})", self.scalar(depth.min(1))),
            1 => {
                let (low, high) = (self.scalar(0), self.scalar(0));
                format!("clamp({v}, {low}, {high})")
            }
            2 => {
                let name = self.one_of(&["clamp_min", "clamp_max"]);
                format!("{name}({v}, {})", self.scalar(depth.min(1)))
            }
            3 => {
                let name = self.one_of(DATES);
                let of = ["", "unix", v.as_str()][self.index(3)];
                format!("{name}({of})")
            }
            _ => format!("{}({v})", self.one_of(ELEMENTWISE)),
        }
    }

    fn histogram_call(&mut self, depth: u64) -> String {
        let of = match self.rng.below(8) {
            0 => self.vector(depth),
            1 => self.one_of(BUCKETS),
            2..=3 => self.selector_of_buckets(),
            4 => {
                let op = self.one_of(&["sum", "avg", "max", "count"]);
                format!("{op} by (le) ({})", self.selector_of_buckets())
            }
            _ => {
                let (f, span) = (self.one_of(&["rate", "increase", "delta"]), self.span());
                format!("{f}({}[{span}])", self.selector_of_buckets())
            }
        };
        match self.rng.below(12) {
            0..=7 => format!("histogram_quantile({}, {of})", self.quantile(depth)),
            8..=9 => {
                // Not in the first bucket, nor of buckets that are broken; see `directed`.
                let low = self.one_of(&["0.1", "0.5", "0.7", "2", "7", "10", "NaN", "Inf"]);
                let of = match self.rng.below(4) {
                    0 => format!("sum by (le) (h_bucket{})", self.modifiers()),
                    1 => format!("rate(h_bucket[{}])", self.span()),
                    2 => format!("sum by (le, job) (increase(h_bucket[{}]))", self.span()),
                    _ => "h_bucket".to_owned() + &self.modifiers(),
                };
                format!("histogram_fraction({low}, {}, {of})", self.scalar(0))
            }
            _ => {
                let kind = self.one_of(&["count", "sum", "avg", "stddev", "stdvar"]);
                format!("histogram_{kind}({of})")
            }
        }
    }

    fn selector_of_buckets(&mut self) -> String {
        if self.native && self.rng.below(8) > 0 {
            return self.selector();
        }
        self.one_of(&[
            "h_bucket",
            "broken_bucket",
            "h_bucket{job=\"a\"}",
            "broken_bucket{kind=\"not monotone\"}",
            "broken_bucket{kind!=\"odd bounds\"}",
            "{__name__=~\".*_bucket\"}",
        ])
    }

    fn label_call(&mut self, depth: u64) -> String {
        let v = self.vector(depth);
        if self.rng.one_in(3) {
            let destination = self.one_of(&["new", "job", "__name__", "label.döts", ""]);
            let separator = self.one_of(&["-", "", "ü"]);
            let sources = self.one_of(&["", ", \"job\"", ", \"job\", \"instance\"", ", \"none\""]);
            return format!("label_join({v}, \"{destination}\", \"{separator}\"{sources})");
        }
        let destination = self.one_of(&["new", "job", "instance", "__name__", "le", "ü"]);
        let replacement = self.one_of(&["$1", "x$1-$2", "${1}y", "", "fixed", "$0", "$$1", "$n"]);
        let source = self.one_of(&["job", "instance", "__name__", "code", "none", "le"]);
        let regex =
            self.one_of(&["(.*)", "(.)(.*)", "a", "", "[0-9]+", "(?P<n>.+)", "(", "(?i)A|B"]);
        format!(
            "label_replace({v}, \"{destination}\", \"{replacement}\", \"{source}\", \"{regex}\")"
        )
    }

    fn absent(&mut self, depth: u64) -> String {
        let selector = match self.rng.below(3) {
            0 => self.selector(),
            1 => self.one_of(&["none{a=\"1\",b!=\"2\",c=\"3\",c=\"4\"}", "none", "gap{job=\"z\"}"]),
            _ => self.vector(depth),
        };
        match self.rng.below(3) {
            0 if !selector.contains(' ') => {
                let span = self.span();
                // Only a selector takes a range; what else is in braces or brackets would not parse.
                let plain = self.selector();
                let of = if selector.contains('(') { plain } else { selector };
                format!("absent_over_time({of}[{span}])")
            }
            _ => format!("absent({selector})"),
        }
    }

    /// `info` of series with both labels that identify a target: 3.5 gives others the labels of the
    /// series before them. Without modifiers, which 3.5 ignores (see `directed`), and
    /// of a range as long as the lookback, as 3.5 looks for what to join within the range.
    fn info(&mut self) -> String {
        let v = self.one_of(&[
            "rate(c_total[5m])",
            "c_total",
            "g{instance!=\"\"}",
            "gap",
            "flag{job=\"a\"}",
        ]);
        let selector =
            self.one_of(&["", ", {version=~\".+\"}", ", {version=\"2\"}", ", {none=\"\"}"]);
        format!("info({v}{selector})")
    }

    fn sort_by_label(&mut self, depth: u64) -> String {
        let name = self.one_of(&["sort_by_label", "sort_by_label_desc"]);
        let labels = self.one_of(&["\"instance\"", "\"job\", \"instance\"", "\"code\"", "\"le\""]);
        format!("{name}({}, {labels})", self.vector(depth))
    }

    fn labels(&mut self) -> String {
        let first = self.one_of(LABELS);
        if self.rng.one_in(2) { format!("{first}, {}", self.one_of(LABELS)) } else { first }
    }

    fn aggregation(&mut self, depth: u64) -> String {
        let v = self.vector(depth);
        let grouping = match self.one_of(GROUPINGS).as_str() {
            "" => String::new(),
            word => format!(
                " {word} ({})",
                if self.rng.one_in(12) { String::new() } else { self.labels() }
            ),
        };
        let parameter = match self.rng.below(18) {
            0..=1 if self.subqueries == 0 => {
                let op = self.one_of(&["topk", "bottomk"]);
                self.picks.push(Pick { from: v.clone(), by_value: true });
                return format!("{op}{grouping} ({}, {v})", self.count());
            }
            2 if self.experimental && self.subqueries == 0 => {
                self.picks.push(Pick { from: v.clone(), by_value: false });
                return format!("limitk{grouping} ({}, {v})", self.count());
            }
            3 if self.experimental => {
                let ratio =
                    self.one_of(&["0.5", "-0.5", "0.1", "1", "0", "-1", "1.5", "-2", "NaN"]);
                return format!("limit_ratio{grouping} ({ratio}, {v})");
            }
            4..=5 => {
                let label = self.one_of(&["value", "job", "version", "label.döts"]);
                return format!("count_values{grouping} (\"{label}\", {v})");
            }
            6..=7 => {
                let q = self.quantile(depth);
                return format!("quantile{grouping} ({q}, {v})");
            }
            _ => self.one_of(AGGREGATIONS),
        };
        match self.rng.below(4) {
            0 => format!("{parameter} ({v}){grouping}"),
            _ => format!("{parameter}{grouping} ({v})"),
        }
    }

    /// The parameter of `topk` and its kin.
    fn count(&mut self) -> String {
        match self.rng.below(12) {
            0 => self.scalar(1),
            _ => self.one_of(&["1", "2", "3", "5", "100", "0", "-1", "2.9"]),
        }
    }

    fn binary(&mut self, depth: u64) -> String {
        let (left, right) = match self.rng.below(10) {
            0..=1 => (self.scalar(depth.min(2)), self.vector(depth)),
            2..=3 => (self.vector(depth), self.scalar(depth.min(2))),
            // Both sides made of one metric: more of their elements match.
            4..=5 => {
                let selector = self.selector();
                let left = selector.clone() + &self.modifiers();
                let right = selector + &self.modifiers();
                return self.matched(&left, &right);
            }
            _ => {
                let (left, right) = (self.vector(depth), self.vector(depth));
                return self.matched(&left, &right);
            }
        };
        let op = self.operator();
        format!("({left}) {op} ({right})")
    }

    fn operator(&mut self) -> String {
        if self.rng.one_in(2) {
            return self.one_of(ARITHMETIC);
        }
        let op = self.one_of(COMPARISONS);
        if self.rng.one_in(3) { format!("{op} bool") } else { op }
    }

    fn matched(&mut self, left: &str, right: &str) -> String {
        let set = self.rng.one_in(4);
        let op = if set { self.one_of(&["and", "or", "unless"]) } else { self.operator() };
        let mut matching = String::new();
        if self.rng.below(5) > 1 {
            let word = self.one_of(&["on", "on", "ignoring"]);
            let labels = match self.rng.below(8) {
                0 => String::new(),
                1..=4 => "job, instance".to_owned(),
                _ => self.labels(),
            };
            matching = format!(" {word} ({labels})");
            if !set && self.rng.below(2) == 0 {
                let side = self.one_of(&["group_left", "group_right"]);
                let copied =
                    self.one_of(&["", "", " ()", " (version)", " (code)", " (kind, none)"]);
                matching += " ";
                matching += &side;
                matching += &copied;
            }
        }
        format!("({left}) {op}{matching} ({right})")
    }
}

/// A duration as it is written.
fn millis(ms: i64) -> String {
    format!("{}{}ms", if ms < 0 { "-" } else { "" }, ms.unsigned_abs())
}

/// Operators between scalars.
const ARITHMETIC_OF_SCALARS: &[&str] = &["+", "-", "*", "/", "%", "^"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_queries_for_a_seed_and_many_different_ones() {
        let queries = |seed| {
            let mut generator = Generator::new(seed, true);
            (0..300).map(|_| generator.query().query.to_string()).collect::<Vec<_>>()
        };
        let first = queries(1);
        assert_eq!(first, queries(1));
        let different: std::collections::BTreeSet<_> = first.iter().collect();
        assert!(different.len() > 290, "{}", different.len());
    }

    #[test]
    fn every_word_is_used() {
        let mut generator = Generator::new(1, true);
        let all: Vec<String> = (0..20_000).map(|_| generator.query().query.expr).collect();
        let all = all.join("\n");
        let lists = [
            AGGREGATIONS,
            ARITHMETIC,
            COMPARISONS,
            DATES,
            ELEMENTWISE,
            EXPERIMENTAL_RANGES,
            RANGES,
            SORTS,
            METRICS,
            MATCHERS,
            FUTURE,
        ];
        for word in lists.into_iter().flatten() {
            assert!(all.contains(word), "{word}");
        }
    }
}
