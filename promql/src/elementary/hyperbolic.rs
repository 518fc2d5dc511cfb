//! The exponential function, hyperbolic functions and their inverses. The exponential is that of
//! Go on 64-bit x86 (N. Shibata's method, with fused multiplication); the others are those of the
//! Cephes library and of FreeBSD's msun.

use super::{LN2_HIGH, LN2_LOW, ldexp, ln};

/// `e^x`
pub fn exp(x: f64) -> f64 {
    const LN2_UPPER: f64 = 0.693_147_180_559_662_956_511_601_805_686_950_683_593_75;
    const LN2_LOWER: f64 = 0.282_352_905_630_315_771_225_884_481_750_134_360_255_254_120_68e-12;
    // 1/k! from k = 8 down to 1.
    const INVERSE_FACTORIALS: [f64; 8] = [
        2.480_158_730_158_730_158_7e-5,
        1.984_126_984_126_984_127_0e-4,
        1.388_888_888_888_888_888_9e-3,
        8.333_333_333_333_333_333_3e-3,
        4.166_666_666_666_666_666_7e-2,
        1.666_666_666_666_666_666_7e-1,
        0.5,
        1.0,
    ];
    if x.is_nan() || x == f64::INFINITY || x > 7.097_827_128_933_84e2 {
        return if x.is_nan() { x } else { f64::INFINITY };
    }
    if x < -745.133_219_101_941_22 {
        return 0.0;
    }
    let k = (x * std::f64::consts::LOG2_E).round_ties_even();
    let rest = (-k).mul_add(LN2_LOWER, (-k).mul_add(LN2_UPPER, x)) * 0.0625;
    let mut sum = INVERSE_FACTORIALS[0];
    for c in &INVERSE_FACTORIALS[1..] {
        sum = sum.mul_add(rest, *c);
    }
    // e^r - 1 of a sixteenth, squared four times.
    let mut v = rest * sum;
    for _ in 0..3 {
        v *= v + 2.0;
    }
    let fraction = v.mul_add(v + 2.0, 1.0);
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    ldexp(fraction, k as i32)
}

/// `ln(1 + x)`
fn ln_1p(x: f64) -> f64 {
    const L: [f64; 7] = [
        6.666_666_666_666_735_130e-01,
        3.999_999_999_940_941_908e-01,
        2.857_142_874_366_239_149e-01,
        2.222_219_843_214_978_396e-01,
        1.818_357_216_161_805_012e-01,
        1.531_383_769_920_937_332e-01,
        1.479_819_860_511_658_591e-01,
    ];
    const MANTISSA: u64 = (1 << 52) - 1;
    const SQRT_2_MANTISSA: u64 = 0x0006_a09e_667f_3bcd;
    if x.is_nan() || x <= -1.0 || x == f64::INFINITY {
        return if x < -1.0 || x.is_nan() { f64::NAN } else { f64::INFINITY.copysign(x) };
    }
    let size = x.abs();
    if size < 2.0_f64.powi(-29) {
        return if size < 2.0_f64.powi(-54) { x } else { x - x * x * 0.5 };
    }
    // f: the fraction less one; k: the power of two; c: what rounding lost.
    let (mut f, mut k, mut c, mut exact_one) = (x, 0_i32, 0.0, false);
    if !(size < std::f64::consts::SQRT_2 - 1.0 && x > -0.292_893_218_813_452_475_599_2) {
        let u = if size < 2.0_f64.powi(53) { 1.0 + x } else { x };
        k = i32::try_from(u.to_bits() >> 52).expect("eleven bits of a positive number") - 1023;
        if size < 2.0_f64.powi(53) {
            c = if k > 0 { 1.0 - (u - x) } else { x - (u - 1.0) } / u;
        }
        let mantissa = u.to_bits() & MANTISSA;
        let fraction = if mantissa < SQRT_2_MANTISSA {
            exact_one = mantissa == 0;
            f64::from_bits(mantissa | 0x3ff << 52)
        } else {
            k += 1;
            exact_one = ((1 << 52) - mantissa) >> 2 == 0;
            f64::from_bits(mantissa | 0x3fe << 52)
        };
        f = fraction - 1.0;
    }
    let (half_square, n) = (0.5 * f * f, f64::from(k));
    if exact_one {
        if f == 0.0 {
            return if k == 0 { 0.0 } else { n * LN2_HIGH + (c + n * LN2_LOW) };
        }
        let r = half_square * (1.0 - 0.666_666_666_666_666_66 * f);
        return if k == 0 { f - r } else { n * LN2_HIGH - ((r - (n * LN2_LOW + c)) - f) };
    }
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * (L[0] + z * (L[1] + z * (L[2] + z * (L[3] + z * (L[4] + z * (L[5] + z * L[6]))))));
    if k == 0 {
        f - (half_square - s * (half_square + r))
    } else {
        n * LN2_HIGH - ((half_square - (s * (half_square + r) + (n * LN2_LOW + c))) - f)
    }
}

