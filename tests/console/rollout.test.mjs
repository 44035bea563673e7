// Abort, as a person presses it, sends everybody home; the origins are asked, not the proxy.
import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'

import { openBrowser, openPage } from './lib/browser.mjs'
import { visit } from './lib/console.mjs'
import { openShop } from './lib/shop.mjs'
import { eventually, pause } from './lib/wait.mjs'

const HOME_MS_MAX = 1000

let shop
let browser

before(async () => {
  // No shadow: whatever reaches v2 is a user.
  shop = await openShop({ shadow: false, rate: 200 })
  browser = await openBrowser()
})

after(async () => {
  await browser?.close()
  await shop?.end()
})

const phase = async () => (await shop.proxy.read('/v1/rollouts/v2')).state.phase

async function begin() {
  await shop.proxy.act('/v1/rollouts/v2/start', { reason: 'to be aborted' })
  const before = shop.v2.asked.count
  await eventually('v2 has users', () => shop.v2.asked.count > before + 50)
}

/** That v2 was asked nothing later than a second after `pressed`, while users came to v1 all the time. */
async function isDeserted(pressed) {
  await pause(3000)
  const late = shop.v2.asked.times.filter(at => at > pressed + HOME_MS_MAX)
  const after = shop.v1.asked.times.filter(at => at > pressed + HOME_MS_MAX)
  assert.equal(late.length, 0, `v2 was asked ${late.length} times more than a second later`)
  assert.ok(after.length > 100, `users came on: ${after.length}`)
  return Math.max(0, ...shop.v2.asked.times.map(at => at - pressed))
}

async function isOnRecord(reason) {
  const { items } = await shop.proxy.read('/v1/rollouts/v2/history')
  assert.ok(items.some(({ event }) => event.why.includes(reason)), JSON.stringify(items[0]))
  const journal = await shop.proxy.read('/v1/journal?limit=50')
  assert.ok(journal.items.some(entry => entry.reason?.includes(reason)), JSON.stringify(journal.items.slice(0, 3)))
  await eventually('the audit log has the reason', () => shop.proxy.log().includes(reason))
}

test('abort by mouse sends everybody home within a second', async t => {
  await begin()
  const { page, faults, close } = await openPage(browser, shop.proxy.base)
  await visit(page, shop.proxy.base, '#/rollout')
  await page.click('main button:text-is("Abort")')
  await page.fill('dialog input[name=reason]', 'the cart loses tea')
  assert.match(await page.textContent('dialog'), /All users go to v1 now/)
  const pressed = Date.now()
  await page.click('dialog button[type=submit]')
  await eventually('the page says so', async () => (await page.textContent('main')).includes('aborted'))
  t.diagnostic(`the last request to v2 began ${await isDeserted(pressed)} ms after the press`)
  assert.equal(await phase(), 'aborted')
  await isOnRecord('the cart loses tea')
  assert.equal(shop.users.failed, 0, 'no user was failed')
  assert.deepEqual(await faults(), [])
  await close()
})

test('abort by keyboard alone', async () => {
  await begin()
  const { page, close } = await openPage(browser, shop.proxy.base)
  await visit(page, shop.proxy.base, '#/overview')
  await page.keyboard.press('g')
  await page.keyboard.press('r')
  await page.waitForSelector('main button:text-is("Abort")')
  const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim())
  for (let nth = 0; nth < 60 && (await focused()) !== 'Abort'; nth += 1) await page.keyboard.press('Tab')
  assert.equal(await focused(), 'Abort')
  await page.keyboard.press('Enter')
  await page.waitForSelector('dialog[open]')
  const isInField = () => page.evaluate(() => document.activeElement?.getAttribute('name') === 'reason')
  for (let nth = 0; nth < 10 && !(await isInField()); nth += 1) await page.keyboard.press('Tab')
  assert.ok(await isInField(), 'the field for the reason can be reached')
  await page.keyboard.type('by hand and not by mouse')
  const pressed = Date.now()
  await page.keyboard.press('Enter')
  await eventually('it is aborted', async () => (await phase()) === 'aborted')
  await isDeserted(pressed)
  await isOnRecord('by hand and not by mouse')
  assert.equal(await focused(), await page.evaluate(() => document.activeElement?.textContent?.trim()))
  await close()
})

test('escape does nothing, and without a reason nothing is sent', async () => {
  await begin()
  const { page, close } = await openPage(browser, shop.proxy.base)
  await visit(page, shop.proxy.base, '#/rollout')
  await page.click('main button:text-is("Abort")')
  assert.ok(await page.isDisabled('dialog button[type=submit]'))
  await page.fill('dialog input[name=reason]', 'not meant')
  await page.keyboard.press('Escape')
  await page.waitForSelector('dialog', { state: 'detached' })
  await pause(500)
  assert.notEqual(await phase(), 'aborted')
  await close()
})

test('a page that is opened late shows what was before', async () => {
  const { page, close } = await openPage(browser, shop.proxy.base)
  await eventually('some seconds are remembered', async () => (await shop.proxy.read('/v1/history')).beats.length > 8)
  const opened = Date.now()
  await visit(page, shop.proxy.base, '#/rollout')
  await page.waitForSelector('.chart canvas')
  // Of what was before it was opened: more seconds than it is old.
  await page.click('section[aria-labelledby=traffic] button.as-table')
  const times = await page.$$eval('section[aria-labelledby=traffic] figure tbody th', all => all.map(one => one.textContent))
  assert.ok(times.length >= 5, `${times}`)
  const drawn = await page.$eval('.chart canvas', canvas => canvas.width * canvas.height)
  assert.ok(drawn > 0)
  assert.ok(Date.now() - opened < 15_000)
  await close()
})
