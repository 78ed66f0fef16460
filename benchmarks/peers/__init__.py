"""The peers of `cargo xtask bench --peers`: one module per peer, each a worker process."""
