//! The wire protocol, pure: frames, messages, faults.
