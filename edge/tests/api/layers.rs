//! Who may import whom, per folder: a domain's rules never learn of HTTP or of the runtime.
#![expect(clippy::disallowed_methods, reason = "tests run natively, with files")]

use std::path::{Path, PathBuf};

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

/// Path below `src/`, and the text without its comments.
fn files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let code: Vec<_> =
            text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        (path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned(), code.join("\n"))
    };
    paths.into_iter().map(read).collect()
}

/// Whether the code names this crate or module, as a path's beginning.
fn names(code: &str, module: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let starts = code.match_indices(module);
    starts.filter(|(at, _)| !code[..*at].ends_with(|c| is_word(c) || c == ':')).any(|(at, _)| {
        let rest = &code[at + module.len()..];
        rest.starts_with("::") || rest.starts_with(';')
    })
}

fn assert_free_of(of: impl Fn(&str) -> bool, modules: &[&str]) {
    let mut seen = 0;
    for (path, code) in files().iter().filter(|(path, _)| of(path)) {
        seen += 1;
        for module in modules {
            let inner = module.strip_prefix("crate::");
            let is_nested = inner.is_some_and(|inner| uses_nested(code, inner));
            assert!(!names(code, module) && !is_nested, "{path} names {module}");
        }
    }
    assert!(seen > 0, "no file was looked at");
}

/// `use crate::{a, b::c}`: whether `inner` is one of the listed.
fn uses_nested(code: &str, inner: &str) -> bool {
    code.split("use crate::{").skip(1).any(|rest| {
        let list = rest.split("};").next().unwrap_or_default();
        list.lines().any(|line| line.trim_start().starts_with(&format!("{inner}::")))
    })
}

#[test]
fn only_the_adapters_and_the_glue_know_the_runtime() {
    let is_glue = |path: &str| {
        path.starts_with("adapters/") || ["lib.rs", "state.rs", "events.rs"].contains(&path)
    };
    assert_free_of(|path| !is_glue(path), &["worker", "web_sys", "js_sys", "wasm_bindgen"]);
    assert_free_of(|path| !is_glue(path) && path != "lib.rs", &["crate::adapters"]);
}

#[test]
fn what_a_domain_decides_knows_no_http() {
    let is_deciding = |path: &str| {
        path.starts_with("domains/")
            && path.matches('/').count() > 1
            && !path.ends_with("handlers.rs")
            && !path.ends_with("mod.rs")
    };
    assert_free_of(is_deciding, &["axum", "http", "crate::http", "crate::app"]);
}

#[test]
fn ports_gates_errors_callers_and_tokens_know_no_http_and_no_domain() {
    let is_inner = |path: &str| {
        ["ports/", "gates/", "auth/"].iter().any(|folder| path.starts_with(folder))
            || ["error.rs", "caller.rs", "config.rs"].contains(&path)
    };
    let outer = ["axum", "http", "crate::http", "crate::app", "crate::domains", "crate::adapters"];
    assert_free_of(is_inner, &outer);
}

#[test]
fn http_knows_no_domain_and_adapters_know_no_handlers() {
    assert_free_of(
        |path| path.starts_with("http/"),
        &["crate::domains", "crate::adapters", "crate::app"],
    );
    let code = files();
    for (path, code) in code.iter().filter(|(path, _)| path.starts_with("adapters/")) {
        assert!(!code.contains("handlers"), "{path} names handlers");
    }
}

#[test]
fn one_domain_does_not_use_anothers_handlers() {
    for (path, code) in files().iter().filter(|(path, _)| path.starts_with("domains/")) {
        assert!(!code.contains("::handlers::") || code.contains("routes!"), "{path}");
    }
}

#[test]
fn the_checks_see_what_they_look_for() {
    assert!(names("use worker::Env;", "worker"));
    assert!(names("let x = http::Request::new();", "http"));
    assert!(!names("use crate::http::extract;", "http"));
    assert!(!names("use my_worker::Env;", "worker"));
    assert!(names("use crate::http::extract;", "crate::http"));
    assert!(uses_nested("use crate::{\n    error::Error,\n    http::extract::State,\n};", "http"));
}

#[test]
fn no_file_is_longer_than_four_hundred_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    sources(&root.join("src"), &mut paths);
    sources(&root.join("tests"), &mut paths);
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.lines().count() <= 400, "{}", path.display());
        assert!(text.starts_with("//!"), "{} does not say what it is for", path.display());
    }
}
