//! The memory that clients may take, and its way back to the system when they have left.

use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::base::Events;
use crate::base::memory::Budget;
use crate::config::Config;
use crate::guard::{self, Guard};
use crate::pool::Pools;
use crate::session;

/// How often memory is given back.
const EVERY: Duration = Duration::from_secs(10);

/// Enough for a thread that does nothing.
const STACK_BYTES: usize = 64 * 1024;

/// The budget of the whole process, told to the log.
pub(super) fn budget(config: &Config) -> Arc<Budget> {
    let budget = Budget::new(config.memory_budget(), config.client.max_client_conn);
    tracing::info!(
        bytes = budget.snapshot().max,
        "memory_budget: the most that clients can make the process hold"
    );
    budget
}

/// The guard, its verdicts within the budget.
pub(super) fn guard(settings: guard::Settings, budget: &Budget) -> Arc<Guard> {
    Arc::new(Guard::new(guard::Settings {
        cache_bytes: budget.cache(settings.cache_bytes, 8),
        ..settings
    }))
}

/// What sessions share. Long texts are judged by as many at a time as leave half of the cores to everything else.
pub(super) fn sessions(
    settings: session::Settings,
    guard: Arc<Guard>,
    pools: &Arc<Pools>,
    budget: &Budget,
    events: &Events,
) -> Arc<session::Shared> {
    let judges = thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
    let workers = Handle::current().metrics().num_workers();
    session::Shared::new(
        settings,
        guard,
        Arc::clone(pools),
        budget,
        judges,
        workers,
        events.clone(),
    )
}

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
