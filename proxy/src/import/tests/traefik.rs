//! Traefik.

use super::*;

const YAML: &str = r"
entryPoints:
  web:
    address: ':8080'
http:
  routers:
    shop:
      rule: Host(`shop.example.com`) && (PathPrefix(`/a`) || Path(`/b`))
      entryPoints: [web]
      service: shop
      middlewares: [strip, safe]
    other:
      rule: Host(`x.example.com`) && !Path(`/y`)
      service: shop
  middlewares:
    strip:
      stripPrefix: { prefixes: [/a] }
    safe:
      headers:
        frameDeny: true
        customRequestHeaders: { X-Env: blue, X-Debug: '' }
  services:
    shop:
      weighted:
        sticky: { cookie: { name: s } }
        services:
          - { name: v1, weight: 3 }
          - { name: v2, weight: 1 }
    v1:
      loadBalancer:
        servers: [ { url: 'http://10.0.0.1:80' }, { url: 'http://10.0.0.2:80' } ]
    v2:
      loadBalancer:
        servers: [ { url: 'http://10.0.0.3' } ]
";

const COMES_TO: &str = r#"
    [listener.web]
    bind = ["0.0.0.0:8080"]
    [upstream.shop]
    versions.v1.endpoints = ["10.0.0.1:80", "10.0.0.2:80"]
    versions.v2.endpoints = ["10.0.0.3:80"]
    split.v2 = 25
    sticky.key = "cookie"
    sticky.cookie = "s"
    [route.shop-1]
    match.host = "shop.example.com"
    match.path = "/a/*"
    to = "shop"
    rewrite.strip_prefix = "/a"
    headers.request.set.x-env = "blue"
    headers.request.remove = ["x-debug"]
    headers.response.set.x-frame-options = "DENY"
    [route.shop-2]
    match.host = "shop.example.com"
    match.path = "/b"
    to = "shop"
    rewrite.strip_prefix = "/a"
    headers.request.set.x-env = "blue"
    headers.request.remove = ["x-debug"]
    headers.response.set.x-frame-options = "DENY"
"#;

#[test]
fn routers_become_a_route_for_each_alternative() {
    let imported = comes_to(Format::Traefik, "dynamic.yml", YAML, COMES_TO);
    let left = left(&imported);
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.iter().all(|(line, _)| (13..=14).contains(line)), "{left:?}");
}

#[test]
fn toml_comes_to_the_same() {
    let text = r#"
[http.routers.api]
rule = "PathPrefix(`/api`) && Method(`GET`, `HEAD`)"
service = "api"
[[http.services.api.loadBalancer.servers]]
url = "https://10.0.0.1"
[http.services.api.loadBalancer.healthCheck]
path = "/up"
interval = "5s"
timeout = "1s"
"#;
    let imported = comes_to(
        Format::Traefik,
        "dynamic.toml",
        text,
        r#"
        listen = "127.0.0.1:8080"
        [upstream.api]
        versions.v1.endpoints = ["10.0.0.1:443"]
        versions.v1.tls.verify = true
        health.path = "/up"
        health.interval = "5s"
        health.timeout = "1s"
        [route.api]
        match.path = "/api/*"
        match.method = ["GET", "HEAD"]
        to = "api"
        "#,
    );
    assert_eq!(imported.todo, []);
}

#[test]
fn mirrors_become_shadows_and_nothing_is_copied_at_zero() {
    let text = r"
http:
  routers:
    a: { rule: 'PathPrefix(`/`)', service: m }
  services:
    m:
      mirroring:
        service: one
        mirrors: [ { name: two, percent: 10 } ]
    one: { loadBalancer: { servers: [ { url: 'http://a:80' } ] } }
    two: { loadBalancer: { servers: [ { url: 'http://b:80' } ] } }
";
    let all = lines(&imported(Format::Traefik, "a.yml", text)).join("\n");
    assert!(all.contains("from = \"one\"\nto = \"two@v1\"\nsample = \"10%\""), "{all}");
    let none = text.replace("percent: 10", "percent: 0");
    let imported = imported(Format::Traefik, "a.yml", &none);
    assert!(!imported.config.contains("sample"), "{}", imported.config);
}
