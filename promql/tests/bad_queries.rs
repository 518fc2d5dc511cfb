//! Queries that are wrong, each with the place and the text that Prometheus answers. All but the
//! last two tables were compared with Prometheus 3.5.3; where its development version says
//! something else, that is what stands here.

use promql::{ParseOptions, parse, parse_selector};

const EXPERIMENTAL: ParseOptions = ParseOptions {
    experimental_functions: true,
    extended_range_selectors: false,
    binop_fill_modifiers: false,
    limits: promql::ParseLimits { text_bytes: 1 << 20, nesting: 512, nodes: 200_000 },
};

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
fn a_bad_query_gives_the_error_of_prometheus() {
    check(BAD, &EXPERIMENTAL);
}

#[test]
fn what_only_the_development_version_knows_has_its_errors() {
    check(BAD_WITH_ALL_FEATURES, &ParseOptions::all());
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

const BAD_WITH_ALL_FEATURES: &[(&str, &str)] = &[
    (
        "foo anchored smoothed",
        "1:1: parse error: anchored and smoothed modifiers cannot be used together",
    ),
    (
        "foo[5m] smoothed anchored",
        "1:1: parse error: anchored and smoothed modifiers cannot be used together",
    ),
    ("foo[5m:1m] anchored", "1:1: parse error: anchored modifier is not supported for subqueries"),
    ("foo[5m:1m] smoothed", "1:1: parse error: smoothed modifier is not supported for subqueries"),
    ("1 anchored", "1:1: parse error: anchored modifier not implemented"),
    ("(foo) smoothed", "1:1: parse error: smoothed modifier not implemented"),
    (
        "foo + fill(1) 2",
        "1:1: parse error: filling in missing series only allowed between instant vectors",
    ),
    (
        "foo and fill(1) bar",
        "1:1: parse error: filling in missing series not allowed for set operators",
    ),
    ("foo + fill(x) bar", r#"1:12: parse error: unexpected identifier "x""#),
    ("foo + fill(1 bar", r#"1:14: parse error: unexpected identifier "bar""#),
    ("foo + fill_left(1) fill_left(2) bar", r#"1:29: parse error: unexpected "(""#),
    ("foo + fill(1) on(a) bar", "1:15: parse error: unexpected <on>"),
    ("foo + fill() bar", r#"1:12: parse error: unexpected ")""#),
    ("step(1)", r#"1:1: parse error: expected 0 argument(s) in call to "step", got 1"#),
    ("START()", r#"1:1: parse error: unknown function with name "START""#),
    ("min_of(1)", r#"1:1: parse error: expected 2 argument(s) in call to "min_of", got 1"#),
    (
        "max_of(foo, 1)",
        r#"1:8: parse error: expected type scalar in call to function "max_of", got instant vector"#,
    ),
    (
        "foo[step(]",
        r#"1:10: parse error: unexpected "]" in subquery or range selector, expected number, duration, step(), or range()"#,
    ),
    ("foo[step()*0", "1:13: parse error: unclosed left bracket"),
    ("foo[stop()]", "1:5: parse error: unexpected character in duration expression: 's'"),
    ("foo[5m+stop()]", "1:8: parse error: unexpected character: 's', expected ':'"),
    (
        "foo[min_of(1m)]",
        r#"1:14: parse error: unexpected ")" in subquery or range selector, expected number, duration, step(), or range()"#,
    ),
    (
        "foo[min_of(1m,)]",
        r#"1:15: parse error: unexpected ")" in subquery or range selector, expected number, duration, step(), or range()"#,
    ),
    (
        "foo[max_of 1m]",
        r#"1:12: parse error: unexpected duration "1m" in subquery or range selector, expected number, duration, step(), or range()"#,
    ),
    ("foo[:1m]", "1:6: parse error: unexpected colon before duration in duration expression"),
    ("foo[step()::]", "1:13: parse error: unexpected repeated colon in duration expression"),
    (
        "foo[(step()):(step():)]",
        "1:22: parse error: unexpected repeated colon in duration expression",
    ),
    (
        "foo offset step",
        "1:16: parse error: unexpected end of input in offset, expected number, duration, step(), or range()",
    ),
    (
        "foo offset start()",
        r#"1:12: parse error: unexpected "start" in offset, expected number, duration, step(), or range()"#,
    ),
    (
        "foo offset min_of(1m, x)",
        r#"1:23: parse error: unexpected identifier "x" in offset, expected number, duration, step(), or range()"#,
    ),
    (
        "foo[min_of(1m, 2m]",
        r#"1:18: parse error: unexpected "]" in subquery or range selector, expected number, duration, step(), or range()"#,
    ),
    (
        r#"foo </ "a""#,
        "1:8: parse error: binary expression must contain only scalar and instant vector types",
    ),
    (
        "1 >/ 1 >/ foo[5m]",
        "1:11: parse error: binary expression must contain only scalar and instant vector types",
    ),
    ("foo </ bool 1", "1:5: parse error: bool modifier can only be used on comparison operators"),
    (
        "info(foo, 1)",
        r#"1:1: parse error: expected type instant vector in call to function "info", got scalar"#,
    ),
    ("info(foo, (bar))", "1:11: parse error: expected label selectors only"),
    (
        r#"info(foo, bar{a="b"})"#,
        "1:11: parse error: expected label selectors only, got vector selector instead",
    ),
];

const BAD: &[(&str, &str)] = &[
    ("sum(foo", "1:8: parse error: unclosed left parenthesis"),
    ("sum(foo bar) by (a)", r#"1:9: parse error: unexpected identifier "bar" in aggregation"#),
    ("sum by (a) foo", r#"1:12: parse error: unexpected identifier "foo" in aggregation"#),
    (
        "sum (foo) by a",
        r#"1:14: parse error: unexpected identifier "a" in grouping opts, expected "(""#,
    ),
    ("sum without", r#"1:12: parse error: unexpected end of input in grouping opts, expected "(""#),
    (
        "topk(3, foo, bar)",
        "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 3",
    ),
    (
        r#"quantile("x", foo)"#,
        "1:10: parse error: expected type scalar in aggregation parameter, got string",
    ),
    (
        "sum(foo[5m])",
        "1:5: parse error: expected type instant vector in aggregation expression, got range vector",
    ),
    (
        r#"avg("a")"#,
        "1:5: parse error: expected type instant vector in aggregation expression, got string",
    ),
    ("rate(foo[5m:])[5m]", "1:15: parse error: ranges only allowed for vector selectors"),
    ("(foo)[5m]", "1:6: parse error: ranges only allowed for vector selectors"),
    ("foo[5m] @ 5 @ 6", "1:1: parse error: @ <timestamp> may not be set multiple times"),
    ("foo[5m:] @ 5 @ 6", "1:1: parse error: @ <timestamp> may not be set multiple times"),
    ("foo[5m] offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times"),
    ("foo[5m:] offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times"),
    (
        "(foo) offset 5m",
        "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
    ),
    (
        "(foo) @ 5",
        "1:1: parse error: @ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
    ),
    (
        "rate(foo[5m]) offset 5m",
        "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
    ),
    (
        "1 @ 5",
        "1:1: parse error: @ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
    ),
    (
        r#""a" @ 5"#,
        "1:1: parse error: @ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
    ),
    ("foo @ -Inf", "1:1: parse error: timestamp out of bounds for @ modifier: -Inf"),
    ("foo @ NaN", "1:1: parse error: timestamp out of bounds for @ modifier: NaN"),
    ("foo @", "1:6: parse error: unexpected end of input in @, expected timestamp"),
    ("foo @ +", "1:8: parse error: unexpected end of input in @, expected timestamp"),
    (
        "foo offset",
        "1:11: parse error: unexpected end of input in offset, expected number, duration, step(), or range()",
    ),
    (
        "foo offset -",
        "1:13: parse error: unexpected end of input in offset, expected number, duration, step(), or range()",
    ),
    ("foo offset 1y2y", r#"1:12: parse error: bad number or duration syntax: "1y2""#),
    ("foo offset 1e20", "1:12: parse error: duration out of range"),
    ("foo offset -1e20", "1:12: parse error: duration out of range"),
    ("foo[1e20]", "1:5: parse error: duration out of range"),
    ("foo[5m/0]", "1:7: parse error: division by zero"),
    ("foo[5m%0]", "1:7: parse error: modulo by zero"),
    (
        "foo[(1+2]",
        r#"1:9: parse error: unexpected "]" in subquery or range selector, expected number, duration, step(), or range()"#,
    ),
    ("foo[5m:0]", "1:8: parse error: duration must be greater than 0"),
    ("foo[5m:-1]", "1:8: parse error: duration must be greater than 0"),
    ("foo[5m:1m", "1:10: parse error: unclosed left bracket"),
    (
        "foo[5m:1m 1m]",
        r#"1:11: parse error: unexpected duration "1m" in subquery selector, expected "]""#,
    ),
    (
        "foo[5m:*]",
        r#"1:8: parse error: unexpected <op:*> in subquery selector, expected number, duration, step(), range(), or "]""#,
    ),
    (
        "foo[5m *]",
        r#"1:9: parse error: unexpected "]" in subquery or range selector, expected number, duration, step(), or range()"#,
    ),
    (
        "foo[*5m]",
        "1:5: parse error: unexpected <op:*> in subquery or range selector, expected number, duration, step(), or range()",
    ),
    ("foo[5m)]", "1:8: parse error: unexpected right parenthesis ')'"),
    ("foo[5m[", "1:7: parse error: unexpected left bracket '['"),
    ("foo[5mm]", r#"1:5: parse error: bad number or duration syntax: "5mm""#),
    ("foo[1.5m]", r#"1:5: parse error: unknown unit "." in duration "1.5m""#),
    ("foo[5]]", "1:7: parse error: unexpected right bracket ']'"),
    ("foo[0]", "1:5: parse error: duration must be greater than 0"),
    ("foo[0s]", "1:5: parse error: duration must be greater than 0"),
    ("foo[-1]", "1:5: parse error: duration must be greater than 0"),
    (r#"foo[5m]{a="b"}"#, r#"1:8: parse error: unexpected "{""#),
    (r#"foo{a="b"}{c="d"}"#, r#"1:11: parse error: unexpected "{""#),
    (r#"{a="b"} foo"#, r#"1:9: parse error: unexpected identifier "foo""#),
    ("foo == bool", "1:12: parse error: unexpected end of input"),
    ("foo == bool bool bar", "1:13: parse error: unexpected <bool>"),
    ("foo bool == bar", "1:5: parse error: unexpected <bool>"),
    ("foo on(a) + bar", "1:5: parse error: unexpected <on>"),
    ("foo + on() group_left() group_right() bar", "1:25: parse error: unexpected <group_right>"),
    ("foo + group_right(a) bar", "1:7: parse error: unexpected <group_right>"),
    ("foo + by (a) bar", r#"1:10: parse error: unexpected "(""#),
    (
        "foo + ignoring bar",
        r#"1:16: parse error: unexpected identifier "bar" in grouping opts, expected "(""#,
    ),
    (
        "foo + on(a,b c) bar",
        r#"1:14: parse error: unexpected identifier "c" in grouping opts, expected "," or ")""#,
    ),
    (
        "foo + on(5) bar",
        r#"1:10: parse error: unexpected number "5" in grouping opts, expected label"#,
    ),
    ("foo + on(a.b) bar", "1:11: parse error: unexpected character: '.'"),
    (
        "foo or on(a) group_right(b) bar",
        r#"1:1: parse error: no grouping allowed for "or" operation"#,
    ),
    (
        "foo unless 1",
        r#"1:1: parse error: set operator "unless" not allowed in binary scalar expression"#,
    ),
    ("1 or foo", r#"1:1: parse error: set operator "or" not allowed in binary scalar expression"#),
    (
        "1 unless 1",
        r#"1:1: parse error: set operator "unless" not allowed in binary scalar expression"#,
    ),
    (
        r#""a" + "b""#,
        "1:1: parse error: binary expression must contain only scalar and instant vector types",
    ),
    (
        r#""a" == "a""#,
        "1:1: parse error: binary expression must contain only scalar and instant vector types",
    ),
    (
        "foo[5m] + 1",
        "1:1: parse error: binary expression must contain only scalar and instant vector types",
    ),
    (
        "1 + foo[5m]",
        "1:5: parse error: binary expression must contain only scalar and instant vector types",
    ),
    (
        r#"+"a""#,
        r#"1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "string""#,
    ),
    (
        "+foo[5m:1m]",
        r#"1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "range vector""#,
    ),
    (
        "-(foo[5m])",
        r#"1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "range vector""#,
    ),
    (
        r#"- - "x""#,
        r#"1:3: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "string""#,
    ),
    (
        r#"abs("a")"#,
        r#"1:5: parse error: expected type instant vector in call to function "abs", got string"#,
    ),
    (
        "abs(foo[5m])",
        r#"1:5: parse error: expected type instant vector in call to function "abs", got range vector"#,
    ),
    (
        "rate(1)",
        r#"1:6: parse error: expected type range vector in call to function "rate", got scalar"#,
    ),
    (
        r#"rate("a")"#,
        r#"1:6: parse error: expected type range vector in call to function "rate", got string"#,
    ),
    ("clamp(foo, 1)", r#"1:1: parse error: expected 3 argument(s) in call to "clamp", got 2"#),
    (
        "clamp(foo, foo, 1)",
        r#"1:12: parse error: expected type scalar in call to function "clamp", got instant vector"#,
    ),
    (
        "clamp(foo, 1, 2, 3)",
        r#"1:1: parse error: expected 3 argument(s) in call to "clamp", got 4"#,
    ),
    (
        r#"label_replace(foo, "a")"#,
        r#"1:1: parse error: expected 5 argument(s) in call to "label_replace", got 2"#,
    ),
    (
        r#"label_replace(foo, "a", "b", "c", 1)"#,
        r#"1:35: parse error: expected type string in call to function "label_replace", got scalar"#,
    ),
    (
        r#"label_join(foo, "a")"#,
        r#"1:1: parse error: expected at least 3 argument(s) in call to "label_join", got 2"#,
    ),
    (
        r#"label_join(foo, "a", "b", 1)"#,
        r#"1:27: parse error: expected type string in call to function "label_join", got scalar"#,
    ),
    (
        "round(foo, foo)",
        r#"1:12: parse error: expected type scalar in call to function "round", got instant vector"#,
    ),
    (
        "scalar(1)",
        r#"1:8: parse error: expected type instant vector in call to function "scalar", got scalar"#,
    ),
    (
        "vector(foo)",
        r#"1:8: parse error: expected type scalar in call to function "vector", got instant vector"#,
    ),
    ("time(1)", r#"1:1: parse error: expected 0 argument(s) in call to "time", got 1"#),
    ("pi(foo)", r#"1:1: parse error: expected 0 argument(s) in call to "pi", got 1"#),
    (
        "histogram_quantile(foo, 0.5)",
        r#"1:20: parse error: expected type scalar in call to function "histogram_quantile", got instant vector"#,
    ),
    (
        "quantile_over_time(foo[5m], 1)",
        r#"1:20: parse error: expected type scalar in call to function "quantile_over_time", got range vector"#,
    ),
    (
        "absent(1)",
        r#"1:8: parse error: expected type instant vector in call to function "absent", got scalar"#,
    ),
    (
        "hour(1)",
        r#"1:6: parse error: expected type instant vector in call to function "hour", got scalar"#,
    ),
    (
        "hour(foo, foo)",
        r#"1:1: parse error: expected at most 1 argument(s) in call to "hour", got 2"#,
    ),
    (
        "sort_by_label(foo, 1)",
        r#"1:20: parse error: expected type string in call to function "sort_by_label", got scalar"#,
    ),
    ("nosuch(foo)", r#"1:1: parse error: unknown function with name "nosuch""#),
    ("Rate(foo[5m])", r#"1:1: parse error: unknown function with name "Rate""#),
    (
        "holt_winters(foo[5m], 1, 1)",
        r#"1:1: parse error: unknown function with name "holt_winters""#,
    ),
    ("rate(foo[5m],)", "1:13: parse error: trailing commas not allowed in function call args"),
    ("rate(,)", r#"1:6: parse error: unexpected ",""#),
    ("rate(foo[5m] foo)", r#"1:14: parse error: unexpected identifier "foo""#),
    ("rate(foo[5m]", "1:13: parse error: unclosed left parenthesis"),
    ("rate foo", r#"1:6: parse error: unexpected identifier "foo""#),
    ("sum,foo", r#"1:4: parse error: unexpected ",""#),
    ("foo,bar", r#"1:4: parse error: unexpected ",""#),
    ("a + * b", "1:5: parse error: unexpected <op:*>"),
    ("a +", "1:4: parse error: unexpected end of input"),
    ("* a", "1:1: parse error: unexpected <op:*>"),
    ("== a", "1:1: parse error: unexpected <op:==>"),
    ("^", "1:1: parse error: unexpected <op:^>"),
    (",", r#"1:1: parse error: unexpected ",""#),
    (";", "1:1: parse error: unexpected character: ';'"),
    ("&", "1:1: parse error: unexpected character: '&'"),
    ("foo & bar", "1:5: parse error: unexpected character: '&'"),
    ("foo | bar", "1:5: parse error: unexpected character: '|'"),
    ("foo && bar", "1:5: parse error: unexpected character: '&'"),
    ("~foo", "1:1: parse error: unexpected character: '~'"),
    ("foo ~ bar", "1:5: parse error: unexpected character: '~'"),
    ("é", "1:1: parse error: unexpected character: 'é'"),
    (r#"foo{é="a"}"#, "1:5: parse error: unexpected character inside braces: 'é'"),
    (r#"foo{a="é}"#, "1:7: parse error: unterminated quoted string"),
    (r#"foo{a='b"}"#, "1:7: parse error: unterminated quoted string"),
    (r#"foo{'a'='b', "c"}x"#, r#"1:18: parse error: unexpected identifier "x""#),
    ("foo{a==b}", r#"1:7: parse error: unexpected "=" in label matching, expected string"#),
    (r#"foo{a=="b"}"#, r#"1:7: parse error: unexpected "=" in label matching, expected string"#),
    (
        r#"foo{a="b"=}"#,
        r#"1:10: parse error: unexpected "=" in label matching, expected "," or "}""#,
    ),
    (r#"foo{5="a"}"#, "1:5: parse error: unexpected character inside braces: '5'"),
    ("foo{a=5}", "1:7: parse error: unexpected character inside braces: '5'"),
    (
        "foo{a=b}",
        r#"1:7: parse error: unexpected identifier "b" in label matching, expected string"#,
    ),
    (r#"foo{a="b";c="d"}"#, "1:10: parse error: unexpected character inside braces: ';'"),
    (
        r#"foo{,a="b"}"#,
        r#"1:5: parse error: unexpected "," in label matching, expected identifier or "}""#,
    ),
    (r#"foo{"a"=}"#, r#"1:9: parse error: unexpected "}" in label matching, expected string"#),
    (
        r#"foo{"a" "b"}"#,
        r#"1:9: parse error: unexpected string "\"b\"" in label matching, expected "," or "}""#,
    ),
    (r#"foo{a:b="c"}"#, "1:6: parse error: unexpected character inside braces: ':'"),
    (r#"foo{a="b""#, "1:10: parse error: unexpected end of input inside braces"),
    ("foo{a=", "1:7: parse error: unexpected end of input inside braces"),
    ("foo{a", "1:6: parse error: unexpected end of input inside braces"),
    ("foo{", "1:5: parse error: unexpected end of input inside braces"),
    (
        r#"{a!="b"}"#,
        "1:1: parse error: vector selector must contain at least one non-empty matcher",
    ),
    (
        r#"{__name__=~".*"}"#,
        "1:1: parse error: vector selector must contain at least one non-empty matcher",
    ),
    (
        r#"{a="",b=~"x?"}"#,
        "1:1: parse error: vector selector must contain at least one non-empty matcher",
    ),
    (
        r#"foo{__name__="foo"}"#,
        r#"1:1: parse error: metric name must not be set twice: "foo" or "foo""#,
    ),
    (
        r#"foo{__name__=~"b"}"#,
        r#"1:1: parse error: metric name must not be set twice: "foo" or "b""#,
    ),
    (r#"{"foo","bar",a="b"}x"#, r#"1:20: parse error: unexpected identifier "x""#),
    ("-{}", "1:2: parse error: vector selector must contain at least one non-empty matcher"),
    ("sum({})", "1:5: parse error: vector selector must contain at least one non-empty matcher"),
    ("'a", "1:1: parse error: unterminated quoted string"),
    ("`a", "1:1: parse error: unterminated raw string"),
    (r#""a\q""#, "1:1: parse error: unknown escape sequence U+0071 'q'"),
    (r#""a\x1""#, r#"1:1: parse error: illegal character U+0022 '"' in escape sequence"#),
    (r#""\u12""#, r#"1:1: parse error: illegal character U+0022 '"' in escape sequence"#),
    (r#""\U12345678""#, "1:1: parse error: escape sequence is an invalid Unicode code point"),
    (r#""a" b"#, r#"1:5: parse error: unexpected identifier "b""#),
    (r#"foo{a="\z"}"#, "1:7: parse error: unknown escape sequence U+007A 'z'"),
    ("0x1g", r#"1:1: parse error: bad number or duration syntax: "0x1""#),
    ("0b101", r#"1:1: parse error: bad number or duration syntax: "0""#),
    ("0o17", r#"1:1: parse error: bad number or duration syntax: "0""#),
    ("1e", r#"1:1: parse error: bad number or duration syntax: "1e""#),
    (
        "1e1.5",
        r#"1:1: parse error: error parsing number: strconv.ParseFloat: parsing "1e1.5": invalid syntax"#,
    ),
    ("1.2.3", r#"1:1: parse error: bad number or duration syntax: "1.2.""#),
    ("1a", r#"1:1: parse error: bad number or duration syntax: "1""#),
    ("1_000_", r#"1:1: parse error: bad number or duration syntax: "1_000_""#),
    ("5m30", r#"1:1: parse error: bad number or duration syntax: "5m30""#),
    ("1d1w", r#"1:1: parse error: not a valid duration string: "1d1w""#),
    ("1s1s", r#"1:1: parse error: not a valid duration string: "1s1s""#),
    (
        "99999999999999999999s",
        r#"1:1: parse error: not a valid duration string: "99999999999999999999s""#,
    ),
    ("1m 1s", r#"1:4: parse error: unexpected duration "1s""#),
    ("Inf Inf", r#"1:5: parse error: unexpected number "Inf""#),
    ("foo.bar", "1:4: parse error: unexpected character: '.'"),
    ("foo-", "1:5: parse error: unexpected end of input"),
    ("foo:bar{", "1:9: parse error: unexpected end of input inside braces"),
    ("a::b(c)", r#"1:5: parse error: unexpected "(""#),
    ("bool foo", "1:1: parse error: unexpected <bool>"),
    ("group_left", "1:1: parse error: unexpected <group_left>"),
    ("on (a)", "1:1: parse error: unexpected <on>"),
    ("ignoring(a)", "1:1: parse error: unexpected <ignoring>"),
    ("by()", r#"1:3: parse error: unexpected "(""#),
    ("offset(5m)", r#"1:7: parse error: unexpected "(""#),
    ("offset 5m", r#"1:8: parse error: unexpected duration "5m""#),
    ("and(foo)", r#"1:4: parse error: unexpected "(""#),
    ("without (a) (foo)", r#"1:9: parse error: unexpected "(""#),
    ("sum foo", r#"1:5: parse error: unexpected identifier "foo""#),
    (
        "sum by (without) (foo)",
        "1:9: parse error: unexpected <without> in grouping opts, expected label",
    ),
    (r#"sum by ("") (foo)"#, r#"1:9: parse error: invalid label name for grouping: """#),
    (r#"foo{"bar"}"#, r#"1:1: parse error: metric name must not be set twice: "foo" or "bar""#),
    (
        r#"foo{__name__="b"}"#,
        r#"1:1: parse error: metric name must not be set twice: "foo" or "b""#,
    ),
    (r#"foo{a=~"("}"#, "1:5: parse error: error parsing regexp: missing closing ): `(`"),
    (
        r#"foo{a=~"*"}"#,
        "1:5: parse error: error parsing regexp: missing argument to repetition operator: `*`",
    ),
    (r#"foo{a=~"[a"}"#, "1:5: parse error: error parsing regexp: missing closing ]: `[a`"),
    (r#"foo{a=~"\\8"}"#, r"1:5: parse error: error parsing regexp: invalid escape sequence: `\8`"),
    (
        r#"foo{a=~"(?P<n"}"#,
        "1:5: parse error: error parsing regexp: invalid named capture: `(?P<n`",
    ),
    (r#"foo{a=~")"}"#, "1:5: parse error: error parsing regexp: unexpected ): `)`"),
    (
        r#"foo{a=~"[z-a]"}"#,
        "1:5: parse error: error parsing regexp: invalid character class range: `z-a`",
    ),
    (
        r#"foo{a=~"(?=a)"}"#,
        "1:5: parse error: error parsing regexp: invalid or unsupported Perl syntax: `(?=`",
    ),
    (
        r#"foo{a=~"\\"}"#,
        "1:5: parse error: error parsing regexp: trailing backslash at end of expression: ``",
    ),
    (
        r#"foo{a=~"\\pX"}"#,
        "1:5: parse error: error parsing regexp: invalid character class range: `\\pX`",
    ),
    ("foo offset inf", "1:12: parse error: duration out of range"),
    ("foo offset nan", "1:12: parse error: duration out of range"),
    ("foo[nan]", "1:5: parse error: unexpected character in duration expression: 'n'"),
    ("foo[inf]", "1:5: parse error: unexpected character in duration expression: 'i'"),
    ("0x1e", r#"1:1: parse error: bad number or duration syntax: "0x1e""#),
    (
        "0xffffffffffffffffffff",
        r#"1:1: parse error: error parsing number: strconv.ParseFloat: parsing "0xffffffffffffffffffff": invalid syntax"#,
    ),
    (
        "1e999",
        r#"1:1: parse error: error parsing number: strconv.ParseFloat: parsing "1e999": value out of range"#,
    ),
    ("0b1", r#"1:1: parse error: bad number or duration syntax: "0""#),
    ("1__0", r#"1:1: parse error: bad number or duration syntax: "1__""#),
    ("!", "1:1: parse error: unexpected character after '!': '�'"),
    ("foo ! bar", "1:5: parse error: unexpected character after '!': ' '"),
    ("foo !~ bar", "1:5: parse error: unexpected character after '!': '~'"),
    ("foo =~ bar", "1:5: parse error: unexpected character after '=': '~'"),
    ("foo = bar", r#"1:5: parse error: unexpected "=""#),
    (r#""\z""#, "1:1: parse error: unknown escape sequence U+007A 'z'"),
    (r#""\400""#, "1:1: parse error: escape sequence is an invalid Unicode code point"),
    (r#""\xg""#, "1:1: parse error: illegal character U+0067 'g' in escape sequence"),
    (r#""\uD800""#, "1:1: parse error: escape sequence is an invalid Unicode code point"),
    (r#""abc"#, "1:1: parse error: unterminated quoted string"),
    ("`abc", "1:1: parse error: unterminated raw string"),
    (r#""\"#, "1:1: parse error: escape sequence not terminated"),
    ("sum(foo bar)", r#"1:9: parse error: unexpected identifier "bar" in aggregation"#),
    (
        "sum by (a b) (foo)",
        r#"1:11: parse error: unexpected identifier "b" in grouping opts, expected "," or ")""#,
    ),
    (
        "sum by a (foo)",
        r#"1:8: parse error: unexpected identifier "a" in grouping opts, expected "(""#,
    ),
    (
        "sum by (a,,b) (foo)",
        r#"1:11: parse error: unexpected "," in grouping opts, expected label"#,
    ),
    ("sum by (,) (foo)", r#"1:9: parse error: unexpected "," in grouping opts, expected label"#),
    (
        "foo + on bar",
        r#"1:10: parse error: unexpected identifier "bar" in grouping opts, expected "(""#,
    ),
    (
        "foo + on(a) group_left(b bar",
        r#"1:26: parse error: unexpected identifier "bar" in grouping opts, expected "," or ")""#,
    ),
    ("foo + group_left bar", "1:7: parse error: unexpected <group_left>"),
    ("foo + bool bar", "1:5: parse error: bool modifier can only be used on comparison operators"),
    (
        "foo{a}",
        r#"1:6: parse error: unexpected "}" in label matching, expected label matching operator"#,
    ),
    ("foo{a=}", r#"1:7: parse error: unexpected "}" in label matching, expected string"#),
    (
        r#"foo{a="b" c="d"}"#,
        r#"1:11: parse error: unexpected identifier "c" in label matching, expected "," or "}""#,
    ),
    (
        r#"foo{"a" c="d"}"#,
        r#"1:9: parse error: unexpected identifier "c" in label matching, expected "," or "}""#,
    ),
    ("foo{=}", r#"1:5: parse error: unexpected "=" in label matching, expected identifier or "}""#),
    ("foo{,}", r#"1:5: parse error: unexpected "," in label matching, expected identifier or "}""#),
    (
        r#"foo{a="b",,}"#,
        r#"1:11: parse error: unexpected "," in label matching, expected identifier or "}""#,
    ),
    ("foo @ bar", r#"1:7: parse error: unexpected identifier "bar" in @, expected timestamp"#),
    ("foo @ start", "1:12: parse error: unexpected end of input in @, expected timestamp"),
    ("foo @ start(", "1:13: parse error: unclosed left parenthesis"),
    ("foo @ start(1)", r#"1:13: parse error: unexpected number "1" in @, expected timestamp"#),
    (
        "foo offset bar",
        r#"1:12: parse error: unexpected identifier "bar" in offset, expected number, duration, step(), or range()"#,
    ),
    (
        "foo offset -bar",
        r#"1:13: parse error: unexpected identifier "bar" in offset, expected number, duration, step(), or range()"#,
    ),
    ("foo offset (5m", "1:15: parse error: unclosed left parenthesis"),
    ("foo offset 5m bar", r#"1:15: parse error: unexpected identifier "bar""#),
    ("foo offset (5m) bar", r#"1:17: parse error: unexpected identifier "bar""#),
    (
        "1 offset 5m",
        "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
    ),
    ("foo offset 5m offset 6m", "1:1: parse error: offset may not be set multiple times"),
    ("foo @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"),
    ("foo @ Inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"),
    (
        "foo @ 1e100",
        "1:1: parse error: timestamp out of bounds for @ modifier: 10000000000000000159028911097599180468360808563945281389781327557747838772170381060813469985856815104.000000",
    ),
    ("foo offset 5m [5m]", "1:15: parse error: no offset modifiers allowed before range"),
    ("foo @ 1 [5m]", "1:9: parse error: no @ modifiers allowed before range"),
    (r#""foo"[5m]"#, "1:6: parse error: ranges only allowed for vector selectors"),
    (
        "rate(foo)",
        r#"1:6: parse error: expected type range vector in call to function "rate", got instant vector"#,
    ),
    ("abs(1,2)", r#"1:1: parse error: expected 1 argument(s) in call to "abs", got 2"#),
    ("abs()", r#"1:1: parse error: expected 1 argument(s) in call to "abs", got 0"#),
    ("round()", r#"1:1: parse error: expected at least 1 argument(s) in call to "round", got 0"#),
    (
        "round(1,2,3)",
        r#"1:1: parse error: expected at most 2 argument(s) in call to "round", got 3"#,
    ),
    ("foo()", r#"1:1: parse error: unknown function with name "foo""#),
    ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
    (
        "sum(1)",
        "1:5: parse error: expected type instant vector in aggregation expression, got scalar",
    ),
    (
        "sum(1,2)",
        "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2",
    ),
    (
        "topk(foo)",
        "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
    ),
    (
        r#"topk("a", foo)"#,
        "1:6: parse error: expected type scalar in aggregation parameter, got string",
    ),
    (
        "count_values(1, foo)",
        "1:14: parse error: expected type string in aggregation parameter, got scalar",
    ),
    ("foo(1,)", "1:6: parse error: trailing commas not allowed in function call args"),
    ("abs(foo,)", "1:8: parse error: trailing commas not allowed in function call args"),
    ("sum(foo,)", "1:8: parse error: trailing commas not allowed in function call args"),
    ("abs(,foo)", r#"1:5: parse error: unexpected ",""#),
    ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
    ("1 and 2", r#"1:1: parse error: set operator "and" not allowed in binary scalar expression"#),
    ("1 + on(a) 2", "1:1: parse error: vector matching only allowed between instant vectors"),
    (
        "foo and on(a) group_left(b) bar",
        r#"1:1: parse error: no grouping allowed for "and" operation"#,
    ),
    (
        "foo and bool bar",
        "1:5: parse error: bool modifier can only be used on comparison operators",
    ),
    (
        "foo + on(a) group_left(a) bar",
        r#"1:5: parse error: label "a" must not occur in ON and GROUP clause at once"#,
    ),
    (
        r#"-"a""#,
        r#"1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "string""#,
    ),
    (
        "-foo[5m]",
        r#"1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got "range vector""#,
    ),
    (
        "foo[5m:][5m:]",
        "1:1: parse error: subquery is only allowed on instant vector, got matrix instead",
    ),
    ("1[5m:]", "1:1: parse error: subquery is only allowed on instant vector, got scalar instead"),
    (
        r#"foo + "a""#,
        "1:7: parse error: binary expression must contain only scalar and instant vector types",
    ),
    ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
    (r#"{a=""}"#, "1:1: parse error: vector selector must contain at least one non-empty matcher"),
    (
        r#"{a=~".*"}"#,
        "1:1: parse error: vector selector must contain at least one non-empty matcher",
    ),
    (
        "info(foo, bar)",
        "1:11: parse error: expected label selectors only, got vector selector instead",
    ),
    (
        "info(foo, 1)",
        r#"1:1: parse error: expected type instant vector in call to function "info", got scalar"#,
    ),
    ("info(foo, (bar))", "1:11: parse error: expected label selectors only"),
    ("#", "1:1: parse error: no expression found in input"),
    ("  ", "1:1: parse error: no expression found in input"),
    (" # c", "1:1: parse error: no expression found in input"),
    (")", "1:2: parse error: unexpected right parenthesis ')'"),
    ("foo)", "1:5: parse error: unexpected right parenthesis ')'"),
    ("(foo", "1:5: parse error: unclosed left parenthesis"),
    ("[5m]", r#"1:1: parse error: unexpected "[""#),
    ("foo bar", r#"1:5: parse error: unexpected identifier "bar""#),
    ("foo 1", r#"1:5: parse error: unexpected number "1""#),
    (r#"foo "a""#, r#"1:5: parse error: unexpected string "\"a\"""#),
    ("$", "1:1: parse error: unexpected character: '$'"),
    ("foo{$}", "1:5: parse error: unexpected character inside braces: '$'"),
    ("foo{a!b}", "1:6: parse error: unexpected character after '!' inside braces: 'b'"),
    ("foo{{", "1:5: parse error: unexpected left brace '{'"),
    ("foo}", "1:4: parse error: unexpected character: '}'"),
    ("foo]", "1:4: parse error: unexpected right bracket ']'"),
    ("foo,", r#"1:4: parse error: unexpected ",""#),
    ("foo by", "1:5: parse error: unexpected <by>"),
    ("sum by", r#"1:7: parse error: unexpected end of input in grouping opts, expected "(""#),
    ("sum(foo) by", r#"1:12: parse error: unexpected end of input in grouping opts, expected "(""#),
    ("sum(foo) by (", "1:14: parse error: unclosed left parenthesis"),
    ("foo or", "1:7: parse error: unexpected end of input"),
    ("bool", "1:1: parse error: unexpected <bool>"),
    ("on", "1:1: parse error: unexpected <on>"),
    ("atan2", "1:1: parse error: unexpected <op:atan2>"),
    ("a:b(foo)", r#"1:4: parse error: unexpected "(""#),
    ("1m1h", r#"1:1: parse error: not a valid duration string: "1m1h""#),
    ("5m1m", r#"1:1: parse error: not a valid duration string: "5m1m""#),
    ("1hs", r#"1:1: parse error: unknown unit "hs" in duration "1hs""#),
    ("5mm", r#"1:1: parse error: bad number or duration syntax: "5mm""#),
    ("300y", "1:1: parse error: duration out of range"),
    ("1h30", r#"1:1: parse error: bad number or duration syntax: "1h30""#),
    ("1.5h", r#"1:1: parse error: unknown unit "." in duration "1.5h""#),
    ("1..2", r#"1:1: parse error: bad number or duration syntax: "1..""#),
    ("1e+", r#"1:1: parse error: bad number or duration syntax: "1e+""#),
    (
        "0x",
        r#"1:1: parse error: error parsing number: strconv.ParseFloat: parsing "0x": invalid syntax"#,
    ),
    ("0xg", r#"1:1: parse error: bad number or duration syntax: "0x""#),
    ("1_", r#"1:1: parse error: bad number or duration syntax: "1_""#),
    ("foo[5m", "1:7: parse error: unclosed left bracket"),
    ("foo[", "1:5: parse error: unexpected end of input in duration expression"),
    ("foo[5m:", "1:8: parse error: unclosed left bracket"),
    (
        "foo[]",
        r#"1:5: parse error: unexpected "]" in subquery or range selector, expected number, duration, step(), or range()"#,
    ),
    ("foo[5m]]", "1:8: parse error: unexpected right bracket ']'"),
    ("foo[5m][5m]", "1:8: parse error: ranges only allowed for vector selectors"),
    ("foo[a]", "1:5: parse error: unexpected character in duration expression: 'a'"),
    ("foo[5m+a]", "1:8: parse error: unexpected character: 'a', expected ':'"),
    ("foo[sum]", "1:5: parse error: unexpected character in duration expression: 's'"),
    (r#"foo["a"]"#, r#"1:5: parse error: unexpected character in duration expression: '"'"#),
    (r#"foo[5m]"a""#, r#"1:8: parse error: unexpected string "\"a\"""#),
    ("foo[ # c", "1:6: parse error: unexpected character in duration expression: '#'"),
    ("foo[5m # c", "1:11: parse error: unclosed left bracket"),
    ("foo\n  bar", r#"2:3: parse error: unexpected identifier "bar""#),
    (
        "sum(\n  foo,\n  1\n)",
        "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2",
    ),
    ("foo # c\n$", "2:1: parse error: unexpected character: '$'"),
    (
        "foo{\n  a=\"b\"\n  c=\"d\"\n}",
        r#"3:3: parse error: unexpected identifier "c" in label matching, expected "," or "}""#,
    ),
    ("\"a\nb\"", "1:1: parse error: unterminated quoted string"),
];
