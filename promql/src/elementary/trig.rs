//! Circular functions and their inverses by the methods of the Cephes library, which Go uses too.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI};

/// From here on the short reduction loses digits.
const REDUCE_LIMIT: f64 = 536_870_912.0;

/// Horner's rule, highest coefficient first.
fn polynomial<const N: usize>(coefficients: [f64; N], x: f64) -> f64 {
    let mut sum = coefficients[0];
    for c in &coefficients[1..] {
        sum = sum * x + c;
    }
    sum
}

/// 4/π in words, the point behind the first: what the largest number needs.
const FOUR_OVER_PI: [u64; 20] = [
    0x0000_0000_0000_0001,
    0x45f3_06dc_9c88_2a53,
    0xf84e_afa3_ea69_bb81,
    0xb6c5_2b32_7887_2083,
    0xfca2_c757_bd77_8ac3,
    0x6e48_dc74_849b_a5c0,
    0x0c92_5dd4_13a3_2439,
    0xfc3b_d639_6253_4e7d,
    0xd104_6bea_5d76_8909,
    0xd338_e04d_68be_fc82,
    0x7323_ac73_06a6_73e9,
    0x3908_bf17_7bf2_5076,
    0x3ff1_2fff_bc0b_301f,
    0xde5e_2316_b414_da3e,
    0xda6c_fd9e_4f96_136e,
    0x9e8c_7ecd_3cbf_d45a,
    0xea4f_758f_d7cb_e2f6,
    0x7a0e_73ef_14a5_25d4,
    0xd7f6_bf62_3f1a_ba10,
    0xac06_608d_f8f6_d757,
];

/// As [`reduce`], for numbers from [`REDUCE_LIMIT`] on: multiplies by those digits of 4/π that still
/// tell octants apart (Payne and Hanek, 1983).
fn reduce_large(x: f64) -> (u64, f64) {
    let bits = x.to_bits();
    let mantissa = bits & ((1 << 52) - 1) | 1 << 52;
    // The exponent of the last digit of the mantissa, 61 places behind the first digit of 4/π.
    let at = usize::try_from((bits >> 52) + 61 - 1075).expect("x is not below 2^29");
    let window = |i: usize| {
        let pair =
            u128::from(FOUR_OVER_PI[at / 64 + i]) << 64 | u128::from(FOUR_OVER_PI[at / 64 + i + 1]);
        u64::try_from(pair << (at % 64) >> 64).expect("the upper half")
    };
    let times = |word: u64| u128::from(word) * u128::from(mantissa);
    let product = (times(window(0)) << 64).wrapping_add(times(window(1)));
    let product = product.wrapping_add(times(window(2)) >> 64);
    let octant = u64::try_from(product >> 125).expect("three bits");
    let fraction = (product << 3).max(1);
    let zeros = fraction.leading_zeros();
    // Cut, not rounded, as Go does; a fraction of 1 stands for zero.
    let digits = u64::try_from((fraction << zeros << 1) >> 76).expect("52 bits");
    let rest = f64::from_bits(u64::from(1022 - zeros) << 52 | digits);
    let (octant, rest) =
        if octant & 1 == 1 { ((octant + 1) & 7, rest - 1.0) } else { (octant, rest) };
    (octant, rest * FRAC_PI_4)
}

