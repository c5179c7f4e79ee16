//! Nothing that came from the data is released or recorded before the data were checked.

use dp_accounting::DpEvent;
use fed_data::Dataset;
use fed_sim::{EvaluationRecord, Observer, SimError};

/// Waits, before the first release and the first evaluation, for the check of the data that runs
/// beside them; later it only looks whether the data were written to since.
pub(crate) struct Checked<'a>(pub(crate) &'a Dataset);

impl Observer for Checked<'_> {
    fn charge(&mut self, _: u32, _: &DpEvent) -> Result<(), SimError> {
        Ok(self.0.check()?)
    }

    fn evaluation(&mut self, _: &EvaluationRecord) -> Result<(), SimError> {
        Ok(self.0.check()?)
    }
}
