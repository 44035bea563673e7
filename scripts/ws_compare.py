#!/usr/bin/env python3
"""WebSockets through the proxy behave as without it.

Starts a strict echo server (PyPI `websockets`) and a gnomon in front of it, plays every case to both over raw
frames, and compares what comes back: each frame, each close code, each end. The cases follow the sections of the
autobahn test suite, which itself needs Python 2: framing, pings, reserved bits, opcodes, fragmentation, UTF-8,
closing, large messages, and the same bytes cut in pieces. Loopback only; takes a minute.

  scripts/ws_compare.py --gnomon target/debug/gnomon [--only NAME] [--tls CERT KEY]

Without the package, or without the binary, it says so and ends with 0: there was nothing to compare.
"""
import argparse
import asyncio
import base64
import hashlib
import logging
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

try:
    from websockets.asyncio.server import serve
except ImportError:
    print('skipped: the Python package `websockets` is not installed')
    sys.exit(0)

MIB = 1 << 20
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
PATIENCE = 60

# What a step may wait for instead of frames: the server closes, or the client goes away without a close.
ENDS, GONE = -1, -2


def frame(opcode, payload=b'', fin=True, reserved=0, mask=b'\x11\x22\x33\x44', length=None):
    """A frame as a client sends it. `length` is what it says of itself, if that is a lie."""
    size = len(payload) if length is None else length
    head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    bit = 0x80 if mask else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + struct.pack('>H', size)
    else:
        head += bytes([bit | 127]) + struct.pack('>Q', size)
    if not mask:
        return head + payload
    key = (mask * (len(payload) // 4 + 1))[:len(payload)]
    masked = int.from_bytes(payload, 'big') ^ int.from_bytes(key, 'big')
    return head + mask + masked.to_bytes(len(payload), 'big')


def closing(code, reason=b''):
    return frame(CLOSE, struct.pack('>H', code) + reason)


def split(opcode, payload, size, between=b''):
    """A message in fragments of `size` bytes, with frames in between."""
    parts = [payload[i:i + size] for i in range(0, len(payload), size)] or [b'']
    out = b''
    for i, part in enumerate(parts):
        out += frame(opcode if i == 0 else 0, part, fin=i == len(parts) - 1)
        if i < len(parts) - 1:
            out += between
    return out


def cases():
    """Name, steps, bytes a send (0: all at once), seconds between sends.

    A step is bytes, and how many frames have come in all once it is answered: what comes next is sent then, so that
    it does not depend on chance what the server has read when it sees the end. A case that is not closed by the
    server ends with a close of ours.
    """
    for size in (0, 1, 125, 126, 127, 128, 65535, 65536, 100_000):
        for kind, opcode in (('text', TEXT), ('binary', BINARY)):
            yield f'1-{kind}-{size}', [(frame(opcode, b'*' * size), 1)], 0, 0
    yield '1-text-65536-cut-997', [(frame(TEXT, b'*' * 65536), 1)], 997, 0
    yield '1-binary-300-bytewise', [(frame(BINARY, bytes(range(256)) + b'x' * 44), 1)], 1, 0
    yield '1-text-slow', [(frame(TEXT, b'slow'), 1)], 3, 0.02

    for size in (0, 5, 125):
        yield f'2-ping-{size}', [(frame(PING, bytes(range(size))), 1)], 0, 0
    yield '2-ping-126', [(frame(PING, b'x' * 126), ENDS)], 0, 0
    yield '2-pings-1000', [(b''.join(frame(PING, b'%d' % i) for i in range(1000)), 1000)], 0, 0
    yield '2-pings-bytewise', [(frame(PING, b'one') * 10, 10)], 1, 0
    yield '2-pong-unasked', [(frame(PONG, b'x') + frame(PING, b'y'), 1)], 0, 0

    text = (frame(TEXT, b'a'), 1)
    for bits in range(1, 8):
        yield f'3-reserved-{bits}', [text, (frame(TEXT, b'b', reserved=bits), ENDS)], 0, 0
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield f'4-opcode-{opcode}', [text, (frame(opcode), ENDS)], 0, 0
    yield '4-unmasked', [(frame(TEXT, b'a', mask=b''), ENDS)], 0, 0

    for size in (1, 3, 1000):
        long = b'fragment' * 300
        pings = -(-len(long) // size) - 1
        yield f'5-fragments-{size}', [(split(TEXT, long, size), 1)], 0, 0
        yield f'5-fragments-{size}-ping', [(split(BINARY, long, size, frame(PING, b'p')), 1 + pings)], 0, 0
    yield '5-fragments-bytewise', [(split(TEXT, b'fragment', 2, frame(PING, b'p')), 4)], 1, 0
    yield '5-ping-in-fragments', [(frame(PING, b'a', fin=False), ENDS)], 0, 0
    yield '5-continue-nothing', [(frame(0, b'a'), ENDS)], 0, 0
    yield '5-begin-twice', [(frame(TEXT, b'a', fin=False) + frame(TEXT, b'b'), ENDS)], 0, 0
    yield '5-empty-fragments', [(frame(TEXT, fin=False) + frame(0, fin=False) + frame(0), 1)], 0, 0

    good = 'κόσμε Hellö µ €𐍈 '.encode()
    yield '6-utf8', [(frame(TEXT, good), 1)], 0, 0
    yield '6-utf8-by-1', [(split(TEXT, good, 1), 1)], 0, 0
    yield '6-utf8-bytewise', [(frame(TEXT, good), 1)], 1, 0
    for name, bad in (('lone', b'\x80'), ('short', b'\xce'), ('long', b'\xc0\xaf'), ('half', b'\xed\xa0\x80'),
                      ('above', b'\xf4\x90\x80\x80'), ('five', b'\xf8\x88\x80\x80\x80'), ('fe', b'\xfe')):
        yield f'6-bad-{name}', [(frame(TEXT, good + bad + b'x'), ENDS)], 0, 0
        yield f'6-bad-{name}-by-1', [(split(TEXT, good + bad + b'x', 1), ENDS)], 0, 0

    yield '7-close', [], 0, 0
    yield '7-close-bytewise', [], 1, 0
    yield '7-close-twice', [(closing(1000) * 2, ENDS)], 0, 0
    yield '7-text-behind-close', [(closing(1000) + frame(TEXT, b'late'), ENDS)], 0, 0
    yield '7-close-empty', [(frame(CLOSE), ENDS)], 0, 0
    yield '7-close-one-byte', [(frame(CLOSE, b'x'), ENDS)], 0, 0
    yield '7-close-123', [(closing(1000, b'*' * 123), ENDS)], 0, 0
    yield '7-close-124', [(closing(1000, b'*' * 124), ENDS)], 0, 0
    yield '7-close-bad-utf8', [(closing(1000, b'\xff'), ENDS)], 0, 0
    for code in (1001, 1002, 1003, 1007, 1011, 3000, 3999, 4000, 4999):
        yield f'7-close-{code}', [(closing(code, b'why'), ENDS)], 0, 0
    for code in (0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65535):
        yield f'7-close-bad-{code}', [(closing(code), ENDS)], 0, 0
    yield '7-gone', [text, (b'', GONE)], 0, 0
    yield '7-gone-in-frame', [text, (frame(TEXT, b'b' * 10)[:8], GONE)], 0, 0

    for size in (1, 16):
        yield f'9-{size}-mib', [(frame(BINARY, os.urandom(MIB) * size), 1)], 0, 0
        yield f'9-{size}-mib-in-4-kib', [(split(BINARY, b'x' * (size * MIB), 4096), 1)], 0, 0
    yield '9-1-mib-in-64', [(split(TEXT, b'x' * MIB, 64), 1)], 0, 0
    yield '9-1-mib-cut-1000', [(frame(TEXT, b'x' * MIB), 1)], 1000, 0
    yield '9-many-10000', [(b''.join(frame(TEXT, b'%d' % i) for i in range(10_000)), 10_000)], 0, 0
    yield '9-many-1000-cut-7', [(b''.join(frame(BINARY, b'%d' % i) for i in range(1000)), 1000)], 7, 0
    yield '9-to-and-fro-500', [(frame(TEXT, b'%d' % i), i + 1) for i in range(500)], 0, 0
    yield '9-too-long', [(frame(BINARY, b'x', length=1 << 62), ENDS)], 0, 0


class Seen:
    """What came back, frame by frame."""

    def __init__(self):
        self.frames, self.closed, self.end = [], False, None

    def __eq__(self, other):
        return (self.frames, self.end) == (other.frames, other.end)

    def __str__(self):
        return f'{self.frames[:6]}{"…" if len(self.frames) > 6 else ""} ({len(self.frames)}), then {self.end}'


async def read_frames(reader, seen, came):
    try:
        while True:
            first, second = await reader.readexactly(2)
            length = second & 127
            if length == 126:
                length, = struct.unpack('>H', await reader.readexactly(2))
            elif length == 127:
                length, = struct.unpack('>Q', await reader.readexactly(8))
            payload = await reader.readexactly(length)
            shown = payload if length < 130 else (length, hashlib.sha256(payload).hexdigest()[:16])
            seen.frames.append((hex(first), shown))
            seen.closed = first & 15 == CLOSE
            came.set()
    except asyncio.IncompleteReadError as error:
        seen.end = f'in a frame: {len(error.partial)} bytes' if error.partial else 'an end'
    except ConnectionError:
        seen.end = 'an end'
    came.set()


async def play(address, context, steps, piece, pause):
    """One case on a connection of its own."""
    reader, writer = await asyncio.open_connection(*address, ssl=context, limit=64 * MIB)
    writer.get_extra_info('socket').setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(b'0123456789abcdef').decode()
    writer.write(f'GET /chat HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nUpgrade: websocket\r\n'
                 f'Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n'.encode())
    head = await reader.readuntil(b'\r\n\r\n')
    assert head.startswith(b'HTTP/1.1 101'), head
    accepts = [line for line in head.lower().split(b'\r\n') if line.startswith(b'sec-websocket-accept')]
    assert len(accepts) == 1, head
    seen, came = Seen(), asyncio.Event()
    reading = asyncio.create_task(read_frames(reader, seen, came))

    async def until(wanted):
        while not seen.closed and not seen.end and (wanted < 0 or len(seen.frames) < wanted):
            came.clear()
            await came.wait()

    async def send(data):
        for i in range(0, len(data), piece or len(data) or 1):
            writer.write(data[i:i + (piece or len(data))])
            await writer.drain()
            if pause:
                await asyncio.sleep(pause)

    try:
        for data, wanted in steps:
            await send(data)
            if wanted == GONE:
                writer.write_eof()
                break
            await until(wanted)
        else:
            if not seen.closed:
                await send(closing(1000))
        await until(ENDS)
    except ConnectionError:
        pass
    # The server ends the connection once it has sent its close.
    await reading
    writer.close()
    return seen


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def free_port():
    with socket.socket() as it:
        it.bind(('127.0.0.1', 0))
        return it.getsockname()[1]


def start(gnomon, folder, origin, tls, driver):
    """Starts a gnomon in front of `origin`; its process and its port."""
    port = free_port()
    config = os.path.join(folder, 'gnomon.toml')
    secure = f'listener.edge.tls = {{ cert = "{tls[0]}", key = "{tls[1]}" }}\n' if tls else ''
    with open(config, 'w') as file:
        file.write(f'listener.edge.bind = "127.0.0.1:{port}"\n{secure}'
                   f'upstream.o.versions.v1 = ["127.0.0.1:{origin}"]\nroute.all.to = "o"\n'
                   f'admin.socket = "{folder}/admin.sock"\nstate.dir = "{folder}/state"\n'
                   f'access_log.format = "off"\nruntime = {{ cores = 1, pin = false, driver = "{driver}" }}\n')
    process = subprocess.Popen([gnomon, 'run', '--config', config], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            socket.create_connection(('127.0.0.1', port), 1).close()
            return process, port
        except OSError:
            if process.poll() is not None:
                raise SystemExit(f'gnomon did not start: {process.stderr.read().decode()}') from None
            time.sleep(0.05)
    process.kill()
    raise SystemExit('gnomon did not start in time')


async def compare(options, driver):
    folder = tempfile.mkdtemp(prefix='gnomon-ws-')
    server = await serve(echo, '127.0.0.1', 0, max_size=64 * MIB, compression=None, ping_interval=None)
    origin = server.sockets[0].getsockname()[1]
    process, port = start(options.gnomon, folder, origin, options.tls, driver)
    context = None
    if options.tls:
        context = ssl.create_default_context(cafile=options.tls[0])
        context.check_hostname = False
    count, wrong = 0, []
    try:
        for name, steps, piece, pause in cases():
            if options.only and options.only not in name:
                continue
            count += 1
            direct = await asyncio.wait_for(play(('127.0.0.1', origin), None, steps, piece, pause), PATIENCE)
            try:
                proxied = await asyncio.wait_for(play(('127.0.0.1', port), context, steps, piece, pause), PATIENCE)
            except Exception as error:
                proxied = repr(error)
            if proxied != direct:
                wrong.append(name)
                print(f'{driver} {name}\n  direct:  {direct}\n  proxied: {proxied}')
    finally:
        process.terminate()
        process.wait(30)
        server.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(f'{driver}: {count - len(wrong)} of {count} cases as without the proxy')
    return not wrong and count > 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--gnomon', default='target/debug/gnomon')
    parser.add_argument('--only', help='cases with this in their names')
    parser.add_argument('--tls', nargs=2, metavar=('CERT', 'KEY'), help='speak TLS with the proxy')
    options = parser.parse_args()
    # What clients do wrong here is meant.
    logging.getLogger('websockets').setLevel(logging.CRITICAL + 1)
    if not os.access(options.gnomon, os.X_OK):
        print(f'skipped: there is no {options.gnomon}; build it or say --gnomon')
        return 0
    good = [asyncio.run(compare(options, driver)) for driver in ('epoll', 'io_uring')]
    return 0 if all(good) else 1


if __name__ == '__main__':
    sys.exit(main())
