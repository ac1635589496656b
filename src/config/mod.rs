//! Configuration: raw TOML, checked into one model, every mistake reported at once.
