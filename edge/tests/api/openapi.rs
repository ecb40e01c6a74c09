//! The API's document, generated from the routes and locked: `UPDATE_OPENAPI=1 cargo test -p edge openapi` renews it.
#![expect(clippy::disallowed_methods, reason = "tests run natively, with files and an environment")]

use std::path::Path;

use edge::http::middleware::auth::PUBLIC_ROUTES;
use serde_json::Value;
use utoipa::openapi::{
    Components, Info, OpenApi, Paths, SecurityRequirement,
    security::{Http, HttpAuthScheme, SecurityScheme},
};

const SCHEME: &str = "token";

/// The document, of the routes the router has.
pub fn document() -> Value {
    let mut paths = Paths::new();
    let mut components = Components::new();
    for described in edge::app::routes().into_operations() {
        let mut operation = described.operation;
        // Whoever isn't named public needs a token: the guard's own list decides.
        let is_public = PUBLIC_ROUTES.contains(&described.path.as_str());
        operation.security = is_public.then(Vec::new);
        paths.add_path_operation(&described.path, described.methods, operation);
        components.schemas.extend(described.schemas);
    }
    let mut bearer = Http::new(HttpAuthScheme::Bearer);
    bearer.description = Some(
        "A user's access token. Nodes use the join token, monitoring may use the metrics token."
            .to_owned(),
    );
    components.add_security_scheme(SCHEME, SecurityScheme::Http(bearer));
    let mut info = Info::new("Chandelle", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Generation of scenes and images on nodes of one's own. Every path is also served under /s2s_api_v1/ instead of /api/. \
         Every answer carries X-Request-Id; every error is application/problem+json."
            .to_owned(),
    );
    let mut openapi = OpenApi::new(info, paths);
    openapi.components = Some(components);
    openapi.security = Some(vec![SecurityRequirement::new(SCHEME, Vec::<String>::new())]);
    let mut document = serde_json::to_value(openapi).unwrap();
    document.sort_all_objects();
    document
}

#[test]
fn the_document_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let generated = format!("{:#}\n", document());
    if std::env::var("UPDATE_OPENAPI").is_ok() {
        std::fs::write(&path, &generated).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    let is_same = serde_json::from_str::<Value>(&written).unwrap() == document();
    assert!(
        is_same,
        "docs/openapi.json is out of date: UPDATE_OPENAPI=1 cargo test -p edge openapi"
    );
}

#[test]
fn it_is_openapi_3_1_and_every_reference_leads_somewhere() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str() {
                    Some(reference) if name == "$ref" => found.push(reference.to_owned()),
                    _ => collect_references(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_references(item, found)),
        _ => {}
    }
}

#[test]
fn every_operation_says_what_it_does_and_under_which_name() {
    let document = document();
    let mut ids = std::collections::HashSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let name = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{name} has no summary");
            assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{name} has no tag");
            assert!(ids.insert(operation["operationId"].clone()), "{name} has another's id");
        }
    }
}
