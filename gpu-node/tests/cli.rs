//! The commands that need no server, as a person types them.
#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use tempfile::TempDir;

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tiny/stable-diffusion")
}

/// A models folder with the tiny model in it, by its path.
fn shelf(sha256: &str) -> TempDir {
    let shelf = tempfile::tempdir().unwrap();
    let folder = shelf.path().join("tiny");
    std::fs::create_dir(&folder).unwrap();
    let index = std::fs::metadata(tiny().join("model_index.json")).unwrap().len();
    let manifest = format!(
        r#"
name = "tiny"
modality = "image"
architecture = "stable-diffusion"
revision = "r1"
licence = "Apache-2.0"
memory_bytes = 10_000_000
source = {{ kind = "path", path = {:?} }}
defaults = {{ width = 32, height = 32, steps = 2, guidance = 2.0, scheduler = "ddim", size_multiple = 4, upscale = 2, input_images = 1 }}
[[files]]
path = "model_index.json"
bytes = {index}
sha256 = "{sha256}"
"#,
        tiny().canonicalize().unwrap().display().to_string()
    );
    std::fs::write(folder.join("manifest.toml"), manifest).unwrap();
    shelf
}

fn run(shelf: &TempDir, command: &[&str], arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gpu-node"))
        .args(command)
        .args(arguments)
        .env("MODELS_DIR", shelf.path())
        .output()
        .unwrap()
}

fn generate(shelf: &TempDir, arguments: &[&str]) -> Output {
    run(shelf, &["generate", "--model", "tiny", "--prompt", "a red fish"], arguments)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn generate_writes_the_pictures_and_says_so() {
    let shelf = shelf(&"0".repeat(64));
    let path = shelf.path().join("fish.png");
    let arguments = ["--seed", "7", "--num-images", "2", "--out", path.to_str().unwrap()];
    let output = generate(&shelf, &arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("fish.png: 32×32"), "{}", stderr(&output));
    assert!(stderr(&output).contains("seed 8"), "{}", stderr(&output));
    for name in ["fish.png", "fish-1.png"] {
        let picture = image::open(shelf.path().join(name)).unwrap();
        assert_eq!((picture.width(), picture.height()), (32, 32));
    }
    let first = std::fs::read(&path).unwrap();
    generate(&shelf, &arguments);
    assert_eq!(std::fs::read(&path).unwrap(), first);
}

#[test]
fn generate_starts_from_a_picture_and_keeps_to_itself_how() {
    let shelf = shelf(&"0".repeat(64));
    let start = shelf.path().join("start.png");
    image::RgbImage::from_pixel(40, 20, image::Rgb([200, 30, 30])).save(&start).unwrap();
    let make = |name: &str, arguments: &[&str]| {
        let path = shelf.path().join(name);
        let out = ["--seed", "7", "--out", path.to_str().unwrap()];
        let output = generate(&shelf, &[&out, arguments].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        std::fs::read(path).unwrap()
    };
    let start = start.to_str().unwrap();
    let near = make("near.png", &["--image", start, "--strength", "0.5"]);
    assert_ne!(near, make("far.png", &["--image", start, "--strength", "1"]));
    let says = |file: &[u8]| String::from_utf8_lossy(file).contains("\"strength\":0.5");
    assert!(says(&near));
    let silent = make("silent.png", &["--image", start, "--strength", "0.5", "--no-metadata"]);
    assert!(!says(&silent) && silent.len() < near.len());
    for name in ["q.jpg", "q.webp"] {
        let [coarse, fine] = ["10", "95"].map(|quality| make(name, &["--quality", quality]).len());
        assert!(coarse < fine, "{name}");
    }
}

#[test]
fn generate_explains_what_it_cannot_do() {
    let shelf = shelf(&"0".repeat(64));
    for (arguments, reason) in [
        (&["--out", "fish.gif"][..], "must end in .png, .jpg or .webp"),
        (&["--width", "30"], "width must be a multiple of 8"),
        (&["--scheduler", "magic"], "must be ddim, euler"),
        (&["--strength", "2"], "--strength must be between 0 and 1"),
        (&["--image", "/nowhere.png"], "cannot read /nowhere.png"),
        (&["--model", "other"], "cannot be used multiple times"),
    ] {
        let output = generate(&shelf, arguments);
        assert!(!output.status.success());
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
    }
    let output = run(&shelf, &["generate", "--model", "huge"], &["--prompt", "a fish"]);
    assert!(stderr(&output).contains("no model \"huge\""), "{}", stderr(&output));
}

#[test]
fn models_are_listed_and_verified() {
    let broken = shelf(&"0".repeat(64));
    let list = run(&broken, &["models", "list"], &[]);
    let text = String::from_utf8_lossy(&list.stdout);
    assert!(text.contains("tiny") && text.contains("Apache-2.0"), "{text}");

    let verify = run(&broken, &["models", "verify"], &[]);
    assert!(!verify.status.success());
    let text = String::from_utf8_lossy(&verify.stdout);
    assert!(text.contains("its manifest says 0000"), "{text}");
    let is_hash = |word: &&str| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let found = text.split([' ', ',']).find(is_hash).unwrap();

    let whole = shelf(found);
    let verify = run(&whole, &["models", "verify"], &["tiny"]);
    assert!(verify.status.success());
    assert!(String::from_utf8_lossy(&verify.stdout).contains("tiny: 1 files"));
    assert!(!run(&whole, &["models", "verify"], &["other"]).status.success());
}
