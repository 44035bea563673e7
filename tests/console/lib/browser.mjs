// A browser without a window, which writes down what a person would never notice.
import { accessSync, constants, readFileSync } from 'node:fs'
import path from 'node:path'

import { chromium } from 'playwright-core'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome']

/** Where the browser is, if there is one. */
export function whereIsChromium() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM
  for (const folder of (process.env.PATH ?? '').split(path.delimiter)) {
    for (const name of NAMES) {
      const file = path.join(folder, name)
      try {
        accessSync(file, constants.X_OK)
        return file
      } catch {
        // Somewhere else, then.
      }
    }
  }
  return undefined
}

/** Starts it with an empty profile, which goes when it is closed. */
export function openBrowser() {
  return chromium.launch({
    executablePath: whereIsChromium(),
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
}

/**
 * A page in a context of its own, and what is wrong with it: errors on the console, exceptions,
 * broken rules of the content security policy, failed requests and requests to anybody else.
 */
export async function openPage(browser, base, { width = 1280, height = 900, dark = false, ...rest } = {}) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: dark ? 'dark' : 'light',
    reducedMotion: 'reduce',
    ...rest,
  })
  const faults = []
  const requests = []
  const home = new URL(base).host
  context.on('request', request => {
    const url = new URL(request.url())
    requests.push(request.url())
    const isOurs = url.protocol === 'data:' || url.protocol === 'blob:' || url.host === home
    if (!isOurs) faults.push(`asks somebody else: ${request.url()}`)
  })
  context.on('requestfailed', request => {
    const why = request.failure()?.errorText
    // What a page still waits for when one leaves it.
    if (why !== 'net::ERR_ABORTED') faults.push(`${request.url()}: ${why}`)
  })
  await context.addInitScript(() => {
    window.violations = []
    addEventListener('securitypolicyviolation', event => {
      window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`)
    })
  })
  if (process.env.CONSOLE_FROM) await serveFrom(context, process.env.CONSOLE_FROM)
  const page = await context.newPage()
  page.on('console', message => {
    if (['error', 'warning'].includes(message.type())) faults.push(`console: ${message.text()} ${message.location().url}`)
  })
  page.on('pageerror', error => faults.push(`exception: ${error.stack ?? error}`))
  const violations = async () => (await page.evaluate(() => window.violations)).map(it => `policy: ${it}`)
  return {
    page,
    context,
    requests,
    /** Everything that is wrong so far. */
    faults: async () => [...faults, ...(await violations())],
    forgive: () => faults.splice(0),
    close: () => context.close(),
  }
}

/** The console's files as they lie in this folder now, and not as they were when the proxy was built. */
function serveFrom(context, folder) {
  return context.route('**/console/**', async route => {
    const name = new URL(route.request().url()).pathname.replace(/^\/console\//, '')
    const response = await route.fetch()
    const body = readFileSync(path.join(folder, name))
    await (response.ok() ? route.fulfill({ response, body }) : route.fulfill({ path: path.join(folder, name) }))
  })
}
