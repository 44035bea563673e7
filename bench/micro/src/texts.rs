//! Heads as they come: what a tool sends, what a browser sends, what origins say.

/// Three fields.
pub(crate) const SMALL_REQUEST: &[u8] = b"GET / HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
    User-Agent: curl/8.5.0\r\n\
    Accept: */*\r\n\
    \r\n";

/// Twelve fields of a browser. The path is that of one of the routes of `policy`.
pub(crate) const BROWSER_REQUEST: &[u8] =
    b"GET /api/v7/part57/items/1234?sort=price&page=2 HTTP/1.1\r\n\
    Host: s42.shop.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://s42.shop.example.com/api/v7/part57/\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; gnomon_shop=AAECAwQFBgcICQoL\r\n\
    Upgrade-Insecure-Requests: 1\r\n\
    Sec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    X-Group: beta\r\n\
    \r\n";

/// Three fields.
pub(crate) const SMALL_REPLY: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    Content-Type: text/plain\r\n\
    Content-Length: 150\r\n\
    \r\n";

/// Twelve fields.
pub(crate) const LARGE_REPLY: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Server: nginx\r\n\
    Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    Content-Type: text/html; charset=utf-8\r\n\
    Transfer-Encoding: chunked\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: private, no-cache, max-age=0\r\n\
    ETag: W/\"5d8c72a5edda8d6a5b1f2c\"\r\n\
    Last-Modified: Sat, 05 Nov 1994 11:22:33 GMT\r\n\
    Vary: Accept-Encoding, Cookie\r\n\
    Set-Cookie: session=8f14e45fceea167a5a36dedd4bea2543; Path=/; HttpOnly; SameSite=Lax\r\n\
    Strict-Transport-Security: max-age=63072000; includeSubDomains\r\n\
    X-Frame-Options: DENY\r\n\
    \r\n";
