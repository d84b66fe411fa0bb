//! The table of routes, and the router built from it. An address without a row gets 404.

use std::future::ready;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use futures_util::future::BoxFuture;
use http::header::{ALLOW, HeaderValue};
use http::{Method, StatusCode};

use super::RequestContext;
use super::failure::Failure;
use super::guard::{self, Kind};
use super::headers::harden;
use super::pages::{
    account, authenticator, enroll, forgot, login, logout, new_codes, notice, password,
    recovery_codes, second_factor, session, sessions, setup, step_up, tokens,
};
use super::refusal::Place;
use super::service::SignIn;
use super::visit::Visit;
use super::{assets, cookies};
use crate::auth::login::LoginService;

type Outcome = Result<Response, Failure>;
type PageHandler = fn(Visit) -> BoxFuture<'static, Outcome>;

#[derive(Clone, Copy)]
enum Handler {
    /// Gets the parsed request.
    Page(PageHandler),
    /// Serves a static file by its path, without reading cookies.
    File(fn(&str) -> Option<Response>),
}

/// One row of the table.
struct Route {
    method: Method,
    path: &'static str,
    kind: Kind,
    handler: Handler,
}

const fn get(path: &'static str, kind: Kind, handler: PageHandler) -> Route {
    Route { method: Method::GET, path, kind, handler: Handler::Page(handler) }
}

const fn post(path: &'static str, kind: Kind, handler: PageHandler) -> Route {
    Route { method: Method::POST, path, kind, handler: Handler::Page(handler) }
}

const fn file(path: &'static str, serve: fn(&str) -> Option<Response>) -> Route {
    Route { method: Method::GET, path, kind: Kind::Public, handler: Handler::File(serve) }
}

const TABLE: &[Route] = &[
    get("/_auth", Kind::Page, |_| Box::pin(ready(Ok(account::home())))),
    get("/_auth/", Kind::Page, |_| Box::pin(ready(Ok(account::home())))),
    get("/_auth/login", Kind::Page, |v| Box::pin(login::show(v))),
    post("/_auth/login", Kind::Page, |v| Box::pin(login::send(v))),
    get("/_auth/otp", Kind::Page, |v| Box::pin(second_factor::show_otp(v))),
    post("/_auth/otp", Kind::Page, |v| Box::pin(second_factor::send_otp(v))),
    get("/_auth/recovery", Kind::Page, |v| Box::pin(second_factor::show_recovery(v))),
    post("/_auth/recovery", Kind::Page, |v| Box::pin(second_factor::send_recovery(v))),
    get("/_auth/enroll", Kind::Page, |v| Box::pin(enroll::show(v))),
    post("/_auth/enroll", Kind::Page, |v| Box::pin(enroll::send(v))),
    get("/_auth/recovery-codes", Kind::Page, |v| Box::pin(recovery_codes::show(v))),
    post("/_auth/recovery-codes", Kind::Page, |v| Box::pin(recovery_codes::send(v))),
    get("/_auth/step-up", Kind::Page, |v| Box::pin(step_up::show(v))),
    post("/_auth/step-up", Kind::Page, |v| Box::pin(step_up::send(v))),
    get("/_auth/account", Kind::Page, |v| Box::pin(account::show(v))),
    get("/_auth/account/authenticator", Kind::Page, |v| Box::pin(authenticator::show(v))),
    post("/_auth/account/authenticator", Kind::Page, |v| Box::pin(authenticator::send(v))),
    get("/_auth/account/recovery-codes", Kind::Page, |v| Box::pin(new_codes::show(v))),
    post("/_auth/account/recovery-codes", Kind::Page, |v| Box::pin(new_codes::send(v))),
    get("/_auth/account/password", Kind::Page, |v| Box::pin(password::show(v))),
    post("/_auth/account/password", Kind::Page, |v| Box::pin(password::send(v))),
    post("/_auth/account/sessions", Kind::Page, |v| Box::pin(sessions::send(v))),
    post("/_auth/account/tokens", Kind::Page, |v| Box::pin(tokens::send(v))),
    get("/_auth/notice", Kind::Page, |v| Box::pin(notice::show(v))),
    get("/_auth/logout", Kind::Page, |v| Box::pin(logout::show(v))),
    post("/_auth/logout", Kind::Page, |v| Box::pin(logout::send(v))),
    get("/_auth/session", Kind::Data, |v| Box::pin(session::show(v))),
    get("/_auth/forgot", Kind::Page, |v| Box::pin(ready(forgot::show(&v)))),
    post("/_auth/forgot", Kind::Page, |v| Box::pin(forgot::send(v))),
    get("/_auth/forgot/password", Kind::Page, |v| Box::pin(forgot::show_password(v))),
    post("/_auth/forgot/password", Kind::Page, |v| Box::pin(forgot::send_password(v))),
    get("/_auth/setup", Kind::Page, |v| Box::pin(setup::show(v))),
    post("/_auth/setup", Kind::Page, |v| Box::pin(setup::send(v))),
    get("/.well-known/change-password", Kind::Public, |v| {
        Box::pin(ready(Ok(account::change_password(&v))))
    }),
    file("/_auth/assets/{name}", assets::serve),
];

