// Who may only look has nothing to press, and finds everything else.
import assert from 'node:assert/strict'
import test, { after, before } from 'node:test'

import { openBrowser, openPage } from './lib/browser.mjs'
import { pagesOf, visit } from './lib/console.mjs'
import { openShop } from './lib/shop.mjs'
import { eventually } from './lib/wait.mjs'

/** What opens a question about something that would be done. */
const ACTS = 'main [aria-haspopup=dialog]'

let browser

before(async () => {
  browser = await openBrowser()
})

after(() => browser?.close())

/** What can be pressed on each page; whoever has a token shows it first. */
async function buttons(shop, token) {
  const { base } = shop.proxy
  const found = await eventually('there is a finding', async () => {
    const { items } = await shop.proxy.read('/v1/shadows/next/findings')
    return items.find(one => one.path === '$.total')
  })
  const { page, faults, forgive, close } = await openPage(browser, base)
  if (token) {
    await page.goto(`${base}/`)
    await signIn(page, `${token.slice(1)}!`)
    await page.waitForSelector('.signin [role=alert]')
    await signIn(page, token)
    await page.waitForSelector('.link.good')
    // The browser tells of each 401.
    forgive()
  }
  const acts = {}
  const all = [...(await pagesOf(page, base)), { title: 'pair', hash: `#/shadow/next/${found.id}` }, { title: 'flag', hash: '#/flags/new-shop' }]
  for (const { title, hash } of all) {
    await visit(page, base, hash)
    acts[title] = await page.$$eval(ACTS, all => all.map(one => one.textContent.trim()))
  }
  const wrong = await faults()
  await close()
  return { acts, wrong }
}

async function signIn(page, token) {
  await page.fill('.signin input[type=password]', token)
  await page.keyboard.press('Enter')
}

test('with a token there is what its role allows, and without one nothing', async () => {
  const [eyes, hands] = ['eyes-of-somebody-who-may-only-look', 'hands-of-somebody-who-may-abort-it']
  const more = `
[admin.token.eyes]
file = "eyes"
role = "read"
[admin.token.hands]
file = "hands"
role = "rollout"
`
  const shop = await openShop({ more, files: { eyes, hands }, token: hands })
  try {
    assert.equal((await fetch(`${shop.proxy.base}/v1/status`)).status, 401)
    const looked = await buttons(shop, eyes)
    assert.deepEqual(Object.values(looked.acts).flat(), [])
    assert.deepEqual(looked.wrong, [])
    const acted = await buttons(shop, hands)
    assert.ok(acted.acts.Rollout.length > 0 && acted.acts.pair.length > 0, JSON.stringify(acted.acts))
    assert.deepEqual(acted.wrong, [])
  } finally {
    await shop.end()
  }
})

test('a reader sees no button that acts, and somebody else does', async () => {
  const sets = { 'admin.read_only': 'true' }
  for (const reader of [true, false]) {
    const shop = await openShop(reader ? { sets } : {})
    try {
      const { role } = await shop.proxy.read('/v1/whoami')
      assert.equal(role === 'read', reader, role)
      const { acts, wrong } = await buttons(shop)
      assert.deepEqual(wrong, [])
      const all = Object.values(acts).flat()
      if (reader) {
        assert.deepEqual(all, [])
        await assert.rejects(shop.proxy.act('/v1/rollouts/v2/start', {}), /403/)
      } else {
        for (const page of ['Rollout', 'Shadow', 'pair', 'flag']) {
          assert.ok(acts[page].length > 0, `${page}: ${JSON.stringify(acts)}`)
        }
      }
    } finally {
      await shop.end()
    }
  }
})
