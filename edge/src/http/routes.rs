//! The table of routes: path and method come from the handler's `#[utoipa::path]`, so no route can miss the document.

use axum::{
    Router,
    handler::Handler,
    routing::{MethodFilter, MethodRouter},
};
use utoipa::openapi::HttpMethod;

/// Routes, and natively also their description.
#[derive(Default)]
pub struct Routes {
    router: Router,
    // The Worker serves the generated file: describing each route again would only cost it size and start-up time.
    #[cfg(not(target_arch = "wasm32"))]
    operations: Vec<Operation>,
}

/// One documented operation.
#[cfg(not(target_arch = "wasm32"))]
pub struct Operation {
    pub path: String,
    pub methods: Vec<HttpMethod>,
    pub operation: utoipa::openapi::path::Operation,
    pub schemas: Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>,
}

impl Routes {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a handler with the description `P` that `#[utoipa::path]` made for it; [`crate::route`] names both.
    pub fn add<P, H, T>(mut self, _described_by: P, handler: H) -> Self
    where
        P: utoipa::Path + Described,
        H: Handler<T, ()>,
        T: 'static,
    {
        let methods = P::methods();
        let method_router = methods
            .iter()
            .fold(MethodRouter::new(), |router, method| router.on(filter(method), handler.clone()));
        self.router = self.router.route(&P::path(), method_router);
        #[cfg(not(target_arch = "wasm32"))]
        self.operations.push(describe::<P>(methods));
        self
    }

    /// Adds another table's routes.
    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        #[cfg(not(target_arch = "wasm32"))]
        self.operations.extend(other.operations);
        self
    }

    /// Adds a file of the site, which is no part of the API and so not in its document.
    pub fn add_file<H, T>(mut self, path: &str, handler: H) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        self.router = self.router.route(path, axum::routing::get(handler));
        self
    }

    /// The routes alone.
    pub fn into_router(self) -> Router {
        self.router
    }

    /// The descriptions alone.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn into_operations(self) -> Vec<Operation> {
        self.operations
    }
}

/// What a description can say beside its path, natively: its tags and its schemas.
#[cfg(not(target_arch = "wasm32"))]
pub trait Described: utoipa::__dev::SchemaReferences + utoipa::__dev::Tags<'static> {}
#[cfg(not(target_arch = "wasm32"))]
impl<P: utoipa::__dev::SchemaReferences + utoipa::__dev::Tags<'static>> Described for P {}

/// In the Worker nothing more is asked of a description.
#[cfg(target_arch = "wasm32")]
pub trait Described {}
#[cfg(target_arch = "wasm32")]
impl<P> Described for P {}

#[cfg(not(target_arch = "wasm32"))]
fn describe<P: utoipa::Path + Described>(methods: Vec<HttpMethod>) -> Operation {
    let mut schemas = Vec::new();
    P::schemas(&mut schemas);
    let mut operation = P::operation();
    operation.tags = Some(P::tags().into_iter().map(str::to_owned).collect());
    Operation { path: P::path(), methods, operation, schemas }
}

fn filter(method: &HttpMethod) -> MethodFilter {
    match method {
        HttpMethod::Get => MethodFilter::GET,
        HttpMethod::Post => MethodFilter::POST,
        HttpMethod::Put => MethodFilter::PUT,
        HttpMethod::Delete => MethodFilter::DELETE,
        HttpMethod::Options => MethodFilter::OPTIONS,
        HttpMethod::Head => MethodFilter::HEAD,
        HttpMethod::Patch => MethodFilter::PATCH,
        HttpMethod::Trace => MethodFilter::TRACE,
    }
}

/// Adds handlers to a table of routes: `routes![handlers::{list_scenes, find_scene}]`.
#[macro_export]
macro_rules! routes {
    ($module:ident::{$($handler:ident),+ $(,)?}) => {
        $crate::http::routes::Routes::new()$(
            .add(pastey::paste!($module::[<__path_ $handler>]), $module::$handler)
        )+
    };
    ($($handler:ident),+ $(,)?) => {
        $crate::http::routes::Routes::new()$(
            .add(pastey::paste!([<__path_ $handler>]), $handler)
        )+
    };
}
