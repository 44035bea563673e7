// The proxy, started as a person would, in a folder of its own.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs/promises'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'

import { Hopeless, eventually, pause } from './wait.mjs'

const BINARY = process.env.GNOMON ?? 'gnomon'
const LOG_BYTES_MAX = 1 << 20

/** A port that was free a moment ago. */
export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/**
 * `gnomon run` with this configuration; listens for clients and for browsers on loopback. `files` lie
 * beside it, and nobody else may read them; `token` is shown where something is asked here.
 */
export async function run(config, { sets = {}, files = {}, token } = {}) {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'gnomon-console-'))
  const file = path.join(folder, 'gnomon.toml')
  const address = `127.0.0.1:${await freePort()}`
  const admin = `127.0.0.1:${await freePort()}`
  await fs.writeFile(file, `listen = "${address}"\n${config}`)
  for (const [name, text] of Object.entries(files)) {
    await fs.writeFile(path.join(folder, name), text, { mode: 0o600 })
  }
  const all = {
    'admin.socket': path.join(folder, 'admin.sock'),
    'admin.listen': admin,
    'state.dir': path.join(folder, 'state'),
    'runtime.cores': '1',
    'runtime.pin': 'false',
    'timeouts.grace': '0s',
    'timeouts.drain': '1s',
    ...sets,
  }
  const settings = Object.entries(all).flatMap(([key, value]) => ['--set', `${key}=${value}`])
  const child = start(['run', '-c', file, ...settings])
  const base = `http://${admin}`
  const proxy = { address, base, folder, log: child.log, ...client(base, token) }
  proxy.stop = async () => {
    await end(child)
    await fs.rm(folder, { recursive: true, force: true })
  }
  try {
    await ready(proxy, child)
  } catch (error) {
    await proxy.stop()
    throw error
  }
  return proxy
}

/** `gnomon demo --console …`, with what it is to show. */
export async function demo(...stories) {
  const child = start(['demo', '--console', '127.0.0.1:0', ...stories])
  try {
    const base = await eventually('the demo says where its console is', () => {
      if (child.over()) throw new Hopeless(`it has ended: ${child.log()}`)
      return /console: (http:\S+?)\/?\s/.exec(child.log())?.[1]
    })
    const proxy = { base, log: child.log, over: child.over, stop: () => end(child), ...client(base) }
    await ready(proxy, child)
    return proxy
  } catch (error) {
    await end(child)
    throw error
  }
}

/** What can be asked over the admin API. */
export function client(base, token) {
  const who = token ? { authorization: `Bearer ${token}` } : {}
  const parsed = async response => {
    const text = await response.text()
    if (!response.ok) throw new Error(`${response.url}: ${response.status} ${text}`)
    return text === '' ? undefined : JSON.parse(text)
  }
  return {
    read: async url => parsed(await fetch(base + url, { headers: who })),
    act: async (url, body) => {
      const headers = { ...who, 'x-gnomon': '1', 'content-type': 'application/json' }
      return parsed(await fetch(base + url, { method: 'POST', headers, body: JSON.stringify(body) }))
    },
  }
}

async function ready(proxy, child) {
  await eventually('the proxy is ready', async () => {
    if (child.over()) throw new Hopeless(`it has ended: ${child.log()}`)
    return (await fetch(`${proxy.base}/readyz`)).ok
  })
}

function start(words) {
  const child = spawn(BINARY, words, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1' } })
  let said = ''
  const hear = chunk => {
    said = (said + chunk).slice(-LOG_BYTES_MAX)
  }
  child.stdout.setEncoding('utf8').on('data', hear)
  child.stderr.setEncoding('utf8').on('data', hear)
  child.on('error', error => hear(String(error)))
  child.log = () => said
  child.over = () => child.exitCode !== null || child.signalCode !== null
  return child
}

async function end(child) {
  if (child.over()) return
  child.kill('SIGINT')
  await Promise.race([once(child, 'exit'), pause(5000)])
  if (!child.over()) {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
}
