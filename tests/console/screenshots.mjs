// The pictures of docs/console: what a person sees in the demo, always of the same size.
//
//     tests/console/run.sh screenshots [FOLDER [shadow|rollout]]
import fs from 'node:fs/promises'
import path from 'node:path'

import { openBrowser, openPage } from './lib/browser.mjs'
import { visit } from './lib/console.mjs'
import { client, demo } from './lib/gnomon.mjs'
import { packed } from './lib/png.mjs'
import { eventually, pause } from './lib/wait.mjs'

const BYTES_MAX = 200_000
const SETTLED_MS = 1500

const folder = path.resolve(process.argv[2] ?? '../../docs/console')
const only = process.argv[3]
const browser = await openBrowser()

/** Takes one; `prepare` does what a person would do before it. */
async function take(base, name, hash, { prepare, ...look } = {}) {
  const { page, faults, close } = await openPage(browser, base, { width: 1280, height: 900, ...look })
  // Whose machine it is made on is nobody's business.
  const me = { ...(await client(base).read('/v1/whoami')), host: 'edge-1' }
  await page.route('**/v1/whoami', route => route.fulfill({ json: me }))
  await visit(page, base, hash).catch(async error => {
    throw new Error(`${name}: ${await faults()}`, { cause: error })
  })
  await prepare?.(page)
  await pause(SETTLED_MS)
  const file = path.join(folder, `${name}.png`)
  const picture = packed(await page.screenshot())
  await fs.writeFile(file, picture)
  const size = picture.length
  const wrong = [...(await faults()), ...(size > BYTES_MAX ? [`${size} bytes`] : [])]
  if (wrong.length) throw new Error(`${name}: ${wrong}`)
  console.log(`${file}: ${(size / 1000).toFixed(0)} kB`)
  await close()
}

/** The demo's rollout, from its second step on. */
async function rollout() {
  const show = await demo('--rate', '600')
  try {
    const now = () => show.read('/v1/rollouts/v2')
    await eventually('it has begun', async () => (await now()).state.step > 0)
    await pause(8000)
    await eventually('it is at 25 %', async () => (await now()).in_force === 25, 300_000)
    await pause(12_000)
    await take(show.base, 'rollout', '#/rollout', { height: 1180 })
    await take(show.base, 'rollout-dark', '#/rollout', { height: 1180, dark: true })
    await take(show.base, 'rollout-phone', '#/rollout', { width: 390, height: 1500 })
    await take(show.base, 'overview', '#/overview', { height: 720 })
    await take(show.base, 'flags', '#/flags/new-shop', { height: 860, prepare: askWhy })
    await take(show.base, 'routes', '#/routes', { height: 980, prepare: askWhere })
    await take(show.base, 'cores', '#/cores', { height: 620 })
    await take(show.base, 'rollout-aborted', '#/rollout', { height: 1180, prepare: abort })
  } finally {
    await show.stop()
  }
}

async function askWhy(page) {
  await page.fill('section[aria-labelledby=why] textarea', 'x-staff: 1')
  await page.click('section[aria-labelledby=why] button[type=submit]')
  await page.waitForSelector('section[aria-labelledby=why] .answer')
}

async function askWhere(page) {
  await page.fill('section[aria-labelledby=question] input[placeholder^=http]', 'http://shop.test/cart')
  await page.fill('section[aria-labelledby=question] textarea', 'x-staff: 1')
  await page.click('section[aria-labelledby=question] button[type=submit]')
  await page.waitForSelector('section[aria-labelledby=question] .answer')
}

async function abort(page) {
  await page.click('main button:text-is("Abort")')
  await page.fill('dialog input[name=reason]', 'the cart loses tea')
  await page.click('dialog button[type=submit]')
  await page.waitForSelector('dialog', { state: 'detached' })
  // Until the lines have gone home, too.
  await pause(12_000)
}

/** The demo's shadow, which finds what was changed. */
async function shadow() {
  const show = await demo('--split', '--rate', '200')
  try {
    const found = await eventually('the shadow finds the sum', async () => {
      const { items } = await show.read('/v1/shadows/v2/findings')
      return items.find(one => one.path === '$.total' && one.count > 500)
    }, 60_000)
    await take(show.base, 'shadow', '#/shadow', { height: 800 })
    await take(show.base, 'shadow-pair', `#/shadow/v2/${found.id}`, { height: 1060 })
  } finally {
    await show.stop()
  }
}

try {
  await fs.mkdir(folder, { recursive: true })
  if (only !== 'rollout') await shadow()
  if (only !== 'shadow') await rollout()
} finally {
  await browser.close()
}
