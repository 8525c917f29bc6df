//! Benches of the engine. There is no library here: see `benches/figures.rs`, which measures
//! whole-engine figures on two million keys, and `benches/layers.rs`, criterion benches of the
//! layers one by one.
