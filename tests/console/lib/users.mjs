// Users: they ask at a steady rate, and write down who answered.
import http from 'node:http'

const TICK_MS = 20
const OPEN_MAX = 64
const USERS = 500

export class Users {
  /** @param {string} address where the proxy listens */
  constructor(address, { rate = 200, host = 'shop.test', paths = ['/', '/cart', '/items/7'] } = {}) {
    const [hostname, port] = address.split(':')
    this.where = { hostname, port }
    this.rate = rate
    this.host = host
    this.paths = paths
    this.agent = new http.Agent({ keepAlive: true, maxSockets: OPEN_MAX })
    this.asked = 0
    this.failed = 0
    this.under = 0
    /** Replies by version. */
    this.by = new Map()
    this.owed = 0
    this.timer = setInterval(() => this.#tick(), TICK_MS)
  }

  #tick() {
    this.owed = Math.min(this.owed + (this.rate * TICK_MS) / 1000, OPEN_MAX)
    for (; this.owed >= 1 && this.under < OPEN_MAX; this.owed -= 1) this.#ask()
  }

  #ask() {
    const path = this.paths[this.asked % this.paths.length]
    this.asked += 1
    this.under += 1
    const host = typeof this.host === 'function' ? this.host(this.asked) : this.host
    const headers = { host, cookie: `uid=${this.asked % USERS}` }
    const request = http.get({ ...this.where, path, agent: this.agent, headers }, response => {
      const version = response.headers['x-version'] ?? 'nobody'
      this.by.set(version, (this.by.get(version) ?? 0) + 1)
      response.resume()
      response.on('close', () => (this.under -= 1))
    })
    request.on('error', () => {
      this.failed += 1
      this.under -= 1
    })
  }

  stop() {
    clearInterval(this.timer)
    this.agent.destroy()
  }
}
