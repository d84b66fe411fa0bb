//! The table of our routes, and the router made from it. A route that is not in the table does not
//! exist.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use http::header::{ALLOW, HeaderValue};
use http::{Method, StatusCode};

use super::RequestContext;
use super::failure::Failure;
use super::guard::{self, Kind};
use super::headers::harden;
use super::refusal::Place;
use super::service::SignIn;
use super::visit::Visit;
use super::{assets, cookies, pages};
use crate::auth::login::LoginService;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Page {
    Home,
    Login,
    SendLogin,
    Otp,
    SendOtp,
    Recovery,
    SendRecovery,
    Enroll,
    SendEnroll,
    RecoveryCodes,
    SendRecoveryCodes,
    StepUp,
    SendStepUp,
    Account,
    Authenticator,
    SendAuthenticator,
    NewCodes,
    SendNewCodes,
    Password,
    SendPassword,
    SendSessions,
    SendTokens,
    Notice,
    Logout,
    SendLogout,
    Session,
    Setup,
    SendSetup,
    Forgot,
    SendForgot,
    ForgotPassword,
    SendForgotPassword,
    ChangePassword,
    Asset,
    Unknown,
    WrongMethod,
}

macro_rules! routes {
    ($($method:ident $path:literal => $page:ident,)*) => {
        /// Every route there is: method and path, where `{name}` is one segment. HEAD goes where
        /// GET goes.
        pub const ROUTES: &[(Method, &str)] = &[$((Method::$method, $path)),*];
        const PAGES: &[Page] = &[$(Page::$page),*];
    };
}

routes! {
    GET "/_auth" => Home,
    GET "/_auth/" => Home,
    GET "/_auth/login" => Login,
    POST "/_auth/login" => SendLogin,
    GET "/_auth/otp" => Otp,
    POST "/_auth/otp" => SendOtp,
    GET "/_auth/recovery" => Recovery,
    POST "/_auth/recovery" => SendRecovery,
    GET "/_auth/enroll" => Enroll,
    POST "/_auth/enroll" => SendEnroll,
    GET "/_auth/recovery-codes" => RecoveryCodes,
    POST "/_auth/recovery-codes" => SendRecoveryCodes,
    GET "/_auth/step-up" => StepUp,
    POST "/_auth/step-up" => SendStepUp,
    GET "/_auth/account" => Account,
    GET "/_auth/account/authenticator" => Authenticator,
    POST "/_auth/account/authenticator" => SendAuthenticator,
    GET "/_auth/account/recovery-codes" => NewCodes,
    POST "/_auth/account/recovery-codes" => SendNewCodes,
    GET "/_auth/account/password" => Password,
    POST "/_auth/account/password" => SendPassword,
    POST "/_auth/account/sessions" => SendSessions,
    POST "/_auth/account/tokens" => SendTokens,
    GET "/_auth/notice" => Notice,
    GET "/_auth/logout" => Logout,
    POST "/_auth/logout" => SendLogout,
    GET "/_auth/session" => Session,
    GET "/_auth/forgot" => Forgot,
    POST "/_auth/forgot" => SendForgot,
    GET "/_auth/forgot/password" => ForgotPassword,
    POST "/_auth/forgot/password" => SendForgotPassword,
    GET "/_auth/setup" => Setup,
    POST "/_auth/setup" => SendSetup,
    GET "/.well-known/change-password" => ChangePassword,
    GET "/_auth/assets/{name}" => Asset,
}

/// Our pages as a service. Each request carries a [`RequestContext`] as extension and a body that
/// is complete and capped.
pub fn router(service: Arc<LoginService>) -> Router {
    router_over(service)
}

#[expect(clippy::needless_pass_by_value, reason = "the handlers share it from here on")]
pub(super) fn router_over(service: Arc<dyn SignIn>) -> Router {
    let handler = |page: Page| {
        let service = Arc::clone(&service);
        move |request: Request| answer(page, Arc::clone(&service), request)
    };
    let mut router = Router::new();
    for ((method, path), page) in ROUTES.iter().zip(PAGES) {
        let filter = MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET);
        router = router.route(path, on(filter, handler(*page)));
    }
    router.method_not_allowed_fallback(handler(Page::WrongMethod)).fallback(handler(Page::Unknown))
}

impl Page {
    fn kind(self) -> Kind {
        match self {
            Self::Session => Kind::Data,
            // A redirect without a secret: whoever asks, and however.
            Self::Asset | Self::ChangePassword => Kind::Asset,
            Self::Home
            | Self::Login
            | Self::SendLogin
            | Self::Otp
            | Self::SendOtp
            | Self::Recovery
            | Self::SendRecovery
            | Self::Enroll
            | Self::SendEnroll
            | Self::RecoveryCodes
            | Self::SendRecoveryCodes
            | Self::StepUp
            | Self::SendStepUp
            | Self::Account
            | Self::Authenticator
            | Self::SendAuthenticator
            | Self::NewCodes
            | Self::SendNewCodes
            | Self::Password
            | Self::SendPassword
            | Self::SendSessions
            | Self::SendTokens
            | Self::Notice
            | Self::Logout
            | Self::SendLogout
            | Self::Setup
            | Self::SendSetup
            | Self::Forgot
            | Self::SendForgot
            | Self::ForgotPassword
            | Self::SendForgotPassword
            | Self::Unknown
            | Self::WrongMethod => Kind::Page,
        }
    }
}

