#!/usr/bin/env python3
"""Black-box battery for HTTP/1.1 reverse proxies: smuggling, framing, desync, response handling.

Plays the client and the upstream of the proxy under test, on loopback, and
judges what comes out on either side.  See README.md; cases are in cases.json.
Standard library only.

Part 1 is a pair of *strict* wire readers (RFC 9110 / RFC 9112), the oracle:
everything that RFC 9112 does not let a sender generate is recorded as a
violation (a short code), yet they go on with a lenient guess so that the
boundaries a real-world recipient would see are known as well.  If a byte
stream has no violation, every conformant reader finds the same boundaries in
it; that is why "no violation" is the normalisation oracle.
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import re
import socket
import ssl as _ssl
import struct
import sys
import time

TCHAR = frozenset(b"!#$%&'*+-.^_`|~0123456789"
                  b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
HEX = frozenset(b"0123456789abcdefABCDEF")
DIG = frozenset(b"0123456789")

NEED = "need"      # more bytes wanted
OK = "ok"


def is_token(b):
    return bool(b) and all(c in TCHAR for c in b)


class Msg:
    """One request or response."""

    def __init__(self):
        self.start = b""           # raw start-line
        self.method = self.target = self.version = b""
        self.status = 0
        self.reason = b""
        self.headers = []          # (name lower bytes, value bytes)
        self.trailers = []
        self.body = b""
        self.framing = "none"      # none | cl | chunked | close | tunnel
        self.violations = []
        self.head_done = False
        self.complete = False
        self.begin = self.end = 0  # offsets in the stream
        self.head_end = 0
        self.body_want = None
        self.interim = []          # for responses: preceding 1xx messages

    def get(self, name):
        return [v for n, v in self.headers if n == name]

    def one(self, name, default=b""):
        v = self.get(name)
        return v[0] if v else default

    def __repr__(self):
        if self.status:
            return "<resp %d %s %dB%s%s>" % (
                self.status, self.framing, len(self.body),
                "" if self.complete else " INCOMPLETE",
                " !" + ",".join(self.violations) if self.violations else "")
        return "<req %s %s %s %dB%s%s>" % (
            self.method.decode("latin-1"),
            self.target[:60].decode("latin-1"), self.framing, len(self.body),
            "" if self.complete else " INCOMPLETE",
            " !" + ",".join(self.violations) if self.violations else "")


def _line(buf, pos):
    """Next line from pos: (line without terminator, new pos, violation or None), or None."""
    i = buf.find(b"\n", pos)
    if i < 0:
        return None
    if i > pos and buf[i - 1] == 13:
        return bytes(buf[pos:i - 1]), i + 1, None
    return bytes(buf[pos:i]), i + 1, "bare-lf"


def _field(line, msg, out, where):
    """Parse one field line into out, note violations."""
    v = msg.violations
    if line[:1] in (b" ", b"\t"):
        v.append("obs-fold" + where)
        if out:
            n, old = out[-1]
            out[-1] = (n, (old + b" " + line.strip(b" \t")))
        return
    if b":" not in line:
        v.append("no-colon" + where)
        return
    name, value = line.split(b":", 1)
    if name.rstrip(b" \t") != name:
        v.append("ws-before-colon" + where)
    if not is_token(name.rstrip(b" \t")):
        v.append("bad-field-name" + where)
    value = value.strip(b" \t")
    if b"\r" in value:
        v.append("bare-cr" + where)
    if b"\0" in value:
        v.append("nul" + where)
    if any((c < 32 and c not in (9, 13, 0)) or c == 127 for c in value):
        v.append("soft:ctl" + where)
    out.append((name.strip(b" \t\r\x0b\x0c").lower(), value))


def _head(buf, pos, msg):
    """start-line and fields from pos; NEED or new position after the empty line."""
    r = _line(buf, pos)
    if r is None:
        return NEED
    line, p, viol = r
    vs = []
    if viol:
        vs.append(viol)
    msg.start = line
    fields = []
    while True:
        r = _line(buf, p)
        if r is None:
            return NEED
        line, p, viol = r
        if viol:
            vs.append(viol)
        if line == b"":
            break
        fields.append(line)
    msg.violations.extend(vs)
    for f in fields:
        _field(f, msg, msg.headers, "")
    msg.head_done = True
    msg.head_end = p
    return p


def _cl(msg):
    """Content-Length as strict readers see it: int, None (absent) or -1 (bad)."""
    vals = msg.get(b"content-length")
    if not vals:
        return None
    if len(vals) > 1:
        msg.violations.append("dup-cl")
    v = vals[0]
    if not v or any(c not in DIG for c in v):
        msg.violations.append("bad-cl")
        num = b""
        for c in v:
            if c in DIG:
                num += bytes([c])
            elif num:
                break
        return int(num or b"0") if len(num) < 19 else -1
    if len(v.lstrip(b"0")) > 19:
        msg.violations.append("bad-cl")
        return -1
    return int(v)


def _te(msg):
    """'chunked', 'other' or None."""
    vals = msg.get(b"transfer-encoding")
    if not vals:
        return None
    if len(vals) > 1:
        msg.violations.append("dup-te")
    codings = [c.strip(b" \t") for v in vals for c in v.split(b",")]
    if codings == [b"chunked"] or (len(codings) == 1 and codings[0].lower() == b"chunked"):
        return "chunked"
    good = all(is_token(c.split(b";")[0].strip()) for c in codings)
    low = [c.lower() for c in codings]
    if good and low[-1] == b"chunked" and low.count(b"chunked") == 1 and b"identity" not in low:
        return "chunked"            # e.g. "gzip, chunked": legal
    msg.violations.append("bad-te")
    if any(b"chunked" in c for c in low):
        return "chunked"
    return "other"


def _chunk_ext_ok(ext):
    """chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )"""
    i, n = 0, len(ext)

    def bws(i):
        while i < n and ext[i] in b" \t":
            i += 1
        return i

    while i < n:
        i = bws(i)
        if i >= n or ext[i] != 0x3b:
            return False
        i = bws(i + 1)
        j = i
        while j < n and ext[j] in TCHAR:
            j += 1
        if j == i:
            return False
        k = bws(j)
        if k < n and ext[k] == 0x3d:
            i = bws(k + 1)
            if i < n and ext[i] == 0x22:
                i += 1
                while i < n and ext[i] != 0x22:
                    if ext[i] == 0x5c:
                        i += 1
                    elif (ext[i] < 32 and ext[i] != 9) or ext[i] == 127:
                        return False
                    i += 1
                if i >= n:
                    return False
                i += 1
            else:
                j = i
                while j < n and ext[j] in TCHAR:
                    j += 1
                if j == i:
                    return False
                i = j
        else:
            i = j
    return True


def _chunked(buf, pos, msg):
    """Chunked body from pos: NEED or the position after it."""
    body = bytearray()
    v = []
    p = pos
    msg.body = b""

    def need():
        msg.body = bytes(body)
        for x in v:
            if x not in msg.violations:
                msg.violations.append(x)
        return NEED

    while True:
        r = _line(buf, p)
        if r is None:
            # an unfinished size line: is what is there a legal prefix?
            return need()
        line, p2, viol = r
        if viol:
            v.append("chunk-" + viol)
        i = 0
        while i < len(line) and line[i] in HEX:
            i += 1
        size_s, ext = line[:i], line[i:]
        if not size_s or len(size_s.lstrip(b"0")) > 15:
            v.append("bad-chunk-size")
            size = 0
            if size_s:
                return need()
        else:
            size = int(size_s, 16)
        if ext and not _chunk_ext_ok(ext):
            v.append("bad-chunk-ext")
        p = p2
        if size == 0:
            break
        if len(buf) < p + size:
            body += buf[p:]
            return need()
        body += buf[p:p + size]
        p += size
        if len(buf) < p + 2:
            if len(buf) == p or buf[p:p + 1] == b"\r":
                return need()
        if buf[p:p + 2] == b"\r\n":
            p += 2
        else:
            v.append("bad-chunk-data-end")
            if buf[p:p + 1] == b"\n":
                p += 1
            else:
                i = buf.find(b"\n", p)
                if i < 0:
                    return need()
                p = i + 1
    # trailer section
    tr = Msg()
    while True:
        r = _line(buf, p)
        if r is None:
            return need()
        line, p, viol = r
        if viol:
            v.append("trailer-" + viol)
        if line == b"":
            break
        _field(line, tr, tr.headers, "-trailer")
    msg.trailers = tr.headers
    v.extend(tr.violations)
    msg.body = bytes(body)
    for x in v:
        if x not in msg.violations:
            msg.violations.append(x)
    return p


def read_request(buf, pos):
    """(OK|NEED, Msg or None, new pos). Msg is None only if no head is there yet."""
    m = Msg()
    m.begin = pos
    lead = 0
    p = pos
    while buf[p:p + 2] == b"\r\n":
        p += 2
        lead += 1
    if buf[p:p + 1] == b"\n":
        p += 1
        lead += 1
    if lead:
        m.violations.append("leading-crlf")
    r = _head(buf, p, m)
    if r == NEED:
        m.body = b""
        return NEED, (m if len(buf) > p else None), pos
    p = r
    # request line
    parts = m.start.split(b" ")
    if len(parts) == 3:
        m.method, m.target, m.version = parts
    else:
        m.violations.append("bad-request-line")
        w = m.start.split()
        m.method = w[0] if w else b""
        m.target = b" ".join(w[1:-1]) if len(w) > 2 else (w[1] if len(w) > 1 else b"")
        m.version = w[-1] if len(w) > 2 else b""
    if not is_token(m.method):
        m.violations.append("bad-method")
    if m.version not in (b"HTTP/1.1", b"HTTP/1.0"):
        m.violations.append("bad-version")
    if not m.target or any(c <= 32 or c == 127 for c in m.target):
        m.violations.append("bad-target")
    hosts = m.get(b"host")
    if len(hosts) > 1:
        m.violations.append("dup-host")
    if not hosts and m.version == b"HTTP/1.1":
        m.violations.append("no-host")
    cl, te = _cl(m), _te(m)
    if cl is not None and te is not None:
        m.violations.append("cl+te")
    if te and m.version == b"HTTP/1.0":
        m.violations.append("te-on-1.0")
    if te == "chunked":
        m.framing = "chunked"
        r = _chunked(buf, p, m)
        if r == NEED:
            return NEED, m, pos
        p = r
    elif te == "other":
        m.framing = "unknown"
        # no reader knows where this ends; take it as having no body
    elif cl is not None:
        m.framing = "cl"
        m.body_want = cl
        if cl < 0 or len(buf) < p + cl:
            m.body = bytes(buf[p:])
            return NEED, m, pos
        m.body = bytes(buf[p:p + cl])
        p += cl
    m.complete = True
    m.end = p
    return OK, m, p


def read_requests(data):
    """All requests in data: (list of Msg, the last one possibly incomplete; leftover bytes)."""
    out, pos = [], 0
    while pos < len(data):
        st, m, np = read_request(data, pos)
        if st == NEED:
            if m is not None:
                out.append(m)
            return out, bytes(data[pos:])
        out.append(m)
        pos = np
    return out, b""


def read_response(buf, pos, method, eof):
    """(OK|NEED, Msg or None, new pos)."""
    m = Msg()
    m.begin = pos
    r = _head(buf, pos, m)
    if r == NEED:
        return NEED, (m if len(buf) > pos else None), pos
    p = r
    parts = m.start.split(b" ", 2)
    m.version = parts[0]
    if m.version not in (b"HTTP/1.1", b"HTTP/1.0"):
        m.violations.append("bad-version")
    st = parts[1] if len(parts) > 1 else b""
    if len(st) == 3 and all(c in DIG for c in st) and st[0] in b"12345":
        m.status = int(st)
    else:
        m.violations.append("bad-status")
        m.status = 999
    if len(parts) < 3:
        m.violations.append("soft:no-reason-sp")
    else:
        m.reason = parts[2]
        if any((c < 32 and c != 9) or c == 127 for c in m.reason):
            m.violations.append("bad-reason")
    cl, te = _cl(m), _te(m)
    if cl is not None and te is not None:
        m.violations.append("cl+te")
    if m.status < 200 or m.status == 204:
        if te:
            m.violations.append("te-on-%d" % m.status)
        if cl is not None and m.status != 204:
            m.violations.append("soft:cl-on-1xx")
        if cl is not None and m.status == 204:
            m.violations.append("soft:cl-on-204")
    if m.status == 101:
        m.framing = "tunnel"
    elif m.status < 200 or m.status in (204, 304) or method == b"HEAD":
        m.framing = "none"
    elif method == b"CONNECT" and 200 <= m.status < 300:
        m.framing = "tunnel"
    elif te == "chunked":
        m.framing = "chunked"
        r = _chunked(buf, p, m)
        if r == NEED:
            return NEED, m, pos
        p = r
    elif te == "other":
        m.framing = "close"
    elif cl is not None:
        m.framing = "cl"
        m.body_want = cl
        if cl < 0 or len(buf) < p + cl:
            m.body = bytes(buf[p:])
            return NEED, m, pos
        m.body = bytes(buf[p:p + cl])
        p += cl
    else:
        m.framing = "close"
    if m.framing == "close":
        m.body = bytes(buf[p:])
        if not eof:
            return NEED, m, pos
        p = len(buf)
    m.complete = True
    m.end = p
    return OK, m, p


def read_responses(data, methods, eof, reset=False):
    """Final responses (1xx attached as .interim), leftover bytes.

    methods: the request methods, in order, that the responses belong to.
    A response that is not complete is last and has complete=False.  A
    close-delimited response is complete only at a clean end (eof without
    reset)."""
    out, pos, interim = [], 0, []
    while pos < len(data):
        meth = methods[len(out)] if len(out) < len(methods) else b"GET"
        st, m, np = read_response(data, pos, meth, eof and not reset)
        if st == NEED:
            if m is not None:
                m.interim = interim
                out.append(m)
            return out, bytes(data[pos:])
        pos = np
        if m.framing == "tunnel" and m.status == 101:
            m.interim = interim
            out.append(m)
            return out, bytes(data[pos:])
        if m.status < 200:
            interim.append(m)
            continue
        m.interim = interim
        interim = []
        out.append(m)
    if interim:
        x = Msg()
        x.interim = interim
        x.status = 0
        x.complete = False
        x.violations = []
        out.append(x)
    return out, b""


def hard(violations):
    """Violations without the soft ones."""
    return [v for v in violations if not v.startswith("soft:")]


# ===========================================================================
# Part 2: the recording upstream
# ===========================================================================


def b(s):
    """A case file's string -> bytes (one char = one byte, latin-1)."""
    return s.encode("latin-1") if isinstance(s, str) else bytes(s)


