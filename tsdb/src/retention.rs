//! Which blocks retention drops: a pure function of what the blocks say about themselves.
//!
//! Only whole blocks go. A block that beats another one (see ARCHITECTURE.md, "Which write wins") stays as
//! long as that one does, or the values that it overwrote would come back.

use crate::block::BlockId;
use crate::compact::Candidate;

/// The blocks that end before `min_time_ms`.
pub fn by_time(blocks: &[Candidate], min_time_ms: i64) -> Vec<BlockId> {
    drop_while(blocks, |oldest, _| oldest.maxt < min_time_ms)
}

/// The oldest blocks, as many as must go for the rest to have at most `max_bytes`.
pub fn by_size(blocks: &[Candidate], max_bytes: u64) -> Vec<BlockId> {
    drop_while(blocks, |_, live| {
        live.iter().fold(0_u64, |sum, b| sum.saturating_add(b.bytes)) > max_bytes
    })
}

/// Drops the oldest block that beats none of the others, while `goes` says so of it and of all
/// that are left.
fn drop_while(
    blocks: &[Candidate],
    goes: impl Fn(&Candidate, &[Candidate]) -> bool,
) -> Vec<BlockId> {
    let mut live = blocks.to_vec();
    live.sort_by_key(|b| (b.maxt, b.mint, b.id));
    let mut gone = Vec::new();
    loop {
        let beats_none =
            |b: &Candidate| !live.iter().any(|o| o.late_seq < b.late_seq && o.overlaps(b));
        let Some(at) = live.iter().position(beats_none) else { return gone };
        if !goes(&live[at], &live) {
            return gone;
        }
        gone.push(live.remove(at).id);
    }
}
