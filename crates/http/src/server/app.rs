//! Routes, and what is called for them.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

use super::request::{Params, Request};
use super::response::{IntoResponse, Response, plain};
use crate::codec::Target;

/// What answers a request: a plain function, which may wait as long as it needs.
///
/// Implemented for every `Fn(&mut Request) -> impl IntoResponse`.
pub trait Handler: Send + Sync + 'static {
    /// Answers a request.
    fn call(&self, request: &mut Request<'_>) -> Response;
}

impl<F, R> Handler for F
where
    F: Fn(&mut Request<'_>) -> R + Send + Sync + 'static,
    R: IntoResponse,
{
    fn call(&self, request: &mut Request<'_>) -> Response {
        self(request).into_response()
    }
}

type Shared = Arc<dyn Handler>;

/// Routes and their handlers.
///
/// A route is a path with `{name}` for one segment and `{*name}` for the rest of it
/// ([`Request::param`]). The more exact route wins, whatever the order. HEAD is answered by
/// the route's GET, without the body; a path that has other methods only is 405 with `Allow`,
/// and an unknown one 404; OPTIONS is answered with `Allow`.
///
/// # Examples
///
/// ```
/// use ropewalk_http::{App, Request, StatusCode};
///
/// let app = App::new()
///     .get("/", |_: &mut Request| "home")
///     .post("/items", |request: &mut Request| -> std::io::Result<_> {
///         Ok((StatusCode::CREATED, request.read_text()?))
///     });
/// let answer = app.exchange(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n");
/// assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
/// assert!(answer.ends_with(b"home"));
/// ```
#[derive(Clone, Default)]
pub struct App {
    router: matchit::Router<usize>,
    places: HashMap<String, usize>,
    routes: Vec<Route>,
    fallback: Option<Shared>,
}

#[derive(Clone, Default)]
struct Route {
    methods: Vec<(Method, Shared)>,
    any: Option<Shared>,
}

impl App {
    /// Without routes: everything is 404.
    pub fn new() -> App {
        App::default()
    }

    /// Answers GET, and HEAD, of `path`.
    ///
    /// # Panics
    ///
    /// As [`route`](Self::route).
    pub fn get(self, path: &str, handler: impl Handler) -> App {
        self.route(Method::GET, path, handler)
    }

    /// Answers POST of `path`.
    ///
    /// # Panics
    ///
    /// As [`route`](Self::route).
    pub fn post(self, path: &str, handler: impl Handler) -> App {
        self.route(Method::POST, path, handler)
    }

    /// Answers PUT of `path`.
    ///
    /// # Panics
    ///
    /// As [`route`](Self::route).
    pub fn put(self, path: &str, handler: impl Handler) -> App {
        self.route(Method::PUT, path, handler)
    }

    /// Answers DELETE of `path`.
    ///
    /// # Panics
    ///
    /// As [`route`](Self::route).
    pub fn delete(self, path: &str, handler: impl Handler) -> App {
        self.route(Method::DELETE, path, handler)
    }

    /// Answers `method` of `path`.
    ///
    /// # Panics
    ///
    /// If the path is no route, clashes with another one, or has this method already.
    pub fn route(mut self, method: Method, path: &str, handler: impl Handler) -> App {
        let route = self.at(path);
        assert!(
            !route.methods.iter().any(|(own, _)| *own == method),
            "{method} {path} has a handler already"
        );
        route.methods.push((method, Arc::new(handler)));
        self
    }

    /// Answers all methods of `path` that have no handler of their own.
    ///
    /// # Panics
    ///
    /// As [`route`](Self::route).
    pub fn any(mut self, path: &str, handler: impl Handler) -> App {
        let route = self.at(path);
        assert!(
            route.any.is_none(),
            "{path} has a handler for any method already"
        );
        route.any = Some(Arc::new(handler));
        self
    }

    /// Answers what no route is for, in the place of 404.
    pub fn fallback(mut self, handler: impl Handler) -> App {
        self.fallback = Some(Arc::new(handler));
        self
    }

    fn at(&mut self, path: &str) -> &mut Route {
        let index = match self.places.get(path) {
            Some(index) => *index,
            None => {
                let index = self.routes.len();
                if let Err(error) = self.router.insert(path, index) {
                    panic!("{path:?} can't be a route: {error}");
                }
                self.places.insert(path.to_owned(), index);
                self.routes.push(Route::default());
                index
            }
        };
        &mut self.routes[index]
    }

    /// Finds the handler and calls it.
    pub(super) fn respond<'c>(&'c self, request: &mut Request<'c>) -> Response {
        let head = request.head;
        if head.form == Target::Asterisk {
            return Response::new(StatusCode::NO_CONTENT);
        }
        if head.form == Target::Authority {
            return plain(StatusCode::NOT_IMPLEMENTED);
        }
        let path = head.path();
        let Ok(found) = self.router.at(path) else {
            return match &self.fallback {
                Some(handler) => handler.call(request),
                None => plain(StatusCode::NOT_FOUND),
            };
        };
        let route = &self.routes[*found.value];
        match route.handler(&head.method) {
            Some(handler) => {
                request.params = Params::new(found.params, path);
                handler.call(request)
            }
            None => route.refuse(&head.method),
        }
    }
}

impl Route {
    fn handler(&self, method: &Method) -> Option<&Shared> {
        let of = |wanted: &Method| {
            self.methods
                .iter()
                .find_map(|(own, handler)| (own == wanted).then_some(handler))
        };
        let own = of(method).or(self.any.as_ref());
        if own.is_none() && *method == Method::HEAD {
            of(&Method::GET)
        } else {
            own
        }
    }

    /// What a method without a handler gets.
    fn refuse(&self, method: &Method) -> Response {
        let mut allowed: Vec<&str> = self.methods.iter().map(|(own, _)| own.as_str()).collect();
        if allowed.contains(&"GET") && !allowed.contains(&"HEAD") {
            allowed.push("HEAD");
        }
        allowed.push("OPTIONS");
        let allowed = HeaderValue::try_from(allowed.join(", ")).expect("methods are tokens");
        let response = match *method {
            Method::OPTIONS => Response::new(StatusCode::NO_CONTENT),
            _ => plain(StatusCode::METHOD_NOT_ALLOWED),
        };
        response.with_header(header::ALLOW, allowed)
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("routes", &self.places.keys())
            .finish_non_exhaustive()
    }
}