def set_rst(transport):
    s = transport.get_extra_info("socket")
    if s is not None:
        try:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass


def echo_id(target):
    """How the default answer names the request that it belongs to."""
    if len(target) > 200:
        return b"sha1-" + hashlib.sha1(target).hexdigest().encode()
    return target.hex().encode()


def unecho(v):
    try:
        return bytes.fromhex(v.decode())
    except ValueError:
        return v


def echo_reply(m, conn_id, n):
    """The default answer: says which request, of which length, was understood."""
    body = b"%s %s %d %s\n" % (m.method, echo_id(m.target), len(m.body),
                               hashlib.sha1(m.body).hexdigest()[:12].encode())
    head = (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n"
            b"X-Echo-Target: %s\r\nX-Echo-Conn: %d.%d\r\n\r\n"
            % (len(body), echo_id(m.target), conn_id, n))
    return head + (b"" if m.method == b"HEAD" else body)


class UpConn(asyncio.Protocol):
    """One connection that the proxy opened to the upstream."""

    def __init__(self, up):
        self.up = up
        self.raw = bytearray()
        self.pos = 0
        self.reqs = []
        self.busy = False
        self.fired = False          # a when=head script already answered the current request
        self.tunnel = None
        self.tunnel_at = None
        self.echoed = False
        self.peer_eof = self.lost = self.we_closed = False
        self.reset = False
        self.task = None
        self.t = None

    def connection_made(self, t):
        self.t = t
        self.up.count += 1
        self.id = self.up.count
        self.up.conns.append(self)
        s = t.get_extra_info("socket")
        try:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            pass
        self.up.touch()

    def data_received(self, d):
        self.raw += d
        self.up.touch()
        if self.tunnel:
            if self.tunnel == "echo":
                # Once: under --split the proxy may pass every piece on by itself.
                self.t.write(d if self.echoed else b"T:" + d)
                self.echoed = True
            return
        self.pump()

    def eof_received(self):
        self.peer_eof = True
        self.up.touch()
        return self.busy            # keep our half open only while we answer

    def connection_lost(self, exc):
        self.lost = True
        self.reset = exc is not None
        if self.task:
            self.task.cancel()
        self.up.touch()

    def pump(self):
        while not self.busy and not self.tunnel and not self.we_closed:
            st, m, np = read_request(self.raw, self.pos)
            if st == NEED:
                if m is not None and m.head_done and not self.fired:
                    sc = self.up.script(m, "head")
                    if sc is not None:
                        self.fired = True
                        self.start(sc, m)
                return
            self.pos = np
            self.reqs.append(m)
            self.up.log.append((self.id, m))
            if self.fired:
                self.fired = False
                continue
            sc = self.up.script(m, "head")
            if sc is None:
                sc = self.up.script(m, "complete")
            self.start(sc, m)

    def start(self, sc, m):
        if sc is None:
            self.t.write(echo_reply(m, self.id, len(self.reqs)))
            return
        self.busy = True
        self.task = asyncio.ensure_future(self.run(sc, m))

    async def run(self, sc, m):
        try:
            for a in sc:
                if isinstance(a, str):
                    for piece in pieces(b(a), self.up.split):
                        self.t.write(piece)
                        if self.up.split:
                            await asyncio.sleep(self.up.gap)
                elif "rep" in a:
                    self.t.write(b(a["rep"]) * a["n"])
                elif "echo" in a:
                    self.t.write(echo_reply(m, self.id, len(self.reqs)))
                elif "delay" in a:
                    await asyncio.sleep(a["delay"])
                elif "close" in a:
                    self.we_closed = True
                    self.t.close()
                    return
                elif "rst" in a:
                    self.we_closed = True
                    set_rst(self.t)
                    self.t.abort()
                    return
                elif "fin" in a:
                    if self.t.can_write_eof():
                        self.t.write_eof()
                elif "hang" in a:
                    await asyncio.sleep(30)
                elif "h2c" in a and not any(b"h2c" in v.lower() for v in m.get(b"upgrade")):
                    self.t.write(echo_reply(m, self.id, len(self.reqs)))
                elif "tunnel" in a or "h2c" in a:
                    if "h2c" in a:
                        self.t.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                                     b"Upgrade: h2c\r\n\r\n")
                    self.tunnel = a.get("tunnel", "echo")
                    self.tunnel_at = self.pos
                    rest = bytes(self.raw[self.pos:])
                    if rest and self.tunnel == "echo":
                        self.t.write(b"T:" + rest)
                        self.echoed = True
                self.up.touch()
        except (asyncio.CancelledError, OSError):
            return
        finally:
            self.busy = False
        if self.peer_eof:
            self.t.close()
            return
        self.pump()

    # what the oracle wants to know
    def view(self):
        raw = bytes(self.raw if self.tunnel_at is None else self.raw[:self.tunnel_at])
        return read_requests(raw)


