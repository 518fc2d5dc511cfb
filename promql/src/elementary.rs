//! Logarithms, powers and scaling by powers of two with the roundings of Go's `math` package, whose
//! last bits are visible in answers. The methods are those of FreeBSD's msun (fdlibm); other
//! elementary functions are those of the platform.
#![expect(
    clippy::excessive_precision,
    clippy::many_single_char_names,
    reason = "constants and names as the method is published"
)]

/// High and low part of the natural logarithm of 2.
const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
const LN2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);

/// Splits a positive finite number into a fraction in `[0.5, 1)` and a power of two.
fn split(x: f64) -> (f64, i32) {
    let (x, bias) = if x < f64::MIN_POSITIVE { (x * two_to(52), 52) } else { (x, 0) };
    let bits = x.to_bits();
    let exponent = i32::try_from(bits >> 52 & 0x7ff).expect("eleven bits");
    (f64::from_bits(bits & !(0x7ff << 52) | 1022 << 52), exponent - 1022 - bias)
}

/// `2^n` for the exponents of normal numbers.
fn two_to(n: i32) -> f64 {
    debug_assert!((-1022..=1023).contains(&n), "2^{n} is not normal");
    f64::from_bits(u64::try_from(n + 1023).unwrap_or(0) << 52)
}

/// `fraction * 2^exponent`, rounded once.
pub fn ldexp(fraction: f64, exponent: i32) -> f64 {
    let (mut v, mut e) = (fraction, exponent.clamp(-2200, 2200));
    while e > 1023 {
        v *= two_to(1023);
        e -= 1023;
    }
    // Going down in steps that stay normal, so that only the last one rounds.
    while e < -1022 {
        let step = (-1022_i32 + 53).max(e + 969);
        if step >= 0 || v.abs() < two_to(-900) {
            break;
        }
        v *= two_to(step);
        e -= step;
    }
    while e < -1022 {
        v *= two_to(-1022);
        e += 1022;
    }
    v * two_to(e)
}

/// The natural logarithm.
pub fn ln(x: f64) -> f64 {
    const L: [f64; 7] = [
        6.666_666_666_666_735_130e-01,
        3.999_999_999_940_941_908e-01,
        2.857_142_874_366_239_149e-01,
        2.222_219_843_214_978_396e-01,
        1.818_357_216_161_805_012e-01,
        1.531_383_769_920_937_332e-01,
        1.479_819_860_511_658_591e-01,
    ];
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x <= 0.0 {
        return if x == 0.0 { f64::NEG_INFINITY } else { f64::NAN };
    }
    let (mut fraction, mut exponent) = split(x);
    if fraction < std::f64::consts::FRAC_1_SQRT_2 {
        fraction *= 2.0;
        exponent -= 1;
    }
    let (f, k) = (fraction - 1.0, f64::from(exponent));
    let s = f / (2.0 + f);
    let s2 = s * s;
    let s4 = s2 * s2;
    let odd = s2 * (L[0] + s4 * (L[2] + s4 * (L[4] + s4 * L[6])));
    let even = s4 * (L[1] + s4 * (L[3] + s4 * L[5]));
    let r = odd + even;
    let half_square = 0.5 * f * f;
    k * LN2_HIGH - ((half_square - (s * (half_square + r) + k * LN2_LOW)) - f)
}

/// The logarithm to base 2; exact for powers of two.
pub fn log2(x: f64) -> f64 {
    if x.is_nan() || x <= 0.0 || x == f64::INFINITY {
        return ln(x);
    }
    let (fraction, exponent) = split(x);
    #[expect(clippy::float_cmp, reason = "exactly a power of two")]
    if fraction == 0.5 {
        return f64::from(exponent - 1);
    }
    f64::from(exponent) + ln(fraction) * (1.0 / std::f64::consts::LN_2)
}

/// The logarithm to base 10.
pub fn log10(x: f64) -> f64 {
    log2(x) * (std::f64::consts::LN_2 / std::f64::consts::LN_10)
}

/// `e^(high - low) * 2^k` for a small difference.
fn exp_of_parts(high: f64, low: f64, k: i32) -> f64 {
    const P: [f64; 5] = [
        1.666_666_666_666_660_190_37e-01,
        -2.777_777_777_701_559_338_42e-03,
        6.613_756_321_437_934_361_17e-05,
        -1.653_390_220_546_525_153_90e-06,
        4.138_136_797_057_238_460_39e-08,
    ];
    let r = high - low;
    let t = r * r;
    let c = r - t * (P[0] + t * (P[1] + t * (P[2] + t * (P[3] + t * P[4]))));
    let y = 1.0 - ((low - (r * c) / (2.0 - c)) - high);
    ldexp(y, k)
}

