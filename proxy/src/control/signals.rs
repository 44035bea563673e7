//! What the process is told by signals.

use std::{sync::Arc, time::Duration};

use tokio::signal::unix::{SignalKind, signal};

use super::{Control, Stop};

impl Control {
    /// Starts to listen: HUP reloads, USR1 opens logs anew, USR2 upgrades, TERM, INT and QUIT stop; the second of
    /// these stops at once.
    pub(super) fn listen_to_signals(self: &Arc<Self>) {
        let stops = [
            ("SIGTERM", SignalKind::terminate()),
            ("SIGINT", SignalKind::interrupt()),
            ("SIGQUIT", SignalKind::quit()),
        ];
        for (name, kind) in stops {
            self.on(name, kind, |control| async move {
                let stop = if control.is_stopping() { Stop::Now } else { Stop::Graceful };
                control.ask_stop(stop);
            });
        }
        self.on("SIGHUP", SignalKind::hangup(), |control| async move {
            // Told in the log; there is nobody to answer to.
            let _ = control.reload_by("SIGHUP").await;
        });
        self.on("SIGUSR2", SignalKind::user_defined2(), |control| async move {
            // Who signals a whole control group, as `systemctl kill` does, would end a process that
            // was started a moment ago and cannot handle signals yet.
            tokio::time::sleep(SETTLE).await;
            // Told in the log, likewise.
            let _ = control.upgrade("SIGUSR2").await;
        });
        self.on("SIGUSR1", SignalKind::user_defined1(), |control| async move {
            if let Err(refused) = control.reopen_logs() {
                tracing::error!(error = %refused, "logs are not opened anew");
            }
        });
    }

    fn on<F>(
        self: &Arc<Self>,
        name: &'static str,
        kind: SignalKind,
        act: impl Fn(Arc<Self>) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut signals = match signal(kind) {
            Ok(signals) => signals,
            Err(error) => {
                tracing::error!(name, %error, "the signal cannot be handled");
                return;
            }
        };
        let control = self.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                tracing::info!(name, "signal");
                act(control.clone()).await;
            }
        });
    }
}

/// How long one signal may take to reach every process of a control group.
const SETTLE: Duration = Duration::from_millis(300);
