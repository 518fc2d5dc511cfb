//! The functions of one number (contract 3.11).

use std::f64::consts::PI;

/// `round(v, nearest)`: ties go up. `nearest` is inverted first, as Prometheus does.
pub fn round(v: f64, nearest: f64) -> f64 {
    let inverse = 1.0 / nearest;
    (v * inverse + 0.5).floor() / inverse
}

/// `clamp(v, low, high)`; the caller answers nothing at all where `high < low`.
pub fn clamp(v: f64, low: f64, high: f64) -> f64 {
    max_of(low, min_of(high, v))
}

/// Go's `math.Max`: an infinity wins over NaN, NaN over a number, 0 over -0.
pub fn max_of(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        f64::INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { b } else { a }
    } else if a > b {
        a
    } else {
        b
    }
}

/// Go's `math.Min`: a negative infinity wins over NaN, NaN over a number, -0 over 0.
pub fn min_of(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if a.is_nan() || b.is_nan() {
        f64::NAN
    } else if a == 0.0 && b == 0.0 {
        if a.is_sign_negative() { a } else { b }
    } else if a < b {
        a
    } else {
        b
    }
}

/// `sgn(v)`: a zero keeps its sign, NaN stays.
pub fn sgn(v: f64) -> f64 {
    if v < 0.0 {
        -1.0
    } else if v > 0.0 {
        1.0
    } else {
        v
    }
}

/// `rad(v)`
pub fn rad(v: f64) -> f64 {
    v * PI / 180.0
}

/// `deg(v)`
pub fn deg(v: f64) -> f64 {
    v * 180.0 / PI
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "exact values")]
    use super::*;

    #[test]
    fn rounding_sends_ties_up() {
        for (v, nearest, want) in [
            (2.5, 1.0, 3.0),
            (-2.5, 1.0, -2.0),
            (123.456, 0.1, 123.5),
            (2.3, 5.0, 0.0),
            (7.5, 5.0, 10.0),
        ] {
            assert_eq!(round(v, nearest), want, "{v} {nearest}");
        }
        assert!(round(f64::NAN, 1.0).is_nan());
    }

    #[test]
    fn extremes_follow_go() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        assert_eq!(max_of(inf, nan), inf);
        assert_eq!(min_of(-inf, nan), -inf);
        assert!(max_of(1.0, nan).is_nan() && min_of(nan, 1.0).is_nan());
        assert!(max_of(-0.0, 0.0).is_sign_positive() && max_of(0.0, -0.0).is_sign_positive());
        assert!(min_of(-0.0, 0.0).is_sign_negative() && min_of(0.0, -0.0).is_sign_negative());
        assert!(clamp(nan, 1.0, 2.0).is_nan());
        assert_eq!([0.0, 1.5, 9.0].map(|v| clamp(v, 1.0, 2.0)), [1.0, 1.5, 2.0]);
        assert_eq!(sgn(-3.0), -1.0);
        assert!(sgn(-0.0).is_sign_negative() && sgn(nan).is_nan());
    }
}