class Upstream:
    def __init__(self):
        self.conns, self.log, self.count = [], [], 0
        self.rules, self.used = [], {}
        self.split, self.gap = None, 0
        self.last = time.monotonic()

    def touch(self):
        self.last = time.monotonic()

    def begin(self, rules):
        self.conns = [c for c in self.conns if not c.lost]
        self.log = []
        self.rules, self.used = rules or [], {}

    def script(self, m, when):
        if b"/probe-" in m.target:
            return None
        for i, r in enumerate(self.rules):
            if r.get("when", "complete") != when:
                continue
            if "on" in r and b(r["on"]) not in m.target:
                continue
            if "times" in r and self.used.get(i, 0) >= r["times"]:
                continue
            self.used[i] = self.used.get(i, 0) + 1
            return r["do"]
        return None

    def busy(self):
        return any(c.busy and not c.lost for c in self.conns)

    async def flush(self):
        """Close every pooled connection, so that no case can touch the next one."""
        for c in self.conns:
            if not c.lost:
                c.we_closed = True
                if c.task:
                    c.task.cancel()
                c.t.close()
        end = time.monotonic() + 0.5
        while time.monotonic() < end and any(not c.lost for c in self.conns):
            await asyncio.sleep(0.01)
        for c in self.conns:
            if not c.lost:
                c.t.abort()
        await asyncio.sleep(0.02)
        self.conns = []

    async def listen(self, host, port):
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: UpConn(self), host, port,
                                               reuse_address=True, backlog=1024)


