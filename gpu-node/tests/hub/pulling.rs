//! How files come: once, resumed, checked, and with the token kept where it belongs.

use std::fs;

use crate::{
    fake_hub::{SIGNATURE, Trouble},
    machine::{TOKEN, WEIGHTS_BYTES, has, hub_and_machine, stderr, stdout, weights},
};

const WEIGHTS: &str = "weights.safetensors";

#[test]
fn a_pull_brings_what_the_manifest_names_and_a_second_asks_for_nothing() {
    let (hub, machine) = hub_and_machine();
    assert!(!machine.is_listed_as_here());
    assert_eq!(machine.pull(), "tiny: 2 files pulled, 3.1 MB\n");
    assert!(has(&machine.pulled(WEIGHTS), &weights()));
    assert!(has(&machine.pulled("text/config.json"), b"{\"a\": 1}\n"));
    assert!(machine.is_listed_as_here());
    let verify = machine.run(&["models", "verify", "tiny"]);
    assert_eq!(stdout(&verify), "tiny: 2 files, 3.1 MB, whole\n");

    let requests = hub.seen().len();
    assert_eq!(machine.pull(), "tiny: here, 3.1 MB\n");
    let offline = machine.run(&["models", "pull", "--all", "--offline"]);
    assert!(offline.status.success());
    assert_eq!(hub.seen().len(), requests);
}

#[test]
fn the_token_goes_to_the_hub_and_is_printed_nowhere() {
    let (hub, machine) = hub_and_machine();
    let stutter = Trouble { breaks: vec![1000], ..Trouble::default() };
    hub.trouble(WEIGHTS, stutter);
    let output = machine.command(&["models", "pull", "tiny"]).env("HF_TOKEN", TOKEN).output();
    let output = output.unwrap();
    let said = format!("{}{}", stdout(&output), stderr(&output));
    assert!(output.status.success() && said.contains("trying again"), "{said}");
    assert!(!said.contains(TOKEN) && !said.contains(SIGNATURE), "{said}");
    let (asked, elsewhere): (Vec<_>, Vec<_>) = hub.seen().into_iter().partition(|s| s.is_hub);
    let bearer = Some(format!("Bearer {TOKEN}"));
    assert!(asked.len() >= 4 && asked.iter().all(|seen| seen.token == bearer), "{asked:?}");
    assert!(!elsewhere.is_empty() && elsewhere.iter().all(|seen| seen.token.is_none()));
}

#[test]
fn a_transfer_that_breaks_goes_on_where_it_broke() {
    let (hub, machine) = hub_and_machine();
    let breaks = vec![1_000_000, 500_000];
    hub.trouble(WEIGHTS, Trouble { breaks, ..Trouble::default() });
    machine.pull();
    assert!(has(&machine.pulled(WEIGHTS), &weights()));
    let ranges = hub.ranges(WEIGHTS);
    let starts = [None, Some("bytes=1000000-".to_owned()), Some("bytes=1500000-".to_owned())];
    assert_eq!(ranges, starts);
}

#[test]
fn a_pull_that_was_killed_left_nothing_that_counts_and_the_next_one_goes_on() {
    let (hub, machine) = hub_and_machine();
    let held = WEIGHTS_BYTES / 2;
    hub.trouble(WEIGHTS, Trouble { hold_after: Some(held), ..Trouble::default() });
    let mut pull = machine.command(&["models", "pull", "tiny"]).spawn().unwrap();
    hub.wait_for_held(1);
    // Looked at while it is written: it may not be there yet.
    let has_come = || machine.begun(true).and_then(|path| Some(fs::metadata(path).ok()?.len()));
    while has_come().unwrap_or(0) < held as u64 {
        std::thread::yield_now();
    }
    pull.kill().unwrap();
    pull.wait().unwrap();
    assert!(!machine.pulled(WEIGHTS).exists() && !machine.is_listed_as_here());
    let refusal = machine.run(&["generate", "--model", "tiny", "--prompt", "a fish"]);
    let text = stderr(&refusal);
    assert!(text.contains("`gpu-node models pull tiny` brings it"), "{text}");

    machine.pull();
    assert!(has(&machine.pulled(WEIGHTS), &weights()));
    assert_eq!(hub.ranges(WEIGHTS), [None, Some(format!("bytes={held}-"))]);
    assert_eq!(machine.incomplete().len(), 0);
}

#[test]
fn a_server_that_knows_no_ranges_is_read_from_the_start_again() {
    let (hub, machine) = hub_and_machine();
    let trouble = Trouble { breaks: vec![1_000_000], ignores_ranges: true, ..Trouble::default() };
    hub.trouble(WEIGHTS, trouble);
    machine.pull();
    assert!(has(&machine.pulled(WEIGHTS), &weights()));
}

