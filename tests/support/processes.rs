//! Looking at the machine's processes.

use std::path::Path;
use std::process::Command;

/// Whether some process has this path in its arguments. Reads /proc where there is one: small images have no `ps`.
#[expect(clippy::expect_used, reason = "a test stops at the first surprise")]
pub(crate) fn mention(path: &Path) -> bool {
    let path = path.to_string_lossy().into_owned();
    let Ok(entries) = std::fs::read_dir("/proc") else {
        let listed = Command::new("ps").args(["-eo", "args"]).output().expect("ps");
        return String::from_utf8_lossy(&listed.stdout).contains(&path);
    };
    entries.flatten().any(|entry| {
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&arguments).contains(&path)
    })
}
