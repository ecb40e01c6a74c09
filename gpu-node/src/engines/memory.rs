//! How much of this machine's memory the process may use: what there is, or less where a control group says so.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Bytes; `None` where the system does not tell in a way known here.
pub(super) fn usable_bytes() -> Option<u64> {
    usable_below(Path::new("/"))
}

fn usable_below(root: &Path) -> Option<u64> {
    let total = total_bytes(&fs::read_to_string(root.join("proc/meminfo")).ok()?)?;
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().flat_map(|group| limit_files(root, group)).filter_map(|path| {
        // `max` is no number, and means that there is no limit.
        fs::read_to_string(path).ok()?.trim().parse::<u64>().ok()
    });
    Some(limits.fold(total, u64::min))
}

fn total_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Where the limits of a group and of all groups around it stand, by a line of `/proc/self/cgroup`. In a container the
/// outermost is its own, whatever the line says.
fn limit_files(root: &Path, group: &str) -> Vec<PathBuf> {
    let mut parts = group.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (mount, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        list if list.split(',').any(|one| one == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    let around = Path::new(path.trim_start_matches('/'));
    around.ancestors().map(|inner| root.join(mount).join(inner).join(file)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of 16 GB with these files.
    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let meminfo = ("proc/meminfo", "MemTotal:       16000000 kB\nMemFree:        100 kB\n");
        for (path, text) in files.iter().chain([&meminfo]) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn a_process_may_use_what_its_groups_leave_it() {
        let version_2 = ("proc/self/cgroup", "0::/pod/box\n");
        let version_1 = ("proc/self/cgroup", "3:cpu:/x\n4:hugetlb,memory:/pod\n");
        for (files, expected) in [
            (&[version_2][..], 16_384_000_000),
            (&[version_2, ("sys/fs/cgroup/pod/box/memory.max", "max\n")], 16_384_000_000),
            (&[version_2, ("sys/fs/cgroup/pod/box/memory.max", "4000\n")], 4000),
            (&[version_2, ("sys/fs/cgroup/pod/memory.max", "5000\n")], 5000),
            (&[version_2, ("sys/fs/cgroup/memory.max", "6000\n")], 6000),
            (&[version_1, ("sys/fs/cgroup/memory/pod/memory.limit_in_bytes", "7000\n")], 7000),
            (&[version_1, ("sys/fs/cgroup/memory/memory.limit_in_bytes", "8000\n")], 8000),
        ] {
            assert_eq!(usable_below(machine(files).path()), Some(expected), "{files:?}");
        }
    }

    #[test]
    fn a_machine_that_does_not_tell_has_no_known_size() {
        assert_eq!(usable_below(Path::new("/nowhere")), None);
        assert_eq!(total_bytes("MemTotal: much\n"), None);
    }
}
