//! Who may import whom: engines know neither HTTP nor tokio, only two folders know candle, only the door knows axum.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here is a failed test")]

use std::path::{Path, PathBuf};

/// A crate or module, and the parts of `src` that may name it.
const RULES: &[(&str, &[&str])] = &[
    ("candle_", &["engines/", "registry/"]),
    ("axum", &["http/", "app.rs"]),
    ("tower", &["http/", "app.rs"]),
    ("reqwest", &["fleet/", "registry/hub/", "webhooks/"]),
    ("prometheus_client", &["scheduler/metrics.rs"]),
    ("crate::http", &["http/", "app.rs"]),
    ("crate::app", &["http/", "app.rs", "lifetime.rs"]),
    ("clap", &["cli/", "config.rs", "main.rs"]),
];

/// A part of `src`, and what it may not name.
const BANS: &[(&str, &[&str])] = &[
    ("engines/", &["tokio", "futures_util", "crate::scheduler", "crate::jobs", "crate::registry"]),
    ("registry/", &["tokio", "futures_util", "crate::scheduler", "crate::jobs", "crate::config"]),
    ("scheduler/", &["tokio", "futures_util", "crate::registry", "crate::jobs", "crate::error"]),
    ("cli/", &["tokio", "crate::scheduler", "crate::jobs", "crate::config"]),
    ("error.rs", &["http", "crate::"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Whether a line of code names the crate or module as the start of a path.
fn names(line: &str, name: &str) -> bool {
    let code = line.split("//").next().unwrap_or("");
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + name.len()..].chars().next();
        let starts = before.is_none_or(|c| !c.is_alphanumeric() && !"_:.\"".contains(c));
        let ends = name.ends_with(['_', ':']) || matches!(after, Some(':' | ';'));
        starts && ends
    })
}

#[test]
fn each_part_imports_only_what_it_may() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 30, "the sources were not found");
    let mut broken = Vec::new();
    for file in &files {
        let path = file.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
        for (index, line) in std::fs::read_to_string(file).unwrap().lines().enumerate() {
            let breaks_rule = RULES.iter().find(|(name, allowed)| {
                names(line, name) && !allowed.iter().any(|part| path.starts_with(part))
            });
            let breaks_ban = BANS
                .iter()
                .filter(|(part, _)| path.starts_with(part))
                .find_map(|(_, banned)| banned.iter().find(|name| names(line, name)));
            if let Some(name) = breaks_rule.map(|(name, _)| name).or(breaks_ban) {
                broken.push(format!("{path}:{} names {name}", index + 1));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn a_forbidden_import_is_seen_in_every_form() {
    for line in
        ["use axum::Router;", "    axum::serve(x)", "pub use candle_core as c;", "use tokio;"]
    {
        assert!(["axum", "candle_", "tokio"].iter().any(|name| names(line, name)), "{line}");
    }
    for line in ["// axum::serve", "let axum = 1;", "self.tokio::x", "\"axum::x\""] {
        assert!(!["axum", "tokio"].iter().any(|name| names(line, name)), "{line}");
    }
}
