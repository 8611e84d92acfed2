//! Accounts of their owners, tested over the real router and Postgres.
