//! A machine with a models folder, an empty cache, and the real binary.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

use crate::fake_hub::{COMMIT, FakeHub, REPOSITORY};

pub const TOKEN: &str = "hf_a_token_nobody_may_see";
/// Larger than any buffer on its way.
pub const WEIGHTS_BYTES: usize = 3 << 20;

/// Large files have their SHA-256 as ETag, small ones a SHA-1.
const SHA256_HEX: usize = 64;

pub struct Machine {
    folder: TempDir,
    endpoint: String,
}

/// Bytes of which no part is like another.
pub fn weights() -> Vec<u8> {
    let mut state = 1_u32;
    let byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(byte).take(WEIGHTS_BYTES).collect()
}

/// A hub with one small and one large file, and a machine that knows of them.
pub fn hub_and_machine() -> (FakeHub, Machine) {
    let hub = FakeHub::start();
    hub.put("text/config.json", "{\"a\": 1}\n", false);
    hub.put("weights.safetensors", weights(), true);
    let machine = Machine::new(&hub.url);
    machine.write_manifest(&["text/config.json", "weights.safetensors"], "");
    (hub, machine)
}

impl Machine {
    pub fn new(endpoint: &str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), endpoint: endpoint.to_owned() }
    }

    /// A model of the name `tiny` with these files, and what the manifest says of the last one.
    pub fn write_manifest(&self, paths: &[&str], last_file: &str) {
        let files: Vec<String> =
            paths.iter().map(|path| format!("[[files]]\npath = {path:?}\n")).collect();
        self.write_model("tiny", &format!("{}{last_file}\n", files.join("\n")));
    }

    /// An image model of the fake hub's repository.
    pub fn write_model(&self, name: &str, files: &str) {
        let source =
            format!("{{ kind = \"hub\", repository = {REPOSITORY:?}, revision = {COMMIT:?} }}");
        self.write_model_from(name, &source, files);
    }

    pub fn write_model_from(&self, name: &str, source: &str, files: &str) {
        let manifest = format!(
            r#"
name = "{name}"
modality = "image"
architecture = "stable-diffusion"
revision = "r1"
licence = "Apache-2.0"
memory_bytes = 10_000_000
source = {source}
defaults = {{ width = 32, height = 32, steps = 2, guidance = 2.0, scheduler = "ddim", size_multiple = 4, upscale = 2 }}

{files}
"#
        );
        let folder = self.models().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("manifest.toml"), manifest).unwrap();
    }

    pub fn models(&self) -> PathBuf {
        self.folder.path().join("models")
    }

    /// The cache's folder of the fake hub's repository.
    pub fn repository(&self) -> PathBuf {
        let name = format!("models--{}", REPOSITORY.replace('/', "--"));
        self.folder.path().join("hf/hub").join(name)
    }

    /// Where a pulled file is found.
    pub fn pulled(&self, path: &str) -> PathBuf {
        self.repository().join("snapshots").join(COMMIT).join(path)
    }

    /// The beginnings of files, by name.
    pub fn incomplete(&self) -> Vec<PathBuf> {
        let Ok(blobs) = fs::read_dir(self.repository().join("blobs")) else { return Vec::new() };
        let paths = blobs.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.extension().is_some_and(|e| e == "incomplete")).collect()
    }

    /// The beginning of a file by the kind of its ETag: others may have been on their way beside it.
    pub fn begun(&self, is_large: bool) -> Option<PathBuf> {
        let has_kind = |path: &PathBuf| {
            path.file_stem().is_some_and(|etag| (etag.len() == SHA256_HEX) == is_large)
        };
        self.incomplete().into_iter().find(has_kind)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        self.wrapped(Command::new(env!("CARGO_BIN_EXE_gpu-node")), arguments)
    }

    /// For a binary that is started by another one.
    pub fn wrapped(&self, mut command: Command, arguments: &[&str]) -> Command {
        for name in ["HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE"] {
            command.env_remove(name);
        }
        for name in ["http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(name).env_remove(name.to_uppercase());
        }
        command
            .args(arguments)
            .env("MODELS_DIR", self.models())
            .env("HF_HOME", self.folder.path().join("hf"))
            .env("HF_ENDPOINT", &self.endpoint)
            .env("NO_PROXY", "127.0.0.1");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Pulls the model, which must work.
    pub fn pull(&self) -> String {
        let output = self.run(&["models", "pull", "tiny"]);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    }

    /// Pulls the model, which must not work; gives what it says.
    pub fn refused(&self) -> String {
        let output = self.run(&["models", "pull", "tiny"]);
        assert!(!output.status.success(), "{}", stdout(&output));
        assert!(!self.is_listed_as_here());
        stderr(&output)
    }

    pub fn is_listed_as_here(&self) -> bool {
        let text = stdout(&self.run(&["models", "list"]));
        assert!(text.contains("tiny "), "{text}");
        !text.contains("(not pulled)")
    }
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn has(path: &Path, content: &[u8]) -> bool {
    fs::read(path).unwrap() == content
}
