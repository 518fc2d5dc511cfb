//! `irate` and `idelta`, which look at the last two samples of a window.
#![expect(
    clippy::missing_errors_doc,
    reason = "the signature is that of RangeFn; these never fail"
)]

use super::ms_to_s;
use crate::functions::notes;
use crate::functions::window::{Notes, Output, Window};

/// The last two samples of a window, of one kind or mixed.
enum LastTwo {
    Floats([(i64, f64); 2]),
    Mixed,
    TooFew,
}

fn last_two(w: &Window<'_>) -> LastTwo {
    let floats = w.times.len();
    let newest_histogram = w.histograms.last().map_or(i64::MIN, |h| h.0);
    let at = |i: usize| (w.times[floats - i], w.values[floats - i]);
    if floats >= 2 && at(2).0 > newest_histogram {
        LastTwo::Floats([at(2), at(1)])
    } else if floats + w.histograms.len() >= 2 {
        LastTwo::Mixed
    } else {
        LastTwo::TooFew
    }
}

fn instant(w: &Window<'_>, notes: &mut Notes<'_>, is_rate: bool) -> Output {
    match last_two(w) {
        LastTwo::TooFew => Output::Nothing,
        LastTwo::Mixed => {
            notes.warn(notes::mixed_floats_histograms(notes.metric_name));
            Output::Nothing
        }
        LastTwo::Floats([(before_ms, before), (last_ms, last)]) => {
            let reset = is_rate && last < before;
            let rise = if reset { last } else { last - before };
            Output::Float(if is_rate { rise / ms_to_s(last_ms - before_ms) } else { rise })
        }
    }
}

/// `irate(m)`
pub fn irate(w: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Result<Output, String> {
    Ok(instant(w, notes, true))
}

/// `idelta(m)`
pub fn idelta(w: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Result<Output, String> {
    Ok(instant(w, notes, false))
}