/// All routes as method and path, where `{name}` stands for one segment. A GET route also answers
/// HEAD.
pub static ROUTES: LazyLock<Vec<(Method, &'static str)>> =
    LazyLock::new(|| TABLE.iter().map(|route| (route.method.clone(), route.path)).collect());

/// Returns the gateway's own pages as a service. Each request needs a [`RequestContext`] extension
/// and a complete body of limited size.
pub fn router(service: Arc<LoginService>) -> Router {
    router_over(service)
}

#[expect(clippy::needless_pass_by_value, reason = "each route keeps a clone")]
pub(super) fn router_over(service: Arc<dyn SignIn>) -> Router {
    let mut router = Router::new();
    for route in TABLE {
        let filter = MethodFilter::try_from(route.method.clone()).unwrap_or(MethodFilter::GET);
        let service = Arc::clone(&service);
        let handler = move |request: Request| answer(route, Arc::clone(&service), request);
        router = router.route(route.path, on(filter, handler));
    }
    router
        .method_not_allowed_fallback(|request: Request| ready(reject_method(&request)))
        .fallback(|request: Request| ready(reject_path(&request)))
}

async fn answer(route: &'static Route, service: Arc<dyn SignIn>, request: Request) -> Response {
    let Some(client) = Client::of(&request) else { return without_context() };
    let outcome = serve(route, service, client.context.clone(), request).await;
    client.respond(route.kind, outcome)
}

async fn serve(
    route: &'static Route,
    service: Arc<dyn SignIn>,
    context: RequestContext,
    request: Request,
) -> Outcome {
    if route.kind == Kind::Page {
        guard::transport(&context.origin, &context.links)?;
    }
    guard::check(route.kind, request.method(), request.headers(), &context.origin)?;
    match route.handler {
        Handler::Page(handler) => handler(Visit::of(service, context, request).await?).await,
        Handler::File(serve) => serve(request.uri().path()).ok_or_else(not_found),
    }
}

fn reject_path(request: &Request) -> Response {
    let Some(client) = Client::of(request) else { return without_context() };
    client.respond(Kind::Page, Err(not_found()))
}

fn reject_method(request: &Request) -> Response {
    let Some(client) = Client::of(request) else { return without_context() };
    let failure = Failure::refused(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        "This address doesn't accept that kind of request.",
    );
    let mut response = client.respond(Kind::Page, Err(failure));
    let allow = HeaderValue::from_static(allowed(request.uri().path()));
    response.headers_mut().insert(ALLOW, allow);
    response
}

fn not_found() -> Failure {
    Failure::refused(StatusCode::NOT_FOUND, "not_found", "There's no page at this address.")
}

fn allowed(path: &str) -> &'static str {
    let accepts = |method| TABLE.iter().any(|row| row.method == method && row.path == path);
    match (accepts(Method::GET), accepts(Method::POST)) {
        (true, true) => "GET, HEAD, POST",
        (false, true) => "POST",
        (_, false) => "GET, HEAD",
    }
}

/// The client of a request, as far as a response to it needs to know.
struct Client {
    context: RequestContext,
    /// True if the request carries a session cookie, which may or may not be valid.
    has_session_cookie: bool,
}

impl Client {
    fn of(request: &Request) -> Option<Self> {
        let context = request.extensions().get::<RequestContext>().cloned()?;
        let cookie = cookies::session(request.headers(), None);
        Some(Self { context, has_session_cookie: matches!(cookie, Ok(Some(_))) })
    }

    /// Turns a failure into a refusal, and adds the headers of every response.
    fn respond(self, kind: Kind, outcome: Outcome) -> Response {
        let Self { context, has_session_cookie } = self;
        let mut response = outcome.unwrap_or_else(|failure| {
            let place = Place { title: &context.app.title, origin: &context.origin };
            let refusal = failure.into_refusal(&context, has_session_cookie);
            refusal.answer(kind != Kind::Data, Some(place)).map(Body::from)
        });
        harden(response.headers_mut(), context.origin.starts_with("https://"));
        response
    }
}

fn without_context() -> Response {
    tracing::error!("request without context");
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}
