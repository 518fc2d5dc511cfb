//! Queries that Prometheus 3.5 answers in another way than the contract says: one for each row of the
//! table of differences, so that a run meets them all.

use super::words::{FUTURE, NUMBERS, SPANS};
use super::{Generator, Meaning, RandomQuery, millis};
use crate::awkward::native;
use crate::promql::{Query, When, seconds};

impl Generator {
    /// A query of native histograms that 3.5 answers in another way.
    pub(super) fn directed_native(&mut self, when: When) -> RandomQuery {
        let (span, modifiers) = (self.one_of(SPANS), self.modifiers());
        let odd = native::ODD_SUMS;
        let expr = match self.rng.below(20) {
            12 => format!("sqrt(histogram_sum(delta({}[20m]{modifiers})))", native::BOTH),
            13 | 17..=19 => {
                let of = self.one_of(&["nh_zero", "nh_custom", "nh_moves"]);
                format!("histogram_quantile({}, -({of}{modifiers}))", self.quantile(0))
            }
            14 => format!("idelta((avg_over_time(nh_mixed[2m]{modifiers}))[5m:30s])"),
            15 => {
                let of = self.one_of(native::NAMES);
                format!("count_values(\"h\", avg_over_time({of}[5m]{modifiers}))")
            }
            16 => {
                let name = self.one_of(&["rate", "increase", "resets"]);
                format!("{name}({}[{span}]{modifiers})", native::ODD_BOUNDS)
            }
            8 => format!("histogram_count(sum (nh_zero{modifiers}))"),
            9..=11 => format!("changes(nh_zero[20m]{modifiers})"),
            6 | 7 => {
                let (of, factor) = (self.one_of(native::NAMES), self.one_of(&["NaN", "Inf"]));
                format!("{of}{modifiers} * {factor}")
            }
            5 => {
                let of = self.one_of(native::NAMES);
                format!("changes({of}[{span}]{modifiers})")
            }
            0 | 1 => {
                let name = self.one_of(&["rate", "increase"]);
                let of =
                    self.one_of(&[native::SMALL, native::SMALL, "nh_gauge", "nh_custom_float"]);
                format!("{name}({of}[{span}]{modifiers})")
            }
            2 => format!("histogram_quantile({}, {odd}{modifiers})", self.quantile(0)),
            3 => format!("avg_over_time({odd}[{span}]{modifiers})"),
            _ => {
                let op = self.one_of(&["sum", "avg"]);
                format!("{op} by (job) ({}{modifiers})", native::ODD_BOUNDS)
            }
        };
        let meaning = Meaning::AsWritten;
        RandomQuery { query: Query { expr, when }, picks: Vec::new(), meaning }
    }

    /// A query of a shape that 3.5 answers in another way: only at the top, so that all of the answer
    /// can be judged.
    pub(super) fn directed(&mut self, when: When) -> RandomQuery {
        let of = |expr: String, meaning| RandomQuery {
            query: Query { expr, when },
            picks: Vec::new(),
            meaning,
        };
        match self.rng.below(if self.experimental { 10 } else { 4 }) {
            3 => {
                let (op, k) = (self.one_of(&["topk", "bottomk"]), self.one_of(&["NaN", "1e300"]));
                of(format!("{op}({k}, none)"), Meaning::AsWritten)
            }
            0 => {
                let (selector, t, offset) = (self.selector(), self.time_ms(), self.offset_ms());
                let at = format!(" @ {}", seconds(t));
                let back = format!(" offset {}", millis(offset));
                let modifiers = if self.rng.one_in(2) { at + &back } else { back + &at };
                let plain = format!("timestamp({selector} @ {})", seconds(t - offset));
                of(format!("timestamp({selector}{modifiers})"), Meaning::Rewritten(plain))
            }
            1 | 2 => {
                let (low, high) = (self.one_of(NUMBERS), self.one_of(NUMBERS));
                let span = self.one_of(SPANS);
                let selector = self.selector_of_buckets();
                let buckets = match self.rng.below(3) {
                    0 => selector,
                    1 => format!("rate({selector}[{span}])"),
                    _ => format!("increase({selector}[{span}])"),
                };
                of(format!("histogram_fraction({low}, {high}, {buckets})"), Meaning::AsWritten)
            }
            4 => {
                let span = self.one_of(SPANS);
                // 0 % 0 is NaN; gauges are, in some fleets.
                let nans = "(flag % flag)[5m:15s]".to_owned();
                let m = if self.rng.one_in(2) { nans } else { format!("g[{span}]") };
                of(format!("mad_over_time({m})"), Meaning::AsWritten)
            }
            5 => {
                let expr = self.info();
                let at_ms = None;
                let meaning = Meaning::Steps { expr: expr.clone(), at_ms, offset_ms: 0 };
                of(expr, meaning)
            }
            6 => {
                let offset_ms = self.offset_ms();
                let at_ms = self.rng.one_in(2).then(|| self.time_ms());
                let at = at_ms.map_or(String::new(), |t| format!(" @ {}", seconds(t)));
                let back = format!(" offset {}", millis(offset_ms));
                let selector = self.one_of(&["", ", {version=~\".+\"}", ", {version=\"2\"}"]);
                let (head, tail) = match self.rng.below(3) {
                    0 => ("rate(c_total[5m]", ")"),
                    1 => ("g{instance!=\"\"}", ""),
                    _ => ("gap", ""),
                };
                let expr = format!("info({head}{tail}{selector})");
                of(
                    format!("info({head}{at}{back}{tail}{selector})"),
                    Meaning::Steps { expr, at_ms, offset_ms },
                )
            }
            _ => {
                let expr = self.one_of(FUTURE);
                of(expr, Meaning::AsWritten)
            }
        }
    }
}
