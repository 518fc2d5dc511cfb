//! The table of functions: names, signatures and what they are gated by. The families that
//! compute them are the submodules.

pub mod dispatch;
pub mod histogram;
pub mod label;
pub mod math;
pub mod notes;
pub mod over_time;
pub mod rate;
pub mod regression;
pub mod sort;
pub mod time;
pub mod window;

use crate::ast::ValueType;
use ValueType::{Matrix, Scalar, String, Vector};

/// A function of the language (contract, appendix C).
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// The name.
    pub name: &'static str,
    /// Types of the declared arguments.
    pub args: &'static [ValueType],
    /// How the argument count may differ from `args`, as Prometheus declares it: 0 exactly as
    /// many; n > 0: the last is optional and up to n - 1 more of its type may follow; -1: the last
    /// is optional and may repeat without limit.
    pub variadic: i32,
    /// The type of the result.
    pub returns: ValueType,
    /// Whether `promql-experimental-functions` must be on.
    pub experimental: bool,
}

const fn f(name: &'static str, args: &'static [ValueType]) -> Function {
    Function { name, args, variadic: 0, returns: Vector, experimental: false }
}

impl Function {
    const fn variadic(self, variadic: i32) -> Self {
        Self { variadic, ..self }
    }

    const fn scalar(self) -> Self {
        Self { returns: Scalar, ..self }
    }

    const fn experimental(self) -> Self {
        Self { experimental: true, ..self }
    }

    /// Fewest arguments.
    pub const fn min_args(&self) -> usize {
        if self.variadic == 0 { self.args.len() } else { self.args.len() - 1 }
    }

    /// Most arguments; `None` where there is no limit.
    pub const fn max_args(&self) -> Option<usize> {
        match self.variadic {
            0 => Some(self.args.len()),
            n if n > 0 => Some(self.args.len() - 1 + n.unsigned_abs() as usize),
            _ => None,
        }
    }

    /// The type of argument `i`; arguments past the declared ones repeat the last.
    pub fn arg(&self, i: usize) -> ValueType {
        self.args[i.min(self.args.len() - 1)]
    }
}

/// The function called `name`.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.binary_search_by(|f| f.name.cmp(name)).ok().map(|i| &FUNCTIONS[i])
}

/// All functions, sorted by name.
pub static FUNCTIONS: &[Function] = &[
    f("abs", &[Vector]),
    f("absent", &[Vector]),
    f("absent_over_time", &[Matrix]),
    f("acos", &[Vector]),
    f("acosh", &[Vector]),
    f("asin", &[Vector]),
    f("asinh", &[Vector]),
    f("atan", &[Vector]),
    f("atanh", &[Vector]),
    f("avg_over_time", &[Matrix]),
    f("ceil", &[Vector]),
    f("changes", &[Matrix]),
    f("clamp", &[Vector, Scalar, Scalar]),
    f("clamp_max", &[Vector, Scalar]),
    f("clamp_min", &[Vector, Scalar]),
    f("cos", &[Vector]),
    f("cosh", &[Vector]),
    f("count_over_time", &[Matrix]),
    f("day_of_month", &[Vector]).variadic(1),
    f("day_of_week", &[Vector]).variadic(1),
    f("day_of_year", &[Vector]).variadic(1),
    f("days_in_month", &[Vector]).variadic(1),
    f("deg", &[Vector]),
    f("delta", &[Matrix]),
    f("deriv", &[Matrix]),
    f("double_exponential_smoothing", &[Matrix, Scalar, Scalar]).experimental(),
    f("end", &[]).scalar().experimental(),
    f("exp", &[Vector]),
    f("first_over_time", &[Matrix]),
    f("floor", &[Vector]),
    f("histogram_avg", &[Vector]),
    f("histogram_count", &[Vector]),
    f("histogram_fraction", &[Scalar, Scalar, Vector]),
    f("histogram_quantile", &[Scalar, Vector]),
    f("histogram_quantiles", &[Vector, String, Scalar, Scalar]).variadic(9).experimental(),
    f("histogram_stddev", &[Vector]),
    f("histogram_stdvar", &[Vector]),
    f("histogram_sum", &[Vector]),
    f("hour", &[Vector]).variadic(1),
    f("idelta", &[Matrix]),
    f("increase", &[Matrix]),
    f("info", &[Vector, Vector]).variadic(1).experimental(),
    f("irate", &[Matrix]),
    f("label_join", &[Vector, String, String, String]).variadic(-1),
    f("label_replace", &[Vector, String, String, String, String]),
    f("last_over_time", &[Matrix]),
    f("ln", &[Vector]),
    f("log10", &[Vector]),
    f("log2", &[Vector]),
    f("mad_over_time", &[Matrix]).experimental(),
    f("max_of", &[Scalar, Scalar]).scalar().experimental(),
    f("max_over_time", &[Matrix]),
    f("min_of", &[Scalar, Scalar]).scalar().experimental(),
    f("min_over_time", &[Matrix]),
    f("minute", &[Vector]).variadic(1),
    f("month", &[Vector]).variadic(1),
    f("pi", &[]).scalar(),
    f("predict_linear", &[Matrix, Scalar]),
    f("present_over_time", &[Matrix]),
    f("quantile_over_time", &[Scalar, Matrix]),
    f("rad", &[Vector]),
    f("range", &[]).scalar().experimental(),
    f("rate", &[Matrix]),
    f("resets", &[Matrix]),
    f("round", &[Vector, Scalar]).variadic(1),
    f("scalar", &[Vector]).scalar(),
    f("sgn", &[Vector]),
    f("sin", &[Vector]),
    f("sinh", &[Vector]),
    f("sort", &[Vector]),
    f("sort_by_label", &[Vector, String]).variadic(-1).experimental(),
    f("sort_by_label_desc", &[Vector, String]).variadic(-1).experimental(),
    f("sort_desc", &[Vector]),
    f("sqrt", &[Vector]),
    f("start", &[]).scalar().experimental(),
    f("start_timestamp", &[Vector]).experimental(),
    f("stddev_over_time", &[Matrix]),
    f("stdvar_over_time", &[Matrix]),
    f("step", &[]).scalar().experimental(),
    f("sum_over_time", &[Matrix]),
    f("tan", &[Vector]),
    f("tanh", &[Vector]),
    f("time", &[]).scalar(),
    f("timestamp", &[Vector]),
    f("ts_of_first_over_time", &[Matrix]).experimental(),
    f("ts_of_last_over_time", &[Matrix]).experimental(),
    f("ts_of_max_over_time", &[Matrix]).experimental(),
    f("ts_of_min_over_time", &[Matrix]).experimental(),
    f("vector", &[Scalar]),
    f("year", &[Vector]).variadic(1),
];

#[cfg(test)]
mod tests;

#[cfg(test)]
mod table_tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_found_by_name() {
        assert!(FUNCTIONS.windows(2).all(|w| w[0].name < w[1].name));
        assert_eq!(find("rate").map(|f| f.name), Some("rate"));
        assert!(find("holt_winters").is_none());
    }

    #[test]
    fn argument_counts_follow_the_declaration() {
        for (name, min, max) in [
            ("abs", 1, Some(1)),
            ("round", 1, Some(2)),
            ("label_join", 3, None),
            ("sort_by_label", 1, None),
            ("histogram_quantiles", 3, Some(12)),
            ("info", 1, Some(2)),
            ("hour", 0, Some(1)),
            ("pi", 0, Some(0)),
        ] {
            let f = find(name).unwrap();
            assert_eq!((f.min_args(), f.max_args()), (min, max), "{name}");
        }
    }
}
