//! The table of routes, and the router built from it. An address without a row gets 404.

use std::future::ready;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use futures_util::future::BoxFuture;
use http::header::{ALLOW, HeaderValue, REFERRER_POLICY};
use http::{Method, StatusCode};

use super::RequestContext;
use super::elsewhere;
use super::failure::Failure;
use super::guard::{self, Kind};
use super::headers::{harden, let_forms_lead_to};
use super::pages::{
    account, authenticator, enroll, enroll_key, forgot, hand_over, key, key_set, keys, launch,
    login, logout, new_codes, notice, password, recovery_codes, related_origins, resend,
    second_factor, session, sessions, setup, step_up, tokens,
};
use super::portal::Role;
use super::refusal::Place;
use super::visit::Visit;
use super::{assets, cookies};
use crate::auth::login::Services;

type Outcome = Result<Response, Failure>;
type PageHandler = fn(Visit) -> BoxFuture<'static, Outcome>;

#[derive(Clone, Copy)]
enum Handler {
    /// Gets the parsed request.
    Page(PageHandler),
    /// Serves a static file, or an icon of an app, by its path, without reading cookies.
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
    get("/_auth/continue", Kind::Page, |v| Box::pin(hand_over::go_on(v))),
    get("/_auth/otp", Kind::Page, |v| Box::pin(second_factor::show_otp(v))),
    post("/_auth/otp", Kind::Page, |v| Box::pin(second_factor::send_otp(v))),
    get("/_auth/recovery", Kind::Page, |v| Box::pin(second_factor::show_recovery(v))),
    post("/_auth/recovery", Kind::Page, |v| Box::pin(second_factor::send_recovery(v))),
    get("/_auth/key", Kind::Page, |v| Box::pin(key::show(v))),
    post("/_auth/key", Kind::Page, |v| Box::pin(key::send(v))),
    get("/_auth/passkey", Kind::Page, |v| Box::pin(ready(Ok(second_factor::to_login(&v))))),
    post("/_auth/passkey", Kind::Page, |v| Box::pin(key::passkey(v))),
    get("/_auth/enroll/key", Kind::Page, |v| Box::pin(enroll_key::show(v))),
    post("/_auth/enroll/key", Kind::Page, |v| Box::pin(enroll_key::send(v))),
    get("/_auth/enroll", Kind::Page, |v| Box::pin(enroll::show(v))),
    post("/_auth/enroll", Kind::Page, |v| Box::pin(enroll::send(v))),
    get("/_auth/recovery-codes", Kind::Page, |v| Box::pin(recovery_codes::show(v))),
    post("/_auth/recovery-codes", Kind::Page, |v| Box::pin(recovery_codes::send(v))),
    get("/_auth/step-up", Kind::Page, |v| Box::pin(step_up::show(v))),
    post("/_auth/step-up", Kind::Page, |v| Box::pin(step_up::send(v))),
    get("/_auth/account", Kind::Page, |v| Box::pin(account::show(v))),
    get("/_auth/account/authenticator", Kind::Page, |v| Box::pin(authenticator::show(v))),
    post("/_auth/account/authenticator", Kind::Page, |v| Box::pin(authenticator::send(v))),
    get("/_auth/account/keys", Kind::Page, |v| Box::pin(keys::show(v))),
    get("/_auth/account/keys/new", Kind::Page, |v| Box::pin(keys::show_new(v))),
    post("/_auth/account/keys/new", Kind::Page, |v| Box::pin(keys::send_new(v))),
    get("/_auth/account/keys/{id}", Kind::Page, |_| Box::pin(ready(Ok(keys::home())))),
    post("/_auth/account/keys/{id}", Kind::Page, |v| Box::pin(keys::change(v))),
    get("/_auth/account/recovery-codes", Kind::Page, |v| Box::pin(new_codes::show(v))),
    post("/_auth/account/recovery-codes", Kind::Page, |v| Box::pin(new_codes::send(v))),
    get("/_auth/account/password", Kind::Page, |v| Box::pin(password::show(v))),
    post("/_auth/account/password", Kind::Page, |v| Box::pin(password::send(v))),
    post("/_auth/account/sessions", Kind::Page, |v| Box::pin(sessions::send(v))),
    post("/_auth/account/tokens", Kind::Page, |v| Box::pin(tokens::send(v))),
    get("/_auth/notice", Kind::Page, |v| Box::pin(notice::show(v))),
    get("/_auth/logout", Kind::Page, |v| Box::pin(logout::show(v))),
    post("/_auth/logout", Kind::Page, |v| Box::pin(logout::send(v))),
    get("/_auth/resend", Kind::Page, |v| Box::pin(resend::show(v))),
    post("/_auth/resend", Kind::Page, |v| Box::pin(resend::send(v))),
    get("/_auth/session", Kind::Data, |v| Box::pin(session::show(v))),
    get("/_auth/jwks.json", Kind::Public, |v| Box::pin(ready(Ok(key_set::show(&v))))),
    get("/_auth/session/extend", Kind::Data, |v| Box::pin(session::extend(v))),
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

/// Routes of the portal, and of the host of the RP ID if it has related origins. Elsewhere an app
/// answers them itself.
const SOMEWHERE: &[Route] = &[
    get("/", Kind::Page, |v| Box::pin(launch::show(v))),
    get("/.well-known/webauthn", Kind::Public, |v| Box::pin(ready(related_origins::show(&v)))),
];

/// The routes of every host as method and path, where `{name}` stands for one segment. A GET route also answers
/// HEAD.
pub static ROUTES: LazyLock<Vec<(Method, &'static str)>> =
    LazyLock::new(|| TABLE.iter().map(|route| (route.method.clone(), route.path)).collect());

/// Returns the gateway's own pages as a service. Each request needs a [`RequestContext`] extension
/// and a complete body of limited size.
#[expect(clippy::needless_pass_by_value, reason = "each route keeps a clone")]
pub fn router(services: Arc<Services>) -> Router {
    let mut router = Router::new();
    for route in TABLE.iter().chain(SOMEWHERE) {
        let filter = MethodFilter::try_from(route.method.clone()).unwrap_or(MethodFilter::GET);
        let services = Arc::clone(&services);
        let handler = move |request: Request| answer(route, Arc::clone(&services), request);
        router = router.route(route.path, on(filter, handler));
    }
    router
        .method_not_allowed_fallback(|request: Request| ready(reject_method(&request)))
        .fallback(|request: Request| ready(reject_path(&request)))
}

async fn answer(route: &'static Route, services: Arc<Services>, request: Request) -> Response {
    let Some(client) = Client::of(&request) else { return without_context() };
    let outcome = serve(route, services, client.context.clone(), request).await;
    client.respond(route.kind, outcome)
}

async fn serve(
    route: &'static Route,
    services: Arc<Services>,
    context: RequestContext,
    request: Request,
) -> Outcome {
    if route.kind == Kind::Page {
        guard::transport(&context.origin, &context.links)?;
    }
    guard::check(route.kind, request.method(), request.headers(), &context.origin)?;
    match route.handler {
        Handler::Page(handler) => {
            let visit = Visit::of(services, context, request).await?;
            if let Role::BelowPortal(detour) = &visit.context.role
                && elsewhere::moves(route.path)
            {
                return elsewhere::to_portal(&visit, detour, route.path);
            }
            let form_target = visit.form_target();
            let mut response = handler(visit).await?;
            if let Some(origin) = form_target {
                let_forms_lead_to(response.headers_mut(), &origin);
            }
            Ok(response)
        }
        Handler::File(serve) => {
            let path = request.uri().path();
            let icon = || Some(context.portal()?.icon(path)?.answer());
            serve(path).or_else(icon).ok_or_else(not_found)
        }
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
    /// True if the requested address contains a ticket, which no page may pass on as `Referer`.
    has_ticket: bool,
}

impl Client {
    fn of(request: &Request) -> Option<Self> {
        let context = request.extensions().get::<RequestContext>().cloned()?;
        let cookie = cookies::session(request.headers(), None);
        Some(Self {
            context,
            has_session_cookie: matches!(cookie, Ok(Some(_))),
            has_ticket: request.uri().path() == hand_over::CONTINUE,
        })
    }

    /// Turns a failure into a refusal, and adds the headers of every response.
    fn respond(self, kind: Kind, outcome: Outcome) -> Response {
        let Self { context, has_session_cookie, has_ticket } = self;
        let mut response = outcome.unwrap_or_else(|failure| {
            let place = Place { title: &context.app.title, origin: &context.origin };
            let refusal = failure.into_refusal(&context, has_session_cookie);
            refusal.answer(kind != Kind::Data, Some(place)).map(Body::from)
        });
        if has_ticket {
            let none = HeaderValue::from_static("no-referrer");
            response.headers_mut().insert(REFERRER_POLICY, none);
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages that an app has itself, even if its users sign in at the portal.
    const AT_APP: [&str; 10] = [
        "/.well-known/change-password",
        "/_auth",
        "/_auth/",
        "/_auth/assets/{name}",
        "/_auth/continue",
        "/_auth/jwks.json",
        "/_auth/logout",
        "/_auth/resend",
        "/_auth/session",
        "/_auth/session/extend",
    ];

    #[test]
    fn each_page_is_at_the_app_or_at_the_portal() {
        for route in TABLE {
            let at_app = AT_APP.contains(&route.path);
            assert_ne!(at_app, elsewhere::moves(route.path), "{}", route.path);
        }
    }
}
