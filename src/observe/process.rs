//! CPU time, memory and open files of this process, from `/proc/self` (Linux; absent elsewhere).

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, IntGauge};

/// Clock ticks per second in `/proc/<pid>/stat`: `USER_HZ`, 100 on every architecture Rust's Linux
/// targets run on (`include/asm-generic/param.h`).
const TICKS_PER_SECOND: f64 = 100.0;

/// The collector of the process figures, under the names every Prometheus client library uses.
pub(super) struct ProcessCollector {
    shown: Figures,
}

struct Figures {
    cpu_seconds: Counter,
    resident_bytes: IntGauge,
    open_fds: IntGauge,
    threads: IntGauge,
}

impl ProcessCollector {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        Figures::new().map(|shown| Self { shown })
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.shown
            .collectors()
            .into_iter()
            .flat_map(Collector::desc)
            .collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (Ok(stat), Ok(status), Ok(figures)) = (
            fs::read_to_string("/proc/self/stat"),
            fs::read_to_string("/proc/self/status"),
            Figures::new(),
        ) else {
            return Vec::new();
        };
        let fds = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        figures.cpu_seconds.inc_by(cpu_seconds(&stat).unwrap_or(0.0));
        let resident_kib = status_field(&status, "VmRSS").unwrap_or(0);
        figures.resident_bytes.set(resident_kib.saturating_mul(1024));
        figures.threads.set(status_field(&status, "Threads").unwrap_or(0));
        figures.open_fds.set(i64::try_from(fds).unwrap_or(i64::MAX));
        figures
            .collectors()
            .into_iter()
            .flat_map(Collector::collect)
            .collect()
    }
}

impl Figures {
    fn new() -> Result<Self, prometheus::Error> {
        Ok(Self {
            cpu_seconds: Counter::new(
                "process_cpu_seconds_total",
                "User and system CPU time, in seconds.",
            )?,
            resident_bytes: IntGauge::new("process_resident_memory_bytes", "Resident memory, in bytes.")?,
            open_fds: IntGauge::new("process_open_fds", "Open file descriptors.")?,
            threads: IntGauge::new("process_threads", "Threads of the process.")?,
        })
    }

    fn collectors(&self) -> [&dyn Collector; 4] {
        [
            &self.cpu_seconds,
            &self.resident_bytes,
            &self.open_fds,
            &self.threads,
        ]
    }
}

/// Fields 14 and 15 of `/proc/<pid>/stat` (`proc_pid_stat(5)`): user and system time in ticks. Counted
/// from behind the command's closing parenthesis, as the command may hold spaces and parentheses.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_ascii_whitespace().skip(11).map(str::parse::<f64>);
    let user = ticks.next()?.ok()?;
    let system = ticks.next()?.ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// The number behind `name:` in `/proc/<pid>/status`; memory is in KiB there.
fn status_field(status: &str, name: &str) -> Option<i64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_times_behind_an_awkward_command_name() {
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 900 0 3 0 150 50 0 0 20 0 4 0 12345 1 2 3";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("42 (truncated"), None);
        assert_eq!(cpu_seconds("42 (x) S 1"), None);
    }

    #[test]
    fn reads_a_status_field() {
        let status = "Name:\tx\nVmRSS:\t    1234 kB\nThreads:\t7\n";
        assert_eq!(status_field(status, "VmRSS"), Some(1234));
        assert_eq!(status_field(status, "Threads"), Some(7));
        assert_eq!(status_field(status, "Thread"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_threads() {
        let families = ProcessCollector::new().unwrap().collect();
        let value = |name: &str| {
            let family = families.iter().find(|family| family.name() == name).unwrap();
            family.get_metric()[0].get_gauge().get_value()
        };
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_threads") >= 1.0);
        assert!(value("process_open_fds") >= 1.0);
    }
}
