//! Every model in the repository can be run by this build and is what its manifest says.
#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that is wrong")]

use std::path::{Path, PathBuf};

use gpu_node::{
    engines::Devices,
    registry::{
        LoadError, Manifest, Registry, Source, WeightsError, has_engine, is_here,
        load_image_engine, verify_files,
    },
};
use tempfile::TempDir;

const MANIFEST: &str = r#"
name = "tiny"
modality = "image"
architecture = "stable-diffusion"
revision = "1"
licence = "Apache-2.0"
memory_bytes = 1000
source = { kind = "folder" }
defaults = { width = 16, height = 16, steps = 2, guidance = 1.0, scheduler = "ddim", size_multiple = 4 }

[[files]]
path = "weights.bin"
bytes = 3
sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
"#;

fn models_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models")
}

/// A models folder with one model, whose only file holds `abc`.
fn shelf(manifest: &str) -> TempDir {
    let shelf = tempfile::tempdir().unwrap();
    let folder = shelf.path().join("tiny");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("manifest.toml"), manifest).unwrap();
    std::fs::write(folder.join("weights.bin"), "abc").unwrap();
    shelf
}

fn refusal(from: &str, to: &str) -> String {
    assert!(MANIFEST.contains(from));
    Registry::open(shelf(&MANIFEST.replace(from, to)).path()).unwrap_err().to_string()
}

fn read(manifest: &str) -> (TempDir, Manifest) {
    let shelf = shelf(manifest);
    let manifest = Registry::open(shelf.path()).unwrap().find("tiny").unwrap().clone();
    (shelf, manifest)
}

#[test]
fn every_model_here_has_an_engine_tiny_weights_and_whole_files() {
    for model in Registry::open(models_dir()).unwrap().models() {
        assert!(has_engine(model), "no engine runs {}", model.architecture);
        let tiny = models_dir().join("tiny").join(&model.architecture);
        assert!(tiny.is_dir(), "{} has no tiny weights", model.architecture);
        if model.source == Source::Folder {
            verify_files(model, |_| ()).unwrap();
        }
    }
}

#[test]
fn every_weight_file_here_is_in_a_manifest() {
    for model in Registry::open(models_dir()).unwrap().models() {
        for part in ["unet", "vae", "text_encoder", "tokenizer", "scheduler"] {
            let Ok(entries) = std::fs::read_dir(model.folder.join(part)) else { continue };
            for entry in entries {
                let path = format!("{part}/{}", entry.unwrap().file_name().to_string_lossy());
                let is_listed = model.files.iter().any(|file| file.path == path);
                assert!(is_listed, "{}: {path} has no SHA-256 in the manifest", model.name);
            }
        }
    }
}

#[test]
fn a_good_manifest_is_read() {
    let (_shelf, manifest) = read(MANIFEST);
    let defaults = manifest.defaults.image().unwrap();
    assert_eq!((defaults.upscale, defaults.side_max), (1, 1024));
    let mut seen = Vec::new();
    verify_files(&manifest, |file| seen.push(file.path.clone())).unwrap();
    assert_eq!(seen, ["weights.bin"]);
}

#[test]
fn a_text_models_defaults_are_those_of_text() {
    let text = MANIFEST.replace("modality = \"image\"", "modality = \"text\"");
    let from = text.find("defaults = {").unwrap();
    let to = from + text[from..].find('\n').unwrap();
    let defaults =
        |inner: &str| format!("{}defaults = {{ {inner} }}{}", &text[..from], &text[to..]);
    let (_shelf, manifest) = read(&defaults("context_tokens = 2048, temperature = 0.3"));
    let found = manifest.defaults.text().unwrap();
    assert_eq!((found.context_tokens, found.max_output_tokens), (Some(2048), None));
    assert_eq!((found.sampling().temperature, found.sampling().top_p), (0.3, 1.0));
    for (inner, reason) in [
        ("temperature = 3.0", "`temperature` must be between 0 and 2, not 3"),
        ("max_sequences = 0", "`max_sequences` must not be 0"),
        ("width = 3", "unknown field `width`"),
    ] {
        let refusal = Registry::open(shelf(&defaults(inner)).path()).unwrap_err().to_string();
        assert!(refusal.contains(reason), "{refusal}");
    }
}

#[test]
fn only_a_commit_of_a_hub_stands_for_sizes_and_checksums() {
    let commit = "kind = \"hub\", repository = \"owner/name\", revision = \"0123456789012345678901234567890123456789\"";
    let pinned = MANIFEST.replace("kind = \"folder\"", commit).replace("bytes = 3", "");
    let (_shelf, manifest) = read(&pinned);
    assert_eq!(manifest.files[0].bytes, None);
    assert!(!is_here(&manifest));
}

