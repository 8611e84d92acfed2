//! The socket over the real router and Postgres: what is refused, what is kept, what is left behind.
mod cluster;
mod life;
mod messages;
mod nodes;
mod protocol;
mod refusals;
mod resume;
mod wire;
mod texts;
