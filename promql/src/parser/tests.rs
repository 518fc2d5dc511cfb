use super::*;
use crate::{prettify, to_json};

fn parsed(text: &str) -> Result<Ast, ParseError> {
    parse(text, &ParseOptions::all())
}

fn message(text: &str) -> String {
    parsed(text).map_or_else(|error| error.message, |ast| format!("no error: {} nodes", ast.len()))
}

/// Tokens that the lexer gives out for `text`, which parses.
fn num_tokens(text: &str) -> usize {
    let options = ParseOptions { limits: UNLIMITED, ..ParseOptions::all() };
    let mut parser = Parser::new(text, &options).unwrap();
    parser.query().unwrap();
    parser.lexer.num_tokens
}

const UNLIMITED: ParseLimits =
    ParseLimits { text_bytes: usize::MAX, nesting: usize::MAX, nodes: usize::MAX };

#[test]
fn each_token_is_read_once() {
    let chain = "a".to_owned() + &"+a".repeat(1000);
    assert_eq!(num_tokens(&chain), 2002);
    let nested = "(".repeat(1000) + "a" + &")".repeat(1000);
    assert_eq!(num_tokens(&nested), 2002);
    assert_eq!(num_tokens(&("-".repeat(1000) + "a")), 1002);
    assert_eq!(num_tokens(&format!("a[{}1]", "1^".repeat(100))), 205);
}

#[test]
fn half_a_megabyte_is_parsed_or_refused_without_recursion() {
    const BYTES: usize = 512 << 10;
    for (text, want) in [
        ("(".repeat(BYTES), "query is nested 513 deep, limit 512"),
        ("-".repeat(BYTES), "query is nested 513 deep, limit 512"),
        ("sum(".repeat(BYTES / 4), "query is nested 513 deep, limit 512"),
        ("abs(".repeat(BYTES / 4), "query is nested 513 deep, limit 512"),
        ("a^".repeat(BYTES / 2), "query is nested 513 deep, limit 512"),
        ("a[".to_owned() + &"(".repeat(BYTES), "query is nested 513 deep, limit 512"),
        ("a[".to_owned() + &"-".repeat(BYTES), "query is nested 513 deep, limit 512"),
        ("a[1".to_owned() + &"+1".repeat(BYTES / 2), "query is nested 513 deep, limit 512"),
        ("a offset ".to_owned() + &"-".repeat(BYTES), "query is nested 513 deep, limit 512"),
        ("a+".repeat(BYTES / 2) + "a", "query has 200001 nodes or more, limit 200000"),
        (
            "abs(".to_owned() + &"1,".repeat(BYTES / 2),
            "query has 200001 nodes or more, limit 200000",
        ),
        ("a ".repeat(BYTES / 2), "unexpected identifier \"a\""),
        ("#".repeat(BYTES), "no expression found in input"),
        ("#\n".repeat(BYTES / 2), "no expression found in input"),
        ("fill ".repeat(BYTES / 5), "unexpected identifier \"fill\""),
        ("a".repeat(2 << 20), "query is 2097152 bytes, limit 1048576"),
    ] {
        assert_eq!(message(&text), want, "{}...", &text[..20]);
    }
    let huge = ParseOptions {
        limits: ParseLimits { nodes: 1 << 20, ..ParseLimits::default() },
        ..ParseOptions::all()
    };
    let chain = "a+".repeat(BYTES / 2) + "a";
    let ast = parse(&chain, &huge).unwrap();
    assert_eq!(ast.len(), BYTES + 1);
    assert_eq!(ast.to_string().replace(' ', ""), chain);
    assert!(prettify(&ast).len() > BYTES);
    assert!(to_json(&ast).len() > BYTES);
    let matchers = "{".to_owned() + &"a=\"b\",".repeat(BYTES / 6) + "}";
    assert_eq!(parsed(&matchers).unwrap().len(), 1);
    let regexes = "{".to_owned() + &"a=~\"b.*c\",".repeat(BYTES / 10) + "}";
    assert_eq!(message(&regexes), "query has 200081 nodes or more, limit 200000");
    let string = "\"".to_owned() + &"\\n".repeat(BYTES / 2) + "\"";
    assert_eq!(parsed(&string).unwrap().len(), 1);
}

