//! Tests of the socket over the real router and Postgres.
mod age_gate;
mod authorization;
mod cluster;
mod database_loss;
mod features;
mod hostile;
mod life;
mod messages;
mod nodes;
mod protocol;
mod refusals;
mod resume;
mod silence;
mod texts;
mod topics;
mod wire;
