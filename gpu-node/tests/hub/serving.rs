//! A node that serves: models come with their first request if that is allowed, and nobody else waits for them.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    fake_hub::{FakeHub, Trouble},
    machine::{Machine, stderr},
};

const UNET: &str = "unet/diffusion_pytorch_model.safetensors";
const FILES: &[&str] = &[
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "tokenizer/merges.txt",
    "tokenizer/vocab.json",
    "tokenizer/tokenizer.json",
    "tokenizer/tokenizer_config.json",
    "unet/config.json",
    UNET,
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
];

fn tiny() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny/stable-diffusion")
}

/// A hub with the tiny model, and a machine that has it twice: as `tiny` from the hub, as `local` on its disk.
fn hub_and_machine() -> (FakeHub, Machine) {
    let hub = FakeHub::start();
    for path in FILES {
        let content = std::fs::read(tiny().join(path)).unwrap();
        hub.put(path, content, path.ends_with(".safetensors"));
    }
    let machine = Machine::new(&hub.url);
    machine.write_manifest(FILES, "");
    let index = std::fs::metadata(tiny().join("model_index.json")).unwrap().len();
    let source = format!("{{ kind = \"path\", path = {:?} }}", tiny().canonicalize().unwrap());
    let file = format!(
        "[[files]]\npath = \"model_index.json\"\nbytes = {index}\nsha256 = \"{}\"\n",
        "0".repeat(64)
    );
    machine.write_model_from("local", &source, &file);
    (hub, machine)
}

