//! Ends: graceful, and not.

use e2e::{Origin, Running, eventually, on_each_driver, origin::ok};
use gnomon::boot::{Report, Stop};

use super::{GET, to};

#[test]
fn a_stop_lets_what_is_under_way_finish() {
    on_each_driver(|driver| {
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let gone = std::sync::Mutex::new(gone);
        let origin = Origin::start(move |call, _| {
            call.read_head()?;
            let _ = gone.lock().map(|gone| gone.recv());
            call.reply(ok("finished"))
        });
        let proxy = Running::start(driver, &(to(&origin) + "timeouts.drain = \"10s\"\n"));
        let mut busy = proxy.connect();
        busy.send(GET);
        let mut idle = proxy.connect();
        eventually("the request is under way", || origin.requests().len() == 1);
        let address = proxy.address();
        proxy.ask_stop(Stop::Graceful);
        eventually("nobody new is let in", || std::net::TcpStream::connect(address).is_err());
        assert!(idle.is_closed());
        go.send(()).expect("the origin waits");
        assert_eq!(busy.read_reply().text(), "finished");
        assert!(busy.is_closed());
        assert_eq!(proxy.wait(), Report { cut: 0, stuck: 0 });
    });
}

#[test]
fn a_stop_waits_unready_before_it_closes_the_doors() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &(to(&origin) + "timeouts.grace = \"1h\"\n"));
        proxy.ask_stop(Stop::Graceful);
        eventually("it says that it leaves", || proxy.call("GET", "/readyz", "").0 == 503);
        assert_eq!(proxy.call("GET", "/livez", "").0, 200);
        assert_eq!(proxy.get("/"), "x");
        proxy.ask_stop(Stop::Now);
        proxy.wait();
    });
}

#[test]
fn connections_that_do_not_end_are_cut_when_the_time_is_up() {
    on_each_driver(|driver| {
        let origin = Origin::start(|call, _| {
            call.read_head()?;
            call.drain();
            Ok(())
        });
        let proxy = Running::start(driver, &(to(&origin) + "timeouts.drain = \"200ms\"\n"));
        let mut client = proxy.connect();
        client.send(GET);
        eventually("the request is under way", || origin.requests().len() == 1);
        assert_eq!(proxy.stop(), Report { cut: 1, stuck: 0 });
        assert!(client.read_rest().is_empty());
    });
}

#[test]
fn a_stop_over_the_api_leaves_no_socket_behind() {
    on_each_driver(|driver| {
        let origin = Origin::named("x");
        let proxy = Running::start(driver, &to(&origin));
        let socket = proxy.folder().join("admin.sock");
        assert!(socket.exists());
        proxy.act("/v1/stop", "");
        eventually("the socket is gone", || !socket.exists());
        assert_eq!(proxy.wait(), Report { cut: 0, stuck: 0 });
    });
}