/// `2^x`
pub fn exp2(x: f64) -> f64 {
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    // The greatest float below 1024.
    if x > 1024.0_f64.next_down() {
        return f64::INFINITY;
    }
    if x < -1074.0 {
        return 0.0;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    let k = if x > 0.0 { (x + 0.5) as i32 } else { (x - 0.5) as i32 };
    let t = x - f64::from(k);
    exp_of_parts(t * LN2_HIGH, -t * LN2_LOW, k)
}

/// `x^y`: the integer part of the exponent by repeated squaring, the rest by `exp` and `ln`.
pub fn pow(x: f64, y: f64) -> f64 {
    let odd = |y: f64| y.abs() < two_to(53) && y % 2.0 != 0.0;
    #[expect(clippy::float_cmp, reason = "the special cases are exact")]
    if y == 0.0 || x == 1.0 {
        return 1.0;
    } else if y == 1.0 {
        return x;
    } else if x.is_nan() || y.is_nan() {
        return f64::NAN;
    } else if x == 0.0 || x.is_infinite() || y.is_infinite() {
        // IEEE 754 leaves no freedom here.
        return x.powf(y);
    } else if y == 0.5 {
        return x.sqrt();
    } else if y == -0.5 {
        return 1.0 / x.sqrt();
    }
    let (mut whole, mut rest) = (y.abs().trunc(), y.abs().fract());
    if rest != 0.0 && x < 0.0 {
        return f64::NAN;
    }
    if whole >= two_to(63) {
        #[expect(clippy::float_cmp, reason = "minus one alone does not grow or shrink")]
        return match () {
            () if x == -1.0 => 1.0,
            () if (x.abs() < 1.0) == (y > 0.0) => 0.0,
            () => f64::INFINITY,
        };
    }
    let (mut answer, mut exponent) = (1.0, 0_i32);
    if rest != 0.0 {
        if rest > 0.5 {
            rest -= 1.0;
            whole += 1.0;
        }
        answer = (rest * ln(x)).exp();
    }
    let (mut square, mut square_exponent) = split(x.abs());
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 2^63")]
    let mut bits = whole as u64;
    while bits != 0 {
        if !(-4096..=4096).contains(&square_exponent) {
            exponent += square_exponent;
            break;
        }
        if bits & 1 == 1 {
            answer *= square;
            exponent += square_exponent;
        }
        square *= square;
        square_exponent <<= 1;
        if square < 0.5 {
            square += square;
            square_exponent -= 1;
        }
        bits >>= 1;
    }
    if y < 0.0 {
        answer = 1.0 / answer;
        exponent = -exponent;
    }
    let size = ldexp(answer, exponent);
    if x < 0.0 && odd(y) { -size } else { size }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "exact values")]
    use super::*;
    use proptest::prelude::*;

    fn close(a: f64, b: f64) -> bool {
        a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 4e-16 * a.abs().max(b.abs())
    }

    #[test]
    fn special_values() {
        assert_eq!(ln(0.0), f64::NEG_INFINITY);
        assert!(ln(-1.0).is_nan() && log2(f64::NAN).is_nan());
        assert_eq!(log2(f64::INFINITY), f64::INFINITY);
        assert_eq!((exp2(f64::NEG_INFINITY), exp2(2000.0)), (0.0, f64::INFINITY));
        assert_eq!((pow(2.0, -1.0), pow(-2.0, 3.0), pow(-8.0, 2.0)), (0.5, -8.0, 64.0));
        assert!(pow(-8.0, 1.0 / 3.0).is_nan());
        assert_eq!(pow(f64::NAN, 0.0), 1.0);
        assert_eq!((pow(0.0, -1.0), pow(-0.0, -1.0)), (f64::INFINITY, f64::NEG_INFINITY));
        assert_eq!((pow(10.0, 400.0), pow(10.0, -400.0)), (f64::INFINITY, 0.0));
        assert_eq!((pow(-1.0, 1e300), pow(0.5, 1e300), pow(2.0, 1e300)), (1.0, 0.0, f64::INFINITY));
        assert_eq!(pow(2.0, -1074.0), f64::from_bits(1));
        for n in -1074..1024 {
            assert_eq!(exp2(f64::from(n)), f64::from(n).exp2(), "{n}");
            assert_eq!(log2(f64::from(n).exp2()), f64::from(n), "{n}");
        }
    }

    proptest! {
        #[test]
        fn functions_are_within_two_ulps_of_the_platform(x in 1e-300_f64..1e300, y in -700.0_f64..700.0) {
            prop_assert!(close(ln(x), x.ln()));
            prop_assert!(close(exp2(y), y.exp2()));
            prop_assert!(close(log2(x), x.log2()));
        }

        #[test]
        fn powers_are_near_the_platform(x in 0.01_f64..100.0, y in -20.0_f64..20.0) {
            let (a, b) = (pow(x, y), x.powf(y));
            prop_assert!((a - b).abs() <= 1e-14 * b, "{a} {b}");
        }

        /// Scaling twice with exact steps is scaling once.
        #[test]
        fn scaling_rounds_once(bits in any::<u64>(), e in -2100..2100) {
            let v = f64::from_bits(bits);
            prop_assume!(v.is_finite() && v != 0.0);
            // The mantissa as an integer times a power of two, rounded by decimal conversion.
            let got = ldexp(v, e);
            let half = ldexp(got, -e);
            if got.is_normal() {
                prop_assert_eq!(half.to_bits(), v.to_bits());
            } else if got.is_infinite() {
                prop_assert!(v.abs().log2() + f64::from(e) > 1023.0);
            } else {
                prop_assert!(v.abs().log2() + f64::from(e) < -1021.0);
            }
        }
    }
}
