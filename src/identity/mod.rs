//! What a transaction runs as: the binding and its prelude.

mod binding;
mod settings;

pub use binding::{Binding, BindingParts, Bound, PreludeText};
pub use settings::{Settings, Source};
