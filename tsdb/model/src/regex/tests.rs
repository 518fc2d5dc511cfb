use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

fn anchored(source: &str) -> Regex {
    Regex::anchored(source).unwrap_or_else(|error| panic!("{source}: {error}"))
}

/// What the program says, whatever the plan is.
fn by_program(source: &str, text: &str) -> bool {
    let parse::Parsed { hir, .. } = parse::parse(source, true).unwrap();
    compile(&whole(hir), None).unwrap().is_match(text)
}

/// Each verdict as Prometheus 3 gives it.
#[test]
fn expressions_mean_what_they_mean_in_go() {
    let cases: [(&str, &[&str], &[&str]); 48] = [
        ("a|b", &["a", "b"], &["ab", ""]),
        ("a.c", &["a\nc", "aäc"], &["ac"]),
        ("(?-s)a.c", &["abc"], &["a\nc"]),
        ("(?-s:.)", &["a"], &["\n"]),
        ("", &[""], &["a"]),
        ("a|", &["a", ""], &["|"]),
        ("^a$|b", &["a", "b"], &["^a$"]),
        ("x^a", &[], &["xa", "x^a"]),
        ("(?m)a$\n^b", &["a\nb"], &["ab"]),
        (r"\Aa\z", &["a"], &["a\n"]),
        (r"\d", &["5"], &["٣"]),
        (r"\w", &["k", "_", "7"], &["ä", "\u{212a}"]),
        (r"(?i)\w", &["k", "\u{212a}", "ſ"], &["ä"]),
        (r"(?i)\W", &["ä"], &["\u{212a}", "k"]),
        (r"\s", &["\n", "\x0c", " "], &["\x0b", "\u{a0}"]),
        ("[[:space:]]", &["\x0b", "\t"], &["\u{a0}"]),
        ("[[:^alpha:]]", &["1", "ä"], &["a"]),
        ("(?i)[[:^upper:]]", &["1"], &["a", "A", "\u{212a}"]),
        ("[:alpha:]", &[":", "a", "h"], &["b"]),
        (r"\bfoo\b", &["foo"], &["fooä"]),
        (r"ä\bfoo", &["äfoo"], &["foo"]),
        (r"\B", &[""], &["a"]),
        (r"ä\Bö", &["äö"], &["aö"]),
        (r"\pL", &["ä", "α"], &["1"]),
        (r"\PL", &["1"], &["ä"]),
        (r"\p{Greek}\p{^Greek}", &["αa"], &["aα"]),
        (r"\p{greek}", &["α"], &["a"]),
        (r"(?i)\p{Lu}", &["a", "Ä"], &["1"]),
        (r"\p{Cs}", &[], &["a"]),
        (r"\Qa.b*\E+", &["a.b*", "a.b**"], &["aab*", "a.b"]),
        (r"\Qa|b", &["a|b"], &["a", "b"]),
        ("[a&&b]", &["a", "b", "&"], &["a&&b"]),
        ("[+--]", &["+", ",", "-"], &["."]),
        ("[a~~b]", &["~"], &["~~"]),
        ("[[a]]", &["[]", "a]"], &["a"]),
        ("[]a-]", &["]", "a", "-"], &["b"]),
        (r"\x41\x{e4}\101", &["AäA"], &["A"]),
        (r"[\x{D000}-\x{E000}]", &["\u{d000}", "\u{e000}"], &["a"]),
        (r"[^\x{D7FF}\x{E000}]", &["a"], &["\u{d7ff}", "\u{e000}"]),
        (r"[^\x{D000}-\x{DA00}\x{DA00}-\x{E100}]", &["a"], &["\u{d7ff}", "\u{e000}"]),
        ("a{,2}", &["a{,2}"], &["a", "aa"]),
        ("{a}{1", &["{a}{1"], &["a"]),
        ("a(?i)*", &["", "aa"], &["A"]),
        ("(?i)k", &["k", "K", "\u{212a}"], &["ĸ"]),
        ("(?i)straße", &["STRAßE", "ſtraẞe"], &["STRASSE"]),
        ("(?i)i", &["I"], &["İ", "ı"]),
        ("(a(?i)b)c", &["abc", "aBc"], &["Abc", "abC"]),
        ("(?U)(a+)(a*)", &["aaa"], &[""]),
    ];
    for (source, yes, no) in cases {
        let regex = anchored(source);
        for (text, want) in yes.iter().map(|t| (t, true)).chain(no.iter().map(|t| (t, false))) {
            assert_eq!(regex.is_match(text), want, "{source} on {text:?}");
            assert_eq!(by_program(source, text), want, "{source} on {text:?}, by program");
        }
    }
}

