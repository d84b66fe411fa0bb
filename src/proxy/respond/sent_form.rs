//! The page for a form that did not reach the app. It says that nothing was sent, and links back to
//! the page of the form.

use http::header::{HeaderValue, REFERER};
use pingora_http::RequestHeader;

use crate::web::back::Back;
use crate::web::origin::WebOrigin;
use crate::web::refusal::{Refusal, RefusalLink};

const RESEND: &str = "To send the same form again, sign in in a new tab, come back to this one and \
                      reload it.";

const ENDED: &str = "Your session has ended.";
const TOO_BIG: &str = " It is too big to be kept.";
/// The sentence about what was kept.
const WAITS: &str = "What you sent hasn't reached the app yet. We keep it for 10 minutes.";

/// The fate of what a browser was sending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) enum Parked {
    /// It is not kept.
    #[default]
    No,
    /// It is too big to be kept.
    TooBig,
    /// It is kept, for the browser with this `Set-Cookie` value if it is new.
    Stored(Option<HeaderValue>),
}

/// Adapts the rejection of a form that a browser sent to the origin `here`. `https` builds the
/// HTTPS URL of the same host.
pub(in crate::proxy) fn explain(
    refusal: &mut Refusal,
    request: &RequestHeader,
    (here, own_page): (Option<&WebOrigin>, Option<&str>),
    https: impl FnOnce() -> String,
    parked: &Parked,
) {
    if let (Parked::Stored(_), Some(own_page)) = (parked, own_page) {
        let ended = refusal.code == "login_required";
        let sentence = &refusal.sentence;
        refusal.sentence = if ended {
            format!("{ENDED} {WAITS}").into()
        } else {
            format!("{sentence} {WAITS}").into()
        };
        let label = if ended { "Sign in and send it" } else { "Confirm it's you" };
        let href = Back::resend().on(own_page);
        refusal.link = Some(RefusalLink { href, label, hint: None });
        return;
    }
    let back = || page_of_form(request, here);
    match refusal.code {
        "login_required" => {
            let why = if *parked == Parked::TooBig { TOO_BIG } else { "" };
            refusal.sentence = format!("{ENDED} Nothing was sent.{why}").into();
            let href = back().on("/_auth/login");
            refusal.link = Some(RefusalLink { href, label: "Sign in", hint: Some(RESEND) });
        }
        "step_up_required" => {
            let sentence = &refusal.sentence;
            let why = if *parked == Parked::TooBig { TOO_BIG } else { "" };
            refusal.sentence = format!("{sentence} Nothing was sent.{why}").into();
            let href = back().on(own_page.unwrap_or("/_auth/step-up"));
            refusal.link = Some(RefusalLink { href, label: "Confirm it's you", hint: None });
        }
        "https_required" => {
            refusal.sentence = "Use https. Nothing was sent.".into();
            let label = "Open the secure address";
            refusal.link = Some(RefusalLink { href: https(), label, hint: None });
        }
        "forbidden" | "unavailable" => {
            let sentence = &refusal.sentence;
            refusal.sentence = format!("{sentence} Nothing was sent.").into();
        }
        _ => {}
    }
}

/// Adds to the answer to a script that its data is kept.
pub(super) fn mention(refusal: &mut Refusal, parked: &Parked) {
    if matches!(parked, Parked::Stored(_)) {
        let sentence = &refusal.sentence;
        refusal.sentence = format!("{sentence} {WAITS}").into();
    }
}

/// Returns the page of the form if it belongs to this origin, else the start page.
pub(super) fn page_of_form(request: &RequestHeader, here: Option<&WebOrigin>) -> Back {
    let mut referers = request.headers.get_all(REFERER).iter();
    let only = referers.next().filter(|_| referers.next().is_none());
    let path = here.and_then(|here| here.after(only?.as_bytes()));
    let path = path.and_then(|path| std::str::from_utf8(path).ok());
    path.map_or_else(Back::root, Back::of_target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(referers: &[&str]) -> String {
        let mut request = RequestHeader::build("POST", b"/send", None).unwrap();
        for referer in referers {
            request.append_header("referer", *referer).unwrap();
        }
        let here = WebOrigin::new(true, "gw.test", None);
        page_of_form(&request, Some(&here)).as_str().to_owned()
    }

    #[test]
    fn the_way_leads_back_to_the_page_of_the_form_and_never_off_the_host() {
        assert_eq!(of(&["https://gw.test/form?id=7"]), "/form?id=7");
        assert_eq!(of(&["https://GW.test:443/form"]), "/form");
        for none in [
            &[][..],
            &["https://gw.test"],
            &["https://gw.test/"],
            &["https://gw.test.evil.example/x"],
            &["https://evil.example/x"],
            &["http://gw.test/x"],
            &["https://gw.test@evil.example/x"],
            &["https://gw.test//evil.example/x"],
            &["https://gw.test/_auth/logout"],
            &["https://gw.test/a", "https://gw.test/b"],
        ] {
            assert_eq!(of(none), "/", "{none:?}");
        }
    }
}
