//! Tests of accounts from a shell: what each act changes, that it is recorded, and that sessions end.