#[test]
fn finite_sets_are_listed() {
    let cases: [(&str, Option<&[&str]>); 24] = [
        ("", Some(&[""])),
        ("a", Some(&["a"])),
        ("b|a|b", Some(&["a", "b"])),
        ("a|b(c|d)", Some(&["a", "bc", "bd"])),
        ("^(a|b)$", Some(&["a", "b"])),
        ("^a|b$", Some(&["a", "b"])),
        ("(?:(?P<n>x)|y)z?", Some(&["x", "xz", "y", "yz"])),
        (r"10\.0\.0\.[1-3]:90", Some(&["10.0.0.1:90", "10.0.0.2:90", "10.0.0.3:90"])),
        ("(?i)ab", Some(&["AB", "Ab", "aB", "ab"])),
        (r"\Qa.b\E", Some(&["a.b"])),
        (r"[\x{D800}]", Some(&[])),
        ("[^\\x00-\\x{10FFFF}]|a", Some(&["a"])),
        ("a|", Some(&["", "a"])),
        ("(|a)b", Some(&["ab", "b"])),
        ("a{2}", None),
        ("a*", None),
        (".", None),
        ("a.*", None),
        (r"\w{3}", None),
        ("[a-z][a-z][a-z]", None),
        (r"\bfoo", None),
        ("a$b", None),
        ("(x|^a)", Some(&["a", "x"])),
        ("b(^a|c)", None),
    ];
    for (source, want) in cases {
        let regex = anchored(source);
        let want = want.map(|set| set.iter().map(|&one| one.to_owned()).collect::<Vec<_>>());
        assert_eq!(regex.set_matches(), want.as_deref(), "{source}");
    }
}

#[test]
fn required_text_is_found() {
    for (source, prefix, suffix, contained) in [
        ("abc", "abc", "abc", "abc"),
        ("abc|abd", "ab", "", "ab"),
        ("xa|ya", "", "a", ""),
        ("ab.*", "ab", "", "ab"),
        (".*ab", "", "ab", "ab"),
        (".+longer.*ab", "", "ab", "longer"),
        ("^ab[0-9]+cd$", "ab", "cd", "cd"),
        ("(foo|fob)x+", "fo", "x", ""),
        ("(ab)+", "ab", "ab", ""),
        ("a{3}b", "a", "ab", "b"),
        ("(ä|ö)x", "", "x", ""),
        ("a?b", "", "b", "b"),
        ("x^a", "x", "a", "a"),
        ("(?i)ab", "", "", ""),
        (".*", "", "", ""),
        ("a(?m:$)\nb.", "a", "", "\nb"),
    ] {
        let regex = anchored(source);
        let got = (regex.prefix(), regex.suffix());
        assert_eq!(got, (prefix, suffix), "{source}");
        if regex.set_matches().is_none() {
            assert_eq!(regex.contained(), contained, "{source}");
        }
    }
}

#[test]
fn groups_expand_as_in_go() {
    for (source, text, template, want) in [
        ("(.*)", "host:9090", "$1", Some("host:9090")),
        ("(.*):(.*)", "host:9090", "$1-${2}x", Some("host-9090x")),
        ("(.*):(.*)", "host:9090", "$1x", Some("")),
        ("(.*):(.*)", "host", "$1", None),
        ("(?P<h>.*):(?<p>.*)", "a:b", "${p}$h", Some("ba")),
        ("(?P<n>x)?(?P<n>y)?", "y", "<$n>", Some("<y>")),
        ("(?P<1a>b)", "b", "$1a", Some("b")),
        ("(a){0}(b)", "b", "$1|$2", Some("|b")),
        ("(a)|b", "b", "<$1>", Some("<>")),
        ("a|b", "b", "$0$0$1", Some("bb")),
        ("a.*", "abc", "<$0>", Some("<abc>")),
        ("(a|b)-(c|d)", "a-d", "$2$1", Some("da")),
        ("(a*)(a*)", "aa", "$1|$2", Some("aa|")),
        ("(a*?)(a*)", "aa", "$1|$2", Some("|aa")),
        ("(?U)(a*)(a*?)", "aa", "$1|$2", Some("|aa")),
        ("x", "x", "$$1 $", Some("$1 $")),
        ("x", "x", "", Some("")),
    ] {
        let got = anchored(source).captures_expand(text, template);
        assert_eq!(got.as_deref(), want, "{source} on {text}: {template}");
    }
}

#[test]
fn unanchored_expressions_match_anywhere() {
    let regex = Regex::unanchored("b(.)").unwrap();
    assert!(regex.is_match("abc"));
    assert!(!regex.is_match("ab\n"), "dot does not match newline");
    assert_eq!(regex.captures_expand("abc", "<$0$1>").as_deref(), Some("<bcc>"));
    assert_eq!(regex.prefix(), "");
    assert!(Regex::unanchored("").unwrap().is_match("x"));
}

