//! The three ways to write a tree, each as Prometheus writes it.

use promql::{ParseOptions, parse, prettify, to_json};

fn ast(text: &str) -> promql::ast::Ast {
    parse(text, &ParseOptions::all()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn the_canonical_form_is_that_of_prometheus() {
    for (text, want) in [
        ("sum(foo)by(a,b)", "sum by (a, b) (foo)"),
        ("sum by () (foo)", "sum(foo)"),
        ("sum without(foo)(foo)", "sum without (foo) (foo)"),
        ("sum without () (foo)", "sum without () (foo)"),
        ("sum by (\"a b\") (foo)", "sum by (\"a b\") (foo)"),
        ("SUM(TOPK(5,foo))", "sum(topk(5, foo))"),
        ("foo{b='x',a!~\"y\",}", "foo{a!~\"y\",b=\"x\"}"),
        ("{__name__=\"foo\"}", "{__name__=\"foo\"}"),
        ("{\"foo.bar\",a=\"b\"}", "{__name__=\"foo.bar\",a=\"b\"}"),
        ("foo{}", "foo"),
        ("foo{`a b`=`c\"d`}", "foo{\"a b\"=\"c\\\"d\"}"),
        ("foo offset 300", "foo offset 5m"),
        ("foo offset -0.5", "foo offset -500ms"),
        ("foo OFFSET 1h @ 10", "foo @ 10.000 offset 1h"),
        ("foo @ end() anchored offset 1m", "foo @ end() anchored offset 1m"),
        ("foo[5m] @ 1.5 smoothed", "foo[5m] smoothed @ 1.500"),
        ("foo [ 300 ]", "foo[5m]"),
        ("foo[1h:]offset 1m", "foo[1h:] offset 1m"),
        ("foo[step()+1m*2:range()/10]", "foo[step() + 1m * 2:range() / 10]"),
        ("foo[MIN_OF(5m,step())]", "foo[min_of(5m, step())]"),
        ("foo[((5m))]", "foo[(5m)]"),
        ("foo offset -max_of(1m,2)", "foo offset -max_of(1m, 2)"),
        ("(foo[5m:1m])", "(foo[5m:1m])"),
        ("1h30m", "1h30m"),
        ("-1h", "-1h"),
        ("+5", "5"),
        ("1e3", "1000"),
        ("0x10", "16"),
        ("1e30", "1000000000000000000000000000000"),
        ("1e-7", "0.0000001"),
        ("-inf", "-Inf"),
        ("nan", "NaN"),
        ("\"a\\u00e9\\n\\\"\"", "\"aé\\n\\\"\""),
        ("\"\\xff\"", "\"\\xff\""),
        ("a==bool on(c)group_left(d)b", "a == bool on (c) group_left (d) b"),
        ("a+ignoring()b", "a + b"),
        ("a+on()b", "a + on () b"),
        ("a+ignoring()group_right b", "a + ignoring () group_right () b"),
        ("a+on(x)fill(0)b", "a + on (x) fill (0) b"),
        ("a+fill(1000000)b", "a + fill (1e+06) b"),
        ("a+fill_right(1m)fill_left(-1)b", "a + fill_left (-1) fill_right (60) b"),
        ("1+on()2", "1 + 2"),
        ("a</b>/c", "a </ b >/ c"),
        ("-foo", "-foo"),
        ("+ foo", "+foo"),
        ("label_replace(a,'b','c','d','e')", "label_replace(a, \"b\", \"c\", \"d\", \"e\")"),
        ("time()", "time()"),
        ("foo # comment\n+ bar", "foo + bar"),
    ] {
        let printed = ast(text).to_string();
        assert_eq!(printed, want, "{text}");
        assert_eq!(ast(&printed).to_string(), want, "the printed {text}");
    }
}

#[test]
fn a_long_expression_is_split_where_prometheus_splits_it() {
    let long = "a".repeat(60);
    for (text, want) in [
        ("sum(foo)by(a)".to_owned(), "sum by (a) (foo)".to_owned()),
        (format!("{long}+{long}"), format!("  {long}\n+\n  {long}")),
        (
            format!("sum by (job) ({long} / on (x) {long})"),
            format!("sum by (job) (\n    {long}\n  / on (x)\n    {long}\n)"),
        ),
        (
            format!("topk(5, {long}{{b=\"{long}\"}})"),
            format!("topk(\n  5,\n  {long}{{b=\"{long}\"}}\n)"),
        ),
        (
            format!("clamp(-({long} > {long}), 0, 1)"),
            format!("clamp(\n  -(\n      {long}\n    >\n      {long}\n  ),\n  0,\n  1\n)"),
        ),
        (
            format!("rate({long}[5m:1m]) + max_over_time(({long} + b)[1h:])"),
            format!("  rate({long}[5m:1m])\n+\n  max_over_time(({long} + b)[1h:])"),
        ),
        (
            format!("max_over_time(({long} + {long})[1h:] offset 5m)"),
            format!(
                "max_over_time(\n  (\n      {long}\n    +\n      {long}\n  )[1h:] offset 5m\n)"
            ),
        ),
        // Prometheus forgets the indentation of a subquery that fits on its line.
        (
            format!("quantile_over_time(scalar({long}), {long}[1h:])"),
            format!("quantile_over_time(\n  scalar({long}),\n{long}[1h:]\n)"),
        ),
    ] {
        assert_eq!(prettify(&ast(&text)), want, "{text}");
    }
}

#[test]
fn the_json_is_that_of_parse_query() {
    let selector = |name: &str| {
        format!(
            "{{\"anchored\":false,\"matchers\":[{{\"name\":\"__name__\",\"type\":\"=\",\
             \"value\":\"{name}\"}}],\"name\":\"{name}\",\"offset\":0,\"offsetExpr\":null,\
             \"smoothed\":false,\"startOrEnd\":null,\"timestamp\":null,\
             \"type\":\"vectorSelector\"}}"
        )
    };
    for (text, want) in [
        ("1h", "{\"type\":\"numberLiteral\",\"val\":\"3600\"}".to_owned()),
        (
            "\"a<&>\\n\\u0001\"",
            r#"{"type":"stringLiteral","val":"a\u003c\u0026\u003e\n\u0001"}"#.to_owned(),
        ),
        ("foo", selector("foo")),
        (
            "(-foo)",
            format!(
                "{{\"expr\":{{\"expr\":{},\"op\":\"-\",\"type\":\"unaryExpr\"}},\"type\":\"parenExpr\"}}",
                selector("foo")
            ),
        ),
        (
            "pi()",
            "{\"args\":[],\"func\":{\"argTypes\":[],\"name\":\"pi\",\"returnType\":\"scalar\",\
                  \"variadic\":0},\"type\":\"call\"}"
                .to_owned(),
        ),
        (
            "sum without (a) (foo)",
            format!(
                "{{\"expr\":{},\"grouping\":[\"a\"],\"op\":\"sum\",\"param\":null,\
             \"type\":\"aggregation\",\"without\":true}}",
                selector("foo")
            ),
        ),
        (
            "topk(1, foo)",
            format!(
                "{{\"expr\":{},\"grouping\":[],\"op\":\"topk\",\"param\":{{\"type\":\"numberLiteral\",\
             \"val\":\"1\"}},\"type\":\"aggregation\",\"without\":false}}",
                selector("foo")
            ),
        ),
        (
            "foo == bool on (a) group_left (b) fill_right (2) bar",
            format!(
                "{{\"bool\":true,\"lhs\":{},\"matching\":{{\"card\":\"many-to-one\",\"fillValues\":\
             {{\"lhs\":null,\"rhs\":2}},\"include\":[\"b\"],\"labels\":[\"a\"],\"on\":true}},\
             \"op\":\"==\",\"rhs\":{},\"type\":\"binaryExpr\"}}",
                selector("foo"),
                selector("bar")
            ),
        ),
        (
            "foo or 1 + bar",
            format!(
                "{{\"bool\":false,\"lhs\":{},\"matching\":{{\"card\":\"many-to-many\",\"fillValues\":\
             {{\"lhs\":null,\"rhs\":null}},\"include\":[],\"labels\":[],\"on\":false}},\
             \"op\":\"or\",\"rhs\":{{\"bool\":false,\"lhs\":{{\"type\":\"numberLiteral\",\
             \"val\":\"1\"}},\"matching\":null,\"op\":\"+\",\"rhs\":{},\"type\":\"binaryExpr\"}},\
             \"type\":\"binaryExpr\"}}",
                selector("foo"),
                selector("bar")
            ),
        ),
        (
            "foo[5m:step()*2] @ start() offset 1m",
            format!(
                "{{\"expr\":{},\"offset\":60000,\"offsetExpr\":null,\"range\":300000,\
             \"rangeExpr\":null,\"startOrEnd\":\"start\",\"step\":0,\"stepExpr\":{{\"lhs\":\
             {{\"lhs\":null,\"op\":\"step\",\"rhs\":null,\"type\":\"durationExpr\",\
             \"wrapped\":false}},\"op\":\"*\",\"rhs\":{{\"duration\":false,\
             \"type\":\"numberLiteral\",\"val\":\"2\"}},\"type\":\"durationExpr\",\
             \"wrapped\":false}},\"timestamp\":null,\"type\":\"subquery\"}}",
                selector("foo")
            ),
        ),
    ] {
        assert_eq!(to_json(&ast(text)), want, "{text}");
    }
}
