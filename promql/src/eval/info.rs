use super::call::Call;
use super::{Rows, State};
use crate::engine::QueryError;

pub(crate) fn build<'q>(_: &Call<'q>, _: &mut State) -> Result<Rows<'q>, QueryError> {
    Err(QueryError::execution("info is not there yet"))
}
