//! Emissary-ingress.

use super::*;

const SHOP: &str = r#"---
apiVersion: getambassador.io/v3alpha1
kind: Listener
metadata: { name: web }
spec:
  port: 8080
  protocol: HTTP
  securityModel: XFP
---
apiVersion: getambassador.io/v3alpha1
kind: Mapping
metadata:
  name: shop
spec:
  hostname: shop.example.com
  prefix: /shop/
  service: shop.prod:8080
  timeout_ms: 5000
  headers: { x-beta: "1" }
  add_request_headers:
    x-env: { value: blue, append: false }
---
apiVersion: getambassador.io/v3alpha1
kind: Mapping
metadata:
  name: shop-canary
spec:
  hostname: shop.example.com
  prefix: /shop/
  service: shop-v2.prod:8080
  weight: 10
  headers: { x-beta: "1" }
---
apiVersion: getambassador.io/v3alpha1
kind: Mapping
metadata:
  name: shop-copy
spec:
  hostname: shop.example.com
  prefix: /shop/
  service: shop-v3.prod:8080
  shadow: true
  weight: 5
  headers: { x-beta: "1" }
---
apiVersion: getambassador.io/v3alpha1
kind: TCPMapping
metadata: { name: db }
spec: { port: 5432, service: "db:5432" }
"#;

#[test]
fn mappings_for_the_same_requests_become_versions_and_shadows() {
    let imported = comes_to(
        Format::Emissary,
        "shop.yaml",
        SHOP,
        r#"
        [listener.web]
        bind = ["0.0.0.0:8080"]
        [upstream.shop-prod]
        versions.shop.endpoints = ["shop.prod:8080"]
        versions.shop-canary.endpoints = ["shop-v2.prod:8080"]
        split.shop-canary = 10
        [upstream.shop-v3-prod]
        versions.v1.endpoints = ["shop-v3.prod:8080"]
        [route.shop]
        match.path = "/shop/*"
        match.host = "shop.example.com"
        match.header.x-beta = "1"
        to = "shop-prod"
        rewrite.strip_prefix = "/shop"
        timeouts.request = "5s"
        headers.request.set.x-env = "blue"
        [shadow.shop-copy]
        from = "shop-prod"
        to = "shop-v3-prod@v1"
        sample = "5%"
        match.path = "/shop/*"
        match.host = "shop.example.com"
        match.header.x-beta = "1"
        "#,
    );
    assert_eq!(
        left(&imported),
        [(49, "TCPMapping db.port: 5432"), (49, "TCPMapping db.service: db:5432")]
    );
}

#[test]
fn annotations_of_old_are_read() {
    let text = r"
apiVersion: v1
kind: Service
metadata:
  name: quote
  annotations:
    getambassador.io/config: |
      ---
      apiVersion: ambassador/v1
      kind: Mapping
      name: quote
      prefix: /quote/
      rewrite: /v2/
      service: quote
      grpc: true
";
    let imported = imported(Format::Emissary, "a.yaml", text);
    let all = lines(&imported).join("\n");
    assert!(all.contains("versions.v1.endpoints = [\"quote:80\"]"), "{all}");
    assert!(all.contains("rewrite.replace_prefix = \"/v2\""), "{all}");
    assert_eq!(left(&imported), [(15, "Mapping quote.grpc: true")]);
}
