use super::*;
use proptest::prelude::*;

#[test]
fn the_form_wins_and_repeated_names_are_kept() {
    let params = Params::parse("a=1&match[]=x&b", "a=2&match%5B%5D=y+z&=3").unwrap();
    assert_eq!(
        (params.get("a"), params.get("b"), params.get("c"), params.get("")),
        ("2", "", "", "3")
    );
    assert_eq!(params.all("match[]").collect::<Vec<_>>(), ["y z", "x"]);
}

#[test]
fn bad_escapes_are_refused() {
    for (text, want) in [
        ("a=%zz", "invalid URL escape \"%zz\""),
        ("a=%2", "invalid URL escape \"%2\""),
        ("%=1", "invalid URL escape \"%\""),
        ("a=%é", "invalid URL escape"),
        ("a=%ff", "parameter is not valid UTF-8"),
    ] {
        assert!(Params::parse(text, "").unwrap_err().starts_with(want), "{text}");
    }
    assert_eq!(decode("a+b%20c", false).unwrap(), "a+b c");
}

#[test]
fn times_are_seconds_or_rfc_3339() {
    for (text, want) in [
        ("0", Some(0)),
        ("1.05", Some(1050)),
        ("1700000000.1234", Some(1_700_000_000_123)),
        ("1.0006", Some(1001)),
        ("-1.5", Some(-1500)),
        ("1e3", Some(1_000_000)),
        ("1700000000000", Some(1_700_000_000_000_000)),
        ("1_000", Some(1_000_000)),
        ("1_0.5", Some(10_500)),
        ("1e-1_0", Some(0)),
        ("0x1p4", Some(16_000)),
        ("0x_1.8P-2", Some(375)),
        ("-0XAp+1", Some(-20_000)),
        ("1__0", None),
        ("_1", None),
        ("1_", None),
        ("1._5", None),
        ("1_e5", None),
        ("0x10", None),
        ("0xp1", None),
        ("0xg.1p1", None),
        ("0x1p", None),
        ("0b1", None),
        ("1e400", None),
        ("1970-01-01T00:00:01Z", Some(1000)),
        ("2026-11-21T11:00:00.25+01:00", Some(1_795_255_200_250)),
        ("2024-02-29T23:59:59.999999999Z", Some(1_709_251_199_999)),
        ("0001-01-01T00:00:00Z", Some(-62_135_596_800_000)),
        ("-292273086-05-16T16:47:06Z", Some(i64::MIN)),
        ("292277025-08-18T07:12:54.999999999Z", Some(i64::MAX)),
        ("", None),
        ("abc", None),
        ("NaN", None),
        ("Inf", None),
        ("1e30", None),
        ("2023-02-29T00:00:00Z", None),
        ("2024-13-01T00:00:00Z", None),
        ("2024-01-01T24:00:00Z", None),
        ("2024-01-01 00:00:00Z", None),
        ("2024-01-01T00:00:00", None),
        ("2024-01-01T00:00:00.Z", None),
        ("10000-01-01T00:00:00Z", None),
        ("2024-01-01T00:00:00+1:00", None),
    ] {
        let want = want
            .ok_or_else(|| format!("cannot parse {} to a valid timestamp", model::go_quote(text)));
        assert_eq!(parse_time(text), want, "{text}");
    }
}

#[test]
fn durations_are_seconds_or_have_units() {
    for (text, want) in [
        ("15", Ok(15_000)),
        ("0.25", Ok(250)),
        ("-1", Ok(-1000)),
        ("5m30s", Ok(330_000)),
        ("", Err("cannot parse \"\" to a valid duration")),
        ("5x", Err("cannot parse \"5x\" to a valid duration")),
        ("1_0", Ok(10_000)),
        ("0x1p3", Ok(8_000)),
        ("1_0s", Err("cannot parse \"1_0s\" to a valid duration")),
        ("1e400", Err("cannot parse \"1e400\" to a valid duration")),
        ("NaN", Ok(-9_223_372_036_854)),
        ("1e10", Err("cannot parse \"1e10\" to a valid duration. It overflows int64")),
        ("Inf", Err("cannot parse \"Inf\" to a valid duration. It overflows int64")),
    ] {
        assert_eq!(parse_duration(text), want.map_err(str::to_owned), "{text}");
    }
}

#[test]
fn limits_have_the_texts_of_strconv() {
    for (text, want) in [
        ("", Ok(0)),
        ("0", Ok(0)),
        ("40000", Ok(40_000)),
        ("-1", Err("limit must be non-negative")),
        ("x", Err("strconv.Atoi: parsing \"x\": invalid syntax")),
        ("1.5", Err("strconv.Atoi: parsing \"1.5\": invalid syntax")),
        (
            "99999999999999999999",
            Err("strconv.Atoi: parsing \"99999999999999999999\": value out of range"),
        ),
    ] {
        assert_eq!(parse_limit(text), want.map_err(str::to_owned), "{text}");
    }
}

proptest! {
    /// What is printed reads back: over the years that RFC 3339 can write.
    #[test]
    fn printed_times_read_back(t_ms in -62_135_596_800_000_i64..253_402_300_800_000) {
        prop_assert_eq!(parse_time(&format_rfc3339(t_ms)), Ok(t_ms));
        prop_assert_eq!(parse_time(&print_seconds(t_ms)), Ok(t_ms));
    }

    /// No text panics.
    #[test]
    fn any_text_is_a_value_or_an_error(text in any::<String>()) {
        let _ = (parse_time(&text), parse_duration(&text), parse_limit(&text));
        let _ = Params::parse(&text, &text);
    }
}
