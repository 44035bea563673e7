// A shop with everything that the console can show: two versions, a shadow that finds differences, a
// rollout, flags and routes.
import { run } from './gnomon.mjs'
import { origin, shop } from './origins.mjs'
import { Users } from './users.mjs'

const config = (v1, v2, { shadow }) => `
[upstream.shop]
versions.v1 = ["${v1}"]
versions.v2 = ["${v2}"]

[route.shop]
match = { host = "shop.test" }
to    = "shop"

[route.staff]
match = { host = "shop.test", flag = "new-shop" }
to    = "shop@v2"

[route.old]
match    = { host = "old.test", path = "/cart/*" }
redirect = { to = "http://shop.test{uri}", status = 308 }

[flags]
by = "cookie:uid"

[group.staff]
header = { x-staff = "1" }

[flag.new-shop]
rules       = [{ group = "staff", serve = "on" }, { percent = 0, serve = "on" }]
owner       = "team-cart"
description = "the shop as it will be"
expires     = "2099-12-31"

[flag.theme]
variants = { light = "light", dark = "dark" }
default  = "light"
rules    = [{ group = "staff", serve = "dark" }]
${shadow ? SHADOW : ''}
[rollout.v2]
from  = "shop@v1"
to    = "shop@v2"
steps = ["25% for 10m", "50% for 10m", "100% for 10m"]

[rollout.v2.gate]
warmup     = "1s"
error_rate = { worse_by = "25% + 5pp" }
latency    = { worse_by = "80%" }
`

const SHADOW = `
[shadow.next]
from    = "shop@v1"
to      = "shop@v2"
noise   = true
compare = { headers = ["content-type", "cache-control"] }
`

/** Opens it; users come as long as it is open. */
export async function openShop({ shadow = true, rate = 150, more = '', ...rest } = {}) {
  const v1 = await origin('v1', shop('v1'))
  const v2 = await origin('v2', shop('v2', { total: shadow ? 14.5 : 14.49, delay: 3 }))
  const close = () => {
    v1.close()
    v2.close()
  }
  try {
    const proxy = await run(config(v1.address, v2.address, { shadow }) + more, rest)
    const users = new Users(proxy.address, { rate })
    const end = async () => {
      users.stop()
      await proxy.stop()
      close()
    }
    return { proxy, users, v1, v2, end }
  } catch (error) {
    close()
    throw error
  }
}
