//! The place in which an admitted request notes what let it in.

use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use http::Method;
use http::uri::PathAndQuery;
use parking_lot::Mutex;
use pingora_http::RequestHeader;

use crate::base::id::RequestId;
use crate::gate::admission::Visitor;
use crate::proxy::admit::site::Site;

/// A place for one request at a time. An HTTP/1.1 connection has one, an HTTP/2 stream its own.
#[derive(Default)]
pub(in crate::proxy) struct LiveRequest {
    admitted: Mutex<Option<Admitted>>,
    /// True once the task of an HTTP/2 stream is to end.
    ended: AtomicBool,
    task: AtomicWaker,
}

/// An admitted request, as far as later checks need it.
pub(in crate::proxy) struct Admitted {
    pub(in crate::proxy) id: RequestId,
    /// Monotonic time of its beginning.
    pub(in crate::proxy) since: Duration,
    /// Monotonic time at which its visitor was last known to be let in.
    pub(in crate::proxy) verified_at: Duration,
    pub(in crate::proxy) visitor: Visitor,
    pub(in crate::proxy) site: Arc<Site>,
    /// The generation of the apps whose rules let it in.
    pub(in crate::proxy) generation: u64,
    pub(in crate::proxy) method: Method,
    target: Target,
    pub(in crate::proxy) websocket: bool,
    /// True once it is being ended.
    pub(in crate::proxy) ending: bool,
}

/// A raw target, shared with the request where it can be.
enum Target {
    Uri(PathAndQuery),
    Raw(Vec<u8>),
}

impl Admitted {
    pub(in crate::proxy) fn new(
        (id, since): (RequestId, Duration),
        visitor: Visitor,
        site: Arc<Site>,
        request: &RequestHeader,
        websocket: bool,
    ) -> Self {
        let raw = request.raw_path();
        let target = match request.uri.path_and_query() {
            Some(uri) if ptr::eq(uri.as_str().as_bytes(), raw) => Target::Uri(uri.clone()),
            Some(_) | None => Target::Raw(raw.to_vec()),
        };
        Self {
            id,
            since,
            verified_at: since,
            visitor,
            generation: site.generation(),
            site,
            method: request.method.clone(),
            target,
            websocket,
            ending: false,
        }
    }

    /// Returns the target as the client sent it.
    pub(in crate::proxy) fn raw(&self) -> &[u8] {
        match &self.target {
            Target::Uri(uri) => uri.as_str().as_bytes(),
            Target::Raw(raw) => raw,
        }
    }
}

impl LiveRequest {
    /// Notes a request.
    pub(in crate::proxy) fn begin(&self, admitted: impl FnOnce() -> Admitted) {
        *self.admitted.lock() = Some(admitted());
    }

    /// Records the end of the request.
    pub(in crate::proxy) fn over(&self) {
        let over = self.admitted.lock().take();
        drop(over);
    }

    /// Returns what `look` makes of the request, if there is one.
    pub(in crate::proxy) fn look<T>(&self, look: impl FnOnce(&Admitted) -> T) -> Option<T> {
        self.admitted.lock().as_ref().map(look)
    }

    /// Runs `change` while the request with this id lasts.
    pub(in crate::proxy) fn during<T>(
        &self,
        id: RequestId,
        change: impl FnOnce(&mut Admitted) -> T,
    ) -> Option<T> {
        let mut admitted = self.admitted.lock();
        admitted.as_mut().filter(|admitted| admitted.id == id).map(change)
    }

    /// Ends the task of an HTTP/2 stream.
    pub(in crate::proxy) fn end_task(&self) {
        self.ended.store(true, Ordering::Release);
        self.task.wake();
    }

    /// Returns true once the task is to end.
    pub(in crate::proxy) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Wakes this task when it is to end.
    pub(in crate::proxy) fn wake_at_end(&self, cx: &Context<'_>) {
        self.task.register(cx.waker());
    }
}

impl fmt::Debug for LiveRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LiveRequest")
    }
}

/// The requests of a connection.
#[derive(Debug, Default)]
pub(in crate::proxy) struct Underway {
    /// The request of an HTTP/1.1 connection.
    own: Arc<LiveRequest>,
    /// The requests of an HTTP/2 connection.
    streams: Mutex<Vec<Arc<LiveRequest>>>,
}

impl Underway {
    /// Returns the place for the request of an HTTP/1.1 connection.
    pub(in crate::proxy) fn own(&self) -> &LiveRequest {
        &self.own
    }

    /// Returns true if this is the place for the request of an HTTP/1.1 connection.
    pub(in crate::proxy) fn is_own(&self, live: &Arc<LiveRequest>) -> bool {
        Arc::ptr_eq(&self.own, live)
    }

    /// Adds the request of an HTTP/2 stream.
    pub(in crate::proxy) fn enter(&self, stream: &Arc<LiveRequest>) {
        self.streams.lock().push(Arc::clone(stream));
    }

    /// Removes the request of an HTTP/2 stream.
    pub(in crate::proxy) fn leave(&self, stream: &Arc<LiveRequest>) {
        let mut streams = self.streams.lock();
        if let Some(place) = streams.iter().position(|one| Arc::ptr_eq(one, stream)) {
            streams.swap_remove(place);
        }
    }

    /// Calls `each` for each request.
    pub(in crate::proxy) fn each(&self, mut each: impl FnMut(&Arc<LiveRequest>)) {
        each(&self.own);
        self.streams.lock().iter().for_each(each);
    }
}
