//! The outside verifier, tested with one of the test.
