//! What a hub may say instead of giving a file, and what the operator then reads.

use crate::{
    fake_hub::{COMMIT, FakeHub, REPOSITORY, Trouble},
    machine::{Machine, TOKEN, hub_and_machine, stderr, stdout},
};

const WEIGHTS: &str = "weights.safetensors";

fn refuse(hub: &FakeHub, refusals: &[(u16, &'static str, &'static str)]) {
    hub.trouble(WEIGHTS, Trouble { refusals: refusals.to_vec(), ..Trouble::default() });
}

#[test]
fn a_gated_model_says_which_terms_must_be_accepted() {
    let (hub, machine) = hub_and_machine();
    let page = format!("{}/{REPOSITORY}", hub.url);
    refuse(&hub, &[(401, "GatedRepo", "Access to this model is restricted")]);
    let text = machine.refused();
    assert!(text.contains("set HF_TOKEN") && text.contains(&page), "{text}");
    assert!(text.contains("Access to this model is restricted"), "{text}");

    for (status, reason) in [(401, "does not accept HF_TOKEN"), (403, "accept them at")] {
        refuse(&hub, &[(status, "GatedRepo", "ask first")]);
        let pull = machine.command(&["models", "pull", "tiny"]).env("HF_TOKEN", TOKEN).output();
        let text = stderr(&pull.unwrap());
        assert!(text.contains(reason) && text.contains(&page), "{text}");
        assert!(!text.contains(TOKEN), "{text}");
    }
}

#[test]
fn a_commit_a_repository_or_a_file_that_is_not_there_is_named() {
    let (_hub, machine) = hub_and_machine();
    let file = "[[files]]\npath = \"weights.safetensors\"\n";
    let other = "f".repeat(40);
    for (source, reason) in [
        (format!("repository = {REPOSITORY:?}, revision = {other:?}"), format!("commit {other}")),
        (
            format!("repository = \"acme/lost\", revision = {COMMIT:?}"),
            "there is no repository acme/lost on the hub".to_owned(),
        ),
    ] {
        machine.write_model_from("tiny", &format!("{{ kind = \"hub\", {source} }}"), file);
        let text = machine.refused();
        assert!(text.contains(&reason), "{text}");
    }
    machine.write_manifest(&["lost.json"], "");
    let text = machine.refused();
    assert!(text.contains("there is no lost.json in acme/tiny-pictures"), "{text}");
}

#[test]
fn an_answer_that_cannot_be_right_is_not_believed() {
    let (hub, machine) = hub_and_machine();
    let trouble = Trouble { commit: Some("another"), ..Trouble::default() };
    hub.trouble(WEIGHTS, trouble);
    assert!(machine.refused().contains("it is of commit another instead of"));
    let trouble = Trouble { etag: Some("../../../evil"), ..Trouble::default() };
    hub.trouble(WEIGHTS, trouble);
    assert!(machine.refused().contains("it has no usable ETag"));
}

#[test]
fn a_hub_that_fails_for_a_moment_is_asked_again_and_one_that_stays_so_is_named() {
    let (hub, machine) = hub_and_machine();
    let busy = (503, "", "come back later");
    refuse(&hub, &[busy, (429, "", "too many requests"), busy]);
    machine.pull();

    let (hub, machine) = hub_and_machine();
    refuse(&hub, &[busy; 5]);
    let text = machine.refused();
    assert!(text.contains("answered 503 for weights.safetensors: come back later"), "{text}");
    assert!(text.contains("5 times in a row; the next pull goes on"), "{text}");
}

#[test]
fn a_pull_goes_on_when_nobody_reads_any_more_what_it_says() {
    let (hub, machine) = hub_and_machine();
    refuse(&hub, &[(503, "", "come back later"); 3]);
    let mut command = machine.command(&["models", "pull", "tiny"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let pull = command.stderr(writer).output().unwrap();
    assert!(pull.status.success(), "{pull:?}");
    assert!(machine.is_listed_as_here());
}

#[test]
fn a_transfer_that_never_advances_is_given_up_and_keeps_what_it_has() {
    let (hub, machine) = hub_and_machine();
    let breaks = vec![1_000_000, 0, 0, 0, 0];
    hub.trouble(WEIGHTS, Trouble { breaks, ..Trouble::default() });
    let text = machine.refused();
    assert!(text.contains("5 times in a row"), "{text}");
    machine.pull();
    assert_eq!(hub.ranges(WEIGHTS).last(), Some(&Some("bytes=1000000-".to_owned())));
}

#[test]
fn offline_nothing_is_asked_and_what_is_missing_is_named() {
    let (hub, machine) = hub_and_machine();
    for command in [machine.command(&["models", "pull", "tiny", "--offline"]), {
        let mut command = machine.command(&["models", "pull", "tiny"]);
        command.env("HF_HUB_OFFLINE", "1");
        command
    }] {
        let mut command = command;
        let output = command.output().unwrap();
        assert!(!output.status.success());
        let text = stderr(&output);
        assert!(text.contains("text/config.json of acme/tiny-pictures is not in"), "{text}");
    }
    assert_eq!(hub.seen(), []);
}

#[test]
fn pulling_everything_brings_what_it_can_and_counts_the_rest() {
    let (_hub, machine) = hub_and_machine();
    machine.write_model("absent", "[[files]]\npath = \"lost.json\"\n");
    machine.write_model_from(
        "own",
        "{ kind = \"path\", path = \"/nowhere\" }",
        &format!("[[files]]\npath = \"x\"\nbytes = 1\nsha256 = \"{}\"\n", "0".repeat(64)),
    );
    let output = machine.run(&["models", "pull", "--all"]);
    assert!(!output.status.success());
    let text = stdout(&output);
    assert!(text.contains("absent: there is no lost.json"), "{text}");
    assert!(text.contains("tiny: 2 files pulled"), "{text}");
    assert!(!text.contains("own"), "{text}");
    assert!(stderr(&output).contains("1 of the models could not be pulled"));
    let own = stderr(&machine.run(&["models", "pull", "own"]));
    assert!(own.contains("own comes from no hub"), "{own}");
    let unknown = stderr(&machine.run(&["models", "pull", "huge"]));
    assert!(unknown.contains("no model \"huge\""), "{unknown}");
}

#[test]
fn an_address_that_is_none_is_refused() {
    let machine = Machine::new("hub.example");
    machine.write_manifest(&["a"], "");
    assert!(machine.refused().contains("HF_ENDPOINT must be an http:// or https:// address"));
}
