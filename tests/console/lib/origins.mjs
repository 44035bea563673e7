// Small origins, which write down what they are asked.
import http from 'node:http'
import { once } from 'node:events'

const REMEMBERED = 200_000

/** One version of something: answers with what `behave(request, nth)` tells, and counts. */
export async function origin(version, behave = shop(version)) {
  const asked = { count: 0, last: 0, times: [] }
  const server = http.createServer((request, response) => {
    asked.count += 1
    asked.last = Date.now()
    if (asked.times.length < REMEMBERED) asked.times.push(asked.last)
    request.resume()
    const { status = 200, body = {}, headers = {}, delay = 0 } = behave(request, asked.count)
    const answer = () => {
      response.writeHead(status, { 'content-type': 'application/json', 'x-version': version, ...headers })
      response.end(typeof body === 'string' ? body : JSON.stringify(body))
    }
    if (delay > 0) setTimeout(answer, delay)
    else answer()
  })
  server.keepAliveTimeout = 60_000
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const close = () => {
    server.close()
    server.closeAllConnections()
  }
  return { address: `127.0.0.1:${server.address().port}`, asked, close }
}

/** A shop whose replies differ from one another as replies do. */
export function shop(version, { total = 14.49, errors = 0, delay = 2 } = {}) {
  return (request, nth) => ({
    status: errors > 0 && nth % Math.round(1 / errors) === 0 ? 500 : 200,
    delay: delay + (nth % 4),
    body: {
      shop: 'the shop',
      path: new URL(request.url, 'http://shop').pathname,
      items: [{ sku: 'tea', price: 9.99 }, { sku: 'cup', price: 4.5 }],
      total,
      request: `${version}-${nth}-${Date.now().toString(16)}`,
    },
  })
}
