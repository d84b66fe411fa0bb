//! One sign-in for several apps: a portal, and apps on hosts of two domains.

mod attacks;
mod browser;
mod config;
mod front;
mod icons;
mod journey;
mod sent_form;
pub(crate) mod tour;
