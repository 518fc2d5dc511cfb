use super::*;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use std::io::Write as _;

fn body(bytes: &[u8], memory: &Accountant) -> Body {
    Body { bytes: Bytes::copy_from_slice(bytes), charge: charge(memory, 0).unwrap() }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn unpacked(bytes: &[u8], coding: Coding, limit: u64) -> Result<Vec<u8>, Failure> {
    let memory = Accountant::unlimited();
    let result = decompress(&memory, body(bytes, &memory), coding, ByteSize(limit));
    let result = result.map(|body| {
        assert!(body.charge.bytes() >= body.bytes.len() as u64 || coding == Coding::Identity);
        body.bytes.to_vec()
    });
    assert_eq!(memory.used(), 0, "every charge is given back");
    result
}

#[test]
fn each_coding_reads_back_and_gzip_may_have_several_members() {
    let text = b"cpu usage=1\n".repeat(100_000);
    let (first, second) = text.split_at(5000);
    let members = [gzip(first), gzip(second)].concat();
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(&text).unwrap();
    let zlib = zlib.finish().unwrap();
    for (bytes, coding) in [
        (text.clone(), Coding::Identity),
        (members, Coding::Gzip),
        (zlib, Coding::Deflate),
        (remote::snappy::compress(&text), Coding::Snappy),
    ] {
        assert_eq!(unpacked(&bytes, coding, text.len() as u64).unwrap(), text, "{coding:?}");
        let short = unpacked(&bytes, coding, text.len() as u64 - 1);
        assert!(matches!(short, Err(Failure::TooLarge(_))), "{coding:?}");
    }
}

#[test]
fn a_bomb_is_refused_without_its_memory() {
    let bomb = gzip(&vec![0; 64 << 20]);
    let memory = Accountant::new(4 << 20);
    let result = decompress(&memory, body(&bomb, &memory), Coding::Gzip, ByteSize(1 << 20));
    assert!(matches!(result, Err(Failure::TooLarge(_))));
    let result = decompress(&memory, body(&bomb, &memory), Coding::Gzip, ByteSize(32 << 20));
    assert!(matches!(result, Err(Failure::Busy { .. })), "the budget is smaller than the limit");
    assert_eq!(memory.used(), 0);
}

#[test]
fn damage_is_a_bad_body() {
    let good = gzip(b"a text");
    for (bytes, coding, want) in [
        (&b"nonsense that is long enough"[..], Coding::Gzip, "gzip: "),
        (&good[..good.len() - 3], Coding::Gzip, "unexpected EOF"),
        (b"nonsense", Coding::Deflate, "zlib: "),
        (b"\xff\xff", Coding::Snappy, "snappy: corrupt input"),
    ] {
        match unpacked(bytes, coding, 1 << 20) {
            Err(Failure::BadBody(text)) => assert!(text.starts_with(want), "{text}"),
            other => panic!("{coding:?}: {other:?}"),
        }
    }
}

#[test]
fn the_declared_length_of_a_block_is_read_with_care() {
    for (block, want) in [
        (&[][..], 0),
        (&[5], 5),
        (&[0x80, 0x01], 128),
        (&[0xff, 0xff, 0xff, 0xff, 0x0f], 0xffff_ffff),
        (&[0xff; 6], 0),
    ] {
        assert_eq!(snappy_len(block), want, "{block:?}");
    }
}
