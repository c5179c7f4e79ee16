//! One file a command.

pub(crate) mod account;
pub(crate) mod bench;
pub(crate) mod calibrate;
pub(crate) mod data;
pub(crate) mod final_run;
pub(crate) mod report;
pub(crate) mod sweep;
mod train;
