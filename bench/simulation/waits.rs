//! What came of a simulation, as a table.

use std::fmt::Write as _;

/// Tenants by rank, and the flooding one by itself.
const BANDS: [(&str, usize); 5] = [
    ("1–10", 10),
    ("11–100", 100),
    ("101–1,000", 1_000),
    ("1,001–10,000", 10_000),
    ("the one that floods", usize::MAX),
];

/// The band of the flooding tenant.
const FLOOD: usize = 4;

/// How long clients have waited, by band, and what it took.
#[derive(Default)]
pub(crate) struct Outcome {
    waits_us: [Vec<u32>; BANDS.len()],
    pub(crate) connects: u64,
    pub(crate) evictions: u64,
    pub(crate) shed: u64,
    pub(crate) timeouts: u64,
    pub(crate) most_open: usize,
    pub(crate) most_waiting: usize,
}

impl Outcome {
    /// A client of the tenant of some rank, counted from 0, has waited.
    pub(crate) fn note(&mut self, rank: usize, flooding: bool, waited_us: u64) {
        let by_rank = BANDS.iter().position(|(_, last)| rank < *last).unwrap_or(FLOOD);
        let band = if flooding { FLOOD } else { by_rank };
        if let Some(waits) = self.waits_us.get_mut(band) {
            waits.push(u32::try_from(waited_us).unwrap_or(u32::MAX));
        }
    }

    /// Everything as Markdown.
    pub(crate) fn table(mut self, name: &str) -> String {
        let mut text =
            format!("### {name}\n\n| tenants by rank | transactions | waited p50 | p99 | longest |\n");
        text.push_str("|---|---:|---:|---:|---:|\n");
        for ((band, _), waits) in BANDS.iter().zip(&mut self.waits_us) {
            if waits.is_empty() {
                continue;
            }
            waits.sort_unstable();
            let at = |part: f64| {
                let index = ((waits.len() - 1) as f64 * part) as usize;
                f64::from(waits.get(index).copied().unwrap_or_default()) / 1_000.0
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {band} | {} | {:.1} ms | {:.1} ms | {:.1} ms |",
                waits.len(),
                at(0.5),
                at(0.99),
                at(1.0)
            );
        }
        let _ = writeln!(
            text,
            "\n{} logins, {} evictions, {} shed, {} timed out; at most {} connections, {} waiting.\n",
            self.connects, self.evictions, self.shed, self.timeouts, self.most_open, self.most_waiting
        );
        text
    }
}