#[test]
fn a_limit_is_the_last_size_that_passes() {
    let nested = |n: usize| "(".repeat(n) + "a" + &")".repeat(n);
    assert_eq!(parsed(&nested(512)).unwrap().len(), 513);
    assert_eq!(message(&nested(513)), "query is nested 513 deep, limit 512");
    // Nesting is what is open at once.
    let siblings = vec![nested(300); 3].join("+");
    assert_eq!(parsed(&siblings).unwrap().len(), 905);
    let powers = |n: usize| "a^".repeat(n) + "a";
    assert_eq!(parsed(&powers(513)).unwrap().len(), 1027);
    assert_eq!(message(&powers(514)), "query is nested 513 deep, limit 512");
    let small = ParseOptions {
        limits: ParseLimits { text_bytes: 6, nesting: 1, nodes: 2 },
        ..ParseOptions::all()
    };
    assert!(parse("-(a)", &small).is_err());
    assert!(parse("(a)", &small).is_ok());
    assert!(parse("a+a", &small).is_err());
    assert!(parse("-a", &small).is_ok());
    assert!(parse("aaaaaa", &small).is_ok());
    assert!(parse("aaaaaaa", &small).is_err());
}

#[test]
fn operators_bind_as_in_prometheus() {
    // Parentheses show the tree, as the printer leaves them out.
    fn tree(ast: &Ast, id: NodeId) -> String {
        match ast.expr(id) {
            Expr::Binary(b) => {
                format!("({} {} {})", tree(ast, b.lhs), b.op.as_str(), tree(ast, b.rhs))
            }
            Expr::Unary { negative, expr } => {
                format!("({}{})", if *negative { '-' } else { '+' }, tree(ast, *expr))
            }
            Expr::Paren(expr) => format!("[{}]", tree(ast, *expr)),
            _ => ast.print(id),
        }
    }
    for (text, want) in [
        ("1+2*3", "(1 + (2 * 3))"),
        ("1*2+3", "((1 * 2) + 3)"),
        ("1-2-3", "((1 - 2) - 3)"),
        ("2^3^2", "(2 ^ (3 ^ 2))"),
        ("-1^2", "(-(1 ^ 2))"),
        ("-a*b", "((-a) * b)"),
        ("2^-1^2*3", "((2 ^ (-(1 ^ 2))) * 3)"),
        ("a or b and c", "(a or (b and c))"),
        ("a and b or c unless d", "((a and b) or (c unless d))"),
        ("a == b + c", "(a == (b + c))"),
        ("a </ 1 >/ 2 + 3", "((a </ 1) >/ (2 + 3))"),
        ("a + b == c and d", "(((a + b) == c) and d)"),
        ("a atan2 b % c", "((a atan2 b) % c)"),
        ("a + -b", "(a + (-b))"),
        ("- - -1", "-1"),
        ("-(a)", "(-[a])"),
        ("-a offset 5m", "(-a offset 5m)"),
        ("a ^ b offset 5m", "(a ^ b offset 5m)"),
        ("foo offset -2^2", "(foo offset -2s ^ 2)"),
        ("foo offset 5m*2", "(foo offset 5m * 2)"),
        ("foo offset step()*2", "(foo offset step() * 2)"),
        ("foo offset -(1m+2)*3", "(foo offset -(1m + 2) * 3)"),
        ("foo offset +(1m+2)*3", "(foo offset +(1m + 2) * 3)"),
        ("foo offset (1m+2)*3", "foo offset (1m + 2) * 3"),
        ("foo offset --1m*2", "foo offset 1m * 2"),
        ("and and and", "(and and and)"),
        ("fill + fill", "(fill + fill)"),
    ] {
        let ast = parsed(text).unwrap();
        assert_eq!(tree(&ast, ast.root()), want, "{text}");
    }
}

