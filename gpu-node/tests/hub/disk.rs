//! A disk that takes no more: with the kernel's own refusals, not with pretended ones.

use std::{fs, process::Command};

use crate::machine::{WEIGHTS_BYTES, has, hub_and_machine, stderr, weights};

const WEIGHTS: &str = "weights.safetensors";

/// The shell sets the limit and ignores the signal that comes with it, so that the write fails as on a full disk.
#[test]
fn a_file_that_does_not_fit_is_kept_as_far_as_it_came() {
    let (hub, machine) = hub_and_machine();
    let limit = "trap '' XFSZ; ulimit -f 1024; exec \"$0\" \"$@\"";
    let mut shell = Command::new("bash");
    shell.args(["-c", limit, env!("CARGO_BIN_EXE_gpu-node")]);
    let output = machine.wrapped(shell, &["models", "pull", "tiny"]).output().unwrap();
    let text = stderr(&output);
    assert!(!output.status.success() && text.contains("the disk is full"), "{text}");
    assert!(text.contains(&format!("of {WEIGHTS_BYTES} bytes")), "{text}");
    assert!(text.contains("the next pull goes on from there"), "{text}");
    assert!(!machine.is_listed_as_here());
    let kept = fs::metadata(machine.begun(true).unwrap()).unwrap().len();
    assert_eq!(kept, 1024 * 1024);

    machine.pull();
    assert!(has(&machine.pulled(WEIGHTS), &weights()));
    assert_eq!(hub.ranges(WEIGHTS), [None, Some(format!("bytes={kept}-"))]);
}

/// `/dev/full` refuses every write as a full disk does; here the begun file leads to it.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_to_be_full() {
    let (_hub, machine) = hub_and_machine();
    machine.pull();
    let blob = fs::canonicalize(machine.pulled(WEIGHTS)).unwrap();
    fs::remove_file(&blob).unwrap();
    let begun = format!("{}.incomplete", blob.display());
    std::os::unix::fs::symlink("/dev/full", &begun).unwrap();
    let text = machine.refused();
    assert!(text.contains("the disk is full") && text.contains("No space left"), "{text}");
    fs::remove_file(begun).unwrap();
    machine.pull();
    assert!(has(&machine.pulled(WEIGHTS), &weights()));
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let (_hub, machine) = hub_and_machine();
    let parent = machine.repository();
    fs::create_dir_all(parent.parent().unwrap().parent().unwrap()).unwrap();
    fs::write(parent.parent().unwrap(), "a file where the cache should be").unwrap();
    let text = machine.refused();
    assert!(text.contains(&parent.display().to_string()), "{text}");
}
