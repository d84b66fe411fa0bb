//! Phase functions without the cost of `async_trait`, which boxes a state machine with everything
//! it captures for each phase of each request, even if nothing is awaited. A future without state
//! needs no allocation.

use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::task::Poll;

use pingora_error::{Error, Result};

/// The return type of a phase.
pub(in crate::proxy) type Phase<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// Writes a phase with the signature that `async_trait` generates; its body returns the future.
/// Each reference among the arguments has its own lifetime.
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

/// Returns a ready future without a result.
pub(in crate::proxy) fn over<'f>() -> Phase<'f, ()> {
    Box::pin(poll_fn(|_| Poll::Ready(())))
}

/// Returns a ready future.
pub(in crate::proxy) fn passed<'f>(result: Result<()>) -> Phase<'f, Result<()>> {
    match result {
        Ok(()) => Box::pin(poll_fn(|_| Poll::Ready(Ok(())))),
        Err(error) => failed(error),
    }
}

/// Returns a ready future that continues to the app.
pub(in crate::proxy) fn go_on<'f>() -> Phase<'f, Result<bool>> {
    Box::pin(poll_fn(|_| Poll::Ready(Ok(true))))
}

/// Returns a ready future for a request that is not answered yet.
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
