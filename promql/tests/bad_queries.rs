//! Wrong queries that no script of `tests/scripts/` can hold: of blanks, over several lines, without
//! the features that scripts have, and as the parameter of a match. All others are in the scripts
//! `errors_*.test`.

use promql::{ParseOptions, parse, parse_selector};

#[track_caller]
fn check(table: &[(&str, &str)], options: &ParseOptions) {
    let mut wrong = Vec::new();
    for (query, want) in table {
        let got = match parse(query, options) {
            Ok(ast) => format!("no error: {ast}"),
            Err(error) => error.to_string(),
        };
        if got != *want {
            wrong.push(format!("{query:?}\n  want {want}\n  got  {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn blanks_and_lines_are_counted() {
    check(BLANKS_AND_LINES, &ParseOptions::all());
}

#[test]
fn what_is_experimental_must_be_enabled() {
    check(DISABLED, &ParseOptions::default());
}

#[test]
fn a_match_parameter_is_a_selector_and_nothing_else() {
    for (text, want) in [
        ("x{", "1:3: parse error: unexpected end of input inside braces"),
        ("", "unknown position: parse error: unexpected end of input"),
        (" ", "1:2: parse error: unexpected end of input"),
        ("foo offset 5m", "1:5: parse error: unexpected <offset>"),
        ("foo[5m]", "1:4: parse error: unexpected \"[\""),
        ("(foo)", "1:1: parse error: unexpected \"(\""),
        ("sum(foo)", "1:4: parse error: unexpected \"(\""),
        ("1", "1:1: parse error: unexpected number \"1\""),
        ("foo bar", "1:5: parse error: unexpected identifier \"bar\""),
        ("{a=~\"(\"}", "1:2: parse error: error parsing regexp: missing closing ): `(`"),
    ] {
        let got = parse_selector(text).unwrap_err().to_string();
        assert_eq!(got, want, "{text:?}");
    }
    for (text, want) in [
        ("sum", "__name__=\"sum\""),
        ("{}", ""),
        ("foo{b=\"c\",}", "b=\"c\" __name__=\"foo\""),
        ("{\"a b\",'c d'!~'e'}", "__name__=\"a b\" \"c d\"!~\"e\""),
    ] {
        let matchers = parse_selector(text).unwrap();
        let got: Vec<String> = matchers.iter().map(ToString::to_string).collect();
        assert_eq!(got.join(" "), want, "{text:?}");
    }
}

const DISABLED: &[(&str, &str)] = &[
    ("foo anchored", "1:1: parse error: anchored modifier is experimental and not enabled"),
    (
        "bar + foo[5m] smoothed",
        "1:7: parse error: smoothed modifier is experimental and not enabled",
    ),
    (
        "foo + fill(0) bar",
        "1:1: parse error: binop fill modifiers are experimental and not enabled",
    ),
    ("1 + step()", "1:5: parse error: function \"step\" is not enabled"),
    ("max_of(1, 2)", "1:1: parse error: function \"max_of\" is not enabled"),
    ("info(foo)", "1:1: parse error: function \"info\" is not enabled"),
    (
        "limitk(5, foo)",
        "1:1: parse error: limitk() is experimental and must be enabled with \
         --enable-feature=promql-experimental-functions",
    ),
    (
        "1 + limit_ratio(0.5, foo)",
        "1:5: parse error: limit_ratio() is experimental and must be enabled with \
         --enable-feature=promql-experimental-functions",
    ),
];

const BLANKS_AND_LINES: &[(&str, &str)] = &[
    ("#", "1:1: parse error: no expression found in input"),
    ("  ", "1:1: parse error: no expression found in input"),
    (" # c", "1:1: parse error: no expression found in input"),
    ("foo\n  bar", "2:3: parse error: unexpected identifier \"bar\""),
    (
        "sum(\n  foo,\n  1\n)",
        "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2",
    ),
    ("foo # c\n$", "2:1: parse error: unexpected character: '$'"),
    (
        "foo{\n  a=\"b\"\n  c=\"d\"\n}",
        "3:3: parse error: unexpected identifier \"c\" in label matching, expected \",\" or \"}\"",
    ),
    ("\"a\nb\"", "1:1: parse error: unterminated quoted string"),
];