#[test]
fn a_place_is_the_one_that_annotations_name() {
    for (text, id, want) in [
        ("foo offset 5m + 1", 0, (0, 13)),
        ("foo offset 5m + 1", 2, (0, 17)),
        ("sum (foo) by (a) > 1", 1, (0, 16)),
        (" sum( rate(foo[5m] @ 3) )", 1, (11, 22)),
        (" sum( rate(foo[5m] @ 3) )", 2, (6, 23)),
        (" sum( rate(foo[5m] @ 3) )", 3, (1, 25)),
        ("( foo [5m:] offset 3m )", 1, (2, 21)),
        ("( foo [5m:] offset 3m )", 2, (0, 23)),
        ("1 + -  2", 1, (4, 8)),
        ("é{\"é\"}", 0, (0, 0)),
        ("- foo{a=\"b\"}", 0, (2, 12)),
    ] {
        let Ok(ast) = parsed(text) else {
            assert_eq!(want, (0, 0), "{text}");
            continue;
        };
        let pos = ast.pos(NodeId(id));
        assert_eq!((pos.start, pos.end), want, "{text} node {id}");
    }
}

#[test]
fn the_type_of_a_node_follows_its_children() {
    use crate::ast::ValueType::{Matrix, Scalar, String, Vector};
    for (text, want) in [
        ("1 + 2", Scalar),
        ("-(1 > bool 2)", Scalar),
        ("1 + foo", Vector),
        ("(foo[5m])", Matrix),
        ("foo[5m:]", Matrix),
        ("\"a\"", String),
        ("scalar(foo)", Scalar),
        ("vector(1)", Vector),
        ("sum(foo)", Vector),
        ("min_of(1, step())", Scalar),
    ] {
        let ast = parsed(text).unwrap();
        assert_eq!(ast.value_type(ast.root()), want, "{text}");
    }
}

#[test]
fn durations_are_those_of_prometheus() {
    for (text, ms) in [
        ("0", 0),
        ("0s", 0),
        ("1ms", 1),
        ("1h30m", 5_400_000),
        ("1y2w3d4h5m6s7ms", 33_019_506_007),
        ("292y", 9_208_512_000_000),
    ] {
        assert_eq!(parse_duration(text), Ok(ms), "{text}");
    }
    for (text, want) in [
        ("", "empty duration string"),
        ("1", "not a valid duration string: \"1\""),
        ("-1s", "not a valid duration string: \"-1s\""),
        ("1m1h", "not a valid duration string: \"1m1h\""),
        ("1s1s", "not a valid duration string: \"1s1s\""),
        ("1.5h", "unknown unit \".\" in duration \"1.5h\""),
        ("5x", "unknown unit \"x\" in duration \"5x\""),
        ("1 s", "unknown unit \" s\" in duration \"1 s\""),
        ("99999999999999999999s", "not a valid duration string: \"99999999999999999999s\""),
        ("293y", "duration out of range"),
        ("18446744073709551615y", "duration out of range"),
    ] {
        assert_eq!(parse_duration(text).unwrap_err().to_string(), want, "{text}");
    }
    for (ms, want) in [
        (0, "0s"),
        (1, "1ms"),
        (90_000, "1m30s"),
        (8 * 86_400_000, "8d"),
        (14 * 86_400_000, "2w"),
        (365 * 86_400_000, "1y"),
        (366 * 86_400_000, "366d"),
        (129_600_000, "1d12h"),
        (-5_400_000, "-1h30m"),
        (i64::MIN, "-106751991167d7h12m55s808ms"),
    ] {
        assert_eq!(format_duration(ms), want);
    }
}

#[test]
fn numbers_are_those_of_go() {
    for (text, want) in [
        ("1", 1.0),
        ("010", 8.0),
        ("08", 8.0),
        ("0_7", 7.0),
        ("0x1F", 31.0),
        ("0x_1_F", 31.0),
        ("1_000.5", 1000.5),
        ("9223372036854775808", 9_223_372_036_854_775_808.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e-3", 0.001),
        ("Inf", f64::INFINITY),
    ] {
        assert_eq!(parse_number(text), Ok(want), "{text}");
    }
    assert!(parse_number("nAN").unwrap().is_nan());
    for text in ["", ".", "1__0", "_1", "1_", "0x", "0x1p", "1e", "0b1", "-1", "1s", "infinit"] {
        assert!(parse_number(text).is_err(), "{text}");
    }
    assert_eq!(
        parse_number("1e999").unwrap_err().to_string(),
        "strconv.ParseFloat: parsing \"1e999\": value out of range"
    );
}
