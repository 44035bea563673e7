// The console as a person finds their way in it.
import { eventually, pause } from './wait.mjs'

/** Where its pages are: those that its own bar names. */
export async function pagesOf(page, base) {
  await page.goto(`${base}/`)
  await page.waitForSelector('header nav a')
  const names = await page.$$eval('header nav a', links =>
    links.map(link => ({ title: link.textContent.trim(), hash: link.getAttribute('href') })))
  if (names.length === 0) throw new Error('the bar names no page')
  return names
}

/** Goes to a page and waits until it has something to show and is live. */
export async function visit(page, base, hash) {
  if (!page.url().startsWith(base)) await page.goto(`${base}/${hash}`)
  else await page.evaluate(to => (location.hash = to), hash)
  await page.waitForFunction(() => {
    const main = document.querySelector('main')
    return main && !main.querySelector('.boot') && main.textContent.trim().length > 20
  })
  const alert = await page.$eval('main', main => main.querySelector('.fault')?.textContent)
  if (alert) throw new Error(`${hash}: ${alert}`)
  await eventually('the console is live', () => page.$('.link.good'))
}

/** What makes the page wider than the screen, if anything does; a table in a box of its own may be. */
export const tooWide = page => page.evaluate(() => {
  const width = document.documentElement.clientWidth
  if (document.scrollingElement.scrollWidth <= width) return []
  const isOut = one => one.getBoundingClientRect().right > width + 1 && !one.closest('.scroll, nav')
  const out = [...document.querySelectorAll('body *')].filter(isOut).filter(one => ![...one.children].some(isOut))
  return ['wide', ...out.map(one => one.outerHTML.slice(0, 120))]
})

/** Whether anything on the page reads otherwise, second by second, for so many seconds. */
export async function livenessOf(page, seconds) {
  await page.evaluate(() => {
    window.changes = []
    const observer = new MutationObserver(() => window.changes.push(performance.now()))
    observer.observe(document.querySelector('#app'), { subtree: true, childList: true, characterData: true, attributes: true })
  })
  await pause(seconds * 1000)
  const times = await page.evaluate(() => window.changes)
  return new Set(times.map(at => Math.floor((at - times[0]) / 1000))).size
}

/** How many pixels of a canvas have about this colour: variables of the style sheet by name. */
export const inked = (page, selector, name) => page.$eval(selector, (canvas, name) => {
  const style = getComputedStyle(document.documentElement)
  const hex = style.getPropertyValue(`--${name}`).trim()
  const wanted = [1, 3, 5].map(from => parseInt(hex.slice(from, from + 2), 16))
  // Read from a copy: the page draws into its own, and is told nothing of this.
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true })
  copy.drawImage(canvas, 0, 0)
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height)
  let found = 0
  for (let at = 0; at < data.length; at += 4) {
    const near = wanted.every((value, nth) => Math.abs(data[at + nth] - value) < 24)
    if (near && data[at + 3] > 200) found += 1
  }
  return found
}, name)
