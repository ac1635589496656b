//! How much memory the machine or container has.

use std::fs;
use std::path::Path;

/// What is assumed where nothing says: little.
const UNKNOWN: u64 = 1 << 30;

/// The memory that this process may have, in bytes: the least of what the machine has (`MemTotal` of proc(5)) and what its
/// control groups allow (`memory.max` of cgroups(7) version 2, `memory.limit_in_bytes` of version 1). Blocks on the file
/// system for a moment.
pub(super) fn memory() -> u64 {
    memory_below(Path::new("/"))
}

fn memory_below(root: &Path) -> u64 {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let total = total(&read("proc/meminfo"));
    // In a container its own group is mounted as the root of all.
    let mut limits = vec![limit(&read("sys/fs/cgroup/memory.max"))];
    limits.push(limit(&read("sys/fs/cgroup/memory/memory.limit_in_bytes")));
    for line in read("proc/self/cgroup").lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (folder, file) = match parts.next() {
            Some("") => ("sys/fs/cgroup", "memory.max"),
            Some(controllers) if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // Each group above holds for it as well.
        for group in Path::new(parts.next().unwrap_or("/")).ancestors() {
            let group = group.to_string_lossy();
            limits.push(limit(&read(&format!(
                "{folder}/{}/{file}",
                group.trim_matches('/')
            ))));
        }
    }
    let least = limits.into_iter().chain([total]).flatten().min();
    least.unwrap_or(UNKNOWN)
}

/// `MemTotal` in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// A limit in bytes; `None` for `max`, and for nothing.
fn limit(text: &str) -> Option<u64> {
    text.trim().parse().ok().filter(|limit| *limit > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn machine(files: &[(&str, &str)]) -> u64 {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        memory_below(root.path())
    }

    #[test]
    fn the_least_of_all_limits_counts() {
        let meminfo = ("proc/meminfo", "MemTotal:        8388608 kB\nMemFree: 1 kB\n");
        assert_eq!(machine(&[]), UNKNOWN);
        assert_eq!(machine(&[meminfo]), 8 * GIB);
        assert_eq!(
            machine(&[meminfo, ("sys/fs/cgroup/memory.max", "max\n")]),
            8 * GIB
        );
        assert_eq!(
            machine(&[meminfo, ("sys/fs/cgroup/memory.max", "268435456\n")]),
            GIB / 4
        );
        // Without a container, a service's group and those above it.
        let group = ("proc/self/cgroup", "0::/system.slice/portcullis.service\n");
        let own = ("sys/fs/cgroup/system.slice/portcullis.service/memory.max", "max");
        let above = ("sys/fs/cgroup/system.slice/memory.max", "1073741824");
        assert_eq!(machine(&[meminfo, group, own, above]), GIB);
        // Version 1: no limit is a number beyond all memory.
        let group = ("proc/self/cgroup", "5:cpu,cpuacct:/a\n3:memory:/docker/x\n");
        let none = (
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
        let own = (
            "sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes",
            "536870912\n",
        );
        assert_eq!(machine(&[meminfo, group, none]), 8 * GIB);
        assert_eq!(machine(&[meminfo, group, none, own]), GIB / 2);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(memory() > 1 << 20);
    }
}
