//! Simulation of user-level differentially private federated learning: rounds, sweeps, records.
