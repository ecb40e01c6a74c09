//! What pulls that never ended leave: it is listed, kept for the next pull, and removed when no pull will want it.

use std::fs;

use crate::machine::{Machine, WEIGHTS_BYTES, hub_and_machine, stdout};

const WEIGHTS: &str = "weights.safetensors";
/// As that of a commit that no manifest names any more.
const OLD: &str = "feedfeedfeedfeedfeedfeedfeedfeedfeedfeed";

fn leave(machine: &Machine, etag: &str, bytes: usize) -> std::path::PathBuf {
    let blobs = machine.repository().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    let path = blobs.join(format!("{etag}.incomplete"));
    fs::write(&path, vec![7; bytes]).unwrap();
    path
}

fn clean(machine: &Machine, arguments: &[&str]) -> String {
    let output = machine.run(&[&["models", "clean"], arguments].concat());
    assert!(output.status.success(), "{output:?}");
    stdout(&output)
}

#[test]
fn what_an_old_commit_left_is_listed_and_removed_once_the_model_is_here() {
    let (_hub, machine) = hub_and_machine();
    machine.pull();
    let begun = leave(&machine, OLD, 2_000_000);
    let link = machine.pulled("text").join(format!(".{OLD}.0123456789abcdef.link"));
    std::os::unix::fs::symlink("../../../blobs/gone", &link).unwrap();
    let list = stdout(&machine.run(&["models", "list"]));
    assert!(list.contains("(2.0 MB of pulls that never ended)"), "{list}");
    let said = clean(&machine, &[]);
    assert!(said.contains(&format!("tiny: removed {}, 2.0 MB", begun.display())), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
    assert!(!begun.exists() && fs::symlink_metadata(&link).is_err());
    assert!(machine.is_listed_as_here());
    assert_eq!(clean(&machine, &["--all"]), "");
}

#[test]
fn what_the_next_pull_may_go_on_with_is_kept_unless_all_is_to_go() {
    let (_hub, machine) = hub_and_machine();
    let begun = leave(&machine, OLD, WEIGHTS_BYTES);
    let said = clean(&machine, &[]);
    assert!(said.contains("the next pull goes on with it") && begun.exists(), "{said}");
    assert!(clean(&machine, &["--all"]).contains("removed"));
    assert!(!begun.exists());
    machine.pull();
    assert!(machine.pulled(WEIGHTS).exists());
}

#[test]
fn what_a_pull_is_at_is_left_alone() {
    let (_hub, machine) = hub_and_machine();
    let begun = leave(&machine, OLD, 5);
    let repository = machine.repository();
    let locks = repository.parent().unwrap().join(".locks").join(repository.file_name().unwrap());
    fs::create_dir_all(&locks).unwrap();
    let lock = fs::File::create(locks.join(format!("{OLD}.lock"))).unwrap();
    lock.lock().unwrap();
    let said = clean(&machine, &["--all"]);
    assert!(said.contains("a pull is at it") && begun.exists(), "{said}");
}
