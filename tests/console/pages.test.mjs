// Every page that the console's own bar names: no error, nobody else asked, no fault of accessibility,
// readable on a phone, in light and in dark.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import test, { after, before } from 'node:test'

import { openBrowser, openPage } from './lib/browser.mjs'
import { livenessOf, pagesOf, tooWide, visit } from './lib/console.mjs'
import { openShop } from './lib/shop.mjs'
import { eventually } from './lib/wait.mjs'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const PAINT_MS_MAX = 10_000

let shop
let browser
let pages
let deep

before(async () => {
  shop = await openShop()
  browser = await openBrowser()
  await shop.proxy.act('/v1/rollouts/v2/start', { reason: 'to look at it' })
  await shop.proxy.act('/v1/flags/new-shop/set', { percent: 20, reason: 'a fifth' })
  const found = await eventually('the shadow finds the sum', async () => {
    const { items } = await shop.proxy.read('/v1/shadows/next/findings')
    return items.find(one => one.path === '$.total' && one.examples.length > 0)
  })
  const first = await openPage(browser, shop.proxy.base)
  pages = await pagesOf(first.page, shop.proxy.base)
  await first.close()
  deep = [
    { title: 'A pair', hash: `#/shadow/next/${found.id}` },
    { title: 'A flag', hash: '#/flags/new-shop' },
  ]
})

after(async () => {
  await browser?.close()
  await shop?.end()
})

/** Serious faults, one line each. */
async function faultsOf(page) {
  // Evaluated from outside, as the policy of the page rightly allows no inline script.
  await page.evaluate(AXE)
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }))
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map(node => `${node.html} (${node.failureSummary})`).join(' | ')}`)
}

test('all pages are there', () => {
  const titles = pages.map(page => page.title)
  for (const title of ['Overview', 'Rollout', 'Shadow', 'Flags', 'Routes', 'Cores', 'Events']) {
    assert.ok(titles.some(one => one.startsWith(title)), `${title}: ${titles}`)
  }
})

for (const dark of [false, true]) {
  test(`no page has a fault of accessibility, in ${dark ? 'dark' : 'light'}`, async () => {
    const { page, close } = await openPage(browser, shop.proxy.base, { dark })
    const wrong = []
    for (const { title, hash } of [...pages, ...deep]) {
      await visit(page, shop.proxy.base, hash)
      wrong.push(...(await faultsOf(page)).map(fault => `${title}: ${fault}`))
    }
    assert.deepEqual(wrong, [])
    await close()
  })
}

test('no page has an error, breaks the policy or asks anybody else', async () => {
  const { page, requests, faults, close } = await openPage(browser, shop.proxy.base)
  for (const { hash } of [...pages, ...deep]) {
    await visit(page, shop.proxy.base, hash)
    await page.waitForTimeout(400)
  }
  assert.deepEqual(await faults(), [])
  assert.ok(requests.length > 10)
  await close()
})

test('no page is wider than a phone', async () => {
  const { page, close } = await openPage(browser, shop.proxy.base, { width: 360, height: 740 })
  const wide = []
  for (const { title, hash } of [...pages, ...deep]) {
    await visit(page, shop.proxy.base, hash)
    wide.push(...(await tooWide(page)).map(what => `${title}: ${what}`))
  }
  assert.deepEqual(wide, [])
  await close()
})

test('dark is dark and light is light, and a person can choose', async () => {
  const ground = page => page.evaluate(() => {
    const [red] = getComputedStyle(document.body).backgroundColor.match(/\d+/g).map(Number)
    return red
  })
  for (const dark of [false, true]) {
    const { page, close } = await openPage(browser, shop.proxy.base, { dark })
    await visit(page, shop.proxy.base, '#/overview')
    assert.equal((await ground(page)) < 128, dark)
    await page.keyboard.press('t')
    assert.equal((await ground(page)) < 128, false, 'the first press is light')
    await page.keyboard.press('t')
    assert.equal((await ground(page)) < 128, true, 'the second is dark')
    await close()
  }
})

test('the console is painted at once, and lives by the second', async t => {
  const { page, close } = await openPage(browser, shop.proxy.base)
  const session = await page.context().newCDPSession(page)
  await session.send('Network.enable')
  let bytes = 0
  session.on('Network.loadingFinished', ({ encodedDataLength }) => (bytes += encodedDataLength))
  await page.goto(`${shop.proxy.base}/`)
  const paint = await eventually('it is painted', () => page.evaluate(
    () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime))
  await visit(page, shop.proxy.base, '#/overview')
  t.diagnostic(`first contentful paint after ${paint.toFixed(0)} ms; ${(bytes / 1000).toFixed(1)} kB over the wire until it is live`)
  assert.ok(paint < PAINT_MS_MAX, `${paint} ms`)
  const seconds = await livenessOf(page, 6)
  assert.ok(seconds >= 4, `something new in ${seconds} of 6 seconds`)
  await close()
})