#[test]
fn a_bad_manifest_is_refused_with_its_path_and_reason() {
    for (from, to, reason) in [
        ("name = \"tiny\"", "name = \"other\"", "must be the folder's name"),
        ("licence = \"Apache-2.0\"", "licence = \" \"", "`licence` must not be empty"),
        ("licence = \"Apache-2.0\"", "", "missing field `licence`"),
        ("revision = \"1\"", "revision = \"1\"\nlicense = \"MIT\"", "unknown field `license`"),
        ("ba7816bf8f01", "zz7816bf8f01", "needs its sha256"),
        ("\"weights.bin\"", "\"../weights.bin\"", "must stay inside the model"),
        ("modality = \"image\"", "modality = \"smell\"", "unknown variant `smell`"),
        ("steps = 2", "stepz = 2", "unknown field `stepz`"),
        ("modality = \"image\"", "modality = \"text\"", "unknown field `guidance`"),
        ("bytes = 3", "", "needs its size in `bytes`"),
        (
            "kind = \"folder\"",
            "kind = \"hub\", repository = \"o/n\", revision = \"main\"",
            "must be a commit",
        ),
        (
            "kind = \"folder\"",
            "kind = \"hub\", repository = \"../o/n\", revision = \"0123456789012345678901234567890123456789\"",
            "`repository` must be owner/name",
        ),
    ] {
        let refusal = refusal(from, to);
        assert!(refusal.contains(reason), "{to}: {refusal}");
        assert!(refusal.contains("tiny/manifest.toml"), "{refusal}");
    }
}

#[test]
fn a_changed_short_or_missing_file_is_found() {
    let (shelf, manifest) = read(MANIFEST);
    let path = shelf.path().join("tiny/weights.bin");
    std::fs::write(&path, "abd").unwrap();
    assert!(matches!(verify_files(&manifest, |_| ()), Err(WeightsError::WrongHash { .. })));
    std::fs::write(&path, "ab").unwrap();
    assert!(matches!(verify_files(&manifest, |_| ()), Err(WeightsError::WrongSize { .. })));
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(verify_files(&manifest, |_| ()), Err(WeightsError::Unreadable { .. })));
}

#[test]
fn an_architecture_without_engine_is_refused() {
    let (_shelf, manifest) = read(&MANIFEST.replace("stable-diffusion", "flux"));
    assert!(!has_engine(&manifest));
    let outcome = load_image_engine(&manifest, &Devices::cpu());
    assert!(matches!(outcome, Err(LoadError::UnknownArchitecture(name)) if name == "flux"));
}

#[test]
fn a_file_of_another_size_is_not_loaded() {
    let (_shelf, manifest) = read(&MANIFEST.replace("bytes = 3", "bytes = 4"));
    let outcome = load_image_engine(&manifest, &Devices::cpu());
    assert!(matches!(outcome, Err(LoadError::Weights(WeightsError::WrongSize { .. }))));
}

#[test]
fn a_model_on_the_hub_says_how_to_get_it() {
    let source = "kind = \"hub\", repository = \"owner/name\", revision = \"0123456789012345678901234567890123456789\"";
    let (_shelf, manifest) = read(&MANIFEST.replace("kind = \"folder\"", source));
    assert!(!is_here(&manifest));
    let error = load_image_engine(&manifest, &Devices::cpu()).err().unwrap().to_string();
    let advice =
        "owner/name is not on this machine as a whole: `gpu-node models pull tiny` brings it";
    assert_eq!(error, advice);
}

#[test]
fn the_tiny_model_loads_from_its_path_unless_its_sizes_are_declared_wrong() {
    let tiny = models_dir().join("tiny/stable-diffusion").canonicalize().unwrap();
    let source = format!("kind = \"path\", path = {:?}", tiny.display().to_string());
    let bytes = std::fs::metadata(tiny.join("model_index.json")).unwrap().len();
    let manifest = MANIFEST
        .replace("kind = \"folder\"", &source)
        .replace("weights.bin", "model_index.json")
        .replace("bytes = 3", &format!("bytes = {bytes}"));
    assert!(load_image_engine(&read(&manifest).1, &Devices::cpu()).is_ok());
    let (_shelf, wrong) = read(&manifest.replace("size_multiple = 4", "size_multiple = 6"));
    let error = load_image_engine(&wrong, &Devices::cpu()).err().unwrap().to_string();
    assert_eq!(error, "tiny: `size_multiple` is 6, the model needs multiples of 4");
}

#[test]
fn the_tiny_flow_models_load_by_their_architecture() {
    for architecture in ["flux-2", "z-image"] {
        let tiny = models_dir().join("tiny").join(architecture).canonicalize().unwrap();
        let source = format!("kind = \"path\", path = {:?}", tiny.display().to_string());
        let bytes = std::fs::metadata(tiny.join("model_index.json")).unwrap().len();
        let manifest = MANIFEST
            .replace("stable-diffusion", architecture)
            .replace("kind = \"folder\"", &source)
            .replace("weights.bin", "model_index.json")
            .replace("bytes = 3", &format!("bytes = {bytes}"))
            .replace("size_multiple = 4", "size_multiple = 16");
        assert!(load_image_engine(&read(&manifest).1, &Devices::cpu()).is_ok(), "{architecture}");
        let (_shelf, wrong) = read(&manifest.replace("size_multiple = 16", "size_multiple = 8"));
        let error = load_image_engine(&wrong, &Devices::cpu()).err().unwrap().to_string();
        assert_eq!(error, "tiny: `size_multiple` is 8, the model needs multiples of 16");
    }
}
