//! A route that anyone may call is on a list that should only ever shrink; any other answers 401 without credentials.

use axum::http::Method;
use edge::http::middleware::auth::{METRICS_ROUTES, NODE_ROUTES, PUBLIC_ROUTES};

use crate::{openapi::document, support::app::TestApp};

/// Files of the site, which the document does not describe.
const FILES: [&str; 7] =
    ["/", "/api.js", "/app.js", "/docs", "/docs.js", "/style.css", "/texts.js"];

/// Method and path of every route of the API.
fn routes() -> Vec<(Method, String)> {
    let document = document();
    let paths = document["paths"].as_object().unwrap();
    let routes = paths.iter().flat_map(|(path, operations)| {
        let methods = operations.as_object().unwrap().keys();
        methods.map(|method| (method.to_uppercase().parse().unwrap(), path.clone()))
    });
    routes.collect()
}

/// A path that the route matches.
fn example(path: &str) -> String {
    path.replace("{id}", "6f9619ff-8b86-4d01-b42d-00cf4fc964ff").replace("{key}", "prices")
}

#[test]
fn a_route_without_credentials_answers_401_unless_it_is_public() {
    let app = TestApp::new();
    let routes = routes();
    assert!(routes.len() > 15, "the document lost its routes");
    for (method, path) in routes {
        if PUBLIC_ROUTES.contains(&path.as_str()) {
            continue;
        }
        let bare = app.call(method.clone(), &example(&path)).send();
        assert_eq!(bare.status, 401, "{method} {path} without a token");
        bare.problem(401);
        let forged = app.call(method.clone(), &example(&path)).token("forged").send();
        assert_eq!(forged.status, 401, "{method} {path} with a forged token");
        let alias = example(&path).replace("/api/", "/s2s_api_v1/");
        assert_eq!(app.call(method.clone(), &alias).send().status, 401, "{method} {alias}");
    }
}

#[test]
fn a_users_token_opens_no_route_of_nodes_and_no_node_one_of_users() {
    let app = TestApp::new();
    let admin = app.sign_in_as(1, Some("admin"));
    for (method, path) in routes() {
        let is_public = PUBLIC_ROUTES.contains(&path.as_str());
        let is_nodes = NODE_ROUTES.contains(&path.as_str());
        let token = if is_nodes { &admin } else { crate::support::app::NODE_JOIN_TOKEN };
        let answer = app.call(method.clone(), &example(&path)).token(token).send();
        assert_eq!(answer.status == 401, !is_public, "{method} {path}: {}", answer.status);
    }
}

#[test]
fn an_admins_route_is_closed_to_other_users() {
    let app = TestApp::new();
    let token = app.sign_in(1);
    let mut tried = 0;
    for (method, path) in routes() {
        if path.starts_with("/api/admin/") || METRICS_ROUTES.contains(&path.as_str()) {
            let answer = app.call(method.clone(), &example(&path)).token(&token).send();
            assert_eq!(answer.status, 403, "{method} {path}");
            tried += 1;
        }
    }
    assert!(tried >= 5, "only {tried} routes of admins were found");
}

#[test]
fn the_lists_name_only_routes_that_exist() {
    let paths: Vec<String> = routes().into_iter().map(|(_, path)| path).collect();
    for listed in PUBLIC_ROUTES.iter().chain(NODE_ROUTES).chain(METRICS_ROUTES) {
        let is_known = FILES.contains(listed) || paths.iter().any(|path| path == listed);
        assert!(is_known, "{listed} is no route");
    }
}
