//! The temporal layer held against its oracle, on trees in a map.
#![allow(clippy::unwrap_used, reason = "a failed read is a failed test")]

mod bitten;
mod compare;
mod cost;
mod deep;
mod engine;
mod examples;
mod map;
mod model;
mod overlay;
mod pending;
mod retire;
mod verify;
mod world;
