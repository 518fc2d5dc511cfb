//! Aggregations that let some of the series through: `limitk` and `limit_ratio`.

use super::Input;
use super::group::Groups;
use super::rank::counts;
use crate::annotations::Place;
use crate::engine::QueryError;
use crate::eval::element::Map;
use crate::eval::scalar::Scalars;
use crate::eval::{Operator, Row, Rows, State};
use crate::number;

/// `limitk`: the first series of each group and step.
pub(super) struct First<'q> {
    input: Input<'q>,
    groups: Groups<'q>,
    k: Vec<usize>,
    /// How many each group has let through at each step.
    taken: Vec<Vec<usize>>,
}

impl<'q> First<'q> {
    pub(super) fn new(input: Input<'q>, k: &Scalars) -> Result<Self, QueryError> {
        let k = counts(k, input.steps)?;
        let groups = Groups::new(input.aggregate);
        Ok(Self { input, groups, k, taken: Vec::new() })
    }
}

impl Operator for First<'_> {
    fn next(&mut self, state: &mut State) -> Result<Option<Row>, QueryError> {
        while let Some(mut row) = self.input.source.next(state)? {
            let at = self.groups.of(&row.labels);
            if at == self.taken.len() {
                self.taken.push(vec![0; self.input.steps]);
            }
            let mut kept = row.occupied();
            for step in row.occupied().iter() {
                let taken = &mut self.taken[at][step];
                if *taken < self.k[step] {
                    *taken += 1;
                } else {
                    kept.clear(step);
                }
            }
            row.retain(&kept);
            if row.any() {
                return Ok(Some(row));
            }
            state.recycle(row);
        }
        Ok(None)
    }
}

/// The operator of `limit_ratio`: the hash of a series decides, so that the same series are in
/// the same share of every query.
pub(super) fn ratio<'q>(
    input: Input<'q>,
    ratio: &Scalars,
    place: Place,
    state: &mut State,
) -> Result<Rows<'q>, QueryError> {
    let mut ratios = Vec::with_capacity(input.steps);
    for step in 0..input.steps {
        let r = ratio.at(step);
        if r.is_nan() {
            return Err(QueryError::execution("Ratio value is NaN"));
        }
        ratios.push(r.clamp(-1.0, 1.0));
    }
    let (low, high) = super::extremes(ratio, input.steps);
    for (r, capped, valid) in [(low, -1.0, low >= -1.0), (high, 1.0, high <= 1.0)] {
        if !valid {
            let (r, capped) = (number::format_g(r), number::format_g(capped));
            let text =
                format!("ratio value should be between -1 and 1, got {r}, capping to {capped}");
            state.annotations.warn(text, place);
        }
    }
    Ok(Map::boxed(input.source, move |row, _| {
        #[expect(clippy::cast_precision_loss, reason = "Prometheus converts the same way")]
        let offset = row.labels.stable_hash() as f64 / u64::MAX as f64;
        for (step, r) in ratios.iter().enumerate() {
            let keep = if *r >= 0.0 { offset < *r } else { offset >= 1.0 + *r };
            if !keep {
                row.clear(step);
            }
        }
        Ok(())
    }))
}
