use super::*;

#[track_caller]
fn message(source: &str) -> String {
    let RegexError(message) = parse(source, true).expect_err(source);
    message.strip_prefix("error parsing regexp: ").expect("Go's prefix").to_owned()
}

/// Each message as Prometheus 3 gives it for a matcher.
#[test]
fn messages_are_those_of_go() {
    for (source, want) in [
        ("[a", "missing closing ]: `[a`"),
        ("x[]", "missing closing ]: `[]`"),
        ("[^]", "missing closing ]: `[^]`"),
        ("[[:alpha:", "missing closing ]: `[[:alpha:`"),
        ("a(b", "missing closing ): `a(b`"),
        ("a)", "unexpected ): `a)`"),
        ("(?i", "invalid or unsupported Perl syntax: `(?i`"),
        ("a(?z)", "invalid or unsupported Perl syntax: `(?z`"),
        ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
        ("(?i-)", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(?--i)", "invalid or unsupported Perl syntax: `(?--`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?P=n)", "invalid or unsupported Perl syntax: `(?P`"),
        ("(?P<", "invalid or unsupported Perl syntax: `(?P`"),
        ("(?<", "invalid or unsupported Perl syntax: `(?<`"),
        ("(?P<n", "invalid named capture: `(?P<n`"),
        ("(?<>a)", "invalid named capture: `(?<>`"),
        ("(?P<a-b>c)", "invalid named capture: `(?P<a-b>`"),
        ("(?P<ä>c)", "invalid named capture: `(?P<ä>`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a*??", "invalid nested repetition operator: `*??`"),
        ("x{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("(*?)", "missing argument to repetition operator: `*?`"),
        ("a|+", "missing argument to repetition operator: `+`"),
        ("{1}", "missing argument to repetition operator: `{1}`"),
        (r"\Q\E*", "missing argument to repetition operator: `*`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("x{1,9876543210}", "invalid repeat count: `{1,9876543210}`"),
        ("(a{500}){3}", "invalid repeat count: `{3}`"),
        ("(?:a{31}){33}?", "invalid repeat count: `{33}?`"),
        ("(a{1000,}){2}", "invalid repeat count: `{2}`"),
        ("\\", "trailing backslash at end of expression: ``"),
        (r"[a\", "trailing backslash at end of expression: ``"),
        (r"\8", r"invalid escape sequence: `\8`"),
        (r"\1", r"invalid escape sequence: `\1`"),
        (r"\q", r"invalid escape sequence: `\q`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\Z", r"invalid escape sequence: `\Z`"),
        (r"\E", r"invalid escape sequence: `\E`"),
        (r"\ä", r"invalid escape sequence: `\ä`"),
        (r"[\b]", r"invalid escape sequence: `\b`"),
        (r"[a-\d]", r"invalid escape sequence: `\d`"),
        (r"\x", r"invalid escape sequence: `\x`"),
        (r"\x1", r"invalid escape sequence: `\x1`"),
        (r"\xzzz", r"invalid escape sequence: `\xzz`"),
        (r"\x{}", r"invalid escape sequence: `\x{}`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
        ("[b-a]", "invalid character class range: `b-a`"),
        ("[z-a", "invalid character class range: `z-a`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"a\pX", r"invalid character class range: `\pX`"),
        (r"\p", r"invalid character class range: `\p`"),
        (r"\p{L", r"invalid character class range: `\p{L`"),
        (r"\p{^}b", r"invalid character class range: `\p{^}`"),
        (r"\p{sc=Greek}", r"invalid character class range: `\p{sc=Greek}`"),
        (r"\p{Alphabetic}", r"invalid character class range: `\p{Alphabetic}`"),
    ] {
        assert_eq!(message(source), want, "{source}");
    }
}

#[test]
fn odd_looking_expressions_are_legal() {
    for source in [
        "",
        "()",
        "(|a)*",
        "a|",
        "|",
        "^*",
        "$+",
        "()*",
        "{",
        "a{,5}",
        "a{1",
        "a{01}",
        "a{1,2",
        "]",
        "[]a]",
        "[^]a]",
        "[a-]",
        "[-a]",
        "[a&&b]",
        "[[a]]",
        "[[]",
        "[:alpha:]",
        r"[\d-z]",
        r"\_\-\<",
        r"\12",
        r"\07",
        r"\400",
        r"\x{D800}",
        r"[\x{D800}-\x{DFFF}]",
        "a(?i)*",
        "a*(?i)*",
        "(?)a",
        "(?i-s:a)",
        "(?P<1a>b)",
        "(?<n>a)(?P<n>b)",
        r"\Qa*\E+",
        r"\Q(",
        r"\pN\PN\p{^L}\P{^Greek}",
        r"\p{Any}\p{Cn}\p{Cs}\p{LC}",
        r"\p{Old_Italic}",
        r"\p{letter}\p{ASCII}",
        "a{0}",
        "a{1000}",
        "((a{1000}){0}){5}",
        "(a{0,}){1000}",
        "(a*){1000}",
        "(?U)a*?",
    ] {
        assert!(parse(source, true).is_ok(), "{source}: {:?}", parse(source, true).err());
    }
}

#[test]
fn nesting_is_limited() {
    let nested = |depth| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&nested(MAX_NESTING), true).is_ok());
    assert!(message(&nested(MAX_NESTING + 1)).starts_with("expression nests too deeply: `(((("));
    assert!(message(&"(".repeat(1 << 20)).starts_with("expression nests too deeply"));
    let stacked = |n| format!("a{}", "*(?i)".repeat(n));
    assert!(parse(&stacked(MAX_NESTING), true).is_ok());
    assert!(message(&stacked(MAX_NESTING + 1)).starts_with("expression nests too deeply"));
    assert!(message(&format!("({}", nested(MAX_NESTING))).starts_with("expression nests"));
}
