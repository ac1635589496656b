//! When bytes move and how long that may take: the two sockets, time limits, shutdown.

pub(super) mod clock;
pub(super) mod patience;
pub(super) mod pump;
pub(super) mod shutdown;
pub(super) mod timer;
