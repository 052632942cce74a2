//! The memory and the cores that this process may have, of the machine or its control
//! group.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::thread;

use crate::limits::{MEMORY_MAX_DIVISOR, MEMORY_MAX_FALLBACK, MEMORY_MAX_MIN};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GroupLimit {
    pub(super) bytes: usize,
    pub(super) file: PathBuf,
}

/// The cores by the process's affinity and the quota of its control groups; one where
/// the system doesn't say.
pub(super) static CORES: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));

/// The smallest limit of this process's control groups, if they have one.
pub(super) static GROUP_LIMIT: LazyLock<Option<GroupLimit>> = LazyLock::new(|| {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    limit_in(Path::new("/sys/fs/cgroup"), &groups)
});

/// The default of `memory_max`: a part of the memory that there is.
pub(super) static MEMORY_MAX_DEFAULT: LazyLock<usize> = LazyLock::new(|| {
    let machine = fs::read_to_string("/proc/meminfo");
    let machine = machine.ok().and_then(|text| total_in(&text));
    part_of(machine, GROUP_LIMIT.as_ref().map(|limit| limit.bytes))
});

/// A part of the smaller of the two, in whole mebibytes.
fn part_of(machine: Option<usize>, group: Option<usize>) -> usize {
    const MIB: usize = 1024 * 1024;
    let least = [machine, group].into_iter().flatten().min();
    least.map_or(MEMORY_MAX_FALLBACK, |bytes| {
        (bytes / MEMORY_MAX_DIVISOR / MIB * MIB).max(MEMORY_MAX_MIN)
    })
}

/// The bytes of the machine according to `/proc/meminfo`.
fn total_in(meminfo: &str) -> Option<usize> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The smallest limit of the groups in `/proc/self/cgroup` and around them, mounted
/// at `root`.
fn limit_in(root: &Path, groups: &str) -> Option<GroupLimit> {
    let limits = groups.lines().filter_map(|line| {
        // "4:memory:/path" of version 1, "0::/path" of version 2.
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        let path = path.trim_start_matches('/');
        let version1 = controllers.split(',').any(|name| name == "memory");
        match (version1, controllers) {
            (true, _) => smallest(&root.join("memory"), path, "memory.limit_in_bytes"),
            // Beside version 1 it is mounted below "unified".
            (_, "") => {
                let beside = smallest(&root.join("unified"), path, "memory.max");
                beside.or_else(|| smallest(root, path, "memory.max"))
            }
            _ => None,
        }
    });
    limits.min_by_key(|limit| limit.bytes)
}

/// The smallest limit in the files `name` of the folder `path` below `mount` and those
/// above it. In a container `path` may be the host's, which isn't there.
fn smallest(mount: &Path, path: &str, name: &str) -> Option<GroupLimit> {
    let folder = mount.join(path);
    let folders = folder
        .ancestors()
        .take_while(|folder| folder.starts_with(mount));
    let limits = folders.filter_map(|folder| {
        let file = folder.join(name);
        let bytes = bytes_in(&fs::read_to_string(&file).ok()?)?;
        Some(GroupLimit { bytes, file })
    });
    limits.min_by_key(|limit| limit.bytes)
}

/// The bytes in a limit's file, if they are a limit.
fn bytes_in(text: &str) -> Option<usize> {
    // Version 1 says about 2^63 where there is none, version 2 "max".
    const NO_LIMIT: u64 = 1 << 60;
    let bytes: u64 = text.trim().parse().ok()?;
    (bytes < NO_LIMIT).then_some(bytes)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that is gone with this.
    struct Mounted(PathBuf);

    impl Mounted {
        fn new(files: &[(&str, &str)]) -> Self {
            let name = format!("tickwire-cgroup-{}", uuid::Uuid::new_v4());
            let root = std::env::temp_dir().join(name);
            fs::create_dir(&root).unwrap();
            for (file, text) in files {
                let file = root.join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, text).unwrap();
            }
            Self(root)
        }

        fn limit(&self, groups: &str) -> Option<(usize, String)> {
            let limit = limit_in(&self.0, groups)?;
            let file = limit.file.strip_prefix(&self.0).unwrap();
            Some((limit.bytes, file.to_str().unwrap().to_owned()))
        }
    }

    impl Drop for Mounted {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_smallest_limit_around_a_group_of_version_2_counts() {
        let mounted = Mounted::new(&[
            ("a.slice/memory.max", "500000000\n"),
            ("a.slice/b.service/memory.max", "max\n"),
            ("other/memory.max", "7\n"),
        ]);
        let limit = mounted.limit("0::/a.slice/b.service\n");
        assert_eq!(limit, Some((500_000_000, "a.slice/memory.max".into())));
        assert_eq!(mounted.limit("0::/\n"), None, "the root has none");
    }

    #[test]
    fn a_group_of_version_1_has_its_own_tree_and_a_huge_number_for_no_limit() {
        let mounted = Mounted::new(&[
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            (
                "memory/docker/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("memory/docker/x/memory.limit_in_bytes", "268435456\n"),
        ]);
        let groups = "9:name=systemd:/\n5:cpu,memory:/docker/x\n1:cpu:/docker/y\n0::/\n";
        let expected = (268_435_456, "memory/docker/x/memory.limit_in_bytes".into());
        assert_eq!(mounted.limit(groups), Some(expected));
        assert_eq!(mounted.limit("4:memory:/docker\n"), None);
    }

    #[test]
    fn in_a_container_the_path_of_the_host_is_not_there_but_the_group_is() {
        let mounted = Mounted::new(&[("memory.max", "1000\n")]);
        let limit = mounted
            .limit("0::/../../kubepods/pod1\n")
            .unwrap_or_default();
        assert_eq!(limit.0, 1_000);
        let mounted = Mounted::new(&[("memory/memory.limit_in_bytes", "2000\n")]);
        let limit = mounted.limit("4:memory:/docker/gone\n").unwrap();
        assert_eq!(limit, (2_000, "memory/memory.limit_in_bytes".into()));
    }

    #[test]
    fn what_makes_no_sense_is_no_limit() {
        let mounted = Mounted::new(&[("memory.max", "plenty\n"), ("a/memory.max", "")]);
        for groups in ["", "0::/a", "0", "nonsense", "0::", "::::"] {
            assert_eq!(mounted.limit(groups), None, "{groups:?}");
        }
    }

    #[test]
    fn half_of_the_less_is_the_default() {
        let meminfo = "MemTotal:       16384000 kB\nMemFree:  1 kB\n";
        assert_eq!(total_in(meminfo), Some(16_384_000 << 10));
        assert_eq!(total_in("MemFree: 1 kB\n"), None);
        assert_eq!(part_of(Some(8 << 30), None), 4 << 30);
        assert_eq!(part_of(Some(8 << 30), Some((513 << 20) + 7)), 256 << 20);
        assert_eq!(part_of(None, Some(1)), MEMORY_MAX_MIN);
        assert_eq!(part_of(None, None), MEMORY_MAX_FALLBACK);
    }
}
