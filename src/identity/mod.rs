//! What a transaction runs as: the binding and its prelude.
