//! Random queries survive printing, and random text does no harm.

use promql::{
    ParseOptions, parse, parse_duration, parse_number, parse_selector, prettify, to_json,
};
use proptest::prelude::*;

/// Text of a random vector expression.
fn vector() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![selector(), Just("vector(1)".to_owned()), Just("and".to_owned())];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let (a, b, c) = (inner.clone(), inner.clone(), inner.clone());
        prop_oneof![
            (a, binary_operator(), b).prop_map(|(l, op, r)| format!("({l}) {op} ({r})")),
            (inner.clone(), "[-+*/%^]", number()).prop_map(|(l, op, r)| format!("{l} {op} {r}")),
            (inner.clone(), "- |\\+", Just(())).prop_map(|(v, sign, ())| format!("{sign}{v}")),
            (aggregation(), c).prop_map(|(head, v)| format!("{head} ({v})")),
            (inner.clone(), number()).prop_map(|(v, n)| format!("topk without (x) ({n}, {v})")),
            (inner.clone(), string())
                .prop_map(|(v, s)| format!("label_replace({v}, 'a', {s}, 'b', 'c')")),
            (inner, duration(), suffix(), "rate|max_over_time|changes").prop_map(
                |(v, d, suffix, f)| format!("{f}(({v})[{d}:]{suffix}) + {f}(foo[{d}]{suffix})")
            ),
        ]
    })
}

fn selector() -> impl Strategy<Value = String> {
    let name = prop_oneof!["[a-z_:][a-z0-9_:]{0,6}", Just("sum".to_owned()), Just(String::new())];
    let matcher =
        ("[a-z_][a-z0-9_]{0,3}|\"é b\"", "=|!=|=~|!~", string()).prop_map(|(l, op, v)| {
            if op.contains('~') { format!("{l}{op}'a.*'") } else { l + &op + &v }
        });
    let matchers = proptest::collection::vec(matcher, 0..3);
    (name, matchers, suffix()).prop_map(|(name, matchers, suffix)| {
        let first = if name.is_empty() { "x=\"y\"," } else { "" };
        // Numbers and reserved words are no names.
        let name = match name.as_str() {
            "on" | "bool" | "inf" | "nan" => "foo".to_owned(),
            _ => name,
        };
        let selector = format!("{name}{{{first}{}}}{suffix}", matchers.join(" , "));
        // After an offset in parentheses an operator would go on with the duration.
        if suffix.contains('(') { format!("({selector})") } else { selector }
    })
}

fn suffix() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        duration().prop_map(|d| format!(" offset ({d})")),
        (0..100_000_u32).prop_map(|ms| format!(" @ {}.{:03}", ms / 1000, ms % 1000)),
        Just(" @ end() offset -1h5m".to_owned()),
        (1..10_000_u32).prop_map(|s| format!(" offset -{s}")),
    ]
}

fn duration() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[1-9][0-9]?(s|m|h|d|w|y|ms)",
        "[1-9][0-9]{0,3}",
        Just("step()".to_owned()),
        Just("range()".to_owned()),
    ];
    leaf.prop_recursive(3, 8, 2, |inner| {
        prop_oneof![
            (inner.clone(), "[-+*/%^]", inner.clone())
                .prop_map(|(l, op, r)| format!("({l} {op} {r})")),
            (inner.clone(), inner.clone(), "min_of|max_of")
                .prop_map(|(l, r, f)| format!("{f}({l},{r})")),
            inner.prop_map(|d| format!("step() + -({d})")),
        ]
    })
}

fn binary_operator() -> impl Strategy<Value = String> {
    let plain = "\\+|-|\\*|/|%|\\^|==|!=|<=|<|>=|>|atan2|</|>/";
    let modifier = prop_oneof![
        Just(""),
        Just("on (a, \"b c\")"),
        Just("ignoring()"),
        Just("on(a) group_left(c)"),
        Just("ignoring(x) group_right(y)"),
        Just("on() fill(0.5)"),
        Just("fill_left(-1h) fill_right(1e9)"),
    ];
    prop_oneof![
        (plain, modifier).prop_map(|(op, modifier)| format!("{op} {modifier}")),
        "(and|or|unless)( on ?\\(a\\))?",
        "(==|>) bool",
    ]
}

fn aggregation() -> impl Strategy<Value = String> {
    "(sum|avg|group|stddev)( by \\((a, b|\"é\"|sum|)\\)| without \\(c\\))?"
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:e}")),
        (0..1_000_000_u32).prop_map(|n| n.to_string()),
        Just("1h30m".to_owned()),
    ]
}

fn string() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|text| {
        let text: String = text.chars().filter(|c| *c != '\u{fffd}').collect();
        model::go_quote(&text)
    })
}

/// Text made of pieces of the language, right by accident at best.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[a-z_]{1,3}|[0-9.]{1,3}|[smhdwye]",
        proptest::sample::select(vec![
            "(",
            ")",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "+",
            "-",
            "^",
            "==",
            "=~",
            "\"",
            "'",
            "`",
            "\\",
            "#",
            "\n",
            " ",
            "@",
            "sum",
            "by",
            "on",
            "offset",
            "bool",
            "group_left",
            "fill",
            "start",
            "step",
            "min_of",
            "foo",
            "5m",
            "1",
            "rate(",
            "[5m]",
            "{a=\"b\"}",
            "é",
            "\u{fffd}",
        ])
        .prop_map(str::to_owned),
    ];
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_parses_to_the_same_print(text in vector()) {
        let all = ParseOptions::all();
        let ast = match parse(&text, &all) {
            Ok(ast) => ast,
            Err(error) => return Err(TestCaseError::fail(format!("{text}: {error}"))),
        };
        let printed = ast.to_string();
        let again = parse(&printed, &all).map_err(|e| TestCaseError::fail(format!("{printed}: {e}")))?;
        prop_assert_eq!(&again.to_string(), &printed);
        // Printing sorts the matchers, so only their order may differ.
        prop_assert_eq!(to_json(&again).len(), to_json(&ast).len());
        prop_assert_eq!(again.len(), ast.len());
        let pretty = prettify(&ast);
        let again = parse(&pretty, &all).map_err(|e| TestCaseError::fail(format!("{pretty}: {e}")))?;
        prop_assert_eq!(&again.to_string(), &printed);
    }

    #[test]
    fn no_text_panics(text in prop_oneof![pieces(), any::<String>()]) {
        let result = parse(&text, &ParseOptions::all());
        if let Err(error) = &result {
            prop_assert!(error.pos.start as usize <= text.len());
            prop_assert!(!error.message.is_empty());
        }
        if let Ok(ast) = result {
            let printed = ast.to_string();
            let again = parse(&printed, &ParseOptions::all());
            // Prometheus prints a plus before it, which before a power is an operator.
            prop_assume!(!printed.contains("+Inf"));
            prop_assert_eq!(again.map(|ast| ast.to_string()), Ok(printed));
        }
        let _ = (parse_selector(&text), parse_duration(&text), parse_number(&text));
    }
}
