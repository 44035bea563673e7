// The demo's rollout as it goes: both curves are drawn, and what is aborted there is aborted.
import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'

import { openBrowser, openPage } from './lib/browser.mjs'
import { inked, livenessOf, visit } from './lib/console.mjs'
import { demo } from './lib/gnomon.mjs'
import { eventually } from './lib/wait.mjs'

const INK_MIN = 20

let show
let browser

before(async () => {
  show = await demo('--rate', '400')
  browser = await openBrowser()
})

after(async () => {
  await browser?.close()
  await show?.stop()
})

const rollout = () => show.read('/v1/rollouts/v2')

test('both curves are drawn, and move', async t => {
  await eventually('it has begun', async () => (await rollout()).state.step > 0)
  await show.act('/v1/rollouts/v2/promote', { reason: 'the copies were seen elsewhere', step: 1 })
  await eventually('users see the canary', async () => (await rollout()).in_force > 0)
  const { page, faults, close } = await openPage(browser, show.base)
  await visit(page, show.base, '#/rollout')
  for (const id of ['errors', 'latency', 'traffic']) {
    const chart = `section[aria-labelledby=${id}] .chart canvas`
    await page.waitForSelector(chart)
    for (const arm of ['stable', 'canary']) {
      const ink = await eventually(`${id} of ${arm} is drawn`, async () => {
        const ink = await inked(page, chart, arm)
        return ink >= INK_MIN && ink
      })
      t.diagnostic(`${id}: ${ink} pixels of ${arm}`)
    }
    // The same for those who read rather than look.
    await page.click(`section[aria-labelledby=${id}] button.as-table`)
    const rows = `section[aria-labelledby=${id}] figure tbody tr`
    await page.waitForSelector(rows)
    const cells = await page.$$eval(`${rows}:first-child td`, all => all.map(one => one.textContent))
    assert.ok(cells.length >= 2 && cells.every(text => /\d/.test(text)), `${id}: ${cells}`)
  }
  assert.match(await page.textContent('main'), /error rate/i)
  assert.ok((await livenessOf(page, 5)) >= 4)
  assert.deepEqual(await faults(), [])
  await close()
})

test('what is aborted in the console is over in the demo', async () => {
  const { page, close } = await openPage(browser, show.base)
  await visit(page, show.base, '#/rollout')
  await page.click('main button:text-is("Abort")')
  await page.fill('dialog input[name=reason]', 'seen enough')
  await page.click('dialog button[type=submit]')
  await eventually('it is aborted', async () => (await rollout()).state.phase === 'aborted')
  await eventually('the demo tells it', () => show.log().includes('seen enough'))
  assert.equal((await rollout()).in_force, 0)
  await close()
})
