//! One cache for several processes and for Python's client.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use crate::{
    fake_hub::Trouble,
    machine::{has, hub_and_machine, stdout, weights},
};

const WEIGHTS: &str = "weights.safetensors";

#[test]
fn two_processes_that_pull_the_same_model_fetch_it_once() {
    let (hub, machine) = hub_and_machine();
    // A second file would be waited for as well, or not, as the first process has it already.
    machine.write_manifest(&[WEIGHTS], "");
    hub.trouble(WEIGHTS, Trouble { hold_after: Some(1000), ..Trouble::default() });
    let mut first = machine.command(&["models", "pull", "tiny"]).spawn().unwrap();
    hub.wait_for_held(1);
    let mut second = machine.command(&["models", "pull", "tiny"]);
    let mut second = second.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut stderr = BufReader::new(second.stderr.take().unwrap());
    stderr.read_line(&mut said).unwrap();
    assert_eq!(said, "another process is pulling weights.safetensors; waiting for it\n");
    hub.let_go();
    assert!(first.wait().unwrap().success());
    assert!(second.wait().unwrap().success());
    assert_eq!(hub.ranges(WEIGHTS), [None]);
    assert!(has(&machine.pulled(WEIGHTS), &weights()));
}

#[test]
fn content_that_another_commit_left_is_not_fetched_again() {
    let (hub, machine) = hub_and_machine();
    machine.pull();
    for path in [WEIGHTS, "text/config.json"] {
        fs::remove_file(machine.pulled(path)).unwrap();
    }
    assert!(!machine.is_listed_as_here());
    machine.pull();
    assert!(machine.is_listed_as_here());
    assert_eq!(hub.ranges(WEIGHTS), [None]);
}

/// On file systems without links Python's client puts the files themselves into the snapshot.
#[test]
fn a_snapshot_of_plain_files_is_as_good() {
    let (hub, machine) = hub_and_machine();
    for (path, content) in [(WEIGHTS, weights()), ("text/config.json", b"{}".to_vec())] {
        let path = machine.pulled(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    assert!(machine.is_listed_as_here());
    assert!(machine.run(&["models", "pull", "tiny"]).status.success());
    assert_eq!(hub.seen(), []);
    let verify = stdout(&machine.run(&["models", "verify"]));
    assert_eq!(verify, "tiny: 2 files, 3.1 MB, whole\n");
}

#[test]
fn the_cache_has_the_layout_that_python_knows() {
    let (_hub, machine) = hub_and_machine();
    machine.pull();
    let link = fs::read_link(machine.pulled("text/config.json")).unwrap();
    let etag = link.file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(etag.len(), 40);
    assert_eq!(link.to_str().unwrap(), format!("../../../blobs/{etag}"));
    let mut names: Vec<_> = fs::read_dir(machine.repository())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["blobs", "snapshots"]);
    let blobs = fs::read_dir(machine.repository().join("blobs")).unwrap();
    assert_eq!(blobs.count(), 2, "nothing but whole files stays");
}
