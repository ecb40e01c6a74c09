//! The real binary: how it starts, what makes it refuse to, and how it ends on a signal.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::TcpListener,
    process::{Child, ChildStderr, Command},
};

const MANIFEST: &str = r#"
name = "absent"
modality = "image"
architecture = "stable-diffusion"
revision = "1"
licence = "Apache-2.0"
memory_bytes = 1
source = { kind = "folder" }
[[files]]
path = "model_index.json"
bytes = 1
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
[defaults]
width = 64
height = 64
steps = 1
guidance = 1.0
scheduler = "ddim"
"#;

/// A models folder with one model whose files are missing.
fn models_dir(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    fs::create_dir_all(folder.join("absent")).unwrap();
    fs::write(folder.join("absent/manifest.toml"), MANIFEST).unwrap();
    folder
}

fn serve(models_dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-node"));
    command.env_clear().arg("serve").arg("--models-dir").arg(models_dir);
    command.args(["--default-model", "absent"]).args(args).env("CHANDELLE_PORT", "0");
    command.stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// The node and the rest of its log, once it listens.
async fn started(mut command: Command) -> (Child, Lines<BufReader<ChildStderr>>, String) {
    let mut child = command.spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    loop {
        let line = log.next_line().await.unwrap().expect("it ended before it listened");
        if let Some((_, url)) = line.split_once("listening on ") {
            return (child, log, url.to_owned());
        }
    }
}

async fn refusal(mut command: Command) -> String {
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr).unwrap()
}

#[cfg(unix)]
async fn signal(child: &Child, name: &str) {
    let pid = child.id().unwrap().to_string();
    let status = Command::new("kill").args([&format!("-{name}"), &pid]).status();
    assert!(status.await.unwrap().success());
}

#[cfg(unix)]
#[tokio::test]
async fn the_node_serves_until_a_signal_and_exits_with_0() {
    for name in ["TERM", "INT"] {
        let command = serve(&models_dir("serves"), &["--insecure"]);
        let (mut child, mut log, url) = started(command).await;
        let address = url.trim_start_matches("http://");
        tokio::net::TcpStream::connect(address).await.expect("it listens where it says");
        signal(&child, name).await;
        assert_eq!(child.wait().await.unwrap().code(), Some(0), "SIG{name}");
        let mut last = String::new();
        while let Some(line) = log.next_line().await.unwrap() {
            last = line;
        }
        assert!(last.contains("stopped"), "{last}");
    }
}

#[tokio::test]
async fn a_node_without_tokens_does_not_start() {
    let text = refusal(serve(&models_dir("tokens"), &[])).await;
    assert!(text.starts_with("error: no token is configured: set NODE_TOKENS"), "{text}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let mut command = serve(&models_dir("port"), &["--insecure"]);
    command.env("CHANDELLE_PORT", address.port().to_string());
    let text = refusal(command).await;
    assert!(text.contains(&format!("cannot listen on {address}")), "{text}");
}

#[tokio::test]
async fn a_models_folder_that_is_not_there_is_named() {
    let text = refusal(serve(Path::new("nowhere/models"), &["--insecure"])).await;
    assert!(text.contains("nowhere/models"), "{text}");
}

#[tokio::test]
async fn a_model_that_cannot_be_preloaded_is_named() {
    let folder = models_dir("preload");
    let text = refusal(serve(&folder, &["--insecure", "--preload", "absent,huge"])).await;
    assert!(text.contains("huge cannot be preloaded"), "{text}");
}

#[tokio::test]
async fn half_a_fleet_configuration_is_refused() {
    let mut command = serve(&models_dir("fleet"), &["--insecure"]);
    command.env("EDGE_URL", "http://127.0.0.1:8787");
    let text = refusal(command).await;
    assert!(text.contains("NODE_JOIN_TOKEN is missing"), "{text}");
}