#[test]
fn a_slow_server_is_waited_for() {
    let (hub, machine) = hub_and_machine();
    hub.trouble(WEIGHTS, Trouble { trickle: Some(100_000), ..Trouble::default() });
    machine.pull();
    assert!(has(&machine.pulled(WEIGHTS), &weights()));
    assert_eq!(hub.ranges(WEIGHTS), [None]);
}

#[test]
fn a_beginning_that_is_not_the_files_is_replaced() {
    for beginning in [vec![7; 5000], vec![7; WEIGHTS_BYTES + 1], vec![7; WEIGHTS_BYTES]] {
        let (hub, machine) = hub_and_machine();
        machine.pull();
        let blob = fs::canonicalize(machine.pulled(WEIGHTS)).unwrap();
        fs::remove_file(&blob).unwrap();
        assert!(!machine.is_listed_as_here(), "a link that leads nowhere is no file");
        fs::write(format!("{}.incomplete", blob.display()), &beginning).unwrap();
        machine.pull();
        assert!(has(&machine.pulled(WEIGHTS), &weights()), "{} bytes", beginning.len());
        assert_eq!(hub.ranges(WEIGHTS).last(), Some(&None));
        assert_eq!(machine.incomplete().len(), 0);
    }
}

#[test]
fn a_file_that_was_cut_or_has_grown_is_not_here_and_comes_again() {
    for found in [WEIGHTS_BYTES - 1, WEIGHTS_BYTES + 1, 0] {
        let (hub, machine) = hub_and_machine();
        let told = format!("bytes = {WEIGHTS_BYTES}");
        machine.write_manifest(&["text/config.json", WEIGHTS], &told);
        machine.pull();
        let blob = fs::canonicalize(machine.pulled(WEIGHTS)).unwrap();
        fs::File::options().write(true).open(&blob).unwrap().set_len(found as u64).unwrap();
        assert!(!machine.is_listed_as_here());
        let verify = machine.run(&["models", "verify"]);
        assert!(!verify.status.success() && stdout(&verify).contains("its manifest says"));
        assert_eq!(machine.pull(), "tiny: 1 files pulled, 3.1 MB\n");
        assert!(has(&machine.pulled(WEIGHTS), &weights()), "{found} bytes");
        assert!(machine.is_listed_as_here());
        assert_eq!(hub.ranges(WEIGHTS), [None, None]);
    }
}

#[test]
fn what_is_not_what_the_hub_said_is_removed_and_named() {
    for path in [WEIGHTS, "text/config.json"] {
        let (hub, machine) = hub_and_machine();
        hub.trouble(path, Trouble { is_corrupt: true, ..Trouble::default() });
        let text = machine.refused();
        assert!(text.contains(&format!("{path} has ")), "{text}");
        assert!(text.contains("what came was removed"), "{text}");
        assert!(!machine.pulled(path).exists());
        assert_eq!(machine.begun(path == WEIGHTS), None);
        hub.trouble(path, Trouble::default());
        machine.pull();
    }
}

#[test]
fn what_the_manifest_does_not_mean_is_not_even_begun() {
    let (hub, machine) = hub_and_machine();
    let other = "0".repeat(64);
    for (told, reason) in [
        (format!("sha256 = {other:?}"), format!("its manifest says {other}")),
        ("bytes = 5".to_owned(), format!("has size {WEIGHTS_BYTES} on the hub")),
    ] {
        machine.write_manifest(&["text/config.json", WEIGHTS], &told);
        let text = machine.refused();
        assert!(text.contains(&reason), "{text}");
    }
    assert_eq!(hub.ranges(WEIGHTS), []);
}

#[test]
fn a_file_that_changed_on_the_disk_is_found_by_verify() {
    let (_hub, machine) = hub_and_machine();
    machine.pull();
    for path in [WEIGHTS, "text/config.json"] {
        let blob = fs::canonicalize(machine.pulled(path)).unwrap();
        let good = fs::read(&blob).unwrap();
        let mut bad = good.clone();
        bad[0] ^= 1;
        fs::write(&blob, bad).unwrap();
        let verify = machine.run(&["models", "verify"]);
        let text = stdout(&verify);
        assert!(!verify.status.success());
        let advice = format!("{} has ", blob.display());
        assert!(text.contains(&advice) && text.contains("remove it and pull"), "{text}");
        fs::remove_file(&blob).unwrap();
        machine.pull();
        assert!(has(&machine.pulled(path), &good));
    }
}
