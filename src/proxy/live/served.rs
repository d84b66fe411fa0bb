//! Pingora's HTTP proxy, with HTTP/2 streams that can be ended one by one. The drop of a stream's
//! task resets the stream (`RST_STREAM`) and closes its connection to the app.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pingora_core::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession;
use pingora_core::protocols::http::v2::server::H2Options;
use pingora_core::server::ShutdownWatch;
use pingora_proxy::HttpProxy;

use super::request::LiveRequest;
use crate::proxy::gateway::Gateway;

thread_local! {
    /// The stream whose request begins in this call, until the request takes it.
    static BEGINNING: Cell<Option<Arc<LiveRequest>>> = const { Cell::new(None) };
}

/// Leaves no stream behind for the next request of the thread, also after a panic.
struct Begins;

impl Drop for Begins {
    fn drop(&mut self) {
        drop(BEGINNING.take());
    }
}

/// Returns the HTTP/2 stream of the request that begins in this call.
pub(in crate::proxy) fn beginning() -> Option<Arc<LiveRequest>> {
    BEGINNING.take()
}

/// The proxy, as the listeners use it.
pub(in crate::proxy) struct Served(pub(in crate::proxy) Arc<HttpProxy<Gateway>>);

type Serving<'f> = Pin<Box<dyn Future<Output = Option<ReusedHttpStream>> + Send + 'f>>;

/// The task of one HTTP/2 stream.
struct Stream<'f> {
    serving: Serving<'f>,
    live: Arc<LiveRequest>,
    begun: bool,
}

impl Future for Stream<'_> {
    type Output = Option<ReusedHttpStream>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if this.begun {
            if this.live.is_ended() {
                return Poll::Ready(None);
            }
            return this.serving.as_mut().poll(cx);
        }
        // The task stays the same, so its waker is registered once.
        this.live.wake_at_end(cx);
        BEGINNING.set(Some(Arc::clone(&this.live)));
        let begins = Begins;
        let polled = this.serving.as_mut().poll(cx);
        this.begun = BEGINNING.take().is_none();
        drop(begins);
        polled
    }
}

impl HttpServerApp for Served {
    fn process_new_http<'a, 'b, 'f>(
        self: &'a Arc<Self>,
        session: ServerSession,
        shutdown: &'b ShutdownWatch,
    ) -> Serving<'f>
    where
        'a: 'f,
        'b: 'f,
        Self: 'f,
    {
        let streams = session.is_http2();
        let serving = self.0.process_new_http(session, shutdown);
        if !streams {
            return serving;
        }
        Box::pin(Stream { serving, live: Arc::default(), begun: false })
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.0.h2_options()
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        self.0.server_options()
    }

    fn http_cleanup<'a, 'f>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'f>>
    where
        'a: 'f,
        Self: 'f,
    {
        self.0.http_cleanup()
    }
}
