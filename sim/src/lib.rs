//! What the programs of this package share: bare servers, visitors and rooms made beforehand, a
//! WebSocket client, a seeded stream of choices, system calls.
pub mod bare;
pub mod client;
pub mod people;
pub mod rng;
pub mod sys;
