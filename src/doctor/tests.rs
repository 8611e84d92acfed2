//! Tests of the doctor: each thing that can be wrong is found and named.