#[test]
fn a_wrapped_expression_can_leave_its_parentheses() {
    assert!(Regex::anchored("a)|(b").is_err());
    let regex = Regex::wrapped("a)|(b").unwrap();
    assert!(regex.is_match("ax") && regex.is_match("xb") && !regex.is_match("xax"));
    assert!(Regex::anchored(r"\Qa").is_ok());
    assert_eq!(
        Regex::wrapped(r"\Qa").unwrap_err().to_string(),
        r"error parsing regexp: missing closing ): `^(?s:\Qa)$`"
    );
    assert!(Regex::wrapped(r"\Qa\E.").unwrap().is_match("a\n"));
    assert_eq!(Regex::wrapped("a|b").unwrap().set_matches().unwrap().len(), 2);
}

#[test]
fn many_literal_alternatives_have_no_limit() {
    let names: Vec<String> = (0..100_000).map(|i| format!("i-{i:06}")).collect();
    for source in [names.join("|"), format!("({})", names.join("|"))] {
        let regex = anchored(&source);
        assert_eq!(regex.set_matches().unwrap().len(), names.len());
        assert_eq!(regex.prefix(), "i-0");
        assert!(regex.is_match("i-054321") && !regex.is_match("i-5432"));
    }
    let regex = anchored(&format!("({})", names.join("|")));
    assert_eq!(regex.captures_expand("i-000001", "<$1>").as_deref(), Some("<i-000001>"));
}

#[test]
fn hostile_expressions_of_any_length_end_soon() {
    let long = |text: &str| text.repeat(MAX_TEXT / text.len());
    let distinct: String = ('\u{1000}'..'\u{40000}').step_by(2).take(260_000).collect();
    for source in [
        long("a*"),
        format!("(?i){}", "a".repeat(MAX_TEXT - 4)),
        long(r"\pL"),
        format!("[{}]", long(r"\pL").split_at(MAX_TEXT / 3 * 3 - 6).0),
        format!("[{distinct}]"),
        long(".*"),
        long("a.*"),
        long("x?"),
        long("(a|b)"),
        long("|"),
        long("(a|"),
        long("((((((((((x{2}){2}){2}){2}){2}){2}){2}){2}){2})"),
        long(".{1000}"),
        long("[a-z]|"),
        long("(.+)"),
        long(r"\b"),
        long("(?i)"),
        format!("(?:{}){{1000}}", "x".repeat(10_000)),
    ] {
        assert!(source.len() <= MAX_TEXT);
        if let Ok(regex) = Regex::anchored(&source) {
            regex.is_match("abc");
            regex.captures_expand("abc", "$1");
        }
    }
    let error = Regex::anchored(&"a".repeat(MAX_TEXT + 1)).unwrap_err();
    assert_eq!(error.to_string(), "regular expression is 1048577 bytes, limit 1048576");
    let error = Regex::anchored(&"[a-z]{1000}".repeat(1000)).unwrap_err();
    assert!(error.to_string().starts_with("error parsing regexp: expression too large: `[a-z]"));
}

/// Pieces of expressions, most of them whole.
const PIECES: [&str; 30] = [
    "a", "b", "ä", "ab", "a|b", "(a|b)", "(?:ab|a)", ".*", ".+", "(.*)", ".", "[ab]", "[^a]", "a?",
    "(b|)", "a*", "^", "$", "(^a|b)", "(a|b$)", "(?i)", "|", "(", ")", r"\b", "a{2}", "(?i:k)",
    "\n", "(?-s).*", ".*?",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn every_plan_agrees_with_the_program(
        pieces in vec(select(&PIECES[..]), 0..6),
        texts in vec("[abäkK\n]{0,5}", 1..6),
    ) {
        let source = pieces.concat();
        let Ok(regex) = Regex::anchored(&source) else { return Ok(()) };
        let of_set = regex.set_matches().unwrap_or_default().to_vec();
        for text in texts.into_iter().chain(of_set) {
            let want = by_program(&source, &text);
            prop_assert_eq!(regex.is_match(&text), want, "{:?} on {:?}", source, text);
            prop_assert_eq!(Regex::wrapped(&source).unwrap().is_match(&text), want);
            if want {
                prop_assert!(text.starts_with(regex.prefix()), "{:?} on {:?}", source, text);
                prop_assert!(text.ends_with(regex.suffix()), "{:?} on {:?}", source, text);
                prop_assert!(text.contains(regex.contained()), "{:?} on {:?}", source, text);
            }
            let whole = regex.captures_expand(&text, "$0");
            prop_assert_eq!(whole, want.then_some(text));
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(source in "[ab(){}|*+?^$.\\\\\\[\\]\\-:<>=!#&~0-9PpQExzidsU ä,]{0,24}") {
        for regex in [Regex::anchored(&source), Regex::unanchored(&source)].into_iter().flatten() {
            regex.is_match("ab");
        }
    }
}