# ===========================================================================
# The raw client
# ===========================================================================

class Client(asyncio.Protocol):
    def __init__(self, up):
        self.up = up
        self.raw = bytearray()
        self.eof = self.lost = self.reset = False
        self.tls = False
        self.t = None

    def connection_made(self, t):
        self.t = t
        self.tls = t.get_extra_info("sslcontext") is not None
        try:
            t.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            pass

    def data_received(self, d):
        self.raw += d
        self.up.touch()

    def eof_received(self):
        self.eof = True
        self.up.touch()
        return not self.tls

    def connection_lost(self, exc):
        self.lost = True
        if exc is not None:
            self.reset = True
        self.up.touch()

    def write(self, d):
        if not self.lost:
            try:
                self.t.write(d)
            except OSError:
                pass

    @property
    def gone(self):
        return self.eof or self.lost


async def connect(up, a, factory=Client):
    loop = asyncio.get_running_loop()
    kw = {}
    if a.tls:
        ctx = _ssl.create_default_context()
        ctx.check_hostname = False
        ctx.verify_mode = _ssl.CERT_NONE
        kw = {"ssl": ctx, "server_hostname": "localhost"}
    _, c = await asyncio.wait_for(
        loop.create_connection(lambda: factory(up), a.host, a.port, **kw), 5)
    return c


# ===========================================================================
# One case
# ===========================================================================

def plan(send):
    """Coalesce what a case sends: a list of bytes and of control dicts."""
    out = []
    for s in send:
        if isinstance(s, str):
            d = b(s)
        elif "rep" in s:
            d = b(s["rep"]) * s["n"]
        elif "num" in s:            # numbered lines: {"num": "X-%d: v\r\n", "n": 100}
            d = b"".join(b(s["num"] % i) for i in range(s["n"]))
        else:
            out.append(s)
            continue
        if out and isinstance(out[-1], bytes):
            out[-1] += d
        else:
            out.append(d)
    return out


def case_methods(c):
    if "methods" in c:
        return [b(m) for m in c["methods"]]
    for o in c["allow"]:
        if o["kind"] == "forward":
            return [b(r.get("method", "GET")) for r in o["requests"]]
    for s in c["send"]:
        if isinstance(s, str) and s.strip():
            return [b(s.strip().split(" ")[0])]
    return [b"GET"]


def pieces(d, split):
    """The segments in which --split sends d (large blocks stay whole)."""
    if not split or len(d) > 8192:
        return [d]
    if split == "line":
        return d.splitlines(True) if b"\r" not in d else [x + b"\n" for x in d.split(b"\n")[:-1]] + (
            [d.split(b"\n")[-1]] if d.split(b"\n")[-1] else [])
    k = int(split)
    return [d[i:i + k] for i in range(0, len(d), k)]


class Obs:
    pass


async def settle(up, cl, a, maxw):
    """Wait until nothing moved for a while."""
    end = time.monotonic() + maxw
    while time.monotonic() < end:
        idle = time.monotonic() - up.last
        want = a.idle if not cl.gone else a.idle * 0.5
        if idle >= want and not up.busy():
            return
        if idle >= maxw * 0.6:
            return
        await asyncio.sleep(0.01)


