//! How much memory this process may use.

use std::fs;
use std::path::Path;

/// Assumed where the system does not tell.
const UNKNOWN: u64 = 4 << 30;

/// The least of physical memory and every limit of the control groups that this process is in.
pub fn memory_limit() -> u64 {
    let physical = super::platform::physical_memory().unwrap_or(UNKNOWN);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    group_limit(Path::new("/sys/fs/cgroup"), &groups).map_or(physical, |limit| limit.min(physical))
}

/// The least limit on the way from a process's groups up to the root; `None` if nothing limits it.
///
/// Inside a container `/proc/self/cgroup` may name a path of the host that does not exist here; its parents do, and
/// the last of them, the mount itself, is the container's own group.
fn group_limit(mount: &Path, groups: &str) -> Option<u64> {
    let least = |root: &Path, path: &str, files: &[&str]| {
        let relative = Path::new(path.trim_start_matches('/'));
        let values = relative.ancestors().flat_map(|group| {
            files.iter().filter_map(move |file| {
                fs::read_to_string(root.join(group).join(file)).ok()?.trim().parse::<u64>().ok()
            })
        });
        values.min()
    };
    let limits = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        if controllers.is_empty() {
            let files = ["memory.max", "memory.high"]; // the text `max` is no number, hence no limit
            [least(mount, path, &files), least(&mount.join("unified"), path, &files)]
                .into_iter()
                .flatten()
                .min()
        } else if controllers.split(',').any(|controller| controller == "memory") {
            least(&mount.join("memory"), path, &["memory.limit_in_bytes"])
        } else {
            None
        }
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) {
        fs::create_dir_all(path.parent().expect("a file in a directory")).expect("a temporary directory");
        fs::write(path, text).expect("a temporary file");
    }

    #[test]
    fn the_least_limit_on_the_way_up_counts_in_version_2() {
        let mount = tempfile::tempdir().expect("a temporary directory");
        write(&mount.path().join("a/memory.max"), "3000\n");
        write(&mount.path().join("a/b/memory.max"), "max\n");
        write(&mount.path().join("a/b/memory.high"), "5000\n");
        assert_eq!(group_limit(mount.path(), "0::/a/b/c\n"), Some(3000));
        assert_eq!(group_limit(mount.path(), "0::/other\n"), None);
    }

    #[test]
    fn a_path_of_the_host_falls_back_to_the_mount_in_version_1() {
        let mount = tempfile::tempdir().expect("a temporary directory");
        write(&mount.path().join("memory/memory.limit_in_bytes"), "7000\n");
        let groups = "9:name=systemd:/\n4:cpu,memory:/docker/0123\n0::/\n";
        assert_eq!(group_limit(mount.path(), groups), Some(7000));
    }

    #[test]
    fn some_memory_can_be_used() {
        assert!(memory_limit() > 1 << 20);
    }
}
