//! `gnomon rollout status --wait`: the exit code is what a pipeline goes by.

use crate::{AT_ONCE, Proxy};

#[test]
fn who_waits_for_a_rollout_learns_how_it_ended() {
    let proxy = Proxy::start_with("hello", AT_ONCE, |folder| {
        format!(
            "[upstream.store]\nversions.v1 = [\"127.0.0.1:1\"]\nversions.v2 = [\"127.0.0.1:2\"]\n\
             [rollout.store]\nfrom = \"store@v1\"\nto = \"store@v2\"\nsteps = [\"100% for 2s\"]\n\
             gate.min_requests = 0\n[route.store]\nmatch = {{ host = \"store.test\" }}\n\
             to = \"store\"\n[state]\ndir = \"{}/state\"\n",
            folder.display()
        )
    });
    let wait = || proxy.ask(&["rollout", "status", "--wait"]);
    let told = wait().is(1);
    assert!(told.messages.contains("gnomon rollout start store"), "{told:?}");
    proxy.ask(&["rollout", "start", "store", "--reason", "release 42"]).is(0);
    proxy.ask(&["rollout", "pause", "store"]).is(0);
    assert!(wait().is(5).data.contains("paused"));
    proxy.ask(&["rollout", "resume", "store"]).is(0);
    assert!(wait().is(0).data.contains("promoted"));
    let history = proxy.ask(&["rollout", "history", "store"]).is(0);
    assert!(history.data.contains("release 42"), "{history:?}");
    proxy.ask(&["rollout", "abort", "store"]).is(0);
    assert!(wait().is(4).data.contains("aborted"));
}