async def run_case(c, up, a):
    o = Obs()
    o.notes = []
    # warm up: the proxy is alive, and a pooled upstream connection is there to be poisoned
    up.begin(None)
    err = await probe(up, a, "/probe-warm-%08x" % random.getrandbits(32))
    if err and not err.startswith("warn"):
        o.error = "before the case: " + err
        await up.flush()
        return o
    up.begin(c.get("upstream"))
    up.split = None if c.get("whole_upstream") else a.split
    up.touch()
    methods = case_methods(c)
    maxw = c.get("max", a.max)
    try:
        cl = await connect(up, a)
    except (OSError, asyncio.TimeoutError) as e:
        o.error = "cannot connect to the proxy: %r" % e
        return o
    o.error = None
    for s in plan(c["send"]):
        if isinstance(s, bytes):
            for piece in pieces(s, a.split):
                cl.write(piece)
                up.touch()
                if a.split:
                    await asyncio.sleep(a.gap)
        elif "split" in s:
            d, k = b(s["split"]), s.get("at", 1)
            for i in range(0, len(d), k):
                cl.write(d[i:i + k])
                await asyncio.sleep(s.get("gap", 0.002))
        elif "delay" in s:
            await asyncio.sleep(s["delay"])
        elif "wait" in s:
            end = time.monotonic() + s.get("for", 1.5)
            while time.monotonic() < end and b(s["wait"]) not in cl.raw and not cl.gone:
                await asyncio.sleep(0.005)
        elif "wait_final" in s:
            end = time.monotonic() + s.get("for", 1.5)
            while time.monotonic() < end and not cl.gone:
                r, _ = read_responses(bytes(cl.raw), methods, cl.gone, cl.reset)
                if len([x for x in r if x.complete and x.status >= 200]) >= s["wait_final"]:
                    break
                await asyncio.sleep(0.005)
        elif "fin" in s:
            try:
                if cl.t.can_write_eof():
                    cl.t.write_eof()
                else:
                    cl.t.close()            # TLS has no half-close here
            except (OSError, NotImplementedError, RuntimeError):
                pass
        elif "rst" in s:
            set_rst(cl.t)
            cl.t.abort()
        elif "close" in s:
            cl.t.close()
        await asyncio.sleep(0)
    await settle(up, cl, a, maxw)
    if not cl.gone:
        # an announced close may lag (lingering close): give it a moment
        r, _ = read_responses(bytes(cl.raw), methods, False)
        last = [x for x in r if x.status >= 200][-1:]
        if last and (b"close" in b",".join(last[0].get(b"connection")).lower() or last[0].status in (400, 408, 413, 414, 431)):
            end = time.monotonic() + 1.2
            while time.monotonic() < end and not cl.gone:
                await asyncio.sleep(0.02)
    o.closed, o.reset = cl.gone, cl.reset
    o.raw = bytes(cl.raw)
    o.resps, o.left = read_responses(o.raw, methods, cl.gone, cl.reset)
    # the client goes away; unfinished requests must not stay open towards the upstream
    if not cl.lost:
        cl.t.close()
    end = time.monotonic() + 1.0

    def dangling():
        out = []
        for u in up.conns:
            if u.tunnel_at is not None:
                continue
            reqs, _ = u.view()
            if reqs and not reqs[-1].complete and not (u.lost or u.peer_eof):
                out.append(u)
        return out

    while dangling() and time.monotonic() < end:
        await asyncio.sleep(0.02)
    o.dangling = len(dangling())
    o.tunnels = [bytes(u.raw[u.tunnel_at:]) for u in up.conns if u.tunnel_at is not None]
    o.upraw = [(u.id, bytes(u.raw)) for u in up.conns if u.raw]
    o.reqs, o.part = [], []
    for _, m in up.log:
        o.reqs.append(m)
    seen = set(id(m) for m in o.reqs)
    o.viol = []
    for u in up.conns:
        reqs, _ = u.view()
        for m in reqs:
            if not m.complete:
                o.part.append(m)
            o.viol += ["up:" + v for v in m.violations]
    # probes: an innocent user comes by
    o.probe = []
    for k in range(c.get("probes", a.probes)):
        err = await probe(up, a, "/probe-%s-%d-%08x" % (c["id"], k, random.getrandbits(32)))
        if err:
            o.probe.append(err)
    for u in up.conns:
        reqs, _ = u.view()
        for m in reqs:
            if b"/probe-" in m.target:
                o.viol += ["up-probe:" + v for v in m.violations]
    n = sum(1 for _, m in up.log if b"/probe-" not in m.target)
    if n > len(o.reqs):
        o.probe.append("the upstream saw %d more request(s) of this case after the client had gone"
                       % (n - len(o.reqs)))
    o.upraw = [(u.id, bytes(u.raw)) for u in up.conns if u.raw]
    await up.flush()
    return o


