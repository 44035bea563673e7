//! nginx.

use super::*;

const SHOP: &str = r#"
worker_processes auto;
http {
    include mime.types;
    upstream shop {
        least_conn;
        server 10.0.0.11:8080 max_fails=3 fail_timeout=20s;
        server 10.0.0.12:8080 max_fails=3 fail_timeout=20s;
        server 10.0.0.13:8080 backup;
    }
    server {
        listen 80 default_server;
        server_name shop.example.com;
        client_max_body_size 8m;
        location / {
            proxy_pass http://shop;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Env "blue";
            proxy_read_timeout 90s;
            gzip on;
        }
        location /api/ {
            proxy_pass http://127.0.0.1:9000/;
            add_header X-Frame-Options DENY always;
        }
        location = /ping { return 200 "pong"; }
        location /old { return 301 https://new.example.com$request_uri; }
        location /files { root /srv; }
    }
}
"#;

#[test]
fn servers_become_listeners_upstreams_and_routes() {
    let imported = comes_to(
        Format::Nginx,
        "nginx.conf",
        SHOP,
        r#"
        [listener.http]
        bind = ["0.0.0.0:80"]
        [upstream.shop]
        versions.v1.endpoints = ["10.0.0.11:8080", "10.0.0.12:8080"]
        balance = "least_conn"
        eject.after = 3
        eject.for = "20s"
        [upstream.127-0-0-1-9000]
        versions.v1.endpoints = ["127.0.0.1:9000"]
        host = "endpoint"
        [route.any]
        to = "shop"
        timeouts.response = "1m30s"
        timeouts.tunnel = "1m30s"
        timeouts.body = "1m30s"
        limits.body = "8MiB"
        headers.request.set.x-env = "blue"
        [route.any-api]
        match.path = "/api/*"
        to = "127-0-0-1-9000"
        limits.body = "8MiB"
        headers.response.add.x-frame-options = "DENY"
        rewrite.strip_prefix = "/api"
        [route.any-ping]
        match.path = "/ping"
        respond.status = 200
        respond.body = "pong"
        [route.any-old]
        match.path = "/old/*"
        redirect.to = "https://new.example.com{uri}"
        redirect.status = 301
        "#,
    );
    let left = left(&imported);
    assert_eq!(
        left,
        [
            (9, "server 10.0.0.13:8080 backup"),
            (21, "gzip on"),
            (29, "location /files"),
            (29, "root /srv"),
        ]
    );
    assert!(imported.config.contains("[upstream.shop] # nginx.conf:5"), "{}", imported.config);
    assert_eq!(imported.needless, 3, "{imported:?}");
}

#[test]
fn a_split_becomes_versions_and_a_map_routes() {
    let text = r#"
        split_clients $cookie_uid $shop { 10% shop_v2; * shop_v1; }
        map $http_x_beta $api { default api_v1; "1" api_v2; }
        upstream shop_v1 { server 10.0.0.1:80; }
        upstream shop_v2 { server 10.0.0.2:80; }
        upstream api_v1 { server 10.0.1.1:80; }
        upstream api_v2 { server 10.0.1.2:80; }
        server {
            listen 8080;
            proxy_set_header Host $host;
            location / { proxy_pass http://$shop; }
            location /api/ { proxy_pass http://$api; }
        }
    "#;
    let imported = comes_to(
        Format::Nginx,
        "split.conf",
        text,
        r#"
        [listener.http]
        bind = ["0.0.0.0:8080"]
        [upstream.shop]
        versions.shop_v2.endpoints = ["10.0.0.2:80"]
        split.shop_v2 = 10
        versions.shop_v1.endpoints = ["10.0.0.1:80"]
        sticky = "cookie:uid"
        [upstream.api_v1]
        versions.v1.endpoints = ["10.0.1.1:80"]
        [upstream.api_v2]
        versions.v1.endpoints = ["10.0.1.2:80"]
        [route.any]
        to = "shop"
        [route.any-api]
        match.path = "/api/*"
        match.header.x-beta = "1"
        to = "api_v2"
        [route.any-api-2]
        match.path = "/api/*"
        to = "api_v1"
        "#,
    );
    assert_eq!(imported.todo, []);
    assert_eq!(imported.carried, imported.directives);
}

#[test]
fn weights_and_mirrors() {
    let text = r"
        upstream a { server 10.0.0.1:80 weight=9; server 10.0.0.2:80; }
        server {
            listen 80;
            proxy_set_header Host $host;
            location / { mirror /copy; proxy_pass http://a; }
            location = /copy { internal; proxy_pass http://10.0.0.9:80$request_uri; }
        }
    ";
    let imported = imported(Format::Nginx, "a.conf", text);
    for line in ["split.v2 = 10", "[shadow.any-copy]", "from = \"a\"", "to = \"10-0-0-9-80@v1\""] {
        assert!(lines(&imported).iter().any(|it| it == line), "{line}: {}", imported.config);
    }
}

#[test]
fn what_sends_people_to_https_is_left_and_certificates_that_are_not_here() {
    let text = r"
        server { listen 80; server_name a.example.com; return 301 https://$host$request_uri; }
        server {
            listen 443 ssl;
            server_name a.example.com;
            ssl_certificate a.pem;
            ssl_certificate_key a.key;
            location / { proxy_pass http://10.0.0.1:80; }
        }
    ";
    let imported = imported(Format::Nginx, "conf/a.conf", text);
    let config = &imported.config;
    assert!(
        config.contains("# tls.certs = [{ cert = \"conf/a.pem\", key = \"conf/a.key\" }]"),
        "{config}"
    );
    assert!(!lines(&imported).iter().any(|it| it.contains(":443")), "never in the clear: {config}");
    assert!(left(&imported).contains(&(2, "return 301 https://$host$request_uri")), "{config}");
}

#[test]
fn patterns_keep_their_order_by_priority() {
    let text = r"
        server {
            listen 80;
            location / { proxy_pass http://10.0.0.1:80; }
            location ^~ /static/ { proxy_pass http://10.0.0.2:80; }
            location ~ \.php$ { proxy_pass http://10.0.0.3:80; }
            location ~ (?<!a)b { proxy_pass http://10.0.0.4:80; }
        }
    ";
    let imported = imported(Format::Nginx, "a.conf", text);
    let all = lines(&imported).join("\n");
    assert!(all.contains("match.path_regex = '.*\\.php'"), "{all}");
    assert!(all.contains("priority = 1") && all.contains("priority = 2"), "{all}");
    let told = imported.todo.iter().find(|it| it.line == 7).expect("it is left");
    assert!(told.why.contains("regular expression"), "{told:?}");
}

#[test]
fn included_files_are_read_and_none_includes_itself() {
    let files = Given(BTreeMap::from([
        ("etc/conf.d/b.conf", "server { listen 81; return 204; }\ninclude conf.d/*.conf;\n"),
        ("etc/conf.d/a.conf", "server { listen 82; return 204; }"),
        ("etc/conf.d/note.txt", "this is no configuration {"),
    ]));
    let text = "http { include /etc/nginx/conf.d/*.conf; include absent.conf; }";
    let imported = try_with(Format::Nginx, "etc/nginx.conf", text, &files).expect("it is read");
    assert!(imported.config.contains("\"0.0.0.0:81\", \"0.0.0.0:82\""), "{}", imported.config);
    let whys: Vec<&str> = imported.todo.iter().map(|it| it.directive.as_str()).collect();
    assert!(whys.contains(&"include absent.conf"), "{whys:?}");
}

#[test]
fn who_may_come_and_how_often() {
    let text = r"
        limit_req_zone $binary_remote_addr zone=one:10m rate=10r/s;
        server {
            listen 80;
            location /admin/ {
                allow 10.0.0.0/8;
                deny all;
                limit_req zone=one burst=20 nodelay;
                proxy_pass http://10.0.0.1:80;
            }
        }
    ";
    let all = lines(&imported(Format::Nginx, "a.conf", text)).join("\n");
    for line in [
        "match.client = [\"10.0.0.0/8\"]",
        "limits.rate = \"10/s\"",
        "limits.by = \"client_ip\"",
        "limits.burst = 21",
        "respond.status = 403",
    ] {
        assert!(all.contains(line), "{line}: {all}");
    }
}