/// The octant of `x`, which is finite and not negative, and what is left of it.
fn reduce(x: f64) -> (u64, f64) {
    if x >= REDUCE_LIMIT {
        return reduce_large(x);
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked range")]
    let octant = (x * (4.0 / PI)) as u64;
    let octant = octant + (octant & 1);
    #[expect(clippy::cast_precision_loss, reason = "below 2^30")]
    let y = octant as f64;
    let rest = ((x - y * 7.853_981_256_484_985_351_56e-1) - y * 3.774_894_707_930_798_176_68e-8)
        - y * 2.695_151_429_079_059_526_45e-15;
    (octant & 7, rest)
}

fn sin_near_zero(z: f64) -> f64 {
    let zz = z * z;
    z + z
        * zz
        * polynomial(
            [
                1.589_623_015_765_465_680_60e-10,
                -2.505_074_776_285_780_728_66e-8,
                2.755_731_362_138_572_452_13e-6,
                -1.984_126_982_958_953_859_96e-4,
                8.333_333_333_322_118_588_78e-3,
                -1.666_666_666_666_663_072_95e-1,
            ],
            zz,
        )
}

fn cos_near_zero(z: f64) -> f64 {
    let zz = z * z;
    1.0 - 0.5 * zz
        + zz * zz
            * polynomial(
                [
                    -1.135_853_652_138_768_173_00e-11,
                    2.087_570_084_197_473_167_78e-9,
                    -2.755_731_417_929_673_881_12e-7,
                    2.480_158_728_885_170_453_48e-5,
                    -1.388_888_888_887_305_641_16e-3,
                    4.166_666_666_666_659_292_18e-2,
                ],
                zz,
            )
}

/// The sine.
pub fn sin(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() || x.is_infinite() {
        return x.sin();
    }
    let (octant, z) = reduce(x.abs());
    let v = if matches!(octant & 3, 1 | 2) { cos_near_zero(z) } else { sin_near_zero(z) };
    if x.is_sign_negative() == (octant > 3) { v } else { -v }
}

/// The cosine.
pub fn cos(x: f64) -> f64 {
    if x.is_nan() || x.is_infinite() {
        return x.cos();
    }
    let (octant, z) = reduce(x.abs());
    let v = if matches!(octant & 3, 1 | 2) { sin_near_zero(z) } else { cos_near_zero(z) };
    if (octant > 3) == (octant & 3 > 1) { v } else { -v }
}

/// The tangent.
pub fn tan(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() || x.is_infinite() {
        return x.tan();
    }
    let (octant, z) = reduce(x.abs());
    let zz = z * z;
    let mut v = z;
    if zz > 1e-14 {
        let p = [
            -1.309_369_391_813_837_342_05e4,
            1.153_516_648_385_874_161_40e6,
            -1.795_652_519_764_848_779_88e7,
        ];
        let q = [
            1.0,
            1.368_129_634_706_929_546_78e4,
            -1.320_892_344_402_109_674_47e6,
            2.500_838_018_233_579_158_39e7,
            -5.386_957_559_294_546_298_81e7,
        ];
        v = z + z * (zz * polynomial(p, zz) / polynomial(q, zz));
    }
    if octant & 2 == 2 {
        v = -1.0 / v;
    }
    if x < 0.0 { -v } else { v }
}

/// The arc tangent of a number in `[0, 0.66]`.
fn atan_small(x: f64) -> f64 {
    let p = [
        -8.750_608_600_031_904_122_785e-1,
        -1.615_753_718_733_365_076_637e1,
        -7.500_855_792_314_704_667_340e1,
        -1.228_866_684_490_136_173_410e2,
        -6.485_021_904_942_025_371_773e1,
    ];
    let q = [
        1.0,
        2.485_846_490_142_306_297_962e1,
        1.650_270_098_316_988_542_046e2,
        4.328_810_604_912_902_668_951e2,
        4.853_903_996_359_136_964_868e2,
        1.945_506_571_482_613_964_425e2,
    ];
    let z = x * x;
    x * (z * polynomial(p, z) / polynomial(q, z)) + x
}

/// The arc tangent of a number that is not negative.
fn atan_positive(x: f64) -> f64 {
    const MORE_BITS: f64 = 6.123_233_995_736_765_886_130e-17;
    const TAN_3_PI_8: f64 = 2.414_213_562_373_095_048_80;
    if x <= 0.66 {
        atan_small(x)
    } else if x > TAN_3_PI_8 {
        FRAC_PI_2 - atan_small(1.0 / x) + MORE_BITS
    } else {
        FRAC_PI_4 + atan_small((x - 1.0) / (x + 1.0)) + 0.5 * MORE_BITS
    }
}

/// The arc tangent.
pub fn atan(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() {
        x
    } else if x > 0.0 {
        atan_positive(x)
    } else {
        -atan_positive(-x)
    }
}

/// The arc sine.
pub fn asin(x: f64) -> f64 {
    if x == 0.0 {
        return x;
    }
    let size = x.abs();
    if size.is_nan() || size > 1.0 {
        return f64::NAN;
    }
    let root = (1.0 - size * size).sqrt();
    let v = if size > 0.7 {
        FRAC_PI_2 - atan_positive(root / size)
    } else {
        atan_positive(size / root)
    };
    if x < 0.0 { -v } else { v }
}

/// The arc cosine.
pub fn acos(x: f64) -> f64 {
    FRAC_PI_2 - asin(x)
}

/// The angle of the point `(x, y)`: operator `atan2` with `y` on the left.
pub fn atan2(y: f64, x: f64) -> f64 {
    if x == 0.0 || y == 0.0 || !x.is_finite() || !y.is_finite() {
        // IEEE 754 leaves no freedom here.
        return y.atan2(x);
    }
    let angle = atan(y / x);
    if x >= 0.0 {
        angle
    } else if angle <= 0.0 {
        angle + PI
    } else {
        angle - PI
    }
}
