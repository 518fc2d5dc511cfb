//! The fuzz target on stable: over its seeds and past failures, and over random bodies made of
//! the bytes that mean something.

#[path = "../fuzz/oracle.rs"]
mod oracle;

use std::fmt::Write as _;

use proptest::{collection::vec, prelude::*, sample::select};

#[test]
#[expect(clippy::disallowed_methods, reason = "the seeds are files of this repository")]
fn the_seeds_of_the_fuzz_target_agree_with_the_slow_decoder() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/parse");
    let mut num_seeds = 0;
    for entry in std::fs::read_dir(seeds).unwrap() {
        oracle::check(&std::fs::read(entry.unwrap().path()).unwrap());
        num_seeds += 1;
    }
    assert!(num_seeds >= 8, "{num_seeds} seeds");
}

/// Tokens that, side by side, make lines that are whole, nearly whole and broken.
const TOKENS: [&[u8]; 44] = [
    b"m",
    b"cpu,host=a",
    b",",
    b"=",
    b" ",
    b" ",
    b"\n",
    b"\n",
    b"\r\n",
    b"\r",
    b"\\",
    b"\"",
    b"\"",
    b"#",
    b"\t",
    b"f=",
    b"f=1",
    b"f=\"x\"",
    b"1",
    b"-1",
    b"0.5",
    b"1e3",
    b"1i",
    b"7u",
    b".",
    b"e",
    b"-",
    b"+",
    b"t",
    b"True",
    b"nan",
    b"inf",
    b"9223372036854775807",
    b"18446744073709551616i",
    b"1e309",
    b"\xff",
    b"\xc3\xbc",
    b"\0",
    b"\x7f",
    b",t=v",
    b",u=w x=1",
    b"m f=1\n",
    b"m f=2 2\n",
    b"x",
];

/// Mostly whole names.
const NAME: &str = r#"([ab"é#]|\\\\|\\[,= ]){1,3}[a,= ]?"#;
/// Mostly whole values.
const VALUE: &str = r#"-?[0-9]{1,3}[iu]?|[tf]|"([a,= \n]|\\\\|\\"){0,3}""#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn random_bodies_agree_with_the_slow_decoder(tokens in vec(select(&TOKENS[..]), 0..16)) {
        oracle::check(&tokens.concat());
    }

    #[test]
    fn random_fields_agree_with_the_slow_decoder(tokens in vec(select(&TOKENS[..]), 0..10)) {
        oracle::check(&[&b"m,t=a f="[..], &tokens.concat()].concat());
    }

    /// Whole lines whose names are made of separators and backslashes.
    #[test]
    fn escaped_names_agree_with_the_slow_decoder(
        lines in vec((NAME, vec((NAME, NAME), 0..3), vec((NAME, VALUE), 1..3), "( -?[0-9]{1,3})? ?"), 1..3),
    ) {
        let mut body = String::new();
        for (measurement, tags, fields, time) in lines {
            body.push_str(&measurement);
            for (key, value) in tags {
                write!(body, ",{key}={value}").unwrap();
            }
            let fields: Vec<_> = fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
            writeln!(body, " {}{time}", fields.join(",")).unwrap();
        }
        oracle::check(body.as_bytes());
    }
}
