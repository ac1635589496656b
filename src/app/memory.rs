//! Memory goes back to the system when clients have left.

use std::hint::black_box;
use std::thread;
use std::time::Duration;

/// How often memory is given back.
const EVERY: Duration = Duration::from_secs(10);

/// Enough for a thread that does nothing.
const STACK_BYTES: usize = 64 * 1024;

/// Gives freed memory back to the system, again and again. Cancel safe.
///
/// mimalloc keeps freed pages for a second, as they may be wanted again, and looks for those that were not when it is
/// called for the next page. Nobody calls it in a process whose clients have all left. It looks as well when a thread
/// ends (`_mi_arenas_collect` in `mi_theap_collect_ex`, theap.c), so one is ended.
pub(super) async fn give_back() {
    loop {
        tokio::time::sleep(EVERY).await;
        let thread = thread::Builder::new()
            .name("memory".into())
            .stack_size(STACK_BYTES);
        // It must have used the allocator to be missed by it. Where there is no thread to be had the next one will do.
        let _ = thread.spawn(|| drop(black_box(Box::new(0_u8))));
    }
}