/// The hyperbolic sine.
pub fn sinh(x: f64) -> f64 {
    let size = x.abs();
    let v = if size > 21.0 {
        exp(size) * 0.5
    } else if size > 0.5 {
        let e = exp(size);
        (e - 1.0 / e) * 0.5
    } else {
        let sq = size * size;
        let p = ((-0.263_056_321_339_749_706_281_948_9e2 * sq
            - 0.289_421_135_598_956_380_728_466_036_6e4)
            * sq
            - 0.899_127_202_203_950_935_539_801_351_1e5)
            * sq
            - 0.630_767_364_049_771_699_118_478_725_1e6;
        let q = ((sq - 0.173_678_953_558_233_699_533_450_911e3) * sq
            + 0.152_151_737_879_001_907_069_648_517_6e5)
            * sq
            - 0.630_767_364_049_771_699_121_207_727_7e6;
        p * size / q
    };
    v.copysign(x)
}

/// The hyperbolic cosine.
pub fn cosh(x: f64) -> f64 {
    let e = exp(x.abs());
    if x.abs() > 21.0 { e * 0.5 } else { (e + 1.0 / e) * 0.5 }
}

/// The hyperbolic tangent.
pub fn tanh(x: f64) -> f64 {
    const MAX_LOG: f64 = 8.802_969_193_111_305_429_598_8e1;
    let size = x.abs();
    if size > 0.5 * MAX_LOG {
        return 1.0_f64.copysign(x);
    }
    if size >= 0.625 {
        let v = 1.0 - 2.0 / (exp(2.0 * size) + 1.0);
        return v.copysign(x);
    }
    if x == 0.0 {
        return x;
    }
    let s = x * x;
    let p = (-9.643_991_794_250_522_386_28e-1 * s - 9.928_772_310_019_185_865_64e1) * s
        - 1.614_687_684_417_084_479_52e3;
    let q = ((s + 1.128_116_784_916_329_314_02e2) * s + 2.235_488_390_601_004_485_83e3) * s
        + 4.844_063_053_251_254_860_48e3;
    x + x * s * p / q
}

/// Below this a number is its own inverse hyperbolic sine and tangent; above its inverse only the
/// logarithm counts.
const NEAR_ZERO: f64 = 1.0 / 268_435_456.0;

/// The inverse hyperbolic sine.
pub fn asinh(x: f64) -> f64 {
    if x.is_nan() || x.is_infinite() {
        return x;
    }
    let size = x.abs();
    let v = if size > 1.0 / NEAR_ZERO {
        ln(size) + std::f64::consts::LN_2
    } else if size > 2.0 {
        ln(2.0 * size + 1.0 / ((size * size + 1.0).sqrt() + size))
    } else if size < NEAR_ZERO {
        size
    } else {
        ln_1p(size + size * size / (1.0 + (1.0 + size * size).sqrt()))
    };
    v.copysign(x)
}

/// The inverse hyperbolic cosine.
pub fn acosh(x: f64) -> f64 {
    if x.is_nan() || x < 1.0 {
        f64::NAN
    } else if x >= 1.0 / NEAR_ZERO {
        ln(x) + std::f64::consts::LN_2
    } else if x > 2.0 {
        ln(2.0 * x - 1.0 / (x + (x * x - 1.0).sqrt()))
    } else {
        let t = x - 1.0;
        ln_1p(t + (2.0 * t + t * t).sqrt())
    }
}

/// The inverse hyperbolic tangent.
pub fn atanh(x: f64) -> f64 {
    let size = x.abs();
    if size.is_nan() || size > 1.0 {
        return f64::NAN;
    }
    if size >= 1.0 {
        return f64::INFINITY.copysign(x);
    }
    let twice = size + size;
    let v = if size < NEAR_ZERO {
        size
    } else if size < 0.5 {
        0.5 * ln_1p(twice + twice * size / (1.0 - size))
    } else {
        0.5 * ln_1p(twice / (1.0 - size))
    };
    v.copysign(x)
}
