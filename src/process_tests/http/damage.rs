//! Damaged blocks: an answer says what is missing from it, or it is an error; never is it silently
//! wrong.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::peer::Server;

const DAY: u64 = 24 * 3600;

/// A server with three blocks of two series each, of day 1, 3 and 5; stopped, and the directories of
/// the blocks in this order.
fn stopped_with_blocks() -> (Server, Vec<PathBuf>) {
    let mut server = Server::start(&[]);
    for day in [1, 3, 5] {
        let mut lines = String::new();
        for i in 0..50 {
            // Values that no encoding makes short.
            let v = (f64::from(i) * 0.7351).sin();
            let t = (day * DAY + u64::try_from(i).unwrap() * 15) * 1_000_000_000;
            let _ = write!(lines, "m,s=a f={v} {t}\nm,s=b f={v},n=1 {t}\n");
        }
        assert_eq!(server.post("/write?db=x", &[], lines.as_bytes()).status, 204);
        server = server.restart(&["--maintenance-interval=10m"]);
    }
    let blocks = server.get("/api/v1/status/tsdb/blocks").json();
    let data = server.dir.path().join("data");
    let ids = blocks["data"]["blocks"].as_array().unwrap().iter();
    let dirs: Vec<_> = ids.map(|block| data.join(block["ulid"].as_str().unwrap())).collect();
    assert_eq!(dirs.len(), 3);
    server.stop();
    (server, dirs)
}

fn flip(file: &Path, at: impl FnOnce(usize) -> usize) {
    let mut bytes = std::fs::read(file).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 0x10;
    std::fs::write(file, bytes).unwrap();
}

fn id_of(block: &Path) -> &str {
    block.file_name().unwrap().to_str().unwrap()
}

/// Routes with a time range in days.
fn routes(from: u64, to: u64) -> Vec<String> {
    let (start, end, range) = (from * DAY, to * DAY, to - from);
    vec![
        format!("/api/v1/query?query=count_over_time(m_f[{range}d])%2Bm_f*0&time={end}"),
        format!("/api/v1/query?query=count(count_over_time(m_f[{range}d]))&time={end}"),
        format!("/api/v1/query_range?query=m_f&start={start}&end={end}&step=600"),
        format!("/api/v1/series?match[]=m_f&match[]=m_n&start={start}&end={end}"),
        format!("/api/v1/labels?start={start}&end={end}"),
        format!("/api/v1/label/s/values?start={start}&end={end}"),
    ]
}

#[test]
fn answers_that_need_a_block_found_damaged_at_start_name_it_until_it_is_removed() {
    let (server, blocks) = stopped_with_blocks();
    // The last bytes of a file are its seal.
    flip(&blocks[1].join("index"), |len| len - 3);
    let server = server.start_again();
    let id = id_of(&blocks[1]);
    let warning = format!(
        "block {id} is damaged: samples from {} to {} ms may be missing",
        3 * DAY * 1000,
        (3 * DAY + 49 * 15) * 1000
    );
    let check = |server: &Server| {
        for target in routes(2, 4).into_iter().chain(routes(1, 6)) {
            let answer = server.get(&target).json();
            assert_eq!(answer["warnings"], json!([warning]), "{target}: {answer}");
        }
        for target in routes(1, 2).into_iter().chain(routes(4, 6)) {
            let answer = server.get(&target).json();
            assert_eq!(answer.get("warnings"), None, "{target}: {answer}");
            assert_ne!(answer["data"].as_array().map(Vec::len), Some(0), "{target}: {answer}");
        }
        assert_eq!(server.metric("silverback_quarantined_blocks "), Some(1.0));
        assert_eq!(server.metric("prometheus_tsdb_blocks_loaded "), Some(2.0));
    };
    check(&server);
    // It is not forgotten, and the bytes are kept.
    let server = server.restart(&[]);
    check(&server);
    let kept = server.dir.path().join("data/quarantine").join(id);
    assert!(kept.join("index").is_file() && kept.join("chunks").is_file());
    // Whoever removes it knows that it is gone.
    std::fs::remove_dir_all(kept).unwrap();
    let server = server.restart(&[]);
    for target in routes(1, 6) {
        assert_eq!(server.get(&target).json().get("warnings"), None, "{target}");
    }
}

#[test]
fn a_block_that_is_gone_or_says_nothing_is_missing_at_any_time() {
    let (server, blocks) = stopped_with_blocks();
    std::fs::remove_dir_all(&blocks[0]).unwrap();
    flip(&blocks[2].join("meta"), |len| len / 2);
    let mut server = server.start_again();
    for _ in 0..2 {
        let mut warnings: Vec<String> = [&blocks[0], &blocks[2]]
            .iter()
            .map(|dir| {
                format!("block {} is damaged: samples of any time may be missing", id_of(dir))
            })
            .collect();
        warnings.sort();
        for target in routes(2, 4).into_iter().chain(routes(100, 101)) {
            let answer = server.get(&target).json();
            let mut found: Vec<String> =
                serde_json::from_value(answer["warnings"].clone()).unwrap_or_default();
            found.sort();
            assert_eq!(found, warnings, "{target}: {answer}");
        }
        server = server.restart(&[]);
    }
}

/// Chunks are checked when they are read: a query that needs the damaged one fails and names the
/// block, others have their answers. A compaction that comes across it takes the block out.
#[test]
fn damage_found_while_reading_is_an_error_that_names_the_block() {
    let (server, blocks) = stopped_with_blocks();
    // Behind the header: the times that all series of the block share.
    flip(&blocks[1].join("chunks"), |_| 24);
    let server = server.start_again();
    assert_eq!(server.metric("silverback_quarantined_blocks "), Some(0.0));
    for target in [
        format!("/api/v1/query?query=m_f&time={}", 3 * DAY + 300),
        format!("/api/v1/query?query=sum(rate(m_f[5d]))&time={}", 6 * DAY),
        format!("/api/v1/query_range?query=m_f&start={DAY}&end={}&step=60", 4 * DAY),
    ] {
        let answer = server.get(&target);
        let error = answer.json();
        assert_eq!((answer.status, &error["errorType"]), (500, &json!("internal")), "{target}");
        let text = error["error"].as_str().unwrap();
        assert!(text.contains("corrupt data: ") && text.contains(id_of(&blocks[1])), "{text}");
    }
    for day in [1, 5] {
        let answer =
            server.get(&format!("/api/v1/query?query=m_f&time={}", day * DAY + 300)).json();
        let found = answer["data"]["result"].as_array().unwrap();
        assert_eq!((found.len(), answer.get("warnings")), (2, None));
    }

    // The day ends in which it is, and another block of it calls for a merge.
    let line = format!("m,s=a f=1 {}000000000\nm,s=a f=1 {}000000000", 3 * DAY + 4000, 9 * DAY);
    assert_eq!(server.post("/write?db=x", &[], line.as_bytes()).status, 204);
    let server = server.restart(&["--maintenance-interval=50ms"]);
    server.wait_until("a compaction comes across it", |server| {
        server.metric("silverback_quarantined_blocks ") == Some(1.0)
    });
    assert!(server.metric("prometheus_tsdb_compactions_failed_total ") >= Some(1.0));
    let answer = server.get(&format!("/api/v1/query?query=m_f&time={}", 3 * DAY + 300)).json();
    let text = answer["warnings"][0].as_str().unwrap();
    assert!(text.contains(id_of(&blocks[1])) && answer["status"] == "success", "{answer}");
}
