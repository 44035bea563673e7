//! HAProxy.

use super::*;

#[test]
fn sections_become_listeners_upstreams_and_routes() {
    let text = r#"
global
    daemon
    maxconn 4000
defaults
    mode http
    timeout connect 5s
    timeout client 1m
    timeout server 20000
    option httplog
frontend web
    bind *:8080
    acl is_api path_beg /api
    acl beta hdr(x-beta) 1
    http-request deny deny_status 403 if { path /private }
    use_backend api if is_api beta
    use_backend api if is_api { method POST } or { hdr(host) -i api.example.com }
    default_backend shop
backend api
    balance leastconn
    http-request set-header X-Env blue
    server a1 10.0.1.1:80 check inter 3s fall 2
    option httpchk GET /healthz
backend shop
    cookie SRV insert indirect nocache
    server s1 10.0.0.1:80 weight 90 cookie s1
    server s2 10.0.0.2:80 weight 10 cookie s2
    server s3 10.0.0.3:80 backup
    errorfile 503 /etc/503.http
"#;
    let imported = comes_to(
        Format::Haproxy,
        "haproxy.cfg",
        text,
        r#"
        [listener.http]
        bind = ["0.0.0.0:8080"]
        [timeouts]
        body = "1m"
        [limits]
        connections = 4000
        [upstream.api]
        versions.v1.endpoints = ["10.0.1.1:80"]
        balance = "least_conn"
        health.interval = "3s"
        health.unhealthy = 2
        health.path = "/healthz"
        [upstream.shop]
        versions.v1.endpoints = ["10.0.0.1:80"]
        versions.v2.endpoints = ["10.0.0.2:80"]
        split.v2 = 10
        sticky.key = "cookie"
        sticky.cookie = "SRV"
        [route.web-answer]
        match.path = "/private"
        priority = 3
        respond.status = 403
        [route.web-api]
        match.path = "/api/*"
        match.header.x-beta = "1"
        priority = 2
        to = "api"
        timeouts.connect = "5s"
        timeouts.response = "20s"
        timeouts.body = "20s"
        headers.request.set.x-env = "blue"
        [route.web-api-2]
        match.path = "/api/*"
        match.method = "POST"
        priority = 1
        to = "api"
        timeouts.connect = "5s"
        timeouts.response = "20s"
        timeouts.body = "20s"
        headers.request.set.x-env = "blue"
        [route.web-api-3]
        match.host = "api.example.com"
        priority = 1
        to = "api"
        timeouts.connect = "5s"
        timeouts.response = "20s"
        timeouts.body = "20s"
        headers.request.set.x-env = "blue"
        [route.web-shop]
        to = "shop"
        timeouts.connect = "5s"
        timeouts.response = "20s"
        timeouts.body = "20s"
        "#,
    );
    assert_eq!(
        left(&imported),
        [(28, "server s3 10.0.0.3:80 backup"), (29, "errorfile 503 /etc/503.http")]
    );
}

#[test]
fn what_is_not_http_is_left_with_all_it_says() {
    let text = "listen db\n  mode tcp\n  bind :5432\n  server d 10.0.0.1:5432 check\n";
    let imported = imported(Format::Haproxy, "h.cfg", text);
    assert_eq!(imported.carried, 0);
    assert_eq!(left(&imported).len(), 4, "{}", imported.config);
}

#[test]
fn conditions_that_no_route_can_say_are_left() {
    let text = r"
defaults
    mode http
frontend web
    bind :80
    acl a path_beg /a
    use_backend b if !a
    use_backend b if a { path_end .x }
    use_backend b unless a
    use_backend %[req.hdr(x)] if a
    use_backend b if nobody
    redirect scheme https if !{ ssl_fc }
    http-request redirect location /new code 301 if { path /old }
    default_backend b
backend b
    server s 10.0.0.1:80 ssl verify none
";
    let imported = imported(Format::Haproxy, "h.cfg", text);
    let lines_left: Vec<u32> = left(&imported).iter().map(|(line, _)| *line).collect();
    assert_eq!(lines_left, [6, 7, 8, 9, 10, 11, 12], "{}", imported.config);
    let all = lines(&imported).join("\n");
    assert!(all.contains("redirect.to = \"/new\"\nredirect.status = 301"), "{all}");
    assert!(all.contains("versions.v1.tls.verify = false"), "{all}");
}
