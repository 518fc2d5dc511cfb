use super::load::command_line;
use super::*;

fn invoke(args: &[&str], variables: &[(&str, &str)]) -> Result<Config, String> {
    let args = std::iter::once("silverback").chain(args.iter().copied()).map(Into::into);
    let find =
        |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, text)| (*text).to_owned());
    let invocation = Invocation::from_args(args, find).map_err(|e| e.to_string())?;
    invocation.load().map_err(|e| e.to_string())
}

#[test]
fn the_documented_file_is_this_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config/silverback.yml");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, documented()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), documented(), "BLESS=1 rewrites it");
    let loaded = invoke(&["--config", path], &[]).unwrap();
    assert_eq!(loaded, Config::default());
}

#[test]
fn every_default_is_within_bounds_and_prints_as_it_is_written() {
    for key in KEYS {
        let mut config = Config::default();
        key.set(&mut config, key.default).unwrap();
        assert_eq!(key.get(&config), key.get(&Config::default()), "{}", key.name());
        let printed = key.get(&config);
        key.set(&mut config, &printed).unwrap();
        assert_eq!(key.get(&config), printed, "{}", key.name());
    }
    command_line().debug_assert();
}

#[test]
fn a_flag_beats_a_variable_beats_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.yml");
    std::fs::write(&file, "max-headers: 10\nmax-connections: 10\nidle-timeout: 10s\n").unwrap();
    let config = invoke(
        &["--config", file.to_str().unwrap(), "--max-headers=12"],
        &[("SILVERBACK_MAX_HEADERS", "11"), ("SILVERBACK_MAX_CONNECTIONS", "11")],
    )
    .unwrap();
    assert_eq!(
        (config.max_headers, config.max_connections, config.idle_timeout.0),
        (12, 11, 10_000)
    );
}

#[test]
fn prometheus_names_work_as_flags() {
    let config = invoke(
        &[
            "--web.enable-lifecycle",
            "--query.timeout=30s",
            "--query.max-samples",
            "7",
            "--query.lookback-delta=1m30s",
            "--enable-feature=a,b",
            "--enable-feature=c",
            "--web.listen-address=:9090",
        ],
        &[],
    )
    .unwrap();
    assert!(config.enable_lifecycle && !config.enable_admin_api);
    assert_eq!((config.query_timeout.0, config.query_max_samples), (30_000, 7));
    assert_eq!(config.lookback_delta.print(), "1m30s");
    assert_eq!(config.enable_feature.print(), "a,b,c");
    assert_eq!(config.bind.print(), "0.0.0.0:9090");
}

#[test]
fn wrong_settings_are_refused_in_one_line() {
    for (args, want) in [
        (&["--max-connections=0"][..], "max-connections: 0 is below the smallest allowed value 1"),
        (&["--max-connections=x"], "max-connections: \"x\" is not a whole number"),
        (&["--idle-timeout=1x"], "idle-timeout: "),
        (&["--max-uri-bytes=1GiB"], "max-uri-bytes: 1GiB is above the largest allowed value 65534"),
        (&["--memory-limit=0"], "memory-limit: 0 is below"),
        (&["--memory-limit=101%"], "memory-limit: 101% is not 1% to 100%"),
        (&["--bind=nowhere"], "bind: \"nowhere\" is not an address"),
        (&["--wal-mode=sometimes"], "wal-mode: \"sometimes\" is none of every-write, periodic"),
        (&["--config=/does/not/exist"], "/does/not/exist: "),
    ] {
        let error = invoke(args, &[]).unwrap_err();
        assert!(error.starts_with(want) && !error.contains('\n'), "{args:?}: {error}");
    }
}

#[test]
fn a_file_that_is_not_a_mapping_of_settings_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.yml");
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n\
                c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nmax-headers: *c\n";
    for (text, want) in [
        ("- a", "the file is not a mapping"),
        ("nonsense: 1", "unknown setting \"nonsense\""),
        ("max-headers: [1]", "max-headers: the value is not a scalar"),
        ("max-headers: {a: 1}", "max-headers: the value is not a scalar"),
        ("max-headers: \"\u{7}", "s.yml: "),
        (bomb, "unknown setting"),
    ] {
        std::fs::write(&file, text).unwrap();
        let error = invoke(&["--config", file.to_str().unwrap()], &[]).unwrap_err();
        assert!(error.contains(want) && !error.contains('\n'), "{text}: {error}");
    }
    std::fs::write(&file, "").unwrap();
    assert_eq!(invoke(&["--config", file.to_str().unwrap()], &[]), Ok(Config::default()));
}

#[test]
fn the_retention_bounds_the_oldest_time() {
    let mut config = Config::default();
    assert_eq!(config.oldest_ms(5), OLDEST_MS);
    config.retention = Millis(10);
    assert_eq!(config.oldest_ms(5), -5);
    config.retention = Millis(u64::MAX);
    assert_eq!(config.oldest_ms(-5), OLDEST_MS);
}

#[test]
fn sizes_are_binary() {
    for (text, want) in [
        ("0", Some(0)),
        ("1k", Some(1024)),
        ("2MB", Some(2 << 20)),
        ("3GiB", Some(3 << 30)),
        ("-1", None),
        ("", None),
        ("1.5M", None),
        ("99999999999T", None),
    ] {
        assert_eq!(ByteSize::parse(text).ok().map(|b| b.0), want, "{text}");
    }
}

#[test]
fn blocks_are_as_long_as_prometheus_would_make_them() {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    for (retention, want_ms) in [
        ("0s", 31 * DAY),
        ("15d", 3 * DAY / 2),
        ("310d", 31 * DAY),
        ("10y", 31 * DAY),
        ("1d", DAY / 10),
    ] {
        let flag = format!("--storage.tsdb.retention.time={retention}");
        let config = invoke(&[&flag], &[]).unwrap();
        assert_eq!(config.max_block_range_ms(), want_ms, "{retention}");
    }
}

#[test]
fn the_size_of_retention_is_binary_whatever_its_unit_says() {
    for (text, want) in [
        ("0", 0),
        ("512MB", 512 << 20),
        ("1GiB", 1 << 30),
        ("2TB", 2 << 40),
        ("3PB", 3 << 50),
        ("1EB", 1 << 60),
    ] {
        let config = invoke(&["--storage.tsdb.retention.size", text], &[]).unwrap();
        assert_eq!(config.retention_size.0, want, "{text}");
        let config = invoke(&[], &[("SILVERBACK_RETENTION_SIZE", text)]).unwrap();
        assert_eq!(config.retention_size.0, want, "{text}");
    }
    assert!(invoke(&["--retention-size=16EB"], &[]).is_err(), "more than 64 bits");
}

#[test]
fn features_have_prometheus_names_and_others_are_remarked_on() {
    let remarks = |names: &str| {
        let flag = format!("--enable-feature={names}");
        invoke(&[&flag], &[]).unwrap().enable_feature.remarks()
    };
    assert_eq!(remarks(""), [""; 0]);
    assert_eq!(
        remarks(
            "promql-experimental-functions,promql-extended-range-selectors,\
             promql-binop-fill-modifiers,promql-delayed-name-removal,promql-duration-expr,\
             native-histograms,type-and-unit-labels,use-start-timestamps"
        ),
        [""; 0]
    );
    assert_eq!(remarks("exemplar-storage"), ["feature exemplar-storage has no effect here"]);
    let unknown = remarks("promql-at-modifierz");
    assert!(unknown[0].starts_with("unknown feature \"promql-at-modifierz\"; known are promql-"));
}
