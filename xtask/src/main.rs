//! The command line of fed-dp.
fn main() {}
