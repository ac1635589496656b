//! Room for sockets in the process.

use std::fs::File;
use std::io;

use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// More than this many are not made room for beforehand.
const MOST: u64 = 1 << 20;

/// Makes room for so many sockets and files: raises the soft limit as far as the hard one lets it, and has the kernel
/// grow its table of them now. Otherwise the table grows while clients connect, each time it is full to double its size,
/// and in a process of several threads the kernel waits then until every processor has been elsewhere
/// (`expand_fdtable`, fs/file.c, calls `synchronize_rcu`): some 10 ms in which other connections wait, too.
///
/// Returns how many the process may have open.
///
/// # Errors
/// No table of that size can be had. What there was before stays.
pub fn make_room(wanted: usize) -> io::Result<usize> {
    let wanted = u64::try_from(wanted).unwrap_or(MOST).min(MOST);
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(MOST);
    let soft = limit.current.unwrap_or(MOST);
    let room = soft.max(wanted.min(hard));
    if room > soft {
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(room),
                ..limit
            },
        )?;
    }
    // The table has to hold the last one that fits; it does not shrink when that is closed.
    let last = i32::try_from(room.min(wanted).saturating_sub(1)).unwrap_or(i32::MAX);
    drop(fcntl_dupfd_cloexec(File::open("/dev/null")?, last)?);
    Ok(usize::try_from(room).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_table_is_large_before_there_is_anything_in_it() {
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(MOST);
        let wanted = usize::try_from(hard.min(5_000)).unwrap();
        assert!(make_room(wanted).unwrap() >= wanted);
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:"));
        assert!(size.unwrap().trim().parse::<usize>().unwrap() >= wanted);
        assert!(make_room(usize::MAX).is_ok());
    }
}
