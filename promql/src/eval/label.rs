//! `label_replace` and `label_join`: new labels, the same values.

use model::Labels;

use super::call::Call;
use super::element::Map;
use super::merge::{Equal, Merge};
use super::{Rows, State};
use crate::ast::Text;
use crate::engine::QueryError;
use crate::functions::label::{LabelJoin, LabelReplace};

/// The operator of `label_replace`.
pub(crate) fn replace<'q>(call: &Call<'q>, state: &mut State) -> Result<Rows<'q>, QueryError> {
    let [template, src, expression] = [2, 3, 4].map(|i| call.text(i));
    let f = LabelReplace::new(call.literal(1), template, src, expression)
        .map_err(QueryError::Execution)?;
    let sets_name = f.sets_name();
    relabeled(call, state, sets_name, move |labels| f.apply(labels))
}

/// The operator of `label_join`.
pub(crate) fn join<'q>(call: &Call<'q>, state: &mut State) -> Result<Rows<'q>, QueryError> {
    let sources: Vec<&Text> = (3..call.args.len()).map(|i| call.literal(i)).collect();
    let f =
        LabelJoin::new(call.literal(1), call.text(2), &sources).map_err(QueryError::Execution)?;
    let sets_name = f.sets_name();
    relabeled(call, state, sets_name, move |labels| Some(f.apply(labels)))
}

/// Gives each row the labels that `f` makes of its own; `None` leaves them. Rows that become equal
/// are joined. A name that is written here stays.
fn relabeled<'q>(
    call: &Call<'q>,
    state: &mut State,
    sets_name: bool,
    f: impl Fn(&Labels) -> Option<Labels> + 'q,
) -> Result<Rows<'q>, QueryError> {
    let rows = call.rows(0, state)?;
    let rows = Map::boxed(rows, move |row, _| {
        if let Some(labels) = f(&row.labels) {
            row.labels = labels;
            row.drop_name &= !sets_name;
        }
        Ok(())
    });
    Ok(Box::new(Merge::new(rows, Equal::Join)))
}