/// Python's client may have brought other files of the same commit.
#[test]
fn files_of_the_cache_that_the_manifest_does_not_list_are_not_read() {
    let (_hub, machine) = hub_and_machine();
    let listed: Vec<&str> =
        FILES.iter().copied().filter(|path| *path != "tokenizer/tokenizer.json").collect();
    machine.write_manifest(&listed, "");
    machine.pull();
    let picture = |name: &str| {
        let path = machine.models().join(name);
        let words = ["generate", "--model=tiny", "--prompt=a fish!", "--seed=7", "--out"];
        let output = machine.run(&[words.as_slice(), &[path.to_str().unwrap()]].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        std::fs::read(path).unwrap()
    };
    let alone = picture("alone.png");
    for (path, content) in [
        ("tokenizer/tokenizer.json", "no tokenizer"),
        ("tokenizer/special_tokens_map.json", "{\"pad_token\": \"!\"}"),
        ("vae/diffusion_pytorch_model.fp16.safetensors", "no weights"),
    ] {
        std::fs::write(machine.pulled(path), content).unwrap();
    }
    assert_eq!(picture("beside.png"), alone);
}

struct Node {
    process: Child,
    url: String,
    http: reqwest::blocking::Client,
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Node {
    fn start(machine: &Machine, arguments: &[&str]) -> Self {
        let mut command = machine.command(&["serve", "--insecure", "--default-model", "local"]);
        command.args(arguments).env("CHANDELLE_PORT", "0").stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let url = loop {
            let line = log.next().expect("it ended before it listened").unwrap();
            if let Some((_, url)) = line.split_once("listening on ") {
                break url.to_owned();
            }
        };
        std::thread::spawn(move || log.for_each(drop));
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { process, url, http: reqwest::blocking::Client::new() }
    }

    fn order(&self, number: u8, model: &str) -> u16 {
        let id = format!("00000000-0000-4000-8000-0000000000{number:02}");
        let order = json!({ "id": id, "model": model, "image": { "prompt": "a fish", "seed": 7 } });
        let request = self.http.post(format!("{}/v1/jobs", self.url)).json(&order);
        request.send().unwrap().status().as_u16()
    }

    fn job(&self, number: u8) -> Value {
        let url = format!("{}/v1/jobs/00000000-0000-4000-8000-0000000000{number:02}", self.url);
        self.http.get(url).send().unwrap().json().unwrap()
    }

    fn events(&self, number: u8) -> String {
        let job = format!("{}/v1/jobs/00000000-0000-4000-8000-0000000000{number:02}", self.url);
        self.http.get(format!("{job}/events")).send().unwrap().text().unwrap()
    }

    fn end_of(&self, number: u8) -> Value {
        loop {
            let job = self.job(number);
            if !["queued", "running"].contains(&job["status"].as_str().unwrap()) {
                return job;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn models(&self) -> Vec<String> {
        let list: Value =
            self.http.get(format!("{}/v1/models", self.url)).send().unwrap().json().unwrap();
        let models = list["data"].as_array().unwrap();
        models.iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
    }
}

#[test]
fn a_model_comes_with_its_first_request_and_other_lanes_do_not_wait() {
    let (hub, machine) = hub_and_machine();
    hub.trouble(UNET, Trouble { hold_after: Some(5000), ..Trouble::default() });
    // There is room for one of them, widened to f32: who is still on the way takes none.
    let node = Node::start(&machine, &["--models-pull", "on-demand", "--memory-budget-mb", "20"]);
    assert_eq!(node.models(), ["local", "tiny"]);
    assert_eq!((node.order(1, "tiny"), node.order(2, "tiny")), (201, 201));
    hub.wait_for_held(1);
    assert_eq!(node.order(3, "local"), 201);
    assert_eq!(node.end_of(3)["status"], "completed");
    assert_eq!(node.job(1)["status"], "queued");
    hub.let_go();
    for number in [1, 2] {
        let job = node.end_of(number);
        assert_eq!(job["status"], "completed", "{job}");
    }
    assert_eq!(hub.ranges(UNET), [None]);
}

#[test]
fn a_pull_that_nobody_waits_for_ends_and_the_next_request_goes_on_with_it() {
    let (hub, machine) = hub_and_machine();
    hub.trouble(UNET, Trouble { hold_after: Some(300_000), ..Trouble::default() });
    let node = Node::start(&machine, &["--models-pull", "on-demand"]);
    node.order(1, "tiny");
    hub.wait_for_held(1);
    let job = format!("{}/v1/jobs/00000000-0000-4000-8000-000000000001", node.url);
    node.http.delete(job).send().unwrap();
    hub.let_go();
    assert_eq!(node.end_of(1)["status"], "cancelled");
    node.order(2, "tiny");
    assert_eq!(node.end_of(2)["status"], "completed");
}

#[test]
fn a_model_that_does_not_come_fails_with_the_reason_and_comes_later() {
    let (hub, machine) = hub_and_machine();
    hub.trouble(UNET, Trouble { is_corrupt: true, ..Trouble::default() });
    let node = Node::start(&machine, &["--models-pull", "on-demand"]);
    node.order(1, "tiny");
    assert_eq!(node.end_of(1)["status"], "failed");
    let text = node.events(1);
    assert!(text.contains("model_not_loaded") && text.contains("what came was removed"), "{text}");
    node.order(2, "local");
    assert_eq!(node.end_of(2)["status"], "completed");
    hub.trouble(UNET, Trouble::default());
    node.order(3, "tiny");
    assert_eq!(node.end_of(3)["status"], "completed");
}

/// The manifest does not give its size: only the load notices.
#[test]
fn a_file_that_was_cut_on_the_disk_comes_again_after_a_load_that_failed() {
    let (hub, machine) = hub_and_machine();
    machine.pull();
    let blob = std::fs::canonicalize(machine.pulled(UNET)).unwrap();
    std::fs::File::options().write(true).open(&blob).unwrap().set_len(5000).unwrap();
    let node = Node::start(&machine, &["--models-pull", "on-demand"]);
    node.order(1, "tiny");
    assert_eq!(node.end_of(1)["status"], "failed");
    node.order(2, "tiny");
    assert_eq!(node.end_of(2)["status"], "completed");
    assert_eq!(hub.ranges(UNET), [None, None]);
    assert_eq!(hub.ranges("vae/diffusion_pytorch_model.safetensors"), [None]);
}

#[test]
fn a_node_pulls_nothing_unless_it_is_told_to() {
    let (hub, machine) = hub_and_machine();
    let node = Node::start(&machine, &[]);
    assert_eq!(node.models(), ["local"]);
    drop(node);
    let refused = machine.run(&["serve", "--insecure", "--preload", "tiny"]);
    let text = stderr(&refused);
    assert!(text.contains("not served: `gpu-node models pull tiny` brings it here"), "{text}");
    assert!(text.contains("tiny cannot be preloaded"), "{text}");
    assert_eq!(hub.seen(), []);
}