async def probe(up, a, target):
    t = b(target)
    err = None
    for attempt in (0, 1):
        try:
            cl = await connect(up, a)
        except (OSError, asyncio.TimeoutError) as e:
            return "probe: cannot connect: %r" % e
        cl.write(b"GET " + t + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        end = time.monotonic() + 2.5
        r = []
        while time.monotonic() < end:
            r, left = read_responses(bytes(cl.raw), [b"GET"], cl.gone, cl.reset)
            if (r and r[0].complete) or cl.gone:
                break
            await asyncio.sleep(0.005)
        await asyncio.sleep(0)
        r, left = read_responses(bytes(cl.raw), [b"GET"], cl.gone, cl.reset)
        if not cl.lost:
            cl.t.close()
        if not r or not r[0].complete:
            err = "probe: no complete answer (%d bytes)" % len(cl.raw)
        elif r[0].status in (502, 503, 504, 500) and not r[0].get(b"x-echo-target"):
            err = "probe: %d instead of the answer" % r[0].status
        elif r[0].one(b"x-echo-target") != echo_id(t):
            return "probe: got an answer that belongs to another request (status %d, %r)" % (
                r[0].status, unecho(r[0].one(b"x-echo-target"))[:40])
        elif hard(r[0].violations):
            return "probe: malformed answer %s" % hard(r[0].violations)
        elif len(r) > 1 or left:
            return "probe: bytes after the answer: %r" % (left or r[1].start)[:40]
        else:
            return None if attempt == 0 else "warn: probe needed a second try (%s)" % err
        await asyncio.sleep(0.05)
    return err


# ===========================================================================
# The verdict
# ===========================================================================

FRAMING_REJECT = [400]


def req_diff(want, got, case):
    if want.get("method", "GET").encode() != got.method:
        return "method %r" % got.method
    t = want.get("target")
    if t is not None:
        ts = [t] if isinstance(t, str) else t
        if got.target not in [b(x) for x in ts]:
            return "target %r" % got.target[:60]
    if "body" in want:
        w = want["body"]
        if isinstance(w, dict) and "rep" in w:
            w = b(w["rep"]) * w["n"]
        else:
            w = b(w)
        if got.body != w:
            return "body %r (%d bytes)" % (got.body[:40], len(got.body))
    for k, v in want.get("has", {}).items():
        vals = got.get(b(k.lower()))
        if v is True:
            if not vals:
                return "header %s missing" % k
        elif isinstance(v, dict) and "re" in v:
            if not any(re.search(b(v["re"]), x, re.I) for x in vals):
                return "header %s is %r" % (k, vals)
        elif [b(v)] != vals:
            return "header %s is %r" % (k, vals)
    for k in want.get("not", []):
        if isinstance(k, dict):
            if any(re.search(b(k["re"]), x, re.I) for x in got.get(b(k["name"].lower()))):
                return "header %s is %r" % (k["name"], got.get(b(k["name"].lower())))
        elif got.get(b(k.lower())):
            return "header %s present (%r)" % (k, got.get(b(k.lower()))[0][:40])
    return None


def match(out, o, c):
    """None if the observation is this allowed outcome, else why not."""
    kind = out["kind"]
    fin = [r for r in o.resps if r.status >= 200 or r.framing == "tunnel"]
    if kind == "reject":
        after = out.get("after", [])
        if len(o.reqs) != len(after):
            return "upstream saw %d complete request(s), expected %d" % (len(o.reqs), len(after))
        for w, g in zip(after, o.reqs):
            d = req_diff(w, g, c)
            if d:
                return "earlier request: " + d
        k = len(after)
        if len(fin) > k + 1:
            return "%d responses for %d request(s)" % (len(fin), k + 1)
        if len(fin) < k and not (out.get("lenient_after") and o.closed):
            return "an earlier valid request got no answer"
        if len(fin) == k + 1:
            st = out.get("status", FRAMING_REJECT)
            if fin[k].status in out.get("soft", []):
                o.notes.append("refused, but with status %d" % fin[k].status)
            elif fin[k].status not in st:
                return "status %d, expected %s" % (fin[k].status, st)
        elif not o.closed:
            return "no answer and not closed"
        elif out.get("must_respond"):
            return "closed without an answer"
        else:
            o.notes.append("closed without an answer")
        if out.get("close", True) and not o.closed:
            return "answered %d but kept the connection open" % (fin[k].status if len(fin) > k else 0)
        return None
    if kind == "wait":
        if o.reqs:
            return "upstream saw %d complete request(s)" % len(o.reqs)
        if fin:
            return "answered %d" % fin[0].status
        if o.closed:
            return "closed"
        return None
    if kind == "forward":
        want = out["requests"]
        if len(o.reqs) != len(want):
            return "upstream saw %d complete request(s), expected %d" % (len(o.reqs), len(want))
        if o.part:
            return "an unfinished extra request at the upstream"
        for i, (w, g) in enumerate(zip(want, o.reqs)):
            d = req_diff(w, g, c)
            if d:
                return "request %d at the upstream: %s" % (i + 1, d)
        extra = out.get("then_reject")
        n = len(want) + (1 if extra else 0)
        if len(fin) != n and not (extra and len(fin) == len(want) and o.closed):
            return "%d final response(s) for %d request(s)" % (len(fin), n)
        st = out.get("status", [200])
        for i, (r, g) in enumerate(zip(fin, o.reqs)):
            if not r.complete:
                return "response %d not complete" % (i + 1)
            if r.status not in st:
                return "response %d has status %d" % (i + 1, r.status)
            e = r.one(b"x-echo-target")
            if e and e != echo_id(g.target):
                return "response %d belongs to another request" % (i + 1)
        if extra and len(fin) == n and fin[-1].status not in extra:
            return "last status %d, expected %s" % (fin[-1].status, extra)
        if extra and not o.closed:
            return "invalid tail but kept open"
        if o.left:
            return "bytes after the last response: %r" % o.left[:40]
        if "close" in out and out["close"] != o.closed:
            return "connection %s" % ("kept open" if out["close"] else "closed")
        d = resp_extra(out, o, fin)
        if d:
            return d
        return None
    if kind == "clean":          # any number of requests in [min, max], each of them clean
        n = len(o.reqs)
        if not out.get("min", 0) <= n <= out["max"]:
            return "upstream saw %d complete request(s), expected %d..%d" % (n, out.get("min", 0), out["max"])
        if o.part:
            return "an unfinished extra request at the upstream"
        if len(fin) < n:
            return "%d response(s) for %d request(s)" % (len(fin), n)
        return None
    if kind in ("resp", "error", "truncated", "none"):
        nreq = out.get("up")
        if nreq is not None and len(o.reqs) not in (nreq if isinstance(nreq, list) else [nreq]):
            return "upstream saw %d request(s), expected %s" % (len(o.reqs), nreq)
        pre = out.get("first", [])           # responses before the interesting one
        for i, w in enumerate(pre):
            if len(fin) <= i:
                return "response %d missing" % (i + 1)
            d = resp_diff(w, fin[i])
            if d:
                return "response %d: %s" % (i + 1, d)
        rest = fin[len(pre):]
        if kind == "none":
            return "unexpected response %d" % rest[0].status if rest else None
        if kind == "error":
            if len(rest) > 1:
                return "%d responses" % len(rest)
            if rest:
                if rest[0].status not in out.get("status", [502]):
                    return "status %d" % rest[0].status
                if not rest[0].complete:
                    return "error response not complete"
                if rest[0].get(b"x-evil"):
                    return "the upstream's bad response came through"
            elif not o.closed:
                return "no answer and not closed"
            else:
                o.notes.append("closed without an answer")
            d = resp_extra(out, o, rest)
            return d
        if kind == "truncated":
            if len(rest) > 1:
                return "%d responses" % len(rest)
            if not rest:
                return None if o.closed else "no answer and not closed"
            if rest[0].status != out.get("status", 200):
                return "status %d" % rest[0].status
            if rest[0].complete:
                return "the cut response looks complete to the client (%s, %d bytes)" % (
                    rest[0].framing, len(rest[0].body))
            if not o.closed:
                return "cut response but the connection stays open"
            return None
        # kind == resp
        want = out["responses"]
        if len(rest) != len(want):
            return "%d response(s), expected %d" % (len(rest), len(want))
        for i, (w, g) in enumerate(zip(want, rest)):
            d = resp_diff(w, g)
            if d:
                return "response %d: %s" % (i + 1 + len(pre), d)
        if o.left and rest[-1].framing != "tunnel" and rest[-1].complete:
            return "bytes after the last response: %r" % o.left[:40]
        if "close" in out and out["close"] != o.closed:
            return "connection %s" % ("kept open" if out["close"] else "closed")
        return resp_extra(out, o, rest)
    raise ValueError(kind)


def resp_extra(out, o, rest):
    if "interim_max" in out:
        n = sum(len(r.interim) for r in o.resps)
        if n > out["interim_max"]:
            return "%d interim responses" % n
    if "tunnel" in out:
        got = o.left
        if got != b(out["tunnel"]):
            return "tunnel carried %r" % got[:60]
    if "no_upstream_bytes" in out:
        for _, raw in o.upraw:
            if b(out["no_upstream_bytes"]) in raw:
                return "the upstream got %r" % out["no_upstream_bytes"]
    if "no_client_bytes" in out and b(out["no_client_bytes"]) in o.raw:
        return "the client got %r" % out["no_client_bytes"]
    return None


def resp_diff(w, g):
    if "status" in w:
        st = w["status"] if isinstance(w["status"], list) else [w["status"]]
        if g.status not in st:
            return "status %d, expected %s" % (g.status, st)
    if not g.complete and w.get("complete", True):
        return "not complete (%s, %d bytes)" % (g.framing, len(g.body))
    if "body" in w:
        x = w["body"]
        x = b(x["rep"]) * x["n"] if isinstance(x, dict) else b(x)
        if g.body != x:
            return "body %r (%d bytes)" % (g.body[:40], len(g.body))
    if "framing" in w and g.framing not in w["framing"]:
        return "framing %s" % g.framing
    if "echo" in w and g.one(b"x-echo-target") != echo_id(b(w["echo"])):
        return "belongs to another request (%r)" % unecho(g.one(b"x-echo-target"))[:40]
    for k, v in w.get("has", {}).items():
        vals = g.get(b(k.lower()))
        if v is True:
            if not vals:
                return "header %s missing" % k
        elif vals != [b(v)]:
            return "header %s is %r" % (k, vals)
    for k in w.get("not", []):
        if g.get(b(k.lower())):
            return "header %s came through" % k
    return None


def judge(c, o):
    """(PASS|PASS~|FAIL, outcome name, detail)"""
    if o.error:
        return "FAIL", "-", o.error
    tol = set(c.get("tolerate", []))
    bad = []
    why = []
    hit = None
    for i, out in enumerate(c["allow"]):
        w = match(out, o, c)
        if w is None:
            hit = i
            break
        why.append("%s: %s" % (out["kind"], w))
    if hit is None:
        bad += why
    uv = sorted(set(v for v in o.viol if not v.split(":", 1)[1].startswith("soft:")
                    and v.split(":", 1)[1] not in tol))
    if uv:
        bad.append("sent to the upstream: " + ", ".join(uv))
    cv = sorted(set(v for r in o.resps for m in [r] + r.interim for v in hard(m.violations)
                    if v not in tol and "cl:" + v not in tol))
    if cv:
        bad.append("sent to the client: " + ", ".join(cv))
    if "forbid_up" in c and any(b(c["forbid_up"]) in raw for _, raw in o.upraw):
        bad.append("the upstream got the bytes %r" % c["forbid_up"])
    if "forbid_target" in c and any(b(c["forbid_target"]) in m.target for m in o.reqs):
        bad.append("the upstream saw a request for %r" % c["forbid_target"])
    if o.dangling:
        bad.append("an unfinished request stays open at the upstream after the client has gone")
    warns = [p for p in o.probe if p.startswith("warn")]
    hardp = [p for p in o.probe if not p.startswith("warn")]
    if hardp:
        bad.append("; ".join(hardp))
    if bad:
        return "FAIL", "-", " | ".join(bad)
    name = c["allow"][hit]["kind"]
    pref = c.get("prefer")
    if (pref is not None and hit != pref) or warns or o.notes:
        return "PASS~", name, "; ".join(warns + o.notes) or "allowed, safer: %s" % c["allow"][pref]["kind"]
    return "PASS", name, ""


def observed(o):
    if o.error:
        return o.error
    fin = [r for r in o.resps]
    return "client %s%s | upstream %s%s" % (
        ",".join(("%d%s" % (r.status, "" if r.complete else "(cut)")) for r in fin) or "nothing",
        " +rst" if o.reset else " +eof" if o.closed else "",
        " ".join(repr(m) for m in o.reqs[:4]) or "no complete request",
        (" partial:" + " ".join(repr(m) for m in o.part[:2])) if o.part else "")


# ===========================================================================
# main
# ===========================================================================

def load(files):
    cases, seen = [], set()
    for f in files:
        with open(f, encoding="utf-8") as fh:
            d = json.load(fh)
        for c in d["cases"]:
            if c["id"] in seen:
                raise SystemExit("duplicate case id " + c["id"])
            seen.add(c["id"])
            cases.append(c)
    return cases


def addr(s):
    h, p = s.rsplit(":", 1)
    return h.strip("[]") or "127.0.0.1", int(p)


async def amain(a):
    up = Upstream()
    up.split, up.gap = a.split, a.gap
    await up.listen(a.up_host, a.up_port)
    cases = load(a.cases)
    if a.only:
        cases = [c for c in cases if re.search(a.only, c["id"])]
    if a.skip:
        cases = [c for c in cases if not re.search(a.skip, c["id"])]
    if a.lacks:
        cases = [c for c in cases if c.get("needs") not in a.lacks.split(",")]
    if a.severity:
        cases = [c for c in cases if c["severity"] in a.severity.split(",")]
    # is the proxy there and does it reach us?
    err = await probe(up, a, "/probe-hello")
    if err and not err.startswith("warn"):
        print("the proxy does not forward a plain GET: %s" % err, file=sys.stderr)
        return 2
    await up.flush()
    res = []
    t0 = time.monotonic()
    width = max([len(c["id"]) for c in cases] + [4])
    for c in cases:
        o = await run_case(c, up, a)
        v, name, detail = judge(c, o)
        if v == "FAIL" and a.retry:
            o2 = await run_case(c, up, a)
            v2, name2, detail2 = judge(c, o2)
            if v2 != "FAIL":
                o, v, name, detail = o2, "PASS~", name2, "flaky: first run: " + detail
        res.append({"id": c["id"], "group": c["group"], "severity": c["severity"],
                    "level": c["level"], "result": v, "outcome": name, "detail": detail,
                    "observed": observed(o), "refs": c.get("refs", [])})
        if not a.quiet or v == "FAIL":
            line = "%-*s %-8s %-6s %-5s %-9s" % (width, c["id"], c["severity"], c["level"], v, name)
            if v != "PASS" or a.verbose:
                line += " " + (detail or "")
            print(line.rstrip())
            if (a.verbose or (v == "FAIL" and a.explain)):
                print("%*s   seen: %s" % (width, "", observed(o)))
            if a.show:
                print("  client got:", repr(o.raw[:2000]))
                for i, r in o.upraw:
                    print("  upstream conn %d got: %r" % (i, r[:2000]))
            sys.stdout.flush()
    up.server.close()
    # tables
    groups, sev = {}, {}
    for r in res:
        for d, k in ((groups, r["group"]), (sev, r["severity"])):
            e = d.setdefault(k, [0, 0, 0])
            e[{"PASS": 0, "PASS~": 1, "FAIL": 2}[r["result"]]] += 1
    print()
    print("%-22s %6s %6s %6s" % ("group", "pass", "pass~", "FAIL"))
    for k in groups:
        print("%-22s %6d %6d %6d" % ((k,) + tuple(groups[k])))
    print()
    for k in ("critical", "high", "medium", "low"):
        if k in sev:
            print("%-22s %6d %6d %6d" % ((k,) + tuple(sev[k])))
    p = sum(1 for r in res if r["result"] != "FAIL")
    f = len(res) - p
    print()
    print("%d passed (%d of them in a less strict way), %d failed   [%d cases, %.0f s]"
          % (p, sum(1 for r in res if r["result"] == "PASS~"), f, len(res), time.monotonic() - t0))
    if a.json:
        with open(a.json, "w", encoding="utf-8") as fh:
            json.dump({"proxy": "%s:%d" % (a.host, a.port), "passed": p, "failed": f,
                       "results": res}, fh, indent=1)
    if a.accept_failures:
        known = set(x.strip() for x in open(a.accept_failures) if x.strip() and x[0] != "#")
        new = [r["id"] for r in res if r["result"] == "FAIL" and r["id"] not in known]
        if new:
            print("new failures: " + " ".join(new))
        return 1 if new else 0
    return 1 if f else 0


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--proxy", required=True, help="the proxy's address, host:port")
    ap.add_argument("--upstream", required=True,
                    help="host:port to listen on as the proxy's upstream (loopback)")
    ap.add_argument("--cases", action="append", help="case file(s); default cases.json")
    ap.add_argument("--only", help="regular expression on the case id")
    ap.add_argument("--skip", help="regular expression on the case id")
    ap.add_argument("--severity", help="comma list: critical,high,medium,low")
    ap.add_argument("--lacks", help="comma list of optional proxy features that the configuration "
                    "under test lacks: xff (adding X-Forwarded-For)")
    ap.add_argument("--tls", action="store_true", help="speak TLS to the proxy (no verification)")
    ap.add_argument("--split", help="send both sides' bytes in pieces: 'line' or a number of bytes; the "
                    "verdicts must stay the same")
    ap.add_argument("--gap", type=float, default=0.004, help="seconds between the pieces")
    ap.add_argument("--idle", type=float, default=0.2, help="seconds of silence that end a case")
    ap.add_argument("--max", type=float, default=3.0, help="longest wait per case")
    ap.add_argument("--probes", type=int, default=2, help="innocent requests after each case")
    ap.add_argument("--retry", action="store_true", help="run a failed case once more")
    ap.add_argument("--json", help="write the results here")
    ap.add_argument("--accept-failures", help="file of case ids that may fail (exit code only)")
    ap.add_argument("-q", "--quiet", action="store_true", help="print only failures")
    ap.add_argument("-v", "--verbose", action="store_true")
    ap.add_argument("--explain", action="store_true", help="print what was seen for failures")
    ap.add_argument("--show", action="store_true", help="print the bytes on both sides")
    a = ap.parse_args()
    a.host, a.port = addr(a.proxy)
    a.up_host, a.up_port = addr(a.upstream)
    for h in (a.host, a.up_host):
        if h not in ("127.0.0.1", "::1", "localhost"):
            ap.error("loopback addresses only")
    a.cases = a.cases or [os.path.join(here, "cases.json")]
    sys.exit(asyncio.run(amain(a)))


if __name__ == "__main__":
    main()
