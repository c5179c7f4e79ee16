//! Privacy accounting for differentially private training: events, a ledger, Rényi accountants, calibration.
