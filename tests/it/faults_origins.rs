//! Origins that can't be reached, or die at the instant they are asked again.

use std::{
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use e2e::{Origin, Running, eventually, on_each_driver, origin::ok};
use socket2::{Domain, Socket, Type};

use super::{GET, to};

/// An address that answers nobody: its queue is full, so the kernel drops who knocks.
struct Blackhole {
    address: SocketAddr,
    _listener: Socket,
    _waiting: Vec<Socket>,
}

impl Blackhole {
    fn new() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there is a socket");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        listener.bind(&any.into()).expect("there is a free port");
        listener.listen(0).expect("it is bound");
        let address = listener.local_addr().expect("it is bound").as_socket().expect("it is TCP");
        let waiting = (0..8).map(|_| {
            let client = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there is a socket");
            client.set_nonblocking(true).expect("it is a socket");
            // The first few come in; the others go on knocking.
            let _ = client.connect(&address.into());
            client
        });
        let waiting = waiting.collect();
        let hole = Self { address, _listener: listener, _waiting: waiting };
        eventually("nobody gets in any more", || {
            TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err()
        });
        hole
    }
}

const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";

#[test]
fn an_origin_that_never_answers_a_connect_is_given_up_in_time() {
    on_each_driver(|driver| {
        let hole = Blackhole::new();
        let config = format!(
            "upstream.o.versions.v1 = [\"{}\"]\nroute.all.to = \"o\"\n\
             timeouts.connect = \"200ms\"\nupstream.o.eject.after = 0\n",
            hole.address
        );
        let proxy = Running::start(driver, &config);
        let mut client = proxy.connect();
        for request in [GET, POST] {
            assert_eq!(client.ask(request).status(), 504);
        }
        eventually("nothing is left of the attempts", || {
            proxy.sum(|core| core.origin_connections) == 0
        });
    });
}

#[test]
fn what_never_connected_is_tried_elsewhere_whatever_it_is() {
    on_each_driver(|driver| {
        let (hole, origin) = (Blackhole::new(), Origin::named("alive"));
        let config = format!(
            "upstream.o.versions.v1 = [\"{}\", \"{}\"]\nroute.all.to = \"o\"\n\
             timeouts.connect = \"200ms\"\nupstream.o.eject.after = 0\n",
            hole.address,
            origin.address()
        );
        let proxy = Running::start(driver, &config);
        let mut client = proxy.connect();
        for _ in 0..4 {
            assert_eq!(client.ask(POST).text(), "alive");
        }
        assert_eq!(origin.requests().len(), 4);
    });
}

/// What may be sent again, by RFC 9110 section 9.2.2, and as long as no body has left.
const METHODS: [(&str, bool); 9] = [
    ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", true),
    ("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n", true),
    ("OPTIONS / HTTP/1.1\r\nhost: a\r\n\r\n", true),
    ("DELETE / HTTP/1.1\r\nhost: a\r\n\r\n", true),
    ("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi", false),
    ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n", false),
    (POST, false),
    ("PATCH / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi", false),
    ("BREW / HTTP/1.1\r\nhost: a\r\n\r\n", false),
];

#[test]
fn a_kept_connection_that_dies_as_it_is_used_repeats_only_what_is_safe() {
    for (request, is_safe) in METHODS {
        for dies in ["unread, by a reset", "unread", "read, by a reset", "read"] {
            on_each_driver(|driver| {
                let origin = Origin::start(move |call, number| {
                    if number > 0 {
                        while call.read_request()?.is_some() {
                            call.reply(ok("anew"))?;
                        }
                        return Ok(());
                    }
                    call.read_request()?;
                    call.reply(ok("first"))?;
                    // Until the next request is there, and no longer.
                    if dies.starts_with("read") {
                        call.read_request()?;
                    } else {
                        call.read_more()?;
                    }
                    if dies.ends_with("reset") {
                        call.reset();
                    }
                    Ok(())
                });
                let proxy = Running::start(driver, &to(&origin));
                let mut client = proxy.connect();
                assert_eq!(client.ask(GET).text(), "first");
                let reply = client.ask(request);
                let again = origin.requests().iter().filter(|it| it.line() != "").count() - 1;
                let seen = usize::from(dies.starts_with("read"));
                let (status, copies) = if is_safe { (200, seen + 1) } else { (502, seen) };
                assert_eq!((reply.status(), again), (status, copies), "{dies}: {request:?}");
                assert_eq!(
                    proxy.sum(|core| core.retries),
                    u64::from(is_safe),
                    "{dies}: {request:?}"
                );
                // Whatever became of it, the connection goes on with the next.
                assert_eq!(client.ask(GET).text(), "anew", "{dies}: {request:?}");
            });
        }
    }
}
