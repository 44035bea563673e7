//! Tasks of control that never end by themselves. One that panics is said and begun anew: ticks,
//! look-ups and rollouts outlive each other's bugs, and the cores serve whatever control does.

use std::time::Duration;

use tokio::task::JoinHandle;

/// Runs what `begin` gives; again and again, if it panics.
pub(super) fn keep<F>(name: &'static str, begin: impl Fn() -> F + Send + 'static) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        let mut times = 0_u64;
        // Ends well only as the process does.
        while tokio::spawn(begin()).await.is_err_and(|error| error.is_panic()) {
            times += 1;
            tracing::error!(
                name,
                times,
                "a task of control has panicked and begins anew; please report this as a bug"
            );
            tokio::time::sleep(PAUSE).await;
        }
    })
}

/// Before a task begins anew: a panic at its first step must not fill the log.
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    };

    use super::*;

    #[test]
    fn a_task_that_panics_begins_anew_and_one_that_ends_does_not() {
        let begun = Arc::new(AtomicU64::new(0));
        let theirs = begun.clone();
        let task = move || {
            let begun = theirs.clone();
            async move {
                assert!(begun.fetch_add(1, Relaxed) > 0, "as the test wants it");
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { keep("test", task).await.unwrap() });
        assert_eq!(begun.load(Relaxed), 2);
    }
}
