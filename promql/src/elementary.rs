//! Elementary functions with the roundings of Go's `math` package, whose last bits are visible in
//! answers. Logarithms and powers of two are by the methods of FreeBSD's msun (fdlibm).

#![expect(
    clippy::excessive_precision,
    clippy::many_single_char_names,
    reason = "constants and names as the method is published"
)]

mod hyperbolic;
mod trig;

pub use hyperbolic::{acosh, asinh, atanh, cosh, exp, sinh, tanh};
pub use trig::{acos, asin, atan, atan2, cos, sin, tan};

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
    ln(x) * std::f64::consts::LOG10_E
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
        answer = exp(rest * ln(x));
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
    #![expect(clippy::float_cmp, clippy::unreadable_literal, reason = "golden values")]
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

    #[test]
    fn answers_have_the_last_bit_of_prometheus() {
        for (name, x, want) in [
            ("ln", 92322.46774040756, "11.433042811675055"),
            ("ln", 980.0, "6.887552571664617"),
            ("ln", 15635.869936908415, "9.657322908696388"),
            ("ln", 299.0, "5.700443573390686"),
            ("log2", 0.15206823887203336, "-2.7172092331244455"),
            ("log2", 8536.43788777151, "13.05941846765587"),
            ("log2", 311.0, "8.280770770130603"),
            ("log2", 0.7556523725060236, "-0.4042053998626419"),
            ("log10", 0.6166404065054718, "-0.209968020726274"),
            ("log10", 0.1424968066861233, "-0.8461948679651893"),
            ("log10", 0.5602961335839522, "-0.2515823744429223"),
            ("log10", 2.763768990771066e-06, "-5.558498260221915"),
            ("exp", 6.234327598266095, "509.9576067613843"),
            ("exp", -17.449312418619943, "2.6415564962406246e-08"),
            ("exp", -19.729861379544673, "2.700412279330437e-09"),
            ("exp", -9.300688713339662, "0.0000913612880678571"),
            ("sin", -1.8805569689692874, "-0.9524065607762909"),
            ("sin", 0.820217010614784, "0.7312938617531989"),
            ("sin", -66.0, "0.026551154023966794"),
            ("sin", 0.6358659383191746, "0.5938744343035266"),
            ("cos", 0.6226220696071706, "0.8123521459662183"),
            ("cos", 511.0, "-0.4716788741741842"),
            ("cos", 0.006525628286985434, "0.9999787081632875"),
            ("cos", 0.37362753115223113, "0.9310094430056071"),
            ("tan", 23.42016711284396, "7.005968258914708"),
            ("tan", 0.2078725211367367, "0.21091931952479687"),
            ("tan", 1.0867542490935043e-08, "1.0867542490935043e-08"),
            ("tan", 493.0, "-0.23419253198826775"),
            ("asin", 1.3939844519117454e-05, "0.000013939844519568917"),
            ("asin", 1.9356067180321062e-05, "0.000019356067181529714"),
            ("asin", 0.5908123024169512, "0.6320652788495221"),
            ("asin", 4.643876282475657e-07, "4.643876282475824e-07"),
            ("acos", 0.10170985796762633, "1.468910284444211"),
            ("acos", 0.0021070060819346485, "1.5686893191539588"),
            ("acos", 0.312195733770242, "1.2532929139688112"),
            ("acos", 0.7339485081214718, "0.7466790647870819"),
            ("atan", 0.6970420678269282, "0.608738015107368"),
            ("atan", 4.634649606349161, "1.3582880862559161"),
            ("atan", -8.515612730273233, "-1.4539003398438122"),
            ("atan", -8.886434768621974, "-1.4587366842343106"),
            ("sinh", -484.0, "-7.897674773533072e+209"),
            ("sinh", 0.47321884632365663, "0.491079454959268"),
            ("sinh", 61.0, "1.55214896785096e+26"),
            ("sinh", 1.3645244313058136, "1.8291795717491908"),
            ("cosh", 0.3607074764334862, "1.0657633656033645"),
            ("cosh", 2.763768990771066e-06, "1.0000000000038192"),
            ("cosh", 7.5096694276276565, "912.8052473035307"),
            ("cosh", 0.27691707046478153, "1.0385871712706738"),
            ("tanh", 0.2605518853943237, "0.2548116571931932"),
            ("tanh", 0.9310562367624641, "0.7310859681593782"),
            ("tanh", 8.042131606405647, "0.9999997931177685"),
            ("tanh", -15.259885491937283, "-0.9999999999998888"),
            ("asinh", -836.0, "-7.421776151351467"),
            ("asinh", -916.0, "-7.513163843187834"),
            ("asinh", 8536.43788777151, "9.745246274598824"),
            ("asinh", 0.9741197049329217, "0.8629545460810004"),
            ("acosh", 12.157449851169979, "3.189393577374791"),
            ("acosh", 5.567277829050173, "2.401888093341051"),
            ("acosh", 4.485883079060204, "2.1814209256644905"),
            ("acosh", 3.1178492287087245, "1.8035201104159888"),
            ("atanh", 0.14648083870765957, "0.14754219853129918"),
            ("atanh", 0.15096009510630948, "0.15212277546183028"),
            ("atanh", 0.033793153029959666, "0.033806025521164955"),
            ("atanh", 0.0818116864130605, "0.0819949489588375"),
        ] {
            let f = crate::functions::dispatch::element_kernel(name).unwrap();
            assert_eq!(crate::number::sample_value(f(x)), want, "{name}({x})");
        }
        for (f, x, y, want) in [
            (pow as fn(f64, f64) -> f64, 2.14943937718488, 2.5, "6.773497922634524"),
            (pow, 12.374337783341922, 2.5, "538.6478330552854"),
            (pow, 978.0, 2.5, "29912116.042272374"),
            (pow, 8536.43788777151, 0.1, "2.4724508584285516"),
            (pow, 1.0867542490935043e-08, 0.1, "0.15981337922915356"),
            (pow, 17.498700425150247, 0.1, "1.3313755577051214"),
            (pow, 0.9606142298267047, -3.0, "1.1281139067626942"),
            (pow, 0.7879140748911739, -3.0, "2.0443884764573568"),
            (pow, 0.22684582673072795, -3.0, "85.6658282257863"),
            (pow, 2.0, 218.51452755098381, "6.017654940975017e+65"),
            (pow, 2.0, -11.27168900721282, "0.0004044673848488703"),
            (pow, 2.0, 12.702465043833783, "6665.350579434389"),
            (atan2, 825.0, 3.0, "1.5671599791864548"),
            (atan2, 1_700_002_059.0, -10.0, "1.5707963326772423"),
            (|x, _| sin(x), 1_709_164_800.0, 0.0, "0.13361531096886142"),
            (|x, _| cos(x), 1_709_164_800.0, 0.0, "-0.9910332732429797"),
            (|x, _| tan(x), 1_709_164_800.0, 0.0, "-0.13482424311711466"),
            (|x, _| cos(x), 4e11, 0.0, "0.05108711358016021"),
            (|x, _| tan(x), 4e11, 0.0, "-19.54884766175493"),
            (|x, _| sin(x), 1e8, 0.0, "0.931639027109726"),
            (|x, _| sin(x), 1e300, 0.0, "-0.8178819121159087"),
            (|x, _| cos(x), 3e15, 0.0, "0.9989463649145773"),
            (|x, _| tan(x), f64::MAX, 0.0, "-0.004962015874444917"),
            (|x, _| tan(x), 536_870_912.0, 0.0, "-0.3455106923343039"),
            (atan2, 0.5904728007448363, 3.0, "0.1943401138319644"),
            (atan2, -19.273475708216733, 3.0, "-1.416381108873589"),
            (atan2, 552.0, 3.0, "1.5653615976940607"),
        ] {
            assert_eq!(crate::number::sample_value(f(x, y)), want, "{x} {y}");
        }
    }

    #[test]
    fn functions_outside_of_their_domain() {
        for f in [asin, acos, atanh, |x: f64| acosh(-x)] {
            assert!(f(1.5).is_nan() && f(f64::NAN).is_nan());
        }
        assert_eq!((atanh(1.0), atanh(-1.0)), (f64::INFINITY, f64::NEG_INFINITY));
        assert_eq!((exp(f64::NEG_INFINITY), exp(800.0), exp(0.0)), (0.0, f64::INFINITY, 1.0));
        assert_eq!((tanh(100.0), tanh(f64::NEG_INFINITY)), (1.0, -1.0));
        assert!(sin(f64::INFINITY).is_nan() && cos(f64::NAN).is_nan());
        assert!(
            [sin, tan, asin, atan, sinh, tanh, asinh, atanh]
                .iter()
                .all(|f| f(-0.0).to_bits() == (-0.0_f64).to_bits())
        );
        assert_eq!(atan2(-0.0, -1.0), -std::f64::consts::PI);
        assert_eq!((acosh(1.0), cosh(0.0)), (0.0, 1.0));
    }

    proptest! {
        #[test]
        fn functions_are_near_the_platform(x in -30.0_f64..30.0, u in -0.99_f64..0.99) {
            for (f, g) in [
                (sin as fn(f64) -> f64, f64::sin as fn(f64) -> f64),
                (cos, f64::cos), (exp, f64::exp), (sinh, f64::sinh), (cosh, f64::cosh),
                (tanh, f64::tanh), (asinh, f64::asinh), (atan, f64::atan), (acosh, f64::acosh),
            ] {
                let (a, b) = (f(x), g(x));
                prop_assert!((a - b).abs() <= 1e-15 * b.abs().max(1.0) || a.is_nan() && b.is_nan());
            }
            for (f, g) in [(asin as fn(f64) -> f64, f64::asin as fn(f64) -> f64),
                (acos, f64::acos), (atanh, f64::atanh)] {
                prop_assert!((f(u) - g(u)).abs() <= 2e-14 * g(u).abs().max(1.0));
            }
        }

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
