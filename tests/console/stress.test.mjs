// A thousand series and more than a hundred findings stay smooth: what the browser's main thread is busy
// with, how far apart frames are while somebody scrolls, and how much there is in the page.
import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'

import { openBrowser, openPage } from './lib/browser.mjs'
import { visit } from './lib/console.mjs'
import { run } from './lib/gnomon.mjs'
import { origin } from './lib/origins.mjs'
import { Users } from './lib/users.mjs'
import { eventually } from './lib/wait.mjs'

const UPSTREAMS = 250
const FIELDS = 120
const SECONDS = Number(process.env.STRESS_SECONDS ?? 5)
// Measured and told; these are for what would be unusable on any machine.
const NODES_MAX = 20_000
const BUSY_MAX = 0.5
const FRAME_MS_MAX = 500

/** 250 upstreams of two versions: error rate and latency of each are a thousand series. */
const config = (v1, v2) => `
${Array.from({ length: UPSTREAMS }, (_, nth) => `[upstream.shop-${nth}]
versions.v1 = ["${v1}"]
versions.v2 = ["${v2}"]
split = { v1 = 90, v2 = 10 }
[route.shop-${nth}]
match = { host = "shop-${nth}.test" }
to = "shop-${nth}"
`).join('')}
[shadow.next]
from  = "shop-0@v1"
to    = "shop-0@v2"
noise = true
`

const wide = more => () => ({
  body: Object.fromEntries(Array.from({ length: FIELDS }, (_, nth) => [`field_${nth}`, nth + more])),
})

let proxy
let browser
const open = []

before(async () => {
  const v1 = await origin('v1', wide(0))
  const v2 = await origin('v2', wide(1))
  open.push(() => v1.close(), () => v2.close())
  proxy = await run(config(v1.address, v2.address))
  open.push(() => proxy.stop())
  // Some for the shadow, and a few for everybody else.
  const shadowed = new Users(proxy.address, { rate: 60, host: 'shop-0.test' })
  const others = new Users(proxy.address, { rate: 100, host: nth => `shop-${nth % UPSTREAMS}.test` })
  open.push(() => shadowed.stop(), () => others.stop())
  browser = await openBrowser()
})

after(async () => {
  await browser?.close()
  for (const close of open.reverse()) await close()
})

/** How the page does for a while: scrolled by the wheel, or left alone. */
async function measure(page, scrolls) {
  await page.evaluate(() => {
    const tasks = (window.tasks = [])
    const frames = (window.frames = [])
    window.observer?.disconnect()
    window.observer = new PerformanceObserver(list => tasks.push(...list.getEntries().map(one => one.duration)))
    window.observer.observe({ type: 'longtask', buffered: false })
    let last = performance.now()
    const frame = now => {
      frames.push(now - last)
      last = now
      if (window.frames === frames) requestAnimationFrame(frame)
    }
    requestAnimationFrame(frame)
  })
  const until = Date.now() + SECONDS * 1000
  for (let nth = 0; Date.now() < until; nth += 1) {
    if (scrolls) await page.mouse.wheel(0, Math.floor(nth / 20) % 2 ? -240 : 240)
    await page.waitForTimeout(50)
  }
  return page.evaluate(() => {
    const frames = window.frames.slice(2).sort((a, b) => a - b)
    const at = share => frames[Math.min(frames.length - 1, Math.floor(frames.length * share))]
    return {
      tasks: window.tasks.length,
      busy: window.tasks.reduce((sum, one) => sum + one, 0),
      longest: Math.max(0, ...window.tasks),
      frames: frames.length,
      median: at(0.5),
      p99: at(0.99),
      nodes: document.querySelectorAll('*').length,
      heap: performance.memory?.usedJSHeapSize ?? 0,
    }
  })
}

const told = ({ tasks, busy, longest, frames, median, p99, nodes, heap }) =>
  `${((tasks * 60) / SECONDS).toFixed(0)} long tasks a minute (longest ${longest.toFixed(0)} ms, ${((busy / SECONDS) / 10).toFixed(1)} % of the time), ` +
  `${(frames / SECONDS).toFixed(0)} frames a second (${median.toFixed(0)} ms between, 99th percentile ${p99.toFixed(0)} ms), ` +
  `${nodes} nodes, ${(heap / 1e6).toFixed(0)} MB`

test('all findings are there', async () => {
  await eventually('more than a hundred findings', async () => {
    const { total } = await proxy.read('/v1/shadows/next/findings')
    return total >= 100
  }, 60_000)
})

for (const hash of ['#/overview', '#/shadow', '#/routes']) {
  test(`${hash} stays smooth`, async t => {
    const { page, faults, close } = await openPage(browser, proxy.base)
    await visit(page, proxy.base, hash)
    await page.waitForTimeout(1500)
    for (const scrolls of [false, true]) {
      const seen = await measure(page, scrolls)
      t.diagnostic(`${scrolls ? 'scrolled' : 'left alone'}: ${told(seen)}`)
      assert.ok(seen.nodes < NODES_MAX, `${seen.nodes} nodes`)
      assert.ok(seen.busy / (SECONDS * 1000) < BUSY_MAX, `busy for ${seen.busy} ms of ${SECONDS} s`)
      assert.ok(seen.median < FRAME_MS_MAX, `${seen.median} ms between frames`)
    }
    assert.deepEqual(await faults(), [])
    await close()
  })
}
