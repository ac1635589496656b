//! Consumers of [`Event`](crate::base::Event): metrics and logs.
