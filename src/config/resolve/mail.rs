//! Resolution of mail settings.

use super::certificates;
use super::upstream::is_loopback;
use crate::config::key_path::KeyPath;
use crate::config::raw::RawMail;
use crate::config::reader::Reader;
use crate::config::settings::{MailSettings, MailTls};

/// Resolves the mail settings, if mail is configured. `service` is the name of the service as users
/// know it, `site` its host name.
pub(super) fn mail(
    raw: &RawMail,
    service: String,
    site: &str,
    r: &mut Reader<'_>,
) -> Option<MailSettings> {
    let at = KeyPath::of("mail");
    let word = raw.tls.as_deref().or(Some("starttls"));
    let choices = [("starttls", MailTls::StartTls), ("tls", MailTls::Tls), ("none", MailTls::None)];
    let tls = r.choice(&at.key("tls"), word, &choices).unwrap_or(MailTls::StartTls);
    let Some(host) = raw.host.clone().filter(|host| !host.trim().is_empty()) else {
        r.fail(&at.key("host"), "is missing: write host = \"smtp.example.com\"");
        return None;
    };
    let from = raw.from.clone().unwrap_or_default();
    if !MailSettings::is_sender(&from) {
        r.fail(&at.key("from"), "is not an address: write it like \"gate@example.com\"");
    }
    let time_zone = raw.time_zone.clone().unwrap_or_else(|| "UTC".to_owned());
    if !MailSettings::is_time_zone(&time_zone) {
        r.fail(&at.key("time_zone"), "is not a time zone: write it like \"Europe/Zurich\"");
    }
    let ca = raw.ca.as_ref().map(|file| {
        let file = r.path(file);
        if let Err(why) = certificates::chain(&file) {
            r.fail(&at.key("ca"), why);
        }
        file
    });
    let password = raw.password.as_ref().and_then(|p| r.secret(&at.key("password"), p));
    if raw.user.is_some() != raw.password.is_some() {
        let key = if raw.user.is_some() { at.key("user") } else { at.key("password") };
        r.fail(&key, "is incomplete: write both user and password, or neither");
    }
    if tls == MailTls::None && !is_loopback(&host) {
        let why = "mail off loopback without TLS: others can read it and the password of the \
                   mail server";
        r.warn(&at.key("tls"), why);
    }
    let port = raw.port.unwrap_or(match tls {
        MailTls::StartTls => 587,
        MailTls::Tls => 465,
        MailTls::None => 25,
    });
    let site = site.split_once("://").map_or(site, |(_, host)| host).to_owned();
    Some(MailSettings {
        host,
        port,
        tls,
        ca,
        login: raw.user.clone().zip(password),
        from,
        service,
        site,
        time_zone,
    })
}