pub(super) fn not_found() -> Failure {
    Failure::refused(StatusCode::NOT_FOUND, "not_found", "There is no page at this address.")
}

async fn answer(page: Page, service: Arc<dyn SignIn>, request: Request) -> Response {
    let Some(context) = request.extensions().get::<RequestContext>().cloned() else {
        tracing::error!("a request came to our pages without its context");
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return response;
    };
    let path = request.uri().path().to_owned();
    let signed_in = matches!(cookies::session(request.headers(), None), Ok(Some(_)));
    let outcome = serve(page, service, context.clone(), request).await;
    let mut response = outcome.unwrap_or_else(|failure| {
        let place = Place { title: &context.app.title, origin: &context.origin };
        let refusal = failure.into_refusal(&context, signed_in);
        refusal.answer(page.kind() != Kind::Data, Some(place)).map(Body::from)
    });
    if page == Page::WrongMethod {
        response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed(&path)));
    }
    harden(response.headers_mut(), context.origin.starts_with("https://"));
    response
}

fn allowed(path: &str) -> &'static str {
    let takes = |wanted| ROUTES.iter().any(|(method, known)| method == wanted && *known == path);
    match (takes(Method::GET), takes(Method::POST)) {
        (true, true) => "GET, HEAD, POST",
        (false, true) => "POST",
        (_, false) => "GET, HEAD",
    }
}

async fn serve(
    page: Page,
    service: Arc<dyn SignIn>,
    context: RequestContext,
    request: Request,
) -> Result<Response, Failure> {
    match page {
        Page::Unknown => return Err(not_found()),
        Page::WrongMethod => {
            return Err(Failure::refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This address does not take that kind of request.",
            ));
        }
        Page::Home
        | Page::Login
        | Page::SendLogin
        | Page::Otp
        | Page::SendOtp
        | Page::Recovery
        | Page::SendRecovery
        | Page::Enroll
        | Page::SendEnroll
        | Page::RecoveryCodes
        | Page::SendRecoveryCodes
        | Page::StepUp
        | Page::SendStepUp
        | Page::Account
        | Page::Authenticator
        | Page::SendAuthenticator
        | Page::NewCodes
        | Page::SendNewCodes
        | Page::Password
        | Page::SendPassword
        | Page::SendSessions
        | Page::SendTokens
        | Page::Notice
        | Page::Logout
        | Page::SendLogout
        | Page::Session
        | Page::Setup
        | Page::SendSetup
        | Page::Forgot
        | Page::SendForgot
        | Page::ForgotPassword
        | Page::SendForgotPassword
        | Page::ChangePassword
        | Page::Asset => {
            if page.kind() == Kind::Page {
                guard::transport(&context.origin, &context.links)?;
            }
            guard::check(page.kind(), request.method(), request.headers(), &context.origin)?;
        }
    }
    if page == Page::Asset {
        return assets::serve(request.uri().path());
    }
    let visit = Visit::of(service, context, request).await?;
    pages_of(page, visit).await
}

async fn pages_of(page: Page, visit: Visit) -> Result<Response, Failure> {
    match page {
        Page::Home => Ok(pages::account::home()),
        Page::Login => pages::login::show(visit).await,
        Page::SendLogin => pages::login::send(visit).await,
        Page::Otp => pages::second_factor::show_otp(visit).await,
        Page::SendOtp => pages::second_factor::send_otp(visit).await,
        Page::Recovery => pages::second_factor::show_recovery(visit).await,
        Page::SendRecovery => pages::second_factor::send_recovery(visit).await,
        Page::Enroll => pages::enroll::show(visit).await,
        Page::SendEnroll => pages::enroll::send(visit).await,
        Page::RecoveryCodes => pages::recovery_codes::show(visit).await,
        Page::SendRecoveryCodes => pages::recovery_codes::send(visit).await,
        Page::StepUp => pages::step_up::show(visit).await,
        Page::SendStepUp => pages::step_up::send(visit).await,
        Page::Account => pages::account::show(visit).await,
        Page::Authenticator => pages::authenticator::show(visit).await,
        Page::SendAuthenticator => pages::authenticator::send(visit).await,
        Page::NewCodes => pages::new_codes::show(visit).await,
        Page::SendNewCodes => pages::new_codes::send(visit).await,
        Page::Password => pages::password::show(visit).await,
        Page::SendPassword => pages::password::send(visit).await,
        Page::SendSessions => pages::sessions::send(visit).await,
        Page::SendTokens => pages::tokens::send(visit).await,
        Page::Notice => pages::notice::show(visit).await,
        Page::Logout => pages::logout::show(visit).await,
        Page::SendLogout => pages::logout::send(visit).await,
        Page::Session => pages::session::show(visit).await,
        Page::Forgot => pages::forgot::show(&visit),
        Page::SendForgot => pages::forgot::send(visit).await,
        Page::ForgotPassword => pages::forgot::show_password(visit).await,
        Page::SendForgotPassword => pages::forgot::send_password(visit).await,
        Page::Setup => pages::setup::show(visit).await,
        Page::SendSetup => pages::setup::send(visit).await,
        Page::ChangePassword => Ok(pages::account::change_password(&visit)),
        Page::Asset | Page::Unknown | Page::WrongMethod => Err(not_found()),
    }
}
