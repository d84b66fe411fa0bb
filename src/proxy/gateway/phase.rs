//! Pingora's phases without what `async_trait` makes of them: it boxes a state machine, with all
//! that it captures, for every phase of every request, whether there is something to wait for or
//! not. A future that holds nothing needs no memory.

use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::task::Poll;

use pingora_error::{Error, Result};

/// What a phase returns to Pingora.
pub(in crate::proxy) type Phase<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// Writes a phase as the function that `async_trait` would have made of it; its body returns the
/// future. Each reference among the arguments has a lifetime of its own.
macro_rules! phase {
    (
        fn $name:ident<$own:lifetime $(, $of:lifetime)*>(
            $gateway:ident $(, $argument:ident: $type:ty)* $(,)?
        ) -> $output:ty $body:block
    ) => {
        fn $name<$own, $($of,)* 'f>(
            &$own $gateway $(, $argument: $type)*
        ) -> $crate::proxy::gateway::phase::Phase<'f, $output>
        where
            $own: 'f,
            $($of: 'f,)*
            Self: 'f,
        $body
    };
}
pub(in crate::proxy) use phase;

/// Nothing to wait for, and nothing to say.
pub(in crate::proxy) fn over<'f>() -> Phase<'f, ()> {
    Box::pin(poll_fn(|_| Poll::Ready(())))
}

/// Nothing to wait for.
pub(in crate::proxy) fn passed<'f>(result: Result<()>) -> Phase<'f, Result<()>> {
    match result {
        Ok(()) => Box::pin(poll_fn(|_| Poll::Ready(Ok(())))),
        Err(error) => failed(error),
    }
}

/// The request goes on to the app.
pub(in crate::proxy) fn go_on<'f>() -> Phase<'f, Result<bool>> {
    Box::pin(poll_fn(|_| Poll::Ready(Ok(true))))
}

/// The request has not been answered here.
pub(in crate::proxy) fn unanswered<'f>() -> Phase<'f, Result<bool>> {
    Box::pin(poll_fn(|_| Poll::Ready(Ok(false))))
}

#[cold]
fn failed<'f, T: Send + 'f>(error: Box<Error>) -> Phase<'f, Result<T>> {
    Box::pin(ready(Err(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_takes_no_memory() {
        assert_eq!(size_of_val(&*over()), 0);
        assert_eq!(size_of_val(&*passed(Ok(()))), 0);
        assert_eq!(size_of_val(&*go_on()), 0);
        assert_eq!(size_of_val(&*unanswered()), 0);
    }

    #[tokio::test]
    async fn an_error_is_passed_on() {
        assert!(passed(Err(Error::new_str("x"))).await.is_err());
        assert!(passed(Ok(())).await.is_ok());
    }
}
